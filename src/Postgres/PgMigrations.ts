/**
 * Creates and upgrades the tables and functions of the event store, or prints the SQL for whoever does.
 *
 * @since 0.1.0
 */
import { Effect, Layer } from "effect"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { statements as createEvents } from "./migrations/0001_create_events.ts"
import { statements as createSubscriptions } from "./migrations/0002_create_subscriptions.ts"
import { statements as createProjections } from "./migrations/0003_create_projections.ts"
import { statements as operateProjections } from "./migrations/0004_operate_projections.ts"
import { statements as createDocuments } from "./migrations/0005_create_documents.ts"
import { statements as createTimers } from "./migrations/0006_create_timers.ts"
import { statements as createSnapshots } from "./migrations/0007_create_snapshots.ts"
import { statements as skipDeliveries } from "./migrations/0008_skip_deliveries.ts"
import * as PgCapabilities from "./PgCapabilities.ts"
import { defaultName, isSchemaName, toSql } from "./SchemaName.ts"
import { UnsupportedDatabase } from "./UnsupportedDatabase.ts"

/**
 * Where the tables live: `schema` is `"eventstore"` where nothing else is asked for.
 *
 * @category models
 * @since 0.1.0
 */
export interface MigrationOptions {
  readonly schema?: string | undefined
}

const migrations: ReadonlyArray<{ readonly name: string; readonly statements: ReadonlyArray<string> }> = [
  { name: "create_events", statements: createEvents },
  { name: "create_subscriptions", statements: createSubscriptions },
  { name: "create_projections", statements: createProjections },
  { name: "operate_projections", statements: operateProjections },
  { name: "create_documents", statements: createDocuments },
  { name: "create_timers", statements: createTimers },
  { name: "create_snapshots", statements: createSnapshots },
  { name: "skip_deliveries", statements: skipDeliveries }
]

const table = "migrations"

/**
 * Number of the newest migration.
 *
 * @category constants
 * @since 0.1.0
 */
export const latest: number = migrations.length

/**
 * Brings the schema up to date; does nothing where it is. Any number of processes may run it at once: one works, the
 * others wait for it. All of it is one transaction. Needs a role that may create the schema, or owns it. Fails with
 * `UnsupportedDatabase` where the event store cannot stand on the database.
 *
 * **Example**
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Config, Effect } from "effect"
 * import { PgMigrations } from "effect-eventstore"
 *
 * export const program = PgMigrations.run({ schema: "eventstore" }).pipe(
 *   Effect.provide(PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
 * )
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const run = (
  options?: MigrationOptions
): Effect.Effect<void, Migrator.MigrationError | SqlError.SqlError | UnsupportedDatabase, SqlClient.SqlClient> =>
  SqlClient.SqlClient.use((sql) => migrate(sql, options))

/**
 * As {@link run}, with a client in hand.
 *
 * @category constructors
 * @since 0.1.0
 */
export const migrate = (
  client: SqlClient.SqlClient,
  options?: MigrationOptions
): Effect.Effect<void, Migrator.MigrationError | SqlError.SqlError | UnsupportedDatabase> =>
  Effect.gen(function*() {
    const schema = options?.schema ?? defaultName
    if (!isSchemaName(schema)) {
      return yield* new UnsupportedDatabase({ problem: `The schema name ${JSON.stringify(schema)} is not allowed` })
    }
    const sql = client.withoutTransforms()
    yield* PgCapabilities.check(sql)
    if ((yield* status(sql, schema)) >= latest) return
    yield* sql.withTransaction(Effect.gen(function*() {
      // CREATE ... IF NOT EXISTS races with itself; a lock does not
      yield* sql`SELECT pg_advisory_xact_lock(hashtext('effect-eventstore'), hashtext(${schema}))`
      const found = yield* sql`SELECT 1 AS found WHERE to_regnamespace(${schema}) IS NOT NULL`
      if (found.length === 0) yield* sql`CREATE SCHEMA ${sql(schema)}`
      const [before] = yield* sql<{ path: string }>`SELECT current_setting('search_path') AS path`
      yield* sql`SELECT set_config('search_path', ${`${toSql(schema)}, pg_temp`}, true)`
      yield* Effect.provideService(
        Migrator.make({})({
          table,
          loader: Effect.succeed(migrations.map(({ name, statements }, i) =>
            [
              i + 1,
              name,
              // what a migration module exports: an effect that runs it
              Effect.succeed(Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true }))
            ] as const
          ))
        }),
        SqlClient.SqlClient,
        sql
      )
      // this may be a part of the caller's own transaction
      yield* sql`SELECT set_config('search_path', ${before!.path}, true)`
    })).pipe(
      // a stricter transaction would look for what is done with a snapshot that is older than the lock
      Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL READ COMMITTED")
    )
  }).pipe(Effect.withSpan("eventstore.migrate"))

