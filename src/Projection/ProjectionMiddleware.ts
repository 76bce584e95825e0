/**
 * What can be put around the handling of a batch of a projection: functions from one way to apply to another, joined with
 * `pipe`.
 *
 * All of it runs in the transaction that moves the checkpoint. A batch that fails is rolled back and applied again, so what
 * a middleware keeps outside of the database sees it more than once.
 *
 * **Example**
 * ```ts
 * import { flow, Schema } from "effect"
 * import { Category, Projection, ProjectionMiddleware } from "effect-eventstore"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { quantity: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Added] })
 *
 * const Sizes = Projection.documents("sizes", {
 *   from: Cart,
 *   state: Schema.Int,
 *   initial: () => 0,
 *   evolve: { Added: (size, { event }) => size + event.quantity }
 * })
 * export const Live = Projection.layer(Sizes, {
 *   middleware: flow(ProjectionMiddleware.timeout("1 minute"), ProjectionMiddleware.logging)
 * })
 * ```
 * The first one in the list is the innermost.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Ref, Schedule, Schema } from "effect"
import { EventStore } from "../Store/EventStore.ts"
import type { AppendRefused } from "../Store/LogStorage.ts"
import type { InvalidInput, StoreError } from "../Store/StoreError.ts"
import type { Position } from "../Stream/Position.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import { dedupesInline, noteDedupe } from "./internal/deduping.ts"

/**
 * Events that are applied in one transaction.
 *
 * @category models
 * @since 0.1.0
 */
export interface Batch {
  readonly projection: string
  readonly version: number
  readonly partition: number
  /** Whether the version has not caught up yet. */
  readonly isRebuild: boolean
  /** From 1: the failures since the last event that was handled, and one. */
  readonly attempt: number
  /** In the order of positions. */
  readonly events: ReadonlyArray<Recorded<any>>
}

/**
 * Puts a batch into the read model.
 *
 * @category models
 * @since 0.1.0
 */
export type Apply<out E = unknown, out R = never> = (batch: Batch) => Effect.Effect<void, E, R>

/**
 * Applying a batch took longer than it may.
 *
 * @category errors
 * @since 0.1.0
 */
export class ApplyTimedOut extends Schema.TaggedError<ApplyTimedOut>()("ApplyTimedOut", { after: Schema.Duration }) {
  override get message(): string {
    return `took longer than ${Duration.format(this.after)}`
  }
}

/**
 * Annotates what is logged on the way with the projection, its version, the partition and the positions, and logs the end: at
 * debug level, with the cause where it failed.
 *
 * @category combinators
 * @since 0.1.0
 */
export const logging = <E, R>(apply: Apply<E, R>): Apply<E, R> => (batch) =>
  Effect.annotateLogs(
    Effect.suspend(() => apply(batch)).pipe(
      Effect.tap(() => Effect.logDebug(`Applied ${batch.events.length} events`)),
      Effect.tapCause((cause) => Effect.logDebug("Applying events failed", cause))
    ),
    {
      projection: batch.projection,
      version: batch.version,
      partition: batch.partition,
      attempt: batch.attempt,
      from: batch.events[0]?.position,
      to: batch.events.at(-1)?.position
    }
  )

/**
 * Tells how long each batch took, whether it succeeded or not.
 *
 * **Example** (Log what is slow)
 * ```ts
 * import { Duration, Effect } from "effect"
 * import { ProjectionMiddleware } from "effect-eventstore"
 *
 * export const slow = ProjectionMiddleware.timing((took, batch) =>
 *   Duration.toSeconds(took) > 1 ? Effect.logWarning(`${batch.events.length} events took ${took}`) : Effect.void
 * )
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const timing =
  <R2 = never>(report: (took: Duration.Duration, batch: Batch) => Effect.Effect<void, never, R2>) =>
  <E, R>(apply: Apply<E, R>): Apply<E, R | R2> =>
  (batch) =>
    Effect.clockWith((clock) => {
      const begun = clock.monotonicTimeNanosUnsafe()
      return Effect.onExit(
        Effect.suspend(() => apply(batch)),
        () => Effect.suspend(() => report(Duration.nanos(clock.monotonicTimeNanosUnsafe() - begun), batch))
      )
    })

/**
 * Interrupts a batch, and fails, where it takes longer.
 *
 * @category combinators
 * @since 0.1.0
 */
