/** Emmett and message-db as sources, from tables that these themselves made and filled. */
import { assert, layer } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { EventId } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Emmett from "../../src/Cli/internal/foreign/emmettSql.ts"
import type { ForeignSource } from "../../src/Cli/internal/foreign/foreignSource.ts"
import * as MessageDb from "../../src/Cli/internal/foreign/messageDbSql.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const fixture = (name: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const text = readFileSync(join(import.meta.dirname, "..", "fixtures", name), "utf8")
    yield* Effect.forEach(text.split(/;\n/).filter((statement) => statement.trim() !== ""), (statement) =>
      sql.unsafe(statement))
  })

const eventsOf = (source: ForeignSource) => Stream.runCollect(source.events)

/** What an effect ends with after some statements, which are taken back. */
const after = <A, E, R>(statements: ReadonlyArray<string>, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.withTransaction(Effect.gen(function*() {
      for (const statement of statements) yield* sql.unsafe(statement)
      return yield* Effect.fail({ result: yield* Effect.result(effect) })
    })).pipe(
      Effect.flip,
      Effect.flatMap((answer) => "result" in answer ? Effect.fromResult(answer.result) : Effect.die(answer))
    )
  })

const emmett = (options?: Emmett.EmmettOptions) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Emmett.make({ sql }, options))
const messageDb = (options?: Parameters<typeof MessageDb.make>[1]) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => MessageDb.make({ sql }, options))
const refusal = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flip(effect)

