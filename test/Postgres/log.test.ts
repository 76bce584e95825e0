import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { EventId, EventStore } from "effect-eventstore"
import { has, note, noteAs, Notes, open, recorded, texts } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const opened = Effect.flatMap(TestPostgres.url, (url) => open(url))

/** The state of the server's answer to a statement that has to be refused. */
const codeOf = <A, E extends { readonly reason: { readonly cause: unknown } }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => (error.reason.cause as { readonly code: string }).code)

describe("the log", () => {
  it.live("refuses to change or remove events, also from their owner and from a superuser", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      yield* store.append(Notes.stream("a"), ["1", "2", "3"].map(note))
      const before = yield* recorded(store)
      const role = yield* sql<{ super: boolean }>`SELECT rolsuper AS super FROM pg_roles WHERE rolname = current_user`
      assert.deepStrictEqual(role, [{ super: true }])
      for (
        const statement of [
          "UPDATE eventstore.events SET data = '{}'",
          "UPDATE eventstore.events SET position = position + 10",
          // also where no row is hit
          "UPDATE eventstore.events SET data = '{}' WHERE false",
          "DELETE FROM eventstore.events",
          "DELETE FROM eventstore.events WHERE position = 3",
          "TRUNCATE eventstore.events",
          "TRUNCATE eventstore.logs, eventstore.events CASCADE",
          "INSERT INTO eventstore.events SELECT * FROM eventstore.events WHERE position = 1 ON CONFLICT (log_id, position) DO UPDATE SET data = '{}'",
          "MERGE INTO eventstore.events e USING (SELECT 1) s ON e.position = 1 WHEN MATCHED THEN DELETE"
        ]
      ) {
        assert.strictEqual(yield* codeOf(sql.unsafe(statement)), "ES004", statement)
      }
      assert.deepStrictEqual(yield* recorded(store), before)
    }))

  it.live("refuses a second event at a position, at a version of a stream, or with the id of another", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      yield* store.append(Notes.stream("a"), [note("1")])
      const insert = (columns: Record<string, string>) => {
        const values = {
          log_id: "1",
          position: "2",
          stream_id: "'b-1'",
          stream_version: "1",
          event_id: "gen_random_uuid()",
          event_type: "'Noted'",
          schema_version: "1",
          data: "'{}'",
          recorded_at: "now()",
          ...columns
        }
        return sql.unsafe(
          `INSERT INTO eventstore.events (${Object.keys(values).join(", ")}) VALUES (${
            Object.values(values).join(", ")
          })`
        )
      }
      const constraintOf = (columns: Record<string, string>) =>
        Effect.map(
          Effect.flip(insert(columns)),
          (error) => (error.reason.cause as { readonly constraint: string }).constraint
        )
      assert.strictEqual(yield* constraintOf({ position: "1" }), "events_pkey")
      assert.strictEqual(yield* constraintOf({ stream_id: "'notes-a'" }), "events_stream_version_key")
      assert.strictEqual(
        yield* constraintOf({ event_id: "(SELECT event_id FROM eventstore.events)" }),
        "events_event_id_key"
      )
      for (const column of ["position", "stream_version", "schema_version"]) {
        assert.strictEqual(yield* codeOf(insert({ [column]: "0" })), "23514", column)
      }
      yield* insert({}) // and nothing else was wrong with it
    }))

  it.live("begins at position 1 and version 1, and is at 0 before", () =>
    Effect.gen(function*() {
      const { store } = yield* opened
      assert.strictEqual(yield* store.head(), 0)
      assert.strictEqual(yield* store.head(Notes.stream("a")), 0)
      assert.deepStrictEqual(yield* recorded(store), [])
      assert.deepStrictEqual(yield* Stream.runCollect(store.streams({ deleted: true })), [])
      const [check] = yield* store.appendAll([EventStore.entry(Notes.stream("a"), [], { expected: "no-stream" })])
      has(check!, { version: 0, position: 0 })
      const appended = yield* store.append(Notes.stream("a"), [note("first")])
      has(appended, { firstVersion: 1, version: 1, firstPosition: 1, position: 1 })
      assert.strictEqual(yield* store.head(), 1)
    }))

  it.live("never uses a position twice, though its newest events were purged", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      yield* Effect.forEach(["a", "b", "c"], (id) => store.append(Notes.stream(id), ["1", "2"].map(note)))
      const purge = (floor: number) =>
        sql.withTransaction(Effect.gen(function*() {
          yield* sql`SET LOCAL session_replication_role TO replica`
          yield* sql`DELETE FROM eventstore.events WHERE position > ${floor - 3}`
          yield* sql`UPDATE eventstore.logs SET floor = ${floor} WHERE log_id = 1`
        }))
      yield* purge(6)
      assert.strictEqual(yield* store.head(), 6)
      assert.deepStrictEqual((yield* recorded(store)).map(({ position }) => position), [1, 2, 3])
      // each way into the log: one append, a batch, one with ids, a condition, a transaction
      assert.strictEqual((yield* store.append(Notes.stream("d"), [note("7")])).position, 7)
      const all = yield* store.appendAll([
        EventStore.entry(Notes.stream("d"), [note("8")]),
        EventStore.entry(Notes.stream("e"), [note("9")])
      ])
      assert.deepStrictEqual(all.map(({ position }) => position), [8, 9])
      yield* purge(9)
      assert.strictEqual((yield* store.append(Notes.stream("f"), [noteAs(yield* EventId.make, "10")])).position, 10)
      yield* purge(10)
      const [conditional] = yield* store.appendIf({ items: [{ types: ["Other"] }], after: 0 }, [
        EventStore.entry(Notes.stream("g"), [note("11")])
      ])
      assert.strictEqual(conditional!.position, 11)
      yield* purge(11)
      yield* store.transaction(store.append(Notes.stream("h"), [note("12")]))
      assert.strictEqual(yield* store.head(), 12)
      assert.deepStrictEqual(yield* texts(store, "h"), ["12"])
      // all events gone
      yield* sql.withTransaction(Effect.andThen(
        sql`SET LOCAL session_replication_role TO replica`,
        Effect.andThen(sql`DELETE FROM eventstore.events`, sql`UPDATE eventstore.logs SET floor = 12`)
      ))
      assert.strictEqual(yield* store.head(), 12)
      assert.strictEqual((yield* store.append(Notes.stream("a"), [note("13")])).position, 13)
    }))
})
