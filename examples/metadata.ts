/**
 * Who did it, why, in which conversation: metadata come from the fibre, so that no function in between hands them on.
 */
import { Console, Effect, Option, Schema, Stream } from "effect"
import { Category, EventData, EventId, EventMetadata, EventStore, type Recorded } from "effect-eventstore"

class Ordered extends Schema.TaggedClass<Ordered>()("Ordered", { sku: Schema.String }) {}
class Reserved extends Schema.TaggedClass<Reserved>()("Reserved", { sku: Schema.String }) {}
const Order = Category.make("order", { id: Schema.String, events: [Ordered] })
const Stock = Category.make("stock", { id: Schema.String, events: [Reserved] })

// a field of one's own, with its schema
const Tenant = EventMetadata.field("tenant", Schema.NonEmptyString)

const order = Effect.fn("order")(function*(sku: string) {
  const store = yield* EventStore
  yield* store.append(Order.stream("1"), [new Ordered({ sku })])
})

/**
 * Reacts to an event: the conversation goes on, and the new event says what led to it. Its id is named for the event that it
 * follows from, so that a reaction which runs again stores nothing twice.
 */
const reserve = Effect.fn("reserve")(function*(recorded: Recorded.Recorded<Ordered>) {
  const store = yield* EventStore
  const { sku } = recorded.event
  const tenant = yield* Tenant.get(recorded.metadata)
  const id = EventId.fromName("reserve", recorded.eventId)
  yield* store.append(Stock.stream(sku), [EventData.make(new Reserved({ sku }), { id })]).pipe(
    EventMetadata.provide({ ...EventMetadata.causedBy(recorded), actor: "stock" }),
    Tenant.provide(Option.getOrElse(tenant, () => "nobody"))
  )
})

const program = Effect.gen(function*() {
  const store = yield* EventStore
  yield* order("tea").pipe(
    EventMetadata.provide({ actor: "anna", correlationId: "request-7" }),
    Tenant.provide("acme"),
    Effect.withSpan("POST /orders") // the events remember the trace they were made in
  )
  yield* Stream.runForEach(store.readCategory(Order), reserve)
  yield* Stream.runForEach(store.readCategory(Order), reserve) // once more: nothing happens

  const ids = new Map<string, string>()
  yield* Stream.runForEach(
    store.readAll(),
    Effect.fn(function*({ event, eventId, metadata }) {
      ids.set(eventId, event.type)
      const tenant = Option.getOrElse(yield* Tenant.get(metadata), () => "none")
      const { actor, causationId, correlationId, traceparent } = metadata
      const cause = causationId === undefined ? "nothing" : ids.get(causationId)
      yield* Console.log(`${event.type} by ${actor}, because of ${cause}, in ${correlationId}, tenant ${tenant}`)
      yield* Console.log(`  a trace context: ${/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/.test(traceparent ?? "")}`)
    })
  )
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
