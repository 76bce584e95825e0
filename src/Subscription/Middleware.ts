/**
 * What can be put around the handler of a persistent subscription: functions from handler to handler, joined with `pipe`.
 *
 * **Example**
 * ```ts
 * import { Effect, pipe, Schema } from "effect"
 * import { Category, type Delivery, Middleware, PersistentSubscription } from "effect-eventstore"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Paid] })
 *
 * const ship = ({ streamId }: Delivery.Delivery<Paid>) => Effect.log(`ship ${streamId}`)
 *
 * export const Shipping = PersistentSubscription.layer("shipping", {
 *   from: Cart,
 *   handle: pipe(ship, Middleware.timeout("10 seconds"), Middleware.causation, Middleware.logging)
 * })
 * ```
 * The first one in the list is the innermost.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Schedule, Schema } from "effect"
import * as EventMetadata from "../Event/EventMetadata.ts"
import type { AppendRefused } from "../Store/LogStorage.ts"
import type { InvalidInput, StoreError } from "../Store/StoreError.ts"
import { type Delivery, type LeaseLost, Park, Retry, Skip, Stop } from "./Delivery.ts"

/**
 * Handles an event of a persistent subscription.
 *
 * @category models
 * @since 0.1.0
 */
export type Handler<in E, out Err, out R> = (delivery: Delivery<E>) => Effect.Effect<void, Err, R>

/**
 * Handling an event took longer than it may.
 *
 * @category errors
 * @since 0.1.0
 */
export class HandlingTimedOut extends Schema.TaggedError<HandlingTimedOut>()("HandlingTimedOut", {
  after: Schema.Duration
}) {
  override get message(): string {
    return `took longer than ${Duration.format(this.after)}`
  }
}

/**
 * Runs the handler in a transaction that acknowledges the event as well: what it appends or writes with the store's
 * `SqlClient` is there exactly once. Fails with `LeaseLost`, and leaves nothing, where somebody else has the event by now.
 *
 * **Gotchas** What the handler does elsewhere, a mail or a call to another service, is no part of it. A stored event that
 * decodes to several is acknowledged with the last of them; each has a transaction of its own.
 *
 * @category combinators
 * @since 0.1.0
 */
export const transaction = <E, Err, R>(
  handler: Handler<E, Err, R>
): Handler<E, Err | LeaseLost | AppendRefused | InvalidInput | StoreError, R> =>
(delivery) => delivery.transaction(Effect.suspend(() => handler(delivery)))

/**
 * Interrupts the handler, and fails, where it takes longer.
 *
 * @category combinators
 * @since 0.1.0
 */
export const timeout =
  (duration: Duration.Input) => <E, Err, R>(handler: Handler<E, Err, R>): Handler<E, Err | HandlingTimedOut, R> => {
    const after = Duration.fromInputUnsafe(duration)
    return (delivery) =>
      Effect.timeoutOrElse(Effect.suspend(() => handler(delivery)), {
        duration: after,
        orElse: () => Effect.fail(new HandlingTimedOut({ after }))
      })
  }

/**
 * Annotates what the handler logs with the subscription, the event and the attempt, and logs its end: at debug level, and
 * with the cause where it failed.
 *
 * @category combinators
 * @since 0.1.0
 */
export const logging = <E, Err, R>(handler: Handler<E, Err, R>): Handler<E, Err, R> => (delivery) =>
  Effect.annotateLogs(
    Effect.suspend(() => handler(delivery)).pipe(
      Effect.tap(() => Effect.logDebug("Handled an event")),
      Effect.tapCause((cause) => Effect.logDebug("Handling an event failed", cause))
    ),
    {
      subscription: delivery.subscription,
      stream: delivery.streamId,
      position: delivery.position,
      type: delivery.type,
      attempt: delivery.attempt
    }
  )

/**
 * Passes over events that this process finished already: where an acknowledgement was lost, or a lease ran out, an event
 * comes again. Remembers the last `capacity` events (default 10,000), by their ids.
 *
 * **Gotchas** Other processes, and this one after a restart, know nothing of it: it makes repetitions rare, not impossible.
 * Where they must be impossible, use {@link transaction}.
 *
 * @category combinators
 * @since 0.1.0
 */
export const dedupe =
  (options: { readonly capacity?: number | undefined } = {}) =>
  <E, Err, R>(handler: Handler<E, Err, R>): Handler<E, Err, R> => {
    const capacity = options.capacity ?? 10_000
    // oldest first
    const finished = new Set<string>()
    return (delivery) =>
      Effect.suspend(() => {
        // parts of one stored event share its id
        const id = `${delivery.eventId}/${delivery.part}`
        if (finished.has(id)) return Effect.void
        return Effect.tap(handler(delivery), () =>
          Effect.sync(() => {
            finished.add(id)
            if (finished.size > capacity) finished.delete(finished.keys().next().value!)
          }))
      })
  }

/**
 * Lets what the handler appends carry the conversation of the event, and the event as its cause.
 *
 * @category combinators
 * @since 0.1.0
 */
export const causation = <E, Err, R>(handler: Handler<E, Err, R>): Handler<E, Err, R> => (delivery) =>
  EventMetadata.provide(EventMetadata.causedBy(delivery))(Effect.suspend(() => handler(delivery)))

/**
 * Repeats a handler that failed at once, in place: the event stays in hand and counts as one attempt. `Retry`, `Park`,
 * `Skip` and `Stop` are not repeated.
 *
 * **Example**
 * ```ts
 * import { Effect, pipe, Schedule } from "effect"
 * import { type Delivery, Middleware } from "effect-eventstore"
 *
 * declare const call: (delivery: Delivery.Delivery<unknown>) => Effect.Effect<void, "busy">
 *
 * export const handle = pipe(call, Middleware.retry(Schedule.recurs(3)))
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const retry =
  <R2 = never>(schedule: Schedule.Schedule<unknown, unknown, never, R2>) =>
  <E, Err, R>(handler: Handler<E, Err, R>): Handler<E, Err, R | R2> =>
  (delivery) =>
    Effect.retry(Effect.suspend(() => handler(delivery)), { schedule, while: (error) => !isInstruction(error) })

const isInstruction = (error: unknown): boolean =>
  error instanceof Retry || error instanceof Park || error instanceof Skip || error instanceof Stop
