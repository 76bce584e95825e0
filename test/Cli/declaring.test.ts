/** What an application may declare to the command line, where no compiler looked at it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { App } from "effect-eventstore/Cli"
import { checkDeclared } from "../../src/Cli/internal/declared.ts"
import { Cart, Carts, Popular, Totals } from "../support/cliShop/shop.ts"

describe("what an application declares", () => {
  it.effect("is refused where a key means nothing, or a name is there twice", () =>
    Effect.gen(function*() {
      const said = (declared: object) =>
        Effect.map(
          Effect.flip(checkDeclared(App.make(declared as {}), "The application")),
          ({ code, message }) => `${code} ${message}`
        )
      assert.match(yield* said({ dri: "./data" }), /^2 The application declares "dri".*takes url, dir, /)
      assert.include(yield* said({ categories: [Cart, Cart] }), "two categories of the name cart")
      assert.include(yield* said({ projections: [Totals, Popular, Totals] }), "two projections of the name totals")
      assert.include(yield* said({ deciders: [Carts, Carts] }), "two deciders of the category cart")
      yield* checkDeclared(App.make({ dir: "./data", categories: [Cart], projections: [Totals, Popular] }), "It")
    }))
})
