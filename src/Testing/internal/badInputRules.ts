import { assert } from "@effect/vitest"
import { Effect, Option, Result, Schema } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import * as RawEvent from "../../Event/RawEvent.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import {
  collect,
  Counted,
  equal,
  fails,
  freshCategory,
  freshName,
  freshStream,
  Noted,
  notes,
  raw,
  refused,
  type Rules,
  texts
} from "./rule.ts"

const { entry } = EventStore

class Anything extends Schema.TaggedClass<Anything>()("Anything", {
  unknown: Schema.Unknown,
  any: Schema.Any
}) {}

const mebibyte = 1024 * 1024

/** A text that takes this many bytes as the data of a note, `{"text":""}` around it. */
const noteOf = (bytes: number, character = "x") =>
  new Noted({
    text: character.repeat(Math.floor((bytes - `{"text":""}`.length) / new TextEncoder().encode(character).length))
  })

const cyclic: { self?: unknown } = {}
cyclic.self = cyclic

export const badInputRules: Rules = (rule) => {
  // names

  const badNames: ReadonlyArray<[string, string]> = [
    ["that is empty", ""],
    ["without a hyphen", "cart"],
    ["without a category", "-42"],
    ["without an id", "cart-"],
    ["with a NUL", "cart-4\u00002"],
    ["with a line break", "cart-4\n2"],
    ["with a tab", "cart-4\t2"],
    ["with an escape character", "cart-\u001b[31m"],
    ["with a line separator", "cart-\u2028"],
    ["with a high surrogate alone", "cart-\ud83d"],
    ["with a low surrogate alone", "cart-\ude00"],
    ["with surrogates the wrong way round", "cart-\ude00\ud83d"],
    ["with an unassigned code point", "cart-\u0378"],
    ["with 513 characters", `cart-${"x".repeat(508)}`],
    ["with 10,000 characters", `cart-${"x".repeat(10_000)}`]
  ]
  for (const [what, name] of badNames) {
    rule(`refuses a stream name ${what}`, function*(store) {
      const stream = Category.rawStream(name)
      const head = yield* store.head()
      const refusals = [
        store.append(stream, [raw("T")]),
        store.append(stream, []),
        collect(store.read(stream)),
        store.head(stream),
        store.info(stream)
      ]
      for (const refusal of refusals) {
        equal((yield* fails(refusal as Effect.Effect<unknown, any>, "InvalidInput")).field, "stream")
      }
      const second = store.appendAll([entry(freshStream(), notes("x")), entry(stream, [raw("T")])])
      equal((yield* fails(second, "InvalidInput")).field, "entries[1].stream")
      equal(yield* store.head(), head)
    })
  }

  const hostileNames: ReadonlyArray<[string, string]> = [
    ["SQL", "'; DROP TABLE events; --"],
    ["quotes and dollars", `"$1" ''' $$ \` \${x}`],
    ["a path", "../../etc/passwd"],
    ["back slashes", "\\\\server\\c$\\n"],
    ["right-to-left text and marks", "\u202e\u05d0\u05d1\u200f"],
    ["an emoji family", "\u{1F468}\u200d\u{1F469}\u200d\u{1F467}"],
    ["hyphens", "--a--b-"],
    ["braces, commas and NULL", "{NULL,\"a\",b}"],
    ["per cent and underscore", "%_%25"],
    ["its full length", "\uffee".repeat(480)],
    ["__proto__", "__proto__"],
    ["a space", " "]
  ]
  for (const [what, id] of hostileNames) {
    rule(`takes a stream name with ${what} for what it is`, function*(store) {
      const category = freshCategory()
      const stream = category.stream(id)
      yield* store.append(stream, notes("kept"), { expected: "no-stream" })
      yield* store.append(category.stream("neighbour"), notes("other"))
      yield* store.setMetadata(stream, { a: 1 })
      equal(yield* texts(store, stream), ["kept"])
      equal(
        (yield* collect(store.readAll({ streamPrefix: stream.streamId }))).map(({ streamId }) => streamId as string),
        [
          `${category.name}-${id}`
        ]
      )
      equal((yield* collect(store.streams({ prefix: stream.streamId }))).map(({ streamId }) => streamId), [
        stream.streamId
      ])
      yield* store.delete(stream)
      equal(yield* texts(store, stream), [])
      equal(yield* texts(store, category.stream("neighbour")), ["other"])
    })
  }

  rule("refuses an id that its category cannot encode", function*(store) {
    const category = Category.make(freshName(), { id: Schema.NumberFromString, events: [Noted] })
    yield* store.append(category.stream(42), notes("a"))
    equal(yield* store.head(Category.rawStream(`${category.name}-42`)), 1)
    const stream = category.stream("x" as never)
    equal((yield* fails(store.append(stream, notes("a")), "InvalidInput")).field, "stream")
  })

  rule("refuses to declare a category whose name is not one, or an event type twice", function*() {
    for (const name of ["", "a-b", "a\0", "\ud800", "x".repeat(129)]) {
      assert.throws(() => Category.make(name, { id: Schema.String, events: [Noted] }))
    }
    assert.throws(() => Category.make("a", { id: Schema.String, events: [Noted, Noted] }))
  })

  // events

  rule("refuses an event of another category, and names it", function*(store) {
    const stream = Category.make(freshName(), { id: Schema.String, events: [Noted] }).stream("1")
    const append = store.append(stream, [new Noted({ text: "a" }), new Counted({ count: 1 }) as never])
    const error = yield* refused(store, stream, append, "InvalidInput")
    equal(error.field, "events[1]")
    assert.include(error.problem, "Counted")
  })

  rule("refuses what is not an event of the category's classes", function*(store) {
    const stream = freshStream()
    const wrong = [
      null,
      undefined,
      7,
      "Noted",
      {},
      [],
      { _tag: "Noted", text: "a" },
      { _tag: "toString" },
      { _tag: "__proto__" },
      { _tag: { toString: 1 } },
      { _tag: Object.create(null) },
      { _tag: Symbol("Noted") },
      Object.assign(new Noted({ text: "a" }), { text: 7 }),
      Object.assign(new Noted({ text: "a" }), { text: undefined }),
      raw("Noted", { text: "a" })
    ]
    for (const event of wrong) {
      const error = yield* refused(store, stream, store.append(stream, [event as never]), "InvalidInput")
      equal(error.field, "events[0]")
    }
  })

  const rawEvents: ReadonlyArray<[string, { type?: unknown; schemaVersion?: unknown; data?: unknown }]> = [
    ["an empty type", { type: "" }],
    ["a type of 257 characters", { type: "x".repeat(257) }],
    ["a NUL in its type", { type: "a\0" }],
    ["a lone surrogate in its type", { type: "\ud800" }],
    ["a line break in its type", { type: "a\nb" }],
    ["version 0", { schemaVersion: 0 }],
    ["version 1.5", { schemaVersion: 1.5 }],
    ["version 32768", { schemaVersion: 32768 }],
    ["a version that is a text", { schemaVersion: "1" }],
    ["undefined data", { data: undefined }],
    ["a Date in its data", { data: { at: new Date(0) } }],
    ["a big integer in its data", { data: [1n] }],
    ["NaN in its data", { data: { n: NaN } }],
    ["undefined in its data", { data: { n: undefined } }],
    ["cyclic data", { data: cyclic }],
    ["a NUL in its data", { data: { text: "\0" } }],
    ["a NUL in a key of its data", { data: { "\0": 1 } }],
    ["a lone surrogate in its data", { data: ["a\udfff"] }],
    ["a lone surrogate in a key of its data", { data: { "\ud800x": 1 } }]
  ]
  for (const [what, part] of rawEvents) {
    rule(`refuses a raw event with ${what}`, function*(store) {
      const stream = Category.rawStream(`${freshName()}-1`)
      const event = RawEvent.make({ type: "T", schemaVersion: 1, data: {}, ...part } as never)
      const error = yield* refused(store, stream, store.append(stream, [raw("T"), event]), "InvalidInput")
      equal(error.field, "events[1]")
    })
  }

  for (const [what, text] of [["NUL", "a\0b"], ["high surrogate", "a\ud83d"], ["low surrogate", "\ude00b"]] as const) {
    rule(`refuses a ${what} in a text of an event`, function*(store) {
      const stream = freshStream()
      const error = yield* refused(store, stream, store.append(stream, notes("fine", text)), "InvalidInput")
      equal(error.field, "events[1]")
    })

    rule(`refuses a ${what} in metadata, of the event or of the fibre`, function*(store) {
      const stream = freshStream()
      const own = EventData.make(new Noted({ text: "" }), { metadata: { actor: text } })
      equal((yield* refused(store, stream, store.append(stream, [own]), "InvalidInput")).field, "events[0].metadata")
      const key = EventData.make(new Noted({ text: "" }), { metadata: { fields: { [text]: 1 } } })
      equal((yield* refused(store, stream, store.append(stream, [key]), "InvalidInput")).field, "events[0].metadata")
      const inherited = store.append(stream, notes("a")).pipe(EventMetadata.provide({ correlationId: text }))
      equal((yield* refused(store, stream, inherited, "InvalidInput")).field, "events[0].metadata")
    })

    rule(`refuses a ${what} in a tag and in a stream's metadata`, function*(store) {
      const stream = freshStream()
      const tagged = EventData.make(new Noted({ text: "" }), { tags: ["fine", text] })
      equal((yield* refused(store, stream, store.append(stream, [tagged]), "InvalidInput")).field, "events[0].tags")
      for (const metadata of [text, { [text]: 1 }, [[text]]]) {
        equal((yield* refused(store, stream, store.setMetadata(stream, metadata), "InvalidInput")).field, "metadata")
      }
    })

    rule(`refuses a ${what} in the bounds of a list of streams`, function*(store) {
      for (const field of ["prefix", "after"] as const) {
        equal((yield* fails(collect(store.streams({ [field]: text })), "InvalidInput")).field, field)
      }
    })
  }

  const notJson: ReadonlyArray<[string, unknown]> = [
    ["a big integer", 1n],
    ["a Date", new Date(0)],
    ["a Map", new Map([[1, 2]])],
    ["a Set", new Set([1])],
    ["undefined", [undefined]],
    ["a key that is undefined", { a: undefined }],
    ["a function", { a: () => 1 }],
    ["a symbol", [Symbol("a")]],
    ["NaN", [NaN]],
    ["infinity", { a: Infinity }],
    ["a cycle", cyclic],
    ["a hole in an array", Object.assign(Array(3), { 0: 1, 2: 2 })],
    ["bytes", new Uint8Array([1])],
    ["an object with a toJSON of its own", { toJSON: () => 1, a: 2 }],
    [
      "an instance of a class",
      new (class Point {
        readonly x = 1
      })()
    ],
    ["an error", new Error("a")],
    ["a number object", [new Number(1)]]
  ]
  for (const [what, value] of notJson) {
    rule(`refuses ${what} where a schema takes anything`, function*(store) {
      const stream = Category.make(freshName(), { id: Schema.String, events: [Anything] }).stream("1")
      for (const field of ["unknown", "any"] as const) {
        const event = Object.assign(new Anything({ unknown: 1, any: 1 }), { [field]: value })
        const error = yield* refused(store, stream, store.append(stream, [event]), "InvalidInput")
        equal(error.field, "events[0]")
      }
    })
  }

  rule("stores JSON where a schema takes anything", function*(store) {
    const stream = Category.make(freshName(), { id: Schema.String, events: [Anything] }).stream("1")
    const event = new Anything({ unknown: [1, null], any: { a: ["b"] } })
    yield* store.append(stream, [event])
    const [recorded] = yield* collect(store.read(stream))
    equal(JSON.stringify(recorded!.event), JSON.stringify(event))
  })

  rule("refuses a date out of range", function*(store) {
    class Dated extends Schema.TaggedClass<Dated>()("Dated", { at: Schema.Date }) {}
    const stream = Category.make(freshName(), { id: Schema.String, events: [Dated] }).stream("1")
    const event = Object.assign(new Dated({ at: new Date(0) }), { at: new Date(8.64e15 + 1) })
    equal((yield* refused(store, stream, store.append(stream, [event]), "InvalidInput")).field, "events[0]")
  })

  for (const depth of [2_000, 6_000, 100_000]) {
    rule(`stores data nested ${depth} deep as they are, or refuses them`, function*(store) {
      const stream = Category.rawStream(`${freshName()}-1`)
      let data: any = "core"
      for (let i = 0; i < depth; i++) data = [data]
      const before = yield* store.head()
      const result = yield* Effect.result(store.append(stream, [raw("T", data)]))
      if (Result.isSuccess(result)) {
        const [recorded] = yield* collect(store.read(stream))
        equal(JSON.stringify(recorded!.event.data), JSON.stringify(data))
      } else {
        assert.include(["InvalidInput", "StoreError"], result.failure._tag)
        equal(yield* store.head(), before)
      }
    })
  }

  // ids and expectations

  rule("refuses an event id that is not a lower-case UUID", function*(store) {
    const stream = freshStream()
    for (
      const id of [
        "",
        "1",
        "0190F3C0-0000-7000-8000-000000000000",
        "{0190f3c0-0000-7000-8000-000000000000}",
        7,
        null,
        "'; --"
      ]
    ) {
      const event = EventData.make(new Noted({ text: "a" }), { id: id as never })
      const error = yield* refused(store, stream, store.append(stream, [...notes("fine"), event]), "InvalidInput")
      equal(error.field, "events[1].id")
    }
  })

  rule("refuses an expected version that is none", function*(store) {
    const stream = freshStream()
    for (const expected of [-1, 1.5, NaN, Infinity, 2 ** 53, "0", "latest", null, {}]) {
      const append = store.append(stream, notes("a"), { expected: expected as never })
      equal((yield* refused(store, stream, append, "InvalidInput")).field, "expected")
      const all = store.appendAll([entry(stream, notes("a"), { expected: expected as never })])
      equal((yield* refused(store, stream, all, "InvalidInput")).field, "entries[0].expected")
      const change = store.delete(stream, { expected: expected as never })
      equal((yield* refused(store, stream, change, "InvalidInput")).field, "expected")
    }
  })

  rule("refuses tags that are none", function*(store) {
    const stream = freshStream()
    for (const tag of ["", "a\nb", "x".repeat(257), 7, null, {}]) {
      const event = EventData.make(new Noted({ text: "a" }), { tags: ["fine", tag as never] })
      equal((yield* refused(store, stream, store.append(stream, [event]), "InvalidInput")).field, "events[0].tags")
    }
  })

  rule("refuses more tags than are allowed", function*(store) {
    const stream = freshStream()
    const event = EventData.make(new Noted({ text: "a" }), { tags: Array.from({ length: 65 }, (_, i) => `t${i}`) })
    equal((yield* refused(store, stream, store.append(stream, [event]), "InvalidInput")).field, "events[0].tags")
  })

  rule("refuses metadata that do not fit their schema", function*(store) {
    const stream = freshStream()
    for (
      const metadata of [{ actor: 7 }, { fields: { at: new Date(0) } }, { fields: { n: NaN } }, { correlationId: null }]
    ) {
      const event = EventData.make(new Noted({ text: "a" }), { metadata: metadata as never })
      equal((yield* refused(store, stream, store.append(stream, [event]), "InvalidInput")).field, "events[0].metadata")
    }
  })

  rule("refuses metadata of a stream that are not JSON", function*(store) {
    const stream = freshStream()
    for (const metadata of [undefined, NaN, 1n, new Date(0), { a: undefined }, cyclic, () => 1]) {
      const change = store.setMetadata(stream, metadata as never)
      equal((yield* refused(store, stream, change, "InvalidInput")).field, "metadata")
    }
  })

  // sizes

  rule("stores an event of exactly the allowed size, and refuses one of a byte more", function*(store) {
    const stream = freshStream()
    const error = yield* refused(store, stream, store.append(stream, [noteOf(mebibyte + 1)]), "InvalidInput")
    equal(error.field, "events[0]")
    assert.include(error.problem, String(mebibyte))
    yield* store.append(stream, [noteOf(mebibyte)])
    equal((yield* texts(store, stream))[0]!.length, mebibyte - `{"text":""}`.length)
  })

  rule("counts bytes and not characters", function*(store) {
    const stream = freshStream()
    yield* refused(store, stream, store.append(stream, [noteOf(mebibyte + 12, "\u20ac")]), "InvalidInput")
    yield* store.append(stream, [noteOf(mebibyte, "\u20ac")])
    equal((yield* texts(store, stream)).length, 1)
  })

  rule("refuses oversize metadata", function*(store) {
    const stream = freshStream()
    const event = EventData.make(new Noted({ text: "" }), { metadata: { actor: "x".repeat(mebibyte) } })
    equal((yield* refused(store, stream, store.append(stream, [event]), "InvalidInput")).field, "events[0].metadata")
    const change = store.setMetadata(stream, "x".repeat(mebibyte))
    equal((yield* refused(store, stream, change, "InvalidInput")).field, "metadata")
    const wide = store.setMetadata(stream, "\u20ac".repeat(mebibyte / 2))
    equal((yield* refused(store, stream, wide, "InvalidInput")).field, "metadata")
  })

  rule("refuses an append that is too large as a whole, though each event is allowed", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, Array.from({ length: 17 }, () => noteOf(mebibyte)))
    equal((yield* refused(store, stream, append, "InvalidInput")).field, "events[16]")
    const wide = store.append(stream, Array.from({ length: 60 }, () => noteOf(mebibyte / 3, "\u20ac")))
    yield* refused(store, stream, wide, "InvalidInput")
  })

  rule("refuses more events than an append may have, over all of its streams", function*(store) {
    const category = freshCategory()
    const [a, b] = [category.stream("a"), category.stream("b")]
    const one = new Noted({ text: "" })
    const many = Array.from({ length: 10_001 }, () => one)
    equal((yield* refused(store, a, store.append(a, many), "InvalidInput")).field, "events")
    yield* refused(
      store,
      a,
      store.appendAll([entry(a, many.slice(0, 5001)), entry(b, many.slice(0, 5000))]),
      "InvalidInput"
    )
  })

  rule("refuses more streams than an append may have", function*(store) {
    const category = freshCategory()
    const entries = Array.from({ length: 1001 }, (_, i) => entry(category.stream(String(i)), notes("a")))
    equal((yield* refused(store, category.stream("0"), store.appendAll(entries), "InvalidInput")).field, "entries")
  })

  rule("goes on as before after all that was refused", function*(store) {
    const stream = freshStream()
    yield* Effect.exit(store.append(stream, notes("\0")))
    yield* Effect.exit(store.append(Category.rawStream(""), []))
    const { version } = yield* store.append(stream, notes("a"))
    equal(version, 1)
    equal(Option.isNone((yield* store.info(stream)).metadata), true)
  })
}
