import { Effect, Result } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import {
  collect,
  equal,
  fails,
  freshCategory,
  freshStream,
  has,
  ids,
  noteAs,
  notes,
  notesAs,
  refused,
  type Rules,
  someNotes,
  texts,
  together
} from "./rule.ts"

const { entry } = EventStore

export const appendAllRules: Rules = (rule) => {
  rule("appends to several streams at positions that follow one another, in the order given", function*(store) {
    const category = freshCategory()
    const [b, a, c] = [category.stream("b"), category.stream("a"), category.stream("c")]
    const appended = yield* store.appendAll([entry(b, notes("b1", "b2")), entry(a, notes("a1")), entry(c, notes("c1"))])
    equal(appended.map(({ streamId }) => streamId), [b.streamId, a.streamId, c.streamId])
    const start = appended[0]!.firstPosition
    equal(
      appended.map(({ firstPosition, position }) => [firstPosition - start, position - start]),
      [[0, 1], [2, 2], [3, 3]]
    )
    const recorded = yield* collect(store.readCategory(category))
    equal(recorded.map(({ event }) => event), notes("b1", "b2", "a1", "c1"))
    equal(recorded.map(({ position }) => position - start), [0, 1, 2, 3])
  })

  rule("goes on with the versions of each stream", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("a"), someNotes(3))
    const [a, b] = yield* store.appendAll([
      entry(category.stream("a"), someNotes(2), { expected: 3 }),
      entry(category.stream("b"), someNotes(1), { expected: "no-stream" })
    ])
    equal([a!.firstVersion, a!.version, b!.firstVersion, b!.version], [4, 5, 1, 1])
  })

  rule("stores nothing where one of several expectations is wrong", function*(store) {
    const category = freshCategory()
    const append = store.appendAll([
      entry(category.stream("a"), someNotes(1), { expected: "no-stream" }),
      entry(category.stream("b"), someNotes(1), { expected: 1 })
    ])
    yield* refused(store, category.stream("a"), append, "WrongExpectedVersion")
    equal(yield* collect(store.readCategory(category)), [])
  })

  rule("names every violated expectation, not only the first", function*(store) {
    const category = freshCategory()
    const [a, b, c] = [category.stream("a"), category.stream("b"), category.stream("c")]
    yield* store.append(b, someNotes(2))
    const error = yield* fails(
      store.appendAll([
        entry(a, someNotes(1), { expected: "stream-exists" }),
        entry(b, someNotes(1), { expected: 2 }),
        entry(c, someNotes(1), { expected: 4 })
      ]),
      "WrongExpectedVersion"
    )
    const violations: ReadonlyArray<unknown> = error.violations
    equal(violations, [
      { streamId: a.streamId, expected: "stream-exists", actual: 0 },
      { streamId: c.streamId, expected: 4, actual: 0 }
    ])
    has(error, violations[0] as object)
  })

  rule("checks a stream that stands in an entry without events", function*(store) {
    const category = freshCategory()
    const [a, checked] = [category.stream("a"), category.stream("checked")]
    yield* store.append(checked, someNotes(2))
    const append = (expected: number) =>
      store.appendAll([entry(checked, [], { expected }), entry(a, someNotes(1), { expected: "any" })])
    yield* refused(store, a, append(1), "WrongExpectedVersion")
    const [answer, appended] = yield* append(2)
    equal([answer!.firstVersion, answer!.version], [2, 2])
    equal(appended!.version, 1)
    equal(yield* store.head(checked), 2)
  })

  rule("only checks where no entry has events", function*(store) {
    const category = freshCategory()
    const [a, b] = [category.stream("a"), category.stream("b")]
    yield* store.append(a, someNotes(1))
    const head = yield* store.head()
    const answers = yield* store.appendAll([
      entry(a, [], { expected: 1 }),
      entry(b, [], { expected: "no-stream" })
    ])
    equal(answers.map(({ version }) => version), [1, 0])
    equal(yield* store.head(), head)
  })

  rule("refuses a stream that stands in two entries", function*(store) {
    const stream = freshStream()
    const append = store.appendAll([entry(stream, someNotes(1)), entry(stream, someNotes(1))])
    equal((yield* refused(store, stream, append, "InvalidInput")).field, "entries[1].stream")
  })

  rule("refuses an append to no stream at all", function*(store) {
    equal((yield* fails(store.appendAll([]), "InvalidInput")).field, "entries")
  })

  rule("answers StreamTombstoned where one of several streams is", function*(store) {
    const category = freshCategory()
    const [a, dead] = [category.stream("a"), category.stream("dead")]
    yield* store.append(dead, someNotes(1))
    yield* store.tombstone(dead)
    const append = store.appendAll([entry(a, someNotes(1)), entry(dead, someNotes(1))])
    const error = yield* refused(store, a, append, "StreamTombstoned")
    equal(error.streamId, dead.streamId)
    yield* refused(store, a, store.appendAll([entry(a, someNotes(1)), entry(dead, [])]), "StreamTombstoned")
  })

  rule("stores nothing where an event of the last entry is not allowed", function*(store) {
    const category = freshCategory()
    const [a, b] = [category.stream("a"), category.stream("b")]
    const append = store.appendAll([entry(a, someNotes(1)), entry(b, notes("good", "\ud800"))])
    const error = yield* refused(store, a, append, "InvalidInput")
    equal(error.field, "entries[1].events[1]")
  })

  rule("appends to streams of several categories at once", function*(store) {
    const [orders, payments] = [freshCategory(), freshCategory()]
    const [a, b] = yield* store.appendAll([
      entry(orders.stream("1"), notes("order")),
      entry(payments.stream("1"), notes("payment"))
    ])
    equal(b!.position, a!.position + 1)
    equal((yield* collect(store.readCategory(payments))).length, 1)
  })

  rule("never deadlocks where appends name their streams in opposite orders", function*(store) {
    const category = freshCategory()
    const streams = [category.stream("a"), category.stream("b"), category.stream("c")]
    const appended = yield* together(
      64,
      (i) =>
        store.appendAll(
          (i % 2 === 0 ? streams : [...streams].reverse()).map((stream) => entry(stream, notes(String(i))))
        )
    )
    equal(appended.length, 64)
    const [a, b, c] = yield* Effect.forEach(streams, (stream) => texts(store, stream))
    equal(a!.length, 64)
    // whole appends, one after the other: all three streams tell the same story
    equal(a, b)
    equal(b, c)
  })

  rule("lets exactly one of many win that expect the same versions of overlapping streams", function*(store) {
    const category = freshCategory()
    const streams = ["a", "b", "c", "d"].map((id) => category.stream(id))
    const results = yield* together(40, (i) =>
      Effect.result(store.appendAll([
        entry(category.stream("shared"), notes(String(i)), { expected: 0 }),
        entry(streams[i % 4]!, notes(String(i)), { expected: 0 })
      ])))
    equal(results.filter(Result.isSuccess).length, 1)
    equal((yield* collect(store.readCategory(category))).length, 2)
  })

  rule("answers a repeated append to several streams as the first", function*(store) {
    const category = freshCategory()
    const given = yield* ids(3)
    const append = store.appendAll([
      entry(category.stream("a"), notesAs(given.slice(0, 2)), { expected: "no-stream" }),
      entry(category.stream("b"), notesAs(given.slice(2)), { expected: 0 })
    ])
    const first = yield* append
    yield* store.append(category.stream("a"), someNotes(3))
    const head = yield* store.head()
    equal(yield* append, first)
    equal(yield* store.head(), head)
  })

  rule("refuses a repeated append to several streams of which one part went elsewhere", function*(store) {
    const category = freshCategory()
    const [a, b] = yield* ids(2)
    yield* store.appendAll([
      entry(category.stream("a"), [noteAs(a!, "a")]),
      entry(category.stream("b"), [noteAs(b!, "b")])
    ])
    const swapped = store.appendAll([
      entry(category.stream("a"), [noteAs(b!, "b")]),
      entry(category.stream("b"), [noteAs(a!, "a")])
    ])
    yield* refused(store, category.stream("a"), swapped, "EventIdConflict")
    const elsewhere = store.appendAll([
      entry(category.stream("a"), [noteAs(a!, "a")]),
      entry(category.stream("c"), [noteAs(b!, "b")])
    ])
    yield* refused(store, category.stream("c"), elsewhere, "EventIdConflict")
  })

  rule("refuses an append to several streams of which one part is stored and the other new", function*(store) {
    const category = freshCategory()
    const [a, b] = yield* ids(2)
    yield* store.append(category.stream("a"), [noteAs(a!, "a")])
    const append = store.appendAll([
      entry(category.stream("a"), [noteAs(a!, "a")]),
      entry(category.stream("b"), [noteAs(b!, "b")])
    ])
    yield* refused(store, category.stream("b"), append, "EventIdConflict")
  })

  rule("appends to 500 streams at once", function*(store) {
    const category = freshCategory()
    const entries = Array.from({ length: 500 }, (_, i) => entry(category.stream(String(i)), notes(String(i))))
    const appended = yield* store.appendAll(entries)
    equal(appended[499]!.position - appended[0]!.position, 499)
    equal(yield* texts(store, category.stream("250")), ["250"])
  })
}
