/** Accounts whose balances are kept in tables by the transactions that append, and a question that finds any difference. */
import { Effect, Layer, Schema } from "effect"
import { Category, EventStore, Projection, type Recorded } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import type { Opened } from "./Notes.ts"

class Moved extends Schema.TaggedClass<Moved>()("Moved", { amount: Schema.Int }) {}
class Renamed extends Schema.TaggedClass<Renamed>()("Renamed", { name: Schema.String }) {}

export const moved = (amount: number) => new Moved({ amount })
export const renamed = (name: string) => new Renamed({ name })

type Place = Pick<Recorded.Recorded<unknown>, "eventId" | "streamId" | "streamVersion">

const enter = ({ eventId, streamId, streamVersion }: Place, { sql, table }: Projection.Model) =>
  Effect.andThen(
    sql`
      INSERT INTO ${table("accounts")} (account, balance, version) VALUES (${streamId}, 0, ${streamVersion}::int8)
      ON CONFLICT (account) DO UPDATE SET version = excluded.version`,
    sql`
      INSERT INTO ${table("entries")} (account, version, event_id)
      VALUES (${streamId}, ${streamVersion}::int8, ${eventId}::uuid)`
  )

let made = 0

/** Accounts of their own, and what is made of them. */
export const makeAccounts = () => {
  const name = `balances${++made}`
  const Accounts = Category.make(`account${made}`, { id: Schema.String, events: [Moved, Renamed] })

  /** No balance may be below zero. `names` has rows that several accounts change, `entries` says what came after what. */
  const balances = (options: { readonly version?: number } = {}) =>
    Projection.make(name, {
      ...options,
      mode: "inline",
      from: Accounts,
      setup: ({ sql, table }) =>
        Effect.all([
          sql`CREATE TABLE ${table("accounts")} (
            account text PRIMARY KEY, balance int8 NOT NULL CHECK (balance >= 0), version int8 NOT NULL
          )`,
          sql`CREATE TABLE ${table("names")} (name text PRIMARY KEY, given int8 NOT NULL)`,
          sql`CREATE TABLE ${table("entries")} (entry bigserial PRIMARY KEY, account text, version int8, event_id uuid)`
        ], { discard: true }),
      handle: {
        Moved: ({ event: { amount }, ...recorded }, model) =>
          Effect.andThen(
            enter(recorded, model),
            model.sql`
              UPDATE ${model.table("accounts")} SET balance = balance + ${amount}::int8
              WHERE account = ${recorded.streamId}`
          ),
        Renamed: ({ event: { name }, ...recorded }, model) =>
          Effect.andThen(
            enter(recorded, model),
            model.sql`
              INSERT INTO ${model.table("names")} AS n (name, given) VALUES (${name}, 1)
              ON CONFLICT (name) DO UPDATE SET given = n.given + 1`
          )
      }
    })

  /**
   * What the tables of a version and the log say differently, asked in one statement, and so as of one time; nothing where
   * they agree.
   */
  const differences = ({ sql }: Pick<Opened, "sql">, version = 1): Effect.Effect<ReadonlyArray<unknown>, unknown> =>
    sql.unsafe(
      `
      WITH log AS (
        SELECT e.stream_id, e.stream_version, e.event_type, e.data
        FROM eventstore.events e
        WHERE split_part(e.stream_id, '-', 1) = '${Accounts.name}'
      ),
      stored AS (
        SELECT l.stream_id, max(l.stream_version) AS version, count(*) AS events,
          coalesce(sum((l.data->>'amount')::int8), 0) AS balance
        FROM log l
        GROUP BY l.stream_id
      ),
      model AS (
        SELECT a.account, a.version, a.balance, n.events, n.in_order
        FROM ${name}_v${version}.accounts a
        LEFT JOIN (
          SELECT e.account, count(*) AS events,
            array_agg(e.version ORDER BY e.entry) = array_agg(e.version ORDER BY e.version) AS in_order
          FROM ${name}_v${version}.entries e
          GROUP BY e.account
        ) n ON n.account = a.account
      )
      SELECT COALESCE(s.stream_id, m.account) AS what, s.version::float8, m.version::float8, s.balance::float8,
        m.balance::float8
      FROM stored s
      FULL JOIN model m ON m.account = s.stream_id
      WHERE (s.version, s.events, s.balance, true) IS DISTINCT FROM (m.version, m.events, m.balance, m.in_order)
      UNION ALL
      SELECT COALESCE(s.name, n.name), s.given::float8, n.given::float8, NULL, NULL
      FROM (
        SELECT l.data->>'name' AS name, count(*) AS given FROM log l WHERE l.event_type = 'Renamed' GROUP BY l.data->>'name'
      ) s
      FULL JOIN ${name}_v${version}.names n ON n.name = s.name
      WHERE s.given IS DISTINCT FROM n.given`
    ).values

  const balanceOf = ({ sql }: Pick<Opened, "sql">, id: string) =>
    Effect.map(
      sql.unsafe(`SELECT balance::float8 FROM ${name}_v1.accounts WHERE account = '${Accounts.name}-${id}'`).values,
      ([row]): unknown => row?.[0]
    )

  return { name, Accounts, balances, differences, balanceOf }
}

/** Runs it in a process, until the scope closes; appends of the process can apply it when this is done. */
export const run = (
  { sql, store }: Opened,
  projection: ReturnType<ReturnType<typeof makeAccounts>["balances"]>,
  options?: Projection.RunOptions
) =>
  Layer.build(Projection.layer(projection, options)).pipe(
    Effect.provideService(EventStore, store),
    Effect.provideService(SqlClient.SqlClient, sql)
  )