layer(TestPostgres.layer, { excludeTestServices: true })("Emmett's tables", (it) => {
  it.effect("are refused where they are not", () =>
    Effect.gen(function*() {
      const error = yield* refusal(emmett())
      assert.strictEqual(error._tag, "NoForeignSource")
      assert.include(error.message, "There is no table emt_messages of Emmett in the schema public")
      yield* fixture("emmett.sql")
    }))

  it.effect("give their events in order, with names, versions, ids, metadata and times of ours", () =>
    Effect.gen(function*() {
      const source = yield* emmett()
      assert.strictEqual(source.total, 6)
      assert.deepStrictEqual(source.passedOver, [{ what: "commands", count: 1 }])
      const events = yield* eventsOf(source)
      assert.deepStrictEqual(events.map((event) => [event.position, event.streamId, event.streamVersion, event.type]), [
        [1, "shopping_cart-42", 1, "ShoppingCartOpened"],
        [2, "shopping_cart-42", 2, "ProductItemAdded"],
        [3, "shopping_cart-7", 1, "ShoppingCartOpened"],
        [4, "shopping_cart-42", 3, "ProductItemAdded"],
        [5, "shopping_cart-42", 4, "ShoppingCartConfirmed"],
        [6, "invoice-2026:1", 1, "InvoiceIssued"]
      ])
      assert.deepStrictEqual(events[1], {
        position: 2,
        streamId: "shopping_cart-42",
        streamVersion: 2,
        eventId: "c02bd59e-0d82-41bd-ba6b-1ecf3e391b3d",
        type: "ProductItemAdded",
        schemaVersion: 1,
        data: `{"sku":"shoes","price":12.5,"quantity":2}`,
        metadata: `{"correlationId":"request-1","causationId":"command-7","actor":"anna"}`,
        tags: null,
        recordedAt: "2026-11-21T22:05:04.363034Z"
      })
      assert.strictEqual(events[0]!.metadata, `{"correlationId":"request-1","fields":{"tenant":"north"}}`)
      assert.strictEqual(events[4]!.metadata, null)
    }))

  it.effect("make an event id of a message id that is no UUID, the same each time, and keep the other one", () =>
    Effect.gen(function*() {
      const source = yield* emmett()
      const [first, second] = [yield* eventsOf(source), yield* eventsOf(source)]
      assert.deepStrictEqual(first, second)
      assert.strictEqual(first[3]!.eventId, EventId.fromName("Emmett", "shopping_cart:42", "3"))
      assert.deepStrictEqual(JSON.parse(first[3]!.metadata!), {
        fields: { position: "9007199254740993", importedFrom: { store: "Emmett", eventId: "line-17" } }
      })
    }))

  const insert = (values: string) =>
    `INSERT INTO emt_messages (stream_id, stream_position, message_id, message_type, message_schema_version, message_data,
      message_metadata, transaction_id, partition) VALUES ${values}`
  const partition = [
    "CREATE TABLE emt_messages_north PARTITION OF emt_messages FOR VALUES IN ('north')",
    insert(
      `('shopping_cart:42', 1, '${
        "0".repeat(8)
      }-0000-4000-8000-000000000000', 'Moved', '3', '{"_tag":"Moved"}', '{}', '1', 'north')`
    )
  ]

  it.effect("refuse what two partitions have, and give one partition alone", () =>
    Effect.gen(function*() {
      const error = yield* refusal(after(partition, Effect.flatMap(emmett(), eventsOf)))
      assert.strictEqual(error._tag, "StreamsCollide")
      const events = yield* after(partition, Effect.flatMap(emmett({ partition: "north" }), eventsOf))
      assert.deepStrictEqual(events.map(({ data, schemaVersion, type }) => [type, schemaVersion, data]), [[
        "Moved",
        3,
        "{}"
      ]])
    }))

  it.effect("refuse two streams that become one", () =>
    Effect.gen(function*() {
      const error = yield* refusal(Effect.flatMap(emmett({ rename: () => "cart-1" }), eventsOf))
      assert.strictEqual(error._tag, "StreamsCollide")
      assert.include(error.message, `"shopping_cart:42" and "shopping_cart-7"`)
    }))

  it.effect("refuse a name that is none, and say where it is", () =>
    Effect.gen(function*() {
      const error = yield* refusal(
        Effect.flatMap(emmett({ rename: (name) => name.replaceAll(/[-:]/g, "_") }), eventsOf)
      )
      assert.strictEqual(error._tag, "StreamNameRefused")
      assert.include(error.message, `"shopping_cart:42"`)
      assert.include(error.message, "global position 1")
    }))

  it.effect("refuse a hole in the versions, unless these are counted anew", () =>
    Effect.gen(function*() {
      const hole = ["DELETE FROM emt_messages WHERE global_position = 2"]
      const error = yield* refusal(after(hole, Effect.flatMap(emmett(), eventsOf)))
      assert.deepInclude(error, { _tag: "VersionsBroken", place: "global position 4", expected: 2, actual: 3 })
      const events = yield* after(hole, Effect.flatMap(emmett({ renumber: true }), eventsOf))
      assert.deepStrictEqual(
        events.filter(({ streamId }) => streamId === "shopping_cart-42").map(({ streamVersion }) => streamVersion),
        [1, 2, 3]
      )
    }))

  for (
    const [what, statement, says] of [
      [
        "a time that is none",
        "UPDATE emt_messages SET created = 'infinity' WHERE global_position = 5",
        "global position 5"
      ],
      ["no position", "UPDATE emt_messages SET global_position = NULL WHERE global_position = 5", "does not decode"],
      [
        "data that are no object",
        "UPDATE emt_messages SET message_data = '[1]' WHERE global_position = 5",
        "no JSON object"
      ],
      [
        "data that are nested too deep",
        `UPDATE emt_messages SET message_data = ('{"a":' || repeat('[', 3000) || repeat(']', 3000) || '}')::jsonb
          WHERE global_position = 5`,
        "global position 5 of Emmett has JSON that cannot be read"
      ],
      ["a type that is none", "UPDATE emt_messages SET message_type = '' WHERE global_position = 5", "is empty"]
    ] as const
  ) {
    it.effect(`refuse an event with ${what}`, () =>
      Effect.gen(function*() {
        const error = yield* refusal(after([statement], Effect.flatMap(emmett(), eventsOf)))
        assert.strictEqual(error._tag, "ForeignEventRefused")
        assert.include(error.message, says)
      }))
  }

  it.effect("keep what has no place of its own: a schema version or a _tag that differ, metadata that are no object", () =>
    Effect.gen(function*() {
      const events = yield* after(
        [
          "UPDATE emt_messages SET message_schema_version = 'v2', message_metadata = '[1, 2.50]' WHERE global_position = 5",
          `UPDATE emt_messages SET message_data = '{"_tag": "Confirmed"}' WHERE global_position = 5`
        ],
        Effect.flatMap(emmett(), eventsOf)
      )
      assert.deepInclude(events[4]!, {
        schemaVersion: 1,
        data: "{}",
        metadata:
          `{"fields":{"importedFrom":{"store":"Emmett","schemaVersion":"v2","tag":"Confirmed","metadata":[1,2.50]}}}`
      })
    }))

  it.effect("say so where events come and go while they are read", () =>
    Effect.gen(function*() {
      const source = yield* emmett()
      const error = yield* refusal(
        after(["DELETE FROM emt_messages WHERE stream_id = 'shopping_cart-7'"], eventsOf(source))
      )
      assert.deepInclude(error, { _tag: "ForeignSourceChanged", expected: 6, actual: 5 })
    }))

  it.effect("give the metadata of streams", () =>
    Effect.gen(function*() {
      const streams = yield* after(
        [
          `UPDATE emt_streams SET stream_metadata = '{"owner": "anna"}' WHERE stream_id = 'shopping_cart:42'`,
          // of the time before it was archived, and of one that never had events, whose name would not do
          `INSERT INTO emt_streams (stream_id, stream_position, stream_type, stream_metadata, is_archived) VALUES
            ('shopping_cart:42', 1, 'emt:unknown', '{"owner": "bo"}', true), ('none', 0, 'x', '{"a": 1}', false)`
        ],
        Effect.flatMap(emmett(), (source) =>
          Effect.map(Stream.runCollect(source.streams), (found) => ({ found, passedOver: source.passedOver })))
      )
      assert.deepStrictEqual(streams.found, [
        { streamId: "shopping_cart-42", truncatedBefore: 0, tombstoned: false, metadata: `{"owner": "anna"}` }
      ])
      assert.deepStrictEqual(streams.passedOver, [
        { what: "commands", count: 1 },
        { what: "metadata of streams without events", count: 1 },
        { what: "older metadata of streams", count: 1 }
      ])
    }))
})

