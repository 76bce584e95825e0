/**
 * An event as a store keeps it: the seam between the typed world and a storage.
 *
 * @since 0.1.0
 */
import type { EventId } from "../Event/EventId.ts"

/**
 * One row of a log, as a storage gives it back. `data` and `metadata` are JSON texts, `recordedAt` is in milliseconds
 * since 1970.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoredEvent {
  readonly position: number
  readonly streamId: string
  readonly streamVersion: number
  readonly eventId: EventId
  readonly type: string
  readonly schemaVersion: number
  readonly data: string
  readonly metadata: string | null
  readonly tags: ReadonlyArray<string> | null
  readonly recordedAt: number
}

/**
 * What an event becomes when it is encoded: the part of a {@link StoredEvent} that its category decides.
 *
 * @category models
 * @since 0.1.0
 */
export interface EncodedEvent {
  readonly type: string
  readonly schemaVersion: number
  readonly data: string
}
