/** Consumers that are in each other's way: claims, answers and transactions on connections of their own. */
import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Latch, Option, Random } from "effect"
import type { ClaimedDelivery, Held, Settlement } from "../../src/Store/SubscriptionStorage.ts"
import {
  begin,
  claimOf,
  done,
  heldOf,
  makeQueue,
  park,
  positionsOf,
  type Queue,
  release,
  retry
} from "../../src/Testing/internal/queue.ts"
import { has, note, Notes, open, recorded, type Store } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const opened = Effect.flatMap(TestPostgres.url, (url) => open(url))

/** Long enough for a busy machine, and much shorter than a transaction that nobody ends. */
const atOnce = Effect.timeout("5 seconds")

/**
 * A consumer that finished a delivery in its transaction, and stands still before COMMIT: until `end` is opened, which it
 * answers with what became of it.
 */
const frozen = Effect.fnUntraced(
  function*({ sql, store }: { sql: PgClient.PgClient; store: Store }, queue: Queue, held: Held) {
    const [end, finished] = yield* Effect.all([Latch.make(), Latch.make()])
    const transaction = store.transaction(Effect.gen(function*() {
      yield* store.storage.subscriptions.finishWith(queue.id, heldOf(held), sql`SELECT 1`)
      yield* finished.open
      yield* end.await
    }))
    // it ends before the client does, whatever becomes of the test
    const fiber = yield* Effect.forkScoped(transaction)
    yield* finished.await
    return {
      commit: Effect.andThen(end.open, Fiber.join(fiber)),
      rollBack: Fiber.interrupt(fiber)
    }
  }
)

