import { PgClient } from "@effect/sql-pg"
import { assert, it, layer as sharedLayer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Latch, Layer, Option, type Scope } from "effect"
import { EventData, EventStore, PgEventStore, PgliteEventStore, Projection, type StoreError } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { inStore, until } from "../../src/Testing/internal/consuming.ts"
import { untilState } from "../../src/Testing/internal/projecting.ts"
import { collect, fails, ids, together } from "../../src/Testing/internal/rule.ts"
import { makeAccounts, moved, renamed, run } from "../support/accounts.ts"
import { has, open, type Opened } from "../support/Notes.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const { entry } = EventStore

/** A projection that nobody else has, and what to do with it. */
const begin = () => {
  const accounts = makeAccounts()
  const { Accounts, balances, differences, name } = accounts
  const applied = ({ store }: Opened, version = 1) =>
    untilState(store, name, ({ isApplied, isLive }) => isApplied && isLive, version)
  const agrees = (opened: Opened, version?: number) =>
    Effect.map(differences(opened, version), (rows) => assert.deepStrictEqual(rows, []))
  return {
    ...accounts,
    applied,
    agrees,
    account: (id: string | number) => Accounts.stream(String(id)),
    /** Applies it, in the processes that are given. */
    start: (...processes: ReadonlyArray<Opened>) =>
      Effect.gen(function*() {
        for (const opened of processes) {
          yield* run(opened, balances())
          yield* applied(opened)
        }
      }),
    /** Looks all the time whether tables and log agree; answers how often it looked when it is told to stop. */
    watch: (opened: Opened, version?: number) =>
      Effect.gen(function*() {
        let looks = 0
        let isOver = false
        const fiber = yield* Effect.forkScoped(Effect.gen(function*() {
          for (; !isOver; looks++) yield* Effect.andThen(agrees(opened, version), Effect.sleep(1))
          return looks
        }))
        return Effect.suspend(() => {
          isOver = true
          return Fiber.join(fiber)
        })
      })
  }
}

class Database extends Context.Service<Database, Opened>()("test/Opened") {}

const databases: Readonly<Record<string, Layer.Layer<Database, unknown>>> = {
  "Postgres 18": Layer.effect(Database, Effect.flatMap(TestPostgres.url, (url) => open(url))),
  "PGlite": Layer.effect(
    Database,
    Effect.map(Layer.build(PgliteEventStore.layer()), (context): Opened => ({
      store: Context.get(context, EventStore),
      sql: Context.get(context, PgClient.PgClient)
    }))
  )
}

type Body<A> = (given: A) => Generator<Effect.Effect<any, any, Scope.Scope>, void, never>

