import { App } from "effect-eventstore/Cli"
import { ByCustomer, Cart, Carts, Checkout, Mails, mails, Payment, Popular, Totals } from "./shop.ts"

export default App.make({
  categories: [Cart, Payment],
  projections: [Totals, Popular, ByCustomer],
  deciders: [Carts],
  subscriptions: { mails },
  processManagers: [Checkout],
  services: Mails.layer
})
