/** How much a claim looks at: what it takes must not grow with what was parked, or with what is finished. */
import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { PgMigrations } from "effect-eventstore"
import * as TestPostgres from "../support/TestPostgres.ts"

const parked = 100_000
const waiting = 1000

class Database extends Context.Service<Database, {
  readonly url: string
  readonly sql: PgClient.PgClient
}>()("test/Database") {}

const connect = (url: string) =>
  Effect.map(
    Layer.build(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })),
    (context) => Context.get(context, PgClient.PgClient)
  )

/** One connection: the plans that it makes while the tables are empty are those that it keeps. */
const database = <E, R>(url: Effect.Effect<string, E, R>) =>
  Layer.effect(
    Database,
    Effect.gen(function*() {
      const address = yield* url
      const sql = yield* connect(address)
      yield* PgMigrations.migrate(sql)
      // whatever the statistics say: nobody looks at them while this runs
      for (const table of ["deliveries", "parked_deliveries"]) {
        yield* sql.unsafe(`ALTER TABLE eventstore.${table} SET (autovacuum_enabled = off)`)
      }
      yield* subscribe(sql, "empty", false)
      yield* subscribe(sql, "empty_blocking", true)
      for (const id of [1, 2]) {
        yield* sql.unsafe(claim(id, { offer: [1, 3] }))
        yield* sql.unsafe(settle(id, 1, 1, 3))
        yield* sql.unsafe(claim(id, { now: "infinity" }))
      }
      return { url: address, sql }
    })
  )

const subscribe = (sql: PgClient.PgClient, name: string, parkedBlocks: boolean) =>
  Effect.gen(function*() {
    yield* sql`SELECT eventstore.create_subscription(1, ${name}, '{}', 'key', ${parkedBlocks}::bool, 1000, 0, NULL)`
    const [row] = yield* sql<{ id: number }>`
      SELECT subscription_id AS id FROM eventstore.subscriptions WHERE name = ${name}`
    return row!.id
  })

/** A claim; the offer is a range of positions with one key. */
const claim = (
  id: number,
  options: { readonly offer?: readonly [number, number]; readonly limit?: number; readonly now?: string } = {}
) => {
  const [first, last] = options.offer ?? []
  const range = `generate_series(${first}::int8, ${last}::int8) AS n(position)`
  const offer = options.offer === undefined
    ? "NULL, NULL, NULL, NULL, NULL, NULL"
    : `NULL, ${first! - 1}, ${last}, NULL, ARRAY(SELECT position FROM ${range}), ARRAY(SELECT 'hot' FROM ${range})`
  return `SELECT order_key FROM eventstore.claim_deliveries(
    ${id}, ${options.now === undefined ? "NULL" : `'${options.now}'`}, ${
    options.limit ?? 32
  }, '1 hour', 9, true, ${offer})`
}

/** Settles the deliveries of one lease, from one position to another. */
const settle = (id: number, lease: number, first: number, last: number) => {
  const range = `generate_series(${first}::int8, ${last}::int8) AS n(position)`
  return `SELECT eventstore.settle_deliveries(
    ${id}, NULL, ARRAY(SELECT position FROM ${range}), ARRAY(SELECT ${lease}::int8 FROM ${range}), NULL, NULL, NULL, NULL
  ) AS refused`
}

/** A subscription with deliveries that were parked, of a thousand keys or the one that is hot, and many that wait. */
const fill = Effect.fnUntraced(function*(
  sql: PgClient.PgClient,
  name: string,
  options: { readonly parkedBlocks: boolean; readonly parkedKey: string }
) {
  const id = yield* subscribe(sql, name, options.parkedBlocks)
  yield* sql.unsafe(`
    INSERT INTO eventstore.parked_deliveries (subscription_id, position, order_key, attempts, reason, parked_at)
    SELECT ${id}, i, ${options.parkedKey}, 1, 'on purpose', now() FROM generate_series(1, ${parked}) i`)
  yield* sql`UPDATE eventstore.subscriptions SET position = ${parked}::int8 WHERE subscription_id = ${id}::int4`
  yield* sql.unsafe(claim(id, { offer: [parked + 1, parked + waiting], limit: 0 }))
  return id
})

