/** How much a statement looks at: the rows that it reads in tables and indexes, whatever it answers. */
import type { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import type { Statement } from "../../src/Store/internal/eventsSql.ts"

export const run = (sql: PgClient.PgClient, { params, text }: Statement) => sql.unsafe(text, params)

/** Runs an effect in a transaction that leaves nothing. */
export const undone = <A, E>(sql: PgClient.PgClient, effect: Effect.Effect<A, E>) =>
  Effect.flatMap(
    Effect.flip(sql.withTransaction(Effect.flatMap(effect, (value) => Effect.fail(new Undone(value))))),
    (error) => error instanceof Undone ? Effect.succeed(error.value as A) : Effect.fail(error)
  )

class Undone {
  readonly value: unknown

  constructor(value: unknown) {
    this.value = value
  }
}

/**
 * Rows that a statement answers, and that it looks at in these tables of the store, by an index or one after another. Nothing
 * of it stays.
 */
export const looksOf = (sql: PgClient.PgClient, tables: ReadonlyArray<string>, statement: Statement) =>
  undone(
    sql,
    Effect.gen(function*() {
      // what this session counted and did not report yet
      const counts = sql<{ name: string; looks: number }>`
        SELECT
          c.relname AS name,
          (pg_stat_get_xact_tuples_returned(c.oid) + COALESCE(
            (SELECT sum(pg_stat_get_xact_tuples_returned(i.indexrelid)) FROM pg_index i WHERE i.indrelid = c.oid), 0
          ))::int4 AS looks
        FROM pg_class c
        WHERE c.relnamespace = 'eventstore'::regnamespace AND c.relname = ANY (${tables}::text[])
        ORDER BY c.relname`
      const before = yield* counts
      const rows = yield* run(sql, statement)
      const after = yield* counts
      const looks = after.map(({ looks, name }, i) => [name, looks - before[i]!.looks] as const)
      return {
        rows: rows.length,
        all: looks.reduce((sum, [, count]) => sum + count, 0),
        by: Object.fromEntries(looks.filter(([, count]) => count > 0))
      }
    })
  )
