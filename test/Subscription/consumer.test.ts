import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Latch, Layer, Metric, Option, pipe, Schedule, Schema, Scope, Tracer } from "effect"
import {
  Category,
  Delivery,
  EventMetadata,
  EventStore,
  Middleware,
  PersistentSubscription,
  StoreError,
  SubscriptionStorage
} from "effect-eventstore"
import { TestClock } from "effect/testing"

class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.String }) {}
const Notes = Category.make("notes", { id: Schema.String, events: [Noted] })
const notes = (...texts: ReadonlyArray<string>) => texts.map((text) => new Noted({ text }))

type Calls = SubscriptionStorage.SubscriptionStorage

const storeError = (isRetryable: boolean) =>
  new StoreError.StoreError({ operation: "settle", isRetryable, outcome: "not-stored", cause: new Error("busy") })
const busy = storeError(true)

/** A store whose queue answers as it is told. */
const withCalls = (change: (calls: Calls) => Partial<Calls>) =>
  Effect.map(EventStore, (store): EventStore["Service"] => {
    const subscriptions = { ...store.storage.subscriptions, ...change(store.storage.subscriptions) }
    return { ...store, storage: { ...store.storage, subscriptions } }
  })

const run = (
  store: EventStore["Service"],
  handle: (delivery: { readonly event: Noted }) => Effect.Effect<void, any>,
  options: Partial<PersistentSubscription.Options<typeof Notes, any, never>> = {}
) =>
  Effect.forkChild(
    Effect.provideService(PersistentSubscription.run("s", { ...options, from: Notes, handle }), EventStore, store),
    { startImmediately: true }
  )

/** Lets everything go on that does not wait for time. */
const settleDown = Effect.forEach(Array.from({ length: 200 }), () => Effect.yieldNow, { discard: true })

const openDeliveries = Effect.map(
  Effect.flatMap(PersistentSubscription.info("s"), Effect.fromOption),
  ({ inFlight, parked, waiting }) => [waiting, inFlight, parked]
)

const test = (name: string, body: () => Generator<Effect.Effect<any, any, any>, void, never>) =>
  it.effect(name, () => Effect.provide(Effect.gen(body), EventStore.layerMemory) as Effect.Effect<void>)

