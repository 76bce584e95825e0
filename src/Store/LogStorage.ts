/**
 * The seam below the event store: what a storage has to do so that {@link EventStore} can stand on it.
 *
 * Everything is checked and encoded before it gets here. Write one of these to keep events elsewhere, hand it to
 * `EventStore.make`, and let the contract suite of `effect-eventstore/Testing` judge it.
 *
 * @since 0.1.0
 */
import type { Effect, Option, Scope } from "effect"
import type { EventId } from "../Event/EventId.ts"
import type { ExpectedVersion } from "../Stream/ExpectedVersion.ts"
import type { EncodedEvent, StoredEvent } from "../Stream/StoredEvent.ts"
import type { StreamId } from "../Stream/StreamId.ts"
import type { LogFilter } from "./LogFilter.ts"
import type { ProjectionStorage } from "./ProjectionStorage.ts"
import type { SnapshotStorage } from "./SnapshotStorage.ts"
import type {
  AppendConditionFailed,
  EventIdConflict,
  InlineProjectionMissing,
  InvalidInput,
  StoreError,
  StreamTombstoned,
  WrongExpectedVersion
} from "./StoreError.ts"
import type { SubscriptionStorage } from "./SubscriptionStorage.ts"

/**
 * An event to be stored. `metadata` is a JSON text.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewEvent extends EncodedEvent {
  readonly eventId: EventId
  readonly metadata: string | null
  readonly tags: ReadonlyArray<string> | null
}

/**
 * What goes to one stream. Without events it is a pure check.
 *
 * @category models
 * @since 0.1.0
 */
export interface AppendEntry {
  readonly streamId: StreamId
  readonly expected: ExpectedVersion
  readonly events: ReadonlyArray<NewEvent>
}

/**
 * Events that must not have been stored after a position: those of one of the items, each a list of types (any of them)
 * and of tags (all of them). An empty list is as good as none; an item has to name something.
 *
 * @category models
 * @since 0.1.0
 */
export interface AppendCondition {
  readonly items: ReadonlyArray<{
    readonly types?: ReadonlyArray<string> | undefined
    readonly tags?: ReadonlyArray<string> | undefined
  }>
  readonly after: number
}

/**
 * One append, whole or not at all. No stream stands in two entries and no event id twice.
 *
 * @category models
 * @since 0.1.0
 */
export interface AppendCommand {
  readonly entries: ReadonlyArray<AppendEntry>
  readonly condition: AppendCondition | undefined
  /** Size of the payload, for those who bound what travels together. */
  readonly bytes: number
  /** Whether the caller chose event ids, so that the command may be a retry of another one under way. */
  readonly repeatable: boolean
}

/**
 * Where the events of one entry stand. Without events `version` is that of the stream and `position` the log's head, and
 * the first ones are the same.
 *
 * @category models
 * @since 0.1.0
 */
export interface AppendedEntry {
  readonly firstVersion: number
  readonly version: number
  readonly firstPosition: number
  readonly position: number
}

/**
 * @category errors
 * @since 0.1.0
 */
export type AppendRefused =
  | WrongExpectedVersion
  | StreamTombstoned
  | EventIdConflict
  | AppendConditionFailed
  | InlineProjectionMissing

/**
 * A part of a stream or of a log: from `from` on, at most up to `to`, both inclusive, in reading direction.
 *
 * @category models
 * @since 0.1.0
 */
export interface PageRange {
  readonly direction: "forward" | "backward"
  readonly from: number
  readonly to: number
  /** Most events of a page. */
  readonly limit: number
  /** Bytes of data and metadata after which a page ends; one event always fits. */
  readonly bytes: number
}