for (const [database, layer] of Object.entries(databases)) {
  sharedLayer(layer, { excludeTestServices: true, timeout: "2 minutes" })(
    `tables of an inline projection (${database})`,
    (it) => {
      const test = (what: string, body: Body<Opened>) =>
        it.effect(what, () => Effect.flatMap(Database, (opened) => Effect.gen(() => body(opened))), 120_000)

      test("change in the transaction of each way to append", function*(opened) {
        const { account, agrees, balanceOf, balances, start } = begin()
        const { sql, store } = opened
        yield* store.append(account("1"), [moved(5), renamed("before")])
        yield* start(opened)
        yield* agrees(opened)
        yield* store.append(account("1"), [moved(7)], { expected: 2 })
        yield* agrees(opened)
        yield* store.appendAll([entry(account("1"), [moved(1)]), entry(account("2"), [renamed("b"), moved(2)])])
        yield* agrees(opened)
        yield* store.appendIf({ items: [{ types: ["Never"] }], after: 0 }, entry(account("3"), [moved(3)]))
        yield* agrees(opened)
        yield* store.transaction(Effect.gen(function*() {
          yield* store.append(account("1"), [moved(10)])
          assert.strictEqual(yield* balanceOf(opened, "1"), 23)
          yield* store.append(account("4"), [moved(4)])
          yield* store.append(account("1"), [moved(10)], { expected: 5 })
        }))
        yield* agrees(opened)
        yield* sql`CREATE TABLE mine (account text)`
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* sql`INSERT INTO mine VALUES ('1')`
          yield* store.append(account("1"), [moved(10)])
          yield* sql.withTransaction(store.append(account("5"), [moved(5)]))
        }))
        yield* agrees(opened)
        assert.strictEqual(yield* balanceOf(opened, "1"), 43)
        const { position } = yield* store.append(account("1"), [moved(-43)])
        yield* inStore(store)(Projection.awaitProcessed(balances(), position, { timeout: "1 second" }))
        const empty = Projection.read(
          balances(),
          ({ sql, table }) => sql`SELECT version::float8 AS version FROM ${table("accounts")} WHERE balance = 0`
        )
        assert.deepStrictEqual(yield* Effect.provideService(inStore(store)(empty), SqlClient.SqlClient, sql), [
          { version: 8 }
        ])
      })

      test("stay as they are where a transaction fails, whoever fails it", function*(opened) {
        const { account, agrees, balanceOf, start } = begin()
        const { sql, store } = opened
        yield* start(opened)
        const one = account("1")
        yield* store.append(one, [moved(5)])
        yield* fails(
          store.transaction(Effect.andThen(store.append(one, [moved(5)]), store.append(account("2"), [moved(-1)]))),
          "InlineProjectionFailed"
        )
        yield* Effect.exit(sql.withTransaction(Effect.andThen(store.append(one, [moved(5)]), Effect.fail("no"))))
        yield* Effect.exit(store.transaction(Effect.andThen(store.append(one, [moved(5)]), Effect.interrupt)))
        assert.strictEqual(yield* balanceOf(opened, "1"), 5)
        assert.strictEqual(yield* store.head(one), 1)
        // where the failure is swallowed, the rest is stored
        yield* store.transaction(Effect.gen(function*() {
          yield* store.append(one, [moved(1)])
          yield* fails(store.append(one, [moved(10), moved(-17)]), "InlineProjectionFailed")
          yield* store.append(one, [moved(2)], { expected: 2 })
        }))
        assert.strictEqual(yield* balanceOf(opened, "1"), 8)
        yield* agrees(opened)
      })

      test("refuse an append with what the database says, and let its neighbours through", function*(opened) {
        const { Accounts, account, agrees, start } = begin()
        const { store } = opened
        yield* start(opened)
        const exits = yield* together(
          32,
          (i) => Effect.exit(store.append(account(i % 8 === 5 ? `poor${i}` : i), [moved(i % 8 === 5 ? -1 : i)]))
        )
        for (const [i, exit] of exits.entries()) {
          assert.strictEqual(Exit.isSuccess(exit), i % 8 !== 5, `${i}`)
          if (Exit.isSuccess(exit)) continue
          const error = Option.getOrThrow(Exit.findErrorOption(exit)) as StoreError.InlineProjectionFailed
          has(error, { _tag: "InlineProjectionFailed", version: 1 })
          assert.include(error.message, "accounts_balance_check")
        }
        assert.strictEqual((yield* collect(store.readCategory(Accounts))).length, 28)
        yield* agrees(opened)
      })

      test("agree with the log at every time, in one statement, whatever 64 callers do", function*(opened) {
        const { Accounts, account, agrees, start, watch } = begin()
        const { store } = opened
        yield* start(opened)
        const stop = yield* watch(opened)
        const stored = yield* together(64, (i) =>
          Effect.gen(function*() {
            let count = 0
            for (let n = 0; n < 3; n++) {
              const stream = account((i + n) % 10)
              const expected = (i + n) % 3 === 0 ? "any" as const : yield* store.head(stream)
              const kind = (i * 3 + n) % 8
              const append = kind === 4
                ? Effect.as(
                  store.appendAll([
                    entry(stream, [moved(i)], { expected }),
                    entry(account((i + n + 5) % 10), [renamed(`${i % 4}`)])
                  ]),
                  2
                )
                : kind === 5
                ? Effect.as(store.transaction(store.append(stream, [moved(i), moved(-1 - i)], { expected })), 2)
                : Effect.as(store.append(stream, [moved(n - 1)], { expected }), 1)
              const exit = yield* Effect.exit(append)
              if (Exit.isSuccess(exit)) count += exit.value
              else {
                const error = Option.getOrThrow(Exit.findErrorOption(exit)) as { readonly _tag: string }
                assert.include(["WrongExpectedVersion", "InlineProjectionFailed"], error._tag)
              }
            }
            return count
          }))
        assert.isAbove(yield* stop, 3)
        assert.strictEqual(
          (yield* collect(store.readCategory(Accounts))).length,
          stored.reduce((sum, count) => sum + count, 0)
        )
        yield* agrees(opened)
      })

      test("count an append once that is repeated", function*(opened) {
        const { account, agrees, balanceOf, start } = begin()
        const { store } = opened
        yield* start(opened)
        const given = yield* ids(3)
        const append = store.append(account("1"), given.map((id, i) => EventData.make(moved(i + 1), { id })))
        const answers = yield* together(5, () => append)
        for (const answer of [...answers, yield* append]) assert.deepStrictEqual(answer, answers[0])
        yield* store.transaction(append)
        assert.strictEqual(yield* balanceOf(opened, "1"), 6)
        yield* agrees(opened)
      })

      test("come into force under writers, and are built anew beside one another", function*(opened) {
        const { account, agrees, applied, balances, differences, name, start, watch } = begin()
        const { store } = opened
        let isOver = false
        let count = 0
        const writing = yield* Effect.forkScoped(together(4, (i) =>
          Effect.gen(function*() {
            for (let n = 0; !isOver; n++) {
              yield* store.append(account((i + n) % 4), [moved(1), renamed(`${i}`)])
              count++
              // slower than who builds the tables meanwhile
              yield* Effect.sleep(50)
            }
          })))
        const more = Effect.suspend(() => {
          const before = count
          return until("writers to write", () => count > before + 15)
        })
        yield* more
        yield* start(opened)
        const first = yield* watch(opened)
        yield* more
        yield* run(opened, balances({ version: 2 }), { switch: "manual" })
        yield* untilState(store, name, ({ stage }) => stage === "ready", 2)
        yield* more
        assert.isAbove(yield* first, 3)
        assert.strictEqual(yield* inStore(store)(Projection.switchTo(name, 2)), "wanted")
        yield* applied(opened, 2)
        const second = yield* watch(opened, 2)
        yield* more
        assert.isAbove(yield* second, 3)
        isOver = true
        yield* Fiber.join(writing)
        yield* agrees(opened, 2)
        // its runner keeps the old one for a way back
        yield* until(
          "the old version to come as far",
          () => Effect.map(differences(opened, 1), (rows) => rows.length === 0)
        )
      })
    }
  )
}