layer(TestPostgres.layer, { excludeTestServices: true })("message-db's table", (it) => {
  it.effect("gives its messages in order, with versions from 1, causes by id, and every digit", () =>
    Effect.gen(function*() {
      yield* fixture("message-db.sql")
      const source = yield* messageDb()
      const events = yield* eventsOf(source)
      assert.strictEqual(source.total, 5)
      assert.deepStrictEqual(events.map((event) => [event.position, event.streamId, event.streamVersion, event.type]), [
        [1, "account:command-123", 1, "Deposit"],
        [2, "account-123", 1, "Opened"],
        [3, "account-123", 2, "Deposited"],
        [4, "account-456+789", 1, "Opened"],
        [5, "account-123", 3, "Closed"]
      ])
      const { metadata, ...deposited } = events[2]!
      assert.deepStrictEqual(deposited, {
        position: 3,
        streamId: "account-123",
        streamVersion: 2,
        eventId: "6f1c0f64-8f1c-4b0c-9b65-0c8b8a1f1b03",
        type: "Deposited",
        schemaVersion: 2,
        data: `{"amount":11.50,"serial":12345678901234567890,"accountId":"123"}`,
        tags: null,
        recordedAt: "2026-11-21T22:05:05.954300Z"
      })
      assert.deepStrictEqual(JSON.parse(metadata!), {
        correlationId: "transfer-9",
        causationId: "6f1c0f64-8f1c-4b0c-9b65-0c8b8a1f1b01",
        fields: {
          properties: { clerk: "bo" },
          schemaVersion: 2,
          causationMessagePosition: 0,
          causationMessageStreamName: "account:command-123",
          causationMessageGlobalPosition: 1
        }
      })
      assert.deepInclude(events[4]!, { data: "{}", metadata: null })
      assert.notProperty(JSON.parse(events[3]!.metadata!), "causationId")
    }))

  it.effect("is read over more than one page", () =>
    Effect.gen(function*() {
      const events = yield* after(
        [`INSERT INTO message_store.messages (stream_name, position, type, data, metadata)
          SELECT 'counter-' || n % 7, n / 7, 'Counted', '{}', '{"causationMessageStreamName": "x-1", "causationMessagePosition": "1e3"}'
          FROM generate_series(0, 1233) n`],
        Effect.flatMap(messageDb(), eventsOf)
      )
      assert.deepStrictEqual(events.map(({ position }) => position), Array.from({ length: 1239 }, (_, i) => i + 1))
      assert.strictEqual(events.filter(({ streamId }) => streamId === "counter-3").at(-1)!.streamVersion, 176)
    }))

  it.effect("is refused with a hole in a stream, and with a stream that has no id", () =>
    Effect.gen(function*() {
      const hole = yield* refusal(
        after(["DELETE FROM message_store.messages WHERE global_position = 2"], Effect.flatMap(messageDb(), eventsOf))
      )
      assert.deepInclude(hole, { _tag: "VersionsBroken", place: "global position 3", expected: 1, actual: 2 })
      const named = yield* refusal(
        after(
          ["UPDATE message_store.messages SET stream_name = 'account' WHERE global_position = 4"],
          Effect.flatMap(messageDb(), eventsOf)
        )
      )
      assert.deepInclude(named, { _tag: "StreamNameRefused", stream: "account", place: "global position 4" })
    }))

  it.effect("is refused where it is not", () =>
    Effect.gen(function*() {
      const error = yield* refusal(
        Effect.flatMap(SqlClient.SqlClient, (sql) => MessageDb.make({ sql, schema: "elsewhere" }))
      )
      assert.strictEqual(error._tag, "NoForeignSource")
    }))
})
