/** How much the statements of projections look at: what they take must not grow with what else there is. */
import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Redacted } from "effect"
import { PgMigrations } from "effect-eventstore"
import * as DocumentsSql from "../../src/Store/internal/documentsSql.ts"
import type { Statement } from "../../src/Store/internal/eventsSql.ts"
import * as LinksSql from "../../src/Store/internal/linksSql.ts"
import * as ParkedSql from "../../src/Store/internal/parkedSql.ts"
import * as Sql from "../../src/Store/internal/projectionsSql.ts"
import * as TimersSql from "../../src/Store/internal/timersSql.ts"
import { looksOf, run, undone } from "../support/looks.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const schema = "eventstore"
const tables = [
  "documents",
  "events",
  "links",
  "parked_events",
  "parked_keys",
  "projection_failures",
  "projection_partitions",
  "projection_runners",
  "projection_versions",
  "projections",
  "timers"
]

const documents = 100_000
const keys = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `k${from + i}`)

class Database extends Context.Service<Database, PgClient.PgClient>()("test/Database") {}

/** One connection: the plans that it makes while the tables are empty are those that it keeps. */
const database = <E, R>(url: Effect.Effect<string, E, R>) =>
  Layer.effect(
    Database,
    Effect.gen(function*() {
      const context = yield* Layer.build(PgClient.layer({ url: Redacted.make(yield* url), maxConnections: 1 }))
      const sql = Context.get(context, PgClient.PgClient)
      yield* PgMigrations.migrate(sql)
      // whatever the statistics say: nobody looks at them while this runs
      for (const table of tables) yield* sql.unsafe(`ALTER TABLE ${schema}.${table} SET (autovacuum_enabled = off)`)
      yield* sql`SET plan_cache_mode TO force_generic_plan`
      const register = (version: number) =>
        run(
          sql,
          Sql.registerProjection(
            schema,
            1,
            {
              name: "p",
              version,
              filter: everything,
              kind: "documents",
              isInline: false,
              schema: null
            },
            4,
            { position: 0, eventId: null }
          )
        )
      yield* register(1)
      yield* Effect.forEach(Object.values(statements), ({ statement }) => undone(sql, run(sql, statement)))
      yield* fill(sql)
      for (let version = 2; version < 50; version++) yield* register(version)
      return sql
    })
  )

const everything = {
  types: null,
  categories: null,
  streamPrefix: null,
  tags: null,
  recordedFrom: null,
  recordedUntil: null
}

/** Version 1 among others that have as much, and not its keys. */
const fill = (sql: PgClient.PgClient) =>
  Effect.gen(function*() {
    yield* sql.unsafe(`
      INSERT INTO eventstore.events (
        log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, recorded_at
      )
      SELECT 1, i, 'notes-' || i % 100, i, gen_random_uuid(), 'Noted', 1, '{}', now() FROM generate_series(1, 20000) i`)
    for (const version of [1, 2]) {
      yield* sql.unsafe(`
        INSERT INTO eventstore.documents (version_id, document_key, state)
        SELECT ${version}, 'k' || i, '{"n":1}' FROM generate_series(0, ${documents - 1}) i`)
      yield* sql.unsafe(`
        INSERT INTO eventstore.links (version_id, link_key, position)
        SELECT ${version}, 'k' || i % 10, i FROM generate_series(1, 20000) i`)
      yield* sql.unsafe(`
        INSERT INTO eventstore.parked_events (version_id, order_key, position, attempts, parked_at)
        SELECT ${version}, 'k' || i % 100, i, 1, now() FROM generate_series(1, 20000) i`)
      yield* sql.unsafe(`
        INSERT INTO eventstore.parked_keys (version_id, order_key) SELECT ${version}, 'k' || i FROM generate_series(0, 99) i`)
      yield* sql.unsafe(`
        INSERT INTO eventstore.timers (log_id, owner, timer_key, name, due_at)
        SELECT 1, 'p${version}', 'k' || i, 't', to_timestamp(i) FROM generate_series(1, 20000) i`)
    }
  })

const advance = {
  id: 1,
  partition: 0,
  epoch: 1,
  from: 0,
  to: 0,
  eventId: null,
  handled: 1,
  rate: 1,
  isCaughtUp: false,
  lease: Duration.hours(1),
  now: 0
}

const page = { direction: "forward", from: 1, to: 20000, limit: 100, bytes: 1e9 } as const

/** A table of a page or two is read whole, once that is known of it. */
const small = 300

