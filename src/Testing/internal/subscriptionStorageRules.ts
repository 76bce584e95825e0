import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import {
  begin,
  claimOf,
  definitionOf,
  done,
  everything,
  longAgo,
  makeQueue,
  park,
  retry,
  storageOf,
  storedEvents
} from "./queue.ts"
import { collect, equal, freshCategory, freshName, has, notes, type Rules, someNotes, together } from "./rule.ts"
import { subscriptionClaimRules } from "./subscriptionClaimRules.ts"
import { subscriptionFinishRules } from "./subscriptionFinishRules.ts"
import { subscriptionModelRules } from "./subscriptionModelRules.ts"
import { subscriptionSettleRules } from "./subscriptionSettleRules.ts"
import { subscriptionSuspectRules } from "./subscriptionSuspectRules.ts"

/** The seam below persistent subscriptions. The time is handed in, so nothing here waits. */
export const subscriptionStorageRules: Rules = (rule, options) => {
  subscriptionRules(rule, options)
  subscriptionClaimRules(rule, options)
  subscriptionSuspectRules(rule, options)
  subscriptionSettleRules(rule, options)
  subscriptionFinishRules(rule, options)
  subscriptionModelRules(rule, options)
}

/** A subscription itself: what it is, and how far it looked through the log. */
const subscriptionRules: Rules = (rule) => {
  rule("creates a subscription where it is to begin, and says what it is", function*(store) {
    const definition = definitionOf(freshName(), {
      filter: {
        types: ["A", "B"],
        categories: ["cart"],
        streamPrefix: "cart-4",
        tags: ["x", "y"],
        recordedFrom: 1_700_000_000_123,
        recordedUntil: 1_800_000_000_456
      },
      ordering: "stream",
      parkedBlocks: true,
      capacity: 7
    })
    const eventId = "0190a000-0000-7000-8000-000000000001"
    equal(yield* storageOf(store).create(definition, { position: 42, eventId }), true)
    const { id, ...state } = Option.getOrThrow(yield* storageOf(store).state(definition.name, begin))
    assert.isAbove(id, 0)
    const counted = { checkpoint: 42, waiting: 0, inFlight: 0, parked: 0 }
    equal(state, { ...definition, ...counted, position: 42, eventId, revision: 1 })
  })

  rule("leaves a subscription as it is where another one of its name is created", function*(store) {
    const queue = yield* makeQueue(store, { capacity: 3 }, 5)
    const before = yield* queue.state()
    const other = definitionOf(queue.name, { capacity: 4, ordering: "none", parkedBlocks: true })
    equal(yield* storageOf(store).create(other, { position: 9, eventId: null }), false)
    equal(yield* queue.state(), before)
  })

  rule("lets exactly one of several create a subscription", function*(store) {
    const definition = definitionOf(freshName())
    const created = yield* together(8, (position) => storageOf(store).create(definition, { position, eventId: null }))
    equal(created.filter((created) => created).length, 1)
    has(Option.getOrThrow(yield* storageOf(store).state(definition.name, begin)), { position: created.indexOf(true) })
  })

  rule("answers nothing for a subscription that does not exist", function*(store) {
    const name = freshName()
    const subscriptions = storageOf(store)
    equal(yield* subscriptions.state(name, begin), Option.none())
    equal(yield* subscriptions.remove(name), false)
    equal(yield* subscriptions.update(name, { capacity: 1, start: { position: 1, eventId: null } }), false)
    equal(yield* subscriptions.state(name, begin), Option.none())
    equal(Option.isNone(yield* subscriptions.state(name, undefined)), true)
  })

  rule("lists subscriptions sorted by name, each as it is", function*(store) {
    const name = freshName()
    const names = [`${name}c`, `${name}a`, `${name}B`, `${name}_`, `${name}b2`, `${name}b10`, `${name}ä`]
    for (const name of names) yield* storageOf(store).create(definitionOf(name), { position: 3, eventId: null })
    const listed = (yield* storageOf(store).list(begin)).filter((state) => state.name.startsWith(name))
    equal(listed.map((state) => state.name), [...names].sort())
    for (const state of listed) equal(Option.some(state), yield* storageOf(store).state(state.name, begin))
    equal((yield* storageOf(store).list(undefined)).filter((state) => state.name.startsWith(name)).length, names.length)
  })

  rule("changes what an update gives, and leaves the rest", function*(store) {
    const queue = yield* makeQueue(store, { capacity: 5 })
    yield* queue.offer(["a", "a", "b"])
    yield* queue.take(begin, { limit: 1 })
    const before = yield* queue.state()
    equal(yield* storageOf(store).update(queue.name, {}), true)
    equal(yield* queue.state(), before)
    yield* storageOf(store).update(queue.name, { capacity: 9, parkedBlocks: true })
    equal(yield* queue.state(), { ...before, capacity: 9, parkedBlocks: true, revision: 2 })
    const filter = { ...everything, types: ["A"], recordedFrom: 0 }
    yield* storageOf(store).update(queue.name, { filter, ordering: "none" })
    equal(yield* queue.state(), { ...before, capacity: 9, parkedBlocks: true, filter, ordering: "none", revision: 3 })
    yield* storageOf(store).update(queue.name, {
      parkedBlocks: false,
      filter: everything,
      capacity: 1,
      ordering: "key"
    })
    equal(yield* queue.state(), { ...before, capacity: 1, revision: 4 })
    equal((yield* queue.claim(begin, { limit: 0 })).free, 0)
  })

  rule("moves a subscription: drops what waits and what is in flight, and keeps what is parked", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c", "d"])
    const [first, second, third] = yield* queue.take(begin, { limit: 3 })
    yield* queue.settle(begin, park(second!), retry(third!, 10))
    const start = { position: 1, eventId: "0190a000-0000-7000-8000-000000000002" }
    equal(yield* storageOf(store).update(queue.name, { start }), true)
    has(yield* queue.state(), { ...start, checkpoint: 1, waiting: 0, inFlight: 0, parked: 1 })
    equal(yield* queue.settle(begin, done(first!)), [1])
    equal(yield* queue.extend(begin, Duration.seconds(1), first!), [1])
    equal((yield* queue.parked()).map(({ position }) => position), [2])
    has(yield* queue.claim(begin + 20), { deliveries: [], position: 1, eventId: start.eventId, nextIn: undefined })
  })

  rule("takes no offer from whoever goes by an older declaration", function*(store) {
    const queue = yield* makeQueue(store)
    const { revision } = yield* queue.state()
    const offer = { revision, from: 0, to: 2, eventId: null, events: [{ position: 1, key: "a" }] }
    yield* storageOf(store).update(queue.name, { capacity: 7 })
    has(yield* queue.claim(begin, { limit: 0, offer: { ...offer, to: 1, events: [] } }), { position: 1, revision })
    yield* storageOf(store).update(queue.name, { ordering: "none" })
    const newer = yield* queue.claim(begin, { offer: { ...offer, from: 1 } })
    has(newer, { position: 1, deliveries: [] })
    assert.isAbove(newer.revision, revision)
    equal((yield* queue.state()).revision, newer.revision)
    has(yield* queue.claim(begin, { limit: 0, offer: { ...offer, from: 1, revision: newer.revision } }), {
      position: 2
    })
  })

  rule("gives higher leases after a subscription was moved", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a"])
    const [before] = yield* queue.take(begin)
    yield* storageOf(store).update(queue.name, { start: { position: 0, eventId: null } })
    const offer = { from: 0, to: 1, eventId: null, events: [{ position: 1, key: "a" }] }
    const [after] = yield* queue.take(begin, { offer })
    has(after!, { position: 1, attempt: 1 })
    assert.isAbove(after!.lease, before!.lease)
    equal(yield* queue.settle(begin, done(before!)), [1])
    equal(yield* queue.settle(begin, done(after!)), [])
  })

  rule("leaves a delivery parked that is offered again after a move", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "a", "a"])
    const [, second] = yield* queue.take(begin)
    yield* queue.settle(begin, park(second!, "because"))
    yield* storageOf(store).update(queue.name, { start: { position: 0, eventId: null } })
    const events = [1, 2, 3].map((position) => ({ position, key: "a" }))
    equal(yield* queue.positions(begin, { offer: { from: 0, to: 3, eventId: null, events } }), [1, 3])
    has((yield* queue.parked())[0]!, { position: 2, reason: "because", attempts: 1 })
    equal(yield* queue.counts(), { waiting: 0, inFlight: 2, parked: 1 })
  })

  rule("removes a subscription with all its deliveries, and answers for none of them any more", function*(store) {
    const subscriptions = storageOf(store)
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c"])
    const [first, second, third] = yield* queue.take(begin)
    yield* queue.settle(begin, park(second!))
    equal(yield* subscriptions.remove(queue.name), true)
    equal(yield* subscriptions.remove(queue.name), false)
    equal(yield* subscriptions.state(queue.name, begin), Option.none())
    equal(yield* subscriptions.claim(claimOf(queue.id, begin)), undefined)
    equal(yield* queue.settle(begin, done(first!), retry(third!, 5)), [1, 3])
    equal(yield* queue.extend(begin, Duration.seconds(1), first!, third!), [1, 3])
    equal(yield* queue.parked(), [])
    equal([yield* queue.replay(2), yield* queue.discard(2)], [0, 0])
  })

  rule("does not take a subscription for a removed one of the same name", function*(store) {
    const subscriptions = storageOf(store)
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"])
    const [first, second] = yield* queue.take(begin)
    yield* queue.settle(begin, park(second!))
    yield* subscriptions.remove(queue.name)
    yield* subscriptions.create(definitionOf(queue.name), { position: 0, eventId: null })
    const { id, ...state } = yield* queue.state()
    assert.notStrictEqual(id, queue.id)
    has(state, { position: 0, waiting: 0, inFlight: 0, parked: 0 })
    equal(yield* subscriptions.claim(claimOf(queue.id, begin)), undefined)
    equal(yield* queue.settle(begin, done(first!)), [1])
    const offer = { from: 0, to: 1, eventId: null, events: [{ position: 1, key: "a" }] }
    const claimed = yield* subscriptions.claim(claimOf(id, begin, { offer }))
    equal(claimed!.deliveries.map(({ attempt, position }) => [position, attempt]), [[1, 1]])
    equal(yield* queue.settle(begin, done(claimed!.deliveries[0]!)), [1])
  })

  rule("takes an offer that goes on where the subscription stands", function*(store) {
    const { eventId, from, to } = yield* storedEvents(store, 10)
    const queue = yield* makeQueue(store, {}, from)
    const events = [{ position: from + 2, key: "a" }, { position: from + 5, key: null }]
    has(yield* queue.claim(begin, { limit: 0, offer: { from, to, eventId, events } }), { position: to, eventId })
    has(yield* queue.state(), { position: to, eventId, checkpoint: from + 1, waiting: 2 })
    equal((yield* queue.take(begin)).map(({ key, position }) => [position, key]), [[from + 2, "a"], [from + 5, null]])
  })

  rule("moves on over a piece of the log in which nothing matches", function*(store) {
    const queue = yield* makeQueue(store)
    const offer = { from: 0, to: 500, eventId: null, events: [] }
    has(yield* queue.claim(begin, { offer }), { deliveries: [], position: 500, eventId: null })
    has(yield* queue.state(), { position: 500, checkpoint: 500, waiting: 0 })
  })

  rule("passes over an offer that begins elsewhere, and answers where the subscription stands", function*(store) {
    const { eventId, from, to } = yield* storedEvents(store, 5)
    const queue = yield* makeQueue(store, {}, from)
    yield* queue.claim(begin, { limit: 0, offer: { from, to, eventId, events: [{ position: to, key: "a" }] } })
    for (const elsewhere of [from, to - 1, to + 1]) {
      const offer = { from: elsewhere, to: to + 4, eventId: null, events: [{ position: to + 4, key: "b" }] }
      has(yield* queue.claim(begin, { limit: 0, offer }), { position: to, eventId, free: 999 })
    }
    equal(yield* queue.positions(begin), [to])
  })

  rule("takes exactly one of many offers that begin at the same position", function*(store) {
    const queue = yield* makeQueue(store)
    for (const from of [0, 1, 2]) {
      const claims = yield* together(8, (i) =>
        queue.claim(begin, {
          limit: 0,
          offer: { from, to: from + 1, eventId: null, events: [{ position: from + 1, key: String(i) }] }
        }))
      for (const { free, position } of claims) equal([position, free], [from + 1, 999 - from])
    }
    equal(yield* queue.positions(begin), [1, 2, 3])
  })

  rule("takes a large offer whole, also beyond the capacity", function*(store) {
    const queue = yield* makeQueue(store, { capacity: 10 })
    has(yield* queue.offer(Array.from({ length: 1000 }, (_, i) => `key ${i % 7}`)), { free: 0 })
    has(yield* queue.state(), { position: 1000, waiting: 1000, checkpoint: 0 })
    equal(yield* queue.positions(begin), Array.from({ length: 1000 }, (_, i) => i + 1))
  })

  rule("answers how many places are free: parked deliveries take none", function*(store) {
    const queue = yield* makeQueue(store, { capacity: 4 })
    has(yield* queue.offer(["a", "b", "c"]), { free: 1 })
    const { deliveries: [first, second], free } = yield* queue.claim(begin, { limit: 2 })
    equal(free, 1)
    yield* queue.settle(begin, done(first!))
    equal((yield* queue.claim(begin, { limit: 0 })).free, 2)
    yield* queue.settle(begin, park(second!))
    equal((yield* queue.claim(begin, { limit: 0 })).free, 3)
    has(yield* queue.offer(["d", "e", "f", "g"]), { free: 0 })
  })

  rule("has a checkpoint before the first delivery that is not finished", function*(store) {
    const queue = yield* makeQueue(store, {}, 100)
    const checkpoint = Effect.map(queue.state(), ({ checkpoint }) => checkpoint)
    equal(yield* checkpoint, 100)
    yield* queue.offer(["a", "b", "c", "d"])
    equal(yield* checkpoint, 100)
    const [first, second, third, fourth] = yield* queue.take(begin)
    yield* queue.settle(begin, done(second!))
    equal(yield* checkpoint, 100)
    yield* queue.settle(begin, done(first!))
    equal(yield* checkpoint, 102)
    yield* queue.settle(begin, park(third!))
    equal(yield* checkpoint, 103)
    yield* queue.settle(begin, retry(fourth!, 10))
    equal(yield* checkpoint, 103)
    yield* queue.settle(begin + 10, done((yield* queue.take(begin + 10))[0]!))
    equal(yield* checkpoint, 104)
    yield* queue.replay(103)
    equal(yield* checkpoint, 102)
  })

  rule("has no checkpoint beyond its position, whatever waits there", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c"])
    yield* queue.settle(begin, park((yield* queue.take(begin))[2]!))
    yield* storageOf(store).update(queue.name, { start: { position: 1, eventId: null } })
    yield* queue.replay(3)
    has(yield* queue.state(), { position: 1, checkpoint: 1, waiting: 1 })
  })

  rule("counts what waits and what is in flight by the time that is given", function*(store) {
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b", "c"])
    yield* queue.take(begin, { limit: 2 })
    equal(yield* queue.counts(), { waiting: 1, inFlight: 2, parked: 0 })
    equal(yield* queue.counts(begin + 999), { waiting: 1, inFlight: 2, parked: 0 })
    // a lease that ran out waits for the next consumer
    equal(yield* queue.counts(begin + 1000), { waiting: 3, inFlight: 0, parked: 0 })
  })

  rule("goes by its own clock where no time is given", function*(store) {
    const subscriptions = storageOf(store)
    const queue = yield* makeQueue(store)
    yield* queue.offer(["a", "b"], longAgo)
    const lease = Duration.minutes(10)
    const { deliveries: [first, second], nextIn } = yield* queue.claim(undefined, { lease })
    assert.isAtMost(nextIn!, 600_000)
    assert.isAbove(nextIn!, 500_000)
    equal(yield* queue.positions(undefined), [])
    has(Option.getOrThrow(yield* subscriptions.state(queue.name, undefined)), { inFlight: 2 })
    has((yield* subscriptions.list(undefined)).find(({ name }) => name === queue.name)!, { inFlight: 2 })
    equal(yield* subscriptions.extend(queue.id, [first!], lease, undefined), [])
    equal(yield* subscriptions.settle(queue.id, [retry(first!, 600_000), park(second!)], undefined), [])
    equal(yield* queue.positions(undefined), [])
    const parkedAt = (yield* queue.parked())[0]!.parkedAt
    assert.isAbove(parkedAt, 1_750_000_000_000)
    assert.isBelow(parkedAt, begin)
  })

  rule("hands out events as they are stored, and none where it is hidden", function*(store) {
    const category = freshCategory()
    const kept = yield* store.append(category.stream("kept"), notes("a", "b"))
    const deleted = yield* store.append(category.stream("deleted"), notes("c"))
    const truncated = yield* store.append(category.stream("truncated"), someNotes(2))
    const ended = yield* store.append(category.stream("ended"), notes("d"))
    const queue = yield* makeQueue(store, {}, kept.firstPosition - 1)
    yield* queue.offer(["kept", "kept", "deleted", "truncated", "truncated", "ended"])
    yield* store.delete(category.stream("deleted"))
    yield* store.truncateBefore(category.stream("truncated"), 2)
    yield* store.tombstone(category.stream("ended"))
    const deliveries = yield* queue.take(begin)
    const stored = yield* store.storage.logPage(
      { ...everything, categories: [category.name] },
      { direction: "forward", from: 1, to: ended.position, limit: 100, bytes: 1_000_000 }
    )
    const [a, b, second] = stored.events
    equal(deliveries.map(({ event }) => event), [a, b, undefined, undefined, second, undefined])
    equal(second!.position, truncated.position)
    yield* queue.settle(begin, ...deliveries.map((delivery) => park(delivery)))
    const parked = yield* storageOf(store).parked(queue.id, { after: 0, limit: 10 })
    equal(parked.map(({ event, position }) => [position, event]), [
      [kept.firstPosition, a],
      [kept.position, b],
      [deleted.position, undefined],
      [truncated.firstPosition, undefined],
      [truncated.position, second],
      [ended.position, undefined]
    ])
    equal((yield* collect(store.readCategory(category))).map(({ position }) => position), [
      kept.firstPosition,
      kept.position,
      truncated.position
    ])
  })

  rule("keeps the deliveries of several subscriptions apart", function*(store) {
    const [one, other] = [yield* makeQueue(store), yield* makeQueue(store)]
    yield* one.offer(["a", "b"])
    yield* other.offer(["a", "b"])
    const [first] = yield* one.take(begin)
    equal(yield* other.positions(begin, { limit: 0 }), [])
    const [others] = yield* other.take(begin)
    yield* one.settle(begin, done(first!))
    equal(yield* other.counts(), { waiting: 0, inFlight: 2, parked: 0 })
    yield* other.settle(begin, park(others!))
    equal([(yield* one.parked()).length, (yield* other.parked()).length], [0, 1])
    equal([yield* one.replay(1), yield* one.discard(1)], [0, 0])
    yield* storageOf(store).remove(one.name)
    equal(yield* other.counts(), { waiting: 0, inFlight: 1, parked: 1 })
  })
}
