import type {
  NewSnapshot,
  SnapshotDetails,
  SnapshotFilter,
  SnapshotInfo,
  SnapshotKey,
  SnapshotMark,
  SnapshotRange,
  StoredSnapshot
} from "../SnapshotStorage.ts"
import { pageColumns, type Statement, type Values } from "./eventsSql.ts"

/** What is read of a snapshot `n`, in the order of {@link toDetails}. */
const columns = `n.name::text, n.stream_id::text, n.schema_version::int4, n.stream_version::float8, n.position::float8,
        n.event_id::text, n.truncated_before::float8, n.bytes::int4, date_part('epoch', n.saved_at)::float8`

const nothing = `NULL::text, NULL::text, NULL::int4, NULL::float8, NULL::float8, NULL::text, NULL::float8, NULL::int4,
        NULL::float8`

const columnCount = 9

const toDetails = (row: Values): SnapshotDetails => ({
  name: row[0],
  streamId: row[1],
  schemaVersion: row[2],
  streamVersion: row[3],
  position: row[4],
  eventId: row[5],
  truncatedBefore: row[6],
  bytes: row[7],
  savedAt: Math.floor(row[8] * 1000 + 0.0005)
})

/** Columns of an event, see {@link pageColumns}. */
const eventColumnCount = 10

/**
 * What a stream may be folded on from, and the events behind it: first a row without an event, then one for each event. `mark`
 * is a query for one row or none, with the columns of a mark; `more` are columns for the first row, of `n`, the mark if it
 * holds, and `none` the same for the others.
 *
 * One probe each of stream_states and, for the event at the mark, of the unique index (log_id, stream_id, stream_version),
 * then a range of that index.
 */
const resumed = (schema: string, mark: string, more: string, none: string): string => `
      WITH stream AS MATERIALIZED (
        SELECT COALESCE(max(s.truncated_before), 0) AS truncated_before, COALESCE(bool_or(s.tombstoned), false) AS tombstoned
        FROM ${schema}.stream_states s
        WHERE s.log_id = $1::int4 AND s.stream_id = $2::text
      ),
      found AS MATERIALIZED (${mark}),
      held AS MATERIALIZED (
        SELECT f.*
        FROM found f
        CROSS JOIN stream t
        WHERE NOT t.tombstoned
          AND GREATEST(t.truncated_before, 1) = GREATEST(f.truncated_before, 1)
          AND (
            SELECT e.event_id = f.event_id AND e.position = f.position
            FROM ${schema}.events e
            WHERE e.log_id = $1::int4 AND e.stream_id = $2::text AND e.stream_version = f.stream_version
            LIMIT 1
          )
      )
      SELECT NULL::float8, NULL::text, NULL::float8, NULL::text, NULL::text, NULL::int4, NULL::text, NULL::text,
        NULL::text[], NULL::float8,
        t.tombstoned, t.truncated_before::float8, EXISTS (SELECT FROM found), EXISTS (SELECT FROM held)${more}
      FROM stream t
      LEFT JOIN held n ON true
      UNION ALL
      SELECT p.*, NULL::bool, NULL::float8, NULL::bool, NULL::bool${none}
      FROM (
        SELECT ${pageColumns}
        FROM ${schema}.events e
        WHERE e.log_id = $1::int4
          AND e.stream_id = $2::text
          AND e.stream_version > (SELECT COALESCE(max(h.stream_version), 0) FROM held h)
          AND e.stream_version <= $3::int8
          AND e.stream_version >= (
            SELECT CASE WHEN t.tombstoned THEN 9223372036854775807 ELSE t.truncated_before END FROM stream t
          )
        ORDER BY e.stream_version
        LIMIT $4::int8
      ) p`

/** A snapshot if it holds, and the events behind it: as {@link resumed}, with a probe of snapshots_pkey. */
export const loadSnapshot = (
  schema: string,
  log: number,
  streamId: string,
  name: string,
  { limit, to }: SnapshotRange
): Statement => ({
  text: resumed(
    schema,
    `
        SELECT n.name, n.stream_id, n.schema_version, n.stream_version, n.position, n.event_id, n.truncated_before, n.bytes,
          n.saved_at, n.state
        FROM ${schema}.snapshots n
        WHERE n.log_id = $1::int4 AND n.stream_id = $2::text AND n.name = $5::text AND n.stream_version <= $3::int8
      `,
    `, ${columns}, n.state::text`,
    `, ${nothing}, NULL::text`
  ),
  params: [log, streamId, BigInt(to), BigInt(limit), name]
})

