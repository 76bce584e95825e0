import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Latch, Layer, Option } from "effect"
import { EventId, EventStore, PgEventStore } from "effect-eventstore"
import { SqlClient, type SqlError } from "effect/sql"
import { has, note, noteAs, Notes, open, recorded, type Store, texts } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const opened = Effect.flatMap(TestPostgres.url, (url) => open(url))

const append = (store: Store, id: string, text: string) => store.append(Notes.stream(id), [note(text)])

/** What somebody else does meanwhile, outside of the transaction. */
const outside = <A, E, R>(sql: PgClient.PgClient, effect: Effect.Effect<A, E, R>) =>
  Effect.updateContext(effect, (context: Context.Context<R>) => Context.omit(sql.transactionService)(context) as any)

/** Nobody holds the lock of a log of this database, and nothing staged is left. */
const assertFree = (sql: PgClient.PgClient) =>
  Effect.gen(function*() {
    const locks = yield* sql`SELECT pid FROM pg_locks WHERE locktype = 'advisory'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
    assert.deepStrictEqual(locks, [])
    assert.deepStrictEqual(yield* sql`SELECT staged_id FROM eventstore.staged_appends`, [])
  })

const codeOf = (error: SqlError.SqlError) => (error.reason.cause as { readonly code?: string }).code

const strict = ["REPEATABLE READ", "SERIALIZABLE"] as const

describe("transactions on Postgres", () => {
  it.live("lets other appends through for as long as it is open, and comes after them", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const started = Date.now()
      let through = 0
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* append(store, "inside", "1")
        yield* append(store, "inside", "2")
        // in a fibre of its own, as it is somebody else's
        const others = Effect.forEach(["a", "b", "c", "d"], (id) =>
          Effect.gen(function*() {
            while (Date.now() - started < 1000) {
              yield* append(store, id, "outside")
              through++
            }
          }), { concurrency: "unbounded" })
        yield* outside(sql, others)
        assert.isAbove(through, 40)
      }))
      const events = yield* recorded(store)
      assert.deepStrictEqual(
        events.map(({ position }) => position),
        Array.from({ length: through + 2 }, (_, i) => i + 1)
      )
      assert.deepStrictEqual(events.slice(-2).map(({ event }) => event.data), [{ text: "1" }, { text: "2" }])
      yield* assertFree(sql)
    }))

  for (const isolation of strict) {
    it.live(`refuses appends, and not reads, under ${isolation}`, () =>
      Effect.gen(function*() {
        const { sql, store } = yield* opened
        yield* append(store, "a", "before")
        const inStrict = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
          Effect.provideService(effect, SqlClient.BeginTransaction, `BEGIN ISOLATION LEVEL ${isolation}`)
        for (
          const transaction of [
            sql.withTransaction(append(store, "a", "no")),
            sql.withTransaction(Effect.andThen(texts(store, "a"), append(store, "a", "no"))),
            sql.withTransaction(sql.withTransaction(append(store, "a", "no"))),
            store.transaction(append(store, "a", "no"))
          ]
        ) {
          const error = yield* Effect.flip(inStrict(transaction as Effect.Effect<unknown, object>))
          has(error, { _tag: "InvalidInput", field: "transaction" })
        }
        assert.deepStrictEqual(yield* texts(store, "a"), ["before"])
        assert.strictEqual(yield* store.head(), 1)
        const seen = yield* inStrict(sql.withTransaction(Effect.gen(function*() {
          const first = yield* texts(store, "a")
          yield* outside(sql, append(store, "a", "meanwhile"))
          return [first, yield* texts(store, "a"), yield* store.head()] as const
        })))
        assert.deepStrictEqual(seen, [["before"], ["before"], 1 as never])
        assert.deepStrictEqual(yield* texts(store, "a"), ["before", "meanwhile"])
        yield* assertFree(sql)
      }))
  }

  it.live("asks for READ COMMITTED itself, where transactions have another default", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const admin = yield* open(url)
      const database = new URL(url).pathname.slice(1)
      yield* admin.sql.unsafe(`ALTER DATABASE ${database} SET default_transaction_isolation TO serializable`)
      const { sql, store } = yield* open(url)
      assert.strictEqual(
        (yield* sql<{ now: string }>`SHOW default_transaction_isolation`.values)[0]![0],
        "serializable"
      )
      yield* append(store, "a", "1")
      yield* Effect.forEach(["2", "3", "4"], (text) => append(store, "b", text), { concurrency: "unbounded" })
      yield* store.transaction(append(store, "a", "5"))
      yield* store.truncateBefore(Notes.stream("b"), 2)
      yield* store.setMetadata(Notes.stream("a"), "noted")
      yield* store.delete(Notes.stream("b"), { expected: 3 })
      yield* store.tombstone(Notes.stream("b"))
      assert.deepStrictEqual(yield* texts(store, "a"), ["1", "5"])
      // the application's own transaction is as the database has it
      has(yield* Effect.flip(sql.withTransaction(append(store, "a", "no"))), {
        _tag: "InvalidInput",
        field: "transaction"
      })
      assert.strictEqual(yield* store.head(), 5)
    }))

  it.live("begins a transaction as the program asks for, and other clients' inside of it as they do", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const other = yield* opened
      const isolation = (sql: PgClient.PgClient) =>
        Effect.map(sql`SHOW transaction_isolation`.values, ([row]) => row![0])
      const [inside, elsewhere] = yield* store.transaction(
        Effect.all([isolation(sql), other.sql.withTransaction(isolation(other.sql))])
      ).pipe(Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ"))
      assert.deepStrictEqual([inside, elsewhere], ["repeatable read", "repeatable read"])
      assert.deepStrictEqual(
        yield* store.transaction(Effect.all([isolation(sql), Effect.service(SqlClient.BeginTransaction)])),
        ["read committed", undefined]
      )
    }))

  it.live("cannot be prepared with appends in it, and leaves the log free", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const refused = yield* Effect.flip(sql.withTransaction(Effect.andThen(
        append(store, "a", "no"),
        sql`PREPARE TRANSACTION 'with_events'`
      )))
      assert.strictEqual((refused as SqlError.SqlError)._tag, "SqlError")
      assert.strictEqual(codeOf(refused as SqlError.SqlError), "0A000")
      yield* assertFree(sql)
      assert.deepStrictEqual(yield* sql`SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`, [])
      assert.strictEqual((yield* append(store, "a", "1")).position, 1)
      assert.deepStrictEqual(yield* texts(store, "a"), ["1"])
    }))

  it.live("stalls neither writers nor readers where something else is prepared", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      yield* sql`CREATE TABLE orders (id int4 PRIMARY KEY)`
      const gid = (yield* EventId.make).replaceAll("-", "")
      yield* append(store, "a", "1")
      // PREPARE ends the transaction, and the COMMIT after it finds none: the server only warns
      yield* sql.withTransaction(Effect.andThen(
        sql`INSERT INTO orders VALUES (1)`,
        sql.unsafe(`PREPARE TRANSACTION '${gid}'`)
      ))
      yield* append(store, "a", "2")
      yield* store.transaction(append(store, "a", "3"))
      assert.deepStrictEqual((yield* recorded(store)).map(({ position }) => position), [1, 2, 3])
      yield* sql.unsafe(`COMMIT PREPARED '${gid}'`)
      assert.deepStrictEqual((yield* recorded(store)).map(({ position }) => position), [1, 2, 3])
      assert.strictEqual((yield* sql`SELECT id FROM orders`).length, 1)
    }))

  it.live("drops what was staged inside of a savepoint that is rolled back, and that alone", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* append(store, "a", "1")
        yield* Effect.flip(sql.withTransaction(Effect.andThen(append(store, "a", "no"), Effect.fail("back"))))
        yield* append(store, "a", "2")
        yield* sql`SAVEPOINT mine`
        yield* append(store, "a", "no")
        yield* append(store, "b", "no")
        yield* sql`ROLLBACK TO SAVEPOINT mine`
        // an append that the database refuses, and a savepoint that saves the rest
        yield* Effect.flip(sql.withTransaction(sql`SELECT 1 / 0`))
        yield* store.append(Notes.stream("a"), [note("3")], { expected: 2 })
        assert.deepStrictEqual(yield* texts(store, "a"), ["1", "2", "3"])
      }))
      assert.deepStrictEqual(yield* texts(store, "a"), ["1", "2", "3"])
      assert.deepStrictEqual((yield* recorded(store)).map(({ position }) => position), [1, 2, 3])
      assert.strictEqual(yield* store.head(Notes.stream("b")), 0)
      yield* assertFree(sql)
    }))

  it.live("tells a conflict at COMMIT by its code, and with catchCommitConflict by its type", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      yield* append(store, "a", "1")
      const id = yield* EventId.make
      /** In a transaction of the client: `inside`, then `outside` by somebody else, then COMMIT. */
      const conflict = <A, E, B, E2>(inside: Effect.Effect<A, E>, other: Effect.Effect<B, E2>) =>
        sql.withTransaction(Effect.andThen(inside, outside(sql, other)))
      const wrongVersion = conflict(
        store.append(Notes.stream("a"), [note("inside")], { expected: 1 }),
        append(store, "a", "outside")
      )
      const bare = (yield* Effect.flip(wrongVersion)) as SqlError.SqlError
      assert.strictEqual(bare._tag, "SqlError")
      assert.strictEqual(codeOf(bare), "ES002")
      assert.deepStrictEqual(yield* texts(store, "a"), ["1", "outside"])

      const typed = yield* Effect.flip(PgEventStore.catchCommitConflict(conflict(
        store.appendAll([
          EventStore.entry(Notes.stream("a"), [note("inside")], { expected: 2 }),
          EventStore.entry(Notes.stream("new"), [], { expected: "no-stream" })
        ]),
        Effect.andThen(append(store, "a", "outside"), append(store, "new", "outside"))
      )))
      has(typed, { _tag: "WrongExpectedVersion", streamId: "notes-a", expected: 2, actual: 3 })
      has(typed, {
        violations: [
          { streamId: "notes-a", expected: 2, actual: 3 },
          { streamId: "notes-new", expected: "no-stream", actual: 1 }
        ]
      })

      const broken = conflict(
        store.appendIf({ items: [{ types: ["Noted"] }], after: 4 }, [
          EventStore.entry(Notes.stream("if"), [note("i")])
        ]),
        append(store, "b", "outside")
      )
      has(yield* Effect.flip(PgEventStore.catchCommitConflict(broken)), {
        _tag: "AppendConditionFailed",
        after: 4,
        position: 5
      })
      const taken = conflict(
        store.append(Notes.stream("c"), [noteAs(id, "inside")]),
        store.append(Notes.stream("c"), [noteAs(id, "outside")])
      )
      has(yield* Effect.flip(PgEventStore.catchCommitConflict(taken)), {
        _tag: "EventIdConflict",
        eventId: id,
        streamId: "notes-c"
      })
      const ended = conflict(append(store, "d", "inside"), store.tombstone(Notes.stream("d")))
      has(yield* Effect.flip(PgEventStore.catchCommitConflict(ended)), {
        _tag: "StreamTombstoned",
        streamId: "notes-d"
      })

      // everything else passes
      assert.strictEqual(yield* PgEventStore.catchCommitConflict(sql.withTransaction(Effect.succeed(7))), 7)
      assert.strictEqual(
        yield* Effect.flip(PgEventStore.catchCommitConflict(sql.withTransaction(Effect.fail("e")))),
        "e"
      )
      const other = yield* Effect.flip(PgEventStore.catchCommitConflict(sql.withTransaction(sql`SELECT 1 / 0`)))
      assert.strictEqual(other._tag, "SqlError")
      yield* assertFree(sql)
    }))

  it.live("does not deadlock where two transactions name the same streams in opposite order", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const orders = [["a", "b", "c"], ["c", "b", "a"]]
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, i) => i),
        (i) => sql.withTransaction(Effect.forEach(orders[i % 2]!, (id) => append(store, id, String(i)))),
        { concurrency: 8 }
      )
      for (const id of ["a", "b", "c"]) assert.strictEqual((yield* texts(store, id)).length, 40)
      assert.strictEqual((yield* recorded(store)).length, 120)
    }))

  it.live("takes its places at once after SET CONSTRAINTS ALL IMMEDIATE", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      yield* append(store, "a", "1")
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* store.append(Notes.stream("a"), [note("2")], { expected: 1 })
        yield* sql`SET CONSTRAINTS ALL IMMEDIATE`
        assert.deepStrictEqual(
          (yield* recorded(store)).map(({ position, streamVersion }) => [position, streamVersion]),
          [[1, 1], [2, 2]] as never
        )
        has(yield* store.append(Notes.stream("a"), [note("3"), note("4")], { expected: 2 }), { version: 4 })
        has(yield* Effect.flip(store.append(Notes.stream("a"), [note("no")], { expected: 2 })), {
          _tag: "WrongExpectedVersion",
          actual: 4
        })
        assert.deepStrictEqual(yield* texts(store, "a"), ["1", "2", "3", "4"])
        yield* sql`SET CONSTRAINTS ALL DEFERRED`
        yield* append(store, "a", "5")
        assert.deepStrictEqual(yield* texts(store, "a"), ["1", "2", "3", "4", "5"])
      }))
      assert.deepStrictEqual(
        (yield* recorded(store)).map(({ position, streamVersion }) => [position, streamVersion]),
        [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]] as never
      )
      const conflict = sql.withTransaction(Effect.gen(function*() {
        yield* store.append(Notes.stream("a"), [note("inside")], { expected: 5 })
        yield* outside(sql, append(store, "a", "outside"))
        yield* sql`SET CONSTRAINTS ALL IMMEDIATE`
      }))
      has(yield* Effect.flip(PgEventStore.catchCommitConflict(conflict)), { _tag: "WrongExpectedVersion", actual: 6 })
      yield* assertFree(sql)
    }))

  it.live("ends as a retryable error where two transactions lock two logs in opposite order", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { sql, store } = yield* open(url)
      const other = Context.get(
        yield* Effect.provideService(Layer.build(PgEventStore.layerStore({ log: 2 })), PgClient.PgClient, sql),
        EventStore
      )
      const latches = [yield* Latch.make(), yield* Latch.make()] as const
      const transaction = (stores: ReadonlyArray<Store>, mine: Latch.Latch, theirs: Latch.Latch) =>
        store.transaction(Effect.gen(function*() {
          yield* sql`SET CONSTRAINTS ALL IMMEDIATE`
          yield* append(stores[0]!, "a", "1")
          yield* mine.open
          yield* theirs.await
          yield* append(stores[1]!, "a", "2")
        }))
      const exits = yield* Effect.all([
        Effect.exit(transaction([store, other], latches[0], latches[1])),
        Effect.exit(transaction([other, store], latches[1], latches[0]))
      ], { concurrency: 2 })
      const failures = exits.flatMap((exit) => Option.toArray(Exit.findErrorOption(exit)))
      assert.strictEqual(failures.length, 1)
      has(failures[0]!, { _tag: "StoreError", isRetryable: true, outcome: "not-stored" })
      assert.deepStrictEqual([yield* store.head(), yield* other.head()], [1, 1] as never)
      yield* assertFree(sql)
    }))

  it.live("says that nothing is stored where a failed statement was swallowed", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const error = yield* Effect.flip(store.transaction(Effect.gen(function*() {
        yield* append(store, "a", "no")
        yield* Effect.ignore(sql`SELECT 1 / 0`)
      })))
      has(error, { _tag: "StoreError", outcome: "not-stored" })
      assert.deepStrictEqual(yield* texts(store, "a"), [])
    }))

  it.live("says that nothing is stored where the connection is lost before COMMIT", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const kill = Effect.flatMap(
        sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`,
        ([row]) => outside(sql, sql`SELECT pg_terminate_backend(${row!.pid}, 5000)`)
      )
      const atAppend = yield* Effect.flip(store.transaction(Effect.andThen(kill, append(store, "a", "no"))))
      has(atAppend, { _tag: "StoreError", outcome: "not-stored" })
      const inside = yield* Effect.flip(store.transaction(Effect.gen(function*() {
        yield* append(store, "a", "no")
        yield* kill
        yield* texts(store, "a")
      })))
      has(inside, { _tag: "StoreError", outcome: "not-stored" })
      assert.deepStrictEqual(yield* texts(store, "a"), [])
      // COMMIT was sent: only the server knows
      const atCommit = yield* Effect.flip(store.transaction(Effect.andThen(append(store, "a", "perhaps"), kill)))
      has(atCommit, { _tag: "StoreError", outcome: "unknown" })
      yield* assertFree(sql)
    }))

  it.live("ends whole, and releases everything, where it is interrupted while COMMIT waits for the log", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const [holding, release] = [yield* Latch.make(), yield* Latch.make()]
      const holder = yield* Effect.forkChild(sql.withTransaction(Effect.gen(function*() {
        yield* sql`SELECT pg_advisory_xact_lock(hashtext('eventstore'), 1)`
        yield* holding.open
        yield* release.await
      })))
      yield* holding.await
      const waiting = yield* Effect.forkChild(
        store.transaction(Effect.andThen(append(store, "a", "1"), append(store, "b", "1")))
      )
      const blocked = Effect.map(
        sql`SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()`,
        (rows) => rows.length
      )
      yield* Effect.repeat(blocked, { until: (count) => count === 1 })
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(waiting))
      yield* Effect.yieldNow
      yield* release.open
      yield* Fiber.join(holder)
      yield* Fiber.join(interrupting)
      yield* assertFree(sql)
      assert.strictEqual((yield* texts(store, "a")).length, (yield* texts(store, "b")).length)
      const { position } = yield* append(store, "c", "1")
      assert.strictEqual((yield* recorded(store)).length, position)
    }))
})
