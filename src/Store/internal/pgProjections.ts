import { Data, Effect, Option, Schedule } from "effect"
import type { SqlError } from "effect/sql"
import type { LogFilter } from "../LogFilter.ts"
import type { AppendRefused, LogStorage, Page, PageRange } from "../LogStorage.ts"
import type { Advance, ProjectionDefinition, ProjectionStorage, RehearsedProjection } from "../ProjectionStorage.ts"
import { InvalidInput, StoreError } from "../StoreError.ts"
import * as DocumentsSql from "./documentsSql.ts"
import type { Statement, Values } from "./eventsSql.ts"
import * as LinksSql from "./linksSql.ts"
import * as ParkedSql from "./parkedSql.ts"
import { constraintOf } from "./pgRefusals.ts"
import type { Execute, Query } from "./pgSubscriptions.ts"
import { waitsForItself } from "./pgSubscriptions.ts"
import * as Sql from "./projectionsSql.ts"
import * as TimersSql from "./timersSql.ts"

/** How the projections of a log are reached. */
export interface PgProjectionsOptions {
  readonly schema: string
  readonly log: number
  /** With the client of the application, and in its transaction where one is open. */
  readonly query: Query
  /** On a connection of the store, beside every transaction that is open. */
  readonly execute: Execute
  /** The same for what may have to wait for a batch: nothing else is to stand behind it. */
  readonly change: Execute
  readonly inTransaction: Effect.Effect<boolean>
  /** Whether nothing is executed while a transaction is open: it would wait for the transaction that waits for it. */
  readonly isExclusive: boolean
  readonly transaction: LogStorage["transaction"]
  readonly logPage: LogStorage["logPage"]
  /** Fetches what rows of events leave out because it is large. */
  readonly toPage: (rows: ReadonlyArray<Values>, range: PageRange) => Effect.Effect<Page, StoreError>
}

/**
 * Projections in a Postgres database.
 *
 * Who claims, reports and operates does so in one statement on a connection of the store's own. What belongs to a read model,
 * and the checkpoint that goes with it, is a part of the application's transaction. A checkpoint only moves from where its owner
 * saw it, and under the epoch it was given: so whoever does not know whether his COMMIT was heard may do it again, which is
 * then refused, and claims in order to learn where he is.
 */
