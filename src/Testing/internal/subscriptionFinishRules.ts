import { assert } from "@effect/vitest"
import { Duration, Effect, Fiber, Latch, Option, Result } from "effect"
import { begin, done, heldOf, longAgo, makeQueue, type Queue, retry, storageOf } from "./queue.ts"
import {
  equal,
  fails,
  freshCategory,
  freshStream,
  has,
  notes,
  type Rules,
  skip,
  type Store,
  texts,
  together
} from "./rule.ts"

/** A queue with a delivery in hand, under a lease that holds by the clock of the storage. */
const oneInHand = Effect.fnUntraced(function*(store: Store, now = begin) {
  const queue = yield* makeQueue(store)
  yield* queue.offer(["a"], now)
  const [delivery] = yield* queue.take(now)
  return { queue, held: heldOf(delivery!) }
})

/** Nothing happened to the delivery: it can be finished yet. */
const isHeld = Effect.fnUntraced(function*({ held, queue }: Effect.Success<ReturnType<typeof oneInHand>>) {
  equal(yield* queue.counts(), { waiting: 0, inFlight: 1, parked: 0 })
  equal(yield* queue.settle(begin, done(held)), [])
})

const isFinished = (queue: Queue) =>
  Effect.map(queue.counts(), (counts) => equal(counts, { waiting: 0, inFlight: 0, parked: 0 }))

