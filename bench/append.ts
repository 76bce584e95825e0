/**
 * How fast are appends to Postgres and PGlite, beside Emmett on the same Postgres and beside bare inserts through the
 * same client?
 *
 * - Every caller appends one event after the other, ten to a stream. Events are ready-made.
 * - Emmett is opened by its address alone and used with its defaults (10 connections); its callers repeat an append that
 *   met a conflict, at once, as `"any"` does not exist there.
 * - "Raw, 100 a statement" is the limit: rows with the columns, checks and indexes of the store's table, one statement after
 *   the other, on as many connections as the store uses for appends (2), or on those of a default pool (10).
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { PGlite } from "@electric-sql/pglite"
import { Effect, FileSystem } from "effect"
import { join } from "node:path"
import * as Emmett from "./emmett/EmmettStore.ts"
import { emmetts, ours, streams } from "./support/appends.ts"
import { about, makePglite, makePlace, server } from "./support/arena.ts"
import { compare, contest, isWanted, report, type Row, type Sample } from "./support/contest.ts"
import { fibres, promises, unique } from "./support/load.ts"
import { startProcesses } from "./support/processes.ts"
import { createRawTables, insertBatch, insertOne } from "./support/rawTables.ts"
import { Cart, event, plainEvent } from "./support/shop.ts"

const rows: Array<Row> = []

/** A hundred rows a statement: the rate is that of rows. */
const batches = (sql: Parameters<typeof insertBatch>[0], connections: number): Effect.Effect<Sample, unknown> =>
  Effect.map(fibres(connections, () => insertBatch(sql)), ({ rate }) => ({ rate: rate * 100 }))

const onPostgres = Effect.gen(function*() {
  const postgres = yield* server
  const { sql, store, url } = yield* makePlace(postgres)
  yield* createRawTables(sql)
  const emmett = yield* Emmett.make(yield* postgres.createDatabase)

  if (isWanted("64 callers")) {
    const work = "append, 1 event, 64 callers, distinct streams"
    const results = yield* contest(work, {
      ours: ours(store, 64),
      emmett: emmetts(emmett, 64),
      raw1: batches(sql, 1),
      raw: batches(sql, 2),
      raw10: batches(sql, 10)
    })
    rows.push(
      compare(results, "ours", "emmett", { work, beside: "Emmett", budget: { atLeast: 10 } }),
      compare(results, "ours", "raw", {
        work,
        beside: "raw, 100 a statement, 2 connections",
        budget: { atLeast: 0.8 }
      }),
      compare(results, "ours", "raw1", { work, beside: "raw, 100 a statement, one after the other" }),
      compare(results, "ours", "raw10", { work, beside: "raw, 100 a statement, 10 connections" }),
      compare(results, "ours", "emmett", {
        work: `${work}: p99`,
        beside: "Emmett",
        measure: "p99",
        budget: { atMost: 0.2 }
      }),
      compare(results, "ours", "emmett", { work: `${work}: p50`, beside: "Emmett", measure: "p50" })
    )
  }

  if (isWanted("1 caller")) {
    const work = "append, 1 event, 1 caller"
    const insert = (table: "raw.events" | "raw.bare") =>
      Effect.suspend(() => {
        const stream = streams()
        return fibres(1, (caller, i) => insertOne(sql, table, `cart-${stream(caller, i)}`, i))
      })
    const results = yield* contest(work, {
      ours: ours(store, 1),
      raw: insert("raw.events"),
      bare: insert("raw.bare"),
      emmett: emmetts(emmett, 1)
    })
    rows.push(
      compare(results, "ours", "raw", {
        work,
        beside: "raw INSERT, same columns and indexes",
        budget: { atLeast: 0.9 }
      }),
      compare(results, "ours", "bare", { work, beside: "raw INSERT, primary key only" }),
      compare(results, "ours", "emmett", { work, beside: "Emmett", budget: { atLeast: 1.8 } }),
      compare(results, "ours", "raw", {
        work: `${work}: p50`,
        beside: "raw INSERT, same columns and indexes",
        measure: "p50"
      }),
      compare(results, "ours", "emmett", { work: `${work}: p99`, beside: "Emmett", measure: "p99" })
    )
  }

  if (isWanted("hot stream")) {
    const work = "append, one hot stream, 64 callers, \"any\""
    const results = yield* contest(work, {
      // a conflict would be a type error: "any" has none
      ours: Effect.suspend(() => {
        const stream = Cart.stream(`hot-${unique()}`)
        return Effect.map(
          fibres(64, (_, i) => store.append(stream, [event(i)])),
          (sample) => ({ ...sample, conflicts: 0 })
        )
      }),
      emmett: Effect.suspend(() => {
        const stream = `hot-${unique()}`
        let conflicts = 0
        return Effect.map(
          promises(64, async (_, i) => {
            const met = await emmett.append(stream, [plainEvent(i)])
            conflicts += met
          }),
          (sample) => ({ ...sample, conflicts })
        )
      })
    })
    rows.push(
      compare(results, "ours", "emmett", { work, beside: "Emmett", budget: { atLeast: 80 } }),
      compare(results, "ours", "emmett", { work: `${work}: p99`, beside: "Emmett", measure: "p99" })
    )
  }

  if (isWanted("10 events")) {
    const work = "append, 10 events, 64 callers"
    const results = yield* contest(work, { ours: ours(store, 64, 10), emmett: emmetts(emmett, 64, 10) })
    rows.push(
      compare(results, "ours", "emmett", { work, beside: "Emmett", budget: { atLeast: 3.5 } }),
      compare(results, "ours", "emmett", { work: `${work}: p99`, beside: "Emmett", measure: "p99" })
    )
  }

  if (isWanted("4 processes")) {
    const work = "append, 1 event, 4 processes of 16 callers"
    const processes = yield* startProcesses(url, 4)
    const results = yield* contest(work, {
      grouped: processes("grouped", 16),
      ungrouped: processes("ungrouped", 16),
      grouped64: processes("grouped", 64)
    })
    rows.push(
      compare(results, "grouped", "ungrouped", {
        work,
        beside: "the same, a call and a connection for each append",
        budget: { atLeast: 4 }
      }),
      compare(results, "grouped64", "ungrouped", {
        work: "append, 1 event, 4 processes of 64 callers",
        beside: "4 processes of 16 callers, a call and a connection for each append"
      })
    )
  }
})

