import { describe, layer as sharedLayer } from "@effect/vitest"
import { Layer } from "effect"
import { EventStore, PgEventStore, PgliteEventStore } from "effect-eventstore"
import { persistentSubjects } from "../../src/Testing/internal/persistentSubjects.ts"
import { type Options, ruleOf } from "../../src/Testing/internal/rule.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const suite = <E>(name: string, layer: Layer.Layer<EventStore, E>, options: Options) =>
  sharedLayer(layer, { excludeTestServices: true, timeout: "1 minute" })(`PersistentSubscription (${name})`, (it) => {
    for (const [subject, rules] of Object.entries(persistentSubjects)) {
      describe(subject, () => {
        for (const declare of rules) declare(ruleOf(it), options)
      })
    }
  })

suite("memory", EventStore.layerMemory, { transactions: "concurrent" })
suite("postgres", Layer.provide(PgEventStore.layer(), TestPostgres.layer), { transactions: "concurrent" })
suite("pglite", PgliteEventStore.layer(), { transactions: "exclusive" })
