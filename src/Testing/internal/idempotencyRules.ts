import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import { EventStore } from "../../Store/EventStore.ts"
import {
  collect,
  Counted,
  equal,
  fails,
  freshCategory,
  freshStream,
  has,
  ids,
  noteAs,
  Noted,
  notes,
  notesAs,
  refused,
  type Rules,
  someNotes,
  texts,
  together
} from "./rule.ts"

export const idempotencyRules: Rules = (rule) => {
  rule("answers a repeated append as the first, and stores nothing", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notesAs(yield* ids(3)))
    const first = yield* append
    const head = yield* store.head()
    equal(yield* append, first)
    equal(yield* append, first)
    equal(yield* store.head(), head)
    equal(yield* texts(store, stream), ["1", "2", "3"])
  })

  rule("answers a repeated append as the first though the stream has moved on", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    const append = store.append(stream, notesAs(yield* ids(2)))
    const first = yield* append
    yield* store.append(stream, someNotes(5))
    equal(yield* append, first)
    equal(yield* store.head(stream), 9)
  })

  for (const expected of ["no-stream", 0, "any"] as const) {
    rule(`lets the repetition of an append that expected ${expected} win over the version check`, function*(store) {
      const stream = freshStream()
      const append = store.append(stream, notesAs(yield* ids(2)), { expected })
      const first = yield* append
      equal(yield* append, first)
      yield* store.append(stream, someNotes(1))
      equal(yield* append, first)
    })
  }

  rule("lets the repetition of an append that expected \"stream-exists\" win over the version check", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(1))
    const append = store.append(stream, notesAs(yield* ids(2)), { expected: "stream-exists" })
    const first = yield* append
    equal(yield* append, first)
  })

  rule("answers a repeated append as the first after its answer was lost to an interruption", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notesAs(yield* ids(2)), { expected: "no-stream" })
    yield* Effect.raceFirst(append, Effect.yieldNow)
    const { firstVersion, version } = yield* append
    equal([firstVersion, version], [1, 2])
    equal(yield* texts(store, stream), ["1", "2"])
  })

  rule("stores an append once that many fibres repeat at the same time", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notesAs(yield* ids(3)), { expected: "no-stream" })
    const answers = yield* together(64, () => append)
    for (const answer of answers) equal(answer, answers[0])
    equal(yield* texts(store, stream), ["1", "2", "3"])
  })

  rule("stores each of several appends once that many fibres repeat among each other", function*(store) {
    const category = freshCategory()
    const appends = yield* Effect.forEach(
      [0, 1, 2, 3],
      (i) => Effect.map(ids(2), (given) => store.append(category.stream(String(i % 2)), notesAs(given)))
    )
    const answers = yield* together(64, (i) => appends[i % 4]!)
    for (const [i, answer] of answers.entries()) equal(answer, answers[i % 4])
    equal(yield* store.head(category.stream("0")), 4)
    equal(yield* store.head(category.stream("1")), 4)
  })

  rule("takes a repeated append for the same though its metadata differ", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notesAs(yield* ids(1)))
    const first = yield* append
    equal(yield* append.pipe(EventMetadata.provide({ actor: "somebody else" })), first)
    const [recorded] = yield* collect(store.read(stream))
    assert.isUndefined(recorded!.metadata.actor)
  })

  rule("refuses known event ids with other data", function*(store) {
    const stream = freshStream()
    const [id] = yield* ids(1)
    yield* store.append(stream, [noteAs(id!, "first")])
    const error = yield* refused(store, stream, store.append(stream, [noteAs(id!, "other")]), "EventIdConflict")
    has(error, { eventId: id, streamId: stream.streamId })
    equal(yield* texts(store, stream), ["first"])
  })

  rule("refuses a known event id with another type", function*(store) {
    const stream = freshStream()
    const [id] = yield* ids(1)
    yield* store.append(stream, [noteAs(id!, "1")])
    const append = store.append(stream, [EventData.make(new Counted({ count: 1 }), { id: id! })])
    yield* refused(store, stream, append, "EventIdConflict")
  })

  rule("refuses a known event id with other tags", function*(store) {
    const stream = freshStream()
    const [id] = yield* ids(1)
    yield* store.append(stream, [EventData.make(new Noted({ text: "1" }), { id: id!, tags: ["a", "b"] })])
    const append = store.append(stream, [EventData.make(new Noted({ text: "1" }), { id: id!, tags: ["a"] })])
    yield* refused(store, stream, append, "EventIdConflict")
  })

  rule("refuses a known event id on another stream", function*(store) {
    const category = freshCategory()
    const given = notesAs(yield* ids(1))
    yield* store.append(category.stream("1"), given)
    const other = category.stream("2")
    const error = yield* refused(store, other, store.append(other, given), "EventIdConflict")
    equal(error.streamId, other.streamId)
  })

  rule("refuses known event ids in another order", function*(store) {
    const stream = freshStream()
    const given = notesAs(yield* ids(2))
    yield* store.append(stream, given)
    yield* refused(store, stream, store.append(stream, [...given].reverse()), "EventIdConflict")
  })

  rule("refuses an append of which a part is stored already and a part is new", function*(store) {
    const stream = freshStream()
    const [a, b, c] = notesAs(yield* ids(3))
    yield* store.append(stream, [a!, b!])
    yield* refused(store, stream, store.append(stream, [b!, c!]), "EventIdConflict")
    yield* refused(store, stream, store.append(stream, [c!, a!]), "EventIdConflict")
    yield* refused(store, stream, store.append(stream, [a!, b!, c!]), "EventIdConflict")
  })

  rule("names an event id that is stored, not one that is new, where they are mixed in an append", function*(store) {
    const [one, two] = [freshStream(), freshStream()]
    const [a, b, c] = notesAs(yield* ids(3))
    yield* store.append(one, [a!])
    const within = yield* refused(store, one, store.append(one, [b!, a!, c!]), "EventIdConflict")
    equal(within.eventId, a!.id)
    const beside = store.appendAll([EventStore.entry(two, [b!]), EventStore.entry(one, [c!, a!])])
    const across = yield* refused(store, one, beside, "EventIdConflict")
    equal(across.eventId, a!.id)
    const staged = store.transaction(store.append(one, [b!, a!, c!]))
    const inside = yield* refused(store, one, staged, "EventIdConflict")
    equal(inside.eventId, a!.id)
  })

  rule("refuses a known event id beside an event without an id of its own", function*(store) {
    const stream = freshStream()
    const given = notesAs(yield* ids(1))
    yield* store.append(stream, given)
    yield* refused(store, stream, store.append(stream, [...given, ...notes("new")]), "EventIdConflict")
    yield* refused(store, stream, store.append(stream, [...notes("new"), ...given]), "EventIdConflict")
  })

  rule("refuses a repeated append with a foreign event between its events", function*(store) {
    const stream = freshStream()
    const [a, b] = notesAs(yield* ids(2))
    yield* store.append(stream, [a!])
    yield* store.append(stream, notes("between"))
    yield* store.append(stream, [b!])
    yield* refused(store, stream, store.append(stream, [a!, b!]), "EventIdConflict")
  })

  rule("refuses a repeated append that expects another exact version than it had", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    const given = notesAs(yield* ids(2))
    yield* store.append(stream, given, { expected: 2 })
    for (const expected of [0, 1, 3, 4]) {
      yield* refused(store, stream, store.append(stream, given, { expected }), "EventIdConflict")
    }
  })

  rule("refuses the same event id twice in an append", function*(store) {
    const stream = freshStream()
    const [id] = yield* ids(1)
    const append = store.append(stream, [noteAs(id!, "1"), noteAs(id!, "1")])
    const error = yield* refused(store, stream, append, "InvalidInput")
    equal(error.field, "events[1].id")
  })

  rule("refuses the same event id in two entries of an append", function*(store) {
    const category = freshCategory()
    const given = notesAs(yield* ids(1))
    const append = store.appendAll([
      EventStore.entry(category.stream("1"), given),
      EventStore.entry(category.stream("2"), given)
    ])
    const error = yield* refused(store, category.stream("1"), append, "InvalidInput")
    equal(error.field, "entries[1].events[0].id")
  })

  rule("lets an id be used again whose append was refused", function*(store) {
    const stream = freshStream()
    const given = notesAs(yield* ids(2))
    yield* fails(store.append(stream, given, { expected: 1 }), "WrongExpectedVersion")
    const { version } = yield* store.append(stream, given, { expected: 0 })
    equal(version, 2)
  })

  rule("keeps the event ids that it was given", function*(store) {
    const stream = freshStream()
    const given = yield* ids(3)
    yield* store.append(stream, notesAs(given))
    equal((yield* collect(store.read(stream))).map((event) => event.eventId), [...given])
  })

  rule("answers a repeated append as the first after its stream was truncated", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notesAs(yield* ids(2)))
    const first = yield* append
    yield* store.truncateBefore(stream, 2)
    equal(yield* append, first)
    equal(yield* texts(store, stream), ["2"])
  })

  rule("does not bring back a deleted stream by a repeated append", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notesAs(yield* ids(2)), { expected: "no-stream" })
    const first = yield* append
    yield* store.delete(stream)
    equal(yield* append, first)
    equal(yield* texts(store, stream), [])
  })

  rule("answers a repeated append as the first though its stream was tombstoned since: it is stored", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notesAs(yield* ids(2)))
    const first = yield* append
    yield* store.tombstone(stream)
    equal(yield* append, first)
    yield* refused(store, stream, store.append(stream, notesAs(yield* ids(1))), "StreamTombstoned")
  })

  rule("stores equal events twice that have no ids of their own", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notes("same"))
    yield* append
    yield* append
    equal(yield* texts(store, stream), ["same", "same"])
  })
}
