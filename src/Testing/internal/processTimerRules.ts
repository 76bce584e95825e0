import { assert } from "@effect/vitest"
import { DateTime, type Duration, Effect, Latch, Schedule, Stream } from "effect"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import * as RawEvent from "../../Event/RawEvent.ts"
import * as ProcessManager from "../../Projection/ProcessManager.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore, makeClock, pass, until } from "./consuming.ts"
import {
  type Answer,
  firedOf,
  handled,
  heard,
  historyOf,
  manage,
  type Manager,
  managerOf,
  movesOf,
  parkedOf,
  State,
  textsOf,
  untilState,
  waitingOf
} from "./processing.ts"
import { begin } from "./queue.ts"
import { Counted, equal, freshCategory, freshName, has, type Notes, notes, type Rules, type Store } from "./rule.ts"

/** What texts ask of timers: `first 1 second`, `second cancel`; others are remembered. */
const timersByText = (from: Notes, options: Partial<Parameters<typeof managerOf>[0]> = {}): Manager =>
  managerOf({
    from,
    noted: (state, event): Answer => {
      const [name, ...setting] = event.text.split(" ")
      if (name !== "first" && name !== "second") return event.text === "end" ? { end: true } : heard(state, event)
      return { timers: { [name]: setting[0] === "cancel" ? null : setting.join(" ") as Duration.Input } }
    },
    ...options
  })

/** Lets so much time pass, bit by bit, until something holds. */
const passUntil = (
  clock: { readonly adjust: (by: Duration.Input) => Effect.Effect<void> },
  step: Duration.Input,
  what: string,
  holds: Effect.Effect<boolean, any>
) => until(what, () => Effect.andThen(clock.adjust(step), Effect.andThen(Effect.sleep(5), holds)))

const isFired = (store: Store, manager: Manager, id: string, count: number) =>
  Effect.map(firedOf(store, manager, id), ({ length }) => length === count)

