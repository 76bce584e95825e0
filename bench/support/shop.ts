/** The events that the benches write and read: ten classes of a shop, of the size and mixture such events have. */
import { Schema } from "effect"
import { Category } from "effect-eventstore"

const Address = Schema.Struct({ street: Schema.String, city: Schema.String, zip: Schema.String })

class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String, channel: Schema.String }) {}
class ItemAdded extends Schema.TaggedClass<ItemAdded>()("ItemAdded", {
  sku: Schema.String,
  quantity: Schema.Int,
  cents: Schema.Int
}) {}
class ItemRemoved extends Schema.TaggedClass<ItemRemoved>()("ItemRemoved", {
  sku: Schema.String,
  reason: Schema.optionalKey(Schema.String)
}) {}
class QuantityChanged extends Schema.TaggedClass<QuantityChanged>()("QuantityChanged", {
  sku: Schema.String,
  quantity: Schema.Int.check(Schema.isGreaterThan(0))
}) {}
class CouponUsed extends Schema.TaggedClass<CouponUsed>()("CouponUsed", {
  code: Schema.NonEmptyString,
  percent: Schema.Finite
}) {}
class AddressGiven extends Schema.TaggedClass<AddressGiven>()("AddressGiven", { address: Address }) {}
class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.String, tags: Schema.Array(Schema.String) }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", {
  cents: Schema.Int,
  method: Schema.Literals(["card", "invoice", "voucher"]),
  at: Schema.DateTimeUtcFromString
}) {}
class Shipped extends Schema.TaggedClass<Shipped>()("Shipped", { parcel: Schema.String, express: Schema.Boolean }) {}
class Closed extends Schema.TaggedClass<Closed>()("Closed", {}) {}

const classes = [
  Opened,
  ItemAdded,
  ItemRemoved,
  QuantityChanged,
  CouponUsed,
  AddressGiven,
  Noted,
  Paid,
  Shipped,
  Closed
] as const

export const Cart = Category.make("cart", { id: Schema.String, events: classes })

/** A category of the same events under another name. */
export const categoryOf = <const Name extends string>(name: Name) =>
  Category.make(name, { id: Schema.String, events: classes })

export type CartEvent = Category.In<typeof Cart>

/** Event `i` in its stored form. */
const encoded = (i: number): { readonly type: string; readonly data: Record<string, Schema.Json> } => {
  switch (i % 10) {
    case 0:
      return { type: "Opened", data: { customer: `customer-${i % 997}`, channel: "web" } }
    case 1:
      return { type: "ItemAdded", data: { sku: `sku-${i % 4999}`, quantity: 1 + i % 5, cents: 995 + i % 10_000 } }
    case 2:
      return { type: "ItemRemoved", data: { sku: `sku-${i % 4999}`, reason: "too expensive" } }
    case 3:
      return { type: "QuantityChanged", data: { sku: `sku-${i % 4999}`, quantity: 1 + i % 7 } }
    case 4:
      return { type: "CouponUsed", data: { code: `SUMMER${i % 100}`, percent: 12.5 } }
    case 5:
      return {
        type: "AddressGiven",
        data: { address: { street: `Long Street ${i % 300}`, city: "Leeds", zip: "LS1 4AP" } }
      }
    case 6:
      return { type: "Noted", data: { text: "Please ring twice, the bell is quiet", tags: ["bell", "second floor"] } }
    case 7:
      return { type: "Paid", data: { cents: 4990 + i % 10_000, method: "card", at: "2026-03-01T12:34:56.789Z" } }
    case 8:
      return { type: "Shipped", data: { parcel: `parcel-${i}`, express: i % 2 === 0 } }
    default:
      return { type: "Closed", data: {} }
  }
}

const variety = 1000
const decode = Schema.decodeUnknownSync(Schema.toCodecJson(Schema.Union(classes)))

/** Ready-made events, so that making them is nobody's time: of our classes, as Emmett takes them, and as JSON texts. */
const plain = Array.from({ length: variety }, (_, i) => encoded(i))
const typed = plain.map(({ data, type }): CartEvent => decode({ _tag: type, ...data }))
const texts = plain.map(({ data, type }) => ({ type, data: JSON.stringify(data) }))

export const event = (i: number): CartEvent => typed[i % variety]!
export const plainEvent = (i: number) => plain[i % variety]!
export const textEvent = (i: number) => texts[i % variety]!

/** `count` events from number `i` on. */
export const events = (i: number, count: number): ReadonlyArray<CartEvent> =>
  Array.from({ length: count }, (_, n) => event(i + n))

/** An event that says where it belongs: the number `i` of a run, as our class, as Emmett takes it, and as JSON text. */
export const marked = (run: string, i: number): CartEvent => new ItemAdded({ sku: run, quantity: 1, cents: i })
export const plainMarked = (run: string, i: number) => ({
  type: "ItemAdded",
  data: { sku: run, quantity: 1, cents: i }
})
export const textMarked = (run: string, i: number) => ({
  type: "ItemAdded",
  data: JSON.stringify(plainMarked(run, i).data)
})

/** Where such an event belongs, from the JSON of its data or from the event itself. */
export const markOf = (data: unknown): { readonly run: string; readonly i: number } => {
  const { cents, sku } = data as { readonly sku: string; readonly cents: number }
  return { run: sku, i: cents }
}
