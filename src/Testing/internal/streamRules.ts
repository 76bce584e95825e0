import { assert } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
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
  notes,
  raw,
  refused,
  type Rules,
  someNotes,
  type Store,
  texts
} from "./rule.ts"

const { entry } = EventStore

/** The ids of listed streams, without the category. */
const listed = (store: Store, name: string, options: Parameters<Store["streams"]>[0] = {}) =>
  Effect.map(
    collect(store.streams({ category: name, ...options })),
    (infos) => infos.map(({ streamId }) => streamId.slice(name.length + 1))
  )

const create = (store: Store, name: string, given: ReadonlyArray<string>) =>
  store.appendAll(given.map((id) => entry(Category.rawStream(`${name}-${id}`), [raw("T")])))

export const streamRules: Rules = (rule) => {
  rule("tells what a new, an active, a deleted and a tombstoned stream is", function*(store) {
    const stream = freshStream()
    const { streamId } = stream
    const none = Option.none()
    equal(yield* store.info(stream), { streamId, version: 0, truncatedBefore: 0, status: "new", metadata: none })
    yield* store.append(stream, someNotes(2))
    has(yield* store.info(stream), { version: 2, truncatedBefore: 0, status: "active" })
    yield* store.delete(stream)
    has(yield* store.info(stream), { version: 2, truncatedBefore: 3, status: "deleted" })
    yield* store.append(stream, someNotes(1))
    has(yield* store.info(stream), { version: 3, truncatedBefore: 3, status: "active" })
    yield* store.tombstone(stream)
    has(yield* store.info(stream), { version: 3, status: "tombstoned" })
  })

  rule("lists the streams of a category with their versions", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("b"), someNotes(2))
    yield* store.append(category.stream("a"), someNotes(1))
    const infos = yield* collect(store.streams({ category }))
    equal(infos.map(({ status, streamId, version }) => [streamId, version, status]), [
      [`${category.name}-a`, 1, "active"],
      [`${category.name}-b`, 2, "active"]
    ])
  })

  rule("lists a stream as info shows it", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(3))
    yield* store.truncateBefore(stream, 2)
    yield* store.setMetadata(stream, { a: [1] })
    equal(yield* collect(store.streams({ prefix: stream.streamId })), [yield* store.info(stream)])
  })

  rule("lists streams by code point, not by UTF-16 or language", function*(store) {
    const name = freshName()
    const sorted = [
      "!",
      "1",
      "10",
      "2",
      "A",
      "B",
      "a",
      "a b",
      "b",
      "z",
      "\u00e4",
      "\u0398",
      "\uac00",
      "\uff21",
      "\u{10000}",
      "\u{1F600}"
    ]
    yield* create(store, name, [...sorted].reverse())
    equal(yield* listed(store, name), sorted)
  })

  rule("goes on after a stream by code point as well", function*(store) {
    const name = freshName()
    yield* create(store, name, ["\u{1F600}", "\uff21", "z"])
    equal(yield* listed(store, name, { after: `${name}-\uff21` }), ["\u{1F600}"])
    equal(yield* listed(store, name, { after: `${name}-z` }), ["\uff21", "\u{1F600}"])
  })

  rule("lists by prefix, in which %, _ and \\ stand for themselves", function*(store) {
    const name = freshName()
    yield* create(store, name, ["a%1", "ax1", "a_1", "a\\1", "b"])
    equal(yield* listed(store, name, { prefix: `${name}-a%` }), ["a%1"])
    equal(yield* listed(store, name, { prefix: `${name}-a_` }), ["a_1"])
    equal(yield* listed(store, name, { prefix: `${name}-a\\` }), ["a\\1"])
    equal((yield* listed(store, name, { prefix: `${name}-a` })).length, 4)
  })

  rule("lists by a prefix that ends in an astral or in the last character there is", function*(store) {
    const name = freshName()
    const last = "\u{10FFFD}"
    yield* create(store, name, ["\u{1F600}", "\u{1F600}a", "\u{1F601}", `${"\u{1F600}"}\u{1F601}`])
    equal((yield* listed(store, name, { prefix: `${name}-\u{1F600}` })).length, 3)
    equal(yield* listed(store, name, { prefix: `${name}-${last}` }), [])
  })

  rule("takes a category only whole in a list", function*(store) {
    const name = freshName()
    yield* create(store, name, ["1"])
    yield* create(store, `${name}b`, ["2"])
    equal(yield* listed(store, name), ["1"])
    equal((yield* collect(store.streams({ prefix: name }))).length, 2)
  })

  rule("lists more streams than a page holds, each once", function*(store) {
    const name = freshName()
    const all = Array.from({ length: 1203 }, (_, i) => String(i).padStart(5, "0"))
    yield* create(store, name, all.slice(0, 700))
    yield* create(store, name, all.slice(700))
    equal(yield* listed(store, name), all)
    equal(yield* listed(store, name, { limit: 500 }), all.slice(0, 500))
    equal(yield* listed(store, name, { limit: 501 }), all.slice(0, 501))
    equal(yield* listed(store, name, { limit: 1000, after: `${name}-00099` }), all.slice(100, 1100))
  })

  rule("lists no more streams than its limit, none at 0", function*(store) {
    const name = freshName()
    yield* create(store, name, ["a", "b", "c"])
    equal(yield* listed(store, name, { limit: 2 }), ["a", "b"])
    equal(yield* listed(store, name, { limit: 0 }), [])
    equal(yield* listed(store, name, { limit: 2, after: `${name}-b` }), ["c"])
    equal(yield* listed(store, name, { after: `${name}-c` }), [])
  })

  rule("names streams without an event to read only where asked", function*(store) {
    const category = freshCategory()
    for (const id of ["active", "deleted", "truncated", "tombstoned"]) {
      yield* store.append(category.stream(id), someNotes(2))
    }
    yield* store.delete(category.stream("deleted"))
    yield* store.truncateBefore(category.stream("truncated"), 9)
    yield* store.tombstone(category.stream("tombstoned"))
    const all = yield* collect(store.streams({ category, deleted: true }))
    equal(all.map(({ status, streamId }) => `${streamId.slice(category.name.length + 1)} ${status}`), [
      "active active",
      "deleted deleted",
      "tombstoned tombstoned",
      "truncated deleted"
    ])
    const short = (yield* listed(store, category.name)).filter((id) => id !== "tombstoned")
    equal(short, ["active"])
  })

  rule("does not name a tombstoned stream in a plain list", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), someNotes(1))
    yield* store.tombstone(category.stream("1"))
    equal(yield* listed(store, category.name), [])
  })

  rule("does not name a stream that has only metadata", function*(store) {
    const category = freshCategory()
    yield* store.setMetadata(category.stream("1"), { a: 1 })
    equal(yield* listed(store, category.name, { deleted: true }), [])
    has(yield* store.info(category.stream("1")), { status: "new", version: 0, metadata: Option.some({ a: 1 }) })
  })

  rule("refuses a list by a prefix outside of its category", function*(store) {
    const error = yield* fails(collect(store.streams({ category: "a", prefix: "b-" })), "InvalidInput")
    equal(error.field, "prefix")
  })

  rule("stops listing where its reader does", function*(store) {
    const name = freshName()
    yield* create(store, name, ["a", "b", "c"])
    equal((yield* collect(Stream.take(store.streams({ category: name }), 1))).length, 1)
  })

  rule("keeps metadata of a stream, any JSON value", function*(store) {
    const stream = freshStream()
    for (const value of [{ a: { b: [1, "ü\u{1F600}", null, true] } }, [], "text", 0, false, { "": "", " ": 1.5e-7 }]) {
      yield* store.setMetadata(stream, value)
      equal((yield* store.info(stream)).metadata, Option.some(value))
    }
  })

  rule("removes the metadata of a stream by null", function*(store) {
    const stream = freshStream()
    yield* store.setMetadata(stream, { a: 1 })
    yield* store.setMetadata(stream, null)
    equal((yield* store.info(stream)).metadata, Option.none())
    yield* store.setMetadata(freshStream(), null)
  })

  rule("keeps metadata over truncation, deletion and tombstone", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    yield* store.setMetadata(stream, { a: 1 })
    yield* store.truncateBefore(stream, 2)
    yield* store.delete(stream)
    equal((yield* store.info(stream)).metadata, Option.some({ a: 1 }))
    yield* store.tombstone(stream)
    equal((yield* store.info(stream)).metadata, Option.some({ a: 1 }))
  })

  rule("hides the events below a version from every read of the stream", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(5))
    yield* store.truncateBefore(stream, 3)
    equal(yield* texts(store, stream), ["3", "4", "5"])
    equal(yield* texts(store, stream, { direction: "backward" }), ["5", "4", "3"])
    equal(yield* texts(store, stream, { from: 1, to: 3 }), ["3"])
    equal(yield* texts(store, stream, { limit: 1 }), ["3"])
    has(yield* store.info(stream), { version: 5, truncatedBefore: 3, status: "active" })
    equal(yield* store.head(stream), 5)
  })

  rule("hides nothing below version 0 and 1", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    yield* store.truncateBefore(stream, 0)
    yield* store.truncateBefore(stream, 1)
    equal(yield* texts(store, stream), ["1", "2"])
  })

  rule("keeps the last event where it is the one truncated before", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    yield* store.truncateBefore(stream, 2)
    equal(yield* texts(store, stream), ["2"])
    equal((yield* store.info(stream)).status, "active")
  })

  rule("hides all there are, and none to come, where it is truncated beyond its end", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    yield* store.truncateBefore(stream, 1000)
    has(yield* store.info(stream), { version: 2, truncatedBefore: 3, status: "deleted" })
    yield* store.append(stream, notes("new"))
    equal(yield* texts(store, stream), ["new"])
  })

  rule("never shows hidden events again by a lower truncation", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(5))
    yield* store.truncateBefore(stream, 4)
    yield* store.truncateBefore(stream, 2)
    equal(yield* texts(store, stream), ["4", "5"])
    equal((yield* store.info(stream)).truncatedBefore, 4)
  })

  rule("does not hide the first events of a stream that was truncated before it existed", function*(store) {
    const stream = freshStream()
    yield* store.truncateBefore(stream, 5)
    yield* store.append(stream, someNotes(2))
    equal(yield* texts(store, stream), ["1", "2"])
  })

  rule("hides all events of a deleted stream", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(3))
    yield* store.delete(stream)
    equal(yield* texts(store, stream), [])
    equal(yield* texts(store, stream, { direction: "backward" }), [])
    equal(yield* store.head(stream), 3)
  })

  rule("lets a deleted stream be recreated and go on counting", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("old", "old"))
    yield* store.delete(stream)
    const { firstVersion } = yield* store.append(stream, notes("new"), { expected: "no-stream" })
    equal(firstVersion, 3)
    equal(yield* texts(store, stream), ["new"])
    yield* store.delete(stream)
    yield* store.append(stream, notes("newer"), { expected: 3 })
    equal(yield* texts(store, stream), ["newer"])
  })

  rule("deletes a stream without events, and a deleted one, to no effect", function*(store) {
    const stream = freshStream()
    yield* store.delete(stream)
    equal((yield* store.info(stream)).status, "new")
    yield* store.append(stream, someNotes(1))
    yield* store.delete(stream)
    yield* store.delete(stream)
    has(yield* store.info(stream), { version: 1, truncatedBefore: 2, status: "deleted" })
  })

  const changes = {
    delete: (store: Store, stream: Category.StreamRef<never, unknown, never>, expected: number | "stream-exists") =>
      store.delete(stream, { expected }),
    tombstone: (store: Store, stream: Category.StreamRef<never, unknown, never>, expected: number | "stream-exists") =>
      store.tombstone(stream, { expected }),
    truncateBefore: (
      store: Store,
      stream: Category.StreamRef<never, unknown, never>,
      expected: number | "stream-exists"
    ) => store.truncateBefore(stream, 2, { expected }),
    setMetadata: (
      store: Store,
      stream: Category.StreamRef<never, unknown, never>,
      expected: number | "stream-exists"
    ) => store.setMetadata(stream, { a: 1 }, { expected })
  }
  for (const [operation, change] of Object.entries(changes)) {
    rule(`refuses ${operation} at another version than expected`, function*(store) {
      const stream = freshStream()
      yield* refused(store, stream, change(store, stream, "stream-exists"), "WrongExpectedVersion")
      yield* store.append(stream, someNotes(2))
      const error = yield* refused(store, stream, change(store, stream, 1), "WrongExpectedVersion")
      has(error, { streamId: stream.streamId, expected: 1, actual: 2 })
      yield* refused(store, stream, change(store, stream, 3), "WrongExpectedVersion")
      yield* change(store, stream, 2)
    })

    rule(`answers StreamTombstoned to ${operation} of a tombstoned stream`, function*(store) {
      const stream = freshStream()
      yield* store.append(stream, someNotes(2))
      yield* store.tombstone(stream)
      yield* refused(store, stream, change(store, stream, 2), "StreamTombstoned")
    })

    rule(`refuses ${operation} of a stream whose name is not one`, function*(store) {
      for (const name of ["nohyphen", "a-", "-a", "a-\0", ""]) {
        const error = yield* fails(change(store, Category.rawStream(name), 0), "InvalidInput")
        equal(error.field, "stream")
      }
    })
  }

  rule("refuses to truncate before what is not a version", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    for (const version of [-1, 1.5, NaN, Infinity, 2 ** 53, "2"]) {
      const error = yield* refused(store, stream, store.truncateBefore(stream, version as number), "InvalidInput")
      equal(error.field, "version")
    }
  })

  rule("answers StreamTombstoned to every read of a tombstoned stream", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    yield* store.tombstone(stream)
    for (const options of [{}, { direction: "backward" }, { from: 9 }, { from: 1, to: 1 }] as const) {
      equal((yield* fails(collect(store.read(stream, options)), "StreamTombstoned")).streamId, stream.streamId)
    }
    yield* fails(store.head(stream), "StreamTombstoned")
    equal((yield* store.info(stream)).status, "tombstoned")
  })

  rule("tombstones a stream that has no events yet", function*(store) {
    const stream = freshStream()
    yield* store.tombstone(stream)
    yield* fails(store.append(stream, someNotes(1)), "StreamTombstoned")
    yield* fails(store.append(stream, someNotes(1), { expected: "no-stream" }), "StreamTombstoned")
    has(yield* store.info(stream), { version: 0, status: "tombstoned" })
  })

  rule("tombstones a deleted stream", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(1))
    yield* store.delete(stream)
    yield* store.tombstone(stream)
    yield* fails(store.append(stream, someNotes(1)), "StreamTombstoned")
  })

  rule("leaves the neighbours of a deleted, truncated or tombstoned stream alone", function*(store) {
    const category = freshCategory()
    for (const id of ["1", "11", "2", "3", "4"]) yield* store.append(category.stream(id), someNotes(2))
    yield* store.delete(category.stream("1"))
    yield* store.truncateBefore(category.stream("2"), 2)
    yield* store.tombstone(category.stream("3"))
    for (const id of ["11", "4"]) {
      equal(yield* texts(store, category.stream(id)), ["1", "2"])
      equal((yield* store.info(category.stream(id))).status, "active")
    }
  })

  rule("lets the events of a stream be truncated while others read it", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2000))
    const seen: Array<number> = []
    yield* Stream.runForEach(store.read(stream), ({ streamVersion }) => {
      seen.push(streamVersion)
      return streamVersion === 10 ? store.truncateBefore(stream, 1500) : Effect.void
    })
    equal(seen, [...new Set(seen)].sort((a, b) => a - b))
    assert.isTrue(seen.at(-1) === 2000 && [10, 1500, 1501].every((version) => seen.includes(version)))
  })
}
