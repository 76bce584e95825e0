import { Effect } from "effect"
import { begin, done, heldOf, makeQueue, park, positionsOf, type Queue, release, retry } from "./queue.ts"
import { equal, has, type Rules } from "./rule.ts"

/** A delivery whose lease ran out twice may be what kills its consumers. */
export const subscriptionSuspectRules: Rules = (rule) => {
  /** Claims everything so often, each time until the leases run out. */
  const lose = (queue: Queue, times: number, limit = 1000) =>
    Effect.gen(function*() {
      for (let i = 0; i < times; i++) yield* queue.take(begin + i * 1000, { limit })
      return begin + times * 1000
    })

  rule("hands out deliveries together after their lease ran out once", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", null])
    const now = yield* lose(queue, 1)
    equal(yield* queue.positions(now, { idle: false }), [1, 2, 3])
  })

  rule("hands out a delivery alone after its lease ran out twice", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", null, "b"])
    const now = yield* lose(queue, 2, 3)
    const claimed = yield* queue.take(now)
    equal(claimed.map(({ attempt, position }) => [position, attempt]), [[1, 3]])
    yield* queue.settle(now, done(claimed[0]!))
    for (const position of [2, 3]) {
      const [alone, ...others] = yield* queue.take(now)
      equal([alone!.position, others], [position, []])
      yield* queue.settle(now, done(alone!))
    }
    equal(yield* queue.positions(now), [4])
  })

  rule("hands out nothing to a consumer that is not idle while one waits that goes alone", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const now = yield* lose(queue, 2, 1)
    has(yield* queue.claim(now, { idle: false }), { deliveries: [], nextIn: undefined })
    equal((yield* queue.take(now)).map(({ attempt, position }) => [position, attempt]), [[1, 3]])
    // it is somebody's by now, so the others go on
    equal(yield* queue.positions(now, { idle: false }), [2])
  })

  rule("hands out one that goes alone before others, wherever it stands", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c"])
    const [first] = yield* queue.take(begin, { limit: 2 })
    yield* queue.settle(begin, retry(first!, 2000))
    equal(yield* queue.positions(begin + 1000, { limit: 1 }), [2])
    const now = begin + 2000
    equal(yield* queue.positions(now, { idle: false }), [])
    equal(yield* queue.positions(now, { limit: 0 }), [])
    equal(yield* queue.positions(now), [2])
    equal(yield* queue.positions(now), [1, 3])
  })

  rule("counts a lease as lost only when it ran out: not after an answer", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    for (let i = 0; i < 5; i++) {
      const [first, second] = yield* queue.take(begin, { idle: false })
      yield* queue.settle(begin, retry(first!, 0), release(second!))
    }
    equal(yield* queue.positions(begin, { idle: false }), [1, 2])
  })

  rule("goes on handing out alone one that was answered meanwhile", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const now = yield* lose(queue, 2, 1)
    const [alone] = yield* queue.take(now)
    yield* queue.settle(now, retry(alone!, 10))
    equal(yield* queue.positions(now, { idle: false, limit: 1 }), [2])
    equal(yield* queue.positions(now + 10, { idle: false }), [])
    const [again] = yield* queue.take(now + 10)
    has(again!, { position: 1, attempt: 4 })
    yield* queue.settle(now + 10, release(again!))
    equal(yield* queue.positions(now + 10, { idle: false }), [])
    equal(yield* queue.positions(now + 10), [1])
  })

  rule("does not wait for one that goes alone as long as its key is blocked", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", "b", "a"])
    yield* queue.take(begin, { limit: 2 })
    const [first] = yield* queue.take(begin + 1000, { limit: 2 })
    yield* queue.settle(begin + 1000, retry(first!, 3000))
    const now = begin + 2000
    equal(yield* queue.positions(now, { idle: false }), [3])
    equal(yield* queue.positions(now), [])
    equal(yield* queue.positions(begin + 4000, { idle: false }), [1, 3])
  })

  rule("keeps the order of a key also around one that goes alone", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", "a", "b"])
    const [first] = yield* queue.take(begin, { limit: 2 })
    yield* queue.settle(begin, park(first!))
    equal(yield* queue.positions(begin + 1000, { limit: 1 }), [2])
    yield* queue.replay(1)
    const now = begin + 2000
    // the second one goes alone; it waits for the first, and the third for it
    const held = yield* queue.take(now, { idle: false })
    equal(positionsOf(held), [1, 4])
    yield* queue.settle(now, done(held[0]!))
    equal(yield* queue.positions(now, { idle: false }), [])
    const [alone, ...others] = yield* queue.take(now)
    equal([alone!.position, others], [2, []])
    equal(yield* queue.positions(now), [])
    yield* queue.settle(now, done(heldOf(alone!)))
    equal(yield* queue.positions(now), [3])
  })

  rule("parks one that goes alone when it was begun too often", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const now = yield* lose(queue, 3, 1)
    has(yield* queue.claim(now, { attempts: 3, idle: false, limit: 0 }), { parked: 1 })
    equal(yield* queue.positions(now, { attempts: 3, idle: false }), [2])
    has((yield* queue.parked())[0]!, { position: 1, attempts: 3, error: null })
  })

  rule("hands out a replayed delivery as if its lease had never run out", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const now = yield* lose(queue, 2, 1)
    const [alone] = yield* queue.take(now)
    yield* queue.settle(now, park(alone!))
    yield* queue.replay(1)
    equal(yield* queue.positions(now, { idle: false }), [1, 2])
    equal(yield* queue.positions(now + 1000, { idle: false }), [1, 2])
  })
}
