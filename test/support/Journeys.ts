/** A process manager for tests that kill: each event, timer and command leaves a trace that tells how often it counted. */
import { Schema } from "effect"
import { Category, ProcessManager } from "effect-eventstore"

class Began extends Schema.TaggedClass<Began>()("Began", {}) {}
class Arrived extends Schema.TaggedClass<Arrived>()("Arrived", { stop: Schema.Int }) {}
class Write extends Schema.TaggedClass<Write>()("Write", { text: Schema.String }) {}

export const Journey = Category.make("journey", { id: Schema.String, events: [Began, Arrived] })

export const began = new Began()
export const arrived = (stop: number) => new Arrived({ stop })

/** Stops of a journey. */
export const stops = 12

const write = (text: string) => ({ send: [new Write({ text })] })

/** Writes a card from each stop, one for each timer, and remembers what it wrote. */
export const Guide = ProcessManager.make("guide", {
  from: Journey,
  correlate: ProcessManager.byStreamId,
  starts: ["Began"],
  state: Schema.Struct({ written: Schema.Array(Schema.String) }),
  initial: () => ({ written: [] }),
  commands: [Write],
  timers: ["soon", "pushed", "later"]
}, {
  handle: {
    Began: () => ({ timers: { soon: "50 millis", pushed: "300 millis" } }),
    Arrived: ({ written }, { stop }) => ({
      state: { written: [...written, `stop ${stop}`] },
      ...write(`stop ${stop}`),
      timers: stop === stops
        ? { pushed: null, later: "100 millis" }
        // pushed on and on, so that it is always about to fire
        : { pushed: "300 millis" }
    })
  },
  onTimer: {
    soon: ({ written }) => ({ state: { written: [...written, "soon"] }, ...write("soon") }),
    later: ({ written }) => ({ state: { written: [...written, "later"] }, ...write("later") }),
    pushed: ({ written }) => ({ state: { written: [...written, "pushed"] }, ...write("pushed") })
  }
})
