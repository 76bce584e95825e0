import { Effect, Fiber, Stream } from "effect"
import * as EventId from "../../Event/EventId.ts"
import * as Category from "../../Stream/Category.ts"
import {
  collect,
  equal,
  freshCategory,
  freshStream,
  has,
  notes,
  type NotesStream,
  raw,
  type Rules,
  someNotes,
  type Store,
  textOf
} from "./rule.ts"
import { catchUp, failsSoon, gather, logAfter, saw, signals } from "./subscribing.ts"

type After = NonNullable<Parameters<typeof catchUp<NotesStream>>[2]>["after"]

const textsOf = (store: Store, stream: NotesStream, count: number, after?: After) =>
  Effect.map(
    collect(Stream.take(catchUp(store, stream, { after }), count)),
    (recorded) => recorded.map(({ event }) => textOf(event))
  )

export const catchUpStreamRules: Rules = (rule) => {
  rule("follows one stream, from its first event on", function*(store) {
    const category = freshCategory()
    const stream = category.stream("1")
    yield* store.append(stream, notes("a", "b"))
    const seen = yield* gather(catchUp(store, stream))
    yield* seen.until(2)
    yield* store.append(category.stream("12"), notes("foreign"))
    yield* store.append(stream, notes("c"))
    yield* store.append(stream, notes("d"))
    yield* seen.until(4)
    saw(seen.all, yield* collect(store.read(stream)))
  })

  rule(
    "follows one stream from behind a version, a recorded event, or a version with more of its place",
    function*(store) {
      const stream = freshStream()
      yield* store.append(stream, notes("a", "b"))
      yield* store.append(freshStream(), someNotes(2))
      yield* store.append(stream, notes("c"))
      const [, second] = yield* collect(store.read(stream))
      const { eventId, position, streamVersion } = second!
      for (
        const after of [2, second!, { streamVersion }, { streamVersion, position }, {
          streamVersion,
          position,
          eventId
        }]
      ) {
        equal(yield* textsOf(store, stream, 1, after), ["c"])
      }
      for (const after of [undefined, 0, { streamVersion: 0 }]) {
        equal(yield* textsOf(store, stream, 3, after), ["a", "b", "c"])
      }
      const seen = yield* gather(catchUp(store, stream, { after: 3 }))
      yield* store.append(stream, notes("d"))
      yield* seen.until(1)
      equal(seen.all.map(({ streamVersion }) => streamVersion), [4])
    }
  )

  rule("follows one stream from its end on", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("before"))
    const seen = yield* gather(signals(store, stream, { after: "end" }))
    yield* seen.until(1)
    yield* store.append(stream, notes("after"))
    yield* seen.until(2)
    has(seen.all[1]!, { _tag: "Event" })
    equal(seen.all[1]!._tag === "Event" && seen.all[1]!.recorded.streamVersion, 2)
  })

  rule("follows one stream of several thousand events while more are appended to it", function*(store) {
    const stream = freshStream()
    for (let i = 0; i < 5; i++) yield* store.append(stream, someNotes(1000))
    const writing = yield* Effect.forkChild(
      Effect.forEach(
        Array.from({ length: 50 }),
        () => Effect.andThen(store.append(stream, someNotes(3)), Effect.yieldNow)
      )
    )
    const seen = yield* Effect.forEach([0, 1, 2499, 5000], (after) => gather(catchUp(store, stream, { after })))
    for (const [i, after] of [0, 1, 2499, 5000].entries()) {
      yield* seen[i]!.until(5150 - after)
      equal(
        seen[i]!.all.map(({ streamVersion }) => streamVersion - after),
        Array.from({ length: 5150 - after }, (_, n) => n + 1)
      )
    }
    yield* Fiber.join(writing)
  })

  rule("waits for the events of a stream or a category that does not exist yet", function*(store) {
    const category = freshCategory()
    const seen = [
      yield* gather(catchUp(store, category.stream("1"))),
      yield* gather(catchUp(store, category)),
      yield* gather(catchUp(store, [freshCategory(), category]))
    ]
    yield* store.append(freshStream(), notes("foreign"))
    yield* store.append(category.stream("1"), notes("a"))
    const stored = yield* collect(store.readCategory(category))
    for (const { all, until } of seen) {
      yield* until(1)
      saw(all, stored)
    }
  })

  rule("follows the log from before its first event, as long as it is empty", function*(store) {
    // an empty log is what the first rule of a suite meets: any other store shows the same at its end
    const start = yield* store.head()
    const seen = yield* gather(catchUp(store, Category.raw, { after: { position: start } }))
    yield* store.append(Category.rawStream(freshStream().streamId), [raw("First")])
    yield* seen.until(1)
    saw(seen.all, yield* logAfter(store, start))
  })

  // what is hidden

  rule("hands out nothing of deleted, tombstoned and truncated streams", function*(store) {
    const category = freshCategory()
    for (const id of ["deleted", "tombstoned", "truncated", "kept"]) {
      yield* store.append(category.stream(id), notes(`${id} 1`, `${id} 2`))
    }
    yield* store.delete(category.stream("deleted"))
    yield* store.tombstone(category.stream("tombstoned"))
    yield* store.truncateBefore(category.stream("truncated"), 2)
    const seen = yield* gather(catchUp(store, category))
    yield* seen.until(3)
    yield* store.append(category.stream("deleted"), notes("deleted 3"))
    yield* seen.until(4)
    equal(seen.all.map(({ event }) => textOf(event)), ["truncated 2", "kept 1", "kept 2", "deleted 3"])
    equal(yield* textsOf(store, category.stream("truncated"), 1), ["truncated 2"])
    equal(yield* textsOf(store, category.stream("truncated"), 1, 1), ["truncated 2"])
    equal(yield* textsOf(store, category.stream("deleted"), 1), ["deleted 3"])
    equal(yield* textsOf(store, category.stream("deleted"), 1, 1), ["deleted 3"])
  })

  rule("hands out nothing that was hidden before it began, though others saw it", function*(store) {
    const category = freshCategory()
    const start = yield* store.head()
    // as long as this one follows, the newest events are at hand
    const other = yield* gather(catchUp(store, category, { after: start }))
    for (const id of ["deleted", "tombstoned", "truncated"]) {
      yield* store.append(category.stream(id), notes(`${id} 1`, `${id} 2`))
    }
    yield* other.until(6)
    yield* store.delete(category.stream("deleted"))
    yield* store.tombstone(category.stream("tombstoned"))
    yield* store.truncateBefore(category.stream("truncated"), 2)
    const seen = yield* gather(catchUp(store, category, { after: start }))
    const deleted = yield* gather(catchUp(store, category.stream("deleted")))
    yield* store.append(category.stream("deleted"), notes("deleted 3"))
    yield* Effect.all([seen.until(2), deleted.until(1), other.until(7)])
    equal(seen.all.map(({ event }) => textOf(event)), ["truncated 2", "deleted 3"])
    equal(deleted.all.map(({ event }) => textOf(event)), ["deleted 3"])
  })

  rule("goes on with a stream that is deleted and recreated while it runs", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("a"))
    const seen = yield* gather(catchUp(store, stream))
    yield* seen.until(1)
    yield* store.delete(stream)
    yield* store.append(stream, notes("b"), { expected: "no-stream" })
    yield* seen.until(2)
    equal(seen.all.map(({ event, streamVersion }) => [textOf(event), streamVersion]), [["a", 1], ["b", 2]])
  })

  rule("passes over a long hidden part of the log", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("kept"), notes("a"))
    for (let i = 0; i < 5; i++) yield* store.append(category.stream("hidden"), someNotes(1000))
    yield* store.append(category.stream("kept"), notes("b"))
    yield* store.delete(category.stream("hidden"))
    const seen = yield* gather(catchUp(store, category))
    yield* seen.until(2)
    equal(seen.all.map(({ event }) => textOf(event)), ["a", "b"])
  })

  rule("refuses to follow a tombstoned stream", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("a"))
    yield* store.tombstone(stream)
    for (const after of [0, 1, "end"] as const) {
      equal((yield* failsSoon(catchUp(store, stream, { after }), "StreamTombstoned")).streamId, stream.streamId)
    }
  })

  // what is refused

  rule("refuses a place that is none, and names the field", function*(store) {
    const stream = freshStream()
    const numbers = [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 53, "1", "start", null, true, [], {}]
    for (const number of numbers) {
      for (const after of [number, { position: number }]) {
        equal((yield* failsSoon(catchUp(store, Category.raw, { after } as any), "InvalidInput")).field, "after")
      }
      for (const after of [number, { streamVersion: number }, { streamVersion: 0, position: number }]) {
        equal((yield* failsSoon(catchUp(store, stream, { after } as any), "InvalidInput")).field, "after")
      }
    }
    for (const eventId of ["", "42", 7, null]) {
      const after = { position: 0, streamVersion: 0, eventId } as any
      equal((yield* failsSoon(catchUp(store, Category.raw, { after }), "InvalidInput")).field, "after")
      equal((yield* failsSoon(catchUp(store, stream, { after }), "InvalidInput")).field, "after")
    }
  })

  rule("refuses the event of an open transaction as a place: it has no position yet", function*(store) {
    const stream = freshStream()
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(stream, notes("staged"))
      const [staged] = yield* collect(store.read(stream))
      equal((yield* failsSoon(catchUp(store, Category.raw, { after: staged! }), "InvalidInput")).field, "after")
    }))
  })

  rule("refuses a stream whose name is not allowed", function*(store) {
    for (const name of ["", "cart", "cart-", "-1", "cart-\u0000"]) {
      const error = yield* failsSoon(catchUp(store, Category.rawStream(name)), "InvalidInput")
      equal(error.field, "stream")
    }
  })

  rule("refuses to go on where the log or the stream has not come to yet: it is another one", function*(store) {
    const stream = freshStream()
    const { position: head } = yield* store.append(stream, someNotes(2))
    for (const after of [head + 1, { position: head + 1 }, head + 1_000_000]) {
      const position = typeof after === "number" ? after : after.position
      has(yield* failsSoon(catchUp(store, Category.raw, { after }), "LogRewound"), { position, head })
    }
    const behind = yield* failsSoon(catchUp(store, stream, { after: 3 }), "LogRewound")
    has(behind, { position: 3, head: 2, streamId: stream.streamId })
    const elsewhere = catchUp(store, stream, { after: { streamVersion: 2, position: head + 1 } })
    has(yield* failsSoon(elsewhere, "LogRewound"), { position: head + 1, head })
  })

  rule("refuses to go on behind an event that is not where it was: the log is another one", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    const [first, second] = yield* collect(store.read(stream))
    const eventId = yield* EventId.make
    const { position } = second!
    for (const other of [eventId, first!.eventId]) {
      const after = { position, eventId: other }
      has(yield* failsSoon(catchUp(store, Category.raw, { after }), "LogRewound"), { position, eventId: other })
      const failing = catchUp(store, stream, { after: { ...after, streamVersion: 2 } })
      has(yield* failsSoon(failing, "LogRewound"), { position, eventId: other })
    }
    // the id counts also where the event is hidden
    yield* store.delete(stream)
    yield* failsSoon(catchUp(store, Category.raw, { after: { position, eventId } }), "LogRewound")
    const seen = yield* gather(catchUp(store, Category.raw, { after: second! }))
    yield* store.append(stream, notes("on"))
    yield* seen.until(1)
  })
}
