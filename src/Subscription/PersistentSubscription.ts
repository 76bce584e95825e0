/**
 * Persistent subscriptions: the store remembers which events are finished, and any number of processes share the work.
 *
 * Every event that matches is delivered until somebody finishes it, at least once. Attempts are counted before an event is
 * handled; an event that keeps failing is parked, where an operator finds it. Events of one key are handled in order, one
 * after the other, whatever the number of consumers.
 *
 * @since 0.1.0
 */
import {
  type DateTime,
  type Duration,
  Effect,
  Layer,
  type Option,
  type Schedule,
  type Scope,
  type Stream
} from "effect"
import type { RawEvent } from "../Event/RawEvent.ts"
import { EventStore } from "../Store/EventStore.ts"
import type { InvalidInput, LogRewound, StoreError } from "../Store/StoreError.ts"
import type { SubscriptionState } from "../Store/SubscriptionStorage.ts"
import type * as Category from "../Stream/Category.ts"
import type { DecodeError } from "../Stream/DecodeError.ts"
import type { EventFilter } from "../Stream/EventFilter.ts"
import type { Position } from "../Stream/Position.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import type { Delivery, ManualDelivery, Stop } from "./Delivery.ts"
import * as administration from "./internal/administration.ts"
import * as consumption from "./internal/consumption.ts"
import type { SubscriptionExists, SubscriptionNotFound, SubscriptionRemoved } from "./SubscriptionError.ts"

/**
 * Where the events come from: a category, several, or all streams (`Category.raw`).
 *
 * @category models
 * @since 0.1.0
 */
export type Source = Category.Any | ReadonlyArray<Category.Any>

/**
 * The events of a source.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Out<C> = Category.Out<C extends ReadonlyArray<any> ? C[number] : C>

/**
 * The services that reading a source needs.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<C> = Category.Services<C extends ReadonlyArray<any> ? C[number] : C>

/**
 * Where a new subscription begins: at the start of the log, at its end (what is stored from now on), behind a position, or
 * behind an event, whose id must still stand at its position when a consumer starts.
 *
 * @category models
 * @since 0.1.0
 */
export type Start = "start" | "end" | number | { readonly position: number; readonly eventId?: string | undefined }

/**
 * What a subscription is: which events, in which order, from where on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Declaration<C extends Source> extends Omit<EventFilter, "categories"> {
  readonly from: C
  /** Counts only when the subscription is created. Default `"start"`. */
  readonly start?: Start | undefined
  /**
   * What has to be handled in order: the events of a stream (`"stream"`, the default), those for which a function answers
   * the same text (1 to 512 characters), or nothing (`"none"`). A change counts for events that come from then on.
   */
  readonly ordering?: "none" | "stream" | ((recorded: Recorded<Out<NoInfer<C>>>) => string) | undefined
  /** Whether a parked event keeps the later ones of its key waiting. Default `false`. */
  readonly parkedBlocks?: boolean | undefined
  /** Most events that wait or are in flight at a time, for all consumers; the log is read on as they are finished. Default 1000. */
  readonly capacity?: number | undefined
}

/**
 * How a consumer works.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumerOptions {
  /**
   * How long an event stays with a consumer that gives no sign of life. Leases are extended as long as the process lives,
   * so this bounds how long an event waits after a crash, not how long it may be handled. Default 30 seconds.
   */
  readonly lease?: Duration.Input | undefined
  /** How often an event is handed out before it is parked. Default 10. */
  readonly attempts?: number | undefined
  /**
   * The delays between attempts; the input is the error. Where it ends, the event is parked. Default: 200 ms, doubled each
   * time up to 30 seconds.
   */
  readonly retry?: Schedule.Schedule<unknown, unknown> | undefined
  /**
   * Lets acknowledgements gather, until there are so many (`every`), so much time has passed (`within`), or nothing is left to
   * do. Saves writes; after a crash more events are handled again. Default: stored at once.
   */
  readonly checkpoint?: {
    readonly every?: number | undefined
    readonly within?: Duration.Input | undefined
  } | undefined
}

/**
 * A subscription and its handler. The handler succeeds to acknowledge an event. It may fail with `Retry`, `Park`, `Skip` or
 * `Stop`; any other failure, and a defect, is a retry by the schedule.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<C extends Source, E, R> extends Declaration<C>, ConsumerOptions {
  readonly handle: (delivery: Delivery<Out<NoInfer<C>>>) => Effect.Effect<void, E, R>
  /** Most keys that are handled at a time. Default 1. */
  readonly concurrency?: number | undefined
  /** Events that are claimed ahead of those being handled. Default 32. */
  readonly buffer?: number | undefined
  /** Time for handling one event; longer is a failure. Default: no limit. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * A subscription whose deliveries are answered by hand.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeliveriesOptions<C extends Source> extends Declaration<C>, ConsumerOptions {
  /** Most events in hand, not answered. Default 32. */
  readonly window?: number | undefined
}

