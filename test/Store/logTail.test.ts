/** What the tail of a log asks of its storage, and what it hands out. */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { Category, type EventFilter, EventStore, type LogTail, Subscription } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { everything } from "../../src/Store/LogFilter.ts"
import { gather } from "../../src/Testing/internal/subscribing.ts"
import {
  append,
  catchUp,
  FaultyStorage,
  make,
  missed,
  positionsOf,
  settle,
  test,
  upTo
} from "../support/FaultyStorage.ts"

type Filter = Pick<EventFilter.EventFilter, "types" | "tags" | "streamPrefix">

describe("the one reader", () => {
  test("reads every page once, whether one follows or a thousand with different filters", function*() {
    const asked: Array<readonly [pages: number, identities: number]> = []
    for (const followers of [1, 1000]) {
      const { faulty, store } = yield* make
      yield* append(store)
      const filters = Array.from({ length: followers }, (_, i): Filter =>
        i % 20 === 0
          ? {}
          : i % 20 === 1
          ? { tags: [`none${i}`] }
          : i % 20 === 2
          ? { streamPrefix: `c${i % 50}` }
          : { types: [`T${i % 17}`, `T${i % 7}`], streamPrefix: i % 3 === 0 ? `c${i % 11}` : "" })
      const all = yield* Effect.forEach(filters, (filter) => catchUp(store, { ...filter, after: "end" }))
      const before = [faulty.pages, faulty.identities] as const
      for (let i = 0; i < 500; i++) {
        const { position } = yield* append(store, 1, `c${i % 50}-1`, `T${i % 20}`)
        yield* Effect.repeat(Effect.yieldNow, { until: () => store.tail.position() === position })
      }
      asked.push([faulty.pages - before[0], faulty.identities - before[1]])
      for (const [i, { streamPrefix, tags, types }] of filters.entries()) {
        const expected = upTo(501, 1).filter((position) => {
          const event = position - 2
          return (types === undefined || types.includes(`T${event % 20}`)) &&
            (streamPrefix === undefined || `c${event % 50}-1`.startsWith(streamPrefix)) && tags === undefined
        })
        assert.deepStrictEqual(positionsOf(all[i]!), expected)
      }
    }
    assert.deepStrictEqual(asked[1], asked[0])
    assert.deepStrictEqual(asked[0], [500, 0])
  })

  test("asks for nothing more, and listens no more, when the last follower has left", function*() {
    const { faulty, store } = yield* make
    yield* append(store, 10)
    const followers = yield* Effect.forEach([0, 3, "end"] as const, (after) => catchUp(store, { after }))
    yield* followers[0].until(10)
    assert.strictEqual(faulty.listening, 1)
    for (const { stop } of followers) {
      assert.isAbove(store.tail.position(), 0)
      yield* stop
    }
    const asked = [faulty.pages, faulty.identities]
    assert.strictEqual(faulty.listening, 0)
    assert.strictEqual(store.tail.position(), 0)
    yield* append(store, 5)
    faulty.say()
    yield* TestClock.adjust("1 hour")
    assert.deepStrictEqual([faulty.pages, faulty.identities], asked)
    // and the next one begins anew
    const again = yield* catchUp(store, { after: 10 })
    yield* again.until(5)
    assert.strictEqual(faulty.listening, 1)
  })

  test("asks once for who begins at the end, and also for his place where he has one", function*() {
    const { faulty, store } = yield* make
    const asked = (after: number | "end") =>
      Effect.gen(function*() {
        const before = faulty.identities
        yield* catchUp(store, { after })
        return faulty.identities - before
      })
    yield* catchUp(store)
    // nothing was read yet
    assert.deepStrictEqual([yield* asked("end"), yield* asked(0)], [1, 1])
    yield* append(store, 3)
    yield* Effect.repeat(Effect.yieldNow, { until: () => store.tail.position() === 3 })
    assert.deepStrictEqual([yield* asked("end"), yield* asked(2)], [1, 2])
  })

  test("looks for itself as often as it is to, and reads only what is new", function*() {
    const { faulty, store } = yield* make
    const follower = yield* catchUp(store)
    yield* append(store, 3)
    yield* follower.until(3)
    const { identities, pages } = faulty
    yield* TestClock.adjust("60 seconds")
    assert.strictEqual(faulty.identities - identities, 12)
    assert.strictEqual(faulty.pages, pages)
  })

  test("is told of a follower that leaves while it hands out", function*() {
    const { faulty, store } = yield* make
    const first = yield* Effect.forkScoped(
      Stream.runHead(Subscription.catchUp(Category.raw)).pipe(Effect.provideService(EventStore, store)),
      { startImmediately: true }
    )
    const second = yield* catchUp(store)
    yield* append(store)
    yield* Fiber.join(first)
    yield* append(store)
    yield* second.until(2)
    yield* second.stop
    assert.strictEqual(faulty.listening, 0)
  })
})

