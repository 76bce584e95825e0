/** What the processes of a storm have in common: the events, the notes of the handlers, and chance that can be repeated. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted, Schedule, Schema } from "effect"
import { Category, StoreError } from "effect-eventstore"
import { Reactivity } from "effect/reactivity"
import { SqlError } from "effect/sql"

/**
 * What becomes of an event: `plain` is handled; `effect` is finished in a transaction that writes a row and appends an
 * outcome; `freeze` is the same, but stops its process in the transaction; `flaky` fails at its first attempt, `fail` at
 * every one; `park` asks to be parked; `slow` takes longer than a lease; `poison` kills its process.
 */
export type Kind = (typeof kinds)[number]

const kinds = ["plain", "effect", "freeze", "flaky", "slow", "fail", "park", "poison"] as const

class Worked extends Schema.TaggedClass<Worked>()("Worked", { id: Schema.String, kind: Schema.Literals(kinds) }) {}

export const Work = Category.make("work", { id: Schema.String, events: [Worked] })

export const worked = (id: string, kind: Kind) => new Worked({ id, kind })

class Effected extends Schema.TaggedClass<Effected>()("Effected", { version: Schema.Int }) {}

export const Outcome = Category.make("outcome", { id: Schema.String, events: [Effected] })

export const effected = (version: number) => new Effected({ version })

export const subscription = "storm"
export const lease = 2000
export const attempts = 6

/** Notes of handlings, and the effects of transactions. Nothing here keeps anything from being there twice. */
export const tables = [
  "CREATE SCHEMA storm",
  `CREATE TABLE storm.handlings (
    token uuid PRIMARY KEY, stream_id text NOT NULL, version int8 NOT NULL, position int8 NOT NULL, kind text NOT NULL,
    attempt int4 NOT NULL, lease int8 NOT NULL, process int4 NOT NULL, number int4 NOT NULL, before text NOT NULL,
    begun_at timestamptz NOT NULL, begun_valid bool NOT NULL, ended_at timestamptz, ended_valid bool
  )`,
  "CREATE INDEX ON storm.handlings (stream_id, version)",
  `CREATE TABLE storm.effects (
    id int8 GENERATED ALWAYS AS IDENTITY, stream_id text NOT NULL, version int8 NOT NULL, token uuid NOT NULL,
    at timestamptz NOT NULL
  )`,
  "CREATE INDEX ON storm.effects (stream_id, version)"
]

/** Whether the delivery of a position is held by a lease at this time. */
const isHeld = (position: string, lease: string) =>
  `EXISTS (SELECT FROM eventstore.deliveries d
    WHERE d.position = ${position} AND d.lease = ${lease} AND d.due_at > clock_timestamp())`

export interface Begun {
  readonly token: string
  readonly streamId: string
  readonly version: number
  readonly position: number
  readonly kind: Kind
  readonly attempt: number
  readonly lease: number
  readonly number: number
}

/** Notes that a handling begins, whether it has a lease, and what became of the event before it in its stream. */
export const begin = (sql: PgClient.PgClient, begun: Begun) =>
  sql.unsafe(
    `INSERT INTO storm.handlings
      (token, stream_id, version, position, kind, attempt, lease, process, number, before, begun_at, begun_valid)
    SELECT n.*,
      CASE
        WHEN n.version = 1 THEN 'first'
        WHEN EXISTS (SELECT FROM storm.handlings h
          WHERE h.stream_id = n.stream_id AND h.version = n.version - 1 AND h.ended_at IS NOT NULL) THEN 'finished'
        WHEN EXISTS (SELECT FROM storm.effects e
          WHERE e.stream_id = n.stream_id AND e.version = n.version - 1) THEN 'effected'
        WHEN EXISTS (SELECT FROM eventstore.parked_deliveries p JOIN eventstore.events e ON e.position = p.position
          WHERE e.stream_id = n.stream_id AND e.stream_version = n.version - 1) THEN 'parked'
        WHEN EXISTS (SELECT FROM storm.handlings h
          WHERE h.stream_id = n.stream_id AND h.version = n.version - 1
            AND (h.kind = 'park' OR h.kind = 'fail' AND h.attempt >= ${attempts})) THEN 'given up'
        ELSE 'open'
      END,
      clock_timestamp(), ${isHeld("n.position", "n.lease")}
    FROM (SELECT $1::uuid AS token, $2::text AS stream_id, $3::int8 AS version, $4::int8 AS position, $5::text AS kind,
      $6::int4 AS attempt, $7::int8 AS lease, $8::int4 AS process, $9::int4 AS number) n
    ON CONFLICT DO NOTHING`,
    [
      begun.token,
      begun.streamId,
      begun.version,
      begun.position,
      begun.kind,
      begun.attempt,
      begun.lease,
      process.pid,
      begun.number
    ]
  ).pipe(patiently)

/** Notes that a handling ended well, and whether it has its lease still. */
export const end = (sql: PgClient.PgClient, { token }: Begun) =>
  sql.unsafe(
    `UPDATE storm.handlings h SET ended_at = clock_timestamp(), ended_valid = ${isHeld("h.position", "h.lease")}
    WHERE h.token = $1::uuid`,
    [token]
  ).pipe(patiently)

/** The effect of a transaction. */
export const affect = (sql: PgClient.PgClient, { streamId, token, version }: Begun) =>
  sql.unsafe(
    `INSERT INTO storm.effects (stream_id, version, token, at)
    VALUES ($1::text, $2::int8, $3::uuid, clock_timestamp())`,
    [streamId, version, token]
  )

/** Goes on trying while the database is away. */
export const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(effect, { while: mayPass, schedule: Schedule.spaced("50 millis") })

const mayPass = (error: unknown): boolean =>
  SqlError.isSqlError(error)
    ? error.isRetryable || error.reason._tag === "UnknownError"
    : error instanceof StoreError.StoreError && error.isRetryable

/** A client for notes, apart from that of the store. */
export const notes = (url: string) =>
  PgClient.make({ url: Redacted.make(url), maxConnections: 4 }).pipe(Effect.provide(Reactivity.layer))

/** Chance that is the same for the same seed. */
export const chance = (seed: number) => {
  let state = seed >>> 0
  // https://github.com/bryc/code/blob/master/jshash/PRNGs.md#mulberry32
  const next = () => {
    state = state + 0x6d2b79f5 | 0
    let t = Math.imul(state ^ state >>> 15, 1 | state)
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t
    return ((t ^ t >>> 14) >>> 0) / 4294967296
  }
  return {
    /** A whole number below another. */
    below: (of: number) => Math.floor(next() * of),
    /** One of some, by their weights. */
    weighted: <A extends string>(weights: Readonly<Record<A, number>>): A => {
      const entries = Object.entries<number>(weights)
      let left = next() * entries.reduce((sum, [, weight]) => sum + weight, 0)
      return entries.find(([, weight]) => (left -= weight) < 0)?.[0] as A
    }
  }
}
