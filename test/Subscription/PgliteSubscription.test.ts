import { PgliteEventStore } from "effect-eventstore"
import { SubscriptionTest } from "effect-eventstore/Testing"

// one connection: what goes on outside waits while a transaction is open
SubscriptionTest.suite("pglite", PgliteEventStore.layer(), { transactions: "exclusive" })
