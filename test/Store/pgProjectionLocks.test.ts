/** Runners and operators that are in each other's way: claims, batches and transactions on connections of their own. */
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Latch, Option, Result } from "effect"
import * as Sql from "../../src/Store/internal/projectionsSql.ts"
import type { Advance } from "../../src/Store/ProjectionStorage.ts"
import { until } from "../../src/Testing/internal/consuming.ts"
import {
  complete,
  makeInline,
  makeVersion,
  movedTo,
  type Owned,
  storageOf,
  type Version
} from "../../src/Testing/internal/projectionStorageVersion.ts"
import { begin } from "../../src/Testing/internal/queue.ts"
import { has, note, Notes, open, type Opened, openStore } from "../support/Notes.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const opened = Effect.flatMap(TestPostgres.url, (url) => open(url))

/** Long enough for a busy machine, and much shorter than a transaction that nobody ends. */
const atOnce = Effect.timeout("5 seconds")

/** A table that batches write to. */
const makeModel = ({ sql }: Opened) => sql`CREATE TABLE model (position int8 PRIMARY KEY, by text NOT NULL)`

const put = (sql: PgClient.PgClient, position: number, by: string) =>
  sql`INSERT INTO model (position, by) VALUES (${position}::int8, ${by}::text)`

const model = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<{ by: string }>`SELECT by FROM model ORDER BY position`,
    (rows) => rows.map(({ by }) => by)
  )

/** Claims by the clock of the database. */
const own = (stores: Opened, version: Version, runner: string, lease: Duration.Duration) =>
  Effect.map(
    storageOf(stores.store).claim({ id: version.id, runner, lease, now: undefined }),
    (claimed) => claimed!.partitions
  )

/** An effect that stands still until it is told to go on. */
const standing = Effect.gen(function*() {
  const [reached, go] = yield* Effect.all([Latch.make(), Latch.make()])
  return { reached: reached.await, go: go.open, here: Effect.andThen(reached.open, go.await) }
})

/** A batch that has moved its checkpoint, and stands still before COMMIT. */
const atCommit = Effect.fnUntraced(function*(
  { sql }: Opened,
  version: Version,
  owned: Owned,
  to: number,
  options: Partial<Advance> = {}
) {
  const { go, here, reached } = yield* standing
  const { params, text } = Sql.advancePartition("eventstore", version.advance(owned, to, options))
  const fiber = yield* Effect.forkScoped(sql.withTransaction(Effect.andThen(sql.unsafe(text, params), here)))
  yield* reached
  return Effect.andThen(go, Fiber.join(fiber))
})

const deadlocks = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<{ n: number }>`SELECT deadlocks::int4 AS n FROM pg_stat_database WHERE datname = current_database()`,
    ([row]) => row!.n
  )

