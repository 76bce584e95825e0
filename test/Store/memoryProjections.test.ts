/** The seam below projections, in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Latch, Option } from "effect"
import { EventStore, StoreError } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { checkRunners } from "../../src/Testing/internal/projectionStorageModelRules.ts"
import { makeVersion, storageOf } from "../../src/Testing/internal/projectionStorageVersion.ts"
import { fails, freshStream, notes, texts } from "../../src/Testing/internal/rule.ts"

describe("projections in memory", () => {
  it.effect(
    "never move a checkpoint back or let two own a partition, in many programs",
    () => Effect.flatMap(EventStore, (store) => checkRunners(store, 300)).pipe(Effect.provide(EventStore.layerMemory)),
    60_000
  )

  it.effect("go by the clock of the fibre", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const { id } = yield* makeVersion(store)
      const { claim, timers } = storageOf(store)
      const asked = { id, lease: Duration.minutes(1), now: undefined }
      assert.strictEqual((yield* claim({ ...asked, runner: "a" }))!.partitions.length, 1)
      yield* timers.change("owner", [{ key: "a", name: "x", at: 60_000 }])
      yield* TestClock.adjust("59 seconds")
      assert.deepInclude(yield* claim({ ...asked, runner: "b" }), { partitions: [], nextIn: 1000 })
      assert.deepInclude(yield* timers.due("owner", 10, undefined), { timers: [], nextIn: 1000 })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* claim({ ...asked, runner: "b" }))!.partitions.length, 1)
      assert.strictEqual((yield* timers.due("owner", 10, undefined)).timers.length, 1)
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("store nothing of a transaction around one whose partition somebody takes over before it ends", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const version = yield* makeVersion(store)
      const stream = freshStream()
      const owned = yield* version.ownFirst("a")
      const exit = yield* Effect.exit(store.transaction(Effect.gen(function*() {
        assert.isTrue(Option.isSome(yield* version.moveWith(owned, 5, store.append(stream, notes("a")))))
        yield* storageOf(store).pause(version.id)
      })))
      assert.isTrue(Exit.isFailure(exit))
      const error = Option.getOrThrow(Exit.findErrorOption(exit))
      assert.instanceOf(error, StoreError.StoreError)
      assert.include(error, { isRetryable: true, outcome: "not-stored" })
      assert.deepStrictEqual([yield* texts(store, stream), yield* version.positions], [[], [0]])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("refuse one of two transactions that wait for one another, and let the other one go on", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const version = yield* makeVersion(store)
      const { load, save } = storageOf(store).documents
      const [first, second] = [yield* Latch.make(), yield* Latch.make()]
      const both = (one: string, other: string, opened: Latch.Latch, wait: Latch.Latch) =>
        store.transaction(Effect.gen(function*() {
          yield* load(version.id, [one], { isLocking: true })
          yield* Effect.andThen(opened.open, wait.await)
          yield* load(version.id, [other], { isLocking: true })
          yield* save(version.id, [{ key: one, state: "1" }, { key: other, state: "1" }])
        }))
      const exits = yield* Effect.all([
        Effect.exit(both("a", "b", first, second)),
        Effect.exit(both("b", "a", second, first))
      ], { concurrency: 2 })
      const refused = exits.filter(Exit.isFailure)
      assert.strictEqual(refused.length, 1)
      const error = Option.getOrThrow(Exit.findErrorOption(refused[0]!))
      assert.include(error, { _tag: "StoreError", isRetryable: true, outcome: "not-stored" })
      assert.deepStrictEqual(yield* version.documents, { a: 1, b: 1 })
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("let a transaction wait for one that has given up waiting for it", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const { id } = yield* makeVersion(store)
      const lock = (key: string) => storageOf(store).documents.load(id, [key], { isLocking: true })
      const [first, second] = [yield* Latch.make(), yield* Latch.make()]
      const one = yield* Effect.forkChild(store.transaction(Effect.gen(function*() {
        yield* lock("a")
        yield* Effect.andThen(first.open, second.await)
        yield* lock("b")
      })))
      yield* store.transaction(Effect.gen(function*() {
        yield* Effect.andThen(lock("b"), first.await)
        const waiting = yield* Effect.forkChild(lock("a"))
        yield* Effect.yieldNow
        yield* Fiber.interrupt(waiting)
        yield* second.open
        yield* Effect.yieldNow
      }))
      yield* Fiber.join(one)
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("refuse a fibre that goes on after its transaction, and keep no lock for it", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const version = yield* makeVersion(store)
      const { load, save } = storageOf(store).documents
      const { timers } = storageOf(store)
      const latch = yield* Latch.make()
      const late = (effect: Effect.Effect<unknown, StoreError.StoreError>) =>
        Effect.forkDetach(Effect.andThen(latch.await, Effect.flip(effect)))
      const fibers = yield* store.transaction(Effect.all([
        late(load(version.id, ["a"], { isLocking: true })),
        late(save(version.id, [{ key: "a", state: "1" }])),
        late(timers.change("owner", [{ key: "a", name: "x", at: 1 }])),
        late(storageOf(store).beginInline([], ["a-1"], { isWaiting: true }))
      ]))
      yield* latch.open
      for (const fiber of fibers) {
        assert.include(yield* Fiber.join(fiber), { isRetryable: false, outcome: "not-stored" })
      }
      yield* store.transaction(save(version.id, [{ key: "a", state: "2" }]))
      assert.deepStrictEqual(yield* version.documents, { a: 2 })
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("say which layers keep tables", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const { definition } = yield* makeVersion(store)
      const register = storageOf(store).register({ ...definition, version: 2, kind: "tables" }, 1, {
        position: 0,
        eventId: null
      })
      const { message } = yield* fails(register, "InvalidInput")
      assert.include(message, "PgEventStore.layer()")
      assert.include(message, "PgliteEventStore.layer()")
    }).pipe(Effect.provide(EventStore.layerMemory)))
})
