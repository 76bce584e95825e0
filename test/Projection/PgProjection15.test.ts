import { Layer } from "effect"
import { PgEventStore } from "effect-eventstore"
import { ProjectionTest } from "effect-eventstore/Testing"
import * as TestPostgres from "../support/TestPostgres.ts"

ProjectionTest.suite("postgres 15", Layer.provide(PgEventStore.layer(), TestPostgres.layer15))
