import { Duration, Effect, Fiber, Latch, Option, Stream } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import { type ManualDelivery, Park, Retry, Skip } from "../../Subscription/Delivery.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import { consume, counts, finished, freshSubscription, inStore, parkedOf, until } from "./consuming.ts"
import {
  type Counted,
  equal,
  fails,
  freshCategory,
  has,
  type Noted,
  type Notes,
  notes,
  type Rules,
  type Store,
  textOf
} from "./rule.ts"

/** The deliveries of a subscription, as they are handed out. */
const inHand = (store: Store, name: string, options: PersistentSubscription.DeliveriesOptions<Notes>) =>
  Effect.gen(function*() {
    const all: Array<ManualDelivery<Noted | Counted>> = []
    const fiber = yield* Effect.forkScoped(
      Stream.runForEach(inStoreStream(store, name, options), (delivery) => Effect.sync(() => void all.push(delivery)))
    )
    return {
      texts: () => all.map(({ event }) => textOf(event)),
      take: (count: number) =>
        Effect.map(until(`${count} deliveries in hand`, () => all.length >= count), () => all[count - 1]!),
      stop: Fiber.interrupt(fiber)
    }
  })

const inStoreStream = (store: Store, name: string, options: PersistentSubscription.DeliveriesOptions<Notes>) =>
  Stream.unwrap(Effect.succeed(PersistentSubscription.deliveries(name, options))).pipe(
    Stream.provideService(EventStore, store)
  )