/**
 * Why a consumer cannot start.
 *
 * @category errors
 * @since 0.1.0
 */
export type StartError = InvalidInput | StoreError | LogRewound

/**
 * Why a consumer ended. `DecodeError`: an event whose key is asked for does not decode, and `parkedBlocks` forbids to go on
 * without its key.
 *
 * @category errors
 * @since 0.1.0
 */
export type RunError = StartError | SubscriptionRemoved | DecodeError

/**
 * What a subscription is at the moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Info extends Omit<SubscriptionState, "id"> {
  /** Positions of the log between the checkpoint and the end. */
  readonly lag: number
}

/**
 * A parked event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parked {
  readonly position: Position
  /** `None` where the event is hidden or gone by now. */
  readonly recorded: Option.Option<Recorded<RawEvent>>
  readonly key: string | null
  readonly attempts: number
  readonly reason: string
  /** The message of the last failure, where there was one. */
  readonly error: string | null
  readonly parkedAt: DateTime.Utc
}

/**
 * Which parked events an operator means; what is left out lets everything pass. `types` and `streamId` leave out events that
 * are hidden by now. `reason` is a part of the text.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParkedFilter {
  readonly positions?: ReadonlyArray<number> | undefined
  readonly types?: ReadonlyArray<string> | undefined
  readonly streamId?: string | undefined
  readonly key?: string | undefined
  readonly reason?: string | undefined
}

/**
 * What {@link update} changes. A filter is replaced as a whole: without `from` none of its parts may be given. A `start`
 * moves the subscription there and drops what waits; what is in flight is refused when it is answered, what is parked stays.
 *
 * @category models
 * @since 0.1.0
 */
export type Change = Partial<Omit<Declaration<Source>, "ordering">> & {
  readonly ordering?: "none" | "stream" | undefined
}

/**
 * Runs a consumer: handles events until it is interrupted or fails. Creates the subscription if there is none; where there
 * is one, the declaration wins over what the store keeps of it, except for `start`.
 *
 * **Details** When it is interrupted it stops the handlers, stores what was answered and gives back the rest. It goes on
 * trying while the database does not answer. Run it in as many processes as you like.
 *
 * **Example**
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Category, Delivery, PersistentSubscription } from "effect-eventstore"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Paid] })
 *
 * export const ship = PersistentSubscription.run("shipping", {
 *   from: Cart,
 *   concurrency: 8,
 *   handle: ({ event, streamId }) =>
 *     event.amount > 0 ? Effect.log(`ship ${streamId}`) : Effect.fail(new Delivery.Park({ reason: "nothing to ship" }))
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const run = <const C extends Source, E, R>(
  name: string,
  options: Options<C, E, R>
): Effect.Effect<never, RunError | Extract<E, Stop>, EventStore | R | Services<C>> =>
  Effect.scoped(Effect.flatten(consumption.start(name, options))) as never

/**
 * As {@link run}, as a layer: the consumer has started when the layer is built, and ends with it. A consumer that ends with an
 * error afterwards is logged.
 *
 * **Example**
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Category, EventStore, PersistentSubscription } from "effect-eventstore"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Paid] })
 *
 * const Shipping = PersistentSubscription.layer("shipping", {
 *   from: Cart,
 *   handle: ({ streamId }) => Effect.log(`ship ${streamId}`)
 * })
 * export const Live = Shipping.pipe(Layer.provideMerge(EventStore.layerMemory))
 * ```
 * @category layers
 * @since 0.1.0
 */
export const layer = <const C extends Source, E, R>(
  name: string,
  options: Options<C, E, R>
): Layer.Layer<never, StartError, EventStore | Exclude<R | Services<C>, Scope.Scope>> =>
  Layer.effectDiscard(consumption.startInBackground(name, options)) as never

