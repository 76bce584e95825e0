/**
 * An event with its place in the store.
 *
 * @since 0.1.0
 */
import type { DateTime } from "effect"
import type { EventId } from "../Event/EventId.ts"
import type { EventMetadata } from "../Event/EventMetadata.ts"
import type { Position } from "./Position.ts"
import type { StreamId } from "./StreamId.ts"
import type { StreamVersion } from "./StreamVersion.ts"

/**
 * A recorded event: the event with its stream, version, position and time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recorded<out E> {
  readonly event: E
  /** Name of the stored type; for a split or retired type it is not the `_tag` of the event. */
  readonly type: string
  /** Version of the stored shape, from 1. */
  readonly schemaVersion: number
  readonly eventId: EventId
  readonly streamId: StreamId
  /** Place in the stream, from 1. */
  readonly streamVersion: StreamVersion
  /** Place in the log, from 1; 0 for an event staged in a transaction that is still open: it has none before COMMIT. */
  readonly position: Position
  readonly metadata: EventMetadata
  readonly tags: ReadonlyArray<string>
  /** By the store's clock. Information only: clocks step back, positions do not. */
  readonly recordedAt: DateTime.Utc
  /** Place among the events that one stored event was split into, from 0; else 0. */
  readonly part: number
  /** How many events the stored one was split into; a position is finished when the last of them is. */
  readonly parts: number
}
