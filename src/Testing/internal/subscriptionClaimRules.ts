import { assert } from "@effect/vitest"
import { Duration } from "effect"
import * as EventId from "../../Event/EventId.ts"
import { begin, done, makeQueue, park, positionsOf, release, retry, storedEvents } from "./queue.ts"
import { equal, has, type Rules } from "./rule.ts"

/** What a claim hands out, and what it keeps back. */
export const subscriptionClaimRules: Rules = (rule) => {
  rule("hands out deliveries in the order of positions, up to the limit", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["c", "b", "a", null, "b"])
    equal(yield* queue.positions(begin, { limit: 2 }), [1, 2])
    // the second one of "b" waits for the first
    equal(yield* queue.positions(begin), [3, 4])
    equal(yield* queue.positions(begin), [])
  })

  rule("hands out what an offer brings with the same claim", function*(store) {
    const queue = yield* makeQueue(store)
    const events = [{ position: 1, key: "a" }, { position: 2, key: "a" }, { position: 3, key: "b" }]
    equal(yield* queue.positions(begin, { limit: 2, offer: { from: 0, to: 3, eventId: null, events } }), [1, 2])
    equal(yield* queue.positions(begin), [3])
  })

  rule("takes no offer that ends with another event than the log has there, or beyond its end", function*(store) {
    const { eventId, from, to } = yield* storedEvents(store, 2)
    const queue = yield* makeQueue(store, {}, from)
    const offered = (to: number, eventId: string) =>
      queue.positions(begin, { offer: { from, to, eventId, events: [{ position: from + 1, key: "a" }] } })
    equal(yield* offered(to, yield* EventId.make), [])
    equal(yield* offered(to + 1, eventId), [])
    equal(yield* offered(to, eventId), [from + 1])
  })

  rule("hands out nothing to a claim with limit 0, and counts no attempt", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a"])
    for (const idle of [true, false]) equal(yield* queue.positions(begin, { limit: 0, idle }), [])
    equal(yield* queue.counts(), { waiting: 1, inFlight: 0, parked: 0 })
    equal((yield* queue.take(begin)).map(({ attempt }) => attempt), [1])
  })

  rule("counts an attempt when it hands out, not when it is answered", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a"])
    const attempts: Array<number> = []
    for (const i of [0, 1]) {
      const [delivery] = yield* queue.take(begin + i * 1000)
      attempts.push(delivery!.attempt)
    }
    const [third] = yield* queue.take(begin + 2000)
    yield* queue.settle(begin + 2000, park(third!))
    equal([...attempts, third!.attempt, (yield* queue.parked())[0]!.attempts], [1, 2, 3, 3])
  })

  rule("gives one lease to a claim, and a higher one to the next", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c", "d"])
    const first = yield* queue.take(begin, { limit: 2 })
    const second = yield* queue.take(begin, { limit: 2 })
    equal(new Set(first.map(({ lease }) => lease)).size, 1)
    equal(new Set(second.map(({ lease }) => lease)).size, 1)
    assert.isAbove(second[0]!.lease, first[0]!.lease)
    // leases of deliveries that are finished are not given again
    yield* queue.settle(begin, ...[...first, ...second].map(done))
    yield* queue.offer(["a"])
    assert.isAbove((yield* queue.take(begin))[0]!.lease, second[0]!.lease)
  })

  rule("hands out what there is of a key in one claim, and then nothing of it until it is answered", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "a", "a", "a"])
    const held = yield* queue.take(begin, { limit: 3 })
    equal(positionsOf(held), [1, 2, 3])
    equal(yield* queue.positions(begin), [])
    yield* queue.settle(begin, done(held[0]!))
    equal(yield* queue.positions(begin), [])
    yield* queue.settle(begin, done(held[2]!))
    equal(yield* queue.positions(begin), [4, 5])
  })

  rule("keeps a key to its consumer by any delivery of it, also a later one", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", "a"])
    const [first, , third] = yield* queue.take(begin)
    yield* queue.settle(begin, release(first!))
    equal(yield* queue.positions(begin), [])
    yield* queue.settle(begin, done(third!))
    equal(yield* queue.positions(begin), [])
    equal(yield* queue.positions(begin + 1000), [1, 2])
  })

  rule("goes on with other keys, and with deliveries without a key", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", null, "a", "", null, "b", ""])
    equal(yield* queue.positions(begin, { limit: 1 }), [1])
    equal(yield* queue.positions(begin, { limit: 1 }), [2])
    // a key that is empty is a key
    equal(yield* queue.positions(begin, { limit: 1 }), [4])
    equal(yield* queue.positions(begin), [5, 6])
  })

  rule("tells keys apart by every character", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "A", "a ", "ä", "a\u0308", "\"a\"", "{a,b}", "a,b", "null", "\\", "😀", null])
    for (let position = 1; position <= 12; position++) equal(yield* queue.positions(begin, { limit: 1 }), [position])
    equal((yield* queue.take(begin + 1000)).map(({ key }) => key), [
      "a",
      "A",
      "a ",
      "ä",
      "a\u0308",
      "\"a\"",
      "{a,b}",
      "a,b",
      "null",
      "\\",
      "😀",
      null
    ])
  })

  rule(
    "keeps a delivery that is tried again until its time, and the later ones of its key behind it",
    function*(store) {
      const queue = yield* makeQueue(store)
      yield* queue.offer(["a", "a", "b"])
      const [first, second, other] = yield* queue.take(begin)
      yield* queue.settle(begin, retry(first!, 500), release(second!), release(other!))
      equal(yield* queue.positions(begin + 499), [3])
      const again = yield* queue.take(begin + 500)
      equal(again.map(({ attempt, position }) => [position, attempt]), [[1, 2], [2, 1]])
    }
  )

  rule("does not hold up the earlier ones of a key behind one that is tried again", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", "a"])
    const [first, second, third] = yield* queue.take(begin)
    yield* queue.settle(begin, release(first!), retry(second!, 500), release(third!))
    equal(yield* queue.positions(begin), [1])
    equal(yield* queue.positions(begin + 500), [])
  })

  rule("does not hold up a delivery without a key behind one that is tried again", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer([null, null])
    const [first, second] = yield* queue.take(begin)
    yield* queue.settle(begin, retry(first!, 500), release(second!))
    equal(yield* queue.positions(begin), [2])
  })

  rule("passes a parked delivery, if the subscription lets parked ones be passed", function*(store) {
    const queue = yield* makeQueue(store, { parkedBlocks: false })
    yield* queue.offer(["a", "a", "b"])
    const [first, second] = yield* queue.take(begin, { limit: 2 })
    yield* queue.settle(begin, park(first!), release(second!))
    equal(yield* queue.positions(begin), [2, 3])
  })

  rule("keeps later ones of a key behind a parked one, if parked ones block", function*(store) {
    const queue = yield* makeQueue(store, { parkedBlocks: true })
    yield* queue.offer(["a", "a", "a", "b", null, null])
    const [first, second, third, other, fifth] = yield* queue.take(begin, { limit: 5 })
    yield* queue.settle(begin, release(first!), park(second!), release(third!), release(other!), park(fifth!))
    // those before it go on, other keys do, and those without
    const held = yield* queue.take(begin)
    equal(positionsOf(held), [1, 4, 6])
    yield* queue.settle(begin, ...held.map(done))
    has(yield* queue.claim(begin), { deliveries: [], nextIn: undefined, free: 999 })
    yield* queue.discard(2)
    equal(yield* queue.positions(begin), [3])
  })

  rule("keeps what stands behind the first of several parked ones of a key, if parked ones block", function*(store) {
    const queue = yield* makeQueue(store, { parkedBlocks: true })
    yield* queue.offer(["a", "a", "a", "a", "a"])
    const [first, second, third, fourth, fifth] = yield* queue.take(begin)
    yield* queue.settle(begin, park(second!), park(fourth!), release(first!), release(third!), release(fifth!))
    const held = yield* queue.take(begin)
    equal(positionsOf(held), [1])
    yield* queue.settle(begin, ...held.map(done))
    yield* queue.discard(2)
    equal(yield* queue.positions(begin), [3])
  })

  rule("keeps to a change of whether parked ones block", function*(store) {
    const queue = yield* makeQueue(store, { parkedBlocks: true })
    yield* queue.offer(["a", "a"])
    yield* queue.settle(begin, park((yield* queue.take(begin, { limit: 1 }))[0]!))
    equal(yield* queue.positions(begin), [])
    yield* store.storage.subscriptions.update(queue.name, { parkedBlocks: false })
    equal(yield* queue.positions(begin), [2])
  })

  rule("hands out a delivery again when its lease ran out, and refuses the one who had it", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const [first, second] = yield* queue.take(begin)
    equal(yield* queue.positions(begin + 999), [])
    const again = yield* queue.take(begin + 1000)
    equal(again.map(({ attempt, key, position }) => [position, key, attempt]), [[1, "a", 2], [2, "b", 2]])
    assert.isAbove(again[0]!.lease, first!.lease)
    equal(yield* queue.settle(begin + 1000, done(first!), retry(second!, 5)), [1, 2])
    equal(yield* queue.extend(begin + 1000, Duration.seconds(9), first!, second!), [1, 2])
    equal(yield* queue.settle(begin + 1000, ...again.map(done)), [])
    equal(yield* queue.counts(), { waiting: 0, inFlight: 0, parked: 0 })
  })

  rule("hands out all of a key whose lease ran out, in order", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", "a"])
    const [first] = yield* queue.take(begin, { limit: 2 })
    yield* queue.settle(begin, done(first!))
    equal(yield* queue.positions(begin + 999), [])
    equal((yield* queue.take(begin + 1000)).map(({ attempt, position }) => [position, attempt]), [[2, 2], [3, 1]])
  })

  rule("parks a delivery that was begun too often without an answer", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const [first, other] = yield* queue.take(begin, { attempts: 2 })
    yield* queue.settle(begin, retry(first!, 0, "the first time"), done(other!))
    has(yield* queue.claim(begin, { attempts: 2 }), { parked: 0 })
    has(yield* queue.claim(begin + 999, { attempts: 2 }), { parked: 0, deliveries: [] })
    has(yield* queue.claim(begin + 1000, { attempts: 2 }), { parked: 1, deliveries: [], nextIn: undefined, free: 1000 })
    equal(yield* queue.parked(), [{
      position: 1,
      key: "a",
      attempts: 2,
      reason: "it was begun 2 times without an answer",
      error: "the first time",
      parkedAt: begin + 1000
    }])
  })

  rule("parks what was begun too often before it looks what is blocked, and beyond its limit", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", null, "b"])
    yield* queue.take(begin, { limit: 3 })
    has(yield* queue.claim(begin + 1000, { attempts: 1, limit: 0 }), { parked: 3, deliveries: [] })
    equal(yield* queue.positions(begin + 1000, { attempts: 1 }), [4])
    equal((yield* queue.parked()).map(({ position }) => position), [1, 2, 3])
  })

  rule("lets one that is parked by a claim block in the same claim, if parked ones block", function*(store) {
    for (const parkedBlocks of [true, false]) {
      const queue = yield* makeQueue(store, { parkedBlocks })
      yield* queue.offer(["a", "a", "b"])
      yield* queue.take(begin, { limit: 1 })
      equal(yield* queue.positions(begin + 1000, { attempts: 1 }), parkedBlocks ? [3] : [2, 3])
    }
  })

  rule("does not park one whose lease runs or whose time has not come, however often it was begun", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const [first] = yield* queue.take(begin)
    yield* queue.settle(begin, retry(first!, 500))
    has(yield* queue.claim(begin + 499, { attempts: 1 }), { parked: 0, deliveries: [] })
    has(yield* queue.claim(begin + 500, { attempts: 1 }), { parked: 1, deliveries: [] })
    has(yield* queue.claim(begin + 1000, { attempts: 1 }), { parked: 1, deliveries: [] })
    equal((yield* queue.parked()).map(({ error, position }) => [position, error]), [[1, "it failed"], [2, null]])
  })

  rule("answers how long it is until the next time or the next end of a lease", function*(store) {
    const queue = yield* makeQueue(store)
    has(yield* queue.offer(["a", "b", "c", "d"]), { nextIn: undefined })
    const { deliveries: [first, second], nextIn } = yield* queue.claim(begin, { limit: 2 })
    equal(nextIn, 1000)
    yield* queue.settle(begin + 100, retry(first!, 700))
    has(yield* queue.claim(begin + 100, { limit: 0 }), { nextIn: 700 })
    yield* queue.extend(begin + 100, Duration.millis(200), second!)
    has(yield* queue.claim(begin + 150, { limit: 0 }), { nextIn: 150 })
    // what is due by now is not what is waited for
    has(yield* queue.claim(begin + 300, { limit: 0 }), { nextIn: 500 })
    has(yield* queue.claim(begin + 800, { limit: 0 }), { nextIn: undefined })
  })
}
