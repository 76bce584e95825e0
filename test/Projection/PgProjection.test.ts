import { Layer } from "effect"
import { PgEventStore } from "effect-eventstore"
import { ProjectionTest } from "effect-eventstore/Testing"
import * as TestPostgres from "../support/TestPostgres.ts"

ProjectionTest.suite("postgres", Layer.provide(PgEventStore.layer(), TestPostgres.layer))
