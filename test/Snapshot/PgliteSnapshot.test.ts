import { PgliteEventStore } from "effect-eventstore"
import { SnapshotTest } from "effect-eventstore/Testing"

// one connection: what goes on outside waits while a transaction is open
SnapshotTest.suite("pglite", PgliteEventStore.layer(), { transactions: "exclusive" })
