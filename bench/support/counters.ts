/** An aggregate whose commands are as cheap as can be, under each way of loading its state. */
import { Effect, Schema } from "effect"
import { Category, Decider, EventStore, Snapshot } from "effect-eventstore"
import * as DeciderEntity from "effect-eventstore/Aggregate/DeciderEntity"
import type { Store } from "./arena.ts"

class Added extends Schema.TaggedClass<Added>()("Added", { by: Schema.Int, note: Schema.String }) {}
class Add extends Schema.TaggedClass<Add>()("Add", { by: Schema.Int }) {}

const Counter = Category.make("counter", { id: Schema.String, events: [Added] })
const State = Schema.Struct({ sum: Schema.Int })

const parts = {
  state: State,
  commands: [Add],
  initial: { sum: 0 },
  evolve: { Added: ({ sum }: typeof State.Type, { by }: Added) => ({ sum: sum + by }) },
  decide: { Add: ({ by }: Add) => [new Added({ by, note: "of the size that an event has" })] }
} as const

const snapshot = Snapshot.make({ name: "counter", state: State, policy: Snapshot.every(200) })

/** Deciders by the way in which they come to a state. */
export const deciders = {
  plain: Decider.make(Counter, parts),
  snapshot: Decider.make(Counter, { ...parts, snapshot }),
  checked: Decider.make(Counter, { ...parts, cache: { capacity: 1000 } }),
  trusted: Decider.make(Counter, { ...parts, cache: { capacity: 1000, mode: "trusted" } })
}

export type Way = keyof typeof deciders

export const entity = DeciderEntity.make(deciders.plain)

export const command = new Add({ by: 1 })

/** Gives a stream so many events. */
export const fillCounter = (store: Store, id: string, count: number) =>
  Effect.forEach(
    Array.from({ length: Math.ceil(count / 5000) }, (_, i) => Math.min(5000, count - i * 5000)),
    (size) =>
      EventStore.use(({ append }) =>
        append(Counter.stream(id), Array.from({ length: size }, () => new Added({ by: 1, note: "one of many" })))
      ).pipe(Effect.provideService(EventStore, store)),
    { discard: true }
  )

/** What the others call them. */
export const evolve = (state: { readonly sum: number }, by: number) => ({ sum: state.sum + by })
export const plainAdded = { by: 1, note: "of the size that an event has" }