const onPglite = Effect.gen(function*() {
  if (!isWanted("PGlite")) return
  const directory = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped({ prefix: "eventstore-bench-" })
  const { sql, store } = yield* makePglite(join(directory, "store"))
  yield* createRawTables(sql)
  const db = yield* Effect.acquireRelease(
    Effect.promise(() => PGlite.create({ dataDir: join(directory, "bare") })),
    (db) => Effect.promise(() => db.close())
  )
  yield* Effect.promise(() =>
    db.exec("CREATE TABLE bare (position bigserial PRIMARY KEY, stream_id text, stream_version bigint, data json)")
  )
  const work = "PGlite: append, 1 event"
  const results = yield* contest(work, {
    one: ours(store, 1),
    many: ours(store, 64),
    raw: Effect.suspend(() => {
      const stream = streams()
      return fibres(1, (caller, i) => insertOne(sql, "raw.events", `cart-${stream(caller, i)}`, i))
    }),
    bare: promises(1, (_, i) =>
      db.query("INSERT INTO bare (stream_id, stream_version, data) VALUES ($1, $2, $3)", [
        `cart-${i}`,
        1,
        JSON.stringify(plainEvent(i).data)
      ]))
  })
  rows.push(
    compare(results, "one", "raw", { work: `${work}, 1 caller`, beside: "raw INSERT, same columns and indexes" }),
    compare(results, "one", "bare", {
      work: `${work}, 1 caller`,
      beside: "PGlite's own query: INSERT, primary key only"
    }),
    compare(results, "many", "raw", {
      work: `${work}, 64 callers`,
      beside: "raw INSERT one by one, same columns and indexes"
    })
  )
})

const main = Effect.gen(function*() {
  if (["64 callers", "1 caller", "hot stream", "10 events", "4 processes"].some(isWanted)) {
    yield* Effect.scoped(onPostgres)
  }
  yield* Effect.scoped(onPglite)
  console.log(report("append", about, rows))
})

main.pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
