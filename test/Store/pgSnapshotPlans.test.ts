/** How much the statements of snapshots look at: what a load takes must not grow with the stream, nor with what else there is. */
import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { type EventId, PgMigrations, type SnapshotStorage, StreamId } from "effect-eventstore"
import type { Statement } from "../../src/Store/internal/eventsSql.ts"
import * as Sql from "../../src/Store/internal/snapshotsSql.ts"
import { looksOf, run } from "../support/looks.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const schema = "eventstore"
const tables = ["events", "snapshots", "stream_states"]

/** Events of the long stream, and of the others. */
const events = 50_000
const others = 20_000

class Database extends Context.Service<Database, PgClient.PgClient>()("test/Database") {}

/** One connection: generic plans that it makes while the tables are empty are those that it keeps. */
const database = <E, R>(url: Effect.Effect<string, E, R>, plans: "generic" | "custom") =>
  Layer.effect(
    Database,
    Effect.gen(function*() {
      const context = yield* Layer.build(PgClient.layer({ url: Redacted.make(yield* url), maxConnections: 1 }))
      const sql = Context.get(context, PgClient.PgClient)
      yield* PgMigrations.migrate(sql)
      // whatever the statistics say: nobody looks at them while this runs
      for (const table of tables) yield* sql.unsafe(`ALTER TABLE ${schema}.${table} SET (autovacuum_enabled = off)`)
      yield* sql.unsafe(`SET plan_cache_mode TO force_${plans}_plan`)
      yield* Effect.forEach(Object.values(statements), ({ statement }) => run(sql, statement))
      yield* fill(sql)
      // a plan for what it finds needs to know what that is
      if (plans === "custom") yield* analyze(sql)
      return sql
    })
  )

const analyze = (sql: PgClient.PgClient) =>
  Effect.forEach(tables, (table) => sql.unsafe(`ANALYZE ${schema}.${table}`), { discard: true })

const idOf = (position: string) => `('00000000-0000-7000-8000-' || lpad((${position})::text, 12, '0'))::uuid`

const eventIdOf = (position: number) =>
  `00000000-0000-7000-8000-${String(position).padStart(12, "0")}` as EventId.EventId

const fill = (sql: PgClient.PgClient) =>
  Effect.gen(function*() {
    yield* sql.unsafe(`
      INSERT INTO eventstore.events (
        log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, recorded_at
      )
      SELECT
        1, i, CASE WHEN i <= ${events} THEN 'long-1' ELSE 'c' || i % 10 || '-' || i END,
        CASE WHEN i <= ${events} THEN i ELSE 1 END, ${idOf("i")}, 'Noted', 1, '{}', now()
      FROM generate_series(1, ${events + others}) i`)
    yield* sql.unsafe(`
      INSERT INTO eventstore.snapshots (
        log_id, stream_id, name, schema_version, stream_version, position, event_id, truncated_before, bytes, saved_at, state
      )
      SELECT 1, e.stream_id, n.name, 1, e.stream_version, e.position, e.event_id, 0, 2, now(), '{}'
      FROM eventstore.events e
      CROSS JOIN (VALUES ('s'), ('t')) AS n(name)
      WHERE e.position = ${events - 10} OR e.position > ${events}`)
    yield* sql.unsafe(`
      INSERT INTO eventstore.snapshots (
        log_id, stream_id, name, schema_version, stream_version, position, event_id, truncated_before, bytes, saved_at, state
      )
      SELECT 1, 'long-1', 'rare', 1, e.stream_version, e.position, e.event_id, 7, 2, now(), '{}'
      FROM eventstore.events e WHERE e.position = 5`)
    yield* sql.unsafe(`
      INSERT INTO eventstore.stream_states (log_id, stream_id, truncated_before)
      SELECT 1, 'c' || i % 10 || '-' || i, 1 FROM generate_series(${events + 1}, ${events + others}) i`)
  })

