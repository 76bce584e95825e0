import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { LogFilter } from "../LogFilter.ts"
import type { PageRange, StreamState } from "../LogStorage.ts"

/** A statement and its parameters. */
export interface Statement {
  readonly text: string
  readonly params: ReadonlyArray<unknown>
  /** Whether it must not be prepared, as the plan depends on the parameters. */
  readonly isPlannedAnew?: boolean
}

/** A row as the driver gives it, by place. */
export type Values = ReadonlyArray<any>

/** What is read of an event `e`, in the order of {@link toStored}. */
export const columns =
  `e.position::float8, e.stream_id::text, e.stream_version::float8, e.event_id::text, e.event_type::text,
        e.schema_version::int4, e.data::text, e.metadata::text, e.tags::text[],
        date_part('epoch', e.recorded_at)::float8`

/** Stored bytes from which an event is large: below, a whole page of them is no burden. */
const largeBytes = 2000

/**
 * What a page holds of an event `e`: as {@link columns}, but of a large event neither data nor metadata. These are fetched
 * a few at a time, so that what a reader keeps in memory does not depend on what the events hold.
 */
export const pageColumns = columns.replaceAll(
  /e\.(?:data|metadata)::text/g,
  (column) =>
    `CASE WHEN pg_column_size(e.data) + COALESCE(pg_column_size(e.metadata), 0) < ${largeBytes} THEN ${column} END`
)

/** Data and metadata of events that a page left out: a probe of the primary key for each. */
export const largeEvents = (schema: string, log: number, positions: ReadonlyArray<number>): Statement => ({
  text: `
      SELECT e.position::float8, e.data::text, e.metadata::text
      FROM ${schema}.events e
      WHERE e.log_id = $1::int4 AND e.position = ANY ($2::text[]::int8[])`,
  params: [log, positions.map(String)]
})

/** A row of {@link columns}. */
export const toStored = (row: Values): StoredEvent => ({
  position: row[0],
  streamId: row[1],
  streamVersion: row[2],
  eventId: row[3],
  type: row[4],
  schemaVersion: row[5],
  data: row[6],
  metadata: row[7],
  tags: row[8],
  // the millisecond in which it was recorded, so that a filter from this time on finds it; the rest is what a float loses
  recordedAt: Math.floor(row[9] * 1000 + 0.0005)
})

/** A page of one stream, without what is large: a range of the unique index (log_id, stream_id, stream_version). */
export const streamPage = (
  schema: string,
  log: number,
  streamId: string,
  { direction, from, limit, to }: PageRange
): Statement => {
  const forward = direction === "forward"
  return {
    text: `
      SELECT ${pageColumns}
      FROM ${schema}.events e
      WHERE e.log_id = $1::int4
        AND e.stream_id = $2::text
        AND e.stream_version ${forward ? ">=" : "<="} $3::int8
        AND e.stream_version ${forward ? "<=" : ">="} $4::int8
        AND e.stream_version >= (${firstVisible(schema)})
      ORDER BY e.stream_version ${forward ? "ASC" : "DESC"}
      LIMIT $5::int8`,
    params: [log, streamId, BigInt(from), BigInt(to), BigInt(limit)]
  }
}

/** The version below which the events of stream $2 are hidden. */
const firstVisible = (schema: string) => `
              SELECT COALESCE(max(CASE WHEN s.tombstoned THEN 9223372036854775807 ELSE s.truncated_before END), 0)
              FROM ${schema}.stream_states s
              WHERE s.log_id = $1::int4 AND s.stream_id = $2::text`

/** How many events of a stream the current transaction staged. */
export const stagedCount = (schema: string, log: number, streamId: string): Statement => ({
  text: `
      SELECT count(*)::float8 FROM ${schema}.staged_events e WHERE e.log_id = $1::int4 AND e.stream_id = $2::text`,
  params: [log, streamId]
})

/**
 * All of a range of one stream, with what the current transaction staged behind its end. One statement and no pages: what
 * others commit meanwhile moves the end, and with it the versions of what is staged. Staged events have no positions yet.
 */
