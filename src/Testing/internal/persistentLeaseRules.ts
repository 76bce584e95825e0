import { assert } from "@effect/vitest"
import { Effect, Exit, Latch, Schedule } from "effect"
import type { LeaseLost } from "../../Subscription/Delivery.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import {
  adjustUntil,
  consume,
  counts,
  finished,
  freshSubscription,
  inStore,
  makeClock,
  pass,
  until
} from "./consuming.ts"
import { equal, freshCategory, freshStream, notes, type Rules, texts } from "./rule.ts"

const immediately = Schedule.spaced(0)

export const persistentLeaseRules: Rules = (rule) => {
  rule("keeps an event as long as its handler takes", function*(store) {
    const [from, name, clock] = [freshCategory(), freshSubscription(), yield* makeClock]
    const open = yield* Latch.make()
    yield* store.append(from.stream("a"), notes("1", "2"))
    const options = { from, clock, lease: "9 seconds" } as const
    const consumer = yield* consume(store, name, { ...options, handle: () => open.await })
    yield* consumer.until(1)
    const other = yield* consume(store, name, options)
    yield* pass(clock, "1 second", 40)
    equal(other.begun, [])
    equal(yield* counts(store, name), [0, 2, 0])
    yield* open.open
    yield* finished(store, name)
    equal(consumer.begun, ["1", "2"])
  })

  rule(
    "hands an event of a consumer that stands still to another one, and takes no answer of the first",
    function*(store) {
      const [from, name] = [freshCategory(), freshSubscription()]
      const [frozen, clock] = [yield* makeClock, yield* makeClock]
      const [open, answered] = [yield* Latch.make(), yield* Latch.make()]
      const stream = freshStream()
      const errors: Array<unknown> = []
      yield* store.append(from.stream("a"), notes("1"))
      const first = yield* consume(store, name, {
        from,
        clock: frozen,
        lease: "10 seconds",
        handle: (delivery) =>
          Effect.uninterruptible(open.await).pipe(
            Effect.andThen(delivery.transaction(store.append(stream, notes("twice")))),
            Effect.tapError((error) => Effect.sync(() => errors.push((error as LeaseLost)._tag))),
            Effect.ensuring(answered.open)
          )
      })
      yield* first.until(1)
      const second = yield* consume(store, name, {
        from,
        clock,
        lease: "10 days",
        handle: (delivery) => Effect.andThen(delivery.transaction(store.append(stream, notes("once"))), Effect.void)
      })
      yield* adjustUntil(clock, "1 second", "the second consumer", () => second.begun.length === 1)
      yield* finished(store, name)
      equal(second.deliveries[0]!.attempt, 2)
      assert.isAbove(second.deliveries[0]!.lease, first.deliveries[0]!.lease)
      yield* open.open
      yield* answered.await
      equal(errors, ["LeaseLost"])
      equal(yield* texts(store, stream), ["once"])
      equal([first.begun, second.begun], [["1"], ["1"]])
    }
  )

  rule("interrupts a handler whose event was taken away", function*(store) {
    const [from, name, clock] = [freshCategory(), freshSubscription(), yield* makeClock]
    const interrupted = yield* Latch.make()
    yield* store.append(from.stream("a"), notes("1", "2"))
    const consumer = yield* consume(store, name, {
      from,
      clock,
      lease: "9 seconds",
      handle: ({ lease }) => lease === 1 ? Effect.onInterrupt(Effect.never, () => interrupted.open) : Effect.void
    })
    yield* consumer.until(1)
    yield* inStore(store)(PersistentSubscription.update(name, { start: "start" }))
    yield* adjustUntil(clock, "1 second", "a new begin", () => consumer.begun.length >= 3)
    yield* interrupted.await
    yield* finished(store, name)
    equal(consumer.begun, ["1", "1", "2"])
  })

  rule("notices by itself, in time, that an event was taken away for good", function*(store) {
    const [from, name, clock] = [freshCategory(), freshSubscription(), yield* makeClock]
    let isInterrupted = false
    yield* store.append(from.stream("a"), notes("1"))
    const consumer = yield* consume(store, name, {
      from,
      clock,
      lease: "9 seconds",
      handle: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (isInterrupted = true)))
    })
    yield* consumer.until(1)
    yield* inStore(store)(PersistentSubscription.update(name, { start: "end" }))
    const before = clock.currentTimeMillisUnsafe()
    yield* adjustUntil(clock, "500 millis", "an interrupted handler", () => isInterrupted)
    // an extension is refused before the lease would have run out
    assert.isBelow(clock.currentTimeMillisUnsafe() - before, 8000)
    equal(consumer.begun, ["1"])
  })

  rule("tells other consumers of what one gives back", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("a"), notes("1", "2"))
    const first = yield* consume(store, name, { from, lease: "1 hour", handle: () => Effect.never })
    yield* first.until(1)
    const second = yield* consume(store, name, { from, lease: "1 hour" })
    yield* until("both claimed by the first", () => Effect.map(counts(store, name), ([, inFlight]) => inFlight === 2))
    yield* first.stop
    yield* second.until(2)
    yield* finished(store, name)
    equal(second.begun, ["1", "2"])
  })

  rule("acknowledges an event together with what a transaction stores", function*(store) {
    const [from, name, stream] = [freshCategory(), freshSubscription(), freshStream()]
    yield* store.append(from.stream("a"), notes("1", "2", "3"))
    const consumer = yield* consume(store, name, {
      from,
      retry: immediately,
      handle: (delivery) =>
        Effect.gen(function*() {
          const { attempt, event } = delivery
          const text = event._tag === "Noted" ? event.text : ""
          yield* delivery.transaction(Effect.andThen(
            store.append(stream, notes(`${text}/${attempt}`)),
            text === "2" && attempt === 1 ? Effect.fail("rolled back") : Effect.void
          ))
          // what the transaction finished stays finished
          if (text === "3") return yield* Effect.fail("too late")
        })
    })
    yield* consumer.until(4)
    yield* finished(store, name)
    equal(consumer.begun, ["1", "2", "2", "3"])
    equal(yield* texts(store, stream), ["1/1", "2/2", "3/1"])
  })

  rule("lets consumers of the same process find what one of them stores in a transaction", function*(store) {
    const [from, next, name] = [freshCategory(), freshCategory(), freshSubscription()]
    const follower = yield* consume(store, freshSubscription(), { from: next })
    yield* consume(store, name, {
      from,
      handle: (delivery) => Effect.asVoid(delivery.transaction(store.append(next.stream("1"), notes("followed"))))
    })
    yield* store.append(from.stream("a"), notes("1"))
    yield* follower.until(1)
  })

  rule("ends its consumers when a subscription is removed", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const idle = yield* consume(store, name, { from })
    yield* store.append(from.stream("a"), notes("1"))
    yield* idle.until(1)
    yield* inStore(store)(PersistentSubscription.remove(name))
    const exit = yield* idle.end
    assert.isTrue(Exit.isFailure(exit))
    yield* until(
      "nothing of it",
      () => Effect.map(inStore(store)(PersistentSubscription.info(name)), (info) => info._tag === "None")
    )
  })
}