const othersKeys = "'other' || i % 1000"

/** Rows that a statement looks at in the two tables, by an index or one after another; and how many it answers. */
const seen = (sql: PgClient.PgClient, statement: string) =>
  sql.withTransaction(Effect.gen(function*() {
    // what this session counted and did not report yet
    const counts = sql<{ scanned: number; read: number }>`
      SELECT
        pg_stat_get_xact_tuples_returned(c.oid)::int4 AS scanned,
        (SELECT sum(pg_stat_get_xact_tuples_returned(i.indexrelid)) FROM pg_index i WHERE i.indrelid = c.oid)::int4 AS read
      FROM pg_class c
      WHERE c.oid IN ('eventstore.deliveries'::regclass, 'eventstore.parked_deliveries'::regclass)
      ORDER BY c.relname`
    const before = yield* counts
    const rows = yield* sql.unsafe(statement)
    const after = yield* counts
    const [deliveries, parked] = after.map(({ read }, i) => read - before[i]!.read)
    const scanned = after.reduce((sum, { scanned }, i) => sum + scanned - before[i]!.scanned, 0)
    return { rows: rows.length, scanned, deliveries: deliveries!, parked: parked! }
  }))

/** Pages that a statement touches. */
const pages = (sql: PgClient.PgClient, statement: string) =>
  Effect.map(sql.unsafe(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement}`).values, ([row]) => {
    const [{ Plan: plan }] = (typeof row![0] === "string" ? JSON.parse(row![0]) : row![0]) as [any]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
  })

const plansTests = (name: string, live: Layer.Layer<Database, unknown>) =>
  layer(live, { excludeTestServices: true, timeout: "1 minute" })(`the claims of ${name}`, (it) => {
    let names = 0
    const subscription = (options: { readonly parkedBlocks: boolean; readonly parkedKey: string }) =>
      Effect.flatMap(Database, ({ sql }) => Effect.map(fill(sql, `s${++names}`, options), (id) => ({ id, sql })))

    for (const parkedBlocks of [false, true]) {
      const which = parkedBlocks ? "that block their keys" : "that do not block"
      it.effect(`look at no delivery of another key that is parked, of many ${which}`, () =>
        Effect.gen(function*() {
          const { id, sql } = yield* subscription({ parkedBlocks, parkedKey: othersKeys })
          for (const analyzed of [false, true]) {
            const first = parked + (analyzed ? 33 : 1)
            if (analyzed) yield* sql`ANALYZE eventstore.deliveries, eventstore.parked_deliveries`
            const claimed = yield* seen(sql, claim(id))
            const message = JSON.stringify({ analyzed, ...claimed })
            assert.strictEqual(claimed.rows, 33, message)
            assert.strictEqual(claimed.scanned, 0, message)
            assert.isAtMost(claimed.parked, 2, message)
            // once for what blocks, and a second time only where something else does than leases
            assert.isAtMost(claimed.deliveries, (parkedBlocks ? 2 : 1) * waiting + 200, message)
            const settled = yield* seen(sql, settle(id, analyzed ? 2 : 1, first, first + 31))
            assert.strictEqual(settled.scanned, 0, JSON.stringify(settled))
            assert.isAtMost(settled.deliveries, 100, JSON.stringify(settled))
            assert.strictEqual(settled.parked, 0, JSON.stringify(settled))
          }
        }))
    }

    it.effect("look at one delivery of a key whose parked ones block it, of many", () =>
      Effect.gen(function*() {
        const { id, sql } = yield* subscription({ parkedBlocks: true, parkedKey: "'hot'" })
        const claimed = yield* seen(sql, claim(id))
        assert.strictEqual(claimed.rows, 1, JSON.stringify(claimed))
        assert.isAtMost(claimed.parked, 2, JSON.stringify(claimed))
      }))

    it.effect("look at no delivery of another key that is parked, though all that the statistics know is that key", () =>
      Effect.gen(function*() {
        const { sql } = yield* Database
        yield* sql`TRUNCATE eventstore.parked_deliveries`
        const { id } = yield* subscription({ parkedBlocks: true, parkedKey: "'cold'" })
        yield* sql`ANALYZE eventstore.parked_deliveries`
        const claimed = yield* seen(sql, claim(id))
        assert.strictEqual(claimed.rows, 33, JSON.stringify(claimed))
        assert.isAtMost(claimed.parked, 2, JSON.stringify(claimed))
      }))

    it.effect("look at no more where deliveries wait for their time, or ran out of theirs", () =>
      Effect.gen(function*() {
        const { id, sql } = yield* subscription({ parkedBlocks: false, parkedKey: othersKeys })
        yield* sql`UPDATE eventstore.deliveries SET due_at = 'infinity', order_key = 'cold'
          WHERE subscription_id = ${id}::int4 AND position % 2 = 0`
        yield* sql`UPDATE eventstore.deliveries SET lease = 0, lost = 2
          WHERE subscription_id = ${id}::int4 AND position % 500 = 1`
        const claimed = yield* seen(sql, claim(id))
        const message = JSON.stringify(claimed)
        assert.strictEqual(claimed.rows, 2, message)
        assert.strictEqual(claimed.scanned + claimed.parked, 0, message)
        // those that were changed by hand are there twice
        assert.isAtMost(claimed.deliveries, 3 * waiting, message)
      }))

    it.effect("look at the deliveries that are offered, of many parked ones that may be among them", () =>
      Effect.gen(function*() {
        const { id, sql } = yield* subscription({ parkedBlocks: false, parkedKey: othersKeys })
        yield* sql.unsafe(
          `SELECT eventstore.update_subscription(1, name, NULL, NULL, NULL, NULL, true, 0, NULL)
          FROM eventstore.subscriptions WHERE subscription_id = ${id}`
        )
        const claimed = yield* seen(sql, claim(id, { offer: [1, 50] }))
        assert.strictEqual(claimed.rows, 1, JSON.stringify(claimed))
        assert.isAtMost(claimed.parked, 60, JSON.stringify(claimed))
      }))

    it.effect("touch no page of what was finished while somebody keeps an old snapshot", () =>
      Effect.gen(function*() {
        const { sql, url } = yield* Database
        const id = yield* subscribe(sql, "finished", false)
        const scope = yield* Scope.make()
        const other = yield* Scope.provide(connect(url), scope)
        const connection = yield* Scope.provide(other.reserve, scope)
        yield* connection.executeRaw("BEGIN ISOLATION LEVEL REPEATABLE READ", [])
        yield* connection.executeRaw("SELECT count(*) FROM eventstore.deliveries", [])
        let position = 0
        let lease = 0
        /** Claims and settles; answers how many pages that touches. */
        const finish = Effect.fnUntraced(function*(count: number) {
          const first = position + 1
          position += count
          const claimed = yield* pages(sql, claim(id, { offer: [first, position], limit: count }))
          return claimed + (yield* pages(sql, settle(id, ++lease, first, position))) + (yield* pages(sql, claim(id)))
        })
        const touched = yield* finish(1)
        for (let i = 0; i < 20; i++) yield* finish(1000)
        // a claim begins with what was there at the last one
        yield* finish(1)
        assert.isAtMost(yield* finish(1), touched + 150)
        yield* Scope.close(scope, Exit.void)
      }))
  })

plansTests("Postgres 18", database(TestPostgres.url) as Layer.Layer<Database, unknown>)
plansTests("Postgres 15", database(TestPostgres.url15) as Layer.Layer<Database, unknown>)
