/** A small shop, for tests of the command line: something of all that an application can declare. */
import { Context, Effect, Layer, Schema, Stream } from "effect"
import {
  Category,
  Decider,
  Event,
  EventData,
  EventMetadata,
  EventStore,
  PersistentSubscription,
  ProcessManager,
  Projection,
  RawEvent,
  Snapshot
} from "effect-eventstore"

export class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
export class Added extends Schema.TaggedClass<Added>()("Added", {
  sku: Schema.NonEmptyString,
  quantity: Schema.Int.check(Schema.isGreaterThan(0)),
  cents: Schema.Int
}) {
  get [Event.tags]() {
    return [`sku:${this.sku}`]
  }
}
export class CheckedOut extends Schema.TaggedClass<CheckedOut>()("CheckedOut", { cents: Schema.Int }) {}
export class Cancelled extends Schema.TaggedClass<Cancelled>()("Cancelled", { why: Schema.String }) {}

/** Version 1 had no quantity, version 2 no price in cents. */
const AddedVersions = Event
  .oldest(Schema.Struct({ sku: Schema.String }))
  .next(Schema.Struct({ sku: Schema.String, quantity: Schema.Int, price: Schema.Number }), (v1) => ({
    ...v1,
    quantity: 1,
    price: 1
  }))
  .current(Added, ({ price, quantity, sku }) => ({ sku, quantity, cents: Math.round(price * 100) }))

export const Cart = Category.make("cart", {
  id: Schema.String,
  events: [Opened, AddedVersions, CheckedOut, Cancelled]
})

export class Paid extends Schema.TaggedClass<Paid>()("Paid", { cart: Schema.String, cents: Schema.Int }) {}
export const Payment = Category.make("payment", { id: Schema.String, events: [Paid] })

export class AddItem extends Schema.TaggedClass<AddItem>()("AddItem", { sku: Schema.String, cents: Schema.Int }) {}
export class CheckOut extends Schema.TaggedClass<CheckOut>()("CheckOut", {}) {}
export class IsEmpty extends Schema.TaggedError<IsEmpty>()("IsEmpty", {}) {}

const CartState = Schema.Struct({
  customer: Schema.NullOr(Schema.String),
  items: Schema.Record(Schema.String, Schema.Int),
  cents: Schema.Int,
  status: Schema.Literals(["open", "checked-out", "cancelled"])
})
type CartState = typeof CartState.Type

/** A decider with snapshots: one every ten events. */
export const Carts = Decider.make(Cart, {
  commands: [AddItem, CheckOut],
  state: CartState,
  initial: (): CartState => ({ customer: null, items: {}, cents: 0, status: "open" }),
  evolve: {
    Opened: (state, { customer }) => ({ ...state, customer }),
    Added: (state, { cents, quantity, sku }) => ({
      ...state,
      items: { ...state.items, [sku]: (state.items[sku] ?? 0) + quantity },
      cents: state.cents + cents * quantity
    }),
    CheckedOut: (state) => ({ ...state, status: "checked-out" as const }),
    Cancelled: (state) => ({ ...state, status: "cancelled" as const })
  },
  decide: {
    AddItem: ({ cents, sku }) => [new Added({ sku, quantity: 1, cents })],
    CheckOut: (_, { cents }) => cents === 0 ? Effect.fail(new IsEmpty()) : Effect.succeed([new CheckedOut({ cents })])
  },
  snapshot: Snapshot.make({ name: "cart", state: CartState, policy: Snapshot.every(10) })
})

/** A read model of tables. */
export const Totals = Projection.make("totals", {
  from: Cart,
  setup: ({ sql, table }) =>
    sql`CREATE TABLE ${table("carts")} (cart text PRIMARY KEY, items int NOT NULL, cents int NOT NULL)`,
  handle: {
    Opened: ({ streamId }, { sql, table }) =>
      sql`INSERT INTO ${table("carts")} VALUES (${streamId}, 0, 0) ON CONFLICT DO NOTHING`,
    Added: ({ event, streamId }, { sql, table }) =>
      sql`INSERT INTO ${table("carts")} AS c VALUES (${streamId}, ${event.quantity}, ${event.cents * event.quantity})
        ON CONFLICT (cart) DO UPDATE SET items = c.items + excluded.items, cents = c.cents + excluded.cents`,
    CheckedOut: () => Effect.void,
    Cancelled: ({ streamId }, { sql, table }) => sql`DELETE FROM ${table("carts")} WHERE cart = ${streamId}`
  }
})