class Rate extends Context.Service<Rate, { readonly of: number }>()("test/Rate") {
  declare readonly [Projection.replaySafe]: true
}

const test = (what: string, body: Body<string>) =>
  it.live(what, () => Effect.flatMap(TestPostgres.url, (url) => Effect.gen(() => body(url))), 120_000)

test("tables of an inline projection are never missed by a process that does not run it", function*(url) {
  const { account, agrees, balances, name, start } = begin()
  const [here, there] = [yield* open(url), yield* open(url)]
  yield* start(here)
  yield* here.store.append(account("1"), [moved(5)])
  const missing = yield* fails(there.store.append(account("1"), [moved(5)]), "InlineProjectionMissing")
  assert.deepStrictEqual(missing.projections, [{ name, version: 1 }])
  yield* there.sql`CREATE TABLE mine (account text)`
  yield* fails(
    there.sql.withTransaction(
      Effect.andThen(there.sql`INSERT INTO mine VALUES ('1')`, there.store.append(account("1"), [moved(5)]))
    ),
    "InlineProjectionMissing"
  )
  assert.deepStrictEqual(yield* there.sql`SELECT account FROM mine`, [])
  assert.strictEqual(yield* here.store.head(), 1)
  yield* agrees(here)
  yield* run(there, balances())
  yield* until(
    "it to run there, too",
    () => Effect.map(Effect.exit(there.store.append(account("1"), [moved(5)])), Exit.isSuccess)
  )
  yield* agrees(here)
})

