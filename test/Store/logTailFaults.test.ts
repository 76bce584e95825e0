/** What followers of a log see of a storage that fails, and of a log that is not the one they read. */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { Category, EventStore, Subscription } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { has } from "../../src/Testing/internal/rule.ts"
import { gather } from "../../src/Testing/internal/subscribing.ts"
import {
  append,
  catchUp,
  ending,
  failure,
  FaultyStorage,
  make,
  missed,
  positionsOf,
  retries,
  settle,
  test,
  upTo
} from "../support/FaultyStorage.ts"

describe("a storage that fails", () => {
  test("is listened to again where the connection was lost, and followers miss nothing", function*() {
    const { faulty, other, store } = yield* make
    const followers = yield* Effect.forEach([0, "end"] as const, (after) => catchUp(store, { after }))
    for (let i = 1; i <= 5; i++) {
      yield* faulty.loseConnections
      yield* append(other)
      faulty.say()
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(faulty.listening, 1)
      assert.strictEqual(faulty.listened, i + 1)
      yield* append(other)
      faulty.say()
      yield* settle
      for (const follower of followers) assert.deepStrictEqual(positionsOf(follower), upTo(2 * i))
    }
    // nothing was missed: the connection was known to be gone
    yield* faulty.loseConnections
    yield* append(other)
    yield* TestClock.adjust("1 minute")
    for (const follower of followers) assert.deepStrictEqual(positionsOf(follower), upTo(11))
    assert.strictEqual(yield* missed, 0)
    assert.strictEqual(yield* retries, 6)
  })

  for (const way of ["reading", "listening"] as const) {
    test(`for a while, at ${way}, is waited for by new followers and by old ones`, function*() {
      const { faulty, other, store } = yield* make
      yield* append(store, 3)
      const old = yield* catchUp(store)
      yield* old.until(3)
      const trouble = way === "reading" ? "trouble" : "deafness"
      faulty[trouble] = Effect.fail(failure(true))
      yield* faulty.loseConnections
      yield* append(other)
      const [late, end] = [yield* catchUp(store, { after: 2 }), yield* catchUp(store, { after: "end" })]
      const stream = yield* gather(
        Stream.provideService(Subscription.catchUp(Category.rawStream("a-1")), EventStore, store)
      )
      yield* TestClock.adjust("1 minute")
      assert.isAbove(yield* retries, 25)
      yield* append(store)
      faulty[trouble] = undefined
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(positionsOf(old), upTo(5))
      assert.deepStrictEqual(positionsOf(late), upTo(5, 2))
      assert.deepStrictEqual(positionsOf(stream), upTo(5))
      yield* append(store)
      yield* end.until((all) => all.at(-1)?.position === 6)
      assert.strictEqual(faulty.listening, 1)
      assert.strictEqual(yield* missed, 0)
    })
  }

  test("to answer is waited for only as long as somebody wants to follow", function*() {
    const { faulty, store } = yield* make
    yield* append(store)
    for (const trouble of [Effect.never, Effect.fail(failure(true))]) {
      faulty.trouble = trouble
      const followers = [yield* catchUp(store), yield* catchUp(store, { after: "end" })]
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(store.tail.position(), 0)
      for (const { stop } of followers) yield* stop
      const asked = faulty.identities
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([faulty.listening, faulty.identities], [0, asked])
    }
    faulty.trouble = undefined
    const follower = yield* catchUp(store)
    yield* follower.until(1)
  })

  test("for good ends those who follow, with its error; whoever follows later begins anew", function*() {
    const { faulty, store } = yield* make
    yield* append(store, 3)
    const followers = [yield* ending(store), yield* ending(store, { after: "end", types: ["None"] })]
    yield* TestClock.adjust(1)
    faulty.trouble = Effect.fail(failure(false))
    yield* append(store)
    for (const follower of followers) assert.strictEqual((yield* Fiber.join(follower))._tag, "StoreError")
    const refused = yield* Fiber.join(yield* ending(store))
    assert.strictEqual(refused._tag, "StoreError")
    assert.strictEqual(faulty.listening, 0)
    faulty.trouble = undefined
    const again = yield* catchUp(store, { after: 2 })
    yield* append(store)
    yield* again.until(3)
    assert.deepStrictEqual(positionsOf(again), upTo(5, 2))
  })

  test("with a defect ends those who follow as well", function*() {
    const { faulty, store } = yield* make
    const follower = yield* ending(store)
    faulty.trouble = Effect.die(new Error("on purpose"))
    yield* append(store)
    const error = yield* Fiber.join(follower)
    assert.strictEqual(error._tag, "StoreError")
    assert.include(error.message, "on purpose")
    assert.strictEqual(faulty.listening, 0)
  })

  test("whose reader does not come back is read by those who are behind, up to what was stored when they came", function*() {
    const { faulty, store } = yield* make
    yield* append(store, 2)
    const stuck = yield* catchUp(store)
    yield* stuck.until(2)
    faulty.trouble = Effect.never
    yield* append(store, 3)
    faulty.trouble = undefined
    const said = yield* gather(Stream.provideService(Subscription.signals(Category.raw), EventStore, store))
    yield* said.until((all) => all.at(-1)?._tag === "CaughtUp")
    assert.deepStrictEqual(said.all.at(-1), { _tag: "CaughtUp", position: 5 as never })
    assert.strictEqual(said.all.length, 6)
    assert.deepStrictEqual(positionsOf(stuck), upTo(2))
  })
})