describe("news", () => {
  test("makes it read what another process stored", function*() {
    const { faulty, other, store } = yield* make
    const follower = yield* catchUp(store)
    for (let i = 1; i <= 20; i++) {
      yield* append(other)
      // too often, too: calls mean nothing but "look"
      for (let n = 0; n < 3; n++) faulty.say()
      yield* follower.until(i)
    }
    assert.deepStrictEqual(positionsOf(follower), upTo(20))
    yield* TestClock.adjust("60 seconds")
    assert.strictEqual(yield* missed, 0)
  })

  test("that does not come is found by the poll, counted, and looked for more often until some comes", function*() {
    const { faulty, other, store } = yield* make
    const follower = yield* catchUp(store)
    yield* append(other)
    yield* TestClock.adjust(4900)
    assert.deepStrictEqual(positionsOf(follower), [])
    yield* TestClock.adjust(100)
    assert.deepStrictEqual(positionsOf(follower), [1])
    // it may have been on its way
    assert.strictEqual(yield* missed, 0)
    yield* TestClock.adjust(5000)
    assert.strictEqual(yield* missed, 1)
    for (let i = 2; i <= 5; i++) {
      yield* append(other)
      yield* TestClock.adjust(500)
      assert.deepStrictEqual(positionsOf(follower), upTo(i))
    }
    yield* TestClock.adjust(500)
    assert.strictEqual(yield* missed, 5)
    // heard again: as often as before
    yield* append(other)
    faulty.say()
    yield* follower.until(6)
    yield* TestClock.adjust(5000)
    const { identities } = faulty
    yield* TestClock.adjust("60 seconds")
    assert.strictEqual(faulty.identities - identities, 12)
    assert.strictEqual(yield* missed, 5)
  })

  test("that comes a little late is not missed", function*() {
    const { faulty, other, store } = yield* make
    const follower = yield* catchUp(store)
    yield* TestClock.adjust(4999)
    yield* append(other)
    yield* TestClock.adjust(1)
    assert.deepStrictEqual(positionsOf(follower), [1])
    faulty.say()
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(yield* missed, 0)
  })

  test("is not missed where nothing can be heard, nor of what this process stored", function*() {
    const faulty = new FaultyStorage()
    const store = yield* EventStore.make({ ...faulty.storage, listen: undefined })
    const other = yield* EventStore.make(faulty.memory)
    const follower = yield* catchUp(store)
    for (let i = 1; i <= 3; i++) {
      yield* append(other)
      yield* TestClock.adjust(5000)
      assert.deepStrictEqual(positionsOf(follower), upTo(2 * i - 1))
      yield* append(store)
      yield* settle
      assert.deepStrictEqual(positionsOf(follower), upTo(2 * i))
    }
    assert.strictEqual(yield* missed, 0)
  })

  test("of subscriptions goes to those who watch them, by name or all", function*() {
    const { faulty, store } = yield* make
    const heard: Array<string> = []
    const scope = yield* Scope.make()
    for (const name of ["a", "b"]) {
      yield* Scope.provide(store.tail.watch(name, () => heard.push(name)), scope)
    }
    assert.strictEqual(faulty.listening, 1)
    const now = () => heard.splice(0).join(" ")
    now()
    faulty.say("a")
    assert.strictEqual(now(), "a")
    faulty.say("c")
    assert.strictEqual(now(), "")
    store.tail.changed("b")
    assert.strictEqual(now(), "b")
    faulty.say()
    assert.strictEqual(now(), "")
    // what was said while nobody listened is lost: it may have been about anybody
    yield* faulty.loseConnections
    yield* TestClock.adjust("1 second")
    assert.strictEqual(now(), "a b")
    yield* Scope.close(scope, Exit.void)
    store.tail.changed("a")
    assert.strictEqual(now(), "")
    assert.strictEqual(faulty.listening, 0)
  })
})

