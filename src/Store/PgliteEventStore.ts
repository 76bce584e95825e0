/**
 * The event store in an embedded Postgres: PGlite, in one process, in memory or in a directory.
 *
 * @since 0.1.0
 */
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Layer, type Scope } from "effect"
import type { Migrator, SqlClient, SqlError } from "effect/sql"
import * as PgMigrations from "../Postgres/PgMigrations.ts"
import { probe } from "../Postgres/PgProbe.ts"
import { defaultName, toSql } from "../Postgres/SchemaName.ts"
import { UnsupportedDatabase } from "../Postgres/UnsupportedDatabase.ts"
import { EventStore } from "./EventStore.ts"
import { createWhole, lockDirectory } from "./internal/directoryLock.ts"
import { pgliteDuplex } from "./internal/pgliteDuplex.ts"
import { makePgStorage } from "./internal/pgStorage.ts"
import type { Limits } from "./Limits.ts"

/**
 * - `dataDir`: the directory that keeps the events; without one they are in memory
 * - `schema`, `log`, `limits`: as for `PgEventStore`
 *
 * @category models
 * @since 0.1.0
 */
export interface PgliteEventStoreOptions {
  readonly dataDir?: string | undefined
  readonly schema?: string | undefined
  readonly log?: number | undefined
  readonly limits?: Partial<Limits> | undefined
}

/**
 * A client on PGlite, for the event store and for tables of the application's own. Needs the package
 * `@electric-sql/pglite`. A directory belongs to one process, and to one layer in it: a second one fails with
 * `UnsupportedDatabase`.
 *
 * **Gotchas** PGlite has one backend. While a transaction is open, everything else waits for it, and a statement that
 * runs cannot be cancelled.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerClient = (
  options?: { readonly dataDir?: string | undefined }
): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError.SqlError | UnsupportedDatabase> =>
  Layer.unwrap(
    Effect.map(open(options?.dataDir), (stream) =>
      PgClient.layer({
        stream,
        username: "postgres",
        database: "postgres",
        maxConnections: 4,
        // what was stored can be read: nothing between the two is there to be guarded against
        maxMessageSize: 1 << 30
      }))
  )

const open = (dataDir: string | undefined): Effect.Effect<
  ReturnType<typeof pgliteDuplex>,
  UnsupportedDatabase,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const { PGlite } = yield* Effect.tryPromise({
      try: () => import("@electric-sql/pglite"),
      catch: (cause) =>
        new UnsupportedDatabase({ problem: `PGlite is not there: install @electric-sql/pglite (${cause})` })
    })
    if (dataDir !== undefined) yield* lockDirectory(dataDir)
    const db = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () =>
          dataDir === undefined
            ? PGlite.create()
            : createWhole(dataDir, (directory) => PGlite.create({ dataDir: directory })),
        catch: (cause) =>
          new UnsupportedDatabase({ problem: `PGlite does not start in ${dataDir ?? "memory"}: ${cause}` })
      }),
      (db) => Effect.promise(() => db.close())
    )
    return pgliteDuplex(db)
  })

/**
 * The event store in PGlite, with the client on it: events in a directory, or in memory, without a server.
 *
 * Acknowledged appends survive a crash of the process. A directory belongs to one process at a time.
 *
 * **Example**
 * ```ts
 * import { PgliteEventStore } from "effect-eventstore"
 *
 * export const Live = PgliteEventStore.layer({ dataDir: "./data" })
 * ```
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: PgliteEventStoreOptions
): Layer.Layer<
  EventStore | PgClient.PgClient | SqlClient.SqlClient,
  Migrator.MigrationError | SqlError.SqlError | UnsupportedDatabase
> => layerStore(options).pipe(Layer.provideMerge(layerClient(options)))

/**
 * The event store on a client of {@link layerClient}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStore = (
  options?: Omit<PgliteEventStoreOptions, "dataDir">
): Layer.Layer<EventStore, Migrator.MigrationError | SqlError.SqlError | UnsupportedDatabase, PgClient.PgClient> =>
  Layer.effect(
    EventStore,
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const schema = options?.schema ?? defaultName
      const log = options?.log ?? 1
      yield* PgMigrations.migrate(sql, { schema })
      yield* probe(sql, { schema, log })
      // one backend: a second batch on the wire would only wait inside
      const storage = yield* makePgStorage(sql, {
        system: "postgresql",
        schema: toSql(schema),
        log,
        lanes: 1,
        isExclusive: true,
        reconnectFor: Duration.zero,
        channel: `${schema}_${log}`,
        poll: Duration.seconds(5)
      })
      return yield* EventStore.make(storage, options?.limits)
    })
  )
