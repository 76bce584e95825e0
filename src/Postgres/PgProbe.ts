/**
 * Looks at a database before the event store stands on it.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import * as PgMigrations from "./PgMigrations.ts"
import { isSchemaName } from "./SchemaName.ts"
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

/**
 * Says why a database cannot carry the event store, or `undefined` where it can. What speaks the protocol of Postgres
 * without being Postgres has other locks, triggers and snapshots, and is refused.
 *
 * @category guards
 * @since 0.1.0
 */
export const problemOf = (capabilities: Capabilities): string | undefined => {
  const { encoding, isReadOnly, version, versionNumber } = capabilities
  if (!version.startsWith("PostgreSQL ") || /cockroach|yugabyte|redshift|greenplum|-YB-|CrateDB/i.test(version)) {
    return `The database is not Postgres: it calls itself ${JSON.stringify(version.slice(0, 100))}`
  }
  if (versionNumber < oldestMajor * 10_000) {
    return `The database is ${version.split(" on ")[0]}; Postgres ${oldestMajor} or newer is needed`
  }
  if (encoding !== "UTF8") return `The database has the encoding ${encoding}; UTF8 is needed`
  if (isReadOnly) return "The database is read-only, a standby perhaps; the event store needs the primary"
  return undefined
}

/**
 * Looks at the database behind a client; fails with `UnsupportedDatabase` where the event store cannot stand on it, or
 * its tables are missing or older than this program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const probe = (
  client: SqlClient.SqlClient,
  options: { readonly schema: string; readonly log: number }
): Effect.Effect<void, SqlError.SqlError | UnsupportedDatabase> =>
  Effect.gen(function*() {
    const sql = client.withoutTransforms()
    const refuse = (problem: string) => new UnsupportedDatabase({ problem })
    const { log, schema } = options
    if (!isSchemaName(schema)) return yield* refuse(`The schema name ${JSON.stringify(schema)} is not allowed`)
    if (!Number.isInteger(log) || log < 1 || log > 0x7fffffff) {
      return yield* refuse(`The log ${log} is not a number from 1`)
    }
    const [capabilities] = yield* sql<Capabilities>`
      SELECT
        version() AS "version",
        COALESCE(current_setting('server_version_num', true), '0')::int4 AS "versionNumber",
        current_setting('server_encoding') AS "encoding",
        current_setting('transaction_read_only') = 'on' AS "isReadOnly"`
    const problem = problemOf(capabilities!)
    if (problem !== undefined) return yield* refuse(problem)
    const version = yield* PgMigrations.status(client, schema)
    if (version === 0) {
      return yield* refuse(`The schema ${schema} has no event store: run the migrations, or use the layer that does`)
    }
    if (version < PgMigrations.latest) {
      return yield* refuse(`The schema ${schema} is at migration ${version}, this program needs ${PgMigrations.latest}`)
    }
    if (log !== 1) yield* sql`SELECT ${sql(schema)}.open_log(${log}::int4)`
  })
