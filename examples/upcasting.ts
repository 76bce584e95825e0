/**
 * Events are stored once and read for years. Five ways in which an old shape becomes one of today's.
 */
import { Console, Context, Effect, Layer, Schema, Stream } from "effect"
import { Category, Event, EventData, EventStore, RawEvent } from "effect-eventstore"

class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
class Placed extends Schema.TaggedClass<Placed>()("Placed", { by: Schema.String }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int, currency: Schema.String }) {}

// 1. a field gets a name and a default: the chain is typed from step to step, its length is the stored version
const AddedVersions = Event
  .oldest(Schema.Struct({ sku: Schema.String }))
  .next(Schema.Struct({ sku: Schema.String, qty: Schema.Number }), (v1) => ({ ...v1, qty: 1 }))
  .current(Added, (v2) => ({ sku: v2.sku, quantity: Math.trunc(v2.qty) }))

// 2. what the event did not say stands in its metadata
const PlacedVersions = Event
  .oldest(Schema.Struct({}))
  .current(Placed, (_, stored) => ({ by: stored.metadata.actor ?? "somebody" }))

// 3. the rate of the day has to be asked for: reading this category needs the service, appending to it does not
class Rates extends Context.Service<Rates, { readonly currencyOf: (shop: string) => Effect.Effect<string> }>()(
  "examples/Rates"
) {}
const PaidVersions = Event
  .oldest(Schema.Struct({ amount: Schema.Number, shop: Schema.String }))
  .currentEffect(Paid, (v1) =>
    Rates.use((rates) => rates.currencyOf(v1.shop)).pipe(
      Effect.map((currency) => ({ cents: Math.round(v1.amount * 100), currency }))
    ))

// 4. one event was in truth two; its type is not written any more
const AddedAndPlaced = Event
  .oldest(Schema.Struct({ sku: Schema.String, by: Schema.String }))
  .retired("AddedAndPlaced", ({ by, sku }) => [new Added({ sku, quantity: 1 }), new Placed({ by })])

// 5. nobody wants to see these again
const MouseMoved = Event.dropped("MouseMoved")

const Cart = Category.make("cart", {
  id: Schema.String,
  events: [AddedVersions, PlacedVersions, PaidVersions, AddedAndPlaced, MouseMoved]
})

const program = Effect.gen(function*() {
  const store = yield* EventStore
  const stored = (type: string, schemaVersion: number, data: Schema.Json) =>
    RawEvent.make({ type, schemaVersion, data })
  yield* store.append(Category.rawStream("cart-1"), [
    stored("Added", 1, { sku: "tea" }),
    stored("Added", 2, { sku: "cup", qty: 2.5 }),
    stored("MouseMoved", 1, { x: 1, y: 2 }),
    EventData.make(stored("Placed", 1, {}), { metadata: { actor: "anna" } }),
    stored("Paid", 1, { amount: 12.5, shop: "zurich" }),
    stored("AddedAndPlaced", 1, { sku: "pot", by: "ben" })
  ])
  yield* store.append(Cart.stream("1"), [new Paid({ cents: 100, currency: "EUR" })])
  yield* Stream.runForEach(
    store.read(Cart.stream("1")),
    ({ event, part, schemaVersion, streamVersion, type }) =>
      Console.log(
        `${streamVersion}${part === 0 ? "" : `+${part}`} ${type} v${schemaVersion} -> ${JSON.stringify(event)}`
      )
  )
})

const RatesLive = Layer.succeed(Rates, {
  currencyOf: (shop) => Effect.succeed(shop === "zurich" ? "CHF" : "EUR")
})

await Effect.runPromise(program.pipe(Effect.provide([EventStore.layerMemory, RatesLive])))
