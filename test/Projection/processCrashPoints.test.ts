import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { ProcessManager, StoreError } from "effect-eventstore"
import { setImmediate } from "node:timers/promises"
import { makeMemoryStorage } from "../../src/Store/internal/memoryStorage.ts"
import { inStore } from "../../src/Testing/internal/consuming.ts"
import {
  firedOf,
  heardAndSaid,
  historyOf,
  managerOf,
  parkedOf,
  Say,
  sentBy
} from "../../src/Testing/internal/processing.ts"
import { Counted, freshCategory, someNotes } from "../../src/Testing/internal/rule.ts"
import { type Fault, play, type Scenario } from "../support/crashPoints.ts"

/** A process that remembers, sends, waits for timers and ends. */
const scenario: Scenario = ({ startProgram, store, until }) =>
  Effect.gen(function*() {
    const from = freshCategory()
    const manager = managerOf({
      from,
      noted: (state, event) => ({
        ...heardAndSaid(state, event),
        timers: event.text === "2"
          ? { first: "3 seconds", second: "1 minute" }
          : event.text === "3"
          ? { second: null }
          : {}
      }),
      onTimer: (state, name) => ({ state: { texts: [...state.texts, name] }, send: [new Say({ text: name })] }),
      counted: () => ({ send: [new Say({ text: "end" })], end: true })
    })
    const performed: Array<string> = []
    const run = ProcessManager.run(manager, {
      lease: "5 seconds",
      commands: { lease: "5 seconds" },
      perform: {
        Say: ({ text }, { idempotencyKey }) => Effect.sync(() => performed.push(`${text} ${idempotencyKey}`))
      }
    })
    // who cannot start says so, and is started again
    yield* startProgram(Effect.retry(run, { while: StoreError.isPassing, schedule: Schedule.spaced("1 second") }))
    const stream = from.stream("a")
    const untilSaid = (count: number) =>
      until(`${count} commands`, Effect.sync(() => new Set(performed).size === count))
    for (const note of someNotes(3)) yield* store.append(stream, [note])
    yield* untilSaid(4)
    yield* store.append(stream, [new Counted({ count: 1 })])
    yield* untilSaid(5)

    return Effect.gen(function*() {
      const history = yield* historyOf(store, manager, "a")
      const causes = ["Noted", "Noted", "Noted", "TimerFired", "Counted"]
      assert.deepStrictEqual(history.map(({ cause }) => cause.type), causes)
      const texts = ["1", "2", "3", "first", "end"]
      assert.deepStrictEqual(yield* sentBy(store, manager, "a"), texts)
      assert.deepStrictEqual(yield* firedOf(store, manager, "a"), ["first"])
      const keys = history.flatMap(({ sent }) => sent.map(({ eventId }) => eventId))
      assert.deepStrictEqual([...new Set(performed)], texts.map((text, i) => `${text} ${keys[i]}`))
      assert.deepStrictEqual(yield* inStore(store)(ProcessManager.timers(manager)), [])
      assert.deepStrictEqual(yield* parkedOf(store, manager), [])
    })
  })

const faults: ReadonlyArray<Fault> = ["refused", "interrupted", "killed", "frozen"]

for (const fault of faults) {
  it.live(
    `a process manager does all of it once, though its program is ${fault} at any point`,
    () =>
      Effect.gen(function*() {
        const seen = new Set<string>()
        for (let n = 1;; n++) {
          const stage = {
            storage: makeMemoryStorage(),
            rest: Effect.promise(() => setImmediate()),
            endsFrozenTransactions: false
          }
          const where = yield* play(stage, scenario, fault, n)
          if (where === undefined) break
          seen.add(where)
        }
        assert.includeMembers([...seen], ["streamPage/after", "subscriptions.finishWith/after", "transaction/before"])
        // in memory nobody takes from who is frozen what its transaction holds
        if (fault === "frozen") return
        assert.includeMembers([...seen], [
          "append/after",
          "projections.timers.change/before",
          "projections.timers.take/after",
          "transaction/ending"
        ])
      }),
    120_000
  )
}
