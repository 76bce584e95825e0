/**
 * A projection that keeps a journal of what it was handed, in tables that would show everything it should not have been:
 * nothing in them keeps anything from being there twice, and each line stands on the one before.
 */
import { Effect, Schema, Stream } from "effect"
import { Category, Projection } from "effect-eventstore"
import type { SqlClient } from "effect/sql"
import type { Store } from "./Notes.ts"

/**
 * What becomes of an event when it is handled for the first time: its process stops in the middle (`freeze`), or dies
 * (`poison`), or it fails (`flaky`). `fail` fails until somebody mends it, `slow` takes longer than a lease.
 */
const kinds = ["plain", "freeze", "poison", "flaky", "slow", "fail"] as const
export type Kind = (typeof kinds)[number]

class Moved extends Schema.TaggedClass<Moved>()("Moved", { amount: Schema.Int, kind: Schema.Literals(kinds) }) {}

export const moved = (amount: number, kind: Kind = "plain") => new Moved({ amount, kind })

export const Accounts = Category.make("account", { id: Schema.String, events: [Moved] })

/** What happens in the transaction of a line, after it was written. */
export type Meanwhile = (line: {
  readonly account: string
  readonly amount: number
  readonly kind: Kind
  readonly position: number
}) => Effect.Effect<unknown, unknown, SqlClient.SqlClient>

export interface JournalOptions {
  readonly name?: string
  readonly from?: typeof Accounts
  readonly version?: number
  readonly meanwhile?: Meanwhile
}

/** A line for each event, with the sum of its account, and for each account a total. */
export const journal = (
  { from = Accounts, meanwhile = () => Effect.void, name = "journal", version = 1 }: JournalOptions = {}
) =>
  Projection.make(name, {
    from,
    version,
    setup: ({ sql, table }) =>
      Effect.andThen(
        sql`CREATE TABLE ${table("lines")} (
          id int8 GENERATED ALWAYS AS IDENTITY, account text NOT NULL, version int8 NOT NULL, position int8 NOT NULL,
          amount int8 NOT NULL, sum int8 NOT NULL, process int4 NOT NULL)`,
        sql`CREATE TABLE ${table("totals")} (account text NOT NULL, count int8 NOT NULL, sum int8 NOT NULL)`
      ),
    indexes: ({ sql, table }) => sql`CREATE INDEX ON ${table("lines")} (account, id)`,
    handle: {
      Moved: ({ event: { amount, kind }, position, streamId, streamVersion }, { sql, table }) =>
        Effect.andThen(
          sql`
            WITH line AS (
              INSERT INTO ${table("lines")} (account, version, position, amount, sum, process)
              SELECT ${streamId}, ${streamVersion}::int8, ${position}::int8, ${amount}::int8,
                ${amount}::int8 + coalesce(
                  (SELECT l.sum FROM ${table("lines")} l WHERE l.account = ${streamId} ORDER BY l.id DESC LIMIT 1), 0),
                ${process.pid}::int4
            ), total AS (
              UPDATE ${table("totals")} SET count = count + 1, sum = sum + ${amount}::int8 WHERE account = ${streamId}
              RETURNING account
            )
            INSERT INTO ${table("totals")} (account, count, sum)
            SELECT ${streamId}, 1, ${amount}::int8 WHERE NOT EXISTS (SELECT FROM total)`,
          meanwhile({ account: streamId, amount, kind, position })
        )
    }
  })

export interface Line {
  readonly account: string
  readonly version: number
  readonly position: number
  readonly amount: number
  readonly sum: number
  readonly process: number
}

/** The lines of a version in the order in which they were written. */
export const linesOf = (sql: SqlClient.SqlClient, name = "journal", version = 1) =>
  sql<Line>`
    SELECT account, version::float8 AS version, position::float8 AS position, amount::float8 AS amount, sum::float8 AS sum,
      process
    FROM ${sql(`${name}_v${version}`)}.${sql("lines")} ORDER BY id`

/**
 * What is wrong with a journal, after it has handled everything: each account has its events once, in their order, with
 * the right sums.
 */
export const faultsOf = (
  sql: SqlClient.SqlClient,
  store: Store,
  { from = Accounts, name = "journal", version = 1 }: JournalOptions = {}
): Effect.Effect<ReadonlyArray<string>, unknown> =>
  Effect.gen(function*() {
    const faults: Array<string> = []
    const events = yield* Stream.runCollect(store.readCategory(from))
    const lines = yield* linesOf(sql, name, version)
    const totals = yield* sql<{ readonly account: string; readonly count: number; readonly sum: number }>`
      SELECT account, count::float8 AS count, sum::float8 AS sum FROM ${sql(`${name}_v${version}`)}.${sql("totals")}`
    const accounts = new Set([
      ...events.map(({ streamId }) => streamId as string),
      ...lines.map(({ account }) => account)
    ])
    for (const account of accounts) {
      let sum = 0
      const wanted = events.filter(({ streamId }) => streamId === account).map(({ event: { amount }, position }) =>
        `${position}: ${amount} makes ${sum += amount}`
      )
      const found = lines.filter((line) => line.account === account).map(({ amount, position, sum }) =>
        `${position}: ${amount} makes ${sum}`
      )
      const i = wanted.findIndex((line, i) => line !== found[i])
      if (i >= 0 || found.length !== wanted.length) {
        const at = i < 0 ? wanted.length : i
        faults.push(
          `${account} has ${found.length} lines instead of ${wanted.length}, from ${at} on ` +
            `"${found.slice(at, at + 3).join(", ")}" instead of "${wanted.slice(at, at + 3).join(", ")}"`
        )
      }
      const total = totals.filter((total) => total.account === account)
      if (total.length !== 1 || total[0]!.count !== wanted.length || total[0]!.sum !== sum) {
        faults.push(`${account} has the totals ${JSON.stringify(total)} instead of ${wanted.length} and ${sum}`)
      }
    }
    return faults
  })
