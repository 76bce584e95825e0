/**
 * An event as an archive keeps it, all that the log knows of it: `data` and `metadata` are JSON texts as they are stored,
 * `recordedAt` is in UTC with microseconds, `2026-11-21T18:30:00.123456Z`.
 */
export interface ArchivedEvent {
  readonly position: number
  readonly streamId: string
  readonly streamVersion: number
  readonly eventId: string
  readonly type: string
  readonly schemaVersion: number
  readonly data: string
  readonly metadata: string | null
  readonly tags: ReadonlyArray<string> | null
  readonly recordedAt: string
}

/** What a stream has beyond its events. `metadata` is a JSON text. */
export interface ArchivedStream {
  readonly streamId: string
  readonly truncatedBefore: number
  readonly tombstoned: boolean
  readonly metadata: string | null
}

/** How `to_char` writes the time of an event, of a timestamp in UTC. */
export const timeFormat = `YYYY-MM-DD"T"HH24:MI:SS.US"Z"`
