/** What an application may declare to the command line, where no compiler looked at it. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Layer } from "effect"
import { App, Cli } from "effect-eventstore/Cli"
import { Command } from "effect/cli"
import { join } from "node:path"
import { checkDeclared } from "../../src/Cli/internal/frame/declared.ts"
import { Cart, Carts, Popular, Totals } from "../support/cliShop/shop.ts"
import { directory } from "../support/commandLine.ts"

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

describe("a command line of one's own", () => {
  it.live("is called by its name in examples and hints, and takes no configuration file", () =>
    Effect.gen(function*() {
      const said: Array<string> = []
      const say = (text: string) => said.push(text)
      const app = App.make({ dir: join(yield* directory, "data") })
      const log = Cli.make({ name: "log", program: "shop log", app })
      const shop = Command.make("shop").pipe(Command.withSubcommands([log]))
      const typed = (...words: ReadonlyArray<string>) =>
        Effect.exit(Command.runWith(shop, { version: "1.0.0" })(words)).pipe(
          Effect.provide(Layer.provideMerge(Cli.presenter, NodeServices.layer)),
          Effect.provideService(Console.Console, { ...console, log: say, error: say }),
          Effect.map(() => said.splice(0).join("\n"))
        )
      assert.include(yield* typed("log", "streams", "list"), "shop log migrate makes one")
      const help = yield* typed("log", "streams", "list", "--help")
      assert.include(help, "shop log streams list --category cart")
      assert.notMatch(help, /eventstore streams|--config/)
      const wrong = yield* typed("log", "streams", "lst")
      assert.include(wrong, "See shop log streams --help")
      assert.notInclude(wrong, "GLOBAL FLAGS")
      assert.include(yield* typed("log", "init"), "Unknown subcommand")
    }).pipe(Effect.scoped))
})