describe("a consumer and a store that fails", () => {
  test("goes on claiming, settling and extending when the store answers again", function*() {
    let failures = 0
    let fails = true
    const once = <A>(effect: Effect.Effect<A, StoreError.StoreError>): Effect.Effect<A, StoreError.StoreError> =>
      Effect.suspend(() => {
        if (!fails) return effect
        failures++
        return Effect.fail(busy)
      })
    const store: EventStore["Service"] = yield* withCalls((calls) => ({
      claim: (claim) => failures < 3 ? once(calls.claim(claim)) : calls.claim(claim),
      settle: (...settlement) => once(calls.settle(...settlement))
    }))
    const seen: Array<string> = []
    yield* store.append(Notes.stream("1"), notes("1", "2", "3"))
    const fiber = yield* run(store, ({ event }) => Effect.sync(() => void seen.push(event.text)))
    yield* TestClock.adjust("5 seconds")
    assert.deepStrictEqual(seen, ["1", "2", "3"])
    assert.isAbove(failures, 5)
    assert.deepStrictEqual(yield* openDeliveries, [0, 3, 0])
    fails = false
    yield* TestClock.adjust("5 seconds")
    assert.deepStrictEqual(yield* openDeliveries, [0, 0, 0])
    assert.deepStrictEqual(seen, ["1", "2", "3"])
    yield* Fiber.interrupt(fiber)
  })

  test("ends where a failure does not pass", function*() {
    const broken = storeError(false)
    for (const call of ["claim", "settle", "extend"] as const) {
      const store: EventStore["Service"] = yield* withCalls(() => ({ [call]: () => Effect.fail(broken) }))
      yield* store.append(Notes.stream("1"), notes("1"))
      const fiber = yield* run(store, () => call === "extend" ? Effect.never : Effect.void)
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(Exit.findErrorOption(yield* Fiber.await(fiber)), Option.some(broken))
    }
  })

  test("gives up what it cannot extend, and interrupts its handler", function*() {
    const interrupted = yield* Latch.make()
    let attempts = 0
    const store: EventStore["Service"] = yield* withCalls(() => ({ extend: () => Effect.fail(busy) }))
    yield* store.append(Notes.stream("1"), notes("1"))
    const fiber = yield* run(store, () => {
      attempts++
      return attempts === 1 ? Effect.onInterrupt(Effect.never, () => interrupted.open) : Effect.void
    }, { lease: "10 seconds" })
    yield* TestClock.adjust("9 seconds")
    assert.strictEqual(attempts, 1)
    yield* TestClock.adjust("2 seconds")
    yield* interrupted.await
    yield* TestClock.adjust("2 seconds")
    assert.strictEqual(attempts, 2)
    yield* Fiber.interrupt(fiber)
  })

  test("takes no answer of a handler that ends after its lease was lost", function*() {
    const [open, settled] = [yield* Latch.make(), [] as Array<string>]
    const store: EventStore["Service"] = yield* withCalls((calls) => ({
      extend: () => Effect.fail(busy),
      settle: (id, settlements, now) => {
        settled.push(...settlements.map(({ lease, outcome, position }) => `${position}: ${outcome} ${lease}`))
        return calls.settle(id, settlements, now)
      }
    }))
    let attempts = 0
    yield* store.append(Notes.stream("1"), notes("1"))
    const fiber = yield* run(
      store,
      () => ++attempts === 1 ? Effect.uninterruptible(open.await) : Effect.void,
      { lease: "10 seconds", concurrency: 2 }
    )
    yield* TestClock.adjust("12 seconds")
    // what is claimed anew waits for the one that still runs
    assert.strictEqual(attempts, 1)
    yield* open.open
    yield* TestClock.adjust("11 seconds")
    assert.strictEqual(attempts, 2)
    assert.deepStrictEqual(settled.map((text) => text.replace(/\d+$/, "")), ["1: done "])
    assert.deepStrictEqual(yield* openDeliveries, [0, 0, 0])
    yield* Fiber.interrupt(fiber)
  })

  test("leaves in time where the store does not answer", function*() {
    for (const call of ["settle", "claim"] as const) {
      const reached = yield* Latch.make()
      const store: EventStore["Service"] = yield* withCalls(() => ({
        [call]: () => Effect.uninterruptible(Effect.andThen(reached.open, Effect.never))
      }))
      yield* store.append(Notes.stream("1"), notes("1"))
      const fiber = yield* run(store, () => Effect.void)
      yield* reached.await
      const leaving = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust("2900 millis")
      assert.isUndefined(leaving.pollUnsafe())
      yield* TestClock.adjust("200 millis")
      assert.isDefined(leaving.pollUnsafe())
    }
  })

  test("gives back what a claim answers while it leaves", function*() {
    const [asked, answer] = [yield* Latch.make(), yield* Latch.make()]
    let claims = 0
    const store: EventStore["Service"] = yield* withCalls((calls) => ({
      // the second claim brings the first event
      claim: (claim) =>
        ++claims === 2
          ? calls.claim(claim).pipe(Effect.tap(asked.open), Effect.tap(() => answer.await))
          : calls.claim(claim)
    }))
    yield* store.append(Notes.stream("1"), notes("1"))
    const fiber = yield* run(store, () => Effect.void)
    yield* asked.await
    const leaving = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
    assert.deepStrictEqual(yield* openDeliveries, [0, 1, 0])
    yield* answer.open
    yield* Fiber.join(leaving)
    assert.deepStrictEqual(yield* openDeliveries, [1, 0, 0])
  })
})

