import { Effect, Schema } from "effect"
import { toSql } from "../../../Postgres/SchemaName.ts"
import { StoreError } from "../../../Store/StoreError.ts"
import { NotExportable } from "../../ArchiveError.ts"
import type { LogTables } from "../frame/logSql.ts"
import { type ArchivedEvent, type ArchivedStream, timeFormat } from "./archivedEvent.ts"

/** Rows of a statement, decoded; what it answers is no log's where that fails. */
const rows = <A>(
  { sql }: LogTables,
  row: Schema.Codec<A, any>,
  text: string,
  params: ReadonlyArray<unknown>,
  place: string
): Effect.Effect<ReadonlyArray<A>, NotExportable | StoreError> =>
  // planned for these values: which index is the right one depends on them, and a page is worth the while
  sql.unsafe(text, params).valuesUnprepared.pipe(
    Effect.mapError((cause) =>
      new StoreError({ operation: "export", isRetryable: cause.isRetryable, outcome: "not-stored", cause })
    ),
    Effect.flatMap((values) =>
      Effect.mapError(
        Schema.decodeUnknownEffect(Schema.Array(row))(values),
        (error) => new NotExportable({ row: place, problem: error.message.replaceAll(/\s+/g, " ") })
      )
    )
  )

const Head = Schema.Tuple([Schema.NullOr(Schema.Natural), Schema.NullOr(Schema.Natural)])

/** Position of the newest event there has ever been, and the floor: probes of primary keys. */
export const head = (log: LogTables) =>
  Effect.map(
    rows(
      log,
      Head,
      `
      SELECT ${toSql(log.schema)}.log_head($1::int4)::float8,
        (SELECT l.floor::float8 FROM ${toSql(log.schema)}.logs l WHERE l.log_id = $1::int4)`,
      [log.log],
      "its head"
    ),
    ([row]) => row![0] === null ? undefined : { head: row![0], floor: row![1] ?? 0 }
  )

/** Which events: up to a position, from a time and until a time in milliseconds, of some categories. */
export interface Selection {
  readonly head: number
  readonly categories: ReadonlyArray<string> | null
  readonly recordedFrom: number | null
  readonly recordedUntil: number | null
}

const Position = Schema.Tuple([Schema.NullOr(Schema.Natural)])

/**
 * The first position recorded at a time or later, from a position on. No index has the times: this walks the primary key
 * from that position to the event.
 */
const firstSince = (log: LogTables, millis: number, from: number, to: number) =>
  Effect.map(
    rows(
      log,
      Position,
      `
      SELECT (
        SELECT e.position::float8 FROM ${toSql(log.schema)}.events e
        WHERE e.log_id = $1::int4 AND e.position >= $2::int8 AND e.position <= $3::int8
          AND e.recorded_at >= to_timestamp($4::float8 / 1000)
        ORDER BY e.position
        LIMIT 1
      )`,
      [log.log, BigInt(from), BigInt(to), millis],
      "its times"
    ),
    ([row]) => row![0]
  )

/**
 * The positions between the times: from the first event recorded at the one or later, up to the last before one that was
 * recorded at the other or later. Clocks step back, and a stream whose versions had holes could not be imported.
 */
export const range = (log: LogTables, { head, recordedFrom, recordedUntil }: Selection) =>
  Effect.gen(function*() {
    const first = recordedFrom === null ? 1 : yield* firstSince(log, recordedFrom, 1, head)
    if (first === null) return { first: head + 1, last: head }
    const end = recordedUntil === null ? null : yield* firstSince(log, recordedUntil, first, head)
    return { first, last: end === null ? head : end - 1 }
  })

/** Positions, both inclusive, and the categories that are wanted there. */
export interface Span {
  readonly first: number
  readonly last: number
  readonly categories: ReadonlyArray<string> | null
}

/** The condition on the category of a name, as the category index has it. */
const inCategories = (name: string, categories: ReadonlyArray<string> | null, params: Array<unknown>): string =>
  categories === null
    ? ""
    : `
        AND split_part(${name}, '-', 1) ${
      categories.length === 1 ? `= $${params.push(categories[0])}::text` : `= ANY ($${params.push(categories)}::text[])`
    }`

const Count = Schema.Tuple([
  Schema.Natural,
  Schema.NullOr(Schema.Natural),
  Schema.NullOr(Schema.Natural)
])

/** How many events there are between two positions, the first and the last: a range of the primary key, or of the category index. */
export const count = (log: LogTables, { categories, first, last }: Span) => {
  const params: Array<unknown> = [log.log, BigInt(first), BigInt(last)]
  return Effect.map(
    rows(
      log,
      Count,
      `
      SELECT count(*)::float8, min(e.position)::float8, max(e.position)::float8 FROM ${toSql(log.schema)}.events e
      WHERE e.log_id = $1::int4 AND e.position BETWEEN $2::int8 AND $3::int8${
        inCategories("e.stream_id", categories, params)
      }`,
      params,
      "its positions"
    ),
    ([row]) => ({ count: row![0], first: row![1], last: row![2] })
  )
}

