/**
 * Links: the same events under other keys. By type, by correlation, by customer: found without a copy of them.
 *
 * A link is a key and a position. The event is read where it stands, so what was deleted is not found through a link either.
 */
import { Console, Effect, Layer, References, Schema, Stream } from "effect"
import { Category, EventMetadata, EventStore, Projection } from "effect-eventstore"

class Placed extends Schema.TaggedClass<Placed>()("Placed", { customer: Schema.String, sku: Schema.String }) {}
class Reserved extends Schema.TaggedClass<Reserved>()("Reserved", { quantity: Schema.Int }) {}
class Charged extends Schema.TaggedClass<Charged>()("Charged", { customer: Schema.String, cents: Schema.Int }) {}
const Order = Category.make("order", { id: Schema.String, events: [Placed] })
const Stock = Category.make("stock", { id: Schema.String, events: [Reserved] })
const Payment = Category.make("payment", { id: Schema.String, events: [Charged] })

const ByType = Projection.byType()
const ByCorrelation = Projection.byCorrelation()
// one of one's own: the events are typed, as those of the categories it is made of
const ByCustomer = Projection.links("by-customer", { from: [Order, Payment], key: ({ event }) => event.customer })

/** One request leads to events in three streams, which have its id for their correlation. */
const buy = Effect.fn("buy")(function*(request: string, order: string, customer: string, sku: string) {
  const store = yield* EventStore
  yield* store.append(Order.stream(order), [new Placed({ customer, sku })])
  yield* store.append(Stock.stream(sku), [new Reserved({ quantity: 1 })])
  return yield* store.append(Payment.stream(order), [new Charged({ customer, cents: 500 })]).pipe(
    EventMetadata.provide({ actor: "billing" })
  )
}, (effect, request) => EventMetadata.provide({ correlationId: request })(effect))

const program = Effect.gen(function*() {
  const store = yield* EventStore
  yield* buy("request-1", "1", "anna", "tea")
  yield* buy("request-2", "2", "ben", "tea")
  const { position } = yield* buy("request-3", "3", "anna", "cup")
  for (const links of [ByType, ByCorrelation, ByCustomer]) yield* Projection.awaitProcessed(links, position)

  yield* Console.log("request-2, over all streams:")
  yield* Projection.events(ByCorrelation, "request-2").pipe(
    Stream.runForEach(({ streamId, type }) => Console.log(`  ${type} in ${streamId}`))
  )
  yield* Console.log("what Anna did, the last first:")
  yield* Projection.events(ByCustomer, "anna", { direction: "backward" }).pipe(
    Stream.runForEach(({ event }) =>
      Console.log(event._tag === "Placed" ? `  ordered ${event.sku}` : `  paid ${event.cents / 100}`)
    )
  )
  const types = yield* Stream.runCollect(Projection.keys(ByType))
  yield* Console.log(`types: ${types.map(({ count, key }) => `${key} ${count}`).join(", ")}`)

  yield* store.delete(Order.stream("3"))
  const placed = yield* Stream.runCollect(Projection.events(ByType, "Placed"))
  yield* Console.log(`orders, after one was deleted: ${placed.map(({ streamId }) => streamId).join(", ")}`)
})

const Live = Layer.mergeAll(
  Projection.layer(ByType),
  Projection.layer(ByCorrelation),
  Projection.layer(ByCustomer)
).pipe(Layer.provideMerge(EventStore.layerMemory))

await Effect.runPromise(program.pipe(
  Effect.provide(Live),
  // runners tell what they do
  Effect.provideService(References.MinimumLogLevel, "Warn")
))