describe("a consumer", () => {
  test("lets acknowledgements gather as long as it is told", function*() {
    const settled: Array<number> = []
    const store: EventStore["Service"] = yield* withCalls((calls) => ({
      settle: (id, settlements, now) => {
        settled.push(settlements.length)
        return calls.settle(id, settlements, now)
      }
    }))
    const last = yield* Latch.make()
    yield* store.append(Notes.stream("1"), notes("1", "2", "3", "4", "5", "6", "7"))
    const fiber = yield* run(store, ({ event }) => event.text === "7" ? last.await : Effect.yieldNow, {
      checkpoint: { every: 4, within: "10 seconds" }
    })
    yield* settleDown
    assert.deepStrictEqual(settled, [4])
    yield* TestClock.adjust("9 seconds")
    assert.deepStrictEqual(settled, [4])
    yield* TestClock.adjust("2 seconds")
    assert.deepStrictEqual(settled, [4, 2])
    yield* last.open
    yield* settleDown
    assert.deepStrictEqual(settled, [4, 2, 1])
    yield* Fiber.interrupt(fiber)
  })

  test("stores everything else at once, whatever gathers", function*() {
    const store: EventStore["Service"] = yield* withCalls(() => ({}))
    yield* store.append(Notes.stream("1"), notes("park", "2"))
    const fiber = yield* run(
      store,
      ({ event }) => event.text === "park" ? Effect.fail(new Delivery.Park({ reason: "on purpose" })) : Effect.never,
      { checkpoint: { every: 100, within: "1 hour" } }
    )
    yield* settleDown
    assert.deepStrictEqual(yield* openDeliveries, [0, 1, 1])
    yield* Fiber.interrupt(fiber)
  })

  test("gives back later events of a key in the same call as a retry", function*() {
    const settled: Array<string> = []
    const store: EventStore["Service"] = yield* withCalls((calls) => ({
      settle: (id, settlements, now) => {
        settled.push(settlements.map(({ outcome }) => outcome).join())
        return calls.settle(id, settlements, now)
      }
    }))
    yield* store.append(Notes.stream("1"), notes("1", "2", "3"))
    const fiber = yield* run(store, () => Effect.fail("no"), { retry: Schedule.spaced("1 minute") })
    yield* settleDown
    assert.deepStrictEqual(settled, ["retry,release,release"])
    yield* Fiber.interrupt(fiber)
  })

  test("moves on over what does not match, from time to time", function*() {
    const store: EventStore["Service"] = yield* withCalls(() => ({}))
    yield* store.append(Notes.stream("1"), notes("1"))
    const fiber = yield* run(store, () => Effect.void)
    yield* settleDown
    const Others = Category.make("other", { id: Schema.String, events: [Noted] })
    const { position } = yield* store.append(Others.stream("1"), notes("1", "2"))
    yield* TestClock.adjust("30 seconds")
    const info: Option.Option<PersistentSubscription.Info> = yield* PersistentSubscription.info("s")
    assert.strictEqual(Option.getOrThrow(info).checkpoint, position)
    yield* Fiber.interrupt(fiber)
  })

  test("handles nothing beside an event that was lost twice", function*() {
    const store: EventStore["Service"] = yield* withCalls(() => ({}))
    yield* store.append(Notes.stream("1"), notes("kills"))
    const frozen = yield* withCalls(() => ({ extend: () => Effect.never, settle: () => Effect.never }))
    for (let i = 0; i < 2; i++) {
      const killed = yield* run(frozen, () => Effect.never, { lease: "1 second" })
      yield* settleDown
      const stopping = yield* Effect.forkChild(Fiber.interrupt(killed))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
    }
    const open = yield* Latch.make()
    const seen: Array<string> = []
    const fiber = yield* run(store, ({ event }) => {
      seen.push(event.text)
      return event.text === "kills" ? open.await : Effect.void
    }, { concurrency: 4 })
    yield* settleDown
    yield* store.append(Notes.stream("2"), notes("other"))
    yield* TestClock.adjust("20 seconds")
    assert.deepStrictEqual(seen, ["kills"])
    yield* open.open
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(seen, ["kills", "other"])
    yield* Fiber.interrupt(fiber)
  })

  test("starts with its layer, and ends with it", function*() {
    const store: EventStore["Service"] = yield* withCalls(() => ({}))
    const layer = PersistentSubscription.layer("s", { from: Notes, handle: () => Effect.never })
    yield* store.append(Notes.stream("1"), notes("1"))
    const scope = yield* Scope.make()
    yield* Layer.buildWithScope(layer, scope)
    assert.isTrue(Option.isSome(yield* PersistentSubscription.info("s")))
    yield* settleDown
    assert.deepStrictEqual(yield* openDeliveries, [0, 1, 0])
    yield* Scope.close(scope, Exit.void)
    assert.deepStrictEqual(yield* openDeliveries, [1, 0, 0])
  })

  test("traces each delivery, linked to the span that appended the event", function*() {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const store: EventStore["Service"] = yield* withCalls(() => ({}))
    yield* store.append(Notes.stream("1"), notes("1")).pipe(Effect.withSpan("appending"), Effect.withTracer(tracer))
    const fiber = yield* run(store, () => Effect.withSpan(Effect.void, "inside")).pipe(Effect.withTracer(tracer))
    yield* settleDown
    const span = spans.find(({ name }) => name === "eventstore.deliver")!
    assert.strictEqual(span.kind, "consumer")
    assert.strictEqual(span.attributes.get("eventstore.subscription"), "s")
    assert.strictEqual(span.attributes.get("eventstore.stream"), "notes-1")
    assert.strictEqual(span.links[0]?.span.traceId, spans.find(({ name }) => name === "appending")?.traceId)
    const inside = spans.find(({ name }) => name === "inside")!
    assert.strictEqual(Option.getOrUndefined(inside.parent)?.spanId, span.spanId)
    yield* Fiber.interrupt(fiber)
  })

  test("counts what it does", function*() {
    const valueOf = (name: string, of: "count" | "value") =>
      Effect.map(Metric.snapshot, (metrics) => {
        const found = metrics.find(({ attributes, id }) =>
          id === `eventstore.subscription.${name}` && attributes?.["subscription"] === "s"
        )
        return (found?.state as Record<string, number> | undefined)?.[of]
      })
    const store: EventStore["Service"] = yield* withCalls(() => ({}))
    yield* store.append(Notes.stream("1"), notes("good"))
    yield* store.append(Notes.stream("2"), notes("bad"))
    yield* store.append(Notes.stream("3"), notes("slow"))
    const before = (yield* valueOf("handled", "count")) ?? 0
    const fiber = yield* run(
      store,
      ({ event }) => event.text === "good" ? Effect.void : event.text === "bad" ? Effect.fail("no") : Effect.never,
      { concurrency: 2, attempts: 2, retry: Schedule.spaced("1 second") }
    )
    yield* TestClock.adjust("6 seconds")
    assert.strictEqual(yield* valueOf("handled", "count"), before + 1)
    assert.isAtLeast((yield* valueOf("retries", "count"))!, 1)
    assert.isAtLeast((yield* valueOf("parked", "count"))!, 1)
    assert.strictEqual(yield* valueOf("in_flight", "value"), 1)
    assert.strictEqual(yield* valueOf("lag.events", "value"), 1)
    yield* Fiber.interrupt(fiber)
  })
})

