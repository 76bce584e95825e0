/** What is saved of streams, beside the streams as they are. */
import { Effect } from "effect"
import type { StoreError } from "../../../Store/StoreError.ts"
import type { LogTables } from "../frame/logSql.ts"
import { query, queryPage } from "./verifySql.ts"

/** A snapshot without its state, and what stands where it was taken, as of one time. */
export interface SnapshotRow {
  readonly streamId: string
  readonly name: string
  readonly schemaVersion: number
  readonly streamVersion: number
  readonly position: number
  readonly eventId: string
  readonly truncatedBefore: number
  /** Version of the last event of the stream. */
  readonly last: number
  /** Whether the stream has an event of that version, and whether it is the one that was noted. */
  readonly isThere: boolean
  readonly isThat: boolean
  /** The version below which events are hidden, from 1; 0 of a stream that is tombstoned. */
  readonly hidden: number
}

/** A page of snapshots_pkey, each with probes of events_stream_version_key and stream_states_pkey. */
export const selectSnapshots = (
  tables: LogTables,
  after: Pick<SnapshotRow, "streamId" | "name"> | undefined,
  limit: number
): Effect.Effect<ReadonlyArray<SnapshotRow>, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT n.stream_id::text, n.name::text, n.schema_version::int4, n.stream_version::float8, n.position::float8,
        n.event_id::text, n.truncated_before::float8,
        COALESCE((
          SELECT e.stream_version FROM {tables}.events e
          WHERE e.log_id = $1::int4 AND e.stream_id = n.stream_id
          ORDER BY e.stream_version DESC
          LIMIT 1
        ), 0)::float8,
        EXISTS (
          SELECT FROM {tables}.events e
          WHERE e.log_id = $1::int4 AND e.stream_id = n.stream_id AND e.stream_version = n.stream_version
        ),
        EXISTS (
          SELECT FROM {tables}.events e
          WHERE e.log_id = $1::int4 AND e.stream_id = n.stream_id AND e.stream_version = n.stream_version
            AND e.event_id = n.event_id AND e.position = n.position
        ),
        COALESCE((
          SELECT min(CASE WHEN s.tombstoned THEN 0 ELSE GREATEST(s.truncated_before, 1) END)
          FROM {tables}.stream_states s
          WHERE s.log_id = $1::int4 AND s.stream_id = n.stream_id
        ), 1)::float8
      FROM {tables}.snapshots n
      WHERE n.log_id = $1::int4 AND (n.stream_id, n.name) > ($2::text, $3::text)
      ORDER BY n.stream_id, n.name
      LIMIT $4::int8`,
      [tables.log, after?.streamId ?? "", after?.name ?? "", BigInt(limit)]
    ),
    (rows) =>
      rows.map((row) => ({
        streamId: row[0],
        name: row[1],
        schemaVersion: row[2],
        streamVersion: row[3],
        position: row[4],
        eventId: row[5],
        truncatedBefore: row[6],
        last: row[7],
        isThere: row[8],
        isThat: row[9],
        hidden: row[10]
      }))
  )

/** How many snapshots there are. */
export const countSnapshots = (tables: LogTables): Effect.Effect<number, StoreError> =>
  Effect.map(
    query(tables, "SELECT count(*)::float8 FROM {tables}.snapshots n WHERE n.log_id = $1::int4", [tables.log]),
    ([row]) => row![0]
  )

/** The state of a snapshot, if it is still the one that a page named: a probe of snapshots_pkey. */
export const selectState = (
  tables: LogTables,
  { eventId, name, schemaVersion, streamId }: SnapshotRow
): Effect.Effect<string | undefined, StoreError> =>
  Effect.map(
    query(
      tables,
      `
      SELECT n.state::text
      FROM {tables}.snapshots n
      WHERE n.log_id = $1::int4 AND n.stream_id = $2::text AND n.name = $3::text AND n.event_id = $4::uuid
        AND n.schema_version = $5::int2`,
      [tables.log, streamId, name, eventId, schemaVersion]
    ),
    ([row]) => row?.[0]
  )
