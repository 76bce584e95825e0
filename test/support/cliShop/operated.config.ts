/** The shop as another release of it: tests say by the environment what is different. */
import { Effect, Schema } from "effect"
import { Projection } from "effect-eventstore"
import { App } from "effect-eventstore/Cli"
import { appendFileSync } from "node:fs"
import { Cart, Carts, Checkout, Mails, mails, Payment, Popular } from "./shop.ts"

const env = (name: string) => process.env[name]
const pause = env("SHOP_PAUSE") === undefined ? Effect.void : Effect.sleep(Number(env("SHOP_PAUSE")))

/** `SHOP_VERSION` is its version, `SHOP_FACTOR` what cents are multiplied by. */
const Totals = Projection.make("totals", {
  version: Number(env("SHOP_VERSION") ?? 1),
  from: Cart,
  setup: ({ sql, table }) =>
    sql`CREATE TABLE ${table("carts")} (cart text PRIMARY KEY, items int NOT NULL, cents int NOT NULL)`,
  handle: {
    Opened: ({ streamId }, { sql, table }) =>
      Effect.andThen(pause, sql`INSERT INTO ${table("carts")} VALUES (${streamId}, 0, 0)`),
    Added: ({ event: { cents, quantity }, streamId }, { sql, table }) =>
      sql`UPDATE ${table("carts")} SET items = items + ${quantity}::int4,
        cents = cents + ${cents * quantity * Number(env("SHOP_FACTOR") ?? 1)}::int4 WHERE cart = ${streamId}`,
    CheckedOut: () => Effect.void,
    Cancelled: ({ streamId }, { sql, table }) => sql`DELETE FROM ${table("carts")} WHERE cart = ${streamId}`
  }
})

/** Cannot handle what is paid for the cart `SHOP_BROKEN`. */
const Paying = Projection.documents("paying", {
  from: Payment,
  state: Schema.Int,
  initial: () => 0,
  evolve: {
    Paid: (sum, { event }) => {
      if (event.cart === env("SHOP_BROKEN")) throw new Error(`cart ${event.cart} is broken`)
      return sum + event.cents
    }
  }
})

/** Writes a line to the file `SHOP_MAILS` for each mail; fails for the cart `SHOP_BROKEN`. */
const writing = {
  from: Payment,
  handle: ({ event, position }: { readonly event: { readonly cart: string }; readonly position: number }) =>
    Effect.andThen(
      pause,
      event.cart === env("SHOP_BROKEN")
        ? Effect.fail(`no address for cart ${event.cart}`)
        : Effect.sync(() => appendFileSync(env("SHOP_MAILS")!, `${position}\n`))
    )
}

export default App.make({
  categories: [Cart, Payment],
  projections: [Totals, Popular, Paying],
  deciders: [Carts],
  subscriptions: { mails, writing, silent: { from: Payment } },
  processManagers: [Checkout],
  services: Mails.layer
})
