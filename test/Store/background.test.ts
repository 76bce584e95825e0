import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Latch, Scope } from "effect"
import { EventStore } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { makeMemoryStorage } from "../../src/Store/internal/memoryStorage.ts"

/** A store, and what closes it. */
const open = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const { background } = yield* Scope.provide(EventStore.make(makeMemoryStorage()), scope)
  return { background, close: Scope.close(scope, Exit.void) }
})

describe("work behind a store", () => {
  it.effect("is done one after the other for each owner, what was added last for each key", () =>
    Effect.gen(function*() {
      const { background } = yield* open
      const done: Array<string> = []
      const gate = yield* Latch.make()
      const begun = yield* Deferred.make<void>()
      const owner = {}
      const first = Effect.andThen(Deferred.succeed(begun, undefined), gate.await)
      assert.isTrue(yield* background.add(owner, "a", first))
      yield* Deferred.await(begun)
      for (const text of ["a1", "b1", "a2", "a3"]) {
        assert.isTrue(yield* background.add(owner, text.slice(0, 1), Effect.sync(() => done.push(text))))
      }
      // another owner does not wait for it
      const other = yield* Deferred.make<void>()
      yield* background.add({}, "a", Effect.asVoid(Deferred.succeed(other, undefined)))
      yield* Deferred.await(other)
      assert.deepStrictEqual(done, [])
      yield* gate.open
      const end = yield* Deferred.make<void>()
      yield* background.add(owner, "end", Effect.asVoid(Deferred.succeed(end, undefined)))
      yield* Deferred.await(end)
      assert.deepStrictEqual(done, ["a3", "b1"])
    }))

  it.effect("is bounded for each owner", () =>
    Effect.gen(function*() {
      const { background } = yield* open
      const owner = {}
      const begun = yield* Deferred.make<void>()
      yield* background.add(owner, "first", Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
      yield* Deferred.await(begun)
      for (let i = 0; i < 1000; i++) assert.isTrue(yield* background.add(owner, String(i), Effect.void))
      assert.isFalse(yield* background.add(owner, "1000", Effect.void))
      assert.isTrue(yield* background.add(owner, "999", Effect.void))
      assert.isTrue(yield* background.add({}, "1000", Effect.void))
    }))

  it.effect("goes on after a defect", () =>
    Effect.gen(function*() {
      const { background } = yield* open
      const owner = {}
      const end = yield* Deferred.make<void>()
      yield* background.add(owner, "a", Effect.die("on purpose"))
      yield* background.add(owner, "b", Effect.asVoid(Deferred.succeed(end, undefined)))
      yield* Deferred.await(end)
    }))

  it.effect("ends before the store is closed", () =>
    Effect.gen(function*() {
      const { background, close } = yield* open
      const done: Array<number> = []
      const owner = {}
      for (let i = 0; i < 3; i++) {
        yield* background.add(
          owner,
          String(i),
          Effect.andThen(Effect.sleep("1 second"), Effect.sync(() => done.push(i)))
        )
      }
      const closing = yield* Effect.forkChild(close)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(done, [0, 1, 2])
      assert.isFalse(yield* background.add(owner, "late", Effect.void))
    }))

  it.effect("is interrupted where it takes too long after the store was closed", () =>
    Effect.gen(function*() {
      const { background, close } = yield* open
      const interrupted = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      const owner = {}
      yield* background.add(
        owner,
        "a",
        Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
        )
      )
      yield* background.add(owner, "b", Effect.die("nobody comes here"))
      yield* Deferred.await(begun)
      const closing = yield* Effect.forkChild(close)
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      yield* Deferred.await(interrupted)
    }))
})