describe("Middleware", () => {
  const deliver = <E, R>(handle: Middleware.Handler<Noted, E, R>, ...texts: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const store = yield* EventStore
      yield* store.append(Notes.stream("1"), notes(...texts))
      const fiber = yield* Effect.forkChild(
        PersistentSubscription.run("s", { from: Notes, handle, attempts: 2, retry: Schedule.spaced(0) })
      )
      yield* settleDown
      return fiber
    })

  test("makes a handler and its acknowledgement one transaction, caused by the event", function*() {
    const store: EventStore["Service"] = yield* withCalls(() => ({}))
    let attempts = 0
    const handle = pipe(
      () =>
        Effect.andThen(
          store.append(Category.rawStream("other-1"), []),
          Effect.suspend(() => ++attempts === 1 ? Effect.fail("no" as const) : Effect.void)
        ).pipe(
          Effect.andThen(Effect.map(EventMetadata.Current, ({ causationId }) => void metadata.push(causationId ?? "")))
        ),
      Middleware.transaction,
      Middleware.causation,
      Middleware.logging
    )
    const metadata: Array<string> = []
    const fiber = yield* deliver(handle, "1")
    assert.strictEqual(attempts, 2)
    assert.strictEqual(metadata.length, 1)
    assert.match(metadata[0]!, /^[\da-f-]{36}$/)
    assert.deepStrictEqual(yield* openDeliveries, [0, 0, 0])
    yield* Fiber.interrupt(fiber)
  })

  test("cuts off a handler, and repeats it in place", function*() {
    let attempts = 0
    const seen: Array<number> = []
    const handle = pipe(
      (delivery: { readonly attempt: number }) => {
        seen.push(delivery.attempt)
        return ++attempts < 3 ? Effect.never : Effect.void
      },
      Middleware.timeout("1 second"),
      Middleware.retry(Schedule.recurs(5))
    )
    const fiber = yield* deliver(handle, "1")
    yield* TestClock.adjust("3 seconds")
    assert.deepStrictEqual(seen, [1, 1, 1])
    assert.deepStrictEqual(yield* openDeliveries, [0, 0, 0])
    yield* Fiber.interrupt(fiber)
  })

  test("passes over what this process finished already, as far as it remembers", function*() {
    const seen: Array<string> = []
    const handle = pipe(
      ({ event }: { readonly event: Noted }) => Effect.sync(() => void seen.push(event.text)),
      Middleware.dedupe({ capacity: 2 })
    )
    const fiber = yield* deliver(handle, "1", "2", "3")
    yield* PersistentSubscription.update("s", { start: 1 })
    yield* settleDown
    assert.deepStrictEqual(seen, ["1", "2", "3"])
    yield* PersistentSubscription.update("s", { start: "start" })
    yield* settleDown
    assert.deepStrictEqual(seen, ["1", "2", "3", "1", "2", "3"])
    yield* Fiber.interrupt(fiber)
  })
})
