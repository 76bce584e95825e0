/** What a log has of the events of an archive: compared in the database, so that no data has to come back. */
import { Effect } from "effect"
import type { StoreError } from "../../../Store/StoreError.ts"
import { timeFormat } from "../archive/archivedEvent.ts"
import type { LogTables } from "../frame/logSql.ts"
import { queryPage } from "./verifySql.ts"

/** An event by all it has; of its texts the SHA-256, in hexadecimal digits. */
export interface EventSums {
  readonly eventId: string
  readonly position: number
  readonly streamId: string
  readonly streamVersion: number
  readonly type: string
  readonly schemaVersion: number
  readonly recordedAt: string
  readonly tags: ReadonlyArray<string> | null
  readonly data: string
  readonly metadata: string | null
}

const sumOf = (column: string) => `encode(sha256(convert_to(${column}::text, 'UTF8')), 'hex')`

/** Events by their ids: probes of events_event_id_key. */
export const selectSums = (
  tables: LogTables,
  eventIds: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<EventSums>, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT e.event_id::text, e.position::float8, e.stream_id::text, e.stream_version::float8, e.event_type::text,
        e.schema_version::int4, to_char(e.recorded_at AT TIME ZONE 'UTC', '${timeFormat}'),
        e.tags::text[], ${sumOf("e.data")}, ${sumOf("e.metadata")}
      FROM {tables}.events e
      WHERE e.log_id = $1::int4 AND e.event_id = ANY ($2::text[]::uuid[])`,
      [tables.log, eventIds]
    ),
    (rows) =>
      rows.map((row) => ({
        eventId: row[0],
        position: row[1],
        streamId: row[2],
        streamVersion: row[3],
        type: row[4],
        schemaVersion: row[5],
        recordedAt: row[6],
        tags: row[7],
        data: row[8],
        metadata: row[9]
      }))
  )

/** What some streams have beyond their events: probes of stream_states_pkey. */
export const selectStatesOf = (
  tables: LogTables,
  streamIds: ReadonlyArray<string>
): Effect.Effect<
  ReadonlyMap<string, { readonly truncatedBefore: number; readonly tombstoned: boolean }>,
  StoreError
> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT s.stream_id::text, s.truncated_before::float8, s.tombstoned
      FROM {tables}.stream_states s
      WHERE s.log_id = $1::int4 AND s.stream_id = ANY ($2::text[])`,
      [tables.log, streamIds]
    ),
    (rows) =>
      new Map(rows.map(([streamId, truncatedBefore, tombstoned]) => [streamId, { truncatedBefore, tombstoned }]))
  )
