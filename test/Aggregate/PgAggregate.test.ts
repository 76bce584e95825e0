import { Layer } from "effect"
import { PgEventStore } from "effect-eventstore"
import { AggregateTest } from "effect-eventstore/Testing"
import * as TestPostgres from "../support/TestPostgres.ts"

AggregateTest.suite("postgres", Layer.provide(PgEventStore.layer(), TestPostgres.layer))