const Name = Schema.Tuple([Schema.String])

/** Which categories have no event up to a position: a probe of the category index for each. */
export const emptyCategories = (log: LogTables, categories: ReadonlyArray<string>, last: number) =>
  Effect.map(
    rows(
      log,
      Name,
      `
      SELECT c.name
      FROM unnest($2::text[]) WITH ORDINALITY AS c(name, place)
      WHERE NOT EXISTS (
        SELECT FROM ${toSql(log.schema)}.events e
        WHERE e.log_id = $1::int4 AND split_part(e.stream_id, '-', 1) = c.name AND e.position <= $3::int8
      )
      ORDER BY c.place`,
      [log.log, categories, BigInt(last)],
      "its categories"
    ),
    (found) => found.map(([name]) => name)
  )

/** Most events that are fetched with one statement. */
export const pageEvents = 1000

/**
 * Bytes of data and metadata from which an event is large: its page has the length of them only, so that memory does not depend
 * on what events hold. What counts is the length of the texts, as a database stores repetitive ones in next to nothing.
 */
const largeBytes = 8192

/** Bytes of large events that are fetched together; one that is larger comes alone. */
const partBytes = 4 * 1024 * 1024

const columns = `e.position::float8, e.stream_id::text, e.stream_version::float8, e.event_id::text, e.event_type::text,
        e.schema_version::int4, to_char(e.recorded_at AT TIME ZONE 'UTC', '${timeFormat}'), e.tags::text[]`

const Row = Schema.Tuple([
  Schema.Natural,
  Schema.String,
  Schema.Natural,
  Schema.String,
  Schema.String,
  Schema.Natural,
  Schema.String.check(Schema.isPattern(/^\d{4}-.{22}$/, { expected: "a time between the years 1 and 9999" })),
  Schema.NullOr(Schema.Array(Schema.String)),
  Schema.NullOr(Schema.String),
  Schema.NullOr(Schema.String),
  Schema.NullOr(Schema.Natural)
])

/**
 * The first events of a span, at most {@link pageEvents}: a probe of the primary key for each position. Asked for a range, a
 * database that has no statistics yet (PGlite never has any) takes any index that has positions in it, and reads all of that.
 */
export const page = (log: LogTables, { categories, first, last }: Span) => {
  const params: Array<unknown> = [log.log, BigInt(first), BigInt(last), BigInt(pageEvents)]
  // what is stored in few bytes is unpacked once, to the text itself; of the rest only the length is needed. OFFSET keeps the
  // planner from writing the casts out wherever the texts are named
  const text = (column: string) => `CASE WHEN pg_column_size(${column}) < ${largeBytes} THEN ${column}::text END`
  const bytes = (column: string, text: string) => `
          CASE
            WHEN ${text} IS NOT NULL THEN octet_length(${text})
            WHEN pg_column_compression(${column}) IS NULL THEN pg_column_size(${column})
            ELSE octet_length(${column}::text)
          END`
  return Effect.map(
    rows(
      log,
      Row,
      `
      SELECT ${columns}, CASE WHEN b.bytes < ${largeBytes} THEN t.data END, CASE WHEN b.bytes < ${largeBytes} THEN t.metadata END,
        CASE WHEN b.bytes >= ${largeBytes} THEN b.bytes::float8 END
      FROM generate_series($2::int8, $3::int8) AS n(position)
      CROSS JOIN LATERAL (
        SELECT o.position, o.stream_id, o.stream_version, o.event_id, o.event_type, o.schema_version, o.recorded_at, o.tags,
          o.data, o.metadata
        FROM ${toSql(log.schema)}.events o
        WHERE o.log_id = $1::int4 AND o.position = n.position
        LIMIT 1
      ) e
      CROSS JOIN LATERAL (
        SELECT ${text("e.data")} AS data, ${text("e.metadata")} AS metadata OFFSET 0
      ) t
      CROSS JOIN LATERAL (
        SELECT ${bytes("e.data", "t.data")} + COALESCE(${bytes("e.metadata", "t.metadata")}, 0) AS bytes OFFSET 0
      ) b
      WHERE true${inCategories("e.stream_id", categories, params)}
      ORDER BY n.position
      LIMIT $4::int8`,
      params,
      `position ${first} or after it`
    ),
    (page) => page.map(toEvent)
  )
}

/** An event of a page. `missing` is how many bytes its data and metadata have, where they are still to come. */
interface PageEvent {
  readonly event: Omit<ArchivedEvent, "data"> & { readonly data: string | null }
  readonly missing: number | null
}

