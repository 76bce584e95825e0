/**
 * Documents: a state for each key, that the store keeps. No SQL, so it runs on memory as well.
 *
 * - `carts` follows the log. Its second version has another shape, and reads what the first one left until it is live
 * - `balances` is applied inline: true the moment an append is acknowledged, and what it cannot hold is refused
 */
import { Console, Effect, Option, References, Schema, SchemaGetter, Stream } from "effect"
import { Category, EventStore, Projection } from "effect-eventstore"

class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, cents: Schema.Int }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", {}) {}
class Abandoned extends Schema.TaggedClass<Abandoned>()("Abandoned", {}) {}
const Cart = Category.make("cart", { id: Schema.String, events: [Added, Paid, Abandoned] })

const Cart1 = Schema.Struct({ items: Schema.Int, cents: Schema.Int })

const Carts1 = Projection.documents("carts", {
  from: Cart,
  state: Cart1,
  initial: () => ({ items: 0, cents: 0 }),
  evolve: {
    Added: (cart, { event }) => ({ items: cart.items + 1, cents: cart.cents + event.cents }),
    Paid: (cart) => cart,
    Abandoned: () => undefined // there is no document any more
  }
})

const Cart2 = Schema.Struct({ skus: Schema.Array(Schema.String), cents: Schema.Int, isPaid: Schema.Boolean })

const Carts2 = Projection.documents("carts", {
  version: 2,
  from: Cart,
  state: Cart2,
  initial: () => ({ skus: [], cents: 0, isPaid: false }),
  evolve: {
    Added: (cart, { event }) => ({ ...cart, skus: [...cart.skus, event.sku], cents: cart.cents + event.cents }),
    Paid: (cart) => ({ ...cart, isPaid: true }),
    Abandoned: () => undefined
  },
  // what a document of version 1 tells a program that knows version 2
  older: {
    1: Cart1.pipe(Schema.decodeTo(Schema.toType(Cart2), {
      decode: SchemaGetter.transform(({ cents, items }) => ({
        skus: Array.from({ length: items }, () => "?"),
        cents,
        isPaid: false
      })),
      encode: SchemaGetter.forbidden(() => "documents of version 1 are read only")
    }))
  }
})

class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
const Account = Category.make("account", { id: Schema.String, events: [Deposited, Withdrawn] })

const Balances = Projection.documents("balances", {
  mode: "inline",
  from: Account,
  state: Schema.Struct({ cents: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)) }),
  initial: () => ({ cents: 0 }),
  evolve: {
    Deposited: ({ cents }, { event }) => ({ cents: cents + event.cents }),
    Withdrawn: ({ cents }, { event }) => ({ cents: cents - event.cents })
  }
})

const show = (what: string, found: Option.Option<unknown>) =>
  Console.log(`${what}: ${Option.match(found, { onNone: () => "none", onSome: (state) => JSON.stringify(state) })}`)

const carts = Effect.gen(function*() {
  const store = yield* EventStore
  yield* store.append(Cart.stream("anna"), [new Added({ sku: "tea", cents: 500 }), new Paid({})])
  yield* store.append(Cart.stream("ben"), [new Added({ sku: "cup", cents: 900 }), new Abandoned({})])
  const { position } = yield* store.append(Cart.stream("carl"), [new Added({ sku: "pot", cents: 3000 })])

  yield* Projection.awaitProcessed(Carts1, position)
  yield* show("anna", yield* Projection.get(Carts1, "cart-anna"))
  yield* show("ben", yield* Projection.get(Carts1, "cart-ben"))
  const keys = Stream.map(Projection.list(Carts1, { prefix: "cart-" }), ({ key }) => key)
  yield* Console.log(`carts: ${(yield* Stream.runCollect(keys)).join(", ")}`)

  yield* upgrade.pipe(Effect.provide(Projection.layer(Carts2, { switch: "manual" })))
}).pipe(Effect.provide(Projection.layer(Carts1)))

/** The new program, beside the old one. */
const upgrade = Effect.gen(function*() {
  yield* show("anna by version 1", yield* Projection.get(Carts2, "cart-anna"))
  yield* Projection.awaitReady(Carts2)
  yield* Projection.switchTo(Carts2, 2)
  yield* show("anna by version 2", yield* Projection.get(Carts2, "cart-anna"))
})

const balances = Effect.gen(function*() {
  const store = yield* EventStore
  const anna = Account.stream("anna")
  // before it has caught up it refuses nothing
  yield* Projection.awaitReady(Balances)

  yield* store.append(anna, [new Deposited({ cents: 100 })])
  yield* show("deposited, and there already", yield* Projection.get(Balances, "account-anna"))
  const refused = yield* Effect.flip(store.append(anna, [new Withdrawn({ cents: 500 })]))
  yield* Console.log(`too much withdrawn: ${refused._tag}`)
  yield* show("nothing is stored", yield* Projection.get(Balances, "account-anna"))
  yield* Console.log(`the account is at version ${(yield* store.info(anna)).version}`)
}).pipe(Effect.provide(Projection.layer(Balances)))

await Effect.runPromise(
  Effect.andThen(carts, balances).pipe(
    Effect.provide(EventStore.layerMemory),
    // runners tell what they do
    Effect.provideService(References.MinimumLogLevel, "Error")
  )
)
