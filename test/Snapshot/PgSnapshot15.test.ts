import { Layer } from "effect"
import { PgEventStore } from "effect-eventstore"
import { SnapshotTest } from "effect-eventstore/Testing"
import * as TestPostgres from "../support/TestPostgres.ts"

SnapshotTest.suite("postgres 15", Layer.provide(PgEventStore.layer(), TestPostgres.layer15))
