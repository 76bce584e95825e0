/** What only a database shows of snapshots: races at a row, a log that was restored, how often it is asked. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Option, Tracer } from "effect"
import { EventId, type SnapshotStorage, SnapshotStore } from "effect-eventstore"
import { note, Notes, open, type Store } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const whole = { to: Number.MAX_SAFE_INTEGER, limit: 100, bytes: 1e6 }
const stream = Notes.stream("a")
const { streamId } = stream

const append = (store: Store, count = 1) => store.append(stream, Array.from({ length: count }, () => note("n")))

/** A snapshot of the stream at a version; its state says which. */
const snapshotAt = Effect.fnUntraced(function*(store: Store, version: number) {
  const { page, truncatedBefore } = yield* store.storage.snapshots.resume(streamId, undefined, {
    ...whole,
    to: version
  })
  const { eventId, position, streamVersion } = page.events.at(-1)!
  const snapshot: SnapshotStorage.NewSnapshot = {
    name: "s",
    streamId,
    schemaVersion: 1,
    streamVersion,
    position,
    eventId,
    truncatedBefore,
    state: String(version)
  }
  return snapshot
})

const load = (store: Store, name = "s") => store.storage.snapshots.load(streamId, name, whole)

/** Statements that an effect sends with the client of the application. */
const statementsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const sent: Array<string> = []
    const tracer = Tracer.make({
      span: (options) => {
        if (options.kind === "client") sent.push(options.name)
        return new Tracer.NativeSpan(options)
      }
    })
    const answer = yield* Effect.provideService(effect, Tracer.Tracer, tracer)
    return [answer, sent.length] as const
  })

/** Waits until somebody waits for a lock. */
const somebodyWaits = (sql: PgClient.PgClient) =>
  sql`SELECT 1 AS one FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`.pipe(
    Effect.tap(() => Effect.sleep(5)),
    Effect.repeat({ while: (rows) => rows.length === 0 }),
    Effect.timeout("20 seconds")
  )