export const persistentOperatorRules: Rules = (rule) => {
  rule("hands out no more than a window, and of a key only one", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("a"), notes("a1", "a2"))
    for (const stream of ["b", "c"]) yield* store.append(from.stream(stream), notes(`${stream}1`))
    const hand = yield* inHand(store, name, { from, window: 3 })
    const [a1, b1] = [yield* hand.take(1), yield* hand.take(2)]
    equal(yield* counts(store, name), [1, 3, 0])
    equal(hand.texts(), ["a1", "b1"])
    yield* b1.ack
    yield* hand.take(3)
    equal(hand.texts(), ["a1", "b1", "c1"])
    yield* a1.ack
    equal(textOf((yield* hand.take(4)).event), "a2")
  })

  rule("stores an answer before it completes, and counts only the first", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("a"), notes("ack", "park", "skip", "retry"))
    const hand = yield* inHand(store, name, { from })
    const ack = yield* hand.take(1)
    yield* Effect.all([ack.ack, ack.nack(new Park({ reason: "too late" })), ack.ack], { concurrency: 3 })
    yield* until("three", () => Effect.map(counts(store, name), ([waiting, inFlight]) => waiting + inFlight === 3))
    yield* (yield* hand.take(2)).nack(new Park({ reason: "on purpose" }))
    equal((yield* counts(store, name))[2], 1)
    yield* (yield* hand.take(3)).nack(new Skip({}))
    yield* (yield* hand.take(4)).nack(new Retry({ after: Duration.zero }))
    has(yield* hand.take(5), { attempt: 2 })
    equal(hand.texts(), ["ack", "park", "skip", "retry", "retry"])
    equal(yield* parkedOf(store, name), [{ attempts: 1, reason: "on purpose", error: null }])
  })

  rule("finishes a delivery in hand by its transaction", function*(store) {
    const [from, name, to] = [freshCategory(), freshSubscription(), freshCategory()]
    yield* store.append(from.stream("a"), notes("1", "2"))
    const hand = yield* inHand(store, name, { from })
    const first = yield* hand.take(1)
    yield* first.transaction(store.append(to.stream("1"), notes("done")))
    yield* first.ack
    yield* (yield* hand.take(2)).ack
    yield* finished(store, name)
  })

  rule("gives back what is in hand when the stream ends, and takes no answer afterwards", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("a"), notes("1"))
    const hand = yield* inHand(store, name, { from })
    const delivery = yield* hand.take(1)
    yield* hand.stop
    equal(yield* counts(store, name), [1, 0, 0])
    yield* fails(delivery.ack, "LeaseLost")
    has(yield* (yield* inHand(store, name, { from })).take(1), { attempt: 1 })
  })

  rule("fails an answer in hand with LeaseLost where the event was taken away", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    yield* store.append(from.stream("a"), notes("1"))
    const delivery = yield* (yield* inHand(store, name, { from })).take(1)
    yield* inStore(store)(PersistentSubscription.update(name, { start: "end" }))
    has(yield* fails(delivery.ack, "LeaseLost"), { subscription: name, position: delivery.position })
  })

  rule("creates, lists and removes subscriptions", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const run = inStore(store)
    yield* run(PersistentSubscription.create(name, { from, capacity: 5, ordering: "none" }))
    has(yield* fails(run(PersistentSubscription.create(name, { from })), "SubscriptionExists"), { subscription: name })
    const listed = yield* run(PersistentSubscription.list)
    const names = listed.map(({ name }) => name)
    equal(names, names.toSorted())
    has(listed.find((info) => info.name === name)!, { capacity: 5, ordering: "none", parkedBlocks: false, waiting: 0 })
    yield* run(PersistentSubscription.update(name, { capacity: 6, parkedBlocks: true }))
    has(Option.getOrThrow(yield* run(PersistentSubscription.info(name))), { capacity: 6, parkedBlocks: true })
    yield* run(PersistentSubscription.remove(name))
    equal(yield* run(PersistentSubscription.info(name)), Option.none())
    for (
      const operation of [
        PersistentSubscription.remove(name),
        PersistentSubscription.update(name, {}),
        PersistentSubscription.replay(name),
        PersistentSubscription.discard(name),
        PersistentSubscription.skip(name, [1]),
        Stream.runDrain(PersistentSubscription.parked(name))
      ]
    ) {
      has(yield* fails(run(operation as typeof operation & Effect.Effect<any, any, any>), "SubscriptionNotFound"), {
        subscription: name
      })
    }
  })

  rule("lets what a consumer declares win, except where it begins", function*(store) {
    const [from, other, name] = [freshCategory(), freshCategory(), freshSubscription()]
    yield* inStore(store)(PersistentSubscription.create(name, { from: other, start: "end", capacity: 5 }))
    yield* store.append(from.stream("a"), notes("1"))
    const consumer = yield* consume(store, name, { from, ordering: "none", parkedBlocks: true, capacity: 7 })
    yield* consumer.until(1)
    has(Option.getOrThrow(yield* inStore(store)(PersistentSubscription.info(name))), {
      ordering: "none",
      parkedBlocks: true,
      capacity: 7
    })
  })

  rule("shows, replays and discards parked events by what they are", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    let isOpen = false
    const run = inStore(store)
    yield* store.append(from.stream("a"), notes("a1", "a2"))
    const { position } = yield* store.append(from.stream("b"), notes("b1", "b2"))
    const consumer = yield* consume(store, name, {
      from,
      handle: ({ event }) => isOpen ? Effect.void : Effect.fail(new Park({ reason: `no ${textOf(event)}` }))
    })
    yield* consumer.until(4)
    yield* finished(store, name, 4)
    const parked = yield* run(
      Stream.runCollect(PersistentSubscription.parked(name, { streamId: from.stream("b").streamId }))
    )
    equal(parked.map(({ reason }) => reason), ["no b1", "no b2"])
    equal(Option.map(parked[0]!.recorded, ({ event }) => event.data), Option.some({ text: "b1" }))
    isOpen = true
    const none: PersistentSubscription.ParkedFilter = { types: ["Else"] }
    equal(yield* run(PersistentSubscription.replay(name, none)), 0)
    equal(yield* run(PersistentSubscription.replay(name, { positions: [] })), 0)
    equal(yield* run(PersistentSubscription.replay(name, { reason: "a1" })), 1)
    equal(yield* run(PersistentSubscription.discard(name, { positions: [position, position + 1000] })), 1)
    equal(yield* run(PersistentSubscription.replay(name, { key: from.stream("b").streamId, types: ["Noted"] })), 1)
    yield* consumer.until(6)
    yield* finished(store, name, 1)
    equal(consumer.begun.slice(4), ["a1", "b1"])
    equal(consumer.deliveries.slice(4).map(({ attempt }) => attempt), [1, 1])
    equal(yield* run(PersistentSubscription.discard(name)), 1)
  })

  rule("goes on behind an event that keeps failing and is skipped, by its consumers that run", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const run = inStore(store)
    const { firstPosition } = yield* store.append(from.stream("a"), notes("bad", "good"))
    const consumer = yield* consume(store, name, {
      from,
      handle: ({ event }) =>
        textOf(event) === "bad" ? Effect.fail(new Retry({ after: Duration.hours(1) })) : Effect.void
    })
    yield* consumer.until(1)
    yield* until("a retry", () => Effect.map(counts(store, name), ([waiting]) => waiting === 2))
    equal(yield* run(PersistentSubscription.skip(name, [firstPosition, firstPosition + 1000])), 1)
    yield* consumer.until(2)
    yield* finished(store, name)
    equal(consumer.begun, ["bad", "good"])
    equal(yield* run(PersistentSubscription.skip(name, [firstPosition])), 0)
    has(yield* fails(run(PersistentSubscription.skip(name, [0])), "InvalidInput"), { field: "positions" })
    const inside = store.transaction(run(PersistentSubscription.skip(name, [firstPosition])))
    has(yield* fails(inside, "InvalidInput"), { field: "transaction" })
  })

  rule("begins again where an operator moves it to, with consumers that run", function*(store) {
    const [from, name] = [freshCategory(), freshSubscription()]
    const open = yield* Latch.make()
    yield* store.append(from.stream("a"), notes("1", "2"))
    const consumer = yield* consume(store, name, { from, handle: () => open.await })
    yield* open.open
    yield* consumer.until(2)
    yield* finished(store, name)
    yield* inStore(store)(PersistentSubscription.update(name, { start: "start" }))
    yield* consumer.until(4)
    yield* finished(store, name)
    equal(consumer.begun, ["1", "2", "1", "2"])
  })

  rule("refuses bad input, by the name of the field, before anything is written", function*(store) {
    const from = freshCategory()
    const handle = () => Effect.void
    const bad: ReadonlyArray<readonly [string, object]> = [
      ["concurrency", { concurrency: 0 }],
      ["concurrency", { concurrency: 1.5 }],
      ["buffer", { buffer: -1 }],
      ["capacity", { capacity: 0 }],
      ["attempts", { attempts: NaN }],
      ["lease", { lease: 0 }],
      ["lease", { lease: "soon" }],
      ["timeout", { timeout: -1 }],
      ["checkpoint.every", { checkpoint: { every: 0 } }],
      ["checkpoint.within", { checkpoint: { within: Infinity } }],
      ["ordering", { ordering: "key" }],
      ["parkedBlocks", { parkedBlocks: "yes" }],
      ["start", { start: -1 }],
      ["start", { start: Number.MAX_SAFE_INTEGER }],
      ["start", { start: "begin" }],
      ["start", { start: { position: 0, eventId: "no" } }],
      ["types", { types: ["\0"] }],
      ["from", { from: "cart" }],
      ["handle", { handle: undefined }]
    ]
    for (const [field, options] of bad) {
      const name = freshSubscription()
      const run = PersistentSubscription.run(name, { from, handle, ...options })
      has(yield* fails(inStore(store)(run), "InvalidInput"), { field })
      equal(yield* inStore(store)(PersistentSubscription.info(name)), Option.none())
    }
    for (const name of ["", "x".repeat(129), "a\nb"]) {
      has(yield* fails(inStore(store)(PersistentSubscription.create(name, { from })), "InvalidInput"), {
        field: "name"
      })
      has(yield* fails(inStore(store)(PersistentSubscription.info(name)), "InvalidInput"), { field: "name" })
    }
    const update = PersistentSubscription.update(freshSubscription(), { types: [] })
    has(yield* fails(inStore(store)(update), "InvalidInput"), { field: "from" })
  })
}
