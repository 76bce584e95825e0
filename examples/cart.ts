/**
 * A shopping cart whose decision asks a service for prices. Its lines are a small decider of their own: one for each
 * article, all in the stream of the cart.
 */
import { Console, Context, Effect, HashMap, Layer, Schema } from "effect"
import { Category, Decider, EventStore } from "effect-eventstore"

class QuantityChanged extends Schema.TaggedClass<QuantityChanged>()("QuantityChanged", {
  sku: Schema.String,
  by: Schema.Int
}) {}
class CheckedOut extends Schema.TaggedClass<CheckedOut>()("CheckedOut", { cents: Schema.Int }) {}
const Cart = Category.make("cart", { id: Schema.String, events: [QuantityChanged, CheckedOut] })

class NotThatMany extends Schema.TaggedError<NotThatMany>()("NotThatMany", { quantity: Schema.Int }) {}
class Empty extends Schema.TaggedError<Empty>()("Empty", {}) {}
class AlreadyCheckedOut extends Schema.TaggedError<AlreadyCheckedOut>()("AlreadyCheckedOut", {}) {}

class Prices extends Context.Service<Prices, { readonly of: (sku: string) => Effect.Effect<number> }>()("shop/Prices") {
  static readonly layer = Layer.succeed(Prices, { of: (sku) => Effect.succeed(sku === "tea" ? 450 : 900) })
}

/** The quantity of one article: it knows nothing of carts. */
const quantity = Decider.of({
  initial: 0,
  evolve: (quantity: number, by: number) => quantity + by,
  decide: (by: number, quantity: number) =>
    quantity + by < 0 ? Effect.fail(new NotThatMany({ quantity })) : Effect.succeed(by === 0 ? [] : [by])
})

/** As many of it as there are articles, with the events of the cart. */
const lines = Decider.mapEvents(Decider.many<string>()(quantity), {
  to: ({ key, value }) => new QuantityChanged({ sku: key, by: value }),
  from: (event: QuantityChanged) => ({ key: event.sku, value: event.by })
})

class Add extends Schema.TaggedClass<Add>()("Add", { sku: Schema.String, quantity: Schema.Int }) {}
class Remove extends Schema.TaggedClass<Remove>()("Remove", { sku: Schema.String, quantity: Schema.Int }) {}
class CheckOut extends Schema.TaggedClass<CheckOut>()("CheckOut", {}) {}

interface State {
  readonly lines: HashMap.HashMap<string, number>
  readonly paid: number | undefined
}
const initial: State = { lines: lines.initial, paid: undefined }

const change = (sku: string, by: number, { lines: states, paid }: State) =>
  paid === undefined
    ? lines.decide({ key: sku, value: by }, states)
    : Effect.fail(new AlreadyCheckedOut())

const Carts = Decider.make(Cart, {
  commands: [Add, Remove, CheckOut],
  initial,
  evolve: {
    QuantityChanged: (state, event) => ({ ...state, lines: lines.evolve(state.lines, event) }),
    CheckedOut: (state, { cents }) => ({ ...state, paid: cents })
  },
  decide: {
    Add: ({ quantity, sku }, state) => change(sku, quantity, state),
    Remove: ({ quantity, sku }, state) => change(sku, -quantity, state),
    CheckOut: Effect.fnUntraced(function*(_: CheckOut, { lines, paid }: State) {
      if (paid !== undefined) return [] // there is nothing left to do
      const prices = yield* Prices
      let cents = 0
      for (const [sku, quantity] of lines) cents += quantity * (yield* prices.of(sku))
      if (cents === 0) return yield* new Empty()
      return [new CheckedOut({ cents })]
    })
  }
})

const show = ({ lines, paid }: State) =>
  [...HashMap.entries(lines)].map(([sku, quantity]) => `${sku} ${quantity}`).sort().join(", ") +
  (paid === undefined ? "" : `, paid ${paid}`)

const program = Effect.gen(function*() {
  yield* Console.log(`nothing in it: ${(yield* Effect.flip(Carts.run("42", new CheckOut())))._tag}`)
  yield* Carts.run("42", new Add({ sku: "tea", quantity: 3 }))
  yield* Carts.run("42", new Add({ sku: "cup", quantity: 1 }))
  const removed = yield* Carts.run("42", new Remove({ sku: "tea", quantity: 1 }))
  yield* Console.log(`${show(removed.state)} (version ${removed.version})`)
  const many = yield* Effect.flip(Carts.run("42", new Remove({ sku: "cup", quantity: 2 })))
  yield* Console.log(`two cups less: ${many._tag}`)
  yield* Console.log(show((yield* Carts.run("42", new CheckOut())).state))
  const again = yield* Carts.run("42", new CheckOut())
  yield* Console.log(`checked out again: ${again.events.length} events, version ${again.version}`)
  yield* Console.log(`too late: ${(yield* Effect.flip(Carts.run("42", new Add({ sku: "cup", quantity: 1 }))))._tag}`)
})

await Effect.runPromise(program.pipe(Effect.provide([EventStore.layerMemory, Prices.layer])))
