import { PgliteEventStore } from "effect-eventstore"
import { AggregateTest } from "effect-eventstore/Testing"

// one connection: what goes on outside waits while a transaction is open
AggregateTest.suite("pglite", PgliteEventStore.layer(), { transactions: "exclusive" })
