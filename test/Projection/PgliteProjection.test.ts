import { PgliteEventStore } from "effect-eventstore"
import { ProjectionTest } from "effect-eventstore/Testing"

// one connection: what goes on outside waits while a transaction is open
ProjectionTest.suite("pglite", PgliteEventStore.layer(), { transactions: "exclusive" })
