import { DateTime, Duration, Effect, Option } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import {
  collect,
  equal,
  fails,
  freshCategory,
  freshName,
  freshStream,
  has,
  ids,
  notes,
  notesAs,
  raw,
  type Rules,
  someNotes,
  type Store,
  tagged,
  textOf
} from "./rule.ts"

const { entry } = EventStore
type Filter = NonNullable<Parameters<Store["readAll"]>[0]>

/** The data of what a filter finds, of events that hold a text. */
const found = (store: Store, filter: Filter) =>
  Effect.map(collect(store.readAll(filter)), (recorded) => recorded.map(({ event }) => event.data))

const rawNotes = (type: string, ...texts: ReadonlyArray<string>) => texts.map((text) => raw(type, text))

export const readLogRules: Rules = (rule) => {
  rule("reads the log in the order of positions, without holes", function*(store) {
    const category = freshCategory()
    const start = yield* store.head()
    for (let i = 0; i < 10; i++) yield* store.append(category.stream(String(i % 3)), someNotes(2))
    const recorded = yield* collect(store.readAll({ from: start + 1 }))
    equal(recorded.map(({ position }) => position), Array.from({ length: 20 }, (_, i) => start + i + 1))
  })

  rule("reads the log backward from its head", function*(store) {
    const { firstPosition, position } = yield* store.append(freshStream(), someNotes(3))
    const recorded = yield* collect(store.readAll({ direction: "backward", limit: 3 }))
    equal(recorded.map((event) => event.position), [position, position - 1, firstPosition])
  })

  rule("reads a part of the log, both ends included", function*(store) {
    const { firstPosition, position } = yield* store.append(freshStream(), someNotes(9))
    const read = (options: Filter) =>
      Effect.map(collect(store.readAll(options)), (all) => all.map((event) => event.position - firstPosition))
    equal(yield* read({ from: firstPosition + 2, to: firstPosition + 4 }), [2, 3, 4])
    equal(yield* read({ direction: "backward", from: firstPosition + 4, to: firstPosition + 2 }), [4, 3, 2])
    equal(yield* read({ from: position }), [8])
    equal(yield* read({ from: position + 1 }), [])
    equal(yield* read({ from: firstPosition, limit: 0 }), [])
    equal(yield* read({ from: firstPosition, to: position, limit: 4 }), [0, 1, 2, 3])
  })

  rule("finds the events of one type", function*(store) {
    const { stream, type } = fresh()
    yield* store.append(stream, [...rawNotes(type, "a"), ...rawNotes(freshName(), "b"), ...rawNotes(type, "c")])
    equal(yield* found(store, { types: [type] }), ["a", "c"])
    equal(yield* found(store, { types: [type], direction: "backward" }), ["c", "a"])
    equal(yield* found(store, { types: [type], limit: 1 }), ["a"])
    equal(yield* found(store, { types: [type], direction: "backward", limit: 1 }), ["c"])
  })

  rule("finds the events of several types in the order of positions", function*(store) {
    const { stream, type } = fresh()
    const other = freshName()
    yield* store.append(stream, [...rawNotes(type, "a"), ...rawNotes(other, "b"), ...rawNotes(type, "c")])
    equal(yield* found(store, { types: [other, type] }), ["a", "b", "c"])
  })

  rule("tells types by case", function*(store) {
    const { stream, type } = fresh()
    yield* store.append(stream, rawNotes(`${type}Abc`, "a"))
    equal(yield* found(store, { types: [`${type}ABC`, `${type}A%`, `${type}A__`] }), [])
  })

  rule("finds nothing for an empty list of types, categories, and everything for empty tags", function*(store) {
    const { name, stream, type } = fresh()
    yield* store.append(stream, rawNotes(type, "a"))
    equal(yield* found(store, { types: [] }), [])
    equal(yield* found(store, { categories: [] }), [])
    equal(yield* found(store, { types: [type], tags: [] }), ["a"])
    equal(yield* found(store, { streamPrefix: "", categories: [name] }), ["a"])
  })

  rule("finds the events of one category", function*(store) {
    const { name, stream, type } = fresh()
    yield* store.append(stream, rawNotes(type, "a"))
    yield* store.append(Category.rawStream(`${freshName()}-1`), rawNotes(type, "b"))
    equal(yield* found(store, { categories: [name] }), ["a"])
    equal(yield* found(store, { categories: [name], direction: "backward" }), ["a"])
  })

  rule("finds the events of several categories, given by name or itself, in the order of positions", function*(store) {
    const [a, b] = [freshCategory(), freshCategory()]
    yield* store.append(a.stream("1"), notes("1"))
    yield* store.append(b.stream("1"), notes("2"))
    yield* store.append(a.stream("2"), notes("3"))
    equal(yield* found(store, { categories: [b.name, a] }), [{ text: "1" }, { text: "2" }, { text: "3" }])
  })

  rule("takes a category only whole: not its beginning, not by another case", function*(store) {
    const name = freshName()
    for (const category of [name, `${name}b`, name.toUpperCase()]) {
      yield* store.append(Category.rawStream(`${category}-1`), rawNotes("T", category))
    }
    equal(yield* found(store, { categories: [name] }), [name])
    equal(yield* found(store, { categories: [`${name}b`] }), [`${name}b`])
    equal(yield* found(store, { categories: [`${name}%`, `${name}_`] }), [])
  })

  rule("ends the name of a category at the first hyphen", function*(store) {
    const name = freshName()
    yield* store.append(Category.rawStream(`${name}-a-b`), rawNotes("T", "x"))
    equal(yield* found(store, { categories: [name] }), ["x"])
    equal(yield* found(store, { categories: [`${name}-a`] }), [])
  })

  rule("finds nothing for a category that does not exist", function*(store) {
    equal(yield* found(store, { categories: [freshName()] }), [])
    equal(yield* collect(store.readCategory(freshCategory())), [])
  })

  rule("finds the events of streams by the beginning of their ids", function*(store) {
    const name = freshName()
    for (const id of ["a", "ab", "b", "a-1", "A"]) {
      yield* store.append(Category.rawStream(`${name}-${id}`), rawNotes("T", id))
    }
    equal(yield* found(store, { streamPrefix: `${name}-a` }), ["a", "ab", "a-1"])
    equal(yield* found(store, { streamPrefix: `${name}-ab` }), ["ab"])
    equal(yield* found(store, { streamPrefix: name }), ["a", "ab", "b", "a-1", "A"])
    equal(yield* found(store, { streamPrefix: `${name}-c` }), [])
  })

  rule("takes %, _ and \\ in a prefix for themselves", function*(store) {
    const name = freshName()
    const odd = ["a%b", "axb", "a_b", "a\\b", "a%", "%", "_", "\\"]
    for (const id of odd) yield* store.append(Category.rawStream(`${name}-${id}`), rawNotes("T", id))
    for (const prefix of ["a%", "a_", "a\\", "%", "_", "\\", "a%b"]) {
      equal(yield* found(store, { streamPrefix: `${name}-${prefix}` }), odd.filter((id) => id.startsWith(prefix)))
    }
  })

  rule("finds streams by prefixes of odd characters", function*(store) {
    const name = freshName()
    const odd = [
      "'; DROP TABLE events; --",
      "\u{1F600}\u{1F601}",
      "\uffee",
      "ß",
      "(a|b)*",
      "$1",
      "a\tb".replace("\t", " "),
      "\u00e9"
    ]
    for (const id of odd) yield* store.append(Category.rawStream(`${name}-${id}`), rawNotes("T", id))
    for (const id of odd) equal(yield* found(store, { streamPrefix: `${name}-${id}` }), [id])
    equal(yield* found(store, { streamPrefix: `${name}-\u{1F600}` }), ["\u{1F600}\u{1F601}"])
  })

  rule("finds the events that have all of the tags", function*(store) {
    const { name, stream } = fresh()
    const tag = (tag: string) => `${name}:${tag}`
    yield* store.append(stream, [
      tagged("T1", tag("a")),
      tagged("T2", tag("a"), tag("b")),
      tagged("T3", tag("b"), tag("c"), tag("a")),
      raw("T4")
    ])
    const types = (tags: ReadonlyArray<string>) =>
      Effect.map(collect(store.readAll({ tags })), (all) => all.map(({ type }) => type))
    equal(yield* types([tag("a")]), ["T1", "T2", "T3"])
    equal(yield* types([tag("a"), tag("b")]), ["T2", "T3"])
    equal(yield* types([tag("c"), tag("a")]), ["T3"])
    equal(yield* types([tag("a"), tag("d")]), [])
  })

  rule("finds the events of a range of time, from included, until excluded", function*(store) {
    const { name, stream } = fresh()
    yield* store.append(stream, rawNotes("T", "a"))
    const [{ recordedAt }] = (yield* collect(store.read(stream))) as any
    const later = (millis: number) => DateTime.addDuration(recordedAt, Duration.millis(millis))
    const read = (filter: Filter) => found(store, { categories: [name], ...filter })
    equal(yield* read({ recordedFrom: recordedAt }), ["a"])
    equal(yield* read({ recordedFrom: later(1) }), [])
    equal(yield* read({ recordedUntil: recordedAt }), [])
    equal(yield* read({ recordedUntil: later(1) }), ["a"])
    equal(yield* read({ recordedFrom: later(-5), recordedUntil: later(5) }), ["a"])
    equal(yield* read({ recordedFrom: later(5), recordedUntil: later(-5) }), [])
  })

  rule("joins the parts of a filter by and", function*(store) {
    const { name, stream, type } = fresh()
    const other = Category.rawStream(`${name}-2`)
    yield* store.append(stream, [tagged(type, name), raw(type)])
    yield* store.append(other, [tagged(type, name), tagged("T", name)])
    const filter = { types: [type], categories: [name], streamPrefix: other.streamId, tags: [name] }
    const recorded = yield* collect(store.readAll(filter))
    equal(recorded.map(({ streamId, streamVersion }) => [streamId, streamVersion]), [[other.streamId, 1]])
  })

  rule("counts in the limit of a filtered read only what passes the filter", function*(store) {
    const { name, stream, type } = fresh()
    for (let i = 0; i < 300; i++) {
      yield* store.append(stream, [...rawNotes("T", "no", "no", "no"), ...rawNotes(type, String(i))])
    }
    const wanted = Array.from({ length: 300 }, (_, i) => String(i))
    const filter = { categories: [name], types: [type] }
    equal(yield* found(store, filter), wanted)
    equal(yield* found(store, { ...filter, limit: 250 }), wanted.slice(0, 250))
    equal(yield* found(store, { ...filter, direction: "backward", limit: 250 }), [...wanted].reverse().slice(0, 250))
  })

  rule("takes the position bounds of a filtered read from the log", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("a"))
    const { position } = yield* store.append(category.stream("2"), notes("b"))
    yield* store.append(freshStream(), notes("x"))
    yield* store.append(category.stream("1"), notes("c"))
    const read = (options: object) =>
      Effect.map(collect(store.readCategory(category, options)), (all) => all.map(({ event }) => textOf(event)))
    equal(yield* read({ from: position }), ["b", "c"])
    equal(yield* read({ to: position }), ["a", "b"])
    equal(yield* read({ direction: "backward", from: position }), ["b", "a"])
    equal(yield* read({ direction: "backward", to: position + 1 }), ["c"])
  })

  rule("hides the events of deleted, tombstoned and truncated streams from reads of the log", function*(store) {
    const category = freshCategory()
    for (const id of ["deleted", "tombstoned", "truncated", "kept"]) {
      yield* store.append(category.stream(id), notes(`${id} 1`, `${id} 2`))
    }
    yield* store.delete(category.stream("deleted"))
    yield* store.tombstone(category.stream("tombstoned"))
    yield* store.truncateBefore(category.stream("truncated"), 2)
    const expected = ["truncated 2", "kept 1", "kept 2"]
    const typed = yield* collect(store.readCategory(category))
    equal(typed.map(({ event }) => textOf(event)), expected)
    equal(yield* found(store, { categories: [category] }), expected.map((text) => ({ text })))
    equal(
      yield* found(store, { categories: [category], direction: "backward", limit: 2 }),
      [{ text: "kept 2" }, { text: "kept 1" }]
    )
  })

  rule("reads on over a long hidden part of the log", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("hidden"), someNotes(3000))
    yield* store.append(category.stream("kept"), notes("kept"))
    yield* store.delete(category.stream("hidden"))
    equal(yield* found(store, { categories: [category] }), [{ text: "kept" }])
  })

  rule("reads several categories typed, in the order of positions", function*(store) {
    const [a, b] = [freshCategory(), freshCategory()]
    yield* store.appendAll([entry(b.stream("1"), notes("b")), entry(a.stream("1"), notes("a"))])
    yield* store.append(b.stream("1"), notes("b2"))
    const recorded = yield* collect(store.readCategory([a, b]))
    equal(recorded.map(({ event }) => textOf(event)), ["b", "a", "b2"])
  })

  rule("reads all streams where the category of all is asked for, and those of a known one typed", function*(store) {
    const [known, other] = [freshCategory(), freshStream()]
    const { firstPosition } = yield* store.append(known.stream("1"), notes("typed"))
    yield* store.append(other, notes("stored"))
    const eventsOf = (categories: Category.Any | ReadonlyArray<Category.Any>) =>
      Effect.map(
        collect(store.readCategory(categories, { from: firstPosition })),
        (all) => all.map(({ event }) => event)
      )
    const stored = (text: string) => raw("Noted", { text })
    equal(yield* eventsOf(Category.raw), [stored("typed"), stored("stored")])
    equal(yield* eventsOf([Category.raw, known]), [notes("typed")[0], stored("stored")])
  })

  rule("reads a category by types, tags and prefix as well", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("a1"), notes("a1"))
    yield* store.append(category.stream("b1"), notes("b1"))
    const read = (options: object) =>
      Effect.map(collect(store.readCategory(category, options)), (all) => all.map(({ event }) => textOf(event)))
    equal(yield* read({ streamPrefix: `${category.name}-b` }), ["b1"])
    equal(yield* read({ types: ["Counted"] }), [])
    equal(yield* read({ types: ["Noted"], limit: 1 }), ["a1"])
    equal(yield* read({ tags: ["none"] }), [])
  })

  rule("refuses filters with NUL or lone surrogates, and names the part", function*(store) {
    const bad: ReadonlyArray<[Filter, string]> = [
      [{ types: ["a\0"] }, "types"],
      [{ categories: ["\ud800"] }, "categories"],
      [{ streamPrefix: "\udfff" }, "streamPrefix"],
      [{ tags: ["a", "\0"] }, "tags"]
    ]
    for (const [filter, field] of bad) {
      equal((yield* fails(collect(store.readAll(filter)), "InvalidInput")).field, field)
    }
  })

  rule("finds one event by its id", function*(store) {
    const stream = freshStream()
    const given = yield* ids(2)
    yield* store.append(stream, notesAs(given))
    const event = Option.getOrThrow(yield* store.readEvent(given[1]!))
    has(event, { eventId: given[1], streamId: stream.streamId, streamVersion: 2, type: "Noted" })
    equal(event.event.data, { text: "2" })
  })

  rule("finds no event by an id that is not stored", function*(store) {
    const [id] = yield* ids(1)
    equal(yield* store.readEvent(id!), Option.none())
  })

  rule("refuses to look for an event by what is not an id", function*(store) {
    for (const id of ["", "42", "'; --", "ABCDEF00-0000-7000-8000-000000000000", 7, null]) {
      equal((yield* fails(store.readEvent(id as never), "InvalidInput")).field, "eventId")
    }
  })

  rule("hides the events of deleted, tombstoned and truncated streams from a look by id", function*(store) {
    const category = freshCategory()
    for (const change of ["delete", "tombstone", "truncateBefore"] as const) {
      const stream = category.stream(change)
      const [first, second] = yield* ids(2)
      yield* store.append(stream, notesAs([first!, second!]))
      yield* change === "truncateBefore" ? store.truncateBefore(stream, 2) : store[change](stream)
      equal(yield* store.readEvent(first!), Option.none())
      equal(Option.isSome(yield* store.readEvent(second!)), change === "truncateBefore")
    }
  })

  rule("answers the head of the log with the position of the newest event", function*(store) {
    const { position } = yield* store.append(freshStream(), someNotes(2))
    equal(yield* store.head(), position)
  })

  rule("keeps the head of the log where its newest events are hidden", function*(store) {
    const stream = freshStream()
    const { position } = yield* store.append(stream, someNotes(2))
    yield* store.delete(stream)
    equal(yield* store.head(), position)
    equal((yield* store.append(stream, someNotes(1))).position, position + 1)
  })

  rule("answers the head of a stream with its version", function*(store) {
    const stream = freshStream()
    equal(yield* store.head(stream), 0)
    yield* store.append(stream, someNotes(3))
    equal(yield* store.head(stream), 3)
  })
}

const fresh = () => {
  const name = freshName()
  return { name, stream: Category.rawStream(`${name}-1`), type: `T${name}` }
}
