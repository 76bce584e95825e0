import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { begin, done, makeQueue, park, positionsOf, release, retry, storageOf } from "./queue.ts"
import { equal, has, type Rules, together } from "./rule.ts"

/** What becomes of deliveries: answered, parked, replayed, discarded. */
export const subscriptionSettleRules: Rules = (rule) => {
  rule("removes what is done", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const [first] = yield* queue.take(begin)
    equal(yield* queue.settle(begin, done(first!)), [])
    equal(yield* queue.counts(), { waiting: 0, inFlight: 1, parked: 0 })
    equal(yield* queue.settle(begin, done(first!)), [1])
    equal(yield* queue.positions(begin + 1000), [2])
  })

  rule("hands out at once what is tried again after no time", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a"])
    for (const attempt of [1, 2, 3]) {
      const [delivery] = yield* queue.take(begin)
      has(delivery!, { position: 1, attempt })
      equal(yield* queue.settle(begin, retry(delivery!, 0)), [])
      equal(yield* queue.settle(begin, done(delivery!)), [1])
    }
  })

  rule("takes back the attempt of what is released, and hands it out at once", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a"])
    for (let i = 0; i < 3; i++) {
      const deliveries = yield* queue.take(begin, { attempts: 1 })
      equal(deliveries.map(({ attempt, position }) => [position, attempt]), [[1, 1], [2, 1]])
      equal(yield* queue.settle(begin, ...deliveries.map(release)), [])
      equal(yield* queue.counts(), { waiting: 2, inFlight: 0, parked: 0 })
    }
  })

  rule("settles several deliveries in one call, and answers those that it refuses", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c", "d", "e", "f"])
    const [one, two, three, four, five] = yield* queue.take(begin, { limit: 5 })
    yield* queue.settle(begin, done(two!))
    equal(
      yield* queue.settle(
        begin,
        done(one!),
        done(two!),
        retry(three!, 5),
        park({ position: 4, lease: four!.lease + 1 }),
        release(five!),
        done({ position: 6, lease: 0 }),
        done({ position: 99, lease: five!.lease })
      ),
      [2, 4, 6, 99]
    )
    equal(yield* queue.counts(), { waiting: 3, inFlight: 1, parked: 0 })
    equal(yield* queue.positions(begin), [5, 6])
    equal(yield* queue.settle(begin), [])
  })

  rule("settles hundreds of deliveries in one call", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(Array.from({ length: 600 }, (_, i) => i % 3 === 0 ? null : `key ${i % 50}`))
    const deliveries = yield* queue.take(begin)
    equal(
      yield* queue.settle(
        begin,
        ...deliveries.map((held, i) =>
          i % 4 === 0
            ? done(held)
            : i % 4 === 1
            ? retry(held, i)
            : i % 4 === 2
            ? release(held)
            : park(held, `because ${i}`)
        )
      ),
      []
    )
    equal(yield* queue.counts(), { waiting: 300, inFlight: 0, parked: 150 })
    equal((yield* queue.parked()).map(({ reason }) => reason).slice(-1), ["because 599"])
  })

  rule("refuses an answer after the lease ran out, also where nobody else has it", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c", "d", "e"])
    const [one, two, three, four, five] = yield* queue.take(begin)
    const now = begin + 1000
    equal(yield* queue.settle(now, done(one!), retry(two!, 0), park(three!), release(four!)), [1, 2, 3, 4])
    equal(yield* queue.extend(now, Duration.minutes(1), five!), [5])
    equal(yield* queue.counts(now), { waiting: 5, inFlight: 0, parked: 0 })
    equal(
      (yield* queue.take(now)).map(({ attempt, position }) => [position, attempt]),
      [1, 2, 3, 4, 5].map((p) => [p, 2])
    )
  })

  rule("lets an answer count until the end of its lease", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a"])
    const [delivery] = yield* queue.take(begin)
    equal(yield* queue.settle(begin + 999, done(delivery!)), [])
  })

  rule("extends leases from now on, and answers those that it refuses", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c"])
    const [one, two, three] = yield* queue.take(begin)
    yield* queue.settle(begin, done(three!))
    const wrong = { position: 2, lease: two!.lease + 1 }
    equal(yield* queue.extend(begin + 900, Duration.seconds(1), one!, wrong, three!, { position: 9, lease: 1 }), [
      2,
      3,
      9
    ])
    equal(yield* queue.counts(begin + 1899), { waiting: 1, inFlight: 1, parked: 0 })
    equal(yield* queue.positions(begin + 1899), [2])
    equal(yield* queue.extend(begin + 1899, Duration.seconds(1), one!), [])
    equal(yield* queue.settle(begin + 2898, done(one!)), [])
    equal(yield* queue.extend(begin, Duration.seconds(1)), [])
  })

  rule("keeps the lease and the attempts of what is extended", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a"])
    const [first] = yield* queue.take(begin)
    yield* queue.extend(begin + 500, Duration.seconds(1), first!)
    equal(yield* queue.positions(begin + 1499), [])
    const [again] = yield* queue.take(begin + 1500)
    has(again!, { position: 1, attempt: 2 })
    assert.isAbove(again!.lease, first!.lease)
  })

  rule("parks a delivery with its reason, its error and the time, and hands it out no more", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", null, "c"])
    const [first, second, third] = yield* queue.take(begin)
    yield* queue.settle(begin, retry(third!, 0, "an earlier error"))
    const [again] = yield* queue.take(begin)
    yield* queue.settle(
      begin + 7,
      park(first!, "reason\n'1' \\ \"x\" ä 😀", "error\n\tat 'x'"),
      park(second!, ""),
      park(again!, "no error this time")
    )
    const parked = { parkedAt: begin + 7 }
    equal(yield* queue.parked(), [
      { ...parked, position: 1, key: "a", attempts: 1, reason: "reason\n'1' \\ \"x\" ä 😀", error: "error\n\tat 'x'" },
      { ...parked, position: 2, key: null, attempts: 1, reason: "", error: null },
      { ...parked, position: 3, key: "c", attempts: 2, reason: "no error this time", error: null }
    ])
    equal(yield* queue.settle(begin + 7, done(first!)), [1])
    equal(yield* queue.extend(begin + 7, Duration.minutes(1), first!), [1])
    equal(yield* queue.positions(begin + 100_000), [])
    equal(yield* queue.counts(), { waiting: 0, inFlight: 0, parked: 3 })
  })

  rule("lists parked deliveries page by page in the order of positions", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c", "d", "e", "f"])
    const deliveries = yield* queue.take(begin)
    for (const i of [4, 0, 5, 2]) yield* queue.settle(begin + i, park(deliveries[i]!))
    const pages: Array<ReadonlyArray<number>> = []
    for (let after = 0; pages.length < 4;) {
      const page = (yield* queue.parked(after, 2)).map(({ position }) => position)
      pages.push(page)
      after = page.at(-1) ?? after
    }
    equal(pages, [[1, 3], [5, 6], [], []])
    equal((yield* queue.parked(2, 1)).map(({ position }) => position), [3])
    equal(yield* queue.parked(0, 0), [])
  })

  rule("lets replayed deliveries wait again, from the first attempt, with their event and their key", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c"])
    for (const _ of [1, 2]) yield* queue.settle(begin, ...(yield* queue.take(begin)).map((held) => retry(held, 0)))
    yield* queue.settle(begin, ...(yield* queue.take(begin)).map((held) => park(held)))
    equal(yield* queue.replay(1, 3, 4), 2)
    equal(yield* queue.counts(), { waiting: 2, inFlight: 0, parked: 1 })
    equal((yield* queue.take(begin)).map(({ attempt, key, position }) => [position, key, attempt]), [
      [1, "a", 1],
      [3, "c", 1]
    ])
    equal(yield* queue.replay(1, 3), 0)
    equal(yield* queue.replay(), 0)
    equal(yield* queue.replay(2), 1)
    equal(yield* queue.parked(), [])
  })

  rule("hands out a replayed delivery before the later ones of its key", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", "b", "a"])
    const [first] = yield* queue.take(begin, { limit: 1 })
    yield* queue.settle(begin, park(first!))
    yield* queue.replay(1)
    equal(yield* queue.positions(begin, { limit: 2 }), [1, 2])
  })

  rule("hands out a replayed delivery only when nobody has a later one of its key", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", "b"])
    const [first, second] = yield* queue.take(begin)
    yield* queue.settle(begin, park(first!))
    yield* queue.replay(1)
    equal(yield* queue.positions(begin), [])
    yield* queue.settle(begin, done(second!))
    equal(yield* queue.positions(begin), [1])
  })

  rule("lets a replayed delivery block no more, if parked ones block", function*(store) {
    const queue = yield* makeQueue(store, { parkedBlocks: true })
    yield* queue.offer(["a", "a", "a"])
    const [first, second] = yield* queue.take(begin, { limit: 2 })
    yield* queue.settle(begin, park(first!), park(second!))
    equal(yield* queue.positions(begin), [])
    yield* queue.replay(1)
    const [again, ...later] = yield* queue.take(begin)
    equal([again!.position, later], [1, []])
    yield* queue.settle(begin, done(again!))
    equal(yield* queue.positions(begin), [])
    yield* queue.replay(2)
    equal(yield* queue.positions(begin), [2, 3])
  })

  rule("discards parked deliveries for good, and no others", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c", "d"])
    const [first, second, third] = yield* queue.take(begin, { limit: 3 })
    yield* queue.settle(begin, park(first!), park(second!))
    equal(yield* queue.discard(2, 3, 4, 99), 1)
    equal((yield* queue.parked()).map(({ position }) => position), [1])
    equal(yield* queue.counts(), { waiting: 1, inFlight: 1, parked: 1 })
    equal(yield* queue.replay(2), 0)
    equal(yield* queue.settle(begin, done(third!)), [])
    equal(yield* queue.discard(1), 1)
    equal(yield* queue.discard(1), 0)
    equal(yield* queue.discard(), 0)
  })

  rule("skips deliveries that wait, are in flight or parked, and lets what is behind them go on", function*(store) {
    const queue = yield* makeQueue(store, { parkedBlocks: true })
    yield* queue.offer(["a", "b", "c", "a", "b", "c", "d"])
    const [first, second, third] = yield* queue.take(begin, { limit: 3 })
    yield* queue.settle(begin, retry(first!, 60_000), park(second!))
    equal(yield* queue.positions(begin), [7])
    equal(yield* queue.skip(1, 2, 3, 7, 99), 4)
    equal(yield* queue.settle(begin, done(third!)), [3])
    equal(yield* queue.extend(begin, Duration.minutes(1), third!), [3])
    equal(yield* queue.parked(), [])
    equal((yield* queue.take(begin)).map(({ attempt, position }) => [position, attempt]), [[4, 1], [5, 1], [6, 1]])
    equal(yield* queue.skip(1, 2, 3), 0)
    equal(yield* queue.skip(), 0)
    has(yield* queue.state(), { checkpoint: 3, position: 7 })
  })

  rule("answers what there is not for ids that nobody has", function*(store) {
    const subscriptions = storageOf(store)
    const queue = yield* makeQueue(store)
    const id = queue.id + 1_000_000
    const claim = { id, now: begin, limit: 1, lease: Duration.seconds(1), attempts: 1, idle: true }
    const offer = { from: 0, to: 1, eventId: null, events: [{ position: 1, key: "a" }] }
    equal(yield* subscriptions.claim({ ...claim, offer }), undefined)
    equal(yield* subscriptions.claim({ ...claim, now: undefined, offer: undefined }), undefined)
    equal(yield* subscriptions.settle(id, [done({ position: 3, lease: 1 })], begin), [3])
    equal(yield* subscriptions.extend(id, [{ position: 3, lease: 1 }], Duration.seconds(1), undefined), [3])
    equal(yield* subscriptions.parked(id, { after: 0, limit: 10 }), [])
    equal([yield* subscriptions.replay(id, [3]), yield* subscriptions.discard(id, [3])], [0, 0])
    equal(yield* subscriptions.skip(id, [3]), 0)
  })

  rule("settles a delivery once where several answer at the same time", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const [first, second] = yield* queue.take(begin)
    const refused = yield* together(
      8,
      (i) => queue.settle(begin, i % 2 === 0 ? done(first!) : park(first!), done(second!))
    )
    equal(refused.filter((positions) => !positions.includes(1)).length, 1)
    equal(refused.filter((positions) => !positions.includes(2)).length, 1)
  })

  rule("hands no delivery to two of many consumers, and keeps each key in order", function*(store) {
    const queue = yield* makeQueue(store)
    const total = 300
    const keyOf = (position: number) => position % 5 === 0 ? null : `key ${position % 7}`
    const hands = new Set<string>()
    const finished = new Map<string | null, Array<number>>()
    let offered = 0
    let left = total
    const consumer = Effect.gen(function*() {
      while (left > 0) {
        // all of them offer what comes next, and one is faster
        const to = Math.min(total, offered + 10)
        const events = Array.from({ length: to - offered }, (_, i) => offered + i + 1)
          .map((position) => ({ position, key: keyOf(position) }))
        const { deliveries, position } = yield* queue.claim(begin, {
          limit: 4,
          offer: { from: offered, to, eventId: null, events }
        })
        offered = Math.max(offered, position)
        for (const { attempt, key, position } of deliveries) {
          equal([position, key, attempt], [position, keyOf(position), 1])
          const held = key ?? `position ${position}`
          // several of a key are in one hand, and the second one of them comes right after the first
          assert.isTrue(!hands.has(held) || deliveries.some((other) => other.key === key && other.position < position))
          hands.add(held)
          finished.set(key, [...finished.get(key) ?? [], position])
        }
        yield* Effect.yieldNow
        left -= deliveries.length
        for (const { key, position } of deliveries) hands.delete(key ?? `position ${position}`)
        equal(yield* queue.settle(begin, ...deliveries.map(done)), [])
      }
    })
    yield* together(8, () => consumer)
    equal([...finished.values()].flat().length, total)
    for (const [key, positions] of finished) {
      if (key !== null) equal(positions, [...positions].sort((a, b) => a - b))
    }
    equal(yield* queue.counts(), { waiting: 0, inFlight: 0, parked: 0 })
    has(yield* queue.state(), { position: total, checkpoint: total })
    equal(positionsOf(yield* queue.take(begin)), [])
  })
}