describe("persistent subscriptions in Postgres", () => {
  it.live("hand out nothing that somebody is just about to finish, nor what stands behind it, and do not wait", () =>
    Effect.gen(function*() {
      const stores = yield* opened
      const queue = yield* makeQueue(stores.store)
      yield* queue.offer(["a", "a", null, "a", "b", null])
      const [first, , third] = yield* queue.take(begin, { limit: 3 })
      const [one, another] = yield* Effect.all([frozen(stores, queue, first!), frozen(stores, queue, third!)])
      // their leases ran out
      assert.deepStrictEqual(yield* atOnce(queue.positions(begin + 1000, { limit: 1 })), [5])
      assert.deepStrictEqual(yield* atOnce(queue.positions(begin + 1000)), [6])
      has(yield* atOnce(queue.state(begin + 1000)), { waiting: 4, inFlight: 2 })
      yield* one.commit
      assert.deepStrictEqual(yield* queue.positions(begin + 1000), [2, 4])
      yield* another.rollBack
      assert.deepStrictEqual((yield* queue.take(begin + 1000)).map(({ attempt, position }) => [position, attempt]), [[
        3,
        2
      ]])
    }))

  it.live("park nothing, and hand out nobody alone, that somebody is just about to finish", () =>
    Effect.gen(function*() {
      const stores = yield* opened
      const queue = yield* makeQueue(stores.store)
      yield* queue.offer(["a", "a"])
      yield* queue.take(begin, { limit: 1 })
      yield* queue.take(begin + 1000, { limit: 1 })
      const [suspect] = yield* queue.take(begin + 2000)
      const { rollBack } = yield* frozen(stores, queue, suspect!)
      yield* queue.offer(["b", "c"])
      has(yield* atOnce(queue.claim(begin + 3000, { attempts: 3, limit: 0 })), { parked: 0, deliveries: [] })
      // it is suspect, but cannot be claimed: so it keeps nobody waiting
      assert.deepStrictEqual(yield* atOnce(queue.positions(begin + 3000, { idle: false, limit: 1 })), [3])
      assert.deepStrictEqual(yield* atOnce(queue.positions(begin + 3000, { attempts: 3 })), [4])
      yield* rollBack
      assert.deepStrictEqual(yield* queue.positions(begin + 3000, { idle: false }), [])
      assert.deepStrictEqual(yield* queue.positions(begin + 3000), [1])
    }))

  it.live("refuse to finish in a transaction what was handed out meanwhile, and roll it back", () =>
    Effect.gen(function*() {
      const { store } = yield* opened
      const queue = yield* makeQueue(store)
      yield* queue.offer(["a"])
      const [held] = yield* queue.take(begin)
      const result = yield* store.storage.subscriptions.finishWith(
        queue.id,
        heldOf(held!),
        Effect.gen(function*() {
          yield* store.append(Notes.stream("a"), [note("late")])
          assert.deepStrictEqual(positionsOf(yield* queue.take(begin + 1000)), [1])
        })
      )
      assert.deepStrictEqual(result, Option.none())
      assert.deepStrictEqual(yield* recorded(store), [])
    }))

  for (const way of ["moved", "removed"] as const) {
    it.live(`wait to be ${way} for a transaction that finishes a delivery, and hold up no other consumer meanwhile`, () =>
      Effect.gen(function*() {
        const stores = yield* Effect.flatMap(TestPostgres.url, (url) => open(url, { lanes: 1 }))
        const { subscriptions } = stores.store.storage
        const queue = yield* makeQueue(stores.store)
        yield* queue.offer(["a", "b", "c"])
        const [first] = yield* queue.take(begin, { limit: 1 })
        const { commit } = yield* frozen(stores, queue, first!)
        const change = way === "moved"
          ? subscriptions.update(queue.name, { start: { position: 9, eventId: null } })
          : subscriptions.remove(queue.name)
        const changing = yield* Effect.forkScoped(change)
        yield* Effect.sleep("100 millis")
        const held = yield* atOnce(queue.take(begin))
        assert.deepStrictEqual(positionsOf(held), [2, 3])
        assert.deepStrictEqual(yield* atOnce(queue.settle(begin, done(held[0]!))), [])
        assert.isUndefined(changing.pollUnsafe())
        yield* commit
        assert.isTrue(yield* Fiber.join(changing))
        assert.deepStrictEqual(yield* subscriptions.settle(queue.id, [done(held[1]!)], begin), [3])
        const state = yield* subscriptions.state(queue.name, begin)
        if (way === "removed") assert.deepStrictEqual(state, Option.none())
        else has(Option.getOrThrow(state), { position: 9, checkpoint: 9, waiting: 0, inFlight: 0 })
      }))
  }

  it.live("wait to skip what a transaction is just about to finish, and hold up no other consumer meanwhile", () =>
    Effect.gen(function*() {
      const stores = yield* Effect.flatMap(TestPostgres.url, (url) => open(url, { lanes: 1 }))
      const queue = yield* makeQueue(stores.store)
      yield* queue.offer(["a", "b", "a"])
      const [first] = yield* queue.take(begin, { limit: 1 })
      const { commit } = yield* frozen(stores, queue, first!)
      const skipping = yield* Effect.forkScoped(queue.skip(1, 3))
      yield* Effect.sleep("100 millis")
      const held = yield* atOnce(queue.take(begin))
      assert.deepStrictEqual(positionsOf(held), [2])
      assert.isUndefined(skipping.pollUnsafe())
      yield* commit
      assert.strictEqual(yield* Fiber.join(skipping), 1)
      assert.deepStrictEqual(yield* queue.settle(begin, done(held[0]!)), [])
      has(yield* queue.state(), { checkpoint: 3, waiting: 0, inFlight: 0 })
    }))

  it.live("know the events of deliveries that were offered while a claim waited", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const queue = yield* makeQueue(store)
      const fiber = yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`SELECT FROM eventstore.subscriptions WHERE subscription_id = ${queue.id}::int4 FOR UPDATE`
        const offer = { from: 0, to: 1, eventId: null, events: [{ position: 1, key: "a" }] }
        const claim = store.storage.subscriptions.claim(claimOf(queue.id, begin, { offer }))
        const fiber = yield* Effect.forkDetach(claim)
        yield* Effect.repeat(
          sql`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
          { until: (rows) => rows.length === 1 }
        )
        // its statement began before this is there
        yield* sql`SELECT eventstore.append_event(1, 'notes-a', -1, gen_random_uuid(), 'Noted', 1::int2, '{}', NULL, NULL)`
        return fiber
      }))
      const { deliveries } = (yield* Fiber.join(fiber))!
      assert.deepStrictEqual(deliveries.map(({ event, position }) => [position, event?.streamId]), [[1, "notes-a"]])
    }))

  for (const isMoved of [false, true]) {
    it.live(
      `keep their promises under consumers in three pools that do everything at random${
        isMoved ? ", and somebody who moves the subscription" : ""
      }, and run into no deadlock`,
      () => Effect.flatMap(TestPostgres.url, (url) => storm(url, isMoved)),
      60_000
    )
  }
})

const keys = ["a", "b", "c", "d", "e", null]

/**
 * Consumers that claim, answer, fail, lose their leases, park and replay. In the end everything was finished: once, and the
 * events of a key in order, as far as they were not parked, unless somebody moved the subscription to its start meanwhile.
 */
const storm = Effect.fnUntraced(function*(url: string, isMoved: boolean) {
  const pools = yield* Effect.forEach([1, 2, 3], () => open(url))
  const { sql, store } = pools[0]!
  const { subscriptions } = store.storage
  const queue = yield* makeQueue(store, { capacity: 200 })
  const { id, name } = queue
  const stopAt = Date.now() + 3000
  const met: Record<string, number> = {}
  const meet = (what: string, count = 1) => met[what] = (met[what] ?? 0) + count

  const finished = new Set<number>()
  const replayed = new Set<number>()
  const lastOf = new Map<string, number>()
  const finish = ({ key, position }: ClaimedDelivery) => {
    if (!isMoved) {
      assert.isFalse(finished.has(position), `${position} was finished twice`)
      if (key !== null && !replayed.has(position)) {
        assert.isBelow(lastOf.get(key) ?? 0, position, `${position} of ${key} comes late`)
        lastOf.set(key, position)
      }
    }
    finished.add(position)
  }

  const stateNow = Effect.map(subscriptions.state(name, undefined), Option.getOrThrow)

  const replayAll = Effect.gen(function*() {
    const positions = (yield* subscriptions.parked(id, { after: 0, limit: 1000 })).map(({ position }) => position)
    for (const position of positions) replayed.add(position)
    meet("replayed", yield* subscriptions.replay(id, positions))
  })

  /** Answers in order: what stands behind one of its key that is not done is given back. */
  const answersTo = Effect.fnUntraced(function*(deliveries: ReadonlyArray<ClaimedDelivery>) {
    const settlements: Array<Settlement> = []
    const blocked = new Set<string | null>()
    for (const delivery of deliveries) {
      const dice = yield* Random.nextIntBetween(0, 20)
      const settlement: Settlement = blocked.has(delivery.key) || dice < 2
        ? release(delivery)
        : dice < 4
        ? retry(delivery, dice * 5)
        : dice < 5
        ? park(delivery)
        : done(delivery)
      settlements.push(settlement)
      if (settlement.outcome !== "done" && delivery.key !== null) blocked.add(delivery.key)
    }
    return settlements
  })

  const consumer = Effect.fnUntraced(function*({ storage: { subscriptions } }: Store) {
    for (let round = 0; Date.now() < stopAt; round++) {
      const { position: from, waiting } = yield* stateNow
      const to = from + (yield* Random.nextIntBetween(0, 12))
      const events = Array.from({ length: to - from }, (_, i) => from + i + 1)
        .map((position) => ({ position, key: keys[position % keys.length]! }))
      const claimed = yield* subscriptions.claim(claimOf(id, undefined, {
        limit: yield* Random.nextIntBetween(1, 9),
        // some run out on the way
        lease: Duration.millis(yield* Random.nextIntBetween(3, 300)),
        idle: yield* Random.nextBoolean,
        attempts: 50,
        offer: waiting > 150 ? undefined : { from, to, eventId: null, events }
      }))
      const { deliveries } = claimed!
      if (yield* Random.nextBoolean) {
        const refused = yield* subscriptions.extend(id, deliveries, Duration.millis(200), undefined)
        meet("extended", deliveries.length - refused.length)
      }
      if (deliveries.length === 1 && (yield* Random.nextBoolean)) {
        const answer = yield* subscriptions.finishWith(id, deliveries[0]!, Effect.sleep("2 millis"))
        if (Option.isSome(answer)) finish(deliveries[0]!)
        meet(`transaction ${answer._tag}`)
        continue
      }
      const settlements = yield* answersTo(deliveries)
      const refused = yield* subscriptions.settle(id, settlements, undefined)
      meet("refused", refused.length)
      for (const [i, { outcome, position }] of settlements.entries()) {
        if (refused.includes(position)) continue
        meet(outcome)
        if (outcome === "done") finish(deliveries[i]!)
      }
      if (round % 7 === 0) yield* replayAll
      if (round % 11 === 0) yield* subscriptions.update(name, { parkedBlocks: yield* Random.nextBoolean })
      if (isMoved && round % 40 === 39) {
        yield* subscriptions.update(name, { start: { position: 0, eventId: null } })
        meet("moved")
      }
    }
  })

  const workers = Array.from({ length: 8 }, (_, i) => consumer(pools[i % 3]!.store))
  yield* Effect.all(workers, { concurrency: "unbounded", discard: true })

  // what is left comes too
  yield* subscriptions.update(name, { parkedBlocks: false })
  for (let checkpoint = -1, position = 0; checkpoint < position; { checkpoint, position } = yield* stateNow) {
    yield* replayAll
    const { deliveries } = yield* queue.claim(undefined)
    yield* subscriptions.settle(id, deliveries.map(done), undefined)
    deliveries.forEach(finish)
    yield* Effect.sleep("20 millis")
  }
  const { position } = yield* stateNow
  const all = Array.from({ length: position }, (_, i) => i + 1)
  assert.deepStrictEqual([...finished].sort((a, b) => a - b).filter((finished) => finished <= position), all)
  for (
    const what of [
      "done",
      "retry",
      "release",
      "park",
      "replayed",
      "extended",
      "refused",
      "transaction Some",
      ...(isMoved ? ["moved"] : [])
    ]
  ) {
    assert.isAbove(met[what] ?? 0, 0, `${what}: ${JSON.stringify(met)}`)
  }
  const [deadlocks] = yield* sql<{ n: number }>`
    SELECT deadlocks::int4 AS n FROM pg_stat_database WHERE datname = current_database()`
  assert.strictEqual(deadlocks!.n, 0)
})