/** Finishing a delivery in one transaction with what it leads to. */
export const subscriptionFinishRules: Rules = (rule, { transactions }) => {
  rule("stores what finishes a delivery together with it", function*(store) {
    const { held, queue } = yield* oneInHand(store)
    const [stream, other] = [freshStream(), freshStream()]
    const answer = yield* storageOf(store).finishWith(
      queue.id,
      held,
      Effect.gen(function*() {
        yield* store.append(stream, notes("a", "b"))
        yield* store.append(other, notes("c"))
        equal(yield* texts(store, stream), ["a", "b"])
        return "answer"
      })
    )
    equal(answer, Option.some("answer"))
    equal([yield* texts(store, stream), yield* texts(store, other)], [["a", "b"], ["c"]])
    yield* isFinished(queue)
    equal(yield* queue.settle(begin, done(held)), [1])
  })

  rule("finishes a delivery with an effect that stores nothing", function*(store) {
    const { held, queue } = yield* oneInHand(store)
    const head = yield* store.head()
    equal(yield* storageOf(store).finishWith(queue.id, held, Effect.void), Option.some(undefined))
    equal(yield* store.head(), head)
    yield* isFinished(queue)
  })

  rule("stores nothing with a delivery that is held under another lease", function*(store) {
    const { held, queue } = yield* oneInHand(store)
    const stream = freshStream()
    const append = store.append(stream, notes("a"))
    for (const lease of [held.lease - 1, held.lease + 1]) {
      equal(yield* storageOf(store).finishWith(queue.id, { ...held, lease }, append), Option.none())
    }
    equal(yield* storageOf(store).finishWith(queue.id, { ...held, position: 2 }, append), Option.none())
    equal(yield* texts(store, stream), [])
    yield* isHeld({ queue, held })
  })

  rule("stores nothing with a delivery whose lease ran out, also where nobody else has it", function*(store) {
    const { held, queue } = yield* oneInHand(store, longAgo)
    const stream = freshStream()
    equal(yield* storageOf(store).finishWith(queue.id, held, store.append(stream, notes("a"))), Option.none())
    equal(yield* texts(store, stream), [])
    equal((yield* queue.take(begin)).map(({ attempt }) => attempt), [2])
  })

  rule("stores nothing with a delivery that somebody else took over", function*(store) {
    const { held, queue } = yield* oneInHand(store)
    const [others] = yield* queue.take(begin + 1000)
    const stream = freshStream()
    equal(yield* storageOf(store).finishWith(queue.id, held, store.append(stream, notes("late"))), Option.none())
    equal(yield* texts(store, stream), [])
    equal(
      yield* storageOf(store).finishWith(
        queue.id,
        heldOf(others!),
        Effect.asVoid(store.append(stream, notes("right")))
      ),
      Option.some(undefined)
    )
    equal(yield* texts(store, stream), ["right"])
  })

  rule("stores nothing with a delivery that is finished, given back, parked or removed", function*(store) {
    const stream = freshStream()
    const finish = ({ held, queue }: Effect.Success<ReturnType<typeof oneInHand>>) =>
      storageOf(store).finishWith(queue.id, held, store.append(stream, notes("a")))
    const finished = yield* oneInHand(store)
    yield* finished.queue.settle(begin, done(finished.held))
    const waiting = yield* oneInHand(store)
    yield* waiting.queue.settle(begin, retry(waiting.held, 1000))
    const moved = yield* oneInHand(store)
    yield* storageOf(store).update(moved.queue.name, { start: { position: 0, eventId: null } })
    const removed = yield* oneInHand(store)
    yield* storageOf(store).remove(removed.queue.name)
    for (const one of [finished, waiting, moved, removed]) equal(yield* finish(one), Option.none())
    equal(yield* texts(store, stream), [])
    equal(yield* waiting.queue.counts(), { waiting: 1, inFlight: 0, parked: 0 })
  })

  rule("leaves a delivery as it is where the effect fails, dies or is interrupted", function*(store) {
    const one = yield* oneInHand(store)
    const stream = freshStream()
    const { finishWith } = storageOf(store)
    const append = store.append(stream, notes("a"))
    equal(yield* Effect.flip(finishWith(one.queue.id, one.held, Effect.andThen(append, Effect.fail("no")))), "no")
    const died = yield* Effect.exit(
      finishWith(one.queue.id, one.held, Effect.andThen(append, Effect.die("on purpose")))
    )
    equal(died._tag, "Failure")
    const latch = yield* Latch.make()
    const fiber = yield* Effect.forkChild(
      finishWith(one.queue.id, one.held, append.pipe(Effect.andThen(latch.open), Effect.andThen(Effect.never)))
    )
    yield* latch.await
    yield* Fiber.interrupt(fiber)
    equal(yield* texts(store, stream), [])
    yield* isHeld(one)
  })

  rule("leaves a delivery as it is where an append of the effect is refused", function*(store) {
    const one = yield* oneInHand(store)
    const [stream, other] = [freshStream(), freshStream()]
    yield* store.append(other, notes("before"))
    yield* fails(
      storageOf(store).finishWith(
        one.queue.id,
        one.held,
        Effect.andThen(
          store.append(stream, notes("a")),
          store.append(other, notes("b"), { expected: "no-stream" })
        )
      ),
      "WrongExpectedVersion"
    )
    equal([yield* texts(store, stream), yield* texts(store, other)], [[], ["before"]])
    yield* isHeld(one)
  })

  rule("finishes a delivery once where several finish it at the same time", function*(store) {
    const { held, queue } = yield* oneInHand(store)
    const category = freshCategory()
    const answers = yield* together(8, (i) =>
      storageOf(store).finishWith(
        queue.id,
        held,
        Effect.as(Effect.andThen(store.append(category.stream(String(i)), notes("a")), Effect.yieldNow), i)
      ))
    const [won, ...others] = answers.filter(Option.isSome)
    equal(others, [])
    for (let i = 0; i < 8; i++) equal(yield* texts(store, category.stream(String(i))), i === won!.value ? ["a"] : [])
    yield* isFinished(queue)
  })

  rule("finishes several deliveries at the same time, each with what it leads to", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(Array.from({ length: 16 }, (_, i) => i % 2 === 0 ? "a" : null))
    const deliveries = yield* queue.take(begin)
    const stream = freshStream()
    const answers = yield* together(16, (i) =>
      storageOf(store).finishWith(
        queue.id,
        heldOf(deliveries[i]!),
        Effect.asVoid(store.append(stream, notes(String(i))))
      ))
    assert.isTrue(answers.every(Option.isSome))
    equal(new Set(yield* texts(store, stream)).size, 16)
    yield* isFinished(queue)
  })

  rule("finishes a delivery with the transaction around it, or not at all", function*(store) {
    const one = yield* oneInHand(store)
    const stream = freshStream()
    const finish = storageOf(store).finishWith(one.queue.id, one.held, store.append(stream, notes("inside")))
    yield* Effect.exit(store.transaction(Effect.andThen(finish, Effect.fail("no"))))
    equal(yield* texts(store, stream), [])
    equal(yield* one.queue.counts(), { waiting: 0, inFlight: 1, parked: 0 })
    const answer = yield* store.transaction(Effect.andThen(store.append(stream, notes("around")), finish))
    assert.isTrue(Option.isSome(answer))
    equal(yield* texts(store, stream), ["around", "inside"])
    yield* isFinished(one.queue)
  })

  openFinishRules(transactions === "concurrent" ? rule : skip, { transactions })
}

