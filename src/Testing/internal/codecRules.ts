import { assert, expect } from "@effect/vitest"
import { BigDecimal, Chunk, Context, DateTime, Duration, Effect, Equal, HashMap, Option, Schema, Stream } from "effect"
import * as Event from "../../Event/Event.ts"
import * as RawEvent from "../../Event/RawEvent.ts"
import * as Category from "../../Stream/Category.ts"
import { collect, equal, fails, freshName, has, Noted, raw, type Rules, show, type Store } from "./rule.ts"

class Money extends Schema.Class<Money>("Money")({ amount: Schema.BigDecimal, currency: Schema.String }) {}
class Empty extends Schema.TaggedClass<Empty>()("Empty", {}) {}

/** A kind of field, and values of it that have to come back as they went in. */
const kinds: ReadonlyArray<[string, Schema.Codec<any, any>, ReadonlyArray<unknown>]> = [
  ["texts", Schema.String, [
    "",
    " ",
    "a\"b\\c/d\n\t\r\b\f",
    "\u0001\u001f\u007f\u2028\u2029\ufeff\ufffd",
    "Ünïcödé \u05d0\u202e"
  ]],
  ["texts beyond the basic plane", Schema.String, [
    "\u{1F600}",
    "\u{10FFFF}\u{10000}",
    "e\u0301\u{1F468}\u200d\u{1F469}"
  ]],
  ["texts that look like escapes", Schema.String, ["\\u0000", "\\\\u0000", "\\ud800", "%00", "&#0;", "\\", "\\\\"]],
  ["booleans", Schema.Boolean, [true, false]],
  ["whole numbers", Schema.Int, [0, 1, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]],
  ["numbers", Schema.Number, [0.1 + 0.2, 1e21, 1e-7, Number.MAX_VALUE, Number.MIN_VALUE, Number.EPSILON, -1.5]],
  ["numbers beyond 2^53", Schema.Number, [2 ** 53, 2 ** 53 + 2, -(2 ** 60), 123456789012345680000]],
  ["numbers that are none", Schema.Number, [NaN, Infinity, -Infinity]],
  ["big integers", Schema.BigInt, [0n, -1n, 2n ** 53n + 1n, 10n ** 100n]],
  ["decimals", Schema.BigDecimal, [
    BigDecimal.fromStringUnsafe("0.1"),
    BigDecimal.fromStringUnsafe("-12345678901234567890.123")
  ]],
  ["dates", Schema.Date, [new Date(0), new Date("2024-02-29T23:59:59.999Z"), new Date(-1), new Date(8.64e15)]],
  ["times", Schema.DateTimeUtc, [DateTime.makeUnsafe(0), DateTime.makeUnsafe("2024-02-29T23:59:59.999Z")]],
  ["times in zones", Schema.DateTimeZoned, [DateTime.makeZonedUnsafe(0, { timeZone: "Europe/Berlin" })]],
  ["durations", Schema.Duration, [
    Duration.zero,
    Duration.millis(1.5),
    Duration.days(3),
    Duration.infinity,
    Duration.nanos(7n)
  ]],
  ["bytes", Schema.Uint8Array, [new Uint8Array(), new Uint8Array([0, 255, 128])]],
  ["options", Schema.Option(Schema.String), [Option.none(), Option.some(""), Option.some("a")]],
  ["options of options", Schema.Option(Schema.Option(Schema.Int)), [
    Option.some(Option.none()),
    Option.some(Option.some(1))
  ]],
  ["null", Schema.NullOr(Schema.String), [null, "null"]],
  ["literals", Schema.Literals(["a", 1, true]), ["a", 1, true]],
  ["unions", Schema.Union([Schema.Int, Schema.String, Schema.Struct({ at: Schema.Date })]), [1, "1", {
    at: new Date(1)
  }]],
  ["classes", Money, [new Money({ amount: BigDecimal.fromStringUnsafe("9.99"), currency: "EUR" })]],
  ["arrays", Schema.Array(Schema.Date), [[], [new Date(1), new Date(2)]]],
  ["arrays of arrays", Schema.Array(Schema.Array(Schema.BigInt)), [[[], [1n]], []]],
  ["tuples", Schema.Tuple([Schema.String, Schema.BigInt]), [["a", 1n]]],
  ["records", Schema.Record(Schema.String, Schema.BigInt), [{}, { "": 1n, "a b": 2n, "constructor": 3n, "1": 4n }]],
  ["maps", Schema.ReadonlyMap(Schema.Date, Schema.BigInt), [new Map(), new Map([[new Date(1), 2n]])]],
  ["sets", Schema.ReadonlySet(Schema.BigInt), [new Set(), new Set([1n, 2n])]],
  ["chunks", Schema.Chunk(Schema.Int), [Chunk.empty(), Chunk.make(1, 2)]],
  ["hash maps", Schema.HashMap(Schema.String, Schema.Int), [HashMap.make(["a", 1])]],
  ["URLs", Schema.URL, [new URL("https://example.org/a?b=c#d")]],
  ["JSON", Schema.Json, [null, 1, "a", [], {}, { a: [{ b: null }, 1e-7, "\u{1F600}"] }]],
  ["anything that is JSON", Schema.Unknown, [null, 1, "a", [1, [2]], { a: { b: [null] } }]],
  ["structs with optional keys", Schema.Struct({ a: Schema.optionalKey(Schema.Int), b: Schema.Int }), [{ b: 1 }, {
    a: 1,
    b: 2
  }]],
  ["structs that may be undefined", Schema.Struct({ a: Schema.optional(Schema.Int) }), [{}, { a: 1 }]]
]

