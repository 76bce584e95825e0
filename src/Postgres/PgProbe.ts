/**
 * Looks at a database before the event store stands on it.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import * as PgCapabilities from "./PgCapabilities.ts"
import * as PgMigrations from "./PgMigrations.ts"
import { isSchemaName } from "./SchemaName.ts"
import { UnsupportedDatabase } from "./UnsupportedDatabase.ts"

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
    yield* PgCapabilities.check(client)
    const version = yield* PgMigrations.status(client, schema)
    if (version === 0) {
      return yield* refuse(`The schema ${schema} has no event store: run the migrations, or use the layer that does`)
    }
    if (version < PgMigrations.latest) {
      return yield* refuse(`The schema ${schema} is at migration ${version}, this program needs ${PgMigrations.latest}`)
    }
    if (log !== 1) yield* sql`SELECT ${sql(schema)}.open_log(${log}::int4)`
  })
