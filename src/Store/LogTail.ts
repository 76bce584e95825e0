/**
 * The end of a log, followed by one reader for all subscriptions of a process: what subscriptions and projections stand on.
 *
 * @since 0.1.0
 */
import type { Duration, Effect, Scope } from "effect"
import type { StoredEvent } from "../Stream/StoredEvent.ts"
import type { StreamId } from "../Stream/StreamId.ts"
import type { LogFilter } from "./LogFilter.ts"
import type { InvalidInput, LogRewound, StoreError, StreamTombstoned } from "./StoreError.ts"

/**
 * A place in the log to go on from: behind a position. With the id of the event there a log that was restored from a
 * backup is told from the one that was read.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogPlace {
  readonly position: number
  readonly eventId?: string | undefined
}

/**
 * A place in a stream to go on from: behind a version. With position and id of the event there, a log that was restored
 * from a backup is told from the one that was read.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamPlace extends Partial<LogPlace> {
  readonly streamVersion: number
}

/**
 * What a follower is handed. Everything that matches up to `position` is in this answer or was in an earlier one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Followed {
  readonly events: ReadonlyArray<StoredEvent>
  readonly position: number
  /** The event at `position`, where that is known. */
  readonly eventId: string | undefined
  /** Whether nothing more was stored when this was read. */
  readonly caughtUp: boolean
  /** Whether it was too far behind the end for what was read for all, and read for itself. */
  readonly isBehind: boolean
}

/**
 * One reader of the log that goes on from its position. Not for several fibres at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogFollower<out E> {
  /** Where it began: another follower from there sees the same. For one stream with its version there. */
  readonly start: LogPlace & Partial<StreamPlace>
  /** The next events stand behind this position. */
  readonly position: () => number
  /** Goes on from behind another position, before or after this one. */
  readonly seek: (position: number) => void
  /**
   * Hands out the next events, some thousands at most, and moves on. Does not wait for new ones: at the end the answer is
   * empty and caught up. Far behind the end it reads for itself, near it from what was read for all. A piece of the log
   * in which nothing matches is an answer too: without events, at a later position.
   *
   * While the storage does not answer it goes on trying, for ever.
   */
  readonly take: (limit: number) => Effect.Effect<Followed, StoreError | LogRewound | E>
  /** Waits until something that may match was stored, or the log was found to be another one. */
  readonly wait: Effect.Effect<void>
}

/**
 * Follows the end of a log.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogTail {
  /**
   * A follower of the log, established when this completes: what is stored later, it finds. `InvalidInput` where a
   * transaction is open.
   */
  readonly follow: (
    filter: LogFilter,
    from: "end" | LogPlace
  ) => Effect.Effect<LogFollower<never>, InvalidInput | StoreError | LogRewound, Scope.Scope>
  /** A follower of one stream, from behind a version. */
  readonly followStream: (
    streamId: StreamId,
    from: "end" | StreamPlace
  ) => Effect.Effect<
    LogFollower<StreamTombstoned>,
    InvalidInput | StoreError | LogRewound | StreamTombstoned,
    Scope.Scope
  >
  /** Position up to which this process has seen the log; 0 while nobody follows it. */
  readonly position: () => number
  /**
   * Calls back when the deliveries of a persistent subscription changed, here or in another process: at least once, or
   * after `poll` where the news is lost.
   */
  readonly watch: (name: string, onChange: () => void) => Effect.Effect<void, never, Scope.Scope>
  /** Says that this process stored something, up to a position where that is known, else 0. */
  readonly stored: (position: number) => void
  /** Says that this process changed the deliveries of a persistent subscription. */
  readonly changed: (name: string) => void
  /** Time after which the tail looks for itself, whether it was woken or not. */
  readonly poll: Duration.Duration
}
