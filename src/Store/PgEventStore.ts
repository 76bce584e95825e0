/**
 * The event store in a Postgres database.
 *
 * @since 0.1.0
 */
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Layer } from "effect"
import { type Migrator, SqlError } from "effect/sql"
import * as PgMigrations from "../Postgres/PgMigrations.ts"
import { probe } from "../Postgres/PgProbe.ts"
import { defaultName, toSql } from "../Postgres/SchemaName.ts"
import { UnsupportedDatabase } from "../Postgres/UnsupportedDatabase.ts"
import { EventStore } from "./EventStore.ts"
import { conflictAtCommit } from "./internal/pgRefusals.ts"
import { makePgStorage } from "./internal/pgStorage.ts"
import type { Limits } from "./Limits.ts"
import type { AppendRefused } from "./LogStorage.ts"

/**
 * - `schema`: where the tables live; default `"eventstore"`
 * - `log`: which of the logs in it, from 1; each has its own order, lock and positions; default 1
 * - `limits`: how much one call may ask for
 * - `lanes`: batches of appends on the wire at a time, each on a connection of its own; default 2
 * - `reconnectFor`: how long an append is repeated, by its event ids, while the database does not answer; default 30 seconds
 * - `listen`: whether subscriptions are woken by `LISTEN`, on a connection of their own; `false` behind a pooler that
 *   shares connections by transaction; default `true`
 * - `poll`: how often subscriptions look for themselves, in case the news is lost; default 5 seconds, without `listen` 250
 *   milliseconds
 *
 * @category models
 * @since 0.1.0
 */
export interface PgEventStoreOptions {
  readonly schema?: string | undefined
  readonly log?: number | undefined
  readonly limits?: Partial<Limits> | undefined
  readonly lanes?: number | undefined
  readonly reconnectFor?: Duration.Input | undefined
  readonly listen?: boolean | undefined
  readonly poll?: Duration.Input | undefined
}

/**
 * The event store on tables that exist already. The role needs no DDL: see `PgMigrations.grants`.
 *
 * Appends travel on connections of their own, made from the configuration of the given client, so that a slow query of
 * the application cannot stand before them. Reads, and appends inside `sql.withTransaction`, use the client itself.
 * Fails with `UnsupportedDatabase` where the database is not Postgres 15 or newer, is read-only, or lacks the tables.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStore = (
  options?: PgEventStoreOptions
): Layer.Layer<EventStore, SqlError.SqlError | UnsupportedDatabase, PgClient.PgClient> =>
  Layer.effect(
    EventStore,
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const schema = options?.schema ?? defaultName
      const log = options?.log ?? 1
      const lanes = options?.lanes ?? 2
      if (!Number.isSafeInteger(lanes) || lanes < 1) {
        return yield* new UnsupportedDatabase({ problem: `lanes is ${lanes}: appends need at least one connection` })
      }
      const isListening = options?.listen ?? true
      yield* probe(sql, { schema, log })
      const storage = yield* makePgStorage(sql, {
        system: "postgresql",
        schema: toSql(schema),
        log,
        lanes,
        isExclusive: false,
        reconnectFor: Duration.fromInputUnsafe(options?.reconnectFor ?? "30 seconds"),
        channel: isListening ? `${schema}_${log}` : undefined,
        poll: Duration.fromInputUnsafe(options?.poll ?? (isListening ? "5 seconds" : "250 millis"))
      })
      return yield* EventStore.make(storage, options?.limits)
    })
  )

/**
 * The event store in a Postgres database; creates or upgrades its tables first. For a quick start, and wherever the role
 * may create a schema.
 *
 * **Example**
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Config, Layer } from "effect"
 * import { PgEventStore } from "effect-eventstore"
 *
 * export const Live = PgEventStore.layer().pipe(
 *   Layer.provideMerge(PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
 * )
 * ```
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: PgEventStoreOptions
): Layer.Layer<
  EventStore,
  Migrator.MigrationError | SqlError.SqlError | UnsupportedDatabase,
  PgClient.PgClient
> =>
  layerStore(options).pipe(
    Layer.provide(Layer.effectDiscard(PgClient.PgClient.use((sql) => PgMigrations.migrate(sql, options))))
  )

/**
 * Names what went wrong where a transaction of the client's own ends: an append inside of `sql.withTransaction` is stored
 * at COMMIT, and if its expected version does not hold any more, COMMIT fails with a bare `SqlError`. This turns it into
 * the `WrongExpectedVersion` (or `AppendConditionFailed`, `EventIdConflict`, `StreamTombstoned`) that it stands for.
 * Every other error passes. `EventStore.transaction` does the same by itself.
 *
 * **Example**
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { SqlClient } from "effect/sql"
 * import { Category, EventStore, PgEventStore } from "effect-eventstore"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Schema.Int }) {}
 * const Order = Category.make("order", { id: Schema.String, events: [Paid] })
 *
 * export const pay = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const store = yield* EventStore
 *   yield* sql.withTransaction(Effect.gen(function*() {
 *     yield* sql`UPDATE accounts SET balance = balance - 5 WHERE id = 'a'`
 *     yield* store.append(Order.stream("1"), [new Paid({ amount: 5 })], { expected: 1 })
 *   })).pipe(PgEventStore.catchCommitConflict)
 * })
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const catchCommitConflict = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | AppendRefused, R> =>
  Effect.catch(self, (error) => {
    const conflict = SqlError.isSqlError(error) ? conflictAtCommit(error) : undefined
    return Effect.fail(conflict ?? error)
  })
