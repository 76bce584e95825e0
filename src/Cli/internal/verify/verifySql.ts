/** What a check asks of the tables of a log. Everything is bounded by a page, and by the head that was noted at the start. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { toSql } from "../../../Postgres/SchemaName.ts"
import { StoreError } from "../../../Store/StoreError.ts"
import type { StoredEvent } from "../../../Stream/StoredEvent.ts"
import type { LogTables } from "../frame/logSql.ts"

/** A row as the driver gives it, by place. */
export type Values = ReadonlyArray<any>

/** Runs a statement; `{tables}` in it is where the tables are. */
export const query = (
  { schema, sql }: LogTables,
  text: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Values>, StoreError> =>
  Effect.mapError(
    // planned for these values: which index is the right one depends on them, and a page is worth the while
    sql.unsafe(text.replaceAll("{tables}", toSql(schema)), params).valuesUnprepared,
    toStoreError
  )

const toStoreError = (error: SqlError.SqlError): StoreError =>
  new StoreError({ operation: "verify", isRetryable: error.isRetryable, outcome: "not-stored", cause: error })

/**
 * Runs a statement that takes the next rows of an index. Of a table that was never analysed, as all are on PGlite, the database
 * takes few rows for granted, and would read and sort all that are left for each page.
 */
export const queryPage = (
  tables: LogTables,
  text: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Values>, StoreError> =>
  Effect.mapError(
    tables.sql.withTransaction(Effect.andThen(
      query(
        tables,
        "SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true)",
        []
      ),
      query(tables, text, params)
    )),
    (error) => error._tag === "StoreError" ? error : toStoreError(error)
  )

/** What the log is when a verification begins. */
export interface LogState {
  /** `undefined` where the log has no row of its own, without which nothing can be appended. */
  readonly floor: number | undefined
  /** Position of the newest event that is stored, 0 for none. */
  readonly newest: number
  /** Position of the newest event there has ever been, as far as a program can count. */
  readonly head: number
  /** By the clock of the database, in milliseconds since 1970. */
  readonly now: number
}

/** Two probes of keys. */
export const selectState = (tables: LogTables): Effect.Effect<LogState, StoreError> =>
  Effect.map(
    query(
      tables,
      `
      SELECT
        (SELECT max(l.floor) FROM {tables}.logs l WHERE l.log_id = $1::int4)::float8,
        COALESCE((
          SELECT e.position FROM {tables}.events e WHERE e.log_id = $1::int4 ORDER BY e.position DESC LIMIT 1
        ), 0)::float8,
        (date_part('epoch', clock_timestamp()) * 1000)::float8`,
      [tables.log]
    ),
    ([row]) => ({
      floor: row![0] ?? undefined,
      newest: row![1],
      // nobody counts further; what stands beyond is a finding of its own
      head: Math.min(Math.max(row![0] ?? 0, row![1]), Number.MAX_SAFE_INTEGER),
      now: row![2]
    })
  )

/** Positions that follow one another. There are more `events` than positions where some are doubled. */
export interface Island {
  readonly from: number
  readonly to: number
  readonly events: number
}

/** The runs of positions in a range (`after` exclusive, `to` inclusive): a range of events_pkey. */
export const selectIslands = (
  tables: LogTables,
  range: { readonly after: number; readonly to: number }
): Effect.Effect<ReadonlyArray<Island>, StoreError> =>
  Effect.map(
    query(
      tables,
      `
      SELECT min(i.position)::float8, max(i.position)::float8, count(*)::float8
      FROM (
        SELECT e.position, e.position - dense_rank() OVER (ORDER BY e.position) AS island
        FROM {tables}.events e
        WHERE e.log_id = $1::int4 AND e.position > $2::int8 AND e.position <= $3::int8
      ) i
      GROUP BY i.island
      ORDER BY 1`,
      [tables.log, BigInt(range.after), BigInt(range.to)]
    ),
    (rows) => rows.map(([from, to, events]) => ({ from, to, events }))
  )

/** The next position that has an event, and the floor as it is now: probes of keys. */
export const selectNext = (
  tables: LogTables,
  after: number
): Effect.Effect<{ readonly position: number | undefined; readonly floor: number }, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT
        (
          SELECT e.position FROM {tables}.events e
          WHERE e.log_id = $1::int4 AND e.position > $2::int8
          ORDER BY e.position
          LIMIT 1
        )::float8,
        COALESCE((SELECT max(l.floor) FROM {tables}.logs l WHERE l.log_id = $1::int4), 0)::float8`,
      [tables.log, BigInt(after)]
    ),
    ([row]) => ({ position: row![0] ?? undefined, floor: row![1] })
  )

/** A place in the log that several events have. */
export interface Doubled {
  readonly position: number
  readonly events: number
  /** Some of them: stream and version. */
  readonly names: ReadonlyArray<string>
}

/** Positions of a range (inclusive) that several events have. */
export const selectDoubled = (
  tables: LogTables,
  range: { readonly from: number; readonly to: number }
): Effect.Effect<ReadonlyArray<Doubled>, StoreError> =>
  Effect.map(
    query(
      tables,
      `
      SELECT e.position::float8, count(*)::float8,
        (array_agg(e.stream_id || ' ' || e.stream_version ORDER BY e.stream_id, e.stream_version))[1:5]::text[]
      FROM {tables}.events e
      WHERE e.log_id = $1::int4 AND e.position >= $2::int8 AND e.position <= $3::int8
      GROUP BY e.position
      HAVING count(*) > 1
      ORDER BY e.position`,
      [tables.log, BigInt(range.from), BigInt(range.to)]
    ),
    (rows) => rows.map(([position, events, names]) => ({ position, events, names }))
  )

/** Events whose position is none: below 1, or beyond what a program can count to. */
export const selectImpossible = (tables: LogTables, most: number, limit: number) =>
  Effect.map(
    query(
      tables,
      `
      SELECT e.position::text, e.stream_id::text, e.stream_version::float8, e.event_id::text
      FROM {tables}.events e
      WHERE e.log_id = $1::int4 AND (e.position < 1 OR e.position > $2::int8)
      ORDER BY e.position
      LIMIT $3::int8`,
      [tables.log, BigInt(most), BigInt(limit)]
    ),
    (rows) =>
      rows.map(([position, streamId, streamVersion, eventId]) => ({
        position: position as string,
        streamId: streamId as string,
        streamVersion: streamVersion as number,
        eventId: eventId as string
      }))
  )

/** A place in a stream, and the row that has it: rows may be doubled where a constraint is gone. */
export interface StreamPlace {
  readonly streamId: string
  readonly streamVersion: number
  readonly position: number
  readonly row: string
}

/** A page of all streams by version: a range of events_stream_version_key, which no other condition is to make less attractive. */
export const selectVersions = (
  tables: LogTables,
  after: StreamPlace | undefined,
  head: number,
  limit: number
): Effect.Effect<ReadonlyArray<StreamPlace>, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT e.stream_id::text, e.stream_version::float8, e.position::float8, e.ctid::text
      FROM {tables}.events e
      WHERE e.log_id = $1::int4 AND e.position + 0 <= $2::int8${
        after === undefined
          ? ""
          : `
        AND (e.stream_id, e.stream_version, e.position, e.ctid) > ($4::text, $5::int8, $6::int8, $7::text::tid)`
      }
      ORDER BY e.stream_id, e.stream_version, e.position, e.ctid
      LIMIT $3::int8`,
      [
        tables.log,
        BigInt(head),
        BigInt(limit),
        ...(after === undefined
          ? []
          : [after.streamId, BigInt(after.streamVersion), BigInt(after.position), after.row])
      ]
    ),
    (rows) => rows.map(([streamId, streamVersion, position, row]) => ({ streamId, streamVersion, position, row }))
  )