const toEvent = (row: typeof Row.Type): PageEvent => ({
  event: {
    position: row[0],
    streamId: row[1],
    streamVersion: row[2],
    eventId: row[3],
    type: row[4],
    schemaVersion: row[5],
    recordedAt: row[6],
    tags: row[7],
    data: row[8],
    metadata: row[9]
  },
  missing: row[10]
})

const Large = Schema.Tuple([Schema.Natural, Schema.String, Schema.NullOr(Schema.String)])

/** The events of a page as arrays, what is large in small ones: probes of the primary key. */
export const filled = (
  log: LogTables,
  page: ReadonlyArray<PageEvent>
): ReadonlyArray<Effect.Effect<ReadonlyArray<ArchivedEvent>, NotExportable | StoreError>> => {
  const parts: Array<Array<PageEvent>> = []
  let bytes = Infinity
  for (const event of page) {
    const missing = event.missing ?? 0
    if (bytes + missing > partBytes) {
      parts.push([])
      bytes = 0
    }
    bytes += missing
    parts.at(-1)!.push(event)
  }
  return parts.map((part) => fetchLarge(log, part))
}

const fetchLarge = (log: LogTables, part: ReadonlyArray<PageEvent>) =>
  Effect.suspend(() => {
    const missing = part.filter(({ missing }) => missing !== null).map(({ event }) => String(event.position))
    const fetched = missing.length === 0 ? Effect.succeed([]) : rows(
      log,
      Large,
      `
      SELECT e.position::float8, e.data::text, e.metadata::text
      FROM ${toSql(log.schema)}.events e
      WHERE e.log_id = $1::int4 AND e.position = ANY ($2::text[]::int8[])`,
      [log.log, missing],
      `position ${missing[0]} or after it`
    )
    return Effect.flatMap(fetched, (found) => {
      const texts = new Map(found.map(([position, data, metadata]) => [position, { data, metadata }]))
      const events: Array<ArchivedEvent> = []
      for (const { event } of part) {
        const { data, ...whole } = { ...event, ...texts.get(event.position) }
        if (data === null) {
          return new NotExportable({ row: `position ${event.position}`, problem: "it was removed while it was read" })
        }
        events.push({ ...whole, data })
      }
      return Effect.succeed(events)
    })
  })

const pageStreams = 500

const Hidden = Schema.Tuple([Schema.String, Schema.NullOr(Schema.Natural)])

/** Streams of which something is hidden, after a name, and the first version that is not: a range of stream_states_hidden_idx. */
export const hidden = (log: LogTables, after: string) =>
  rows(
    log,
    Hidden,
    `
      SELECT s.stream_id::text, CASE WHEN NOT s.tombstoned THEN s.truncated_before::float8 END
      FROM ${toSql(log.schema)}.stream_states s
      WHERE s.log_id = $1::int4 AND s.stream_id > $2::text AND (s.tombstoned OR s.truncated_before > 1)
      ORDER BY s.stream_id
      LIMIT ${pageStreams}`,
    [log.log, after],
    `a stream after ${JSON.stringify(after)}`
  )

const State = Schema.Tuple([Schema.String, Schema.Natural, Schema.Boolean, Schema.NullOr(Schema.String)])

/**
 * What streams have beyond their events, after a name: a range of the primary key, and a probe of the unique index
 * (log_id, stream_id, stream_version) for each. What was hidden by then ends with the last event of the span: what is appended
 * after it is not hidden. With `isPart`, only of streams that have events in the span.
 */
export const states = (
  log: LogTables,
  after: string,
  { categories, first, isPart, last }: Span & { readonly isPart: boolean }
) => {
  const params: Array<unknown> = [log.log, after, BigInt(last)]
  const schema = toSql(log.schema)
  return Effect.map(
    rows(
      log,
      State,
      `
      SELECT s.stream_id::text, LEAST(s.truncated_before, COALESCE(v.stream_version + 1, 0))::float8, s.tombstoned,
        s.metadata::text
      FROM ${schema}.stream_states s
      LEFT JOIN LATERAL (
        SELECT e.stream_version, e.position FROM ${schema}.events e
        WHERE e.log_id = $1::int4 AND e.stream_id = s.stream_id AND e.position <= $3::int8
        ORDER BY e.stream_version DESC
        LIMIT 1
      ) v ON true
      WHERE s.log_id = $1::int4 AND s.stream_id > $2::text${inCategories("s.stream_id", categories, params)}${
        isPart ? `\n        AND v.position >= $${params.push(BigInt(first))}::int8` : ""
      }
      ORDER BY s.stream_id
      LIMIT ${pageStreams}`,
      params,
      `a stream after ${JSON.stringify(after)}`
    ),
    (states) =>
      states.map(([streamId, truncatedBefore, tombstoned, metadata]): ArchivedStream => ({
        streamId,
        truncatedBefore,
        tombstoned,
        metadata
      }))
  )
}