export const makePgProjections = (options: PgProjectionsOptions): ProjectionStorage => {
  const { inTransaction, isExclusive, log, logPage, query, schema, toPage, transaction } = options

  const guarded = (run: Execute): Execute => (operation, ...rest) =>
    isExclusive
      ? Effect.flatMap(inTransaction, (isOpen) => isOpen ? waitsForItself(operation) : run(operation, ...rest))
      : run(operation, ...rest)
  const execute = guarded(options.execute)
  const change = guarded(options.change)

  /** The only value of the only row. */
  const answer = <A>(rows: ReadonlyArray<Values>): A => rows[0]![0]

  const ask = <A>(run: Execute | Query, operation: string, statement: Statement): Effect.Effect<A, StoreError> =>
    Effect.map(run(operation, statement), answer<A>)

  /**
   * Runs an effect as a transaction, or as a part of the one that is open. It may take everything back and still be no failure:
   * `None`. Whether its COMMIT was heard of or not, it may be run again.
   */
  const attempt = <A, E, R>(
    effect: (giveUp: Effect.Effect<never, GivenUp>) => Effect.Effect<A, E, R>
  ): Effect.Effect<Option.Option<A>, Exclude<E, GivenUp> | AppendRefused | InvalidInput | StoreError, R> =>
    Effect.suspend(() => {
      const givenUp = new GivenUp()
      return Effect.catch(
        Effect.asSome(transaction(effect(Effect.fail(givenUp)))),
        (error): Effect.Effect<Option.Option<A>, Exclude<E, GivenUp> | AppendRefused | InvalidInput | StoreError> =>
          // the very one: the effect may have failed with that of another
          error === givenUp ? Effect.succeedNone : Effect.fail(repeatable(error) as Exclude<typeof error, GivenUp>)
      )
    })

  const statesOf = (run: Query, name: string | undefined, now: number | undefined) =>
    Effect.map(
      run("projections", Sql.projectionStates(schema, log, name ?? null, now)),
      (rows) => rows.map(Sql.toProjectionState)
    )

  const statesOfAll = (now: number | undefined, isWanted: (rehearsal: RehearsedProjection | undefined) => boolean) =>
    Effect.map(statesOf(query, undefined, now), (all) => all.filter(({ rehearsal }) => isWanted(rehearsal)))

  /** The events that an inline version has not handled yet, `undefined` where these are too many. */
  const missingOf = (filter: LogFilter, position: number) =>
    Effect.map(
      logPage(filter, {
        direction: "forward",
        from: position + 1,
        to: Number.MAX_SAFE_INTEGER,
        limit: mostMissing + 1,
        bytes: Infinity
      }),
      ({ events }) => events.length > mostMissing ? undefined : events
    )

  return {
    hasTables: true,

    register: (definition, partitions, start) =>
      Effect.gen(function*() {
        yield* checkDefinition(definition, partitions)
        yield* Effect.catch(
          execute("register", Sql.registerProjection(schema, log, definition, partitions, start), { repeatable: true }),
          (error) =>
            Effect.fail(
              constraintOf(error.cause as SqlError.SqlError) === "projection_versions_schema_key"
                ? schemaTaken(definition)
                : error
            )
        )
        const states = yield* statesOf(execute, definition.name, undefined)
        return states.find(({ version }) => version === definition.version)!
      }),

    states: (name, now) =>
      name === undefined ? statesOfAll(now, (rehearsal) => rehearsal === undefined) : statesOf(query, name, now),

    rehearsals: (now) => statesOfAll(now, (rehearsal) => rehearsal !== undefined),

    progress: (name) =>
      Effect.map(
        query("progress", Sql.projectionProgress(schema, log, name)),
        ([row]) => row && { version: row[0], position: row[1] }
      ),

    claim: (claim) =>
      Effect.map(execute("claim", Sql.claimPartitions(schema, claim), { repeatable: true }), Sql.toPartitionsClaimed),

    release: (id, runner, partitions) =>
      Effect.asVoid(
        execute("release", Sql.releasePartitions(schema, id, runner, partitions), { repeatable: true })
      ),

    advanceWith: <A, E, R>(advance: Advance, effect: Effect.Effect<A, E, R> | undefined) =>
      Effect.flatMap(
        inTransaction,
        (isOpen): Effect.Effect<Option.Option<A | undefined>, E | AppendRefused | InvalidInput | StoreError, R> => {
          // what else is in the transaction around it has to be as durable as ever
          const move = Sql.advancePartition(schema, isOpen ? { ...advance, isBulk: false } : advance)
          if (effect === undefined) {
            return Effect.map(
              isOpen ? query("advance", move) : execute("advance", move, { repeatable: true }),
              (rows) => answer<boolean>(rows) ? Option.some(undefined) : Option.none()
            )
          }
          return attempt((giveUp) =>
            Effect.gen(function*() {
              if (!(yield* ask<boolean>(query, "advance", Sql.beginAdvance(schema, advance)))) return yield* giveUp
              const value = yield* effect
              if (!(yield* ask<boolean>(query, "advance", move))) return yield* giveUp
              return value
            })
          )
        }
      ),

    setUpWith: (id, effect) =>
      Effect.map(
        attempt((giveUp) =>
          Effect.gen(function*() {
            const verdict = yield* ask<string>(query, "setUp", Sql.beginSetUp(schema, id))
            if (verdict === "taken") return yield* schemaNotOwn(id)
            if (verdict !== "open") return yield* giveUp
            yield* effect
            if (!(yield* ask<boolean>(query, "setUp", Sql.finishSetUp(schema, id)))) return yield* giveUp
          })
        ),
        Option.isSome
      ),

    indexWith: (id, effect) =>
      Effect.map(
        attempt((giveUp) =>
          Effect.gen(function*() {
            const verdict = yield* ask<string>(query, "index", Sql.beginIndexing(schema, id))
            if (verdict === "done") return
            if (verdict === "early") return yield* giveUp
            yield* effect
            yield* query("index", Sql.finishIndexing(schema, id))
          })
        ),
        Option.isSome
      ),

    completeWith: (id, { isSwitching }, effect) =>
      Effect.map(
        attempt((giveUp) =>
          Effect.gen(function*() {
            const [row] = yield* query("complete", Sql.beginCompletion(schema, id, isSwitching))
            const [verdict, position, filter] = row!
            if (verdict === "done") return
            if (verdict === "early") return yield* giveUp
            const missing = verdict === "inline" ? yield* missingOf(JSON.parse(filter), position) : []
            if (missing === undefined) return yield* giveUp
            yield* effect(missing)
            const finish = Sql.finishCompletion(schema, id, isSwitching, missing.length)
            if (!(yield* ask<boolean>(query, "complete", finish))) return yield* giveUp
          })
        ),
        Option.isSome
      ),

    report: (partition, failure) =>
      Effect.asVoid(
        (failure.isFatal ? change : execute)("report", Sql.reportFailure(schema, partition, failure), {
          repeatable: true
        })
      ),

    pause: (id) =>
      Effect.map(
        ask<string | null>(change, "pause", Sql.pauseProjection(schema, id, null)),
        (status) => status !== null
      ),

    resume: (id) => ask(change, "resume", Sql.resumeProjection(schema, id)),

    // What a batch has written it holds locked while it waits for its partition: so nobody may hold that who removes it. Paused,
    // nobody begins another batch, and one that is under way is refused. Where the second half does not come about, another
    // reset finds it held.
    reset: (id) =>
      Effect.flatMap(
        ask<string | null>(change, "reset", Sql.pauseProjection(schema, id, "reset")),
        (status) => status === null ? Effect.succeed(false) : ask(change, "reset", Sql.resetProjection(schema, id))
      ),

    repartition: (id, partitions) => ask(change, "repartition", Sql.repartitionProjection(schema, id, partitions)),

    switchTo: (id) => ask(change, "switchTo", Sql.switchProjection(schema, id)),

    rollBack: (name) =>
      Effect.map(
        ask<number | null>(change, "rollBack", Sql.rollBackProjection(schema, log, name)),
        (version) => version ?? undefined
      ),

    // As a reset; and the schema goes with the rights of whoever made it, before anything is locked that others wait for.
    drop: (id) =>
      Effect.gen(function*() {
        const status = yield* ask<string | null>(change, "drop", Sql.pauseProjection(schema, id, "drop"))
        if (status === null) return "unknown"
        if (status === "live") return "live"
        const removal = Effect.gen(function*() {
          yield* query("drop", Sql.dropTables(schema, id))
          const verdict = yield* ask<"dropped" | "live" | "unknown">(query, "drop", Sql.dropProjection(schema, id))
          return verdict === "dropped" ? verdict : yield* Effect.fail(new NotDropped({ verdict }))
        })
        const letGo = change("drop", Sql.letGo(schema, id))
        return yield* transaction(removal).pipe(
          Effect.retry({ while: isInTheWay, schedule: dropping }),
          Effect.onError(() => Effect.ignore(letGo)),
          Effect.catch((error) =>
            error instanceof NotDropped
              ? Effect.succeed(error.verdict)
              : Effect.fail(error instanceof StoreError ? error : notDropped(error))
          )
        )
      }),

    parked: (id, page) =>
      Effect.map(
        query("parked", ParkedSql.parkedEvents(schema, log, id, page)),
        (rows) => rows.map(ParkedSql.toParkedEvent)
      ),

    replay: (id, keys) => ask(change, "replay", ParkedSql.replayParked(schema, id, keys)),

    discard: (id, keys) => ask(change, "discard", ParkedSql.discardParked(schema, id, keys)),

    replayFailed: (partition, failure) =>
      Effect.asVoid(
        execute("replayFailed", ParkedSql.replayFailed(schema, partition, failure), { repeatable: true })
      ),

    documents: {
      load: (id, keys, { isLocking }) =>
        keys.length === 0
          ? Effect.succeed(new Map())
          : Effect.map(
            query("load", (isLocking ? DocumentsSql.lockDocuments : DocumentsSql.readDocuments)(schema, id, keys)),
            DocumentsSql.toDocuments
          ),

      save: (id, changes) =>
        changes.length === 0
          ? Effect.void
          : Effect.asVoid(query("save", DocumentsSql.saveDocuments(schema, id, changes))),

      read: (name, keys) =>
        Effect.map(
          query("documents", DocumentsSql.liveDocuments(schema, log, name, keys)),
          DocumentsSql.toLiveDocuments
        ),

      page: (id, range) =>
        Effect.map(
          query("documents", DocumentsSql.documentsPage(schema, id, range)),
          (rows) => rows.map(([key, state]) => ({ key, state }))
        )
    },

    links: {
      add: (id, links) =>
        links.length === 0 ? Effect.void : Effect.asVoid(query("link", LinksSql.addLinks(schema, log, id, links))),

      page: (id, key, range) =>
        Effect.flatMap(query("links", LinksSql.linksPage(schema, log, id, key, range)), (rows) => toPage(rows, range)),

      list: (id, range) =>
        Effect.map(
          query("links", LinksSql.visibleLinks(schema, log, id, range)),
          (rows) => rows.map(([key, position]) => ({ key, position }))
        ),

      keys: (id, range) =>
        Effect.map(
          query("links", LinksSql.linkKeys(schema, id, range)),
          (rows) => rows.map(([key, count]) => ({ key, count }))
        )
    },

    beginInline: (ids, streamIds, { isWaiting }) =>
      Effect.flatMap(inTransaction, (isOpen) =>
        isOpen
          ? Effect.map(
            query("append", Sql.beginInline(schema, log, ids, streamIds, isWaiting)),
            ([row]) => ({ applied: row![0], held: row![1] })
          )
          : Effect.fail(noTransaction())),

    timers: {
      change: (owner, changes) =>
        changes.length === 0
          ? Effect.void
          : Effect.asVoid(query("changeTimers", TimersSql.changeTimers(schema, log, owner, changes))),

      clear: (owner, key) => Effect.asVoid(query("clearTimers", TimersSql.clearTimers(schema, log, owner, key))),

      due: (owner, limit, now) =>
        Effect.map(query("timers", TimersSql.dueTimers(schema, log, owner, limit, now)), TimersSql.toDueTimers),

      take: (owner, timer) => ask(query, "takeTimer", TimersSql.takeTimer(schema, log, owner, timer)),

      list: (owner, limit) =>
        Effect.map(
          query("timers", TimersSql.timersPage(schema, log, owner, limit)),
          (rows) => rows.map(TimersSql.toTimer)
        )
    }
  }
}