/** Whether a mark holds, and the events behind it: see {@link resumed}. */
export const resumeFrom = (
  schema: string,
  log: number,
  streamId: string,
  mark: SnapshotMark | undefined,
  { limit, to }: SnapshotRange
): Statement => ({
  text: resumed(
    schema,
    `
        SELECT m.stream_version, m.position, m.event_id, m.truncated_before
        FROM (
          SELECT $5::int8 AS stream_version, $6::int8 AS position, $7::uuid AS event_id, $8::int8 AS truncated_before
        ) m
        WHERE m.event_id IS NOT NULL
      `,
    "",
    ""
  ),
  params: [
    log,
    streamId,
    BigInt(to),
    BigInt(limit),
    BigInt(mark?.streamVersion ?? 0),
    BigInt(mark?.position ?? 0),
    mark?.eventId ?? null,
    BigInt(mark?.truncatedBefore ?? 0)
  ]
})

/** The first row of {@link loadSnapshot} or {@link resumeFrom}. */
export interface Head {
  readonly tombstoned: boolean
  readonly truncatedBefore: number
  readonly isFound: boolean
  readonly holds: boolean
  readonly snapshot: StoredSnapshot | undefined
}

/** The first row, and those of the events in the order of their versions. */
export const toHead = (
  rows: ReadonlyArray<Values>
): { readonly head: Head; readonly events: ReadonlyArray<Values> } => {
  const isHead = (row: Values) => row[eventColumnCount] !== null
  const row = rows.find(isHead)!.slice(eventColumnCount)
  const [tombstoned, truncatedBefore, isFound, holds, ...snapshot] = row
  return {
    head: {
      tombstoned,
      truncatedBefore,
      isFound,
      holds,
      snapshot: holds && snapshot.length > 0 ? { ...toDetails(snapshot), state: snapshot[columnCount] } : undefined
    },
    // nothing says that the parts of a UNION come one after the other
    events: rows.filter((row) => !isHead(row)).sort((a, b) => a[2] - b[2])
  }
}

export const saveSnapshot = (schema: string, log: number, snapshot: NewSnapshot): Statement => ({
  text: `
      SELECT ${schema}.save_snapshot(
        $1::int4, $2::text, $3::text, $4::int2, $5::int8, $6::int8, $7::uuid, $8::int8, $9::text::json
      )`,
  params: [
    log,
    snapshot.streamId,
    snapshot.name,
    snapshot.schemaVersion,
    BigInt(snapshot.streamVersion),
    BigInt(snapshot.position),
    snapshot.eventId,
    BigInt(snapshot.truncatedBefore),
    snapshot.state
  ]
})

/** The streams of a category stand from its hyphen on, before what comes after a hyphen. */
const rangeOf = (category: string | undefined): readonly [string | null, string | null] =>
  category === undefined ? [null, null] : [`${category}-`, `${category}.`]

/**
 * A page of snapshots: a range of snapshots_pkey, or of snapshots_name_idx where a name is given. For each whether it holds:
 * a probe of stream_states and one of the unique index (log_id, stream_id, stream_version).
 */
export const snapshotsPage = (
  schema: string,
  log: number,
  { category, name, streamId }: SnapshotFilter,
  after: SnapshotKey | undefined,
  limit: number
): Statement => {
  const params: Array<unknown> = [log, after?.streamId ?? "", after?.name ?? "", BigInt(limit)]
  const [from, until] = rangeOf(category)
  const conditions = ([
    ["n.stream_id >=", from],
    ["n.stream_id <", until],
    ["n.stream_id =", streamId],
    ["n.name =", name]
  ] as const).flatMap(([left, value]) =>
    value === undefined || value === null ? [] : [`\n          AND ${left} $${params.push(value)}::text`]
  )
  return {
    text: `
      SELECT ${columns}, COALESCE(
        (
          SELECT e.event_id = n.event_id AND e.position = n.position
          FROM ${schema}.events e
          WHERE e.log_id = n.log_id AND e.stream_id = n.stream_id AND e.stream_version = n.stream_version
          LIMIT 1
        )
        AND GREATEST(n.truncated_before, 1) = COALESCE((
          SELECT CASE WHEN s.tombstoned THEN 0 ELSE GREATEST(s.truncated_before, 1) END
          FROM ${schema}.stream_states s
          WHERE s.log_id = n.log_id AND s.stream_id = n.stream_id
        ), 1),
        false
      )
      FROM (
        SELECT n.* FROM ${schema}.snapshots n
        WHERE n.log_id = $1::int4
          AND n.stream_id >= $2::text
          AND (n.stream_id > $2::text OR n.name > $3::text)${conditions.join("")}
        ORDER BY n.stream_id, n.name
        LIMIT $4::int8
      ) n
      ORDER BY n.stream_id, n.name`,
    params
  }
}

/** A row of {@link snapshotsPage}. */
export const toInfo = (row: Values): SnapshotInfo => ({ ...toDetails(row), holds: row[columnCount] })

export const dropSnapshots = (
  schema: string,
  log: number,
  { category, name, streamId }: SnapshotFilter
): Statement => ({
  text: `
      SELECT ${schema}.drop_snapshots($1::int4, $2::text, $3::text, $4::text, $5::text)::float8`,
  params: [log, ...rangeOf(category), streamId ?? null, name ?? null]
})