/** Each with how many rows it may look at, in tables and indexes. */
const statements: Record<string, { readonly statement: Statement; readonly looks: number }> = {
  "a claim": {
    statement: Sql.claimPartitions(schema, { id: 1, runner: "a", lease: Duration.hours(1), now: 0 }),
    looks: 150
  },
  "a look before a batch": { statement: Sql.beginAdvance(schema, advance), looks: 2 },
  "an advance": { statement: Sql.advancePartition(schema, advance), looks: 5 },
  "an advance that parks": {
    statement: Sql.advancePartition(schema, {
      ...advance,
      park: [{ key: "k1", position: 20_001, attempts: 1, error: null }]
    }),
    looks: 10
  },
  "an advance that finishes what was parked": {
    statement: Sql.advancePartition(schema, { ...advance, unpark: { key: "k1", positions: [1, 101, 201] } }),
    looks: 20
  },
  "the progress": { statement: Sql.projectionProgress(schema, 1, "p"), looks: 8 },
  "the load of documents": { statement: DocumentsSql.readDocuments(schema, 1, keys(2000)), looks: 2000 },
  "the load of documents that are locked": {
    statement: DocumentsSql.lockDocuments(schema, 1, keys(2000)),
    looks: 4100
  },
  "the load of documents that are not there": {
    statement: DocumentsSql.readDocuments(schema, 1, keys(2000, documents)),
    looks: 0
  },
  "the change of documents": {
    statement: DocumentsSql.saveDocuments(schema, 1, keys(2000).map((key) => ({ key, state: "{\"n\":2}" }))),
    looks: 2100
  },
  "the removal of documents": {
    statement: DocumentsSql.saveDocuments(schema, 1, keys(2000, 5000).map((key) => ({ key, state: null }))),
    looks: 2100
  },
  "documents of what is live": { statement: DocumentsSql.liveDocuments(schema, 1, "p", keys(10)), looks: 15 },
  "a page of documents": {
    statement: DocumentsSql.documentsPage(schema, 1, { prefix: "k5", after: "k55", limit: 100 }),
    looks: 150
  },
  "the links of new events": {
    statement: LinksSql.addLinks(
      schema,
      1,
      1,
      Array.from({ length: 500 }, (_, i) => ({ key: "new", position: i + 1 }))
    ),
    looks: 1050
  },
  "a page of links": { statement: LinksSql.linksPage(schema, 1, 1, "k3", page), looks: 250 },
  "a page of links backwards": {
    statement: LinksSql.linksPage(schema, 1, 1, "k3", { ...page, direction: "backward", from: 20000, to: 1 }),
    looks: 250
  },
  "a page of all links": {
    statement: LinksSql.visibleLinks(schema, 1, 1, { after: { key: "k3", position: 1 }, limit: 100 }),
    looks: 350
  },
  "a page of parked events": {
    statement: ParkedSql.parkedEvents(schema, 1, 1, { key: undefined, after: 100, limit: 100 }),
    looks: 450
  },
  "a page of parked events of a key": {
    statement: ParkedSql.parkedEvents(schema, 1, 1, { key: "k7", after: 100, limit: 100 }),
    looks: 450
  },
  "timers that are due": { statement: TimersSql.dueTimers(schema, 1, "p1", 10, 5_000_000), looks: 15 },
  "a page of timers": { statement: TimersSql.timersPage(schema, 1, "p1", 10), looks: 12 },
  "the change of a timer": {
    statement: TimersSql.changeTimers(schema, 1, "p1", [{ key: "k9", name: "t", at: 9000 }]),
    looks: 3
  },
  "the end of a process's timers": { statement: TimersSql.clearTimers(schema, 1, "p1", "k9"), looks: 3 }
}

const plansTests = (name: string, live: Layer.Layer<Database, unknown>) =>
  layer(live, { excludeTestServices: true, timeout: "2 minutes" })(`projections in ${name}`, (it) => {
    for (const analyzed of [false, true]) {
      for (const [what, { looks, statement }] of Object.entries(statements)) {
        it.effect(`look at no more for ${what} than they need${analyzed ? ", once statistics are there" : ""}`, () =>
          Effect.gen(function*() {
            const sql = yield* Database
            if (analyzed && !wereAnalyzed.has(name)) {
              for (const table of tables) yield* sql.unsafe(`ANALYZE ${schema}.${table}`)
              wereAnalyzed.add(name)
            }
            const looked = yield* looksOf(sql, tables, statement)
            assert.isAtMost(looked.all, analyzed ? looks + small : looks, JSON.stringify(looked))
          }))
      }
    }
  })

const wereAnalyzed = new Set<string>()

plansTests("Postgres 18", database(TestPostgres.url) as Layer.Layer<Database, unknown>)
plansTests("Postgres 15", database(TestPostgres.url15) as Layer.Layer<Database, unknown>)