describe("a follower", () => {
  const taken = (limit: number, follower: LogTail.LogFollower<never>) =>
    Effect.gen(function*() {
      const seen: Array<ReadonlyArray<number>> = []
      yield* settle
      for (;;) {
        const { caughtUp, events, position } = yield* follower.take(limit)
        assert.strictEqual(follower.position(), position)
        if (events.length > 0) seen.push(events.map(({ position }) => position))
        if (caughtUp) return seen
      }
    })

  test("takes as few as it likes, and goes on behind them, from the storage and from the pages", function*() {
    const { store } = yield* make
    yield* append(store, 5)
    const follower = yield* store.tail.follow({ ...everything, types: ["T"] }, { position: 1 })
    assert.deepStrictEqual(yield* taken(3, follower), [[2, 3, 4], [5]])
    yield* append(store, 2)
    yield* append(store, 4, "b-1", "Other")
    yield* append(store, 2)
    assert.deepStrictEqual(yield* taken(3, follower), [[6, 7, 12], [13]])
    assert.deepStrictEqual(yield* taken(3, follower), [])
    assert.strictEqual(follower.position(), 13)
  })

  test("goes on from another position where it is sent, before or after its own", function*() {
    const { store } = yield* make
    yield* append(store, 6)
    const follower = yield* store.tail.follow(everything, "end")
    assert.deepStrictEqual(yield* taken(9, follower), [])
    yield* append(store, 2)
    for (const position of [7, 3, 0, 8]) {
      follower.seek(position)
      assert.strictEqual(follower.position(), position)
      assert.deepStrictEqual((yield* taken(9, follower)).flat(), upTo(8, position))
    }
    yield* append(store, 1)
    yield* follower.wait
    assert.deepStrictEqual(yield* taken(9, follower), [[9]])
  })

  test("knows how far the log was looked through for it without being woken", function*() {
    const { store } = yield* make
    const follower = yield* store.tail.follow({ ...everything, types: ["Wanted"] }, "end")
    yield* taken(9, follower)
    let woken = 0
    yield* Effect.forkScoped(Effect.tap(follower.wait, () => Effect.sync(() => woken++)), { startImmediately: true })
    yield* append(store, 5)
    yield* settle
    assert.deepStrictEqual([follower.position(), woken], [5, 0])
    yield* append(store, 1, "a-2", "Wanted")
    yield* settle
    assert.deepStrictEqual([follower.position(), woken], [5, 1])
    yield* append(store, 5)
    yield* settle
    assert.strictEqual(follower.position(), 5)
    assert.deepStrictEqual(yield* taken(9, follower), [[6]])
    assert.strictEqual(follower.position(), 11)
  })

  test("does not wait where something came since it last looked", function*() {
    const { store } = yield* make
    const follower = yield* store.tail.follow(everything, "end")
    // it has not looked yet, so it cannot know
    yield* follower.wait
    yield* taken(9, follower)
    yield* append(store)
    yield* settle
    yield* follower.wait
    assert.deepStrictEqual(yield* taken(9, follower), [[1]])
    const waiting = yield* Effect.forkScoped(follower.wait, { startImmediately: true })
    yield* TestClock.adjust("1 minute")
    assert.isUndefined(waiting.pollUnsafe())
    yield* append(store)
    yield* Fiber.join(waiting)
    // whoever was interrupted while it waited can wait again
    yield* taken(9, follower)
    yield* Effect.timeoutOption(Effect.race(follower.wait, TestClock.adjust("1 second")), "1 second")
    const again = yield* Effect.forkScoped(follower.wait, { startImmediately: true })
    yield* append(store)
    yield* Fiber.join(again)
  })

  test("tells where it is in time, however much is stored that does not match", function*() {
    const { store } = yield* make
    const said = yield* gather(Stream.provideService(
      Subscription.signals(Category.raw, { streamPrefix: "none", after: "end", heartbeat: "5 seconds" }),
      EventStore,
      store
    ))
    for (let i = 0; i < 60; i++) {
      yield* append(store)
      yield* TestClock.adjust("250 millis")
    }
    assert.deepStrictEqual(
      said.all.map((signal) => [signal._tag, signal._tag === "Event" ? 0 : signal.position as number]),
      [["CaughtUp", 0], ["Heartbeat", 20], ["Heartbeat", 40], ["Heartbeat", 60]]
    )
  })

  test("reads one page ahead of what is worked on, and no more", function*() {
    const { faulty, store } = yield* make
    for (let i = 0; i < 9; i++) yield* append(store, 1000)
    const follower = yield* store.tail.follow(everything, { position: 0 })
    yield* follower.take(500)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(faulty.pages, 2)
    yield* follower.take(500)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(faulty.pages, 3)
  })

  test("looks through a log without matches in pieces, where no index helps", function*() {
    const { store } = yield* make
    for (let i = 0; i < 120; i++) yield* append(store, 1000)
    const follower = yield* store.tail.follow({ ...everything, tags: ["none"] }, { position: 0 })
    const positions: Array<number> = []
    for (let caughtUp = false; !caughtUp;) {
      positions.push(follower.position())
      const followed = yield* follower.take(10)
      caughtUp = followed.caughtUp
    }
    assert.deepStrictEqual(positions, [0, 50_000, 100_000, 120_000])
    const said = yield* gather(
      Stream.provideService(Subscription.signals(Category.raw, { tags: ["none"] }), EventStore, store)
    )
    yield* said.until((all) => all.at(-1)?._tag === "CaughtUp")
    assert.deepStrictEqual(said.all.map((signal) => signal._tag === "Event" ? 0 : signal.position as number), [
      50_000,
      100_000,
      120_000,
      120_000
    ])
  })
})
