/**
 * The seam below persistent subscriptions: what a storage keeps of them, beside the log they read.
 *
 * A subscription has a name, a filter, and a position up to which the log was looked through. What matched and is not
 * finished yet waits in a queue of deliveries. Consumers in any number of processes claim deliveries: a claim counts an
 * attempt and gives a lease that runs out. Whatever is settled under a lease that ran out, or that somebody else has by
 * now, is refused.
 *
 * @since 0.1.0
 */
import type { Duration, Effect, Option } from "effect"
import type { StoredEvent } from "../Stream/StoredEvent.ts"
import type { LogFilter } from "./LogFilter.ts"
import type { AppendRefused } from "./LogStorage.ts"
import type { InvalidInput, StoreError } from "./StoreError.ts"

/**
 * What is kept of a subscription itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface SubscriptionDefinition {
  readonly name: string
  readonly filter: LogFilter
  /** What the keys of its deliveries are: `"none"` there are none, `"stream"` the stream id, `"key"` what a function says. */
  readonly ordering: "none" | "stream" | "key"
  /** Whether a parked delivery keeps the later ones of its key waiting. */
  readonly parkedBlocks: boolean
  /** Deliveries that may wait or be in flight at a time; parked ones do not count. From 1. */
  readonly capacity: number
}

/**
 * What a subscription is at the moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface SubscriptionState extends SubscriptionDefinition {
  /** Names this life of the subscription: another one of the same name, made after it was removed, has another id. */
  readonly id: number
  /** Grows with each change of filter, ordering or `parkedBlocks`. */
  readonly revision: number
  /** The log was looked through up to here. */
  readonly position: number
  /** The event at `position`, where there was one to note: it tells this log from one that was restored. */
  readonly eventId: string | null
  /** Everything up to here is finished or parked. */
  readonly checkpoint: number
  /** Deliveries that wait: for their time, for an earlier one of their key, or for a consumer. */
  readonly waiting: number
  /** Deliveries under a lease that has not run out. */
  readonly inFlight: number
  readonly parked: number
}

/**
 * A piece of the log that was looked through: what matched between `from` (exclusive) and `to` (inclusive). It is taken
 * only if `from` is still the position of the subscription, and `revision` its revision; else somebody else was faster, or
 * declared it to be another one, and nothing happens. Nor does it where another event, or none, stands at `to` than `eventId`: the
 * log was restored, or another server took over, since it was read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Offer {
  /** Left out, it is taken whatever the subscription is declared to be. */
  readonly revision?: number | undefined
  readonly from: number
  readonly to: number
  /** The event at `to`, where that is known. */
  readonly eventId: string | null
  /** Ascending. `key` is `null` where nothing has to be kept in order. */
  readonly events: ReadonlyArray<{ readonly position: number; readonly key: string | null }>
}

/**
 * What a consumer asks for. `now` is the time in milliseconds since 1970; `undefined` is the time of the storage, which is
 * what counts wherever several processes take part.
 *
 * @category models
 * @since 0.1.0
 */
export interface Claim {
  readonly id: number
  readonly now: number | undefined
  /** Most deliveries to hand out, from 0. */
  readonly limit: number
  readonly lease: Duration.Duration
  /** A delivery that was begun this often without an answer is parked and not handed out again. From 1. */
  readonly attempts: number
  /** Whether the consumer has nothing else in hand. A delivery whose lease ran out twice is handed out to such a one, alone. */
  readonly idle: boolean
  readonly offer: Offer | undefined
}

/**
 * A delivery that was handed out.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClaimedDelivery {
  readonly position: number
  readonly key: string | null
  /** Attempts so far with this one, from 1. */
  readonly attempt: number
  /** Grows with every claim of the subscription: of two that hold the same delivery the later one has the higher number. */
  readonly lease: number
  /** `undefined` where the event is hidden or gone by now. */
  readonly event: StoredEvent | undefined
}

/**
 * The answer to a {@link Claim}. Deliveries are in the order of positions. Of one key they are the first ones there are,
 * without a gap: the consumer keeps them in order.
 *
 * @category models
 * @since 0.1.0
 */
export interface Claimed {
  readonly deliveries: ReadonlyArray<ClaimedDelivery>
  /** Position of the subscription after the offer, if it was taken. */
  readonly position: number
  readonly eventId: string | null
  /** Free places: `capacity` without what waits or is in flight. */
  readonly free: number
  /** Milliseconds until the next delivery that has to wait for its time may be claimed, or the next lease runs out. */
  readonly nextIn: number | undefined
  /** Deliveries parked by this claim because of their attempts. */
  readonly parked: number
  readonly revision: number
  /** Whether the only delivery is one whose lease ran out twice: it is to be handled alone. */
  readonly isAlone: boolean
}

