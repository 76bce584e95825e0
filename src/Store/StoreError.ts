/**
 * What an operation on the store can answer instead of a result.
 *
 * @since 0.1.0
 */
import { type Array as Arr, Effect, Inspectable, Schedule, Schema } from "effect"
import { EventId } from "../Event/EventId.ts"
import { ExpectedVersion } from "../Stream/ExpectedVersion.ts"
import { Position } from "../Stream/Position.ts"
import { StreamId } from "../Stream/StreamId.ts"
import { StreamVersion } from "../Stream/StreamVersion.ts"

/**
 * An argument is not allowed. Nothing was written. `field` is the path of the argument, `"events[1].tags[0]"`, and
 * `problem` continues the sentence that begins with it.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", {
  field: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.field} ${this.problem}`
  }
}

/**
 * What one stream was expected to be, and what it is.
 *
 * @category models
 * @since 0.1.0
 */
export const Violation = Schema.Struct({ streamId: StreamId, expected: ExpectedVersion, actual: StreamVersion })

/**
 * @category models
 * @since 0.1.0
 */
export type Violation = typeof Violation.Type

/**
 * A stream is not at the expected version. Nothing was written. An append to several streams names every violated
 * expectation in `violations`; the other fields repeat the first.
 *
 * **Gotchas** A deleted stream keeps its version, so `"stream-exists"` can fail at a version above 0.
 *
 * @category errors
 * @since 0.1.0
 */
export class WrongExpectedVersion extends Schema.TaggedError<WrongExpectedVersion>()("WrongExpectedVersion", {
  ...Violation.fields,
  violations: Schema.NonEmptyArray(Violation)
}) {
  override get message(): string {
    return this.violations.map((violation) =>
      `Stream ${violation.streamId} is at version ${violation.actual}, expected ${violation.expected}`
    ).join("; ")
  }
}

/**
 * The stream was ended for ever.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamTombstoned extends Schema.TaggedError<StreamTombstoned>()("StreamTombstoned", {
  streamId: StreamId
}) {
  override get message(): string {
    return `Stream ${this.streamId} is tombstoned`
  }
}

/**
 * An event id of the append is stored already, and not by the same append: the event has other content, another stream
 * or other neighbours. Nothing was written.
 *
 * @category errors
 * @since 0.1.0
 */
export class EventIdConflict extends Schema.TaggedError<EventIdConflict>()("EventIdConflict", {
  eventId: EventId,
  streamId: StreamId
}) {
  override get message(): string {
    return `Event id ${this.eventId} of the append to ${this.streamId} is stored already, by another append`
  }
}

/**
 * Events that the condition of an `appendIf` excludes were stored after its position; `position` is the newest of them.
 * Nothing was written.
 *
 * @category errors
 * @since 0.1.0
 */
export class AppendConditionFailed extends Schema.TaggedError<AppendConditionFailed>()("AppendConditionFailed", {
  after: Position,
  position: Position
}) {
  override get message(): string {
    return `The condition holds up to position ${this.after}, but the event at position ${this.position} breaks it`
  }
}

/**
 * A projection that is applied in the transactions that append failed on the events of this one: `cause` is what its
 * handler failed with, or what their decoding did. Nothing was written; a transaction around the append may go on.
 *
 * @category errors
 * @since 0.1.0
 */
export class InlineProjectionFailed extends Schema.TaggedError<InlineProjectionFailed>()("InlineProjectionFailed", {
  projection: Schema.String,
  version: Schema.Int,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The inline projection ${this.projection} (version ${this.version}) refused an append: ${
      reasonOf(this.cause)
    }`
  }
}

/**
 * A version of a projection.
 *
 * @category models
 * @since 0.1.0
 */
export const ProjectionVersion = Schema.Struct({ name: Schema.String, version: Schema.Int })

/**
 * @category models
 * @since 0.1.0
 */
export type ProjectionVersion = typeof ProjectionVersion.Type

/**
 * Projections are applied in the transactions that append such events, and this program does not run them. Nothing was
 * written: stored without them, the events would be missing in their read models for ever. Run the projections here as well,
 * or pause them.
 *
 * @category errors
 * @since 0.1.0
 */
export class InlineProjectionMissing extends Schema.TaggedError<InlineProjectionMissing>()("InlineProjectionMissing", {
  projections: Schema.NonEmptyArray(ProjectionVersion)
}) {
  override get message(): string {
    const names = this.projections.map(({ name, version }) => `${name} (version ${version})`).join(", ")
    return `Appends apply inline projections that do not run here: ${names}`
  }
}

/**
 * The database answered with an error of its own, or did not answer.
 *
 * `outcome` is `"not-stored"` where it is certain that nothing was written, and `"unknown"` where the connection was lost
 * after an append was sent and the database could not be asked again in time. `isRetryable` says that running the same
 * effect again may help and can do no harm. After an unknown outcome it is `true` only where the append gave its event ids
 * itself: without them a repetition has new ids, and might store the events twice. What consumers of a persistent subscription
 * ask for and answer may always be repeated.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  operation: Schema.String,
  isRetryable: Schema.Boolean,
  outcome: Schema.Literals(["not-stored", "unknown"]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.operation} failed: ${reasonOf(this.cause)}`
  }
}

