/** The seam below persistent subscriptions, in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Option } from "effect"
import { EventStore, StoreError } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { done, makeQueue, park } from "../../src/Testing/internal/queue.ts"
import { freshStream, notes, texts } from "../../src/Testing/internal/rule.ts"
import { checkModel } from "../../src/Testing/internal/subscriptionModelRules.ts"

describe("persistent subscriptions in memory", () => {
  it.effect(
    "keeps deliveries as a naive model of a subscription does, in many programs",
    () => Effect.flatMap(EventStore, (store) => checkModel(store, 1000)).pipe(Effect.provide(EventStore.layerMemory)),
    60_000
  )

  it.effect("goes by the clock of the fibre", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const queue = yield* makeQueue(store)
      yield* queue.offer(["a", "b"], 0)
      const [first] = yield* queue.take(undefined, { limit: 1, lease: Duration.minutes(1) })
      assert.deepStrictEqual(yield* queue.positions(undefined, { limit: 1, lease: Duration.hours(1) }), [2])
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* queue.positions(undefined), [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* queue.positions(undefined), [1])
      const stream = freshStream()
      const finish = store.storage.subscriptions.finishWith(queue.id, first!, store.append(stream, notes("late")))
      assert.deepStrictEqual(yield* finish, Option.none())
      assert.deepStrictEqual(yield* texts(store, stream), [])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("lets a replayed delivery wait from now on", () =>
    Effect.gen(function*() {
      const queue = yield* makeQueue(yield* EventStore)
      yield* queue.offer(["a"], 0)
      yield* queue.settle(0, park((yield* queue.take(0))[0]!))
      yield* TestClock.adjust("1 minute")
      yield* queue.replay(1)
      assert.deepStrictEqual(yield* queue.positions(59_999), [])
      assert.deepStrictEqual(yield* queue.positions(60_000), [1])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("stores nothing of a transaction around one that outlives the lease of its delivery", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const queue = yield* makeQueue(store)
      const stream = freshStream()
      yield* queue.offer(["a"], 0)
      const [held] = yield* queue.take(undefined)
      const finish = store.storage.subscriptions.finishWith(queue.id, held!, store.append(stream, notes("a")))
      const exit = yield* Effect.exit(store.transaction(Effect.gen(function*() {
        assert.isTrue(Option.isSome(yield* finish))
        yield* TestClock.adjust("2 seconds")
      })))
      assert.isTrue(Exit.isFailure(exit))
      const error = Option.getOrThrow(Exit.findErrorOption(exit))
      assert.instanceOf(error, StoreError.StoreError)
      assert.include(error, { isRetryable: true, outcome: "not-stored" })
      assert.deepStrictEqual(yield* texts(store, stream), [])
      assert.deepStrictEqual(yield* queue.settle(1_999, done(held!)), [1])
    }).pipe(Effect.provide(EventStore.layerMemory)))
})
