import type { Advance, ParkedEvent } from "../ProjectionStorage.ts"
import { columns, isVisible, type Statement, toStored, type Values } from "./eventsSql.ts"
import { text } from "./sqlParams.ts"

/**
 * Parked events with what is stored, in the order of positions, and a probe of events_pkey for each: those of one key are a
 * range of parked_events_pkey, those of all one of parked_events_position_idx. WITH TIES: an event that is parked under several
 * keys is not torn apart, as the next page begins behind its position.
 */
export const parkedEvents = (
  schema: string,
  log: number,
  id: number,
  { after, key, limit }: { readonly key: string | undefined; readonly after: number; readonly limit: number }
): Statement => ({
  text: `
      SELECT ${columns}, p.position::float8, p.order_key::text, p.attempts, p.error,
        floor(extract(epoch FROM p.parked_at) * 1000)::float8, k.is_replay_wanted
      FROM (
        SELECT o.position, o.order_key, o.attempts, o.error, o.parked_at
        FROM ${schema}.parked_events o
        WHERE o.version_id = $2::int4 AND o.position > $3::int8${key === undefined ? "" : " AND o.order_key = $5::text"}
        ORDER BY o.position
        FETCH FIRST ($4::int8) ROWS WITH TIES
      ) p
      JOIN ${schema}.parked_keys k ON k.version_id = $2::int4 AND k.order_key = p.order_key
      LEFT JOIN LATERAL (
        SELECT e.* FROM ${schema}.events e WHERE e.log_id = $1::int4 AND e.position = p.position AND ${
    isVisible(schema)
  }
        LIMIT 1
      ) e ON true
      ORDER BY p.position, p.order_key`,
  params: [log, id, BigInt(after), BigInt(limit), ...(key === undefined ? [] : [key])]
})

/** A row of {@link parkedEvents}. */
export const toParkedEvent = (row: Values): ParkedEvent => ({
  position: row[10],
  key: row[11],
  attempts: row[12],
  error: row[13],
  parkedAt: row[14],
  isReplayWanted: row[15],
  event: row[1] === null ? undefined : toStored(row)
})

export const replayParked = (schema: string, id: number, keys: ReadonlyArray<string> | undefined): Statement => ({
  text: `
      SELECT ${schema}.replay_parked($1::int4, $2::text[])::float8`,
  params: [id, keys ?? null]
})

export const discardParked = (schema: string, id: number, keys: ReadonlyArray<string> | undefined): Statement => ({
  text: `
      SELECT ${schema}.discard_parked($1::int4, $2::text[])::float8`,
  params: [id, keys ?? null]
})

export const replayFailed = (
  schema: string,
  { epoch, id, partition }: Pick<Advance, "id" | "partition" | "epoch">,
  { error, key, position }: { readonly key: string; readonly position: number; readonly error: string }
): Statement => ({
  text: `
      SELECT ${schema}.replay_failed($1::int4, $2::int4, $3::int8, $4::text, $5::int8, $6::text)`,
  params: [id, partition, BigInt(epoch), key, BigInt(position), text(error)]
})
