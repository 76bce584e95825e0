/** What the types of `App.make` promise; checked by the compiler, never run. */
import { Schema } from "effect"
import { Category, Projection } from "effect-eventstore"
import { App } from "effect-eventstore/Cli"
import { describe, expectTypeOf, it } from "vitest"

class Added extends Schema.TaggedClass<Added>()("Added", { quantity: Schema.Int }) {}
const Cart = Category.make("cart", { id: Schema.String, events: [Added] })
const Sizes = Projection.documents("sizes", {
  from: Cart,
  state: Schema.Int,
  initial: () => 0,
  evolve: { Added: (size, { event }) => size + event.quantity }
})

describe("App.make", () => {
  it("takes what it knows, and nothing that is misspelt", () => {
    expectTypeOf(App.make({ dir: "./data", categories: [Cart], projections: [Sizes], log: 2 })).toEqualTypeOf<App.App>()
    // @ts-expect-error misspelt
    App.make({ dri: "./data" })
    // @ts-expect-error misspelt
    App.make({ dir: "./data", categories: [Cart], projection: [Sizes] })
  })
})