/**
 * The next events of a range. A page may end before its limit; `more` says whether another one may follow it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page {
  readonly events: ReadonlyArray<StoredEvent>
  readonly more: boolean
}

/**
 * What a stream is. Events below `truncatedBefore` are hidden from every read. `metadata` is a JSON text.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamState {
  readonly streamId: string
  readonly version: number
  readonly truncatedBefore: number
  readonly tombstoned: boolean
  readonly metadata: string | null
}

/**
 * A change of a stream that is not an event. Hidden events stay hidden: `truncateBefore` only moves up, and not beyond
 * the version after the last. `delete` hides all there are.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamChange =
  | { readonly _tag: "TruncateBefore"; readonly version: number }
  | { readonly _tag: "Delete" }
  | { readonly _tag: "Tombstone" }
  | { readonly _tag: "SetMetadata"; readonly metadata: string | null }

/**
 * A log of events with one order. See the promises in the README: whoever implements this keeps them.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogStorage {
  /** Name of the database by OpenTelemetry's `db.system.name`. */
  readonly system: string
  /** Stores a command whole or refuses it; answers per entry. A repeated command answers what the first one did. */
  readonly append: (
    command: AppendCommand
  ) => Effect.Effect<ReadonlyArray<AppendedEntry>, AppendRefused | InvalidInput | StoreError>
  /** Events of one stream by version. */
  readonly streamPage: (
    streamId: StreamId,
    range: PageRange
  ) => Effect.Effect<Page, StreamTombstoned | StoreError>
  /** Events of the log by position. */
  readonly logPage: (filter: LogFilter, range: PageRange) => Effect.Effect<Page, StoreError>
  readonly event: (eventId: EventId) => Effect.Effect<Option.Option<StoredEvent>, StoreError>
  /** Positions of stored events by their ids, of hidden ones, too. */
  readonly positions: (
    eventIds: ReadonlyArray<EventId>
  ) => Effect.Effect<ReadonlyMap<EventId, number>, StoreError>
  /** Position of the newest event there has ever been, 0 for none. */
  readonly head: Effect.Effect<number, StoreError>
  readonly stream: (streamId: StreamId) => Effect.Effect<StreamState, StoreError>
  /** Streams that ever had an event, also where all are hidden, sorted by code point, after `after`. */
  readonly streams: (options: {
    readonly prefix: string
    readonly after: string
    readonly limit: number
  }) => Effect.Effect<ReadonlyArray<StreamState>, StoreError>
  readonly change: (
    streamId: StreamId,
    change: StreamChange,
    expected: ExpectedVersion
  ) => Effect.Effect<void, WrongExpectedVersion | StreamTombstoned | InvalidInput | StoreError>
  /**
   * Runs an effect whose appends are staged: visible to its own reads of a stream, and stored together when it succeeds.
   */
  readonly transaction: <A, E, R>(
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | AppendRefused | InvalidInput | StoreError, R>
  /** Whether the fibre has a transaction open. */
  readonly inTransaction: Effect.Effect<boolean>
  /** How many transactions the fibre has open, one within another: 0 outside of any, 2 and more where one may be rolled back alone. */
  readonly transactionDepth: Effect.Effect<number>
  /** The head, and the id of the event at a position, also of a hidden one; `undefined` where there is none. */
  readonly identity: (
    position: number
  ) => Effect.Effect<{ readonly head: number; readonly eventId: EventId | undefined }, StoreError>
  /**
   * Calls back when others may have stored something (`undefined`) or changed the deliveries of a persistent subscription
   * (its name): from the time this completes until its scope closes, or until the effect it answers fails, because the
   * connection was lost. Calls may be lost, come late and come too often. `undefined` where nobody else can write, or
   * where nothing can be heard: then there is only the poll.
   */
  readonly listen:
    | ((
      onNews: (subscription: string | undefined) => void
    ) => Effect.Effect<Effect.Effect<never, StoreError>, StoreError, Scope.Scope>)
    | undefined
  /** Milliseconds after which a tail looks for itself: where others write and may not be heard. */
  readonly pollMillis: number
  /** Milliseconds for which an append is repeated while the storage does not answer. */
  readonly patienceMillis: number
  readonly subscriptions: SubscriptionStorage
  readonly projections: ProjectionStorage
  readonly snapshots: SnapshotStorage
}
