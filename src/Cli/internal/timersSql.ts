import { Effect, Option, Stream } from "effect"
import type { SqlError } from "effect/sql"
import { toSql } from "../../Postgres/SchemaName.ts"
import type { LogTables } from "./frame/logSql.ts"

/** A timer that waits. Times are in milliseconds since 1970, by the clock of the database. */
export interface WaitingTimer {
  /** The process manager. */
  readonly manager: string
  /** The id of its process. */
  readonly process: string
  readonly name: string
  readonly due: number
  /** Milliseconds until then; below 0 where it is overdue. */
  readonly in: number
}

const pageSize = 500

interface Place {
  /** As a text: a number of milliseconds would be another time. */
  readonly due: string
  readonly id: number
}

/**
 * Timers by the time they are due, of all process managers or of one. Reads the whole table for each page, as no index has it
 * in this order: timers that wait are few, and only people ask.
 */
export const selectTimers = (
  { log, schema, sql }: LogTables,
  options: { readonly manager: string | undefined; readonly isOverdue: boolean; readonly limit: number }
): Stream.Stream<WaitingTimer, SqlError.SqlError> =>
  Stream.paginate(undefined as Place | undefined, (after) =>
    Effect.map(
      sql.unsafe(
        `
      SELECT t.owner::text, t.timer_key::text, t.name::text, (extract(epoch FROM t.due_at) * 1000)::float8,
        (extract(epoch FROM t.due_at - clock_timestamp()) * 1000)::float8, t.due_at::text, t.timer_id::float8
      FROM ${toSql(schema)}.timers t
      WHERE t.log_id = $1::int4
        AND ($2::text IS NULL OR t.owner = $2::text)
        AND (NOT $3::bool OR t.due_at <= clock_timestamp())
        AND ($4::text IS NULL OR (t.due_at, t.timer_id) > ($4::text::timestamptz, $5::text::int8))
      ORDER BY t.due_at, t.timer_id
      LIMIT ${pageSize}`,
        [
          log,
          options.manager ?? null,
          options.isOverdue,
          after?.due ?? null,
          after === undefined ? null : String(after.id)
        ]
      ).values,
      (rows) => {
        const last = rows.at(-1)
        return [
          rows.map(([manager, process, name, due, left]) =>
            ({ manager, process, name, due, in: left }) as unknown as WaitingTimer
          ),
          last === undefined || rows.length < pageSize
            ? Option.none()
            : Option.some({ due: last[5] as string, id: last[6] as number })
        ] as const
      }
    )).pipe(Stream.take(options.limit))