export const timeout = (duration: Duration.Input) => <E, R>(apply: Apply<E, R>): Apply<E | ApplyTimedOut, R> => {
  const after = Duration.fromInputUnsafe(duration)
  return (batch) =>
    Effect.timeoutOrElse(Effect.suspend(() => apply(batch)), {
      duration: after,
      orElse: () => Effect.fail(new ApplyTimedOut({ after }))
    })
}

/**
 * Applies a batch in a transaction of its own inside of the one that moves the checkpoint: a savepoint. What fails in it can
 * then be repeated, or passed over, by what is put around it.
 *
 * **Details** Documents, and matches in the making, that are changed within it are loaded again by the next batch, where else
 * their owner remembers them.
 *
 * @category combinators
 * @since 0.1.0
 */
export const transaction = <E, R>(
  apply: Apply<E, R>
): Apply<E | AppendRefused | InvalidInput | StoreError, R | EventStore> =>
(batch) => Effect.flatMap(EventStore, (store) => store.storage.transaction(Effect.suspend(() => apply(batch))))

/**
 * Repeats a batch that failed at once, in place, before the projection takes it for a failure.
 *
 * **Gotchas** A statement that failed ends the transaction around it: put {@link transaction} inside of it.
 *
 * **Example**
 * ```ts
 * import { flow, Schedule } from "effect"
 * import { ProjectionMiddleware } from "effect-eventstore"
 *
 * export const twice = flow(ProjectionMiddleware.transaction, ProjectionMiddleware.retry(Schedule.recurs(1)))
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const retry =
  <R2 = never>(schedule: Schedule.Schedule<unknown, unknown, never, R2>) =>
  <E, R>(apply: Apply<E, R>): Apply<E, R | R2> =>
  (batch) => Effect.retry(Effect.suspend(() => apply(batch)), schedule)

/**
 * Passes over events that say the same as one before, though they were stored twice: those for which a function answers the
 * same text. What answers `undefined` always passes. Remembers the last `capacity` texts (default 100,000).
 *
 * **Details** Events of a batch that fails are forgotten again: where the first event of a text is given up, the next one passes.
 * It does not see what fails around it: put it last in the list.
 *
 * **Gotchas** It remembers in memory: after a restart, or a change of the owner, the first event of a text passes again. Where
 * that may not be, remember the texts in the read model itself.
 *
 * An inline projection is refused with it (`InvalidInput`): whether an append is stored is known only later, other processes
 * append as well, and what is passed over there is lost. A primary key refuses such an append.
 *
 * @category combinators
 * @since 0.1.0
 */
export const dedupe = (
  by: (recorded: Recorded<any>) => string | undefined,
  options: { readonly capacity?: number | undefined } = {}
) =>
<E, R>(apply: Apply<E, R>): Apply<E, R> => {
  const capacity = options.capacity ?? 100_000
  // by the event that came first, which may come again after a transaction that failed; oldest first
  const known = new Map<string, string>()
  noteDedupe()
  return (batch) =>
    Effect.suspend(() => {
      if (batch.events[0]?.position === 0) return Effect.die(new Error(`The middleware ${dedupesInline}`))
      // what is given up is to be told by nobody: only what was applied counts
      const added = new Map<string, string>()
      const events = batch.events.filter((recorded) => {
        const text = by(recorded)
        if (text === undefined) return true
        const id = `${recorded.eventId}/${recorded.part}`
        const first = known.get(text) ?? added.get(text)
        if (first === undefined) added.set(text, id)
        return first === undefined || first === id
      })
      if (events.length === 0) return Effect.void
      return Effect.tap(apply({ ...batch, events }), () => {
        for (const [text, id] of added) known.set(text, id)
        for (const text of known.keys()) {
          if (known.size <= capacity) break
          known.delete(text)
        }
        return Effect.void
      })
    })
}

/**
 * Keeps in a `Ref` which position each partition has applied last. It may be ahead of the checkpoint: a transaction can still
 * fail when it is committed.
 *
 * @category combinators
 * @since 0.1.0
 */
export const tracking =
  (positions: Ref.Ref<ReadonlyMap<number, Position>>) => <E, R>(apply: Apply<E, R>): Apply<E, R> => (batch) =>
    Effect.tap(Effect.suspend(() => apply(batch)), () => {
      const last = batch.events.at(-1)
      return last === undefined
        ? Effect.void
        : Ref.update(positions, (known) => new Map(known).set(batch.partition, last.position))
    })