/** What happens beside a transaction that is to finish a delivery. */
const openFinishRules: Rules = (rule) => {
  /** Runs `outside` while `inside` is open that finishes a delivery. */
  const whileOpen = <A, E, B, E2>(
    store: Store,
    { held, queue }: Effect.Success<ReturnType<typeof oneInHand>>,
    inside: Effect.Effect<A, E>,
    outside: Effect.Effect<B, E2>
  ) =>
    Effect.gen(function*() {
      const [staged, seen] = [yield* Latch.make(), yield* Latch.make()]
      const effect = Effect.tap(Effect.ensuring(inside, staged.open), () => seen.await)
      const fiber = yield* Effect.forkChild(Effect.result(storageOf(store).finishWith(queue.id, held, effect)))
      yield* staged.await
      const answer = yield* outside
      yield* seen.open
      return [yield* Fiber.join(fiber), answer] as const
    })

  rule("stores nothing with a delivery that somebody else takes over meanwhile", function*(store) {
    const one = yield* oneInHand(store)
    const stream = freshStream()
    const [result, deliveries] = yield* whileOpen(
      store,
      one,
      store.append(stream, notes("a")),
      one.queue.take(begin + 1000)
    )
    equal(result, Result.succeed(Option.none()))
    equal(yield* texts(store, stream), [])
    equal(deliveries.map(({ attempt }) => attempt), [2])
    equal(yield* one.queue.settle(begin + 1000, done(deliveries[0]!)), [])
  })

  rule("stores nothing with a delivery that is settled meanwhile", function*(store) {
    const one = yield* oneInHand(store)
    const stream = freshStream()
    const [result, refused] = yield* whileOpen(
      store,
      one,
      store.append(stream, notes("a")),
      one.queue.settle(begin, retry(one.held, 0))
    )
    equal(result, Result.succeed(Option.none()))
    equal(refused, [])
    equal(yield* texts(store, stream), [])
  })

  rule("finishes with a lease that was extended meanwhile", function*(store) {
    const one = yield* oneInHand(store)
    const stream = freshStream()
    const [result] = yield* whileOpen(
      store,
      one,
      Effect.asVoid(store.append(stream, notes("a"))),
      one.queue.extend(begin + 500, Duration.minutes(1), one.held)
    )
    equal(result, Result.succeed(Option.some(undefined)))
    equal(yield* texts(store, stream), ["a"])
  })

  rule("hands out other deliveries of the subscription meanwhile", function*(store) {
    const one = yield* oneInHand(store)
    const [result, positions] = yield* whileOpen(
      store,
      one,
      Effect.void,
      Effect.andThen(one.queue.offer(["a", "b"]), one.queue.positions(begin))
    )
    equal(result, Result.succeed(Option.some(undefined)))
    equal(positions, [3])
    equal(yield* one.queue.positions(begin), [2])
  })

  rule("leaves a delivery as it is where an expected version does not hold any more at the end", function*(store) {
    const one = yield* oneInHand(store)
    const [stream, other] = [freshStream(), freshStream()]
    const [result] = yield* whileOpen(
      store,
      one,
      Effect.andThen(store.append(other, notes("a")), store.append(stream, notes("inside"), { expected: 0 })),
      store.append(stream, notes("outside"))
    )
    has(Result.isFailure(result) ? result.failure : {}, { _tag: "WrongExpectedVersion", expected: 0, actual: 1 })
    equal([yield* texts(store, stream), yield* texts(store, other)], [["outside"], []])
    yield* isHeld(one)
  })
}