export const processTimerRules: Rules = (rule) => {
  rule("fires a timer when it is due, once, however many look for it", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const manager = timersByText(from)
    for (let i = 0; i < 3; i++) yield* manage(store, manager, { clock })
    const ids = Array.from({ length: 20 }, (_, i) => String(i))
    for (const id of ids) yield* store.append(from.stream(id), notes("first 10 seconds", "second 20 seconds"))
    yield* handled(store, manager, yield* store.append(from.stream("last"), notes("1")))
    equal((yield* waitingOf(store, manager, begin)).length, 40)
    // a moment before
    yield* pass(clock, "1999 millis", 5)
    for (const id of ids) equal(yield* firedOf(store, manager, id), [])
    yield* passUntil(clock, "1 second", "the first", isFired(store, manager, "7", 1))
    yield* pass(clock, "1 second", 2)
    for (const id of ids) yield* until("the first", () => isFired(store, manager, id, 1))
    yield* pass(clock, "1 second", 20)
    for (const id of ids) {
      yield* untilState(store, manager, id, ["first", "second"])
      equal(yield* firedOf(store, manager, id), ["first", "second"])
      equal((yield* movesOf(store, manager, id)).length, 4)
    }
    equal(yield* waitingOf(store, manager, begin), [])
  })

  rule("fires it on time, though it slept for one that is due later", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const manager = timersByText(from)
    yield* manage(store, manager, { clock })
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("first 1 hour")))
    // it sleeps by now
    yield* Effect.sleep(20)
    yield* handled(store, manager, yield* store.append(from.stream("b"), notes("first 10 millis")))
    const due = clock.currentTimeMillisUnsafe() + 10
    yield* passUntil(clock, "2 millis", "the timer", isFired(store, manager, "b", 1))
    // it would look for itself after a second
    assert.isBelow(clock.currentTimeMillisUnsafe() - due, 500)
    equal(yield* firedOf(store, manager, "a"), [])
  })

  rule("fires what came due while nobody was there", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const manager = timersByText(from)
    const running = yield* manage(store, manager, { clock })
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("first 10 seconds")))
    yield* running.stop
    yield* clock.adjust("1 minute")
    equal(yield* firedOf(store, manager, "a"), [])
    yield* manage(store, manager, { clock })
    yield* untilState(store, manager, "a", ["first"])
    equal(yield* firedOf(store, manager, "a"), ["first"])
  })

  rule("sets a timer to a time as well, and one that is past is due at once", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const manager = timersByText(from, {
      noted: (_, __, { now }) => ({
        timers: { first: DateTime.addDuration(now, "3 seconds"), second: DateTime.makeUnsafe(0) }
      })
    })
    yield* manage(store, manager, { clock })
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("1")))
    yield* untilState(store, manager, "a", ["second"])
    equal(yield* waitingOf(store, manager, begin), ["a first 3000"])
    yield* passUntil(clock, "1 second", "the first", isFired(store, manager, "a", 2))
    yield* untilState(store, manager, "a", ["second", "first"])
  })

  rule("replaces a timer of the same name, cancels it, and cancels all when the process ends", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const manager = timersByText(from)
    yield* manage(store, manager, { clock })
    yield* store.append(from.stream("a"), notes("first 2 seconds", "first 4 seconds", "second 1 second"))
    yield* store.append(from.stream("b"), notes("first 2 seconds", "second 3 seconds", "first cancel", "first cancel"))
    yield* store.append(from.stream("c"), notes("first 2 seconds", "second 3 seconds", "end"))
    yield* handled(store, manager, yield* store.append(from.stream("d"), notes("first cancel")))
    equal(yield* waitingOf(store, manager, begin), ["a second 1000", "b second 3000", "a first 4000"])
    yield* pass(clock, "1 second", 5)
    yield* untilState(store, manager, "a", ["second", "first"])
    yield* untilState(store, manager, "b", ["second"])
    equal(yield* firedOf(store, manager, "a"), ["second", "first"])
    equal(yield* firedOf(store, manager, "b"), ["second"])
    equal(yield* firedOf(store, manager, "c"), [])
    equal(yield* textsOf(store, manager, "c"), undefined)
  })

  /** A process that is held at its work while its timer fires, and then does what a text says. */
  const firedMeanwhile = (store: Store, text: string) =>
    Effect.gen(function*() {
      const [from, clock] = [freshCategory(), yield* makeClock]
      const [begun, open] = [yield* Latch.make(), yield* Latch.make()]
      const manager = timersByText(from, {
        counted: (state, _, context) =>
          Effect.gen(function*() {
            yield* begun.open
            yield* open.await
            return text === "cancel"
              ? { timers: { first: null } }
              : text === "replace"
              ? { timers: { first: DateTime.addDuration(context.now, "10 seconds") } }
              : text === "end"
              ? { end: true }
              : { state: { texts: [...state.texts, text, Object.keys(context.timers).join()] } }
          })
      })
      yield* manage(store, manager, { clock })
      const stream = from.stream("a")
      yield* handled(store, manager, yield* store.append(stream, notes("first 1 second")))
      yield* store.append(stream, [new Counted({ count: 1 })])
      yield* begun.await
      yield* passUntil(clock, "1 second", "the timer", isFired(store, manager, "a", 1))
      // one more that has to wait for it
      const { position } = yield* store.append(stream, notes("last"))
      yield* open.open
      yield* handled(store, manager, { position })
      return { clock, manager }
    })

  rule("lets a timer that fires while its process is at work wait for its turn", function*(store) {
    const { manager } = yield* firedMeanwhile(store, "work")
    equal(yield* textsOf(store, manager, "a"), ["work", "first", "first", "last"])
    equal(yield* movesOf(store, manager, "a"), [
      "Noted -> ",
      "Counted -> work first",
      "TimerFired -> work first first",
      "Noted -> work first first last"
    ])
  })

  rule("takes no notice of a timer that fired before it was cancelled", function*(store) {
    const { manager } = yield* firedMeanwhile(store, "cancel")
    equal(yield* textsOf(store, manager, "a"), ["last"])
    equal(yield* firedOf(store, manager, "a"), ["first"])
    equal(yield* parkedOf(store, manager), [])
  })

  rule("takes no notice of a timer that fired before it was replaced, and waits for the new one", function*(store) {
    const { clock, manager } = yield* firedMeanwhile(store, "replace")
    equal(yield* textsOf(store, manager, "a"), ["last"])
    yield* passUntil(clock, "1 second", "the new one", isFired(store, manager, "a", 2))
    yield* untilState(store, manager, "a", ["last", "first"])
  })

  rule("takes no notice of a timer that fired before the process ended", function*(store) {
    const { manager } = yield* firedMeanwhile(store, "end")
    equal(yield* textsOf(store, manager, "a"), undefined)
    equal((yield* movesOf(store, manager, "a")).length, 2)
  })

  rule("drops a timer whose process is gone", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const manager = timersByText(from)
    yield* manage(store, manager, { clock })
    yield* store.append(from.stream("a"), notes("first 1 second"))
    yield* store.append(from.stream("b"), notes("first 1 second"))
    yield* handled(store, manager, yield* store.append(from.stream("c"), notes("first 2 seconds")))
    yield* store.delete(manager.categories.processes.stream("a"))
    yield* store.tombstone(manager.categories.processes.stream("b"))
    yield* passUntil(clock, "1 second", "the last one", isFired(store, manager, "c", 1))
    equal(yield* waitingOf(store, manager, begin), [])
    equal(yield* firedOf(store, manager, "a"), [])
    equal(yield* firedOf(store, manager, "b"), [])
    // it starts anew; the other one never does
    yield* store.append(from.stream("b"), notes("1"))
    yield* store.append(from.stream("a"), notes("1"))
    yield* untilState(store, manager, "a", ["1"])
    yield* handled(store, manager, yield* store.append(from.stream("c"), notes("1")))
    equal(yield* textsOf(store, manager, "b"), undefined)
    equal(yield* parkedOf(store, manager), [])
  })

  rule("drops a timer whose stream of timers was ended", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const manager = timersByText(from)
    yield* manage(store, manager, { clock })
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("first 1 second")))
    const stream = manager.categories.timers.stream("a")
    yield* store.tombstone(stream)
    yield* passUntil(
      clock,
      "1 second",
      "it is gone",
      Effect.map(waitingOf(store, manager, begin), (w) => w.length === 0)
    )
    equal(yield* textsOf(store, manager, "a"), [])
  })

  rule("fires timers behind more than are looked at together that cannot be fired", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const manager = timersByText(from)
    const { processes } = manager.categories
    const ids = Array.from({ length: 205 }, (_, i) => `broken-${i}`)
    const unreadable = RawEvent.make({ type: "Moved", schemaVersion: 1, data: "unreadable" })
    yield* store.appendAll(
      ids.map((id) => EventStore.entry(Category.rawStream(processes.stream(id).streamId), [unreadable]))
    )
    const timers = ids.map((key) => ({ key, name: "first", at: begin + 500 }))
    yield* store.transaction(store.storage.projections.timers.change(manager.name, timers))
    yield* manage(store, manager, { clock })
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("first 1 second")))
    yield* passUntil(clock, "1 second", "the one behind them", isFired(store, manager, "a", 1))
    yield* untilState(store, manager, "a", ["first"])
    // they wait for whoever mends them
    equal((yield* waitingOf(store, manager, begin)).length, ids.length)
    yield* Effect.forEach(ids, (id) => store.delete(processes.stream(id)), { discard: true })
    yield* passUntil(
      clock,
      "10 seconds",
      "they are gone",
      Effect.map(waitingOf(store, manager, begin), (waiting) => waiting.length === 0)
    )
  })

  rule("waits no more for a timer that was of no concern when it fired", function*(store) {
    const from = freshCategory()
    const seen: Array<string> = []
    const manager = timersByText(from, {
      onTimer: () => undefined,
      counted: (state, event, { timers }) => {
        seen.push(Object.keys(timers).join())
        return heard(state, event)
      }
    })
    yield* manage(store, manager)
    yield* store.append(from.stream("a"), notes("1", "first 0 seconds", "second 1 hour"))
    yield* until("the timer", () => Effect.map(movesOf(store, manager, "a"), ({ length }) => length === 4))
    equal((yield* movesOf(store, manager, "a")).at(-1), "TimerFired -> 1")
    const last = (yield* historyOf(store, manager, "a")).at(-1)!
    equal(Object.keys(last.process.timers), ["second"])
    yield* handled(store, manager, yield* store.append(from.stream("a"), [new Counted({ count: 1 })]))
    equal(seen, ["second"])
  })

  rule("lets a timer carry the conversation of its process, and the event that set it as its cause", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const manager = timersByText(from)
    yield* manage(store, manager, { clock })
    yield* handled(
      store,
      manager,
      yield* store.append(from.stream("a"), notes("first 0 seconds")).pipe(
        EventMetadata.provide({ correlationId: "talk" })
      )
    )
    yield* untilState(store, manager, "a", ["first"])
    const [cause] = yield* Stream.runCollect(store.read(from.stream("a")))
    const [fired] = yield* Stream.runCollect(store.read(manager.categories.timers.stream("a")))
    has(fired!.metadata, { correlationId: "talk", causationId: cause!.eventId })
    const moved = yield* Stream.runCollect(store.read(manager.categories.processes.stream("a")))
    has(moved[1]!.metadata, { correlationId: "talk", causationId: fired!.eventId })
  })

  rule("leaves a timer that only a newer program knows to that", function*(store) {
    const [from, name] = [freshCategory(), freshName()]
    const newer = managerOf({ from, name, noted: () => ({ timers: { first: 0 } }) })
    const older = ProcessManager.make(name, {
      from,
      correlate: ProcessManager.byStreamId,
      state: State,
      initial: () => ({ texts: [] })
    }, { handle: { Noted: heard, Counted: heard } })
    const first = yield* manage(store, newer)
    yield* store.append(from.stream("a"), notes("1"))
    yield* until("the timer", () => isFired(store, newer, "a", 1))
    yield* first.stop
    const patient = { attempts: 1_000_000, retry: Schedule.spaced("5 millis") }
    yield* Effect.forkScoped(inStore(store)(ProcessManager.run(older, patient)))
    yield* store.append(from.stream("b"), notes("1"))
    yield* untilState(store, newer, "b", ["1"])
    equal(yield* parkedOf(store, newer), [])
    yield* manage(store, newer, patient)
    yield* untilState(store, newer, "a", ["first"])
  })

  rule("keeps the timers of managers apart", function*(store) {
    const [from, clock] = [freshCategory(), yield* makeClock]
    const [one, other] = [timersByText(from), timersByText(from, { onTimer: () => ({ end: true }) })]
    yield* manage(store, one, { clock })
    yield* manage(store, other, { clock })
    yield* store.append(from.stream("a"), notes("first 1 second"))
    const last = yield* store.append(from.stream("a"), notes("1"))
    yield* handled(store, one, last)
    yield* handled(store, other, last)
    yield* pass(clock, "1 second", 2)
    yield* untilState(store, one, "a", ["1", "first"])
    yield* untilState(store, other, "a", undefined)
    equal(yield* inStore(store)(ProcessManager.timers(one)), [])
  })
}
