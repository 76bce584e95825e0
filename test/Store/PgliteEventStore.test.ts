import { PgliteEventStore } from "effect-eventstore"
import { EventStoreTest } from "effect-eventstore/Testing"

// one connection: what goes on outside waits while a transaction is open
EventStoreTest.suite("pglite", PgliteEventStore.layer(), { transactions: "exclusive" })
