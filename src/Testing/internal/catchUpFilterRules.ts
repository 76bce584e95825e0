import { assert } from "@effect/vitest"
import { Arbitrary, DateTime, Duration, Effect, Schema } from "effect"
import * as EventData from "../../Event/EventData.ts"
import type { RawEvent } from "../../Event/RawEvent.ts"
import { type Entry, EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import type { EventFilter } from "../../Stream/EventFilter.ts"
import {
  collect,
  Counted,
  equal,
  freshCategory,
  freshName,
  Noted,
  raw,
  type Rules,
  type Store,
  tagged,
  textOf
} from "./rule.ts"
import { asStored, catchUp, failsSoon, gather, logAfter, saw } from "./subscribing.ts"

type Filter = Omit<EventFilter, "categories">

const { entry } = EventStore

/** Events of two categories, streams, types, and with and without tags; all names begin with `name`. */
const someOfAll = (name: string) => {
  const stream = (category: string, id: string) => Category.rawStream(`${name}${category}-${id}`)
  const a = `${name}:a`
  return [
    entry(stream("A", "1"), [raw(`${name}T`), tagged(`${name}T`, a), raw(`${name}Other`)]),
    entry(stream("B", "1"), [tagged(`${name}T`, `${name}:b`, a), tagged(`${name}Other`, `${name}:b`)]),
    entry(stream("A", "12"), [raw(`${name}T`), tagged(`${name}Other`, a, `${name}:c`, `${name}:b`)]),
    entry(stream("B", "2"), [raw(`${name}Tt`), raw(`${name}t`)])
  ]
}

/** Reads what a subscription with a filter sees while the same events are stored before it and while it runs. */
const whileStored = (
  store: Store,
  name: string,
  categories: ReadonlyArray<string> | undefined,
  filter: Filter,
  /** Matches the filter. */
  last: Entry
) =>
  Effect.gen(function*() {
    const start = yield* store.head()
    const append = store.appendAll(someOfAll(name))
    yield* append
    const source = categories?.map(asStored) ?? Category.raw
    const seen = yield* gather(catchUp(store, source, { ...filter, after: start }))
    for (let i = 0; i < 2; i++) yield* append
    const [appended] = yield* store.appendAll([last])
    yield* seen.until((all) => all.at(-1)?.position === appended!.position)
    saw<RawEvent>(seen.all, yield* logAfter(store, start, { ...filter, ...(categories && { categories }) }))
    return seen.all
  })

export const catchUpFilterRules: Rules = (rule) => {
  const filters: ReadonlyArray<
    [what: string, number, (name: string) => Filter & { readonly categories?: Array<string> }, last?: string]
  > = [
    ["everything", 27, () => ({})],
    ["one category", 15, (name) => ({ categories: [`${name}A`] })],
    ["several categories", 27, (name) => ({ categories: [`${name}B`, `${name}A`, `${name}C`] })],
    ["one type", 12, (name) => ({ types: [`${name}T`] })],
    ["several types, by case", 15, (name) => ({ types: [`${name}t`, `${name}T`] })],
    ["a tag", 9, (name) => ({ tags: [`${name}:a`] })],
    ["several tags", 6, (name) => ({ tags: [`${name}:a`, `${name}:b`] })],
    ["a beginning of streams", 15, (name) => ({ streamPrefix: `${name}A-1` })],
    ["a type and a category", 9, (name) => ({ types: [`${name}T`], categories: [`${name}A`] })],
    ["all parts of a filter", 3, (name) => ({
      types: [`${name}T`],
      categories: [`${name}A`],
      streamPrefix: `${name}A-1`,
      tags: [`${name}:a`]
    })]
  ]
  for (const [what, count, filterOf] of filters) {
    rule(`hands out the events of ${what}, those stored before and those stored later`, function*(store) {
      const name = freshName()
      const { categories, ...filter } = filterOf(name)
      const event = EventData.make(raw(`${name}T`), { tags: [`${name}:a`, `${name}:b`] })
      const seen = yield* whileStored(store, name, categories, filter, entry(Category.rawStream(`${name}A-1`), [event]))
      equal(seen.length, count + 1)
    })
  }

  rule("hands out the events of a range of time", function*(store) {
    const name = freshName()
    const stream = Category.rawStream(`${name}A-1`)
    yield* store.append(stream, [raw("T")])
    const [first] = yield* collect(store.read(stream))
    const later = (millis: number) => DateTime.addDuration(first!.recordedAt, Duration.millis(millis))
    const seen = yield* whileStored(
      store,
      name,
      undefined,
      { recordedFrom: first!.recordedAt, recordedUntil: later(3_600_000) },
      entry(stream, [raw("T")])
    )
    equal(seen.length, 28)
    // what is stored now is too late
    const late = yield* gather(catchUp(store, Category.raw, { streamPrefix: `${name}A-1`, recordedUntil: later(0) }))
    const all = yield* gather(catchUp(store, Category.raw, { streamPrefix: `${name}A-1`, recordedFrom: later(0) }))
    yield* store.append(stream, [raw("T")])
    yield* all.until((all) => all.length === 18)
    equal(late.all, [])
  })

  rule("takes an empty list of tags and an empty prefix for everything", function*(store) {
    const name = freshName()
    const filter = { tags: [], streamPrefix: "" }
    equal(
      (yield* whileStored(store, name, undefined, filter, entry(Category.rawStream(`${name}-1`), [raw("T")]))).length,
      28
    )
  })

  rule("takes %, _ and \\ in names and prefixes for themselves, also in what is stored later", function*(store) {
    const name = freshName()
    const ids = ["%", "_", "\\", "a", "%a", "(a|b)*", "\u{1F600}", "\uffee"]
    const start = yield* store.head()
    const append = Effect.forEach(ids, (id) => store.append(Category.rawStream(`${name}-${id}`), [raw("T")]))
    yield* append
    for (const id of ids) {
      const seen = yield* gather(catchUp(store, Category.raw, { after: start, streamPrefix: `${name}-${id}` }))
      yield* append
      const expected = yield* logAfter(store, start, { streamPrefix: `${name}-${id}` })
      yield* seen.until(expected.length)
      saw(seen.all, expected)
    }
  })

  rule("filters the events of one stream as well", function*(store) {
    const [category, tag] = [freshCategory(), freshName()]
    const stream = category.stream("1")
    const vip = (text: string) => EventData.make(new Noted({ text }), { tags: [tag] })
    yield* store.append(category.stream("2"), [vip("foreign")])
    yield* store.append(stream, [vip("1"), new Noted({ text: "2" }), vip("3")])
    const seen = yield* Effect.forEach([0, 1, 2, 3], (after) => gather(catchUp(store, stream, { tags: [tag], after })))
    const others = yield* gather(catchUp(store, stream, { types: ["Counted"] }))
    yield* store.append(stream, [new Noted({ text: "4" }), vip("5")])
    yield* store.append(stream, [new Counted({ count: 6 }), vip("7")])
    for (const [after, expected] of [["1", "3", "5", "7"], ["3", "5", "7"], ["3", "5", "7"], ["5", "7"]].entries()) {
      yield* seen[after]!.until(expected.length)
      equal(seen[after]!.all.map(({ event }) => textOf(event)), expected)
    }
    yield* others.until(1)
    equal(others.all.map(({ event }) => textOf(event)), ["6"])
  })

  rule("refuses filters with NUL or lone surrogates, and names the part", function*(store) {
    const stream = freshCategory().stream("1")
    const bad: ReadonlyArray<[Filter, string]> = [
      [{ types: ["a\0"] }, "types"],
      [{ streamPrefix: "\udfff" }, "streamPrefix"],
      [{ tags: ["a", "\0"] }, "tags"]
    ]
    for (const [filter, field] of bad) {
      equal((yield* failsSoon(catchUp(store, Category.raw, filter), "InvalidInput")).field, field)
      equal((yield* failsSoon(catchUp(store, stream, filter), "InvalidInput")).field, field)
    }
  })

  rule("hands out what a read with the same filter finds, whatever is stored and asked for", function*(store) {
    const result = yield* Arbitrary.checkEffect(
      programs,
      (program) => follows(store, program).pipe(Effect.as(true), Effect.sandbox),
      { runs: 25 }
    )
    const failure = Arbitrary.formatCheckFailure(result)
    if (failure !== undefined) assert.fail(failure)
  })
}

const upTo = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: most }))
const oneOf = <const L extends ReadonlyArray<string>>(...texts: L) => Schema.Literals(texts)

