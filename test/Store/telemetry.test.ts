import { assert, it } from "@effect/vitest"
import { Effect, Metric, Option, Schema, Stream, Tracer } from "effect"
import { Category, EventStore } from "effect-eventstore"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })

/** A tracer that keeps what it is given. */
const recording = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}

const program = Effect.gen(function*() {
  const store = yield* EventStore
  const stream = Cart.stream("1")
  yield* store.append(stream, [new Opened({ customer: "c" }), new Opened({ customer: "d" })], { expected: "no-stream" })
  yield* Effect.flip(store.append(stream, [new Opened({ customer: "e" })], { expected: "no-stream" }))
  yield* Stream.runDrain(store.read(stream))
  yield* Stream.runDrain(store.readCategory(Cart))
  yield* Stream.runDrain(store.readAll())
  yield* store.head()
  yield* store.info(stream)
  yield* Stream.runDrain(store.streams())
  yield* store.transaction(store.append(stream, [new Opened({ customer: "f" })]))
  yield* store.setMetadata(stream, { a: 1 })
  yield* store.truncateBefore(stream, 2)
  yield* store.delete(stream)
  yield* store.tombstone(stream)
}).pipe(Effect.provide(EventStore.layerMemory))

it.effect("gives every operation a span with the names of OpenTelemetry", () =>
  Effect.gen(function*() {
    const { spans, tracer } = recording()
    yield* Effect.provideService(program, Tracer.Tracer, tracer)
    assert.deepStrictEqual([...new Set(spans.map(({ name }) => name))].sort((a, b) => a < b ? -1 : 1), [
      "eventstore.append",
      "eventstore.delete",
      "eventstore.head",
      "eventstore.info",
      "eventstore.read",
      "eventstore.readAll",
      "eventstore.readCategory",
      "eventstore.setMetadata",
      "eventstore.streams",
      "eventstore.tombstone",
      "eventstore.transaction",
      "eventstore.truncateBefore"
    ])
    const [append, refused] = spans.filter(({ name }) => name === "eventstore.append")
    assert.deepStrictEqual(Object.fromEntries(append!.attributes), {
      "db.system.name": "memory",
      "db.operation.name": "append",
      "db.collection.name": "cart"
    })
    assert.strictEqual(append!.kind, "client")
    assert.strictEqual(append!.status._tag, "Ended")
    assert.isTrue(refused!.status._tag === "Ended" && refused!.status.exit._tag === "Failure")
  }))

it.effect("counts events, conflicts and durations", () =>
  Effect.gen(function*() {
    yield* program
    const snapshot = yield* Metric.snapshot
    const find = (id: string, operation?: string) =>
      Option.fromNullishOr(snapshot.find((metric) =>
        metric.id === id && (operation === undefined || metric.attributes?.["db.operation.name"] === operation)
      ))
    const count = (id: string) =>
      Option.match(find(id), {
        onNone: () =>
          0,
        onSome: ({ state }) => (state as { readonly count: number }).count
      })
    assert.strictEqual(count("eventstore.events.appended"), 3)
    assert.strictEqual(count("eventstore.append.conflicts"), 1)
    // two by each of three reads
    assert.strictEqual(count("eventstore.events.read"), 6)
    const appends = Option.getOrThrow(find("db.client.operation.duration", "append"))
    assert.strictEqual((appends.state as { readonly count: number }).count, 3)
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
