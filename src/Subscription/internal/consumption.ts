import { Clock, Effect, Exit, Option, Queue, Schedule, Scope, Stream } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { InvalidInput, type StoreError } from "../../Store/StoreError.ts"
import type { SubscriptionDefinition, SubscriptionState } from "../../Store/SubscriptionStorage.ts"
import type { ManualDelivery } from "../Delivery.ts"
import * as Middleware from "../Middleware.ts"
import type {
  ConsumerOptions,
  Declaration,
  DeliveriesOptions,
  Options,
  RunError,
  Source,
  StartError
} from "../PersistentSubscription.ts"
import { startConsumer } from "./consumer.ts"
import { isSameFilter, span, toConsumerSettings, toDefinition, toStart, whole } from "./declaration.ts"
import type { HandlePart } from "./handling.ts"
import { byHand, type Handed } from "./manual.ts"
import { keysOf } from "./ordering.ts"
import { sourceOf } from "./source.ts"

/** Starts a consumer with a handler. The answer fails when it ends. */
export const start = (
  name: string,
  options: Options<any, any, any>
): Effect.Effect<Effect.Effect<never, any>, StartError, EventStore | Scope.Scope> =>
  Effect.gen(function*() {
    const concurrency = yield* whole("concurrency", options.concurrency, 1)
    const buffer = yield* whole("buffer", options.buffer, 32, 0)
    const timeout = yield* span("timeout", options.timeout)
    const handle: HandlePart = options.handle
    if (typeof handle !== "function") return yield* new InvalidInput({ field: "handle", problem: "is not a function" })
    return yield* open(name, options, {
      concurrency,
      window: concurrency + buffer,
      handle: timeout === undefined ? handle : Middleware.timeout(timeout)(options.handle)
    })
  })

/** Starts a consumer that is no longer than the scope, and logs with what it ends before. */
export const startInBackground = (
  name: string,
  options: Options<any, any, any>
): Effect.Effect<void, StartError, EventStore | Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    // what it holds is given back when it ends by itself, too
    const own = yield* Scope.fork(scope)
    const end = yield* start(name, options).pipe(Scope.provide(own))
    yield* Effect.forkIn(
      Effect.catchCause(end, (cause) =>
        Effect.andThen(
          Effect.annotateLogs(Effect.logError("A consumer ended", cause), { subscription: name }),
          Scope.close(own, Exit.void)
        )),
      scope
    )
  })

/** The deliveries as a stream, answered by hand. */
export const deliveries = (
  name: string,
  options: DeliveriesOptions<any>
): Stream.Stream<ManualDelivery<any>, RunError, EventStore> =>
  Stream.unwrap(Effect.gen(function*() {
    const window = yield* whole("window", options.window, 32)
    const queue = yield* Queue.unbounded<Handed, any>()
    const end = yield* open(name, options, { concurrency: window, window, handle: byHand(queue) })
    yield* Effect.forkScoped(Effect.catchCause(end, (cause) => Queue.failCause(queue, cause)))
    return Stream.fromQueue(queue).pipe(
      // one by one: what is lost while others are answered is somebody else's by then
      Stream.rechunk(1),
      Stream.filter(({ isOpen }) => isOpen()),
      Stream.map(({ delivery }) => delivery)
    )
  }))

interface Form {
  readonly concurrency: number
  readonly window: number
  readonly handle: HandlePart
}

/** Checks everything, creates or updates the subscription, and starts a consumer. */
const open = (
  name: string,
  options: Declaration<Source> & ConsumerOptions,
  form: Form
): Effect.Effect<Effect.Effect<never, unknown>, StartError, EventStore | Scope.Scope> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const definition = yield* toDefinition(name, options)
    const settings = yield* toConsumerSettings(options)
    const { decode } = sourceOf(options.from, options)
    if (yield* store.storage.inTransaction) {
      return yield* new InvalidInput({ field: "transaction", problem: "is open: consume before or after it" })
    }
    const state = yield* declare(store, definition, options.start)
    const follower = yield* store.tail.follow(definition.filter, {
      position: state.position,
      eventId: state.eventId ?? undefined
    })
    return yield* startConsumer({
      store,
      state,
      follower,
      scope: yield* Effect.scope,
      settings,
      retry: options.retry ?? defaultRetry,
      decode,
      keyOf: keysOf(options.ordering, decode, definition.parkedBlocks),
      ...form
    })
  })

const defaultRetry = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("30 seconds")])

/** Makes the subscription what the program says it is. */
const declare = (
  store: EventStore["Service"],
  definition: SubscriptionDefinition,
  start: Declaration<Source>["start"]
): Effect.Effect<SubscriptionState, InvalidInput | StoreError> =>
  Effect.gen(function*() {
    const { subscriptions } = store.storage
    const clock = yield* Clock.Clock
    // others may create or remove it between two steps
    while (true) {
      const known = Option.getOrUndefined(yield* subscriptions.state(definition.name, StorageTime.of(clock)))
      if (known === undefined) {
        yield* subscriptions.create(definition, yield* toStart(store.storage, start))
      } else if (isSame(known, definition)) {
        return known
      } else {
        yield* Effect.annotateLogs(
          Effect.logWarning("A subscription is declared to be another one than before, for all of its consumers"),
          {
            subscription: definition.name
          }
        )
        const { name, ...change } = definition
        yield* subscriptions.update(name, change)
        store.tail.changed(name)
      }
    }
  })

const isSame = (a: SubscriptionDefinition, b: SubscriptionDefinition): boolean =>
  isSameFilter(a.filter, b.filter) && a.ordering === b.ordering && a.parkedBlocks === b.parkedBlocks &&
  a.capacity === b.capacity
