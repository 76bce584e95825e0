import type { Timer } from "../ProjectionStorage.ts"
import type { Statement, Values } from "./eventsSql.ts"
import { nullable, timeOr } from "./sqlParams.ts"

/** Of several changes of one timer the last one counts. */
export const changeTimers = (
  schema: string,
  log: number,
  owner: string,
  changes: ReadonlyArray<{ readonly key: string; readonly name: string; readonly at: number | null }>
): Statement => {
  const last = [...new Map(changes.map((change) => [`${change.key}\0${change.name}`, change])).values()]
  return {
    text: `
      SELECT ${schema}.change_timers(
        $1::int4, $2::text, $3::text[], $4::text[],
        ARRAY(
          SELECT to_timestamp(n.at / 1000)
          FROM unnest($5::text[]::float8[]) WITH ORDINALITY AS n(at, ordinality) ORDER BY n.ordinality
        )
      )`,
    params: [
      log,
      owner,
      last.map(({ key }) => key),
      last.map(({ name }) => name),
      nullable(last.map(({ at }) => at === null ? null : String(at)))
    ]
  }
}

export const clearTimers = (schema: string, log: number, owner: string, key: string): Statement => ({
  text: `
      SELECT ${schema}.clear_timers($1::int4, $2::text, $3::text)`,
  params: [log, owner, key]
})

/**
 * Timers that are due, and the time until the next one that is not: two ranges of timers_due_idx. Answers one row without a
 * timer where none is due.
 */
export const dueTimers = (
  schema: string,
  log: number,
  owner: string,
  limit: number,
  now: number | undefined
): Statement => ({
  text: `
      SELECT d.timer_id::float8, d.timer_key::text, d.name::text, ${millis("d.due_at")},
        ceil(extract(epoch FROM n.due_at - ${timeOr(3)}) * 1000)::float8
      FROM (SELECT) one
      LEFT JOIN LATERAL (
        SELECT t.due_at FROM ${schema}.timers t
        WHERE ${isOwned} AND t.due_at > ${timeOr(3)}
        ORDER BY t.due_at, t.timer_id
        LIMIT 1
      ) n ON true
      LEFT JOIN LATERAL (
        SELECT t.timer_id, t.timer_key, t.name, t.due_at FROM ${schema}.timers t
        WHERE ${isOwned} AND t.due_at <= ${timeOr(3)}
        ORDER BY t.due_at, t.timer_id
        LIMIT $4::int8
      ) d ON true
      ORDER BY d.due_at, d.timer_id`,
  params: [log, owner, now ?? null, BigInt(limit)]
})

/** The rows of {@link dueTimers}. */
export const toDueTimers = (rows: ReadonlyArray<Values>) => ({
  timers: rows.filter(([id]) => id !== null).map(toTimer),
  nextIn: (rows[0]![4] ?? undefined) as number | undefined
})

/** Removes a timer if it is still the one that was seen. */
export const takeTimer = (schema: string, log: number, owner: string, { id, key, name }: Timer): Statement => ({
  text: `
      SELECT ${schema}.take_timer($1::int4, $2::text, $3::text, $4::text, $5::int8)`,
  params: [log, owner, key, name, BigInt(id)]
})

/** Timers that wait, by time: a range of timers_due_idx. */
export const timersPage = (schema: string, log: number, owner: string, limit: number): Statement => ({
  text: `
      SELECT t.timer_id::float8, t.timer_key::text, t.name::text, ${millis("t.due_at")}
      FROM ${schema}.timers t
      WHERE ${isOwned}
      ORDER BY t.due_at, t.timer_id
      LIMIT $3::int8`,
  params: [log, owner, BigInt(limit)]
})

/** A row of {@link timersPage}. */
export const toTimer = (row: Values): Timer => ({ id: row[0], key: row[1], name: row[2], at: row[3] })

/** The timers `t` of an owner, as timers_due_idx has them. */
const isOwned = "hashtext(t.owner) = hashtext($2::text) AND t.log_id = $1::int4 AND t.owner = $2::text"

const millis = (time: string): string => `(extract(epoch FROM ${time}) * 1000)::float8`