const Event = Schema.Struct({ stream: oneOf("A-1", "A-12", "A-2", "B-1", "C-1"), type: upTo(2), tags: upTo(3) })
const Batch = Schema.Array(Event).check(Schema.isMinLength(1), Schema.isMaxLength(4))

const Program = Schema.Struct({
  before: Schema.Array(Batch).check(Schema.isMaxLength(6)),
  during: Schema.Array(Batch).check(Schema.isMaxLength(8)),
  /** Appended by several fibres at once, or one batch after the other. */
  atOnce: Schema.Boolean,
  back: upTo(9),
  categories: Schema.NullOr(Schema.Literals(["A", "AB", "AC"])),
  prefix: Schema.NullOr(oneOf("A", "A-", "A-1")),
  types: Schema.NullOr(Schema.Literals(["0", "01", "02"])),
  tags: upTo(3)
})

const programs = Arbitrary.schema(Program)

const follows = (store: Store, program: typeof Program.Type) =>
  Effect.scoped(Effect.gen(function*() {
    const name = freshName()
    const tagsOf = (bits: number) => ["x", "y"].filter((_, i) => (bits & 1 << i) > 0).map((tag) => `${name}${tag}`)
    const append = ({ stream, tags, type }: typeof Event.Type) =>
      entry(Category.rawStream(`${name}${stream}`), [tagged(`${name}${type}`, ...tagsOf(tags))])
    const batch = (events: typeof Batch.Type) =>
      // an append takes a stream once
      Effect.forEach(events, (event) => store.appendAll([append(event)]))
    const filter = {
      types: program.types?.split("").map((type) => `${name}${type}`),
      tags: tagsOf(program.tags),
      streamPrefix: program.prefix === null ? undefined : `${name}${program.prefix}`
    }
    const categories = program.categories?.split("").map((category) => `${name}${category}`)
    const after = Math.max(0, (yield* store.head()) - program.back)
    yield* Effect.forEach(program.before, batch)
    const source = categories?.map(asStored) ?? Category.raw
    const seen = yield* gather(catchUp(store, source, { ...filter, after }))
    yield* Effect.forEach(program.during, batch, { concurrency: program.atOnce ? "unbounded" : 1 })
    // matches whatever is asked for
    const [last] = yield* store.appendAll([append({ stream: "A-1", type: 0, tags: 3 })])
    yield* seen.until((all) => all.at(-1)?.position === last!.position)
    saw<RawEvent>(seen.all, yield* logAfter(store, after, { ...filter, categories }))
  }))
