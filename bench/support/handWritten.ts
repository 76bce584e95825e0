/**
 * What somebody writes who needs one read model and no library for it: pages of the events table by position, one upsert of
 * many rows for each page, and the checkpoint in the same transaction.
 */
import type { PgClient } from "@effect/sql-pg"
import { Effect, Fiber } from "effect"
import { unique } from "./load.ts"
import { sumsOf, totalsOf, verify } from "./totals.ts"

export interface Loop {
  /** Events of a page, and of a transaction. */
  readonly size: number
  /** Reads the next page while one is written, and does not wait for the disk: what is lost in a crash is done again. */
  readonly isTuned: boolean
}

type Row = readonly [position: number, cart: string, data: string]

/** Builds the read model of a whole log of `count` events anew; answers how many events that were. */
export const project = Effect.fnUntraced(function*(
  sql: PgClient.PgClient,
  count: number,
  { isTuned, size }: Loop
): Effect.fn.Return<number, unknown> {
  const schema = `hand_${unique()}`
  yield* sql.unsafe(`CREATE SCHEMA ${schema}`)
  yield* sql.unsafe(
    `CREATE TABLE ${schema}.totals (cart text PRIMARY KEY, events bigint NOT NULL, cents bigint NOT NULL)`
  )
  yield* sql.unsafe(`CREATE TABLE ${schema}.checkpoint (position bigint NOT NULL)`)
  yield* sql.unsafe(`INSERT INTO ${schema}.checkpoint VALUES (0)`)

  const read = (after: number) =>
    sql.unsafe(
      `SELECT position::float8, stream_id::text, data::text
      FROM eventstore.events
      WHERE log_id = 1 AND position > $1
      ORDER BY position
      LIMIT ${size}`,
      [BigInt(after)]
    ).values as Effect.Effect<ReadonlyArray<Row>, unknown>

  const write = (page: ReadonlyArray<Row>) => {
    const totals = totalsOf(page, ([, cart, data]) => ({ cart, data: JSON.parse(data) as object }))
    return sql.withTransaction(Effect.gen(function*() {
      if (isTuned) yield* sql.unsafe("SET LOCAL synchronous_commit = off")
      yield* sql.unsafe(
        `INSERT INTO ${schema}.totals AS t (cart, events, cents)
        SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[])
        ON CONFLICT (cart) DO UPDATE SET events = t.events + excluded.events, cents = t.cents + excluded.cents`,
        [totals.carts, totals.events, totals.cents]
      )
      yield* sql.unsafe(`UPDATE ${schema}.checkpoint SET position = $1`, [BigInt(page[page.length - 1]![0])])
    }))
  }

  let done = 0
  let page = yield* read(0)
  while (page.length > 0) {
    const last = page[page.length - 1]![0]
    if (isTuned) {
      const next = yield* Effect.forkChild(read(last))
      yield* write(page)
      done += page.length
      page = yield* Fiber.join(next)
    } else {
      yield* write(page)
      done += page.length
      page = yield* read(last)
    }
  }
  yield* verify(yield* sumsOf(sql, `${schema}.totals`), count)
  yield* sql.unsafe(`DROP SCHEMA ${schema} CASCADE`)
  return done
})
