import { assert } from "@effect/vitest"
import { Effect, Exit, Latch, Option, Schedule, Schema, Stream } from "effect"
import * as Event from "../../Event/Event.ts"
import * as Category from "../../Stream/Category.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import { consume, counts, finished, freshSubscription, inStore, type Note, parkedOf, until } from "./consuming.ts"
import {
  Counted,
  equal,
  fails,
  freshCategory,
  freshName,
  freshStream,
  has,
  notes,
  raw,
  type Rules,
  someNotes,
  textOf,
  together
} from "./rule.ts"

/** What was handled, by stream: each in order and once. */
const inOrder = (deliveries: ReadonlyArray<Note>, streams: number, each: number) => {
  const seen = new Map<string, Array<string>>()
  for (const { event, streamId } of deliveries) seen.set(streamId, [...seen.get(streamId) ?? [], textOf(event)])
  equal(seen.size, streams)
  const expected = Array.from({ length: each }, (_, i) => String(i + 1))
  for (const texts of seen.values()) equal(texts, expected)
}

const immediately = Schedule.spaced(0)

export const persistentRules: Rules = (rule) => {
  rule("hands out what was stored before and what is stored later, and keeps that it is finished", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("1"), notes("1", "2"))
    const consumer = yield* consume(store, name, { from })
    yield* consumer.until(2)
    yield* store.append(freshStream(), notes("foreign"))
    yield* store.append(from.stream("2"), notes("3", "4"))
    yield* consumer.until(4)
    yield* finished(store, name)
    equal(consumer.begun, ["1", "2", "3", "4"])
    has(consumer.deliveries[3]!, { subscription: name, attempt: 1, key: from.stream("2").streamId, part: 0 })
    has(Option.getOrThrow(yield* inStore(store)(PersistentSubscription.info(name))), {
      checkpoint: consumer.deliveries[3]!.position,
      lag: 0
    })
  })

  rule("goes on where it stopped", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("1"), someNotes(3))
    const first = yield* consume(store, name, { from })
    yield* first.until(3)
    yield* finished(store, name)
    yield* first.stop
    yield* store.append(from.stream("1"), notes("4"))
    const second = yield* consume(store, name, { from })
    yield* second.until(1)
    yield* finished(store, name)
    equal(second.begun, ["4"])
  })

  rule("skips nothing that a newer program wants while an older one runs beside it", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const older = yield* consume(store, name, { from, types: ["Noted"] })
    yield* store.append(from.stream("1"), notes("1"))
    yield* older.until(1)
    yield* finished(store, name)
    // the newer one declares, and is gone: what it wants is found by the older one, too
    const newer = yield* consume(store, name, { from, types: ["Noted", "Counted"] })
    yield* until(
      "its declaration",
      () =>
        Effect.map(
          inStore(store)(PersistentSubscription.info(name)),
          (info) => Option.getOrThrow(info).filter.types?.length === 2
        )
    )
    yield* newer.stop
    yield* store.append(from.stream("1"), [new Counted({ count: 2 })])
    yield* store.append(from.stream("1"), notes("3"))
    yield* older.until(3)
    equal(older.begun, ["1", "2", "3"])
  })

  rule("leaves keys to programs that declare them", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const older = yield* consume(store, name, { from })
    yield* store.append(from.stream("1"), notes("1"))
    yield* older.until(1)
    yield* finished(store, name)
    const newer = yield* consume(store, name, { from, ordering: () => "same" })
    yield* until(
      "its declaration",
      () =>
        Effect.map(
          inStore(store)(PersistentSubscription.info(name)),
          (info) => Option.getOrThrow(info).ordering === "key"
        )
    )
    yield* store.append(from.stream("1"), notes("2"))
    yield* store.append(from.stream("2"), notes("3"))
    yield* finished(store, name)
    yield* until("all", () => older.begun.length + newer.begun.length === 3)
    for (const { event, key } of [...older.deliveries, ...newer.deliveries]) {
      equal(key, textOf(event) === "1" ? from.stream("1").streamId : "same")
    }
  })

  rule("refuses to consume inside a transaction, and a delivery's transaction inside another", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("1"), notes("1"))
    const run = PersistentSubscription.run(name, { from, handle: () => Effect.void })
    has(yield* fails(store.transaction(inStore(store)(run)), "InvalidInput"), { field: "transaction" })
    const errors: Array<unknown> = []
    const consumer = yield* consume(store, name, {
      from,
      handle: (delivery) =>
        Effect.tapError(
          store.transaction(delivery.transaction(Effect.void)),
          (error) => Effect.sync(() => errors.push(error))
        ),
      attempts: 1
    })
    yield* consumer.until(1)
    yield* finished(store, name, 1)
    has(errors[0] as object, { _tag: "InvalidInput", field: "transaction" })
  })

  rule("acknowledges by hand at once where nothing else is to do, whatever the checkpoint gathers", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("1"), someNotes(3))
    const acked = yield* PersistentSubscription.deliveries(name, { from, checkpoint: { every: 100 } }).pipe(
      Stream.take(3),
      Stream.mapEffect((delivery) => delivery.ack),
      Stream.runCount,
      inStore(store)
    )
    equal(acked, 3)
  })

  rule("begins where it is told to, and only where it is new", function*(store) {
    const from = freshCategory()
    yield* store.append(from.stream("1"), notes("1"))
    const { position } = yield* store.append(from.stream("1"), notes("2"))
    const { eventId } = yield* store.storage.identity(position)
    yield* store.append(from.stream("1"), notes("3"))
    const starts = [["start", ["1", "2", "3", "4"]], ["end", ["4"]], [position, ["3", "4"]], [{ position, eventId }, [
      "3",
      "4"
    ]]] as const
    const consumers = yield* Effect.forEach(starts, ([start]) =>
      Effect.gen(function*() {
        const name = freshSubscription()
        yield* inStore(store)(PersistentSubscription.create(name, { from, start }))
        return yield* consume(store, name, { from, start: "start" })
      }))
    yield* store.append(from.stream("1"), notes("4"))
    for (let i = 0; i < starts.length; i++) {
      yield* consumers[i]!.until(starts[i]![1].length)
      equal(consumers[i]!.begun, starts[i]![1])
    }
  })

  rule("does not start on a log that is another one than it read", function*(store) {
    const from = freshCategory()
    const { position } = yield* store.append(from.stream("1"), notes("1"))
    const eventId = "00000000-0000-7000-8000-000000000000"
    const run = PersistentSubscription.run(freshSubscription(), {
      from,
      start: { position, eventId },
      handle: () => Effect.void
    })
    has(yield* fails(inStore(store)(run), "LogRewound"), { position, eventId })
  })

  rule("shares the work between consumers, each event once, and keeps the order of each stream", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const deliveries: Array<Note> = []
    let now = 0
    let most = 0
    const handle = (delivery: Note) =>
      Effect.gen(function*() {
        most = Math.max(most, ++now)
        deliveries.push(delivery)
        yield* Effect.yieldNow
        now--
      })
    for (let i = 0; i < 3; i++) yield* consume(store, name, { from, concurrency: 4, buffer: 10, handle })
    yield* together(
      20,
      (i) => Effect.forEach(someNotes(20), (note) => store.append(from.stream(String(i)), [note]), { discard: true })
    )
    yield* until("400 deliveries", () => deliveries.length >= 400)
    yield* finished(store, name)
    equal(deliveries.length, 400)
    inOrder(deliveries, 20, 20)
    assert.isAbove(most, 1)
    assert.isAtMost(most, 12)
  })

  rule("handles so many at a time, and of one stream only one", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const open = yield* Latch.make()
    for (const stream of ["a", "b", "c"]) yield* store.append(from.stream(stream), notes(`${stream}1`, `${stream}2`))
    const consumer = yield* consume(store, name, { from, concurrency: 2, handle: () => open.await })
    yield* consumer.until(2)
    yield* until("claims ahead", () => Effect.map(counts(store, name), ([, inFlight]) => inFlight === 6))
    equal(consumer.begun, ["a1", "b1"])
    yield* open.open
    yield* finished(store, name)
    equal([...consumer.begun].sort(), ["a1", "a2", "b1", "b2", "c1", "c2"])
  })

  rule("handles events of one stream at a time where no order is asked for", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const open = yield* Latch.make()
    yield* store.append(from.stream("a"), someNotes(5))
    const consumer = yield* consume(store, name, { from, concurrency: 4, ordering: "none", handle: () => open.await })
    yield* consumer.until(4)
    equal(consumer.begun, ["1", "2", "3", "4"])
    equal(consumer.deliveries[0]!.key, null)
    yield* open.open
    yield* finished(store, name)
    equal(consumer.begun.length, 5)
  })

  rule("keeps the order by what a function answers", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const open = yield* Latch.make()
    yield* store.append(from.stream("a"), notes("x1", "y1"))
    yield* store.append(from.stream("b"), notes("x2", "y2"))
    const consumer = yield* consume(store, name, {
      from,
      concurrency: 4,
      ordering: ({ event }) => textOf(event)[0]!,
      handle: () => open.await
    })
    yield* consumer.until(2)
    equal(consumer.begun, ["x1", "y1"])
    yield* open.open
    yield* finished(store, name)
    equal([...consumer.begun].slice(2).sort(), ["x2", "y2"])
  })

  rule("ends where a function answers what cannot be a key", function*(store) {
    const from = freshCategory()
    yield* store.append(from.stream("a"), notes("1"))
    for (const bad of ["", "x".repeat(513), "\0", "\uD800"]) {
      const consumer = yield* consume(store, freshSubscription(), { from, ordering: () => bad })
      const error = Option.getOrThrow(Exit.findErrorOption(yield* consumer.end))
      has(error, { _tag: "InvalidInput", field: "ordering" })
      equal(consumer.begun, [])
    }
  })

  rule("hands out what a filter lets pass, of several categories or all", function*(store) {
    const [a, b] = [freshCategory(), freshCategory()]
    const seen: Array<string> = []
    const [tagged, all] = [freshSubscription(), freshSubscription()]
    yield* store.append(a.stream("1"), notes("a1"))
    yield* store.append(b.stream("1"), notes("b1"))
    const other = Category.rawStream(`${freshName()}-1`)
    yield* store.append(other, [raw("Else")])
    yield* Effect.forkScoped(
      inStore(store)(PersistentSubscription.run(tagged, {
        from: [a, b],
        types: ["Noted"],
        handle: ({ event }) => Effect.sync(() => void seen.push(textOf(event)))
      }))
    )
    yield* until("two deliveries", () => seen.length >= 2)
    equal(seen, ["a1", "b1"])
    const streams: Array<string> = []
    yield* Effect.forkScoped(
      inStore(store)(PersistentSubscription.run(all, {
        from: Category.raw,
        streamPrefix: other.streamId,
        handle: ({ event, streamId }) => Effect.sync(() => void streams.push(`${streamId} ${event.type}`))
      }))
    )
    yield* until("a raw delivery", () => streams.length >= 1)
    equal(streams, [`${other.streamId} Else`])
  })

  rule("finishes what is hidden by now without handling it", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const open = yield* Latch.make()
    yield* store.append(from.stream("a"), notes("a1"))
    yield* store.append(from.stream("b"), notes("b1", "b2"))
    const blocked = yield* consume(store, name, { from, handle: () => open.await })
    yield* blocked.until(1)
    yield* store.delete(from.stream("b"))
    yield* blocked.stop
    const consumer = yield* consume(store, name, { from })
    yield* consumer.until(1)
    yield* finished(store, name)
    equal(consumer.begun, ["a1"])
  })

  rule("handles the parts of a stored event in order, and finishes it with the last", function*(store) {
    const name = freshName()
    class One extends Schema.TaggedClass<One>()("One", { n: Schema.Int }) {}
    const Both = Event.oldest(Schema.Struct({ count: Schema.Int }))
    const from = Category.make(name, {
      id: Schema.String,
      events: [One, Both.retired("Many", ({ count }) => Array.from({ length: count }, (_, n) => new One({ n })))]
    })
    yield* store.append(Category.rawStream(`${name}-1`), [raw("Many", { count: 3 }), raw("Many", { count: 0 })])
    const [seen, subscription] = [[] as Array<number>, freshSubscription()]
    yield* Effect.forkScoped(
      inStore(store)(PersistentSubscription.run(subscription, {
        from,
        retry: immediately,
        handle: ({ attempt, event, part, transaction }) =>
          Effect.suspend(() => {
            seen.push(attempt * 100 + event.n * 10 + part)
            // the transaction of an earlier part does not finish the later ones
            return transaction(attempt === 1 && event.n === 1 ? Effect.fail("no") : Effect.void)
          })
      }))
    )
    yield* until("all parts", () => seen.length >= 5)
    yield* finished(store, subscription)
    equal(seen, [100, 111, 200, 211, 222])
  })

  rule("parks what does not decode, and goes on", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(Category.rawStream(from.stream("1").streamId), [raw("Noted", { no: 1 }), raw("Noted", {})])
    yield* store.append(from.stream("1"), notes("good"))
    const consumer = yield* consume(store, name, { from })
    yield* consumer.until(1)
    yield* finished(store, name, 2)
    equal(consumer.begun, ["good"])
  })

  rule("tries an event of an unknown type again, which a newer program may know, before it parks it", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(Category.rawStream(from.stream("1").streamId), [raw("Unheard", {})])
    yield* store.append(from.stream("1"), notes("good"))
    const consumer = yield* consume(store, name, { from, retry: immediately, attempts: 3 })
    yield* consumer.until(1)
    yield* finished(store, name, 1)
    const [parked] = yield* parkedOf(store, name)
    has(parked!, { attempts: 3, reason: "failed 3 times" })
    assert.include(parked!.error, "unknown type Unheard")
  })

  rule("looks ahead of what waits no further than its capacity", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const open = yield* Latch.make()
    yield* store.append(from.stream("1"), someNotes(100))
    const consumer = yield* consume(store, name, { from, capacity: 7, buffer: 2, handle: () => open.await })
    yield* consumer.until(1)
    yield* until(
      "a full queue",
      () => Effect.map(counts(store, name), ([waiting, inFlight]) => waiting + inFlight === 7)
    )
    yield* open.open
    yield* consumer.until(100)
    yield* finished(store, name)
    equal(consumer.begun, someNotes(100).map(({ text }) => text))
  })
}
