import { Effect } from "effect"
import { toSql } from "../../Postgres/SchemaName.ts"
import type { LogTables } from "./frame/logSql.ts"

/** An event that follows from another one, and where it stands. */
export interface Follower {
  readonly position: number
  readonly eventId: string
  readonly streamId: string
  readonly streamVersion: number
  readonly type: string
  readonly schemaVersion: number
  /** In milliseconds since 1970. */
  readonly recordedAt: number
  readonly causationId: string
}

/**
 * The events of a range of positions that name one of some event ids as their causation: a range of events_pkey. No index has
 * what stands in metadata, so each event in the range is looked at; as a text, for a name that is rare is found in it sooner
 * than anything is parsed.
 */
export const selectFollowers = (
  { log, schema, sql }: LogTables,
  ids: ReadonlyArray<string>,
  range: { readonly after: number; readonly to: number }
): Effect.Effect<ReadonlyArray<Follower>, Effect.Error<ReturnType<typeof sql.unsafe>>> =>
  Effect.map(
    sql.unsafe<Omit<Follower, "causationId"> & { readonly metadata: string }>(
      `
      SELECT e.position::float8 AS "position", e.event_id::text AS "eventId", e.stream_id::text AS "streamId",
        e.stream_version::float8 AS "streamVersion", e.event_type::text AS "type", e.schema_version::int4 AS "schemaVersion",
        floor(date_part('epoch', e.recorded_at) * 1000 + 0.0005)::float8 AS "recordedAt", e.metadata::text AS "metadata"
      FROM ${toSql(schema)}.events e
      WHERE e.log_id = $1::int4 AND e.position > $2::int8 AND e.position <= $3::int8
        AND e.metadata::text LIKE ANY ($4::text[])
        AND NOT EXISTS (
          SELECT FROM ${toSql(schema)}.stream_states s
          WHERE s.log_id = e.log_id AND s.stream_id = e.stream_id
            AND (s.tombstoned OR s.truncated_before > e.stream_version)
        )
      ORDER BY e.position`,
      [log, BigInt(range.after), BigInt(range.to), ids.map((id) => `%${id}%`)]
    ),
    (rows) =>
      rows.flatMap(({ metadata, ...row }) => {
        const { causationId } = JSON.parse(metadata) as { readonly causationId?: unknown }
        return typeof causationId === "string" && ids.includes(causationId) ? [{ ...row, causationId }] : []
      })
  )
