import { Effect, Option, Schema } from "effect"
import * as Event from "../../Event/Event.ts"
import * as EventData from "../../Event/EventData.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import * as Category from "../../Stream/Category.ts"
import {
  collect,
  equal,
  fails,
  freshName,
  freshStream,
  Noted,
  notes,
  type NotesStream,
  raw,
  type Rules,
  type Store
} from "./rule.ts"

/** The metadata of each event of a stream. */
const metadataOf = (store: Store, stream: NotesStream) =>
  Effect.map(collect(store.read(stream)), (recorded) => recorded.map(({ metadata }) => metadata))

const noted = (metadata: EventMetadata.EventMetadata) => EventData.make(new Noted({ text: "" }), { metadata })

const Tenant = EventMetadata.field("tenant", Schema.NonEmptyString)
const Since = EventMetadata.field("since", Schema.Date)

class Seated extends Schema.TaggedClass<Seated>()("Seated", { flight: Schema.String, seat: Schema.String }) {
  get [Event.tags]() {
    return [`flight:${this.flight}`, `seat:${this.seat}`]
  }
}

export const metadataRules: Rules = (rule) => {
  rule("stores no metadata where none is given", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("a"))
    equal(yield* metadataOf(store, stream), [{}])
  })

  rule("stores correlation, causation and actor of the fibre with every event of an append", function*(store) {
    const stream = freshStream()
    const metadata = { correlationId: "request-7", causationId: "command-1", actor: "anna \u{1F600}" }
    yield* store.append(stream, notes("a", "b")).pipe(EventMetadata.provide(metadata))
    equal(yield* metadataOf(store, stream), [metadata, metadata])
  })

  rule("joins the metadata of nested regions, the inner one wins", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("a")).pipe(
      EventMetadata.provide({ actor: "inner" }),
      EventMetadata.provide({ actor: "outer", correlationId: "c" })
    )
    equal(yield* metadataOf(store, stream), [{ actor: "inner", correlationId: "c" }])
  })

  rule("lets the metadata of an event win over that of the fibre, field by field", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, [noted({ actor: "own", fields: { b: 2 } }), ...notes("plain")]).pipe(
      EventMetadata.provide({ actor: "fibre", correlationId: "c", fields: { a: 1, b: 1 } })
    )
    equal(yield* metadataOf(store, stream), [
      { actor: "own", correlationId: "c", fields: { a: 1, b: 2 } },
      { actor: "fibre", correlationId: "c", fields: { a: 1, b: 1 } }
    ])
  })

  rule("gives the metadata of a fibre to the fibres that it forks", function*(store) {
    const stream = freshStream()
    yield* Effect.all([store.append(stream, notes("a")), store.append(stream, notes("b"))], { concurrency: 2 }).pipe(
      EventMetadata.provide({ actor: "anna" })
    )
    equal(yield* metadataOf(store, stream), [{ actor: "anna" }, { actor: "anna" }])
  })

  rule("stores the trace context of the current span", function*(store) {
    const stream = freshStream()
    const span = yield* Effect.gen(function*() {
      yield* store.append(stream, notes("a"))
      return yield* Effect.currentSpan
    }).pipe(Effect.withSpan("test"))
    equal(yield* metadataOf(store, stream), [{ traceparent: `00-${span.traceId}-${span.spanId}-01` }])
  })

  rule("lets a trace context that is given win over that of the current span", function*(store) {
    const stream = freshStream()
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    yield* store.append(stream, notes("a")).pipe(EventMetadata.provide({ traceparent }), Effect.withSpan("test"))
    equal(yield* metadataOf(store, stream), [{ traceparent }])
  })

  rule("stores fields of the user's own by their schema", function*(store) {
    const stream = freshStream()
    const since = new Date("2024-02-29T12:00:00.123Z")
    yield* store.append(stream, notes("a")).pipe(Tenant.provide("acme"), Since.provide(since))
    const [metadata] = yield* metadataOf(store, stream)
    equal(metadata, { fields: { tenant: "acme", since: "2024-02-29T12:00:00.123Z" } })
    equal(yield* Tenant.get(metadata!), Option.some("acme"))
    equal(yield* Since.get(metadata!), Option.some(since))
    equal(yield* Since.get({}), Option.none())
  })

  rule("refuses a field of the user's own that breaks its schema", function*(store) {
    const stream = freshStream()
    yield* fails(store.append(stream, notes("a")).pipe(Tenant.provide("")), "SchemaError")
    equal(yield* store.head(stream), 0)
  })

  rule("keeps odd keys in the fields of metadata", function*(store) {
    const stream = freshStream()
    const fields = JSON.parse(`{ "__proto__": 1, "constructor": 2, "": 3, "a.b": [null, 1e-7], "\u{1F600}": true }`)
    yield* store.append(stream, [noted({ fields })])
    const [metadata] = yield* metadataOf(store, stream)
    equal(JSON.stringify(metadata!.fields), JSON.stringify(fields))
  })

  rule("stores the tags that an event declares", function*(store) {
    const category = Category.make(freshName(), { id: Schema.String, events: [Seated] })
    yield* store.append(category.stream("1"), [new Seated({ flight: "7", seat: "12a" })])
    const [recorded] = yield* collect(store.read(category.stream("1")))
    equal(recorded!.tags, ["flight:7", "seat:12a"])
  })

  rule("stores tags given at the append after those that the event declares, each once", function*(store) {
    const category = Category.make(freshName(), { id: Schema.String, events: [Seated] })
    const event = EventData.make(new Seated({ flight: "7", seat: "12a" }), { tags: ["vip", "seat:12a", "vip"] })
    yield* store.append(category.stream("1"), [event])
    const [recorded] = yield* collect(store.read(category.stream("1")))
    equal(recorded!.tags, ["flight:7", "seat:12a", "vip"])
  })

  rule("keeps the order of tags", function*(store) {
    const stream = Category.rawStream(`${freshName()}-1`)
    yield* store.append(stream, [EventData.make(raw("T"), { tags: ["c", "a", "b"] })])
    const [recorded] = yield* collect(store.read(stream))
    equal(recorded!.tags, ["c", "a", "b"])
  })

  rule("stores an event with as many tags as are allowed", function*(store) {
    const stream = Category.rawStream(`${freshName()}-1`)
    const tags = Array.from({ length: 64 }, (_, i) => `${i}`.padStart(256, "t"))
    yield* store.append(stream, [EventData.make(raw("T"), { tags })])
    const [recorded] = yield* collect(store.read(stream))
    equal(recorded!.tags, tags)
  })
}
