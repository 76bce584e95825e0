/**
 * A log in memory to look at: a shop that has sold some things before anybody looks, sells some more, and closes.
 */
import { Effect, Layer, type Schema } from "effect"
import { Category, EventStore, RawEvent, type Subscription } from "effect-eventstore"

const earlier = [
  ["cart-1", "Opened", { customer: "anna" }],
  ["cart-1", "Paid", { cents: 500 }],
  ["parcel-1", "Shipped", { to: "Main Street 1" }]
] as const

const later = [
  ["cart-2", "Opened", { customer: "ben" }],
  ["cart-1", "Closed", {}],
  ["cart-2", "Paid", { cents: 1250 }],
  ["parcel-2", "Shipped", { to: "\u001b[31mSide Street 2" }]
] as const

const append = ([stream, type, data]: readonly [stream: string, type: string, data: Schema.Json]) =>
  EventStore.use((store) => store.append(Category.rawStream(stream), [RawEvent.make({ type, schemaVersion: 1, data })]))

export const shop = Layer.effectDiscard(Effect.forEach(earlier, append)).pipe(
  Layer.provideMerge(EventStore.layerMemory)
)

export const sellMore = Effect.forEach(later, (thing) => Effect.delay(append(thing), "20 millis"))

/** Whether everything was looked at. */
export const isClosingTime = (signal: Subscription.Signal<unknown>): boolean =>
  (signal._tag === "Event" ? signal.recorded.position : signal.position) === earlier.length + later.length
