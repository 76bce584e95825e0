/**
 * What a database has to be so that the event store can stand on it.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { UnsupportedDatabase } from "./UnsupportedDatabase.ts"

/**
 * What a database says of itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Capabilities {
  /** What `version()` answers. */
  readonly version: string
  /** What `server_version_num` holds, 180000 for Postgres 18.0; 0 where there is no such setting. */
  readonly versionNumber: number
  readonly encoding: string
  readonly isReadOnly: boolean
}

/**
 * Oldest Postgres that the event store is made for.
 *
 * @category constants
 * @since 0.1.0
 */
export const oldestMajor = 15

/** What calls itself PostgreSQL all the same. */
const strangers = /cockroach|yugabyte|-YB-|redshift|greenplum|cratedb|materialize|risingwave|questdb|opengauss|spanner/i

/**
 * Says why a database cannot carry the event store, or `undefined` where it can. What speaks the protocol of Postgres
 * without being Postgres has other locks, triggers and snapshots, and is refused.
 *
 * @category guards
 * @since 0.1.0
 */
export const problemOf = (capabilities: Capabilities): string | undefined => {
  const { encoding, isReadOnly, version, versionNumber } = capabilities
  if (!version.startsWith("PostgreSQL ") || strangers.test(version)) {
    return `The database is not Postgres: it calls itself ${JSON.stringify(version.slice(0, 160))}`
  }
  if (versionNumber < oldestMajor * 10_000) {
    return `The database is ${version.split(" on ")[0]}; Postgres ${oldestMajor} or newer is needed`
  }
  if (encoding !== "UTF8") return `The database has the encoding ${encoding}; UTF8 is needed`
  if (isReadOnly) return "The database is read-only, a standby perhaps; the event store needs the primary"
  return undefined
}

/**
 * Looks at the database behind a client; fails with `UnsupportedDatabase` where the event store cannot stand on it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const check = (client: SqlClient.SqlClient): Effect.Effect<void, SqlError.SqlError | UnsupportedDatabase> =>
  Effect.gen(function*() {
    const sql = client.withoutTransforms()
    const capabilities = yield* sql<Capabilities>`
      SELECT
        version() AS "version",
        COALESCE(current_setting('server_version_num', true), '0')::int4 AS "versionNumber",
        current_setting('server_encoding') AS "encoding",
        current_setting('transaction_read_only') = 'on' AS "isReadOnly"`.pipe(
      // who does not understand the questions may still tell its name
      Effect.catchIf(isNotUnderstood, (error) =>
        Effect.map(
          Effect.mapError(sql<{ version: string }>`SELECT version() AS "version"`, () => error),
          (rows) => rows.map(({ version }) => ({ version, versionNumber: 0, encoding: "", isReadOnly: true }))
        ))
    )
    const problem = problemOf(capabilities[0]!)
    if (problem !== undefined) return yield* new UnsupportedDatabase({ problem })
  })

const isNotUnderstood = ({ reason }: SqlError.SqlError): boolean =>
  reason._tag === "SqlSyntaxError" || reason._tag === "UnknownError" && !isAway(reason.cause)

/** A server that goes down, or takes no more connections: nothing that says what it understands. */
const isAway = (cause: unknown): boolean =>
  typeof cause !== "object" || cause === null || !("code" in cause) || typeof cause.code !== "string" ||
  /^(57P|53|08)/.test(cause.code)
