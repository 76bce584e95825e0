/** Tables of versions, each in a schema of its own: made, made anew and removed, and never somebody else's. */
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import { makeVersion, storageOf } from "../../src/Testing/internal/projectionStorageVersion.ts"
import { begin } from "../../src/Testing/internal/queue.ts"
import { has, open } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const opened = Effect.flatMap(TestPostgres.url, (url) => open(url))

const schemas = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<{ name: string; comment: string | null }>`
      SELECT nspname AS name, obj_description(oid, 'pg_namespace') AS comment FROM pg_namespace
      WHERE nspname LIKE 'totals%' ORDER BY nspname`,
    (rows) => Object.fromEntries(rows.map(({ comment, name }) => [name, comment]))
  )

const tables = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<{ name: string }>`
      SELECT relnamespace::regnamespace || '.' || relname AS name FROM pg_class
      WHERE relnamespace::regnamespace::text LIKE 'totals%' AND relkind = 'r' ORDER BY 1`,
    (rows) => rows.map(({ name }) => name)
  )

describe("tables of projections in Postgres", () => {
  it.live("stand in a schema that says whose it is, and go with their version", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const { drop, setUpWith, switchTo } = storageOf(store)
      const first = yield* makeVersion(store, { name: "totals", kind: "tables", schema: "totals_v1" })
      const second = yield* makeVersion(store, { name: "totals", version: 2, kind: "tables", schema: "totals_v2" })
      assert.deepStrictEqual(yield* schemas(sql), {})
      assert.isTrue(yield* setUpWith(first.id, sql`CREATE TABLE totals_v1.sums (n int4)`))
      assert.isTrue(yield* setUpWith(second.id, sql`CREATE TABLE totals_v2.sums (n int4)`))
      assert.deepStrictEqual(yield* schemas(sql), {
        totals_v1: "version 1 of projection totals: event store eventstore, log 1",
        totals_v2: "version 2 of projection totals: event store eventstore, log 1"
      })
      assert.isFalse(yield* setUpWith(first.id, Effect.die("it was run")))
      assert.strictEqual(yield* drop(first.id), "live")
      assert.strictEqual(yield* switchTo(second.id), "behind")
      assert.deepStrictEqual(yield* tables(sql), ["totals_v1.sums", "totals_v2.sums"])
      assert.strictEqual(yield* drop(second.id), "dropped")
      assert.deepStrictEqual(yield* tables(sql), ["totals_v1.sums"])
    }))

  it.live("are not there at all where setting up fails", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const version = yield* makeVersion(store, { name: "totals", kind: "tables", schema: "totals_v1" })
      const failing = Effect.andThen(sql`CREATE TABLE totals_v1.sums (n int4)`, Effect.fail("no"))
      assert.strictEqual(yield* Effect.flip(storageOf(store).setUpWith(version.id, failing)), "no")
      assert.deepStrictEqual(yield* schemas(sql), {})
      has(yield* version.state(), { isSetUp: false })
    }))

  for (const [first, last] of [["a", "b"], ["b", "a"]] as const) {
    it.live(`go without a deadlock while somebody reads ${first}, and then ${last}`, () =>
      Effect.gen(function*() {
        const { sql, store } = yield* opened
        yield* makeVersion(store, { name: "totals", kind: "tables", schema: "totals_v1" })
        const version = yield* makeVersion(store, { name: "totals", version: 2, kind: "tables", schema: "totals_v2" })
        yield* storageOf(store).setUpWith(
          version.id,
          Effect.andThen(sql`CREATE TABLE totals_v2.a (n int4)`, sql`CREATE TABLE totals_v2.b (n int4)`)
        )
        const reached = yield* Latch.make()
        const reading = yield* Effect.forkScoped(sql.withTransaction(Effect.gen(function*() {
          yield* sql`SELECT n FROM ${sql(`totals_v2.${first}`)}`
          yield* reached.open
          yield* Effect.sleep("100 millis")
          return yield* sql`SELECT n FROM ${sql(`totals_v2.${last}`)}`
        })))
        yield* reached.await
        assert.strictEqual(yield* storageOf(store).drop(version.id), "dropped")
        assert.deepStrictEqual(yield* Fiber.join(reading), [])
        assert.deepStrictEqual(
          yield* sql`SELECT deadlocks::int4 AS n FROM pg_stat_database WHERE datname = current_database()`,
          [{ n: 0 }]
        )
      }))
  }

  it.live("are set up by one of several, and the others wait for it", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const version = yield* makeVersion(store, { name: "totals", kind: "tables", schema: "totals_v1" })
      const begun = yield* Latch.make()
      const setUp = storageOf(store).setUpWith(
        version.id,
        Effect.andThen(begun.open, sql`CREATE TABLE totals_v1.sums AS SELECT 1 AS n FROM pg_sleep(0.2)`)
      )
      const answers = yield* Effect.forEach(Array.from({ length: 5 }), () => setUp, { concurrency: "unbounded" })
      assert.strictEqual(answers.filter((wasRun) => wasRun).length, 1)
      assert.deepStrictEqual(yield* tables(sql), ["totals_v1.sums"])
    }))

  it.live("are made anew after a reset, without what was in them", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const { reset, setUpWith } = storageOf(store)
      const version = yield* makeVersion(store, { name: "totals", kind: "tables", schema: "totals_v1" })
      yield* setUpWith(version.id, sql`CREATE TABLE totals_v1.old AS SELECT 1 AS n`)
      yield* sql`CREATE VIEW public.seen AS SELECT n FROM totals_v1.old`
      assert.isTrue(yield* reset(version.id))
      has(yield* version.state(), { isSetUp: false, stage: "building", status: "running" })
      assert.deepStrictEqual(yield* tables(sql), ["totals_v1.old"])
      assert.isTrue(yield* setUpWith(version.id, sql`CREATE TABLE totals_v1.new (n int4)`))
      assert.deepStrictEqual(yield* tables(sql), ["totals_v1.new"])
    }))

  it.live("are refused where somebody else made a schema of this name, which stays whatever happens", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const { drop, reset, setUpWith } = storageOf(store)
      for (const comment of [null, "version 1 of projection other: event store eventstore, log 1"]) {
        yield* sql`CREATE SCHEMA totals_v1`
        yield* sql`CREATE TABLE totals_v1.mine (n int4)`
        if (comment !== null) yield* sql.unsafe(`COMMENT ON SCHEMA totals_v1 IS '${comment}'`)
        const version = yield* makeVersion(store, { name: "totals", kind: "tables", schema: "totals_v1" })
        const error = yield* Effect.flip(setUpWith(version.id, Effect.die("it was run")))
        has(error, { _tag: "InvalidInput", field: "projection" })
        yield* reset(version.id)
        assert.strictEqual((yield* Effect.flip(setUpWith(version.id, Effect.void)))._tag, "InvalidInput")
        yield* storageOf(store).pause(version.id)
        assert.strictEqual(yield* drop(version.id), "dropped")
        assert.isUndefined(yield* version.find(begin))
        assert.deepStrictEqual(yield* tables(sql), ["totals_v1.mine"])
        yield* sql`DROP SCHEMA totals_v1 CASCADE`
      }
    }))

  it.live("are kept apart where two event stores of a database have projections of one name", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const [left, right] = yield* Effect.all([open(url, { schema: "left_1" }), open(url, { schema: "right_1" })])
      const versions = yield* Effect.forEach(
        [left, right],
        ({ store }) => makeVersion(store, { name: "totals", kind: "tables", schema: "totals_v1" })
      )
      yield* storageOf(left.store).setUpWith(versions[0]!.id, left.sql`CREATE TABLE totals_v1.sums (n int4)`)
      const other = storageOf(right.store).setUpWith(versions[1]!.id, Effect.die("it was run"))
      has(yield* Effect.flip(other), { _tag: "InvalidInput" })
      assert.deepStrictEqual(yield* tables(left.sql), ["totals_v1.sums"])
    }))

  it.live("have names that are quoted", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const schema = "totals \"; DROP SCHEMA eventstore CASCADE; --"
      const version = yield* makeVersion(store, { name: "it's %s", kind: "tables", schema })
      assert.isTrue(yield* storageOf(store).setUpWith(version.id, sql`CREATE TABLE ${sql(schema)}.sums (n int4)`))
      assert.strictEqual(
        (yield* schemas(sql))[schema],
        "version 1 of projection it's %s: event store eventstore, log 1"
      )
      yield* storageOf(store).pause(version.id)
      assert.strictEqual(yield* storageOf(store).drop(version.id), "dropped")
      assert.deepStrictEqual(yield* schemas(sql), {})
      // the name is free again, and so is the schema
      const again = yield* makeVersion(store, { name: "it's %s", kind: "tables", schema })
      has(yield* again.state(), { isLive: true, isSetUp: false })
    }))
})
