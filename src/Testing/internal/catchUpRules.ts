import { assert } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import type { RawEvent } from "../../Event/RawEvent.ts"
import * as Category from "../../Stream/Category.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import {
  collect,
  type Counted,
  equal,
  fails,
  freshCategory,
  freshName,
  freshStream,
  has,
  type Noted,
  type Notes,
  notes,
  raw,
  type Rules,
  skip,
  someNotes,
  textOf,
  together
} from "./rule.ts"
import { asStored, catchUp, gather, type Gathered, logAfter, makeStandstill, saw, signals } from "./subscribing.ts"

/** Texts that a subscription to notes hands out, as many as asked for. */
const textsOf = (events: ReturnType<typeof catchUp<Notes>>, count: number) =>
  Effect.map(collect(Stream.take(events, count)), (recorded) => recorded.map(({ event }) => textOf(event)))

export const catchUpRules: Rules = (rule, { transactions }) => {
  // history, then live

  rule("hands out what was stored before, then what is stored later, as a read does", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("1", "2"))
    const seen = yield* gather(catchUp(store, category))
    yield* seen.until(2)
    yield* store.append(freshStream(), notes("foreign"))
    yield* store.append(category.stream("1"), notes("3"))
    yield* store.append(category.stream("2"), notes("4", "5"))
    yield* seen.until(5)
    saw(seen.all, yield* collect(store.readCategory(category)))
    equal(seen.all.map(({ event }) => textOf(event)), ["1", "2", "3", "4", "5"])
  })

  rule("hands out every event once and in order while many write", function*(store) {
    const [category, foreign] = [freshCategory(), freshCategory()]
    const start = yield* store.head()
    for (let i = 0; i < 3; i++) yield* store.append(category.stream("before"), someNotes(1000))
    const writing = yield* Effect.forkChild(
      together(8, (writer) =>
        Effect.forEach(Array.from({ length: 40 }), (_, n) =>
          Effect.gen(function*() {
            yield* store.append(category.stream(String(writer)), notes(`${writer}/${n}`, `${writer}/${n}`))
            yield* store.append(foreign.stream(String(n % 5)), notes(`${writer}/${n}`))
            yield* Effect.yieldNow
          })))
    )
    const typed: Array<Gathered<Recorded<Noted | Counted>>> = []
    const whole: Array<Gathered<Recorded<RawEvent>>> = []
    for (let i = 0; i < 4; i++) {
      typed.push(yield* gather(catchUp(store, category)))
      whole.push(yield* gather(catchUp(store, Category.raw, { after: start })))
      yield* store.append(freshStream(), notes("between"))
    }
    yield* Fiber.join(writing)
    const { position } = yield* store.append(category.stream("last"), notes("last"))
    for (const { all, until } of [...typed, ...whole]) yield* until(() => all.at(-1)?.position === position)
    const notesStored = yield* collect(store.readCategory(category))
    equal(notesStored.length, 3000 + 8 * 40 * 2 + 1)
    for (const { all } of typed) saw(all, notesStored)
    const stored = yield* logAfter(store, start)
    for (const { all } of whole) saw(all, stored)
  })

  rule("hands out what was acknowledged before it began, and what is acknowledged while it runs", function*(store) {
    const category = freshCategory()
    yield* together(16, (i) =>
      Effect.gen(function*() {
        const stream = category.stream(String(i))
        for (let n = 1; n <= 5; n++) {
          yield* store.append(stream, notes(String(n)))
          const found = yield* collect(Stream.take(catchUp(store, stream), n))
          equal(found.map(({ streamVersion }) => streamVersion), Array.from({ length: n }, (_, k) => k + 1))
        }
      }))
  })

  // where it begins

  rule("begins behind a position, a recorded event, or a position with the id of its event", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("a", "b"))
    const { position: foreign } = yield* store.append(freshStream(), notes("foreign"))
    yield* store.append(category.stream("1"), notes("c"))
    const [first, second] = yield* collect(store.readCategory(category))
    const { eventId, position } = second!
    for (const after of [position, foreign, second!, { position }, { position, eventId }]) {
      equal(yield* textsOf(catchUp(store, category, { after }), 1), ["c"])
    }
    for (const after of [undefined, 0, { position: 0 }, first!.position - 1]) {
      equal(yield* textsOf(catchUp(store, category, { after }), 3), ["a", "b", "c"])
    }
  })

  rule("begins at the head of the log, given as a position", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("before"))
    const seen = yield* gather(catchUp(store, category, { after: yield* store.head() }))
    yield* store.append(category.stream("1"), notes("after"))
    yield* seen.until(1)
    equal(seen.all.map(({ event }) => textOf(event)), ["after"])
  })

  rule("begins at the end where it is asked to", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("before"))
    const seen = yield* gather(signals(store, category, { after: "end" }))
    yield* seen.until(1)
    yield* store.append(category.stream("1"), notes("after"))
    yield* seen.until(2)
    equal(seen.all.map((signal) => signal._tag === "Event" ? textOf(signal.recorded.event) : signal._tag), [
      "CaughtUp",
      "after"
    ])
  })

  rule("hands out the log from one position on without a hole", function*(store) {
    const start = yield* store.head()
    const seen = yield* gather(catchUp(store, Category.raw, { after: start }))
    for (let i = 0; i < 20; i++) yield* store.append(freshStream(), someNotes(i))
    yield* seen.until(190)
    equal(seen.all.map(({ position }) => position - start), Array.from({ length: 190 }, (_, i) => i + 1))
  })

  // how it ends, and goes on

  rule("can be run twice, at once or one after the other: each run sees everything", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("a", "b"))
    const events = Stream.take(catchUp(store, category), 3)
    const both = yield* Effect.forkChild(Effect.all([collect(events), collect(events)], { concurrency: 2 }))
    yield* store.append(category.stream("1"), notes("c"))
    const stored = yield* collect(store.readCategory(category))
    for (const seen of yield* Fiber.join(both)) saw(seen, stored)
    saw(yield* collect(events), stored)
  })

  rule("goes on exactly behind the last event that was seen, whatever ended it before", function*(store) {
    const category = freshCategory()
    for (let i = 0; i < 3; i++) yield* store.append(category.stream(String(i)), someNotes(1000))
    const [first] = yield* collect(store.readCategory(category, { limit: 1 }))
    const seen: Array<NonNullable<typeof first>> = []
    /** Runs until so many were seen; then this happens. */
    const until = (count: number, then: Effect.Effect<void, string>) =>
      Stream.runForEach(catchUp(store, category, { after: seen.at(-1) ?? 0 }), (event) =>
        Effect.suspend(() => {
          seen.push(event)
          return seen.length === count ? then : Effect.void
        }))
    yield* Effect.exit(until(700, Effect.fail("on purpose")))
    yield* Effect.exit(until(1200, Effect.die(new Error("on purpose"))))
    yield* Effect.timeoutOption(until(1900, Effect.never), "50 millis")
    const standstill = yield* makeStandstill
    const running = yield* Effect.forkChild(until(2500, standstill.here))
    yield* standstill.reached
    yield* Fiber.interrupt(running)
    for (const count of [1, 499]) {
      seen.push(...(yield* collect(Stream.take(catchUp(store, category, { after: seen.at(-1)! }), count))))
    }
    // now at the end of what there is, and waiting
    const waiting = yield* gather(catchUp(store, category, { after: seen.at(-1)! }))
    yield* store.append(category.stream("1"), someNotes(1))
    yield* waiting.until(1)
    yield* waiting.stop
    seen.push(...waiting.all)
    yield* store.append(category.stream("1"), someNotes(1))
    yield* Effect.exit(until(3002, Effect.fail("on purpose")))
    saw(seen, yield* collect(store.readCategory(category)))
  })

  rule("composes with the operators of streams", function*(store) {
    const [a, b] = [freshCategory(), freshCategory()]
    for (const category of [a, b]) yield* store.append(category.stream("1"), someNotes(50))
    const joined = Stream.merge(catchUp(store, a), catchUp(store, b)).pipe(
      Stream.mapEffect(({ event, streamId }) => Effect.as(Effect.yieldNow, `${streamId} ${textOf(event)}`), {
        concurrency: 4
      }),
      Stream.buffer({ capacity: 8 }),
      Stream.groupedWithin(30, "10 millis"),
      Stream.flatMap(Stream.fromArray),
      Stream.take(100)
    )
    const expected = [a, b].flatMap((category) =>
      Array.from({ length: 50 }, (_, i) => `${category.stream("1").streamId} ${i + 1}`)
    )
    equal([...yield* collect(joined)].sort(), expected.sort())
  })

  rule("follows the log no longer than somebody subscribes", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("a"))
    equal(store.tail.position(), 0)
    yield* Effect.scoped(Effect.gen(function*() {
      const [one, two] = [yield* gather(catchUp(store, category)), yield* gather(catchUp(store, category))]
      yield* Effect.all([one.until(1), two.until(1)])
      assert.isAbove(store.tail.position(), 0)
      yield* one.stop
      assert.isAbove(store.tail.position(), 0)
    }))
    equal(store.tail.position(), 0)
    yield* collect(Stream.take(catchUp(store, category), 1))
    yield* Effect.exit(Stream.runForEach(catchUp(store, category), () => Effect.fail("on purpose")))
    equal(store.tail.position(), 0)
  })

  // those who are slow

  rule("lets a subscriber that stands still go on exactly, and nobody wait for it", function*(store) {
    const category = freshCategory()
    const start = yield* store.head()
    yield* store.append(category.stream("1"), someNotes(1))
    const standstill = yield* makeStandstill
    const stalled = catchUp(store, category).pipe(
      Stream.tap(({ position }) => position === start + 1 ? standstill.here : Effect.void)
    )
    const slow = yield* gather(stalled)
    yield* standstill.reached
    const quick = yield* gather(catchUp(store, Category.raw, { after: start }))
    for (let i = 0; i < 30; i++) {
      yield* store.append(category.stream(String(i % 7)), someNotes(995))
      yield* store.append(freshStream(), someNotes(5))
    }
    yield* quick.until(30_001)
    equal(slow.all, [])
    // it goes on while more is stored
    yield* standstill.release
    for (let i = 0; i < 20; i++) yield* store.append(category.stream(String(i % 7)), someNotes(5))
    yield* Effect.all([slow.until(29_951), quick.until(30_101)])
    saw(slow.all, yield* collect(store.readCategory(category)))
    equal(quick.all.map(({ position }) => position - start), Array.from({ length: 30_101 }, (_, i) => i + 1))
  })

  // transactions

  rule("hands out nothing of a transaction that fails", function*(store) {
    const stream = freshStream()
    const seen = yield* gather(catchUp(store, stream.category))
    yield* Effect.exit(store.transaction(Effect.andThen(store.append(stream, notes("no")), Effect.fail("on purpose"))))
    yield* store.append(stream, notes("yes"))
    yield* seen.until(1)
    saw(seen.all, yield* collect(store.read(stream)))
  })

  rule("is woken by a transaction that commits", function*(store) {
    const category = freshCategory()
    const seen = yield* gather(catchUp(store, category))
    for (let i = 0; i < 3; i++) {
      yield* store.transaction(Effect.andThen(
        store.append(category.stream("1"), notes("a")),
        store.append(category.stream("2"), notes("b", "c"))
      ))
      // long before the tail would have looked for itself
      yield* seen.until(3 * i + 3, "4 seconds")
    }
    saw(seen.all, yield* collect(store.readCategory(category)))
  })

  const staged = transactions === "concurrent" ? rule : skip
  staged("hands out the events of a transaction only when it has committed", function*(store) {
    const category = freshCategory()
    const seen = yield* gather(catchUp(store, category))
    const standstill = yield* makeStandstill
    const transaction = yield* Effect.forkChild(
      store.transaction(Effect.andThen(store.append(category.stream("1"), notes("staged")), standstill.here))
    )
    yield* standstill.reached
    yield* store.append(category.stream("2"), notes("outside"))
    yield* seen.until(1)
    yield* standstill.release
    yield* Fiber.join(transaction)
    yield* seen.until(2)
    equal(seen.all.map(({ event }) => textOf(event)), ["outside", "staged"])
  })

  rule("refuses to begin inside a transaction", function*(store) {
    const stream = freshStream()
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(stream, notes("staged"))
      const field = { field: "transaction" }
      has(yield* fails(collect(Stream.take(catchUp(store, stream), 1)), "InvalidInput"), field)
      has(yield* fails(collect(Stream.take(catchUp(store, Category.raw), 1)), "InvalidInput"), field)
    }))
    saw(yield* collect(Stream.take(catchUp(store, stream), 1)), yield* collect(store.read(stream)))
  })

  // many

  rule("serves 200 subscribers with different filters at once, each exactly", function*(store) {
    const name = freshName()
    const start = yield* store.head()
    const write = (round: number) =>
      Effect.forEach(
        Array.from({ length: 10 }),
        (_, i) =>
          store.append(Category.rawStream(`${name}c${i}-${round % 3}`), [raw(`${name}t${i % 4}`), raw(`T${round % 3}`)])
      )
    yield* write(0)
    const filters = Array.from({ length: 200 }, (_, i) =>
      [
        { categories: [`${name}c${i % 10}`] },
        { types: [`${name}t${i % 4}`, `T${i % 3}`] },
        { streamPrefix: `${name}c${i % 10}-${i % 3}` },
        { types: [`T${i % 3}`], categories: [`${name}c${i % 10}`, `${name}c${i % 9}`] },
        {}
      ][i % 5]!)
    const subscribe = (
      { categories, ...filter }: { readonly categories?: Array<string>; readonly types?: Array<string> }
    ) => gather(catchUp(store, categories?.map(asStored) ?? Category.raw, { ...filter, after: start }))
    const subscribers = yield* Effect.forEach(filters, subscribe)
    for (let round = 1; round < 8; round++) yield* write(round)
    yield* together(8, write)
    for (const [i, filter] of filters.entries()) {
      const expected = yield* logAfter(store, start, filter)
      yield* subscribers[i]!.until(expected.length)
      saw(subscribers[i]!.all, expected)
    }
  })
}