/** A read model of documents: how often each thing was added. */
export const Popular = Projection.documents("popular", {
  from: Cart,
  types: ["Added"],
  key: ({ event }) => event._tag === "Added" ? event.sku : undefined,
  state: Schema.Int,
  initial: () => 0,
  evolve: {
    Opened: (count) => count,
    Added: (count, { event }) => count + event.quantity,
    CheckedOut: (count) => count,
    Cancelled: (count) => count
  }
})

/** Events by the customer who opened the cart, or by the cart that was paid. */
export const ByCustomer = Projection.links("by-customer", {
  from: [Cart, Payment],
  key: ({ event }) => event._tag === "Opened" ? event.customer : event._tag === "Paid" ? event.cart : undefined
})

/** Where the mails go: tests look at the log, so they need not be kept. */
export class Mails extends Context.Service<Mails, {
  readonly send: (to: string, text: string) => Effect.Effect<void>
}>()("test/cliShop/Mails") {
  static readonly layer = Layer.succeed(Mails, { send: (to, text) => Effect.logDebug(`mail to ${to}: ${text}`) })
}

/** A payment that no mail can be sent for. */
export class CannotBePaid extends Schema.TaggedError<CannotBePaid>()("CannotBePaid", { cents: Schema.Int }) {
  override get message(): string {
    return `${this.cents} cents cannot be paid`
  }
}

/** A persistent subscription with a handler that needs a service, and refuses what nobody can send. */
export const mails = {
  from: Payment,
  handle: ({ event }: { readonly event: Paid }) =>
    event.cents < 0
      ? Effect.fail(new CannotBePaid({ cents: event.cents }))
      : Mails.use(({ send }) => send(event.cart, `thank you for ${event.cents} cents`))
} as const satisfies PersistentSubscription.Declaration<typeof Payment> & { readonly handle: unknown }

export class RequestPayment extends Schema.TaggedClass<RequestPayment>()("RequestPayment", { cents: Schema.Int }) {}

/** A process manager that waits a day for the payment. */
export const Checkout = ProcessManager.make("checkout", {
  from: [Cart, Payment],
  correlate: ({ event, streamId }) => event._tag === "Paid" ? event.cart : streamId.slice("cart-".length),
  starts: ["CheckedOut"],
  state: Schema.Struct({ cents: Schema.Int }),
  initial: () => ({ cents: 0 }),
  commands: [RequestPayment],
  timers: ["payment"]
}, {
  handle: {
    Opened: () => undefined,
    Added: () => undefined,
    CheckedOut: (_, { cents }) => ({
      state: { cents },
      send: [new RequestPayment({ cents })],
      timers: { payment: "1 day" }
    }),
    Cancelled: () => ({ end: true }),
    Paid: () => ({ end: true })
  },
  onTimer: { payment: () => ({ end: true }) }
})

/** Carries out what the process wants. */
export const CheckoutLive = ProcessManager.layer(Checkout, { perform: { RequestPayment: () => Effect.void } })

/**
 * Stores a few carts, each with a conversation of its own: opened, three things added (the first two in shapes of the past),
 * checked out and paid.
 *
 * @param carts How many; their ids are 1, 2, 3, ...
 */
export const fill = (carts: number) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    for (let cart = 1; cart <= carts; cart++) {
      const stream = Category.rawStream(`cart-${cart}`)
      yield* Effect.gen(function*() {
        yield* store.append(stream, [
          RawEvent.make({ type: "Opened", schemaVersion: 1, data: { customer: `customer-${cart % 3}` } }),
          EventData.make(RawEvent.make({ type: "Added", schemaVersion: 1, data: { sku: "tea" } }), {
            tags: ["sku:tea"]
          }),
          EventData.make(
            RawEvent.make({ type: "Added", schemaVersion: 2, data: { sku: "cup", quantity: 2, price: 2.5 } }),
            { tags: ["sku:cup"] }
          )
        ])
        yield* store.append(Cart.stream(String(cart)), [
          new Added({ sku: "pot", quantity: 1, cents: 1250 }),
          new CheckedOut({ cents: 1850 })
        ])
        const [checkedOut] = yield* Stream.runCollect(store.read(stream, { direction: "backward", limit: 1 }))
        yield* store.append(Payment.stream(String(cart)), [new Paid({ cart: String(cart), cents: 1850 })]).pipe(
          EventMetadata.provide(EventMetadata.causedBy(checkedOut!))
        )
      }).pipe(EventMetadata.provide({ correlationId: `request-${cart}`, actor: "anna" }))
    }
  })