/**
 * The log is not the one that was read before: it ends at `head`, below `position`, or has another event there than the
 * one that was read (`eventId`). It was restored from an older backup, or a server took over that had not received
 * everything. What was read beyond the restored part is not in the log any more, and other events may stand in its place:
 * decide what that means for what was made of it, and subscribe again from a position that holds.
 *
 * @category errors
 * @since 0.1.0
 */
export class LogRewound extends Schema.TaggedError<LogRewound>()("LogRewound", {
  position: Position,
  head: Position,
  eventId: Schema.UndefinedOr(EventId),
  /** The stream that is too short, where one is read: then `position` and `head` are versions of it. */
  streamId: Schema.optionalKey(StreamId)
}) {
  override get message(): string {
    const [what, place] = this.streamId === undefined ? ["The log", "position"] : [`Stream ${this.streamId}`, "version"]
    return `${what} was read up to ${place} ${this.position}, but ` +
      (this.head < this.position
        ? `ends at ${place} ${this.head}`
        : `the event there is not ${this.eventId} any more`) +
      ": it was restored, or it is another log"
  }
}

/**
 * What another writer who was faster leads to.
 *
 * @category errors
 * @since 0.1.0
 */
export type AnyConflict = WrongExpectedVersion | AppendConditionFailed

/**
 * Makes the error of an append, or of a change of a stream, that violated expectations: all of them, in the order of the
 * entries.
 *
 * **Example**
 * ```ts
 * import { StoreError, StreamId, StreamVersion } from "effect-eventstore"
 *
 * export const error = StoreError.wrongExpectedVersion([
 *   { streamId: StreamId.make("cart-42"), expected: "no-stream", actual: StreamVersion.make(3) }
 * ])
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const wrongExpectedVersion = (violations: Arr.NonEmptyReadonlyArray<Violation>): WrongExpectedVersion =>
  new WrongExpectedVersion({ ...violations[0], violations })

/**
 * Goes on trying while an effect fails with a `StoreError` that may pass by itself, and says so each time; the waits are
 * short at first, never longer than two seconds. For reads, and for what may be repeated whatever became of it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const retryPassing = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  onError: (error: StoreError) => Effect.Effect<void>
): Effect.Effect<A, E, R> =>
  self.pipe(
    Effect.tapError((error) => isPassing(error) ? onError(error) : Effect.void),
    Effect.retry({ while: isPassing, schedule: patience })
  )

/**
 * Whether an error is a `StoreError` that may pass by itself.
 *
 * @category guards
 * @since 0.1.0
 */
export const isPassing = (error: unknown): error is StoreError =>
  typeof error === "object" && error !== null && (error as StoreError)._tag === "StoreError" &&
  (error as StoreError).isRetryable

/**
 * Whether an error says that another writer was faster: to read, decide and append anew may help. `EventStore.retryConflicts`
 * does so.
 *
 * @category guards
 * @since 0.1.0
 */
export const isConflict = (error: unknown): error is AnyConflict =>
  error instanceof WrongExpectedVersion || error instanceof AppendConditionFailed

const patience = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(Schedule.jittered)

/**
 * What an error says, for people: its message, and those of what it was caused by that say more. Of an error of a database
 * it is what the database says, since the client's own message is no more than that a query failed; neither statements nor
 * their parameters are in it.
 *
 * @category getters
 * @since 0.1.0
 */
export const reasonOf = (error: unknown): string => reasonUpTo(error, 8)

const reasonUpTo = (error: unknown, depth: number): string => {
  if (typeof error === "string") return error
  if (!(error instanceof Error)) return Inspectable.toStringUnknown(error)
  const { reason } = error as { readonly reason?: unknown }
  const isDatabase = (error as { readonly _tag?: unknown })._tag === "SqlError" && reason instanceof Error
  const cause = isDatabase ? reason.cause : error.cause
  // what somebody threw that is no error may be anything, and long
  const inner = depth > 0 && cause instanceof Error ? reasonUpTo(cause, depth - 1) : ""
  const own = error.message || (inner === "" ? error.name : "")
  return inner === "" || !isDatabase && own.includes(inner)
    ? own
    : isDatabase || own === ""
    ? inner
    : `${own}: ${inner}`
}