export const codecRules: Rules = (rule) => {
  for (const [kind, schema, values] of kinds) {
    rule(`reads ${kind} as they were appended`, function*(store) {
      const Held = held(schema)
      const stream = Category.make(freshName(), { id: Schema.String, events: [Held] }).stream("1")
      const events = values.map((value) => new Held({ value }))
      yield* store.append(stream, events)
      const recorded = yield* collect(store.read(stream))
      for (const [i, { event }] of recorded.entries()) {
        assert.isTrue(Equal.equals(event, events[i]), `${show(event.value)} is not ${show(values[i])}`)
        assert.strictEqual(event.value?.constructor, (values[i] as any)?.constructor)
      }
      equal(recorded.length, events.length)
    })
  }

  rule("hands out what comes before an event that does not decode", function*(store) {
    const name = freshName()
    const category = Category.make(name, { id: Schema.String, events: [Noted] })
    yield* store.append(category.stream("1"), [new Noted({ text: "a" }), new Noted({ text: "b" })])
    yield* store.append(Category.rawStream(`${name}-1`), [raw("Unheard")])
    yield* store.append(category.stream("1"), [new Noted({ text: "c" })])
    const seen: Array<string> = []
    const reading = Stream.runForEach(
      store.read(category.stream("1")),
      ({ event }) => Effect.sync(() => seen.push(event.text))
    )
    has(yield* fails(reading, "UnknownEventType"), { streamVersion: 3 })
    equal(seen, ["a", "b"])
  })

  rule("reads an event without fields", function*(store) {
    const stream = Category.make(freshName(), { id: Schema.String, events: [Empty] }).stream("1")
    yield* store.append(stream, [new Empty()])
    const [recorded] = yield* collect(store.read(stream))
    expect(recorded!.event).toStrictEqual(new Empty())
    has(recorded!, { type: "Empty", schemaVersion: 1 })
  })

  rule("reads a key __proto__ as it was appended", function*(store) {
    const value = JSON.parse(`{ "__proto__": { "admin": true }, "a": 1 }`)
    for (const schema of [Schema.Json, Schema.Unknown, Schema.Record(Schema.String, Schema.Unknown)]) {
      const Held = held(schema as Schema.Codec<any, any>)
      const stream = Category.make(freshName(), { id: Schema.String, events: [Held] }).stream("1")
      yield* store.append(stream, [new Held({ value })])
      const [{ event }] = (yield* collect(store.read(stream))) as any
      equal(JSON.stringify(event.value), JSON.stringify(value))
      equal(event.value.admin, undefined)
      equal(({} as any).admin, undefined)
    }
  })

  rule("keeps the order of keys", function*(store) {
    const Held = held(Schema.Json)
    const stream = Category.make(freshName(), { id: Schema.String, events: [Held] }).stream("1")
    yield* store.append(stream, [new Held({ value: { b: 1, a: { d: 1, c: 2 }, "": 3 } })])
    const [recorded] = yield* collect(store.read(Category.rawStream(stream.streamId)))
    equal(JSON.stringify(recorded!.event.data), `{"value":{"b":1,"a":{"d":1,"c":2},"":3}}`)
  })

  rule("reads deeply nested data as they were appended", function*(store) {
    const Held = held(Schema.Json)
    const stream = Category.make(freshName(), { id: Schema.String, events: [Held] }).stream("1")
    let value: Schema.Json = "core"
    for (let i = 0; i < 500; i++) value = i % 2 === 0 ? [value] : { value }
    yield* store.append(stream, [new Held({ value })])
    const [recorded] = yield* collect(store.read(stream))
    equal(JSON.stringify(recorded!.event.value), JSON.stringify(value))
  })

  rule("leaves the appended event as it was, frozen or not, for another append", function*(store) {
    const stream = Category.make(freshName(), { id: Schema.String, events: [Noted] }).stream("1")
    const event = Object.freeze(new Noted({ text: "a" }))
    yield* store.append(stream, [event, event])
    yield* store.append(stream, [event])
    equal({ ...event }, { _tag: "Noted", text: "a" })
    equal((yield* collect(store.read(stream))).length, 3)
  })

  rule("stores an event of the raw kind as it is", function*(store) {
    const stream = Category.rawStream(`${freshName()}-1`)
    const event = RawEvent.make({ type: "Ünknown type", schemaVersion: 32767, data: [1, "a", { b: null }] })
    yield* store.append(stream, [event, raw("T", null), raw("T", "text"), raw("T", 0)])
    const recorded = yield* collect(store.read(stream))
    equal(recorded.map(({ event }) => event), [event, raw("T", null), raw("T", "text"), raw("T", 0)])
  })

  rule("reads the events that several types of one category hold, each as its own", function*(store) {
    const Held = held(Schema.Int)
    const stream = Category.make(freshName(), { id: Schema.String, events: [Held, Noted, Empty] }).stream("1")
    const events = [new Noted({ text: "a" }), new Held({ value: 1 }), new Empty()]
    yield* store.append(stream, events)
    expect((yield* collect(store.read(stream))).map(({ event }) => event)).toStrictEqual(events)
  })
}

