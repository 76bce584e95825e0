import { Effect, Schema, Stream } from "effect"
import { timeFormat } from "../archive/archivedEvent.ts"
import * as Json from "../archive/exactJson.ts"
import type { ForeignError } from "./foreignError.ts"
import type { ForeignEvent } from "./foreignEvent.ts"
import { emmettNames } from "./foreignRename.ts"
import * as ForeignSource from "./foreignSource.ts"
import {
  decodeRows,
  eventsOf,
  failedAt,
  type ForeignTables,
  placeOf,
  requireTable,
  toReadFailed
} from "./foreignSql.ts"

const store = "Emmett"

/** What can be asked for with Emmett's tables. */
export interface EmmettOptions extends ForeignSource.MovingOptions {
  /** Only this partition. Otherwise all, and a stream that two of them have is refused. */
  readonly partition?: string | undefined
}

/** The partition that Emmett takes where nothing else is asked for. */
const defaultPartition = "emt:default"

const Row = Schema.Struct({
  global_position: Schema.Int,
  stream_id: Schema.String,
  stream_position: Schema.Int,
  partition: Schema.String,
  message_id: Schema.String,
  message_type: Schema.String,
  message_schema_version: Schema.String,
  message_data: Schema.String,
  message_metadata: Schema.String,
  recorded_at: Schema.String
})

const decode = decodeRows(store, Row)

const StreamRows = Schema.NonEmptyArray(
  Schema.Struct({ stream: Schema.String, partition: Schema.String, metadata: Schema.String })
)
const decodeStreams = Schema.decodeUnknownEffect(StreamRows)

const Counts = Schema.Tuple([Schema.Struct({ events: Schema.Int, others: Schema.Int, head: Schema.Int })])

/**
 * The events in the tables of Emmett (`emt_messages`, `emt_streams`, as they are since Emmett 0.38.7), in the order of their
 * global positions, archived streams included. Commands that were stored beside them are passed over.
 *
 * Emmett has no index on the global position, so that a page after a position would be a walk over the whole table: a pass is
 * one statement, whose rows come as fast as they are taken, from one snapshot.
 */
export const make = (
  tables: ForeignTables,
  options: EmmettOptions = {}
): Effect.Effect<ForeignSource.ForeignSource, ForeignError> =>
  Effect.gen(function*() {
    const { schema = "public", sql } = tables
    yield* requireTable(
      store,
      { schema, sql },
      "emt_messages",
      ["message_kind", "partition", ...Object.keys(Row.fields).filter((name) => name !== "recorded_at"), "created"],
      "Tables of Emmett from before 0.38.7 have other names: let a newer Emmett migrate them first."
    )
    const messages = sql(`${schema}.emt_messages`)
    const inPartition = options.partition === undefined ? sql.literal("true") : sql`m.partition = ${options.partition}`

    const rows = yield* sql`
      SELECT
        count(*) FILTER (WHERE m.message_kind = 'E')::float8 AS events,
        count(*) FILTER (WHERE m.message_kind <> 'E')::float8 AS others,
        COALESCE(max(m.global_position), 0)::float8 AS head
      FROM ${messages} m
      WHERE ${inPartition}`.pipe(failedAt(store, "counting its events"))
    const [{ events: total, head, others }] = yield* Effect.orDie(Schema.decodeUnknownEffect(Counts)(rows))

    const events = sql`
      SELECT
        m.global_position::float8 AS global_position,
        m.stream_id,
        m.stream_position::float8 AS stream_position,
        m.partition,
        m.message_id,
        m.message_type,
        m.message_schema_version,
        m.message_data::text AS message_data,
        m.message_metadata::text AS message_metadata,
        to_char(m.created AT TIME ZONE 'UTC', ${timeFormat}) AS recorded_at
      FROM ${messages} m
      WHERE ${inPartition} AND m.message_kind = 'E'
        AND (m.global_position <= ${BigInt(head)} OR m.global_position IS NULL)
      ORDER BY m.global_position`.stream.pipe(
      Stream.mapError(toReadFailed(store, "reading its events")),
      Stream.mapArrayEffect(decode),
      Stream.mapArrayEffect(eventsOf(store, toEvent))
    )

    // of a stream that was archived and goes on there are two rows
    const streams = sql`
      SELECT s.stream_id AS stream, s.partition, s.stream_metadata::text AS metadata
      FROM ${sql(`${schema}.emt_streams`)} s
      WHERE ${options.partition === undefined ? sql.literal("true") : sql`s.partition = ${options.partition}`}
        AND s.stream_metadata::text NOT IN ('{}', 'null')
      ORDER BY s.stream_id, s.partition, s.is_archived`.stream.pipe(
      Stream.mapError(toReadFailed(store, "reading its streams")),
      Stream.mapArrayEffect((rows) => Effect.orDie(decodeStreams(rows))),
      Stream.map(({ metadata, partition, stream }) => ({ stream, source: sourceOf(stream, partition), metadata }))
    )

    return ForeignSource.make(store, emmettNames, options, {
      total,
      passedOver: others === 0 ? [] : [{ what: "commands", count: others }],
      hasUniqueIds: false,
      events,
      streams
    })
  })

const sourceOf = (stream: string, partition: string): string =>
  partition === defaultPartition ? stream : `${stream} of the partition ${partition}`

const toEvent = (row: typeof Row.Type): ForeignEvent => ({
  place: placeOf(row),
  stream: row.stream_id,
  source: sourceOf(row.stream_id, row.partition),
  version: row.stream_position,
  id: row.message_id,
  type: row.message_type,
  schemaVersion: row.message_schema_version,
  data: Json.parse(row.message_data),
  metadata: Json.parse(row.message_metadata),
  recordedAt: row.recorded_at
})