describe("projections in Postgres", () => {
  it.live("let go of what a process that stands still has locked, when its lease has run out", () =>
    Effect.gen(function*() {
      const stores = yield* opened
      const { sql, store } = stores
      const version = yield* makeVersion(store)
      yield* makeModel(stores)
      const lease = Duration.millis(400)
      const [owned] = yield* own(stores, version, "frozen", lease)
      const { go, here, reached } = yield* standing
      const frozen = yield* Effect.forkScoped(Effect.result(
        version.moveWith(owned!, 5, Effect.andThen(put(sql, 5, "frozen"), here), { now: undefined, lease })
      ))
      yield* reached
      const [taken] = yield* until(
        "the partition",
        () => Effect.map(own(stores, version, "other", lease), (partitions) => partitions.length > 0)
      ).pipe(Effect.andThen(own(stores, version, "other", lease)))
      // it holds the very row
      const moved = version.moveWith(taken!, 5, put(sql, 5, "other"), { now: undefined, lease: Duration.seconds(30) })
      assert.deepStrictEqual(yield* atOnce(moved), Option.some([]))
      yield* go
      const result = yield* Fiber.join(frozen)
      assert.isTrue(Result.isFailure(result))
      if (Result.isFailure(result)) has(result.failure, { _tag: "StoreError", isRetryable: true })
      assert.deepStrictEqual(yield* model(sql), ["other"])
      assert.deepStrictEqual(yield* version.positions, [5])
    }))

  it.live("end a transaction that stands still no later than the database is told to anyway", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const stores = yield* open(url, { client: { maxConnections: 1 } })
      const { sql, store } = stores
      const version = yield* makeVersion(store)
      const [owned] = yield* own(stores, version, "a", Duration.minutes(1))
      const setting = sql<{ now: string }>`SELECT current_setting('idle_in_transaction_session_timeout') AS now`
      const within = (lease: Duration.Duration, from: number) =>
        Effect.map(
          version.moveWith(movedTo(owned!, from), from + 1, setting, { now: undefined, lease }),
          (answer) => Option.getOrThrow(answer)![0]!.now
        )
      assert.strictEqual(yield* within(Duration.seconds(30), 0), "30s")
      assert.strictEqual((yield* setting)[0]!.now, "0")
      yield* sql`SET idle_in_transaction_session_timeout TO '20s'`
      assert.strictEqual(yield* within(Duration.seconds(30), 1), "20s")
      assert.strictEqual(yield* within(Duration.seconds(10), 2), "10s")
      assert.strictEqual(yield* within(Duration.infinity, 3), "20s")
      assert.strictEqual((yield* setting)[0]!.now, "20s")
    }))

  it.live("hand out nothing of a batch that is just about to be stored, and do not wait for it", () =>
    Effect.gen(function*() {
      const stores = yield* opened
      const version = yield* makeVersion(stores.store, { partitions: 2 })
      const other = yield* makeVersion(stores.store)
      const [first] = yield* version.own("a")
      const commit = yield* atCommit(stores, version, first!, 5)
      // its lease has run out, but it may be stored any moment
      const claimed = yield* atOnce(version.claim("b", begin + 2000))
      assert.deepStrictEqual(claimed.partitions.map(({ partition }) => partition), [1])
      assert.deepStrictEqual((yield* atOnce(version.claim("a", begin + 2000))).partitions.length, 1)
      const pausing = yield* Effect.forkScoped(storageOf(stores.store).pause(version.id))
      yield* Effect.sleep("100 millis")
      // an operator has to wait, and nobody waits for him
      assert.isUndefined(pausing.pollUnsafe())
      yield* atOnce(version.claim("b", begin + 2000))
      assert.strictEqual((yield* atOnce(other.own("b"))).length, 1)
      assert.deepStrictEqual(yield* version.positions, [0, 0])
      yield* commit
      assert.isTrue(yield* Fiber.join(pausing))
      has(yield* version.state(), { status: "paused" })
      assert.deepStrictEqual(yield* version.positions, [5, 0])
    }))

  it.live("remove what a batch under way has written, and do not wait in a circle", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const { documents, drop, reset, resume } = storageOf(store)
      const live = yield* makeVersion(store)
      const version = yield* makeVersion(store, { name: live.name, version: 2 })
      for (const how of ["reset", "drop"] as const) {
        yield* resume(version.id)
        const owned = yield* version.ownFirst("a")
        yield* version.moveWith(owned, 1, documents.save(version.id, [{ key: "k", state: "1" }]))
        const { go, here, reached } = yield* standing
        const batch = yield* Effect.forkScoped(version.moveWith(
          movedTo(owned, 1),
          2,
          Effect.andThen(documents.save(version.id, [{ key: "k", state: "2" }, { key: "l", state: "2" }]), here)
        ))
        yield* reached
        const operating = yield* Effect.forkScoped(how === "reset" ? reset(version.id) : drop(version.id))
        // claims go on, and are told
        yield* until("the end of work", () =>
          Effect.map(
            storageOf(store).claim({ id: version.id, runner: "a", lease: Duration.seconds(1), now: begin }),
            (claimed) => claimed?.status === "paused"
          ))
        yield* go
        assert.deepStrictEqual(yield* Fiber.join(batch), Option.none())
        assert.strictEqual(yield* atOnce(Fiber.join(operating)), how === "reset" ? true : "dropped")
        assert.deepStrictEqual(yield* version.documents, {})
      }
      assert.strictEqual(yield* deadlocks(sql), 0)
    }))

  it.live("let nobody but operators wait while an operator waits for readers of tables that are to go", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const projections = storageOf(store)
      const live = yield* makeVersion(store, { kind: "tables", schema: "model_v1" })
      const version = yield* makeVersion(store, { name: live.name, version: 2, kind: "tables", schema: "model_v2" })
      yield* projections.setUpWith(version.id, sql`CREATE TABLE model_v2.totals (n int4)`)
      const { go, here, reached } = yield* standing
      const reader = yield* Effect.forkScoped(
        sql.withTransaction(Effect.andThen(sql`SELECT n FROM model_v2.totals`, here))
      )
      yield* reached
      const dropping = yield* Effect.forkScoped(projections.drop(version.id))
      yield* until("somebody to wait", () =>
        Effect.map(
          sql`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
          (rows) => rows.length > 0
        ))
      assert.strictEqual((yield* atOnce(version.claim("a"))).status, "paused")
      assert.strictEqual((yield* atOnce(live.own("a"))).length, 1)
      assert.isTrue(yield* atOnce(projections.pause(live.id)))
      yield* go
      yield* Fiber.join(reader)
      assert.strictEqual(yield* Fiber.join(dropping), "dropped")
      assert.isUndefined(yield* version.find(begin))
      assert.strictEqual((yield* sql`SELECT FROM pg_namespace WHERE nspname = 'model_v2'`).length, 0)
    }))

  it.live("wait with an activation for transactions that applied a version before it was paused", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const { beginInline, completeWith, documents, pause, resume } = storageOf(store)
      const { category, version } = yield* makeInline(store)
      yield* complete(store, version)
      const stream = category.stream("1")
      const put = documents.load(version.id, ["k"], { isLocking: true })
      const { go, here, reached } = yield* standing
      const late = yield* Effect.forkScoped(Effect.result(store.transaction(Effect.gen(function*() {
        yield* beginInline([version.id], [stream.streamId], { isWaiting: true })
        yield* put
        yield* here
      }))))
      yield* reached
      yield* pause(version.id)
      yield* resume(version.id)
      const completing = yield* Effect.forkScoped(completeWith(version.id, { isSwitching: true }, () => put))
      yield* Effect.sleep("100 millis")
      assert.isUndefined(completing.pollUnsafe())
      // the log is open, and so are the claims
      yield* atOnce(store.append(Notes.stream("a"), [note("meanwhile")]))
      assert.strictEqual((yield* atOnce(version.claim(version.name))).isApplied, false)
      yield* go
      yield* Fiber.join(late)
      assert.isTrue(yield* Fiber.join(completing))
      assert.strictEqual(yield* deadlocks(sql), 0)
    }))

  it.live("leave a version running that is reset by two, or by somebody who did not come to the end", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const version = yield* makeVersion(store)
      const { drop, pause, reset, resume } = storageOf(store)
      const status = Effect.map(version.state(), ({ status }) => status)
      const begun = sql`SELECT eventstore.pause_projection(${version.id}::int4, 'reset')`
      const ended = sql`SELECT eventstore.reset_projection(${version.id}::int4)`
      yield* begun
      assert.isTrue(yield* reset(version.id))
      assert.strictEqual(yield* status, "running")
      yield* ended
      assert.strictEqual(yield* status, "running")

      yield* begun
      assert.strictEqual(yield* status, "paused")
      assert.isTrue(yield* reset(version.id))
      assert.strictEqual(yield* status, "running")

      // who pauses it meanwhile has his answer
      yield* begun
      yield* pause(version.id)
      yield* ended
      assert.strictEqual(yield* status, "paused")
      assert.isTrue(yield* reset(version.id))
      assert.strictEqual(yield* status, "paused")

      yield* resume(version.id)
      const next = yield* makeVersion(store, { name: version.name, version: 2 })
      const nextStatus = Effect.map(next.state(), ({ status }) => status)
      yield* sql.unsafe(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$`)
      yield* sql.unsafe(
        `CREATE TRIGGER refuse BEFORE DELETE ON eventstore.projection_versions EXECUTE FUNCTION refuse()`
      )
      assert.isTrue(Result.isFailure(yield* Effect.result(drop(next.id))))
      assert.strictEqual(yield* nextStatus, "running")
      yield* pause(next.id)
      assert.isTrue(Result.isFailure(yield* Effect.result(drop(next.id))))
      assert.strictEqual(yield* nextStatus, "paused")
    }))

  it.live("keep a key parked under which another partition parks while its last event is replayed", () =>
    Effect.gen(function*() {
      const stores = yield* opened
      const version = yield* makeVersion(stores.store, { partitions: 2 })
      const { replay } = storageOf(stores.store)
      const parked = (position: number) => ({ key: "c", position, attempts: 1, error: "no" })
      const [first, second] = yield* version.own("a")
      assert.isTrue(yield* version.move(first!, 5, { park: [parked(5)] }))
      const parking = yield* atCommit(stores, version, second!, 9, { park: [parked(9)] })
      const unparking = yield* Effect.forkScoped(
        version.move(movedTo(first!, 5), 6, { unpark: { key: "c", positions: [5] } })
      )
      yield* Effect.sleep("100 millis")
      yield* parking
      assert.isTrue(yield* Fiber.join(unparking))
      assert.strictEqual(yield* replay(version.id, ["c"]), 1)
      assert.deepStrictEqual((yield* version.claim("a")).parkedKeys, ["c"])
    }))

  it.live("learn by a claim what became of a batch whose COMMIT was not answered", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const proxy = yield* TcpProxy.make(url)
      const direct = yield* open(url)
      // a connection that has not committed yet sends the word, later ones only its number
      const stores = yield* openStore(proxy.url)
      const version = yield* makeVersion(stores.store)
      yield* makeModel(direct)
      const owned = yield* version.ownFirst("a")
      proxy.loseAnswers("COMMIT", 1)
      const error = yield* Effect.flip(version.moveWith(owned, 5, put(stores.sql, 5, "a")))
      has(error, { _tag: "StoreError", outcome: "unknown", isRetryable: true })
      assert.strictEqual(proxy.lost(), 1)
      // to do it again is refused
      assert.deepStrictEqual(yield* version.moveWith(owned, 5, put(stores.sql, 5, "again")), Option.none())
      has(yield* version.ownFirst("a"), { position: 5, epoch: owned.epoch })
      assert.deepStrictEqual(yield* model(direct.sql), ["a"])
    }))

  it.live("wait for the disk at COMMIT unless they build, or store events with it", () =>
    Effect.gen(function*() {
      const stores = yield* opened
      const { sql, store } = stores
      const version = yield* makeVersion(store)
      yield* makeModel(stores)
      yield* sql`CREATE TABLE waits (position int8, sync text)`
      yield* sql.unsafe(`CREATE FUNCTION note_wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO waits VALUES (NEW.position, current_setting('synchronous_commit'));
        RETURN NULL;
      END $$`)
      yield* sql`CREATE CONSTRAINT TRIGGER note_wait AFTER INSERT ON model DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION note_wait()`
      const owned = yield* version.ownFirst("a")
      const derive = store.append(Notes.stream("a"), [note("derived")])
      yield* version.moveWith(owned, 1, put(sql, 1, "a"))
      yield* version.moveWith(movedTo(owned, 1), 2, put(sql, 2, "a"), { isBulk: true })
      yield* version.moveWith(movedTo(owned, 2), 3, Effect.andThen(derive, put(sql, 3, "a")), { isBulk: true })
      yield* store.transaction(
        version.moveWith(movedTo(owned, 3), 4, put(sql, 4, "a"), { isBulk: true })
      )
      const noted = yield* sql<{ sync: string }>`SELECT sync FROM waits ORDER BY position`
      assert.deepStrictEqual(noted.map(({ sync }) => sync), ["on", "off", "on", "on"])
    }))
})