export const streamWithStaged = (
  schema: string,
  log: number,
  streamId: string,
  { direction, from, to }: PageRange
): Statement => {
  const forward = direction === "forward"
  return {
    text: `
      SELECT ${columns}
      FROM (
        SELECT e.position, e.stream_id, e.stream_version, e.event_id, e.event_type, e.schema_version, e.data, e.metadata,
          e.tags, e.recorded_at
        FROM ${schema}.events e
        WHERE e.log_id = $1::int4 AND e.stream_id = $2::text
        UNION ALL
        SELECT 0, g.stream_id,
          (
            SELECT COALESCE(max(l.stream_version), 0) FROM ${schema}.events l
            WHERE l.log_id = $1::int4 AND l.stream_id = $2::text
          ) + row_number() OVER (ORDER BY g.staged_id, g.ordinal),
          g.event_id, g.event_type, g.schema_version, g.data, g.metadata, g.tags, g.recorded_at
        FROM ${schema}.staged_events g
        WHERE g.log_id = $1::int4 AND g.stream_id = $2::text
      ) e
      WHERE e.stream_version ${forward ? ">=" : "<="} $3::int8
        AND e.stream_version ${forward ? "<=" : ">="} $4::int8
        AND e.stream_version >= (${firstVisible(schema)})
      ORDER BY e.stream_version ${forward ? "ASC" : "DESC"}`,
    params: [log, streamId, BigInt(from), BigInt(to)]
  }
}

/**
 * A page of the log, without what is large. Without types, categories or tags it is a range of the primary key. One type or category is a range
 * of events_type_idx or events_category_idx; a few are one range each, merged in the order of positions as far as the page
 * reaches. Tags are looked up in events_tags_idx where they are rare, a prefix in events_stream_version_key where few
 * streams have it. Hidden events are looked for only where the log has any: the first EXISTS is evaluated once.
 */
export const logPage = (
  schema: string,
  log: number,
  filter: LogFilter,
  { direction, from, limit, to }: PageRange
): Statement => {
  const forward = direction === "forward"
  const params: Array<unknown> = [log, BigInt(from), BigInt(to), BigInt(limit)]
  const parameter = (value: unknown, type: string) => `$${params.push(value)}::${type}`
  const conditions: Array<string> = []
  const where = (value: unknown, type: string, condition: (parameter: string) => string) => {
    if (value !== null) conditions.push(condition(parameter(value, type)))
  }
  where(filter.streamPrefix, "text", (p) => `starts_with(e.stream_id, ${p})`)
  where(filter.tags, "text[]", (p) => `e.tags @> ${p}`)
  where(seconds(filter.recordedFrom), "float8", (p) => `e.recorded_at >= to_timestamp(${p})`)
  where(seconds(filter.recordedUntil), "float8", (p) => `e.recorded_at < to_timestamp(${p})`)
  const lists = [
    { expression: "e.event_type", values: distinct(filter.types) },
    { expression: "split_part(e.stream_id, '-', 1)", values: distinct(filter.categories) }
  ].filter(({ values }) => values !== undefined)
  const ranges = lists.reduce((product, { values }) => product * values!.length, 1)
  // each way to take one value of every list; too many of them are a filter
  let alternatives: ReadonlyArray<ReadonlyArray<string>> = [[]]
  for (const { expression, values } of lists) {
    if (ranges > mergedRanges || ranges === 0) {
      where(values!, "text[]", (p) => `${expression} = ANY (${p})`)
    } else {
      const equalities = values!.map((value) => `${expression} = ${parameter(value, "text")}`)
      alternatives = alternatives.flatMap((others) => equalities.map((equality) => [...others, equality]))
    }
  }
  const order = `
          ORDER BY e.position ${forward ? "ASC" : "DESC"}
          LIMIT $4::int8`
  const range = (equalities: ReadonlyArray<string>) => `
          FROM ${schema}.events e
          WHERE e.log_id = $1::int4
            AND e.position ${forward ? ">=" : "<="} $2::int8
            AND e.position ${forward ? "<=" : ">="} $3::int8${
    [...equalities, ...conditions].map((condition) => `\n            AND ${condition}`).join("")
  }
            AND (
              NOT EXISTS (
                SELECT FROM ${schema}.stream_states s WHERE s.log_id = $1::int4 AND (s.tombstoned OR s.truncated_before > 1)
              )
              OR NOT EXISTS (
                SELECT FROM ${schema}.stream_states s
                WHERE s.log_id = e.log_id AND s.stream_id = e.stream_id
                  AND (s.tombstoned OR s.truncated_before > e.stream_version)
              )
            )${order}`
  const source = alternatives.length === 1 ? range(alternatives[0]!) : `
          FROM (${alternatives.map((equalities) => `(SELECT e.*${range(equalities)})`).join(" UNION ALL ")}) e${order}`
  return {
    text: `
      SELECT ${pageColumns}${source}`,
    params,
    // which index is the right one depends on the values, so a plan that is kept for all of them would be a bad one
    isPlannedAnew: ranges > mergedRanges || lists.length > 1 || filter.tags !== null || filter.streamPrefix !== null
  }
}

/** Ranges of an index that are read one by one, and merged. */
const mergedRanges = 16

const distinct = (values: ReadonlyArray<string> | null): ReadonlyArray<string> | undefined =>
  values === null ? undefined : [...new Set(values)]

