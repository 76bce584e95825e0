import { assert } from "@effect/vitest"
import { Duration, Effect, Exit, Latch, Option, Schedule } from "effect"
import { Park, Retry, Skip, Stop } from "../../Subscription/Delivery.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import {
  adjustUntil,
  consume,
  counts,
  finished,
  freshSubscription,
  inStore,
  makeClock,
  type Note,
  parkedOf,
  until
} from "./consuming.ts"
import { begin } from "./queue.ts"
import { equal, freshCategory, freshStream, has, notes, type Rules, textOf, texts } from "./rule.ts"

const immediately = Schedule.spaced(0)

/** Fails for one note, and succeeds for the others. */
const failFor = <E>(text: string, error: Effect.Effect<never, E>) => ({ event }: Note) =>
  textOf(event) === text ? error : Effect.void

export const persistentFailureRules: Rules = (rule) => {
  rule("repeats what failed after the delays of the schedule, and parks it when the schedule ends", function*(store) {
    const [from, name, clock] = [freshCategory(), freshSubscription(), yield* makeClock]
    const times: Array<number> = []
    yield* store.append(from.stream("1"), notes("1"))
    yield* consume(store, name, {
      from,
      clock,
      retry: Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 3 })),
      handle: () =>
        Effect.suspend(() => {
          times.push(clock.currentTimeMillisUnsafe() - begin)
          return Effect.fail("broken")
        })
    })
    yield* adjustUntil(clock, "100 millis", "four attempts", () => times.length === 4)
    yield* finished(store, name, 1)
    for (const [i, time] of [0, 1000, 3000, 7000].entries()) {
      assert.isAtLeast(times[i]!, time)
      assert.isAtMost(times[i]!, time + 1000)
    }
    equal(yield* parkedOf(store, name), [{ attempts: 4, reason: "failed 4 times", error: "broken" }])
  })

  rule("parks what failed as often as it may be attempted", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("1"), notes("bad", "good"))
    const consumer = yield* consume(store, name, {
      from,
      attempts: 3,
      retry: immediately,
      handle: failFor("bad", Effect.fail("broken"))
    })
    yield* consumer.until(4)
    yield* finished(store, name, 1)
    equal(consumer.begun, ["bad", "bad", "bad", "good"])
    equal(consumer.deliveries.map(({ attempt }) => attempt), [1, 2, 3, 1])
    equal(yield* parkedOf(store, name), [{ attempts: 3, reason: "failed 3 times", error: "broken" }])
  })

  rule("takes a defect and an interruption from inside for failures", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("1"), notes("1", "2"))
    const consumer = yield* consume(store, name, {
      from,
      retry: immediately,
      handle: ({ attempt }) =>
        attempt === 1
          ? Effect.die(new Error("died"))
          : attempt === 2
          ? Effect.interrupt
          : attempt === 3
          ? Effect.withFiber((fiber) => Effect.andThen(Effect.sync(() => fiber.interruptUnsafe()), Effect.never))
          : Effect.void
    })
    yield* consumer.until(8)
    yield* finished(store, name)
    equal(consumer.begun, ["1", "1", "1", "1", "2", "2", "2", "2"])
    assert.isTrue(consumer.isRunning())
  })

  rule("handles the next event as ever after one that interrupted its own fibre", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("1"), notes("bad", "good"))
    const handled: Array<string> = []
    const consumer = yield* consume(store, name, {
      from,
      attempts: 1,
      handle: ({ event }) =>
        textOf(event) === "bad"
          ? Effect.withFiber((fiber) => Effect.andThen(Effect.sync(() => fiber.interruptUnsafe()), Effect.never))
          : Effect.andThen(Effect.yieldNow, Effect.sync(() => void handled.push(textOf(event))))
    })
    yield* consumer.until(2)
    yield* finished(store, name, 1)
    equal(handled, ["good"])
  })

  rule("takes what takes too long for a failure", function*(store) {
    const [from, name, clock] = [freshCategory(), freshSubscription(), yield* makeClock]
    yield* store.append(from.stream("1"), notes("1"))
    const consumer = yield* consume(store, name, {
      from,
      clock,
      timeout: "5 seconds",
      attempts: 1,
      handle: () => Effect.never
    })
    yield* consumer.until(1)
    yield* adjustUntil(clock, "1 second", "a parked event", () => clock.currentTimeMillisUnsafe() - begin > 6000)
    yield* finished(store, name, 1)
    equal(yield* parkedOf(store, name), [{ attempts: 1, reason: "failed once", error: "took longer than 5s" }])
  })

  rule("keeps later events of a key waiting for a retry, and no others", function*(store) {
    const [from, name, clock] = [freshCategory(), freshSubscription(), yield* makeClock]
    yield* store.append(from.stream("a"), notes("a1", "a2"))
    const consumer = yield* consume(store, name, {
      from,
      clock,
      handle: (delivery) =>
        textOf(delivery.event) === "a1" && delivery.attempt === 1
          ? Effect.fail(new Retry({ after: Duration.seconds(5) }))
          : Effect.void
    })
    yield* consumer.until(1)
    yield* store.append(from.stream("b"), notes("b1"))
    yield* store.append(from.stream("a"), notes("a3"))
    yield* store.append(from.stream("b"), notes("b2"))
    yield* consumer.until(3)
    equal(consumer.begun, ["a1", "b1", "b2"])
    yield* adjustUntil(clock, "500 millis", "the retry", () => consumer.begun.length >= 6)
    yield* finished(store, name)
    equal(consumer.begun, ["a1", "b1", "b2", "a1", "a2", "a3"])
    assert.isAtLeast(clock.currentTimeMillisUnsafe() - begin, 5000)
  })

  rule("parks, skips and goes on with the same key as the handler says", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("1"), notes("park", "skip", "good"))
    const consumer = yield* consume(store, name, {
      from,
      handle: ({ event }) =>
        textOf(event) === "park"
          ? Effect.fail(new Park({ reason: "no\0 \uD800address" }))
          : textOf(event) === "skip"
          ? Effect.fail(new Skip({}))
          : Effect.void
    })
    yield* consumer.until(3)
    yield* finished(store, name, 1)
    equal(consumer.begun, ["park", "skip", "good"])
    equal(yield* parkedOf(store, name), [{ attempts: 1, reason: "no\uFFFD \uFFFDaddress", error: null }])
  })

  rule(
    "keeps later events of a parked one's key waiting where that is asked for, until it is replayed",
    function*(store) {
      const [from, name] = [freshCategory(), freshSubscription()]
      let isOpen = false
      yield* store.append(from.stream("a"), notes("a1", "a2"))
      yield* store.append(from.stream("b"), notes("b1"))
      const consumer = yield* consume(store, name, {
        from,
        parkedBlocks: true,
        handle: ({ event }) =>
          textOf(event) === "a1" && !isOpen ? Effect.fail(new Park({ reason: "closed" })) : Effect.void
      })
      yield* consumer.until(2)
      yield* until("a2 given back", () => Effect.map(counts(store, name), (counts) => counts.join() === "1,0,1"))
      equal(consumer.begun, ["a1", "b1"])
      isOpen = true
      equal(yield* inStore(store)(PersistentSubscription.replay(name)), 1)
      yield* consumer.until(4)
      yield* finished(store, name)
      equal(consumer.begun, ["a1", "b1", "a1", "a2"])
    }
  )

  rule("ends a consumer that says so, and gives back all it has", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const open = yield* Latch.make()
    yield* store.append(from.stream("a"), notes("a1"))
    yield* store.append(from.stream("b"), notes("stop", "b2"))
    const stopped = yield* consume(store, name, {
      from,
      concurrency: 2,
      handle: ({ event }) =>
        textOf(event) === "stop"
          ? Effect.andThen(open.await, Effect.fail(new Stop({ reason: "enough" })))
          : Effect.never
    })
    yield* stopped.until(2)
    yield* open.open
    has(Option.getOrThrow(Exit.findErrorOption(yield* stopped.end)), { _tag: "Stop", reason: "enough" })
    equal(stopped.begun, ["a1", "stop"])
    const consumer = yield* consume(store, name, { from })
    yield* consumer.until(3)
    yield* finished(store, name)
    equal(consumer.begun, ["a1", "stop", "b2"])
    equal(consumer.deliveries.map(({ attempt }) => attempt), [1, 1, 1])
  })

  rule("gives back what is in hand when a consumer is interrupted, and counts no attempt", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("a"), notes("1", "2", "3"))
    const interrupted = yield* consume(store, name, {
      from,
      handle: ({ event }) => textOf(event) === "1" ? Effect.void : Effect.never
    })
    yield* interrupted.until(2)
    yield* interrupted.stop
    equal(yield* counts(store, name), [2, 0, 0])
    const consumer = yield* consume(store, name, { from })
    yield* consumer.until(2)
    yield* finished(store, name)
    equal(consumer.deliveries.map(({ attempt, event }) => `${textOf(event)}/${attempt}`), ["2/1", "3/1"])
  })

  rule("waits for a handler that has to end what it began, and keeps what its transaction finished", function*(store) {
    const [from, name, stream] = [freshCategory(), freshSubscription(), freshStream()]
    const [begun, open] = [yield* Latch.make(), yield* Latch.make()]
    yield* store.append(from.stream("a"), notes("1"))
    const consumer = yield* consume(store, name, {
      from,
      handle: (delivery) =>
        Effect.uninterruptible(begun.open.pipe(
          Effect.andThen(open.await),
          Effect.andThen(delivery.transaction(store.append(stream, notes("kept")))),
          Effect.asVoid
        ))
    })
    yield* begun.await
    const stopping = yield* Effect.forkChild(consumer.stop)
    yield* Effect.yieldNow
    equal(yield* counts(store, name), [0, 1, 0])
    yield* open.open
    yield* until("the end", () => stopping.pollUnsafe() !== undefined)
    equal(yield* counts(store, name), [0, 0, 0])
    equal(yield* texts(store, stream), ["kept"])
  })
}
