import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Stream } from "effect"
import { EventId, EventStore, PgEventStore } from "effect-eventstore"
import { has, note, noteAs, Notes, open, recorded, texts } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const twoLogs = Effect.gen(function*() {
  const url = yield* TestPostgres.url
  return [yield* open(url, { log: 1 }), yield* open(url, { log: 7 })] as const
})

describe("two logs of one database", () => {
  it.live("have positions of their own", () =>
    Effect.gen(function*() {
      const [one, seven] = yield* twoLogs
      yield* Effect.forEach(
        Array.from({ length: 50 }, (_, i) => String(i)),
        (text) => Effect.all([one, seven].map(({ store }) => store.append(Notes.stream(text), [note(text)]))),
        { concurrency: "unbounded" }
      )
      for (const { store } of [one, seven]) {
        assert.strictEqual(yield* store.head(), 50)
        assert.deepStrictEqual(
          (yield* recorded(store)).map(({ position }) => position),
          Array.from({ length: 50 }, (_, i) => i + 1)
        )
      }
    }))

  it.live("see nothing of each other", () =>
    Effect.gen(function*() {
      const [one, seven] = yield* twoLogs
      const stream = Notes.stream("shared")
      const id = yield* EventId.make
      yield* one.store.append(stream, [noteAs(id, "one")], { expected: "no-stream" })
      // neither versions nor event ids collide
      yield* seven.store.append(stream, [noteAs(id, "seven")], { expected: "no-stream" })
      yield* seven.store.append(stream, [noteAs(id, "seven")], { expected: "no-stream" })
      yield* one.store.append(Notes.stream("other"), [note("one")])
      assert.deepStrictEqual(yield* texts(one.store, "shared"), ["one"])
      assert.deepStrictEqual(yield* texts(seven.store, "shared"), ["seven"])
      assert.strictEqual((yield* recorded(seven.store)).length, 1)
      const found = yield* seven.store.readEvent(id)
      assert.deepStrictEqual(Option.map(found, ({ event }) => event.data), Option.some({ text: "seven" }))
      assert.deepStrictEqual((yield* Stream.runCollect(seven.store.streams())).map(({ streamId }) => streamId), [
        stream.streamId
      ])
      // nor do conditions, deletions and what is noted
      yield* one.store.appendIf({ items: [{ types: ["Noted"] }], after: 2 }, [EventStore.entry(stream, [note("if")])])
      const broken = yield* Effect.flip(
        seven.store.appendIf({ items: [{ types: ["Noted"] }], after: 0 }, [EventStore.entry(stream, [note("if")])])
      )
      has(broken, { _tag: "AppendConditionFailed", position: 1 })
      yield* one.store.setMetadata(stream, "one")
      yield* one.store.tombstone(stream)
      has(yield* seven.store.info(stream), { status: "active", metadata: Option.none() })
      assert.deepStrictEqual(yield* texts(seven.store, "shared"), ["seven"])
    }))

  it.live("have locks of their own: who holds one does not hold up the other", () =>
    Effect.gen(function*() {
      const [one, seven] = yield* twoLogs
      yield* one.sql.withTransaction(Effect.gen(function*() {
        // an append of log 1 that is not finished
        yield* one.sql`SET CONSTRAINTS ALL IMMEDIATE`
        yield* one.store.append(Notes.stream("a"), [note("slow")])
        const locks = yield* one.sql<{ log: number }>`
          SELECT objid::int4 AS log FROM pg_locks WHERE locktype = 'advisory' AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
        assert.deepStrictEqual(locks, [{ log: 1 }])
        assert.strictEqual((yield* seven.store.append(Notes.stream("a"), [note("quick")])).position, 1)
        yield* seven.store.transaction(seven.store.append(Notes.stream("a"), [note("quick, too")]))
      }))
      assert.deepStrictEqual(yield* texts(one.store, "a"), ["slow"])
      assert.deepStrictEqual(yield* texts(seven.store, "a"), ["quick", "quick, too"])
    }))

  it.live("can be appended to in one transaction", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { sql, store } = yield* open(url)
      const context = yield* Layer.build(PgEventStore.layerStore({ log: 2 })).pipe(
        Effect.provideService(PgClient.PgClient, sql)
      )
      const other = Context.get(context, EventStore)
      yield* store.append(Notes.stream("a"), [note("before")])
      yield* store.transaction(Effect.gen(function*() {
        yield* store.append(Notes.stream("a"), [note("1")])
        yield* other.append(Notes.stream("a"), [note("2")])
        assert.deepStrictEqual(yield* texts(store, "a"), ["before", "1"])
        assert.deepStrictEqual(yield* texts(other, "a"), ["2"])
      }))
      assert.deepStrictEqual([yield* store.head(), yield* other.head()], [2, 1])
      const failed = yield* Effect.exit(store.transaction(Effect.gen(function*() {
        yield* store.append(Notes.stream("a"), [note("no")])
        yield* other.append(Notes.stream("a"), [note("no")])
        return yield* Effect.fail("no")
      })))
      assert.strictEqual(failed._tag, "Failure")
      assert.deepStrictEqual([yield* store.head(), yield* other.head()], [2, 1])
    }))

  it.live("are numbers from 1", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      yield* open(url)
      for (const log of [0, -1, 1.5, NaN, 2 ** 31]) {
        const error = yield* Effect.flip(open(url, { log }))
        has(error, { _tag: "UnsupportedDatabase" })
        assert.include(error.message, String(log))
      }
      assert.strictEqual(yield* (yield* open(url, { log: 2 ** 31 - 1 })).store.head(), 0)
    }))
})