const seconds = (millis: number | null): number | null => millis === null ? null : millis / 1000

/** One event by its id: one probe of the unique index (log_id, event_id). */
export const eventById = (schema: string, log: number, eventId: string): Statement => ({
  text: `
      SELECT ${columns}
      FROM ${schema}.events e
      WHERE e.log_id = $1::int4
        AND e.event_id = $2::uuid
        AND ${isVisible(schema)}`,
  params: [log, eventId]
})

/**
 * Where events stand, by their ids: probes of the unique index (log_id, event_id). A plan that a connection made while the
 * log was short would read all of it for ever.
 */
export const positions = (schema: string, log: number, eventIds: ReadonlyArray<string>): Statement => ({
  text: `
      SELECT e.event_id::text, e.position::float8
      FROM ${schema}.events e
      WHERE e.log_id = $1::int4
        AND e.event_id = ANY ($2::text[]::uuid[])`,
  params: [log, eventIds],
  isPlannedAnew: true
})

/** Whether an event `e` is not hidden: one probe of stream_states. */
export const isVisible = (schema: string): string =>
  `NOT EXISTS (
          SELECT FROM ${schema}.stream_states s
          WHERE s.log_id = e.log_id AND s.stream_id = e.stream_id
            AND (s.tombstoned OR s.truncated_before > e.stream_version)
        )`

/** Position of the newest event there has ever been. */
export const logHead = (schema: string, log: number): Statement => ({
  text: `SELECT ${schema}.log_head($1::int4)::float8`,
  params: [log]
})

/** The head, and the id of the event at a position: a probe of the primary key. */
export const identity = (schema: string, log: number, position: number): Statement => ({
  text: `
      SELECT
        ${schema}.log_head($1::int4)::float8,
        (SELECT e.event_id FROM ${schema}.events e WHERE e.log_id = $1::int4 AND e.position = $2::int8)::text`,
  params: [log, BigInt(position)]
})

const stateColumns = "s.truncated_before::float8, s.tombstoned, s.metadata::text"

/** A row of a stream's name, version and {@link stateColumns}. */
export const toState = (row: Values): StreamState => ({
  streamId: row[0],
  version: row[1],
  truncatedBefore: row[2] ?? 0,
  tombstoned: row[3] ?? false,
  metadata: row[4]
})

/** What one stream is: one probe of the unique index (log_id, stream_id, stream_version), one of stream_states. */
export const streamState = (schema: string, log: number, streamId: string): Statement => ({
  text: `
      SELECT n.stream_id, COALESCE(e.stream_version, 0)::float8, ${stateColumns}
      FROM (SELECT $2::text AS stream_id) n
      LEFT JOIN LATERAL (
        SELECT l.stream_version FROM ${schema}.events l
        WHERE l.log_id = $1::int4 AND l.stream_id = n.stream_id
        ORDER BY l.stream_version DESC
        LIMIT 1
      ) e ON true
      LEFT JOIN ${schema}.stream_states s ON s.log_id = $1::int4 AND s.stream_id = n.stream_id`,
  params: [log, streamId]
})

/**
 * A page of stream names: jumps from one stream to the next in the unique index (log_id, stream_id, stream_version),
 * however many events lie between.
 */
export const streamsPage = (
  schema: string,
  log: number,
  { after, limit, prefix }: { readonly prefix: string; readonly after: string; readonly limit: number }
): Statement => ({
  text: `
      WITH RECURSIVE names AS (
        (
          SELECT e.stream_id FROM ${schema}.events e
          WHERE e.log_id = $1::int4 AND e.stream_id > $2::text AND e.stream_id >= $3::text
          ORDER BY e.stream_id
          LIMIT 1
        )
        UNION ALL
        SELECT (
          SELECT e.stream_id FROM ${schema}.events e
          WHERE e.log_id = $1::int4 AND e.stream_id > n.stream_id
          ORDER BY e.stream_id
          LIMIT 1
        )
        FROM names n
        WHERE starts_with(n.stream_id, $3::text)
      )
      SELECT n.stream_id::text, v.stream_version::float8, ${stateColumns}
      FROM (
        SELECT n.stream_id FROM names n WHERE starts_with(n.stream_id, $3::text) LIMIT $4::int8
      ) n
      CROSS JOIN LATERAL (
        SELECT e.stream_version FROM ${schema}.events e
        WHERE e.log_id = $1::int4 AND e.stream_id = n.stream_id
        ORDER BY e.stream_version DESC
        LIMIT 1
      ) v
      LEFT JOIN ${schema}.stream_states s ON s.log_id = $1::int4 AND s.stream_id = n.stream_id
      ORDER BY n.stream_id COLLATE "C"`,
  params: [log, after, prefix, BigInt(limit)]
})