/**
 * What becomes of a delivery.
 *
 * - `"done"`: finished; it is removed
 * - `"retry"`: waits again, not before `after` from now
 * - `"park"`: set aside until somebody replays or discards it
 * - `"release"`: waits again, as if it had not been claimed
 *
 * @category models
 * @since 0.1.0
 */
export type Settlement =
  & { readonly position: number; readonly lease: number }
  & (
    | { readonly outcome: "done" | "release" }
    | { readonly outcome: "retry"; readonly after: Duration.Duration; readonly error: string }
    | { readonly outcome: "park"; readonly reason: string; readonly error: string | null }
  )

/**
 * A delivery that is held, by its lease.
 *
 * @category models
 * @since 0.1.0
 */
export interface Held {
  readonly position: number
  readonly lease: number
}

/**
 * A parked delivery. `event` is `undefined` where it is hidden or gone by now.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParkedDelivery {
  readonly position: number
  readonly key: string | null
  readonly attempts: number
  readonly reason: string
  readonly error: string | null
  /** Milliseconds since 1970, by the clock that the settlement went by. */
  readonly parkedAt: number
  readonly event: StoredEvent | undefined
}

/**
 * Where the state of persistent subscriptions is kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface SubscriptionStorage {
  /** Answers `false` where one of this name exists: it is left as it is. */
  readonly create: (
    definition: SubscriptionDefinition,
    start: { readonly position: number; readonly eventId: string | null }
  ) => Effect.Effect<boolean, StoreError>
  /**
   * Changes what is given, for what comes from now on. A `position` moves it there: what waits is dropped, what is in
   * flight is refused when it is settled, what is parked stays. Answers `false` where there is none.
   */
  readonly update: (
    name: string,
    change: Partial<Omit<SubscriptionDefinition, "name">> & {
      readonly start?: { readonly position: number; readonly eventId: string | null } | undefined
    }
  ) => Effect.Effect<boolean, StoreError>
  /** Removes it with all its deliveries, parked ones too. Answers `false` where there is none. */
  readonly remove: (name: string) => Effect.Effect<boolean, StoreError>
  /** Sorted by name. */
  readonly list: (now: number | undefined) => Effect.Effect<ReadonlyArray<SubscriptionState>, StoreError>
  readonly state: (
    name: string,
    now: number | undefined
  ) => Effect.Effect<Option.Option<SubscriptionState>, StoreError>
  /** Answers `undefined` where the subscription was removed. */
  readonly claim: (claim: Claim) => Effect.Effect<Claimed | undefined, StoreError>
  /** Answers the positions that were refused: their lease ran out or is somebody else's. The others are settled. */
  readonly settle: (
    id: number,
    settlements: ReadonlyArray<Settlement>,
    now: number | undefined
  ) => Effect.Effect<ReadonlyArray<number>, StoreError>
  /** Lets leases run from now on. Answers the positions that were refused. */
  readonly extend: (
    id: number,
    held: ReadonlyArray<Held>,
    lease: Duration.Duration,
    now: number | undefined
  ) => Effect.Effect<ReadonlyArray<number>, StoreError>
  /**
   * `now` is as for a claim. Runs an effect as one transaction (see `LogStorage.transaction`), and finishes a delivery in it. Answers `None`, and
   * leaves nothing of the effect, where the lease has run out by then or is somebody else's.
   */
  readonly finishWith: <A, E, R>(
    id: number,
    held: Held,
    effect: Effect.Effect<A, E, R>,
    now?: number
  ) => Effect.Effect<Option.Option<A>, E | AppendRefused | InvalidInput | StoreError, R>
  /** Parked deliveries after a position, in the order of positions. */
  readonly parked: (
    id: number,
    options: { readonly after: number; readonly limit: number }
  ) => Effect.Effect<ReadonlyArray<ParkedDelivery>, StoreError>
  /** Lets parked deliveries wait again, with no attempt counted. Answers how many there were. */
  readonly replay: (id: number, positions: ReadonlyArray<number>) => Effect.Effect<number, StoreError>
  /** Removes parked deliveries. Answers how many there were. */
  readonly discard: (id: number, positions: ReadonlyArray<number>) => Effect.Effect<number, StoreError>
  /**
   * Removes deliveries, whether they wait, are in flight or parked. Answers how many there were. Who holds one is refused when it
   * is settled; one that a transaction is just about to finish is waited for.
   */
  readonly skip: (id: number, positions: ReadonlyArray<number>) => Effect.Effect<number, StoreError>
}
