/** Events of other stores in a log: imported, then read back by the types of the program that moved in. */
import { NodeFileSystem } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Layer, Schema, Stream } from "effect"
import { Category, EventStore, PgEventStore } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { importFrom } from "../../src/Cli/internal/archive/importLog.ts"
import * as Emmett from "../../src/Cli/internal/foreign/emmettSql.ts"
import type { ForeignSource } from "../../src/Cli/internal/foreign/foreignSource.ts"
import * as KurrentDb from "../../src/Cli/internal/foreign/kurrentDb.ts"
import * as MessageDb from "../../src/Cli/internal/foreign/messageDbSql.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const fixture = (name: string) => join(import.meta.dirname, "..", "fixtures", name)

const load = (name: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const statements = readFileSync(fixture(name), "utf8").split(/;\n/).filter((statement) => statement.trim() !== "")
    yield* Effect.forEach(statements, (statement) => sql.unsafe(statement))
  })

class ShoppingCartOpened extends Schema.TaggedClass<ShoppingCartOpened>()("ShoppingCartOpened", {
  customer: Schema.String,
  currency: Schema.String
}) {}
class ProductItemAdded extends Schema.TaggedClass<ProductItemAdded>()("ProductItemAdded", {
  sku: Schema.String,
  quantity: Schema.BigInt,
  price: Schema.Number
}) {}
class ShoppingCartConfirmed extends Schema.TaggedClass<ShoppingCartConfirmed>()("ShoppingCartConfirmed", {}) {}
const Cart = Category.make("shopping_cart", {
  id: Schema.String,
  events: [ShoppingCartOpened, ProductItemAdded, ShoppingCartConfirmed],
  undecodable: "raw"
})

class Opened extends Schema.TaggedClass<Opened>()("AccountOpened", { customer: Schema.String }) {}
class Deposited extends Schema.TaggedClass<Deposited>()("MoneyDeposited", { amount: Schema.Number }) {}
class Closed extends Schema.TaggedClass<Closed>()("AccountClosed", { reason: Schema.String }) {}
const Account = Category.make("account", { id: Schema.String, events: [Opened, Deposited, Closed] })

/** A store and the tables of another one, in one database. */
const Both = Layer.mergeAll(
  PgEventStore.layer().pipe(Layer.provideMerge(TestPostgres.layer)),
  NodeFileSystem.layer
)

const take = (source: ForeignSource) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => Effect.andThen(Stream.runDrain(source.events), importFrom(source, { sql, schema: "eventstore", log: 1 }))
  )

/** What the log has, as the source gave it. */
const stored = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  return yield* sql`
    SELECT e.position::float8 AS position, e.stream_id::text AS "streamId", e.stream_version::float8 AS "streamVersion",
      e.event_id::text AS "eventId", e.event_type::text AS type, e.schema_version::float8 AS "schemaVersion",
      e.data::text AS data, e.metadata::text AS metadata, e.tags,
      to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "recordedAt"
    FROM eventstore.events e
    ORDER BY e.position`
})

/** Imports a source, twice, and compares what is stored with what it gave. */
const moveIn = (source: ForeignSource) =>
  Effect.gen(function*() {
    const imported = yield* take(source)
    assert.deepInclude(imported, { stored: source.total, present: 0, arePositionsKept: true })
    assert.deepStrictEqual([...(yield* stored)], [...(yield* Stream.runCollect(source.events))])
    assert.deepInclude(yield* take(source), { stored: 0, present: source.total })
  })

layer(Both, { excludeTestServices: true })("Moving in from Emmett", (it) => {
  it.effect("gives typed events, to which more can be appended", () =>
    Effect.gen(function*() {
      yield* load("emmett.sql")
      const store = yield* EventStore
      yield* moveIn(yield* Emmett.make({ sql: yield* SqlClient.SqlClient }))
      const read = yield* Stream.runCollect(store.read(Cart.stream("7")))
      assert.deepStrictEqual(read.map(({ event }) => event), [
        new ShoppingCartOpened({ customer: "bért", currency: "SEK" })
      ])
      const appended = yield* store.append(Cart.stream("42"), [new ShoppingCartConfirmed()], { expected: 4 })
      assert.strictEqual(appended.position, 7)
    }))
})

layer(Both, { excludeTestServices: true })("Moving in from message-db", (it) => {
  it.effect("stores what the source gave, once", () =>
    Effect.gen(function*() {
      yield* load("message-db.sql")
      const source = yield* MessageDb.make({ sql: yield* SqlClient.SqlClient })
      yield* moveIn(source)
      const store = yield* EventStore
      const caused = yield* Stream.runCollect(store.read(Category.rawStream("account-123"), { from: 2, limit: 1 }))
      assert.strictEqual(caused[0]!.metadata.causationId, "6f1c0f64-8f1c-4b0c-9b65-0c8b8a1f1b01")
      assert.strictEqual(caused[0]!.schemaVersion, 2)
    }))

  it.effect("stores nothing where the last event cannot be taken over", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`DELETE FROM message_store.messages WHERE global_position = 4`
      yield* sql`
        INSERT INTO message_store.messages (stream_name, position, type, data)
        VALUES ('account-789', 0, 'Opened', '{}'), ('account', 0, 'Opened', '{}')`
      const before = yield* stored
      const error = yield* Effect.flip(take(yield* MessageDb.make({ sql })))
      assert.strictEqual(error._tag, "StreamNameRefused")
      assert.deepStrictEqual(yield* stored, before)
    }))
})

layer(Both, { excludeTestServices: true })("Moving in from KurrentDB", (it) => {
  it.effect("gives typed events, with their times", () =>
    Effect.gen(function*() {
      const source = yield* KurrentDb.make(fixture("kurrentdb-events.json"))
      yield* moveIn(source)
      const store = yield* EventStore
      const read = yield* Stream.runCollect(store.read(Account.stream("123")))
      assert.deepStrictEqual(read.map(({ event }) => event), [
        new Opened({ customer: "anna" }),
        new Deposited({ amount: 5 }),
        new Closed({ reason: "moved" })
      ])
      assert.strictEqual(read[1]!.metadata.correlationId, "transfer-9")
      assert.strictEqual(read[1]!.metadata.causationId, read[0]!.eventId)
      assert.strictEqual(DateTime.toEpochMillis(read[2]!.recordedAt), Date.parse("2026-11-20T09:00:05Z"))
    }))
})