interface Held {
  readonly _tag: "Held"
  readonly value: any
}

const held = (schema: Schema.Codec<any, any>): Event.EventClass<Held, never> =>
  class extends Schema.TaggedClass<Held>()("Held", { value: schema }) {}

class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
class Placed extends Schema.TaggedClass<Placed>()("Placed", { order: Schema.String }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", { order: Schema.String }) {}

class Prices extends Context.Service<Prices, { readonly of: (sku: string) => Effect.Effect<number, string> }>()(
  "effect-eventstore/Testing/Prices"
) {}

const versions = Event
  .oldest(Schema.Struct({ sku: Schema.String }))
  .next(Schema.Struct({ sku: Schema.String, qty: Schema.NumberFromString }), (v1) => ({ ...v1, qty: 1 }))
  .current(Added, (v2) => ({ sku: v2.sku, quantity: Math.trunc(v2.qty) }))

/** Stores events as an older program would have, and reads them with a category of today. */
const reading = <M extends Event.Member, P extends Category.Undecodable = "fail">(
  store: Store,
  members: ReadonlyArray<M>,
  stored: ReadonlyArray<RawEvent.RawEvent>,
  undecodable?: P
) =>
  Effect.gen(function*() {
    const category = Category.make(freshName(), { id: Schema.String, events: members, undecodable })
    yield* store.append(Category.rawStream(category.stream("1").streamId), stored)
    return yield* collect(store.read(category.stream("1")))
  })

const old = (type: string, schemaVersion: number, data: Schema.Json) => RawEvent.make({ type, schemaVersion, data })

export const upcastRules: Rules = (rule) => {
  rule("stores an event of a chain under the chain's length as its version", function*(store) {
    const stream = Category.make(freshName(), { id: Schema.String, events: [versions] }).stream("1")
    yield* store.append(stream, [new Added({ sku: "a", quantity: 2 })])
    const [recorded] = yield* collect(store.read(Category.rawStream(stream.streamId)))
    equal(recorded!.event, old("Added", 3, { sku: "a", quantity: 2 }))
  })

  rule("reads every older version of an event as one of today", function*(store) {
    const recorded = yield* reading(store, [versions], [
      old("Added", 1, { sku: "a" }),
      old("Added", 2, { sku: "b", qty: "2.5" }),
      old("Added", 3, { sku: "c", quantity: 3 })
    ])
    expect(recorded.map(({ event }) => event)).toStrictEqual([
      new Added({ sku: "a", quantity: 1 }),
      new Added({ sku: "b", quantity: 2 }),
      new Added({ sku: "c", quantity: 3 })
    ])
    equal(recorded.map(({ schemaVersion }) => schemaVersion), [1, 2, 3])
  })

  rule("reads one stored event as several, at one place, in parts", function*(store) {
    const split = Event.oldest(Schema.Struct({ order: Schema.String }))
      .retired("PlacedAndPaid", (v1) => [new Placed(v1), new Paid(v1)])
    const recorded = yield* reading(store, [Placed, Paid, split], [
      old("PlacedAndPaid", 1, { order: "7" }),
      old("Placed", 1, { order: "8" })
    ])
    equal(
      recorded.map(({ event, part, streamVersion, type }) => [event._tag, event.order, part, streamVersion, type]),
      [
        ["Placed", "7", 0, 1, "PlacedAndPaid"],
        ["Paid", "7", 1, 1, "PlacedAndPaid"],
        ["Placed", "8", 0, 2, "Placed"]
      ]
    )
  })

  rule("reads an older event as several of a type that is still written", function*(store) {
    const split = Event.oldest(Schema.Struct({ orders: Schema.Array(Schema.String) }))
      .currentSplit(Placed, (v1) => v1.orders.map((order) => new Placed({ order })))
    const recorded = yield* reading(store, [split], [
      old("Placed", 1, { orders: ["a", "b"] }),
      old("Placed", 2, { order: "c" })
    ])
    equal(recorded.map(({ event, part }) => [event.order, part]), [["a", 0], ["b", 1], ["c", 0]])
  })

  rule("counts stored events in a limit, not what they read as", function*(store) {
    const split = Event.oldest(Schema.Struct({ orders: Schema.Array(Schema.String) }))
      .currentSplit(Placed, (v1) => v1.orders.map((order) => new Placed({ order })))
    const category = Category.make(freshName(), { id: Schema.String, events: [split] })
    const stored = [
      old("Placed", 1, { orders: [] }),
      old("Placed", 1, { orders: ["a", "b"] }),
      old("Placed", 2, { order: "c" })
    ]
    yield* store.append(Category.rawStream(category.stream("1").streamId), stored)
    const recorded = yield* collect(store.read(category.stream("1"), { limit: 2 }))
    equal(recorded.map(({ event }) => event.order), ["a", "b"])
  })

  rule("passes over the stored events of a type that was dropped", function*(store) {
    const recorded = yield* reading(store, [Placed, Event.dropped("Debugged")], [
      old("Debugged", 1, { any: "thing" }),
      old("Placed", 1, { order: "a" }),
      old("Debugged", 1, null)
    ])
    equal(recorded.map(({ event, streamVersion }) => [event.order, streamVersion]), [["a", 2]])
  })

  rule("refuses to append an event of a type that is not written any more", function*(store) {
    const category = Category.make(freshName(), { id: Schema.String, events: [Placed, Event.dropped("Debugged")] })
    const append = store.append(category.stream("1"), [{ _tag: "Debugged" } as never])
    equal((yield* fails(append, "InvalidInput")).field, "events[0]")
  })

  rule("lets an upcaster read what is stored besides the data", function*(store) {
    const aware = Event.oldest(Schema.Struct({})).current(Placed, (_, stored) => ({
      order: [stored.type, stored.schemaVersion, stored.streamVersion, stored.metadata.actor, stored.tags.length].join(
        " "
      )
    }))
    const recorded = yield* reading(store, [aware], [raw("Placed"), raw("Placed")])
    equal(recorded.map(({ event }) => event.order), ["Placed 1 1  0", "Placed 1 2  0"])
  })

  rule("lets an upcaster use a service", function*(store) {
    const priced = Event.oldest(Schema.Struct({ sku: Schema.String })).currentEffect(
      Added,
      (v1) => Prices.use((prices) => prices.of(v1.sku)).pipe(Effect.map((quantity) => ({ ...v1, quantity })))
    )
    const stored = [
      old("Added", 1, { sku: "abc" }),
      old("Added", 2, { sku: "d", quantity: 9 }),
      old("Added", 1, { sku: "e" })
    ]
    const recorded = yield* reading(store, [priced], stored).pipe(
      Effect.provideService(Prices, Prices.of({ of: (sku) => Effect.delay(Effect.succeed(sku.length), 1) }))
    )
    equal(recorded.map(({ event }) => [event.sku, event.quantity]), [["abc", 3], ["d", 9], ["e", 1]])
  })

  rule("names the place of an event whose upcaster failed, and why", function*(store) {
    const failing = Event.oldest(Schema.Struct({ sku: Schema.String })).currentEffect(
      Added,
      () => Effect.fail("no price")
    )
    const error = yield* fails(
      reading(store, [failing], [old("Added", 2, { sku: "a", quantity: 1 }), old("Added", 1, { sku: "b" })]),
      "EventDecodeFailed"
    )
    has(error, { streamVersion: 2, type: "Added", schemaVersion: 1, issue: "no price" })
  })

  rule("names the place of an event whose upcaster threw", function*(store) {
    const throwing = Event.oldest(Schema.Struct({ sku: Schema.String })).current(Added, () => {
      throw new Error("thrown on purpose")
    })
    const error = yield* fails(reading(store, [throwing], [old("Added", 1, { sku: "b" })]), "EventDecodeFailed")
    has(error, { streamVersion: 1, type: "Added", schemaVersion: 1 })
    assert.include(error.issue, "thrown on purpose")
  })

  rule("checks what an upcaster makes against the next shape", function*(store) {
    const wrong = Event.oldest(Schema.Struct({ sku: Schema.String })).current(Added, (v1) => ({ ...v1, quantity: 0.5 }))
    yield* fails(reading(store, [wrong], [old("Added", 1, { sku: "b" })]), "EventDecodeFailed")
  })

  const undecodable: ReadonlyArray<[string, RawEvent.RawEvent, "UnknownEventType" | "EventDecodeFailed", object]> = [
    ["an event of an unknown type", old("Unheard", 1, {}), "UnknownEventType", { type: "Unheard", known: 0 }],
    ["an event of a newer version", old("Added", 4, {}), "UnknownEventType", { schemaVersion: 4, known: 3 }],
    ["an event that lacks a field", old("Added", 3, { sku: "a" }), "EventDecodeFailed", { schemaVersion: 3 }],
    ["an old event that lacks a field", old("Added", 1, {}), "EventDecodeFailed", { schemaVersion: 1 }],
    ["an event with a field of another type", old("Added", 3, { sku: "a", quantity: "1" }), "EventDecodeFailed", {}],
    ["an event whose data are no object", old("Added", 3, "text"), "EventDecodeFailed", {}],
    ["an event whose data are null", old("Added", 3, null), "EventDecodeFailed", {}]
  ]
  const good = old("Added", 3, { sku: "good", quantity: 1 })
  for (const [what, event, tag, fields] of undecodable) {
    rule(`fails to read ${what}, and names its place`, function*(store) {
      const error = yield* fails(reading(store, [versions], [good, event, good]), tag)
      has(error, { streamVersion: 2, type: event.type, ...fields })
    })

    rule(`passes over ${what} where the category says so`, function*(store) {
      const recorded = yield* reading(store, [versions], [good, event, good], "skip")
      equal(recorded.map(({ streamVersion }) => streamVersion), [1, 3])
    })

    rule(`yields ${what} as it is stored where the category says so`, function*(store) {
      const recorded = yield* reading(store, [versions], [good, event, good], "raw")
      equal(recorded.map(({ streamVersion }) => streamVersion), [1, 2, 3])
      equal(recorded[1]!.event, event)
    })
  }
}
