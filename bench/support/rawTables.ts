/** The limit: rows written and read through the same client, without a check, a lock or an order. */
import type { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import { EventId } from "effect-eventstore"
import { unique } from "./load.ts"
import { textEvent } from "./shop.ts"

/** `raw.events` has the columns, checks and indexes of the store's table; `raw.bare` the columns and a primary key. */
export const createRawTables = (sql: PgClient.PgClient) =>
  Effect.forEach([
    "CREATE SCHEMA raw",
    "CREATE TABLE raw.events (LIKE eventstore.events INCLUDING ALL)",
    "ALTER TABLE raw.events ALTER position ADD GENERATED ALWAYS AS IDENTITY",
    "CREATE TABLE raw.bare (LIKE eventstore.events, PRIMARY KEY (position))",
    "ALTER TABLE raw.bare ALTER position ADD GENERATED ALWAYS AS IDENTITY"
  ], (statement) =>
    sql.unsafe(statement), { discard: true })

const random = { nextDoubleUnsafe: Math.random, nextIntUnsafe: () => 0 }
const newId = () => EventId.makeUnsafe(Date.now(), random)

const columns = "log_id, stream_id, stream_version, event_id, event_type, schema_version, data, recorded_at"

/** One event, one statement. */
export const insertOne = (sql: PgClient.PgClient, table: "raw.events" | "raw.bare", stream: string, i: number) => {
  const { data, type } = textEvent(i)
  return sql.unsafe(
    `INSERT INTO ${table} (${columns}) VALUES (1, $1, $2, $3, $4, 1, $5, clock_timestamp())`,
    [stream, 1 + i % 10, newId(), type, data]
  ).values
}

/** A hundred events of ten streams, one statement. */
export const insertBatch = (sql: PgClient.PgClient): Effect.Effect<void, unknown> => {
  const run = unique()
  const rows = Array.from({ length: 100 }, (_, i) => ({
    stream: `cart-${run}-${Math.floor(i / 10)}`,
    version: 1 + i % 10,
    id: newId(),
    ...textEvent(i)
  }))
  return Effect.asVoid(
    sql.unsafe(
      `INSERT INTO raw.events (${columns})
      SELECT 1, n.stream, n.version, n.id::uuid, n.type, 1, n.data::json, clock_timestamp()
      FROM unnest($1::text[], $2::int4[], $3::text[], $4::text[], $5::text[]) AS n(stream, version, id, type, data)`,
      [
        rows.map(({ stream }) => stream),
        rows.map(({ version }) => version),
        rows.map(({ id }) => id),
        rows.map(({ type }) => type),
        rows.map(({ data }) => data)
      ]
    ).values
  )
}

/** All events of a log, page by page, as a user would read them; says how many. */
export const readPages = Effect.fnUntraced(function*(sql: PgClient.PgClient, size: number, from = 0, limit = Infinity) {
  let last = BigInt(from)
  let count = 0
  while (count < limit) {
    const rows = yield* sql.unsafe<{ readonly position: bigint }>(
      `SELECT position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at
      FROM eventstore.events
      WHERE log_id = 1 AND position > $1
      ORDER BY position
      LIMIT ${Math.min(size, limit - count)}`,
      [last]
    )
    count += rows.length
    if (rows.length < size) break
    last = rows[rows.length - 1]!.position
  }
  return count
})

/** The same with everything a reader could spare: cheap types on the wire, no names, objects made by hand. */
export const readPagesByHand = Effect.fnUntraced(function*(
  sql: PgClient.PgClient,
  size: number,
  from = 0,
  limit = Infinity
) {
  let last = from
  let count = 0
  while (count < limit) {
    const rows = yield* sql.unsafe(
      `SELECT e.position::float8, e.stream_id::text, e.stream_version::float8, e.event_id::text, e.event_type::text,
        e.schema_version::int4, e.data::text, e.metadata::text, e.tags::text[], date_part('epoch', e.recorded_at)::float8
      FROM eventstore.events e
      WHERE e.log_id = 1 AND e.position > $1
      ORDER BY e.position
      LIMIT ${Math.min(size, limit - count)}`,
      [BigInt(last)]
    ).values
    const events = rows.map((row: ReadonlyArray<any>) => ({
      position: row[0],
      streamId: row[1],
      streamVersion: row[2],
      eventId: row[3],
      type: row[4],
      schemaVersion: row[5],
      data: JSON.parse(row[6]),
      metadata: row[7] === null ? undefined : JSON.parse(row[7]),
      tags: row[8],
      recordedAt: row[9] * 1000
    }))
    count += events.length
    if (events.length < size) break
    last = events[events.length - 1]!.position
  }
  return count
})

/** The events of one short stream, as a user would read them. */
export const readStream = (sql: PgClient.PgClient, stream: string) =>
  sql.unsafe(
    `SELECT position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at
    FROM eventstore.events
    WHERE log_id = 1 AND stream_id = $1
    ORDER BY stream_version`,
    [stream]
  )