describe("a log that is another one", () => {
  for (
    const [what, lie] of [
      ["ends before what was read", (head: number) => ({ head: head - 1, eventId: undefined })],
      ["has another event where it was read last", (head: number) => ({ head: head + 7, eventId: "other" as never })]
    ] as const
  ) {
    test(`and ${what} is LogRewound for all who follow, and can be followed anew`, function*() {
      const { faulty, store } = yield* make
      yield* append(store, 3)
      const followers = [
        yield* ending(store),
        yield* ending(store, { after: "end" }),
        yield* ending(store, { tags: ["none"] })
      ]
      yield* append(store, 2)
      faulty.identity = () => Effect.succeed(lie(5))
      yield* TestClock.adjust("5 seconds")
      for (const follower of followers) {
        const error = yield* Fiber.join(follower)
        has(error, { _tag: "LogRewound", position: 5, head: lie(5).head })
      }
      assert.strictEqual(faulty.listening, 0)
      assert.strictEqual(store.tail.position(), 0)
      faulty.identity = faulty.memory.identity
      const again = yield* catchUp(store, { after: 4 })
      yield* append(store)
      yield* again.until(2)
      assert.deepStrictEqual(positionsOf(again), [5, 6])
    })

    test(`and ${what} is LogRewound for who begins to follow, before that was noticed`, function*() {
      const { faulty, store } = yield* make
      const early = yield* catchUp(store)
      yield* append(store, 5)
      yield* early.until(5)
      const { head } = lie(5)
      faulty.identity = (position) => Effect.succeed(position === 5 ? lie(5) : { head, eventId: undefined })
      // its place is in both, and what comes behind it in none but the one that is gone
      for (const after of [2, "end"] as const) {
        const late = yield* ending(store, { after })
        yield* settle
        assert.isDefined(late.pollUnsafe())
        has(yield* Fiber.join(late), { _tag: "LogRewound", position: 5, head })
      }
    })
  }

  test("is noticed when the connection comes back", function*() {
    const { faulty, store } = yield* make
    yield* append(store, 3)
    const follower = yield* ending(store)
    yield* TestClock.adjust(1)
    faulty.identity = () => Effect.succeed({ head: 1, eventId: undefined })
    yield* faulty.loseConnections
    yield* TestClock.adjust("100 millis")
    has(yield* Fiber.join(follower), { _tag: "LogRewound", position: 3, head: 1 })
  })

  test("is followed beyond events that were hidden before anybody read them", function*() {
    const { other, store } = yield* make
    const follower = yield* catchUp(store)
    yield* append(store, 2)
    yield* follower.until(2)
    yield* append(other, 3, "hidden-1")
    yield* other.delete(Category.rawStream("hidden-1"))
    assert.strictEqual(store.tail.position(), 2)
    yield* TestClock.adjust("5 seconds")
    assert.strictEqual(store.tail.position(), 5)
    yield* append(store)
    yield* follower.until(3)
    assert.deepStrictEqual(positionsOf(follower), [1, 2, 6])
  })

  test("is no other one where its newest events are hidden", function*() {
    const { store } = yield* make
    const follower = yield* catchUp(store)
    for (let i = 0; i < 3; i++) {
      yield* append(store, 2)
      yield* append(store, 3, "hidden-1")
      yield* store.delete(Category.rawStream("hidden-1"))
      yield* TestClock.adjust("10 seconds")
    }
    yield* append(store)
    yield* follower.until((all) => all.at(-1)?.position === 16)
    const kept = follower.all.filter(({ streamId }) => streamId === "a-1").map(({ position }) => position as number)
    assert.deepStrictEqual(kept, [1, 2, 6, 7, 11, 12, 16])
  })
})

test("followers of a store that is closed end, and nobody follows it any more", function*() {
  const scope = yield* Scope.make()
  const faulty = new FaultyStorage()
  const store = yield* Scope.provide(EventStore.make(faulty.storage), scope)
  const followers = [yield* ending(store), yield* ending(store, { after: "end", types: ["None"] })]
  yield* Scope.close(scope, Exit.void)
  for (const follower of [...followers, yield* ending(store)]) {
    const error = yield* Fiber.join(follower)
    assert.strictEqual(error._tag, "StoreError")
    assert.include(error.message, "closed")
  }
  assert.strictEqual(faulty.listening, 0)
})
