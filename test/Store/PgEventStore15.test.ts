import { Layer } from "effect"
import { PgEventStore } from "effect-eventstore"
import { EventStoreTest } from "effect-eventstore/Testing"
import * as TestPostgres from "../support/TestPostgres.ts"

EventStoreTest.suite("postgres 15", Layer.provide(PgEventStore.layer(), TestPostgres.layer15))