/** Positions of the events that have a place in a stream: a probe of events_stream_version_key. */
export const selectAtVersion = (tables: LogTables, { streamId, streamVersion }: StreamPlace, head: number) =>
  Effect.map(
    query(
      tables,
      `
      SELECT e.position::float8
      FROM {tables}.events e
      WHERE e.log_id = $1::int4 AND e.stream_id = $2::text AND e.stream_version = $3::int8 AND e.position <= $4::int8
      ORDER BY e.position
      LIMIT 5`,
      [tables.log, streamId, BigInt(streamVersion), BigInt(head)]
    ),
    (rows): ReadonlyArray<number> => rows.map(([position]) => position)
  )

/** Positions of the events that have an id: a probe of events_event_id_key. */
export const selectWithId = (tables: LogTables, { eventId }: IdPlace, head: number) =>
  Effect.map(
    query(
      tables,
      `
      SELECT e.position::float8
      FROM {tables}.events e
      WHERE e.log_id = $1::int4 AND e.event_id = $2::uuid AND e.position <= $3::int8
      ORDER BY e.position
      LIMIT 5`,
      [tables.log, eventId, BigInt(head)]
    ),
    (rows): ReadonlyArray<number> => rows.map(([position]) => position)
  )

/** The version below which events of a stream are hidden; all of a stream that is tombstoned are. */
export const selectHidden = (tables: LogTables, streamId: string): Effect.Effect<number, StoreError> =>
  Effect.map(
    query(
      tables,
      `
      SELECT COALESCE(max(CASE WHEN s.tombstoned THEN 9223372036854775807 ELSE s.truncated_before END), 0)::float8
      FROM {tables}.stream_states s
      WHERE s.log_id = $1::int4 AND s.stream_id = $2::text`,
      [tables.log, streamId]
    ),
    ([row]) => row![0]
  )

/** An event id, and one row that has it. */
export interface IdPlace {
  readonly eventId: string
  readonly position: number
  readonly row: string
}