test("COMMIT of an application says what came into force while its transaction was open", function*(url) {
  const { account, agrees, name, start } = begin()
  const [here, there] = [yield* open(url), yield* open(url)]
  const [staged, go] = [yield* Latch.make(), yield* Latch.make()]
  const ending = yield* Effect.forkScoped(
    there.sql.withTransaction(
      there.store.append(account("1"), [moved(5)]).pipe(Effect.andThen(staged.open), Effect.andThen(go.await))
    ).pipe(PgEventStore.catchCommitConflict, Effect.exit)
  )
  yield* staged.await
  yield* start(here)
  yield* go.open
  const error = yield* fails(Effect.flatten(Fiber.join(ending)), "InlineProjectionMissing")
  assert.deepStrictEqual(error.projections, [{ name, version: 1 }])
  yield* here.store.append(account("1"), [moved(7)], { expected: 0 })
  yield* agrees(here)
})

test("appends of processes that lock the same rows in opposite orders all come through", function*(url) {
  const { account, agrees, start } = begin()
  const processes = [yield* open(url), yield* open(url)]
  yield* start(...processes)
  yield* together(2, (i) =>
    Effect.gen(function*() {
      for (let n = 0; n < 5; n++) {
        const names = i === 0 ? ["a", "b", "c"] : ["c", "b", "a"]
        yield* processes[i]!.store.append(account(i), names.map(renamed), { expected: n * 3 })
      }
    }))
  yield* agrees(processes[0]!)
})

test("appends whose connections are cut, at whatever time, are stored and applied once", function*(url) {
  const { account, agrees, start, watch } = begin()
  const here = yield* open(url)
  const proxy = yield* TcpProxy.make(url)
  const there = yield* open(proxy.url)
  yield* start(here, there)
  const stop = yield* watch(here)
  let isOver = false
  const writing = yield* Effect.forkScoped(together(8, (i) =>
    Effect.gen(function*() {
      let version = 0
      // whoever stored one twice, or none, would not get the version he expects
      for (; !isOver; version += 2) {
        const appended = yield* there.store.append(account(i), [moved(1), renamed(`${i % 3}`)], { expected: version })
        assert.strictEqual(appended.version, version + 2)
      }
      return version
    })))
  // far enough apart for a connection to be made, and something to be said
  for (let i = 0; i < 30 || proxy.lost() < 10; i++) {
    yield* Effect.sleep(60 + i * 37 % 150)
    if (i % 3 !== 0) proxy.loseAnswers("COMMIT", 1)
    else proxy.cut()
  }
  isOver = true
  const versions = yield* Fiber.join(writing)
  assert.isAbove(yield* stop, 3)
  assert.strictEqual(yield* here.store.head(), versions.reduce((sum, version) => sum + version, 0))
  yield* agrees(here)
})

test("an inline projection runs with the services of its layer, whoever appends", function*(url) {
  const { Accounts, account } = begin()
  const { sql, store } = yield* open(url)
  const rate = (of: number) => Layer.succeed(Rate, { of })
  const Rated = Projection.make("rated", {
    mode: "inline",
    from: Accounts,
    setup: ({ sql, table }) => sql`CREATE TABLE ${table("sums")} (sum int8)`,
    batch: (events, { sql, table }) =>
      Rate.use(({ of }) => sql`INSERT INTO ${table("sums")} VALUES (${events.length * of}::int8)`)
  })
  yield* Effect.gen(function*() {
    yield* untilState(store, "rated", ({ isApplied }) => isApplied)
    yield* store.append(account("1"), [moved(1)])
    yield* store.transaction(store.append(account("1"), [moved(1), moved(1)]))
  }).pipe(
    Effect.provide(Layer.merge(Layer.provide(Projection.layer(Rated), rate(7)), rate(1000))),
    Effect.provideService(EventStore, store),
    Effect.provideService(SqlClient.SqlClient, sql)
  )
  const sums = yield* sql<{ sum: number }>`SELECT sum::float8 AS sum FROM rated_v1.sums`
  assert.deepStrictEqual(sums.map(({ sum }) => sum), [7, 14])
})
