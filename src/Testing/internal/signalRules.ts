import { assert } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as Category from "../../Stream/Category.ts"
import type { Signal } from "../../Subscription/Subscription.ts"
import {
  collect,
  equal,
  freshCategory,
  freshName,
  freshStream,
  notes,
  raw,
  type Rules,
  someNotes,
  tagged,
  textOf,
  together
} from "./rule.ts"
import { catchUp, failsSoon, gather, logAfter, makeStandstill, saw, signals } from "./subscribing.ts"

const tags = (said: ReadonlyArray<Signal<unknown>>) => said.map(({ _tag }) => _tag)

const positionOf = (signal: Signal<unknown>): number =>
  signal._tag === "Event" ? signal.recorded.position : signal.position

const eventsOf = <E>(said: ReadonlyArray<Signal<E>>) =>
  said.flatMap((signal) => signal._tag === "Event" ? [signal.recorded] : [])

export const signalRules: Rules = (rule) => {
  rule("says once that it has caught up: after everything that was stored, at the head of the log", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("a", "b"))
    const { position } = yield* store.append(freshStream(), notes("foreign"))
    const said = yield* gather(signals(store, category))
    yield* said.until(3)
    equal(said.all[2], { _tag: "CaughtUp", position })
    yield* store.append(category.stream("1"), notes("c"))
    yield* said.until(4)
    yield* store.append(category.stream("1"), notes("d"))
    yield* said.until(5)
    equal(tags(said.all), ["Event", "Event", "CaughtUp", "Event", "Event"])
    saw(eventsOf(said.all), yield* collect(store.readCategory(category)))
  })

  rule("says at once that it has caught up where there is nothing to catch up with", function*(store) {
    const { position } = yield* store.append(freshStream(), notes("foreign"))
    const [category, stream] = [freshCategory(), freshStream()]
    for (
      const said of [
        signals(store, category),
        signals(store, category, { after: "end" }),
        signals(store, category, { after: position }),
        signals(store, stream),
        signals(store, stream, { after: "end" }),
        signals(store, [])
      ]
    ) {
      const all = yield* collect(
        Stream.takeUntil(said as Stream.Stream<Signal<unknown>>, ({ _tag }) => _tag === "CaughtUp")
      )
      equal(all.at(-1), { _tag: "CaughtUp", position })
      equal(eventsOf(all), [])
    }
  })

  rule("says that it has caught up only after every append that was acknowledged before it began", function*(store) {
    const category = freshCategory()
    // somebody follows already: the end of the log is known to the process
    yield* gather(catchUp(store, category))
    yield* together(8, (i) =>
      Effect.gen(function*() {
        for (let n = 1; n <= 8; n++) {
          const stream = category.stream(String(i))
          const { position } = yield* store.append(stream, notes(String(n)))
          for (const source of [category, [category]] as const) {
            const said = yield* collect(Stream.takeUntil(signals(store, source), ({ _tag }) => _tag === "CaughtUp"))
            assert.isAtLeast(positionOf(said.at(-1)!), position)
            equal(eventsOf(said).filter(({ streamId }) => streamId === stream.streamId).length, n)
          }
          const own = yield* collect(Stream.takeUntil(signals(store, stream), ({ _tag }) => _tag === "CaughtUp"))
          equal(eventsOf(own).length, n)
          assert.isAtLeast(positionOf(own.at(-1)!), position)
        }
      }))
  })

  rule("says again that it has caught up after it fell far behind", function*(store) {
    const category = freshCategory()
    const standstill = yield* makeStandstill
    const said = yield* gather(
      Stream.tap(
        signals(store, category),
        (signal) => signal._tag === "Event" && signal.recorded.streamVersion === 1 ? standstill.here : Effect.void
      )
    )
    yield* said.until(1)
    yield* store.append(category.stream("1"), notes("first"))
    yield* standstill.reached
    for (let i = 0; i < 12; i++) yield* store.append(category.stream("1"), someNotes(1000))
    yield* standstill.release
    yield* said.until((all) => all.filter(({ _tag }) => _tag === "CaughtUp").length === 2)
    equal(said.all.at(-1), { _tag: "CaughtUp", position: yield* store.head() })
    equal(eventsOf(said.all).length, 12_001)
    yield* store.append(category.stream("1"), notes("last"))
    yield* said.until((all) => eventsOf(all).length === 12_002)
    equal(tags(said.all).slice(tags(said.all).lastIndexOf("CaughtUp")), ["CaughtUp", "Event"])
    equal(tags(said.all).filter((tag) => tag === "CaughtUp").length, 2)
    saw(eventsOf(said.all), yield* collect(store.readCategory(category)))
  })

  rule("tells from time to time where it is, though nothing matches", function*(store) {
    const name = freshName()
    const sources = [
      signals(store, freshCategory(), { heartbeat: "5 millis" }),
      signals(store, [freshCategory(), freshCategory()], { heartbeat: "5 millis" }),
      signals(store, freshStream(), { heartbeat: "5 millis" }),
      signals(store, Category.raw, { heartbeat: "5 millis", tags: [name] }),
      signals(store, Category.raw, { heartbeat: "5 millis", types: [] }),
      signals(store, [], { heartbeat: "5 millis" })
    ]
    const { position: before } = yield* store.append(freshStream(), someNotes(3))
    const all = yield* Effect.forEach(sources, (source) => gather(source as Stream.Stream<Signal<unknown>>))
    const reaches = (position: number) =>
      Effect.forEach(
        all,
        ({ until }) => until((all) => all.at(-1)?._tag === "Heartbeat" && positionOf(all.at(-1)!) === position)
      )
    yield* reaches(before)
    for (let i = 0; i < 3; i++) {
      const { position } = yield* store.append(freshStream(), someNotes(2))
      yield* reaches(position)
    }
    for (const said of all) {
      equal(said.all.filter(({ _tag }) => _tag === "CaughtUp").length, 1)
      equal(said.all.filter(({ _tag }) => _tag === "Event").length, 0)
    }
  })

  rule("tells where it is also while much is stored that does not match", function*(store) {
    const name = freshName()
    const writing = yield* Effect.forkChild(
      Effect.forever(Effect.andThen(store.append(freshStream(), someNotes(1)), Effect.sleep("1 millis")))
    )
    const said = yield* gather(
      signals(store, Category.raw, { heartbeat: "100 millis", streamPrefix: name, after: "end" })
    )
    yield* said.until((all) => all.length > 3 && positionOf(all.at(-1)!) > positionOf(all[0]!) + 5, "5 seconds")
    yield* Fiber.interrupt(writing)
    equal([...new Set(tags(said.all))], ["CaughtUp", "Heartbeat"])
  })

  rule("never tells a position before the events up to it, so a checkpoint can move there", function*(store) {
    const name = freshName()
    const start = yield* store.head()
    const filters = [{ tags: [name] }, { types: [name] }, { streamPrefix: name }]
    const all = yield* Effect.forEach(
      filters,
      (filter) => gather(signals(store, Category.raw, { ...filter, after: start, heartbeat: "1 millis" }))
    )
    const stream = (i: number) => Category.rawStream(`${name}-${i}`)
    yield* together(6, (i) =>
      Effect.forEach(Array.from({ length: 30 }), (_, n) =>
        Effect.gen(function*() {
          yield* store.append(freshStream(), someNotes(1 + n % 3))
          if (n % 4 === 0) yield* store.append(stream(i), [tagged(name, name)])
          if (n % 5 === 0) yield* Effect.sleep("2 millis")
        })))
    const { position } = yield* store.append(stream(0), [tagged(name, name)])
    const { position: head } = yield* store.append(freshStream(), someNotes(1))
    for (const { until } of all) yield* until((all) => all.length > 0 && positionOf(all.at(-1)!) === head)
    const stored = yield* logAfter(store, start, { types: [name] })
    for (const said of all) {
      saw(eventsOf(said.all), stored)
      let last: number = start
      for (const signal of said.all) {
        // an event comes after all positions told before it, and after all other events
        if (signal._tag === "Event") assert.isAbove(positionOf(signal), last)
        else assert.isAtLeast(positionOf(signal), last)
        last = positionOf(signal)
      }
      // whoever goes on behind any of them misses nothing and sees nothing twice
      for (const signal of said.all.filter((_, i) => i % 15 === 0)) {
        const after = positionOf(signal)
        const rest = Stream.takeUntil(
          catchUp(store, Category.raw, { types: [name], after }),
          (event) => event.position === position
        )
        if (after < position) saw(yield* collect(rest), stored.filter((event) => event.position > after))
      }
    }
  })

  rule("tells nothing more often than it is asked to", function*(store) {
    const category = freshCategory()
    const said = yield* gather(signals(store, category))
    for (let i = 0; i < 20; i++) {
      yield* store.append(category.stream("1"), notes(String(i)))
      yield* store.append(freshStream(), [...someNotes(1)])
    }
    yield* said.until((all) => eventsOf(all).length === 20 && tags(all).includes("CaughtUp"))
    equal(tags(said.all).filter((tag) => tag === "CaughtUp"), ["CaughtUp"])
    equal(eventsOf(said.all).map(({ event }) => textOf(event)), Array.from({ length: 20 }, (_, i) => String(i)))
    const never = yield* gather(signals(store, Category.raw, {
      types: [freshName()],
      heartbeat: "Infinity",
      after: "end"
    }))
    yield* never.until(1)
    yield* store.append(Category.rawStream(`${freshName()}-1`), [raw("T")])
    yield* Effect.sleep("10 millis")
    equal(tags(never.all), ["CaughtUp"])
  })

  rule("refuses a heartbeat that is no time, or no time at all", function*(store) {
    for (const heartbeat of [0, -1, "0 millis", "soon", NaN, {}]) {
      const failing = signals(store, Category.raw, { heartbeat: heartbeat as any })
      equal((yield* failsSoon(failing, "InvalidInput")).field, "heartbeat")
    }
  })
}
