import type { PgClient } from "@effect/sql-pg"
import { PgPool } from "@effect/sql-pg"
import { Cause, Context, Deferred, Duration, Effect, Exit, Option, Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { StreamId } from "../../Stream/StreamId.ts"
import type { AppendCommand, AppendedEntry, AppendRefused, LogStorage, Page, PageRange } from "../LogStorage.ts"
import { type InvalidInput, type StoreError, StreamTombstoned, wrongExpectedVersion } from "../StoreError.ts"
import { makeAppendGroups, storeClosed } from "./appendGroups.ts"
import * as AppendSql from "./appendSql.ts"
import * as Sql from "./eventsSql.ts"
import { listenTo } from "./pgListener.ts"
import { makePgProjections } from "./pgProjections.ts"
import { isLost, toAnswer, toRefusal, toStoreError, Verdict } from "./pgRefusals.ts"
import { makeSender } from "./pgSender.ts"
import { makePgSnapshots } from "./pgSnapshots.ts"
import { makePgSubscriptions } from "./pgSubscriptions.ts"
import { noChangeInTransaction, violation } from "./verdict.ts"

/** How the log of a database is reached. */
export interface PgStorageOptions {
  readonly system: string
  readonly schema: string
  readonly log: number
  /** Batches of appends on the wire at a time, each on a connection of its own; and as many connections for deliveries. */
  readonly lanes: number
  /** Whether everything waits while a transaction is open. */
  readonly isExclusive: boolean
  /** How long an append is repeated while the database does not answer. */
  readonly reconnectFor: Duration.Duration
  /** Where the database says that something was stored; `undefined` where nobody can listen. */
  readonly channel: string | undefined
  /** How often a tail looks for itself. */
  readonly poll: Duration.Duration
}

/** A log in a Postgres database: appends through connections of their own, reads through the application's client. */
export const makePgStorage = Effect.fnUntraced(function*(
  sql: PgClient.PgClient,
  options: PgStorageOptions
): Effect.fn.Return<LogStorage, SqlError.SqlError, Scope.Scope> {
  const { log, schema } = options
  const settings = yield* sql.unsafe("SELECT current_setting('default_transaction_isolation')").values
  const isReadCommitted = settings[0]?.[0] === "read committed"
  // a scope of its own: in the layer's no connection could be opened any more while that closes, and appends may need one
  const connections = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const makePool = (maxConnections: number) =>
    PgPool.make({
      ...sql.config,
      multiplex: false,
      minConnections: 0,
      maxConnections,
      applicationName: sql.config.applicationName ?? "effect-eventstore",
      // asked for only where it is needed: poolers refuse start-up parameters that they do not know
      ...(isReadCommitted
        ? {}
        : { startupParameters: { ...sql.config.startupParameters, default_transaction_isolation: "read committed" } })
    }).pipe(Scope.provide(connections))
  const pool = yield* makePool(options.lanes)
  // what waits for a queue of deliveries must not keep appends waiting, nor a change that waits for a consumer other queues,
  // nor one of them projections; and a snapshot may be large
  const [deliveriesPool, projectionsPool, changesPool, snapshotsPool] = yield* Effect.all([
    makePool(options.lanes),
    makePool(options.lanes),
    makePool(1),
    makePool(1)
  ])
  const gaveUp = yield* Deferred.make<never, StoreError>()
  // when no answer to an append is waited for any more
  yield* Effect.addFinalizer(() => Deferred.fail(gaveUp, storeClosed("unknown")))
  const { isClosing, submit } = yield* makeAppendGroups(
    { lanes: options.lanes },
    (isClosing) => makeSender({ pool, schema, log, reconnectFor: options.reconnectFor, isClosing })
  )

  // of the client, so those that the application opens by itself count as well
  const transactionDepth = Effect.withFiber((fiber) => {
    const open = Context.getOrUndefined(fiber.context as Context.Context<any>, sql.transactionService)
    return Effect.succeed(open === undefined ? 0 : open[1] + 1)
  })
  const inTransaction = Effect.map(transactionDepth, (depth) => depth > 0)

  const query = (
    operation: string,
    { isPlannedAnew, params, text }: Sql.Statement
  ): Effect.Effect<ReadonlyArray<Sql.Values>, StoreError> => {
    const statement = sql.unsafe(text, params)
    return Effect.mapError(
      isPlannedAnew === true ? statement.valuesUnprepared : statement.values,
      (error) => toStoreError(operation, error, "not-stored")
    )
  }

  /** Stages a command in the transaction that is open: checked now, stored at COMMIT. */
  const stage = (
    command: AppendCommand
  ): Effect.Effect<ReadonlyArray<AppendedEntry>, AppendRefused | InvalidInput | StoreError> => {
    const { params, text } = AppendSql.appendEvents(schema, log, [command], {
      stage: true,
      repeatable: command.repeatable
    })
    return Effect.flatMap(
      Effect.mapError(sql.unsafe(text, params).values, (error) => toRefusal("append", error, "not-stored")),
      (rows) => toAnswer(command, rows, 0)
    )
  }

  /** A change beside the transaction that is open, if one is. */
  const execute = (
    pool: PgPool.PgPool,
    operation: string,
    { params, text }: Sql.Statement,
    { repeatable } = { repeatable: false }
  ): Effect.Effect<ReadonlyArray<Sql.Values>, StoreError> =>
    Effect.suspend(() => {
      if (isClosing()) return Effect.fail(storeClosed("not-stored", operation))
      let sent = false
      return pool.use((connection) => {
        sent = true
        return connection.queryValues(text, params)
      }).pipe(
        Effect.mapError((error) =>
          toStoreError(operation, error, sent && isLost(error) ? "unknown" : "not-stored", repeatable)
        ),
        Effect.raceFirst(Deferred.await(gaveUp))
      )
    })

  const committed = (streamId: StreamId) =>
    Effect.map(query("info", Sql.streamState(schema, log, streamId)), (rows) => Sql.toState(rows[0]!))

  /** How many events of a stream the transaction staged that is open, if one is. */
  const staged = (streamId: StreamId) =>
    Effect.flatMap(inTransaction, (open) =>
      open
        ? Effect.map(query("read", Sql.stagedCount(schema, log, streamId)), (rows): number => rows[0]![0])
        : Effect.succeed(0))

  /** Fetches what a page left out because it is large, as far as the page may reach. */
  const toPage = (rows: ReadonlyArray<Sql.Values>, { bytes, limit }: PageRange): Effect.Effect<Page, StoreError> => {
    const all = rows.map(Sql.toStored)
    const more = rows.length >= limit
    const isLarge = ({ data }: StoredEvent) => data === null
    if (!all.some(isLarge)) return Effect.succeed({ events: all, more })
    return Effect.gen(function*() {
      const events: Array<StoredEvent> = []
      const fetched = new Map<number, Sql.Values>()
      let size = 0
      for (let i = 0; i < all.length; i++) {
        if (size >= bytes) return { events, more: true }
        let event = all[i]!
        if (isLarge(event)) {
          if (!fetched.has(event.position)) {
            fetched.clear()
            const next = all.slice(i).filter(isLarge).slice(0, largeAtATime).map(({ position }) => position)
            for (const row of yield* query("read", Sql.largeEvents(schema, log, next))) fetched.set(row[0], row)
          }
          const row = fetched.get(event.position)
          // removed in the meantime by whoever may
          if (row === undefined) continue
          event = { ...event, data: row[1], metadata: row[2] }
        }
        size += event.data.length + (event.metadata?.length ?? 0)
        events.push(event)
      }
      return { events, more }
    })
  }

  const transaction = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const begin = yield* SqlClient.BeginTransaction
      const isNested = yield* inTransaction
      let own: Exit.Exit<A, E> | undefined
      const observed = Effect.onExit(effect, (exit) =>
        Effect.sync(() => {
          own = exit
        }))
      const committed = begin === undefined && !isReadCommitted
        ? sql.withTransaction(Effect.provideService(observed, SqlClient.BeginTransaction, begin)).pipe(
          Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL READ COMMITTED")
        )
        : sql.withTransaction(observed)
      return yield* Effect.catchCause(
        committed,
        (cause): Effect.Effect<A, E | AppendRefused | InvalidInput | StoreError> => {
          // the effect's own failure passes untouched: a ROLLBACK that fails as well changes nothing about it
          if (own !== undefined && Exit.isFailure(own)) return own
          // only a COMMIT can leave a doubt
          const isSent = own !== undefined && !isNested
          return Effect.failCause(Cause.map(cause, (error) =>
            toRefusal(
              "transaction",
              error as SqlError.SqlError,
              isSent && isLost(error as SqlError.SqlError) ? "unknown" : "not-stored"
            )))
        }
      )
    })

  const logPage: LogStorage["logPage"] = (filter, range) =>
    Effect.flatMap(query("readAll", Sql.logPage(schema, log, filter, range)), (rows) => toPage(rows, range))

  return {
    system: options.system,

    append: (command) => Effect.flatMap(inTransaction, (staged) => staged ? stage(command) : submit(command)),

    streamPage: (streamId, range) =>
      Effect.gen(function*() {
        const page = (yield* staged(streamId)) > 0
          ? Effect.map(
            query("read", Sql.streamWithStaged(schema, log, streamId, range)),
            (rows) => ({ events: rows.map(Sql.toStored), more: false })
          )
          : Effect.flatMap(query("read", Sql.streamPage(schema, log, streamId, range)), (rows) => toPage(rows, range))
        const { events, more } = yield* page
        // nothing to read: only now it may matter whether the stream was ended
        if (events.length === 0 && (yield* committed(streamId)).tombstoned) {
          return yield* new StreamTombstoned({ streamId })
        }
        return { events, more }
      }),

    logPage,

    event: (eventId) =>
      Effect.map(
        query("readEvent", Sql.eventById(schema, log, eventId)),
        (rows) => Option.map(Option.fromNullishOr(rows[0]), Sql.toStored)
      ),

    positions: (eventIds) =>
      Effect.map(
        query("append", Sql.positions(schema, log, eventIds)),
        (rows) => new Map(rows.map(([eventId, position]) => [eventId, position]))
      ),

    inTransaction,

    transactionDepth,

    identity: (position) =>
      Effect.map(query("identity", Sql.identity(schema, log, position)), ([row]) => ({
        head: row![0],
        eventId: row![1] ?? undefined
      })),

    listen: options.channel === undefined ? undefined : listenTo(sql, options.channel),

    pollMillis: Duration.toMillis(options.poll),

    patienceMillis: Duration.toMillis(options.reconnectFor),

    head: Effect.map(query("head", Sql.logHead(schema, log)), (rows) => rows[0]![0]),

    stream: (streamId) =>
      Effect.zipWith(committed(streamId), staged(streamId), (state, count) => ({
        ...state,
        version: state.version + count
      })),

    streams: (options) =>
      Effect.map(query("streams", Sql.streamsPage(schema, log, options)), (rows) => rows.map(Sql.toState)),

    change: (streamId, change, expected) =>
      Effect.gen(function*() {
        if (yield* inTransaction) return yield* noChangeInTransaction()
        const statement = AppendSql.changeStream(schema, log, streamId, change, expected)
        const [row] = yield* execute(pool, change._tag, statement)
        const [verdict, version] = row as Sql.Values
        if (verdict === Verdict.tombstoned) return yield* new StreamTombstoned({ streamId })
        if (verdict === Verdict.wrongVersion) {
          return yield* wrongExpectedVersion([violation(streamId, expected, version)])
        }
      }),

    transaction,

    projections: makePgProjections({
      schema,
      log,
      query,
      execute: (...statement) => execute(projectionsPool, ...statement),
      change: (...statement) => execute(changesPool, ...statement),
      inTransaction,
      isExclusive: options.isExclusive,
      transaction,
      logPage,
      toPage
    }),

    snapshots: makePgSnapshots({
      schema,
      log,
      query,
      execute: (...statement) => execute(snapshotsPool, ...statement),
      inTransaction,
      staged,
      toPage
    }),

    subscriptions: makePgSubscriptions({
      schema,
      log,
      query,
      execute: (...statement) => execute(deliveriesPool, ...statement),
      change: (...statement) => execute(changesPool, ...statement),
      inTransaction,
      isExclusive: options.isExclusive,
      transaction
    })
  }
})

/** Large events that are fetched together. */
const largeAtATime = 4