/**
 * The events as a stream, each with its answer in hand. Of one key the next event comes when the one before was answered.
 * No more than `window` events are in hand: answer them as they come, or give them to fibres that do.
 *
 * **Gotchas** When the stream ends, what is not answered is given back.
 *
 * **Example**
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Category, Delivery, PersistentSubscription } from "effect-eventstore"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Paid] })
 *
 * export const ship = PersistentSubscription.deliveries("shipping", { from: Cart, window: 100 }).pipe(
 *   Stream.runForEach((delivery) =>
 *     delivery.event.amount > 0 ? delivery.ack : delivery.nack(new Delivery.Park({ reason: "nothing to ship" }))
 *   )
 * )
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const deliveries = <const C extends Source>(
  name: string,
  options: DeliveriesOptions<C>
): Stream.Stream<ManualDelivery<Out<C>>, RunError, EventStore | Services<C>> => consumption.deliveries(name, options)

/**
 * Creates a subscription without consuming it. Like all that changes one it is no part of a transaction that is open, and
 * stays where that is rolled back. Fails with `SubscriptionExists` where there is one of this name.
 *
 * @category operations
 * @since 0.1.0
 */
export const create: <const C extends Source>(
  name: string,
  declaration: Declaration<C>
) => Effect.Effect<void, SubscriptionExists | InvalidInput | StoreError, EventStore> = administration.create

/**
 * Changes a subscription, for what comes from now on: `start` moves it also under its consumers. Everything else a consumer
 * brings with its own declaration, and writes it when it starts: change it there, or before there are consumers.
 *
 * **Example** (Deliver everything once more)
 * ```ts
 * import { PersistentSubscription } from "effect-eventstore"
 *
 * export const again = PersistentSubscription.update("shipping", { start: "start" })
 * ```
 * @category operations
 * @since 0.1.0
 */
export const update: (
  name: string,
  change: Change
) => Effect.Effect<void, SubscriptionNotFound | InvalidInput | StoreError, EventStore> = administration.update

/**
 * Removes a subscription with all that is kept of it, parked events too. Its consumers fail with `SubscriptionRemoved`.
 *
 * @category operations
 * @since 0.1.0
 */
export const remove: (
  name: string
) => Effect.Effect<void, SubscriptionNotFound | InvalidInput | StoreError, EventStore> = administration.remove

/**
 * All subscriptions of the log, by name.
 *
 * @category operations
 * @since 0.1.0
 */
export const list: Effect.Effect<ReadonlyArray<Info>, StoreError, EventStore> = administration.list

/**
 * What a subscription is; `None` where there is none of this name.
 *
 * @category operations
 * @since 0.1.0
 */
export const info: (
  name: string
) => Effect.Effect<Option.Option<Info>, InvalidInput | StoreError, EventStore> = administration.info

/**
 * The parked events, in the order of positions, page by page as they are pulled.
 *
 * @category operations
 * @since 0.1.0
 */
export const parked: (
  name: string,
  filter?: ParkedFilter
) => Stream.Stream<Parked, SubscriptionNotFound | InvalidInput | StoreError, EventStore> = administration.parked

/**
 * Lets parked events be delivered again, with no attempt counted; answers how many. What was parked after it began is left.
 *
 * **Example**
 * ```ts
 * import { PersistentSubscription } from "effect-eventstore"
 *
 * export const again = PersistentSubscription.replay("shipping", { reason: "no such address" })
 * ```
 * @category operations
 * @since 0.1.0
 */
export const replay: (
  name: string,
  filter?: ParkedFilter
) => Effect.Effect<number, SubscriptionNotFound | InvalidInput | StoreError, EventStore> = administration.replay

/**
 * Takes events as finished, by their positions, whatever keeps them: one that fails and is tried again, waits, is in flight or
 * parked. Answers how many of them were not finished. What stands behind them of their keys goes on.
 *
 * **Details** A consumer that has one in hand is refused when it answers. It may have done all that the event asks for, or not.
 *
 * **Gotchas** An event that the subscription has not come to yet is not skipped, and not counted: `position` of {@link info} says
 * how far it is. Where a consumer is just about to finish one in a transaction, this waits for it: so it is refused
 * (`InvalidInput`) where a transaction is open. A handler that wants to pass over the event it has in hand fails with
 * `Delivery.Skip`.
 *
 * **Example**
 * ```ts
 * import { PersistentSubscription } from "effect-eventstore"
 *
 * export const passOver = PersistentSubscription.skip("shipping", [4711])
 * ```
 * @category operations
 * @since 0.1.0
 */
export const skip: (
  name: string,
  positions: ReadonlyArray<number>
) => Effect.Effect<number, SubscriptionNotFound | InvalidInput | StoreError, EventStore> = administration.skip

/**
 * Gives parked events up, for good; answers how many.
 *
 * @category operations
 * @since 0.1.0
 */
export const discard: (
  name: string,
  filter?: ParkedFilter
) => Effect.Effect<number, SubscriptionNotFound | InvalidInput | StoreError, EventStore> = administration.discard