/**
 * Runs the migrations when the layer is built.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: MigrationOptions): Layer.Layer<
  never,
  Migrator.MigrationError | SqlError.SqlError | UnsupportedDatabase,
  SqlClient.SqlClient
> => Layer.effectDiscard(run(options))

/**
 * The SQL of all migrations as single statements, to be run on an empty schema in one transaction. They record what they
 * did, so that {@link run} finds nothing left to do. With `after`, from 0 to {@link latest}, those behind a migration, to be
 * run on a schema that has seen it and none behind it: see {@link status}. The first of them fails where that does not hold.
 *
 * **Gotchas** Throws where the schema name is not allowed, or `after` is the number of no migration.
 *
 * @category constructors
 * @since 0.1.0
 */
export const statements = (
  options?: MigrationOptions & { readonly after?: number | undefined }
): ReadonlyArray<string> => {
  const schema = nameOrThrow(options?.schema ?? defaultName)
  const after = options?.after ?? 0
  const path = `SET LOCAL search_path TO ${schema}, pg_temp`
  if (!Number.isInteger(after) || after < 0 || after > latest) {
    throw new Error(`after is ${String(after)}, not a whole number from 0 to ${latest}`)
  }
  const begin = after > 0 ? [path, seen(after)] : [
    `CREATE SCHEMA IF NOT EXISTS ${schema}`,
    path,
    `CREATE TABLE ${table} (
  migration_id integer PRIMARY KEY,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  name text NOT NULL
)`
  ]
  return [
    ...begin,
    ...migrations.flatMap(({ name, statements }, i) =>
      i < after ? [] : [...statements, `INSERT INTO ${table} (migration_id, name) VALUES (${i + 1}, '${name}')`]
    )
  ]
}

/** Fails unless a schema has seen a migration, and none behind it. */
const seen = (after: number): string =>
  `DO $$
BEGIN
  IF (SELECT max(migration_id) FROM ${table}) IS DISTINCT FROM ${after} THEN
    RAISE EXCEPTION 'the schema % is at migration %, and this is for one that is at ${after}',
      current_schema(), (SELECT max(migration_id) FROM ${table});
  END IF;
END
$$`

/**
 * The {@link statements} as one script with its transaction, for a DBA who runs it with psql.
 *
 * **Gotchas** Throws where the schema name is not allowed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const script = (options?: Parameters<typeof statements>[0]): string =>
  ["BEGIN", ...statements(options), "COMMIT"].map((statement) => `${statement};\n`).join("\n")

/**
 * The SQL that lets a role append, read, subscribe, run projections and keep snapshots, and nothing else: no DDL, no direct
 * writing to any table. Projections that keep tables make a schema for them: for these the role needs `CREATE` on the database
 * as well, which is yours to grant.
 *
 * **Gotchas** Throws where one of the names is not allowed: lower-case letters, digits, underscores.
 *
 * @category constructors
 * @since 0.1.0
 */
export const grants = (options: { readonly role: string } & MigrationOptions): string => {
  const schema = nameOrThrow(options.schema ?? defaultName)
  const role = nameOrThrow(options.role)
  return [
    `GRANT USAGE ON SCHEMA ${schema} TO ${role}`,
    `GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO ${role}`,
    `GRANT EXECUTE ON FUNCTION ${granted.map((name) => `${schema}.${name}`).join(", ")}\n  TO ${role}`
  ].map((statement) => `${statement};\n`).join("")
}

/** The functions that a program calls. */
const granted = [
  "log_head",
  "append_events",
  "append_event",
  "change_stream",
  "open_log",
  "create_subscription",
  "update_subscription",
  "remove_subscription",
  "claim_deliveries",
  "settle_deliveries",
  "extend_deliveries",
  "replay_deliveries",
  "discard_deliveries",
  "skip_deliveries",
  "register_projection",
  "work_lock",
  "claim_partitions",
  "release_partitions",
  "advance_partition",
  "report_failure",
  "begin_set_up",
  "drop_tables",
  "finish_set_up",
  "begin_indexing",
  "finish_indexing",
  "begin_completion",
  "finish_completion",
  "pause_projection",
  "resume_projection",
  "reset_projection",
  "repartition_projection",
  "switch_projection",
  "roll_back_projection",
  "drop_projection",
  "replay_parked",
  "discard_parked",
  "replay_failed",
  "begin_inline",
  "read_documents",
  "lock_documents",
  "save_documents",
  "add_links",
  "change_timers",
  "clear_timers",
  "take_timer",
  "save_snapshot",
  "drop_snapshots"
]

const nameOrThrow = (name: string): string => {
  if (!isSchemaName(name)) throw new Error(`The name ${JSON.stringify(name)} is not allowed`)
  return toSql(name)
}

/**
 * Number of the newest migration that a schema has seen; 0 where it has no event store.
 *
 * @category getters
 * @since 0.1.0
 */
export const status = (client: SqlClient.SqlClient, schema: string): Effect.Effect<number, SqlError.SqlError> =>
  Effect.gen(function*() {
    const sql = client.withoutTransforms()
    const known = yield* sql<{ ready: boolean }>`
      SELECT to_regclass(${`${toSql(schema)}.${table}`}) IS NOT NULL AS ready`
    if (known[0]?.ready !== true) return 0
    const rows = yield* sql<{ id: number | null }>`
      SELECT max(migration_id)::int4 AS id FROM ${sql(schema)}.${sql(table)}`
    return rows[0]?.id ?? 0
  })
