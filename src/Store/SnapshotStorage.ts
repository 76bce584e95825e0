/**
 * The seam below snapshots: what a storage keeps of them, and the one question that a load asks.
 *
 * A snapshot is a cache of a fold: it may be lost, dropped and replaced at any time, and it counts only where it holds.
 * It **holds** where a fold of all events that can be read would say the same: the event at its version is still the one
 * that it was taken at (else the log was restored from a backup), as many events are hidden below as there were then (else
 * the stream was truncated or deleted), and the stream is not tombstoned.
 *
 * @since 0.1.0
 */
import type { Effect } from "effect"
import type { EventId } from "../Event/EventId.ts"
import * as StreamId from "../Stream/StreamId.ts"
import type { Page } from "./LogStorage.ts"
import type { InvalidInput, StoreError, StreamTombstoned } from "./StoreError.ts"

/**
 * A place in a stream up to which somebody folded it: the last event in the state, and below which version events were
 * hidden then. 0 and 1 hide nothing, and mean the same.
 *
 * @category models
 * @since 0.1.0
 */
export interface SnapshotMark {
  readonly streamVersion: number
  readonly position: number
  readonly eventId: EventId
  readonly truncatedBefore: number
}

/**
 * A snapshot to be saved: the state of one stream, for one name. `state` is a JSON text, checked already.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewSnapshot extends SnapshotMark {
  readonly name: string
  readonly streamId: StreamId.StreamId
  /** Version of the shape of the state, from 1. */
  readonly schemaVersion: number
  readonly state: string
}

/**
 * What is kept of a snapshot besides its state: `bytes` of the state in UTF-8, and when it was saved in milliseconds since
 * 1970, by the clock of the storage.
 *
 * @category models
 * @since 0.1.0
 */
export interface SnapshotDetails extends Omit<NewSnapshot, "state"> {
  readonly bytes: number
  readonly savedAt: number
}

/**
 * A snapshot as it is kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoredSnapshot extends SnapshotDetails {
  readonly state: string
}

/**
 * A snapshot in a list, and whether it holds.
 *
 * @category models
 * @since 0.1.0
 */
export interface SnapshotInfo extends SnapshotDetails {
  readonly holds: boolean
}

/**
 * How much of a stream is wanted: events up to a version, and as much of them as a page may have.
 *
 * @category models
 * @since 0.1.0
 */
export interface SnapshotRange {
  /** Last version, inclusive. A snapshot beyond it is of no use. */
  readonly to: number
  /** Most events of the page. */
  readonly limit: number
  /** Bytes of data and metadata after which the page ends; one event always fits. */
  readonly bytes: number
}

/**
 * The first events behind a place that was asked about, forward; from the first event that is not hidden where it does not
 * hold.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resumed {
  readonly holds: boolean
  readonly page: Page
  /** The version below which events are hidden now. */
  readonly truncatedBefore: number
}

/**
 * A snapshot that holds, if there is one, and the first events behind it; without one, those from the beginning.
 *
 * @category models
 * @since 0.1.0
 */
export interface Loaded {
  readonly snapshot: StoredSnapshot | undefined
  /** There is one that does not hold. */
  readonly isStale: boolean
  readonly page: Page
  /** The version below which events are hidden now. */
  readonly truncatedBefore: number
}

/**
 * Which snapshots are meant: those for which all holds that is given; all of them where nothing is.
 *
 * @category models
 * @since 0.1.0
 */
export interface SnapshotFilter {
  readonly category?: string | undefined
  readonly streamId?: StreamId.StreamId | undefined
  readonly name?: string | undefined
}

/**
 * The place of a snapshot in a list.
 *
 * @category models
 * @since 0.1.0
 */
export interface SnapshotKey {
  readonly streamId: string
  readonly name: string
}

/**
 * Keeps one snapshot for each name and stream of a log.
 *
 * Snapshots are no part of a transaction. `load` and `resume` see what the open one staged, as other reads of a stream do,
 * but `save` keeps nothing there, because the state may be one that never comes to be, and `drop` is refused.
 *
 * @category models
 * @since 0.1.0
 */
export interface SnapshotStorage {
  /** A snapshot, if it holds, and the first events behind it: one round trip. */
  readonly load: (
    streamId: StreamId.StreamId,
    name: string,
    range: SnapshotRange
  ) => Effect.Effect<Loaded, StreamTombstoned | StoreError>

  /**
   * Whether a place holds that somebody keeps a state of, and the first events behind it: one round trip. For those who keep
   * states elsewhere. Without a place: the first events of the stream.
   */
  readonly resume: (
    streamId: StreamId.StreamId,
    mark: SnapshotMark | undefined,
    range: SnapshotRange
  ) => Effect.Effect<Resumed, StreamTombstoned | StoreError>

  /**
   * Keeps a snapshot instead of the one that is there, unless it does not hold, or that one holds and is newer: of a later
   * version, or of the same and a later schema version. Answers whether it is kept.
   */
  readonly save: (snapshot: NewSnapshot) => Effect.Effect<boolean, StoreError>

  /** Snapshots behind a key, by stream, then by name, in code point order. */
  readonly list: (
    filter: SnapshotFilter,
    page: { readonly after: SnapshotKey | undefined; readonly limit: number }
  ) => Effect.Effect<ReadonlyArray<SnapshotInfo>, StoreError>

  /** Removes snapshots; answers how many. */
  readonly drop: (filter: SnapshotFilter) => Effect.Effect<number, InvalidInput | StoreError>
}

/**
 * Whether what is kept is newer than what is to be saved.
 *
 * @category guards
 * @since 0.1.0
 */
export const isNewer = (
  kept: Pick<NewSnapshot, "streamVersion" | "schemaVersion">,
  given: Pick<NewSnapshot, "streamVersion" | "schemaVersion">
): boolean =>
  kept.streamVersion > given.streamVersion ||
  kept.streamVersion === given.streamVersion && kept.schemaVersion > given.schemaVersion

/**
 * Whether a snapshot is one of those that are meant.
 *
 * @category guards
 * @since 0.1.0
 */
export const matches = ({ category, name, streamId }: SnapshotFilter, snapshot: SnapshotKey): boolean =>
  (category === undefined || snapshot.streamId.startsWith(`${category}-`)) &&
  (streamId === undefined || snapshot.streamId === streamId) && (name === undefined || snapshot.name === name)

/**
 * The order of a list: by stream, then by name, in code point order.
 *
 * @category instances
 * @since 0.1.0
 */
export const compare = (a: SnapshotKey, b: SnapshotKey): number =>
  StreamId.compare(a.streamId, b.streamId) || StreamId.compare(a.name, b.name)

/**
 * A page of a list of those that are meant, out of all there are, without their states.
 *
 * @category getters
 * @since 0.1.0
 */
export const pageOf = (
  all: Iterable<StoredSnapshot>,
  filter: SnapshotFilter,
  { after, limit }: { readonly after: SnapshotKey | undefined; readonly limit: number }
): ReadonlyArray<SnapshotDetails> =>
  [...all]
    .filter((snapshot) => matches(filter, snapshot) && (after === undefined || compare(snapshot, after) > 0))
    .sort(compare)
    .slice(0, limit)
    .map((snapshot) => {
      const details: SnapshotDetails & { state?: string } = { ...snapshot }
      delete details.state
      return details
    })
