/**
 * A delivery: an event handed to a consumer of a persistent subscription, and what the consumer can answer.
 *
 * @since 0.1.0
 */
import { type Effect, Schema } from "effect"
import type { AppendRefused } from "../Store/LogStorage.ts"
import type { InvalidInput, StoreError } from "../Store/StoreError.ts"
import { Position } from "../Stream/Position.ts"
import type { Recorded } from "../Stream/Recorded.ts"

/**
 * An event handed to a consumer. Whoever finishes handling it acknowledges it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Delivery<out E> extends Recorded<E> {
  /** Name of the persistent subscription. */
  readonly subscription: string
  /** How often this event was handed out, this time included: from 1. Counted before it is handled. */
  readonly attempt: number
  /** What it is kept in order by; `null` where it is not. */
  readonly key: string | null
  /**
   * The number of the lease. It grows: of two consumers that hold the same event, the one with the higher number is right.
   * An outside system that keeps the highest number it saw can refuse the other.
   */
  readonly lease: number
  /**
   * Runs an effect as one transaction (see `EventStore.transaction`), and acknowledges the event in it: what the effect
   * appends or writes with the store's `SqlClient` is there exactly once, whatever happens. Fails with `LeaseLost`, and
   * leaves nothing, where somebody else has the event by now, and with `InvalidInput` where a transaction is open already.
   *
   * **Gotchas** Of a stored event that upcasters split (`parts` above 1) only the last part acknowledges it: where one
   * fails, the parts before it come again, and with them their effects.
   */
  readonly transaction: <A, E2, R>(
    effect: Effect.Effect<A, E2, R>
  ) => Effect.Effect<A, E2 | LeaseLost | AppendRefused | InvalidInput | StoreError, R>
}

/**
 * A delivery in hand, from `PersistentSubscription.deliveries`. It is held until it is answered, or its scope closes.
 *
 * @category models
 * @since 0.1.0
 */
export interface ManualDelivery<out E> extends Delivery<E> {
  /** Acknowledges the event; completes when that is stored. Not a part of an open transaction: that is `transaction`. */
  readonly ack: Effect.Effect<void, LeaseLost | StoreError>
  /** Gives the event back; completes when that is stored. */
  readonly nack: (action: Retry | Park | Skip) => Effect.Effect<void, LeaseLost | StoreError>
}

/**
 * Fail with it to have the event again, later: after the time given, or by the schedule of the subscription.
 *
 * @category errors
 * @since 0.1.0
 */
export class Retry extends Schema.TaggedError<Retry>()("Retry", {
  after: Schema.optionalKey(Schema.Duration),
  reason: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return this.reason ?? "the consumer asked for it again"
  }
}

/**
 * Fail with it to set the event aside, until somebody replays or discards it.
 *
 * @category errors
 * @since 0.1.0
 */
export class Park extends Schema.TaggedError<Park>()("Park", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

/**
 * Fail with it to pass over the event, for good.
 *
 * @category errors
 * @since 0.1.0
 */
export class Skip extends Schema.TaggedError<Skip>()("Skip", { reason: Schema.optionalKey(Schema.String) }) {
  override get message(): string {
    return this.reason ?? "the consumer skips it"
  }
}

/**
 * Fail with it to stop this consumer. The event and all others in hand are given back, and `PersistentSubscription.run`
 * fails with this error. Other consumers go on.
 *
 * @category errors
 * @since 0.1.0
 */
export class Stop extends Schema.TaggedError<Stop>()("Stop", { reason: Schema.optionalKey(Schema.String) }) {
  override get message(): string {
    return this.reason ?? "the consumer stops"
  }
}

/**
 * The lease of a delivery ran out before it was answered, because its process stood still or could not reach the database:
 * the event is somebody else's now, or will be.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", {
  subscription: Schema.String,
  position: Position
}) {
  override get message(): string {
    return `The lease of the event at position ${this.position} of subscription ${this.subscription} ran out`
  }
}
