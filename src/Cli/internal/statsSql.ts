/** What statistics ask of a log. Everything walks ranges of events_pkey, whose size the caller decides. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { toSql } from "../../Postgres/SchemaName.ts"
import type { LogTables } from "./frame/logSql.ts"

/** Positions behind `after`, up to `to`. */
export interface Block {
  readonly after: number
  readonly to: number
}

/** Events of one category, type or day. `bytes` is what data and metadata take as they are stored. */
export interface Count {
  readonly by: "category" | "type" | "day"
  readonly name: string
  readonly events: number
  readonly bytes: number
}

/** Which events count besides those of the blocks, in milliseconds since 1970. */
export interface Times {
  readonly since: number | undefined
  readonly until: number | undefined
}

type Rows<A> = Effect.Effect<ReadonlyArray<A>, SqlError.SqlError>

const run = <A extends object>({ schema, sql }: LogTables, text: string, params: ReadonlyArray<unknown>): Rows<A> =>
  sql.unsafe<A>(text.replaceAll("{tables}", toSql(schema)), params)

/** The oldest and the newest position that is there, 0 for none: two probes. */
export const selectEnds = (tables: LogTables) =>
  Effect.map(
    run<{ oldest: number; newest: number }>(
      tables,
      `
      SELECT
        COALESCE((
          SELECT e.position FROM {tables}.events e WHERE e.log_id = $1::int4 ORDER BY e.position LIMIT 1
        ), 0)::float8 AS oldest,
        COALESCE((
          SELECT e.position FROM {tables}.events e WHERE e.log_id = $1::int4 ORDER BY e.position DESC LIMIT 1
        ), 0)::float8 AS newest`,
      [tables.log]
    ),
    ([row]) => row!
  )

/**
 * The first position that was recorded at a time or later, as far as times follow positions: about as many probes as the log's
 * length has binary digits. Answers the position behind the end where there is none.
 */
export const positionAt = (
  tables: LogTables,
  millis: number,
  ends: { readonly oldest: number; readonly newest: number }
) =>
  Effect.gen(function*() {
    let low = ends.oldest
    let high = ends.newest + 1
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const [found] = yield* run<{ position: number; recorded: number }>(
        tables,
        `
        SELECT e.position::float8 AS position, (date_part('epoch', e.recorded_at) * 1000)::float8 AS recorded
        FROM {tables}.events e
        WHERE e.log_id = $1::int4 AND e.position >= $2::int8
        ORDER BY e.position
        LIMIT 1`,
        [tables.log, BigInt(middle)]
      )
      if (found === undefined || found.recorded >= millis) high = middle
      else low = found.position + 1
    }
    return low
  })

// a limit that is never reached tells the planner to walk the key
const events = (columns: string) => `
      FROM unnest($2::text[]::int8[], $3::text[]::int8[]) AS b(after_position, to_position)
      CROSS JOIN LATERAL (
        SELECT ${columns}
        FROM {tables}.events e
        WHERE e.log_id = $1::int4 AND e.position > b.after_position AND e.position <= b.to_position
          AND ($4::float8 IS NULL OR e.recorded_at >= to_timestamp($4::float8))
          AND ($5::float8 IS NULL OR e.recorded_at < to_timestamp($5::float8))
        ORDER BY e.position
        LIMIT 1000000000
      ) e`

const paramsOf = ({ log }: LogTables, blocks: ReadonlyArray<Block>, { since, until }: Times) => [
  log,
  blocks.map(({ after }) => String(after)),
  blocks.map(({ to }) => String(to)),
  since === undefined ? null : since / 1000,
  until === undefined ? null : until / 1000
]

/** Counts the events of blocks by category, by type and by day in UTC. */
export const selectCounts = (tables: LogTables, blocks: ReadonlyArray<Block>, times: Times): Rows<Count> =>
  run(
    tables,
    `
      SELECT
        CASE WHEN GROUPING(e.category) = 0 THEN 'category' WHEN GROUPING(e.event_type) = 0 THEN 'type' ELSE 'day' END AS "by",
        COALESCE(e.category, e.event_type, e.day::text)::text AS "name",
        count(*)::float8 AS "events", sum(e.bytes)::float8 AS "bytes"${
      events(
        `split_part(e.stream_id, '-', 1) AS category, e.event_type, (e.recorded_at AT TIME ZONE 'UTC')::date AS day,
          pg_column_size(e.data) + COALESCE(pg_column_size(e.metadata), 0) AS bytes`
      )
    }
      GROUP BY GROUPING SETS ((e.category), (e.event_type), (e.day))`,
    paramsOf(tables, blocks, times)
  )

/** Streams of blocks: those with the most events in them first, and how long each was there. */
export const selectStreams = (
  tables: LogTables,
  blocks: ReadonlyArray<Block>,
  times: Times,
  by: "events" | "version",
  limit: number
): Rows<{ readonly streamId: string; readonly events: number; readonly version: number }> =>
  run(
    tables,
    `
      SELECT e.stream_id::text AS "streamId", count(*)::float8 AS "events", max(e.stream_version)::float8 AS "version"${
      events("e.stream_id, e.stream_version")
    }
      GROUP BY e.stream_id
      ORDER BY ${by === "events" ? "count(*)" : "max(e.stream_version)"} DESC, e.stream_id COLLATE "C"
      LIMIT $6::int8`,
    [...paramsOf(tables, blocks, times), BigInt(limit)]
  )

/** Versions of streams: a probe of events_stream_version_key each. */
export const selectVersions = (
  tables: LogTables,
  streamIds: ReadonlyArray<string>
): Rows<{ readonly streamId: string; readonly version: number }> =>
  run(
    tables,
    `
      SELECT n.stream_id AS "streamId", v.stream_version::float8 AS "version"
      FROM unnest($2::text[]) AS n(stream_id)
      CROSS JOIN LATERAL (
        SELECT e.stream_version FROM {tables}.events e
        WHERE e.log_id = $1::int4 AND e.stream_id = n.stream_id
        ORDER BY e.stream_version DESC
        LIMIT 1
      ) v
      ORDER BY v.stream_version DESC, n.stream_id COLLATE "C"`,
    [tables.log, streamIds]
  )

/** What a table takes on disk, for all logs in it. */
export interface TableSize {
  readonly table: string
  readonly bytes: number
  readonly indexBytes: number
  /** An estimate of the database; `null` where it has none. */
  readonly rows: number | null
}

/** The tables of the event store, the largest first. */
export const selectSizes = ({ schema, sql }: LogTables): Rows<TableSize> =>
  sql<TableSize>`
      SELECT c.relname::text AS "table", pg_table_size(c.oid)::float8 AS "bytes",
        pg_indexes_size(c.oid)::float8 AS "indexBytes", NULLIF(c.reltuples, -1)::float8 AS "rows"
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = ${schema} AND c.relkind = 'r'
      ORDER BY pg_total_relation_size(c.oid) DESC, c.relname`

/** What the whole database takes on disk. */
export const selectDatabaseSize = ({ sql }: LogTables) =>
  Effect.map(
    sql<{ bytes: number }>`SELECT pg_database_size(current_database())::float8 AS bytes`,
    ([row]) => row!.bytes
  )
