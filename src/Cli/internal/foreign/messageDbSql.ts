import { Effect, Option, Schema, Stream } from "effect"
import { timeFormat } from "../archive/archivedEvent.ts"
import * as Json from "../archive/exactJson.ts"
import type { ForeignError } from "./foreignError.ts"
import type { ForeignEvent } from "./foreignEvent.ts"
import { sameNames } from "./foreignRename.ts"
import * as ForeignSource from "./foreignSource.ts"
import { decodeRows, eventsOf, failedAt, type ForeignTables, placeOf, requireTable } from "./foreignSql.ts"

const store = "message-db"

const Row = Schema.Struct({
  global_position: Schema.Int,
  stream_name: Schema.String,
  position: Schema.Int,
  id: Schema.String,
  type: Schema.String,
  data: Schema.NullOr(Schema.String),
  metadata: Schema.NullOr(Schema.String),
  causation_id: Schema.NullOr(Schema.String),
  recorded_at: Schema.String
})

const decode = decodeRows(store, Row)

const Counts = Schema.Tuple([Schema.Struct({ events: Schema.Int, head: Schema.Int })])

const pageSize = 500

/**
 * The messages in message-db's table, `message_store.messages`, in the order of their global positions: a page is a range of
 * its primary key. The message that caused another one is found by its stream and position, a probe of `messages_stream` each.
 */
export const make = (
  tables: ForeignTables,
  options: ForeignSource.MovingOptions = {}
): Effect.Effect<ForeignSource.ForeignSource, ForeignError> =>
  Effect.gen(function*() {
    const { schema = "message_store", sql } = tables
    yield* requireTable(
      store,
      { schema, sql },
      "messages",
      ["global_position", "stream_name", "position", "id", "type", "data", "metadata", "time"],
      "Name the schema and the database of message-db, and connect as a role that may read its table."
    )
    const messages = sql(`${schema}.messages`)

    const rows = yield* sql`
      SELECT count(*)::float8 AS events, COALESCE(max(m.global_position), 0)::float8 AS head
      FROM ${messages} m`.pipe(failedAt(store, "counting its messages"))
    const [{ events: total, head }] = yield* Effect.orDie(Schema.decodeUnknownEffect(Counts)(rows))

    const pageAfter = (after: number) =>
      sql<Record<string, unknown>>`
      SELECT
        m.global_position::float8 AS global_position,
        m.stream_name,
        m.position::float8 AS position,
        m.id::text AS id,
        m.type,
        m.data::text AS data,
        m.metadata::text AS metadata,
        (
          SELECT c.id::text
          FROM ${messages} c
          WHERE c.stream_name = m.metadata->>'causationMessageStreamName'
            AND c.position = CASE
              WHEN m.metadata->>'causationMessagePosition' ~ '^[0-9]{1,18}$'
              THEN (m.metadata->>'causationMessagePosition')::int8
            END
          LIMIT 1
        ) AS causation_id,
        to_char(m.time, ${timeFormat}) AS recorded_at
      FROM (
        SELECT p.global_position, p.stream_name, p.position, p.id, p.type, p.data, p.metadata, p.time
        FROM ${messages} p
        WHERE p.global_position > ${BigInt(after)} AND p.global_position <= ${BigInt(head)}
        ORDER BY p.global_position
        LIMIT ${pageSize}
      ) m
      ORDER BY m.global_position`.pipe(failedAt(store, "reading its messages"))

    const events = Stream.paginate(Number.MIN_SAFE_INTEGER, (after: number) =>
      Effect.gen(function*() {
        const [first, ...rest] = yield* pageAfter(after)
        if (first === undefined) return [[], Option.none()] as const
        const rows = yield* decode([first, ...rest])
        return [
          yield* eventsOf(store, toEvent)(rows),
          rows.length < pageSize ? Option.none() : Option.some(rows[rows.length - 1]!.global_position)
        ] as const
      }))

    return ForeignSource.make(store, sameNames, options, {
      total,
      passedOver: [],
      // by the index messages_id
      hasUniqueIds: true,
      events,
      streams: Stream.empty
    })
  })

/** message-db counts versions from 0, and a message may have no data. */
const toEvent = (row: typeof Row.Type): ForeignEvent => {
  const metadata = row.metadata === null ? undefined : Json.parse(row.metadata)
  return {
    place: placeOf(row),
    stream: row.stream_name,
    source: row.stream_name,
    version: row.position + 1,
    id: row.id,
    type: row.type,
    schemaVersion: Json.isObject(metadata) ? Json.scalarText(metadata["schemaVersion"]) : undefined,
    data: row.data === null || row.data === "null" ? {} : Json.parse(row.data),
    metadata,
    ...(row.causation_id === null ? {} : { causationId: row.causation_id }),
    recordedAt: row.recorded_at
  }
}