const long = StreamId.make("long-1")
const range = { to: Number.MAX_SAFE_INTEGER, limit: 500, bytes: 1e9 }
const mark = (version: number): SnapshotStorage.SnapshotMark => ({
  streamVersion: version,
  position: version,
  eventId: eventIdOf(version),
  truncatedBefore: 0
})
const snapshot = (name: string, version: number): SnapshotStorage.NewSnapshot => ({
  ...mark(version),
  name,
  streamId: long,
  schemaVersion: 1,
  state: "{}"
})
const page = (filter: SnapshotStorage.SnapshotFilter, after?: SnapshotStorage.SnapshotKey) =>
  Sql.snapshotsPage(schema, 1, filter, after, 50)

/** Each with how many rows it answers, and how many it may look at, in tables and indexes. */
const statements: Record<string, { readonly statement: Statement; readonly rows: number; readonly looks: number }> = {
  "a load of a long stream": { statement: Sql.loadSnapshot(schema, 1, long, "s", range), rows: 11, looks: 20 },
  "a load of a short stream": {
    statement: Sql.loadSnapshot(schema, 1, `c1-${events + 1}`, "s", range),
    rows: 1,
    looks: 8
  },
  "a load of a page without a snapshot": {
    statement: Sql.loadSnapshot(schema, 1, long, "none", { ...range, limit: 20 }),
    rows: 21,
    looks: 30
  },
  "a load where the snapshot does not hold": {
    statement: Sql.loadSnapshot(schema, 1, long, "rare", { ...range, limit: 20 }),
    rows: 21,
    looks: 30
  },
  "a look at what is new": { statement: Sql.resumeFrom(schema, 1, long, mark(events), range), rows: 1, looks: 4 },
  "a save of the newest": { statement: Sql.saveSnapshot(schema, 1, snapshot("s", events)), rows: 1, looks: 12 },
  "a save of an older one": { statement: Sql.saveSnapshot(schema, 1, snapshot("s", 3)), rows: 1, looks: 12 },
  "a save of the first one": { statement: Sql.saveSnapshot(schema, 1, snapshot("new", 3)), rows: 1, looks: 12 },
  "a page of all snapshots": {
    statement: page({}, { streamId: `c3-${events + 5003}`, name: "s" }),
    rows: 50,
    looks: 220
  },
  "a page of a category": { statement: page({ category: "c5" }), rows: 50, looks: 220 },
  "a page of a name that few have": { statement: page({ name: "rare" }), rows: 1, looks: 20 },
  "a page of a name within a category": {
    statement: page({ category: "c5", name: "t" }),
    rows: 50,
    looks: 330
  },
  "a drop of one": { statement: Sql.dropSnapshots(schema, 1, { streamId: long, name: "t" }), rows: 1, looks: 8 },
  "a drop of a name that few have": { statement: Sql.dropSnapshots(schema, 1, { name: "rare" }), rows: 1, looks: 20 }
}

const plansTests = (name: string, live: Layer.Layer<Database, unknown>) =>
  layer(live, { excludeTestServices: true, timeout: "2 minutes" })(`snapshots in ${name}`, (it) => {
    for (const [what, { looks, rows, statement }] of Object.entries(statements)) {
      it.effect(`look at no more for ${what} than they need`, () =>
        Effect.gen(function*() {
          const looked = yield* looksOf(yield* Database, tables, statement)
          assert.strictEqual(looked.rows, rows)
          assert.isAtMost(looked.all, looks, JSON.stringify(looked))
        }))
    }
    it.effect("look at no more once statistics are there", () =>
      Effect.gen(function*() {
        const sql = yield* Database
        yield* analyze(sql)
        for (const [what, { looks, rows, statement }] of Object.entries(statements)) {
          const looked = yield* looksOf(sql, tables, statement)
          assert.strictEqual(looked.rows, rows, what)
          assert.isAtMost(looked.all, looks, what + JSON.stringify(looked))
        }
      }))
  })

for (const plans of ["generic", "custom"] as const) {
  plansTests(`Postgres 18, ${plans} plans`, database(TestPostgres.url, plans) as Layer.Layer<Database, unknown>)
  plansTests(`Postgres 15, ${plans} plans`, database(TestPostgres.url15, plans) as Layer.Layer<Database, unknown>)
}
