import { toSql } from "../../Postgres/SchemaName.ts"
import type { LogTables } from "./frame/logSql.ts"

/** The events of one type and shape in a stream. Those that are hidden are none of them. */
export interface TypeCount {
  readonly type: string
  readonly schemaVersion: number
  readonly events: number
  /** As they are stored: large ones are compressed. */
  readonly bytes: number
  readonly firstVersion: number
  /** In milliseconds since 1970. */
  readonly firstRecordedAt: number
  readonly lastRecordedAt: number
}

/** What a stream consists of, from a version on: its range of events_stream_version_key, each event looked at. */
export const selectTypes = ({ log, schema, sql }: LogTables, streamId: string, from: number) =>
  sql.unsafe<TypeCount>(
    `
    SELECT e.event_type::text AS "type", e.schema_version::int4 AS "schemaVersion", count(*)::float8 AS "events",
      sum(pg_column_size(e.data) + COALESCE(pg_column_size(e.metadata), 0))::float8 AS "bytes",
      min(e.stream_version)::float8 AS "firstVersion",
      floor(date_part('epoch', min(e.recorded_at)) * 1000 + 0.0005)::float8 AS "firstRecordedAt",
      floor(date_part('epoch', max(e.recorded_at)) * 1000 + 0.0005)::float8 AS "lastRecordedAt"
    FROM ${toSql(schema)}.events e
    WHERE e.log_id = $1::int4 AND e.stream_id = $2::text AND e.stream_version >= $3::int8
    GROUP BY e.event_type, e.schema_version
    ORDER BY count(*) DESC, e.event_type, e.schema_version`,
    [log, streamId, BigInt(from)]
  )