/** Events that an inline projection may not have handled when it is made live: nothing can be stored meanwhile. */
const mostMissing = 1000

const mostPartitions = 1000

/** Rolls back a transaction that has nothing to say. Nobody else sees it. */
class GivenUp extends Data.TaggedError("GivenUp") {}

/** The same for a version that is not to be dropped after all. */
class NotDropped extends Data.TaggedError("NotDropped")<{ readonly verdict: "live" | "unknown" }> {}

/** Others hold for a while what is to go. Nothing was changed. */
const isInTheWay = (error: unknown): boolean =>
  error instanceof StoreError && error.isRetryable && error.outcome === "not-stored"

/** How often what is to go is tried to be removed: for half a minute. */
const dropping = Schedule.upTo(Schedule.jittered(Schedule.spaced("50 millis")), { duration: "30 seconds" })

/** A COMMIT that nobody heard of: to do it again is refused where it was done. */
const repeatable = <E>(error: E): E | StoreError =>
  error instanceof StoreError && error.operation === "transaction" && error.outcome === "unknown"
    ? new StoreError({ operation: "transaction", isRetryable: true, outcome: "unknown", cause: error.cause })
    : error

const checkDefinition = (
  { filter, isInline }: ProjectionDefinition,
  partitions: number
): Effect.Effect<void, InvalidInput> =>
  !Number.isInteger(partitions) || partitions < 1 || partitions > mostPartitions
    ? Effect.fail(new InvalidInput({ field: "partitions", problem: `is not a number from 1 to ${mostPartitions}` }))
    : isInline && (filter.recordedFrom !== null || filter.recordedUntil !== null)
    ? Effect.fail(
      new InvalidInput({
        field: "filter",
        problem: "goes by time, which an event does not have yet when an inline projection is applied to it"
      })
    )
    : Effect.void

const schemaTaken = ({ schema }: ProjectionDefinition) =>
  new InvalidInput({ field: "projection", problem: `keeps its tables in ${schema}, where those of another one are` })

const schemaNotOwn = (id: number) =>
  Effect.fail(
    new InvalidInput({
      field: "projection",
      problem: `${id} keeps its tables in a schema that somebody else made: give it another name, or remove that schema`
    })
  )

const noTransaction = () =>
  new StoreError({
    operation: "append",
    isRetryable: false,
    outcome: "not-stored",
    cause: new Error("inline projections are applied in a transaction, and none is open")
  })

const notDropped = (cause: unknown) =>
  new StoreError({ operation: "drop", isRetryable: false, outcome: "not-stored", cause })