describe("snapshots in Postgres", () => {
  it.live("keep a newer one whose event came after an older one was begun to be saved", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* open(yield* TestPostgres.url)
      yield* append(store, 3)
      assert.isTrue(yield* store.storage.snapshots.save(yield* snapshotAt(store, 1)))
      const older = yield* snapshotAt(store, 3)
      const [locked, waiting] = [yield* Latch.make(), yield* Latch.make()]
      const holder = yield* Effect.forkChild(sql.withTransaction(Effect.gen(function*() {
        yield* sql`SELECT FROM eventstore.snapshots FOR UPDATE`
        yield* locked.open
        yield* waiting.await
        // the event stands in the log since the save began, and this is what another save leaves
        yield* sql`
          UPDATE eventstore.snapshots n SET (stream_version, position, event_id, state) = (
            SELECT e.stream_version, e.position, e.event_id, '"newer"'::json FROM eventstore.events e
            WHERE e.stream_version = 4
          )`
      })))
      yield* locked.await
      const saving = yield* Effect.forkChild(store.storage.snapshots.save(older))
      yield* somebodyWaits(sql)
      yield* append(store)
      yield* waiting.open
      yield* Fiber.join(holder)
      assert.isFalse(yield* Fiber.join(saving))
      assert.strictEqual((yield* load(store)).snapshot!.state, "\"newer\"")
    }))

  it.live("are answered in one round trip with the events behind them, whatever there is", () =>
    Effect.gen(function*() {
      const { store } = yield* open(yield* TestPostgres.url)
      const once = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.map(statementsOf(effect), ([answer, count]) => {
          assert.strictEqual(count, 1)
          return answer
        })
      assert.isUndefined((yield* once(load(store))).snapshot)
      yield* append(store, 5)
      const snapshot = yield* snapshotAt(store, 3)
      yield* store.storage.snapshots.save(snapshot)
      assert.strictEqual((yield* once(load(store))).page.events.length, 2)
      assert.isTrue((yield* once(store.storage.snapshots.resume(streamId, snapshot, whole))).holds)
      yield* store.truncateBefore(stream, 2)
      assert.isTrue((yield* once(load(store))).isStale)
      yield* store.delete(stream)
      assert.isTrue((yield* once(load(store))).isStale)
      const snapshots = yield* SnapshotStore.SnapshotStore.pipe(Effect.provide(SnapshotStore.layerMemory))
      const kept = snapshots.of(store.storage)
      yield* append(store)
      yield* kept.save(yield* snapshotAt(store, 6))
      assert.strictEqual((yield* once(kept.load(streamId, "s", whole))).snapshot?.state, "6")
    }))

  it.live("do not hold in a log that was restored and has other events by now, and are replaced", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* open(yield* TestPostgres.url)
      yield* append(store, 5)
      const { save } = store.storage.snapshots
      const [at3, at5] = [yield* snapshotAt(store, 3), yield* snapshotAt(store, 5)]
      yield* save(at5)
      // a backup of the events, and not of the snapshots: the last three are lost
      yield* sql.withTransaction(Effect.all([
        sql`SET LOCAL session_replication_role TO replica`,
        sql`DELETE FROM eventstore.events WHERE position > 2`
      ]))
      const lost = yield* load(store)
      assert.deepStrictEqual([lost.snapshot, lost.isStale, lost.page.events.length], [undefined, true, 2])
      assert.isFalse(yield* save(at3))
      yield* append(store, 4)
      const other = yield* load(store)
      assert.deepStrictEqual([other.snapshot, other.isStale, other.page.events.length], [undefined, true, 6])
      assert.isFalse(yield* save(at5))
      const resumed = yield* store.storage.snapshots.resume(streamId, at3, whole)
      assert.isFalse(resumed.holds)
      // older than what is there
      assert.isTrue(yield* save(yield* snapshotAt(store, 4)))
      assert.strictEqual((yield* load(store)).snapshot?.state, "4")
      // the same id at another position is another event
      assert.isFalse(yield* save({ ...(yield* snapshotAt(store, 6)), position: 5 }))
    }))

  it.live("are kept apart for each log", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const [one, seven] = [yield* open(url, { log: 1 }), yield* open(url, { log: 7 })]
      const id = yield* EventId.make
      for (const { store } of [one, seven]) {
        yield* store.append(stream, [note("1")])
        yield* append(store, 2)
      }
      const [first, second] = [yield* snapshotAt(one.store, 2), yield* snapshotAt(seven.store, 3)]
      yield* one.store.storage.snapshots.save(first)
      assert.isUndefined((yield* load(seven.store)).snapshot)
      assert.isFalse(yield* seven.store.storage.snapshots.save({ ...first, eventId: id }))
      yield* seven.store.storage.snapshots.save(second)
      assert.strictEqual((yield* load(one.store)).snapshot!.state, "2")
      assert.strictEqual((yield* load(seven.store)).snapshot!.state, "3")
      assert.strictEqual(yield* one.store.storage.snapshots.drop({}), 1)
      const page = { after: undefined, limit: 9 }
      assert.strictEqual((yield* seven.store.storage.snapshots.list({}, page)).length, 1)
    }))

  it.live("are of no use to a store that was closed, and say so", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const left = yield* Effect.scoped(Effect.gen(function*() {
        const { store } = yield* open(url)
        yield* append(store)
        return { store, snapshot: yield* snapshotAt(store, 1) }
      }))
      const error = yield* Effect.flip(left.store.storage.snapshots.save(left.snapshot))
      assert.deepInclude(error, { _tag: "StoreError", outcome: "not-stored" })
    }))

  it.live("are saved where transactions are serializable by default", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { sql } = yield* open(url)
      yield* sql.unsafe(
        `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET default_transaction_isolation TO serializable`
      )
      const { store } = yield* open(url)
      yield* append(store, 3)
      const all = yield* Effect.forEach([1, 2, 3], (version) => snapshotAt(store, version))
      yield* Effect.forEach(all.flatMap((one) => [one, one, one]), store.storage.snapshots.save, {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(Option.fromNullishOr((yield* load(store)).snapshot?.state), Option.some("3"))
    }))
})