/** A page of event ids: a range of events_event_id_key, as in {@link selectVersions}. */
export const selectIds = (
  tables: LogTables,
  after: IdPlace | undefined,
  head: number,
  limit: number
): Effect.Effect<ReadonlyArray<IdPlace>, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT e.event_id::text, e.position::float8, e.ctid::text
      FROM {tables}.events e
      WHERE e.log_id = $1::int4 AND e.position + 0 <= $2::int8${
        after === undefined ? "" : `
        AND (e.event_id, e.position, e.ctid) > ($4::uuid, $5::int8, $6::text::tid)`
      }
      ORDER BY e.event_id, e.position, e.ctid
      LIMIT $3::int8`,
      [
        tables.log,
        BigInt(head),
        BigInt(limit),
        ...(after === undefined ? [] : [after.eventId, BigInt(after.position), after.row])
      ]
    ),
    (rows) => rows.map(([eventId, position, row]) => ({ eventId, position, row }))
  )

/**
 * An event as it is stored, hidden or not; of a large one `data` and `metadata` come later. `recordedAt` is without end for what
 * Postgres calls infinity.
 */
export interface EventRow extends Omit<StoredEvent, "eventId"> {
  readonly row: string
  readonly eventId: string
  readonly isLarge: boolean
}

const eventColumns = `e.ctid::text, e.position::float8, e.stream_id::text, e.stream_version::float8, e.event_id::text,
        e.event_type::text, e.schema_version::int4, e.data::text, e.metadata::text, e.tags::text[],
        date_part('epoch', e.recorded_at)::float8`

const isLarge = "pg_column_size(e.data) + COALESCE(pg_column_size(e.metadata), 0) >= 2000"

const toEvent = (row: Values): EventRow => ({
  row: row[0],
  position: row[1],
  streamId: row[2],
  streamVersion: row[3],
  eventId: row[4],
  type: row[5],
  schemaVersion: row[6],
  data: row[7],
  metadata: row[8],
  tags: row[9],
  recordedAt: Math.floor(row[10] * 1000 + 0.0005),
  isLarge: row[11]
})

/** The events at some positions (inclusive), of several at one position all: a range of events_pkey. */
export const selectEvents = (
  tables: LogTables,
  range: { readonly from: number; readonly to: number }
): Effect.Effect<ReadonlyArray<EventRow>, StoreError> =>
  Effect.map(
    query(
      tables,
      `
      SELECT ${
        eventColumns.replaceAll(
          /e\.(?:data|metadata)::text/g,
          (column) => `CASE WHEN NOT ${isLarge} THEN ${column} END`
        )
      },
        ${isLarge}
      FROM {tables}.events e
      WHERE e.log_id = $1::int4 AND e.position >= $2::int8 AND e.position <= $3::int8
      ORDER BY e.position`,
      [tables.log, BigInt(range.from), BigInt(range.to)]
    ),
    (rows) => rows.map(toEvent)
  )

/** The large event of a row that a page named: a probe of events_pkey. `undefined` where it was removed since. */
export const selectLargeEvent = (
  tables: LogTables,
  { position, row }: EventRow
): Effect.Effect<EventRow | undefined, StoreError> =>
  Effect.map(
    query(
      tables,
      `
      SELECT ${eventColumns}, true
      FROM {tables}.events e
      WHERE e.log_id = $1::int4 AND e.position = $2::int8 AND e.ctid = $3::text::tid`,
      [tables.log, BigInt(position), row]
    ),
    ([found]) => found && toEvent(found)
  )

/** What a stream has beyond its events, with the version of its last event. There is one row for a stream. */
export interface StateRow {
  readonly streamId: string
  readonly rows: number
  readonly truncatedBefore: number
  readonly metadata: ReadonlyArray<string>
  readonly version: number
}

/** A page of stream_states, each with a probe of events_stream_version_key: of one time. */
export const selectStates = (
  tables: LogTables,
  after: string,
  limit: number
): Effect.Effect<ReadonlyArray<StateRow>, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT s.stream_id::text, s.rows::float8, s.truncated_before::float8, s.metadata::text[], COALESCE((
        SELECT e.stream_version FROM {tables}.events e
        WHERE e.log_id = $1::int4 AND e.stream_id = s.stream_id
        ORDER BY e.stream_version DESC
        LIMIT 1
      ), 0)::float8
      FROM (
        SELECT s.stream_id, count(*) AS rows, max(s.truncated_before) AS truncated_before,
          COALESCE(array_agg(s.metadata::text) FILTER (WHERE s.metadata IS NOT NULL), '{}') AS metadata
        FROM {tables}.stream_states s
        WHERE s.log_id = $1::int4 AND s.stream_id > $2::text
        GROUP BY s.stream_id
        ORDER BY s.stream_id
        LIMIT $3::int8
      ) s
      ORDER BY s.stream_id`,
      [tables.log, after, BigInt(limit)]
    ),
    (rows) =>
      rows.map(([streamId, rows, truncatedBefore, metadata, version]) => ({
        streamId,
        rows,
        truncatedBefore,
        metadata,
        version
      }))
  )
