import type { PgClient } from "@effect/sql-pg"
import { PgPool } from "@effect/sql-pg"
import { Context, Duration, Effect, Exit, Option, type Scope, Tracer } from "effect"
import type { SqlError } from "effect/sql"
import type { EventId } from "../../Event/EventId.ts"
import type { ExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { Position } from "../../Stream/Position.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { StreamId } from "../../Stream/StreamId.ts"
import type { AppendCommand, AppendedEntry, AppendRefused, LogStorage, PageRange } from "../LogStorage.ts"
import { AppendConditionFailed, EventIdConflict, InvalidInput, StoreError, StreamTombstoned } from "../StoreError.ts"
import { type AppendExit, Coalescer } from "./coalescer.ts"
import * as Sql from "./eventsSql.ts"
import { recordBatch } from "./telemetry.ts"
import { noChangeInTransaction, violation, wrongExpectedVersion } from "./verdict.ts"

/** How the log of a database is reached. */
export interface PgStorageOptions {
  readonly system: string
  readonly schema: string
  readonly log: number
  /** Batches of appends on the wire at a time, each on a connection of its own. */
  readonly lanes: number
  /** How long an append is repeated while the database does not answer. */
  readonly reconnectFor: Duration.Duration
}

/** A log in a Postgres database: appends through connections of their own, reads through the application's client. */
export const makePgStorage = Effect.fnUntraced(function*(
  sql: PgClient.PgClient,
  options: PgStorageOptions
): Effect.fn.Return<LogStorage, SqlError.SqlError, Scope.Scope> {
  const { log, schema } = options
  const pool = yield* PgPool.make({
    ...sql.config,
    multiplex: false,
    minConnections: 0,
    maxConnections: options.lanes,
    applicationName: sql.config.applicationName ?? "effect-eventstore",
    // a database may have another default; an append needs this one
    startupParameters: { ...sql.config.startupParameters, default_transaction_isolation: "read committed" }
  })
  const runFork = Effect.runForkWith(Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>()))
  const closing = { now: false }
  const sender = makeSender(pool, options, closing)
  const coalescer = new Coalescer(options.lanes, (commands, answer) => {
    runFork(sender(commands)).addObserver((exit) =>
      answer(Exit.isSuccess(exit) ? exit.value : commands.map(() => Exit.failCause(exit.cause)))
    )
  })
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      closing.now = true
      return coalescer.drained
    })
  )

  const inTransaction = Effect.withFiber((fiber) =>
    Effect.succeed(Context.getOrUndefined(fiber.context as Context.Context<any>, sql.transactionService) !== undefined)
  )

  const query = (
    operation: string,
    { params, text }: Sql.Statement
  ): Effect.Effect<ReadonlyArray<Sql.Values>, StoreError> =>
    Effect.mapError(sql.unsafe(text, params).values, (error) => toStoreError(operation, error, "not-stored"))

  /** Stages a command in the transaction that is open: checked now, stored at COMMIT. */
  const stage = (
    command: AppendCommand
  ): Effect.Effect<ReadonlyArray<AppendedEntry>, AppendRefused | InvalidInput | StoreError> => {
    const { params, text } = Sql.appendEvents(schema, log, [command], { stage: true, repeatable: command.repeatable })
    return Effect.flatMap(
      Effect.mapError(sql.unsafe(text, params).values, (error) => toRefusal("append", error)),
      (rows) => toAnswer(command, rows, 0)
    )
  }

  const committed = (streamId: StreamId) =>
    Effect.map(query("info", Sql.streamState(schema, log, streamId)), (rows) => Sql.toState(rows[0]!))

  const staged = (streamId: StreamId) =>
    Effect.map(query("info", Sql.stagedStream(schema, log, streamId)), (rows) => rows.map(Sql.toStored))

  return {
    system: options.system,

    append: (command) => Effect.flatMap(inTransaction, (staged) => staged ? stage(command) : coalescer.submit(command)),

    streamPage: (streamId, range) =>
      Effect.gen(function*() {
        const rows = yield* query("read", Sql.streamPage(schema, log, streamId, range))
        const events = rows.map(Sql.toStored)
        const open = yield* inTransaction
        if (!open && events.length > 0) return events
        // only now it may matter whether the stream was ended
        const state = yield* committed(streamId)
        if (state.tombstoned) return yield* new StreamTombstoned({ streamId })
        return open ? withStaged(events, yield* staged(streamId), state.version, range) : events
      }),

    logPage: (filter, range) =>
      Effect.map(query("readAll", Sql.logPage(schema, log, filter, range)), (rows) => rows.map(Sql.toStored)),

    event: (eventId) =>
      Effect.map(
        query("readEvent", Sql.eventById(schema, log, eventId)),
        (rows) => Option.map(Option.fromNullishOr(rows[0]), Sql.toStored)
      ),

    head: Effect.map(query("head", Sql.logHead(schema, log)), (rows) => rows[0]![0]),

    stream: (streamId) =>
      Effect.gen(function*() {
        const state = yield* committed(streamId)
        return (yield* inTransaction)
          ? { ...state, version: state.version + (yield* staged(streamId)).length }
          : state
      }),

    streams: (options) =>
      Effect.map(query("streams", Sql.streamsPage(schema, log, options)), (rows) => rows.map(Sql.toState)),

    change: (streamId, change, expected) =>
      Effect.gen(function*() {
        if (yield* inTransaction) return yield* noChangeInTransaction()
        const [row] = yield* query(change._tag, Sql.changeStream(schema, log, streamId, change, expected))
        if (row![0] === Verdict.tombstoned) return yield* new StreamTombstoned({ streamId })
        if (row![0] === Verdict.wrongVersion) {
          return yield* wrongExpectedVersion([violation(streamId, expected, row![1])])
        }
      }),

    transaction: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      sql.withTransaction(Effect.mapError(effect, (failure) => new Aborted(failure))).pipe(
        // the effect's own errors pass through untouched, also where they are the client's
        Effect.mapError((error): E | AppendRefused | InvalidInput | StoreError =>
          error instanceof Aborted ? error.failure : toRefusal("transaction", error)
        )
      )
  }
})

/** An error of the user's own effect on its way out of a transaction. */
class Aborted<out E> {
  readonly failure: E
  constructor(failure: E) {
    this.failure = failure
  }
}

/** The answers of append_events and change_stream. */
const Verdict = { wrongVersion: 2, tombstoned: 3, idConflict: 4, conditionBroken: 5 } as const

/** Sends batches, and finds out what became of those whose answer was lost. */
const makeSender = (
  pool: PgPool.PgPool,
  { log, reconnectFor, schema }: PgStorageOptions,
  closing: { readonly now: boolean }
) => {
  const send = (
    commands: ReadonlyArray<AppendCommand>,
    repeatable: boolean
  ): Effect.Effect<ReadonlyArray<AppendExit>> =>
    Effect.suspend(() => {
      const { params, text } = Sql.appendEvents(schema, log, commands, { stage: false, repeatable })
      const until = Date.now() + Duration.toMillis(reconnectFor)
      let sent = false
      const attempt = (times: number): Effect.Effect<ReadonlyArray<AppendExit>> =>
        Effect.matchEffect(
          pool.use((connection) => {
            sent = true
            return connection.queryValues(text, times === 0 ? params : withRepeatable(params))
          }),
          {
            onSuccess: (rows) => Effect.succeed(toAnswers(commands, rows)),
            onFailure: (error) => {
              if (mayPass(error) && !closing.now && Date.now() < until) {
                const delay = Math.min(1000, 20 * 2 ** times) * (0.5 + Math.random() / 2)
                return Effect.logWarning("An append is repeated, its answer was lost", error.message).pipe(
                  Effect.andThen(Effect.sleep(delay)),
                  Effect.andThen(attempt(times + 1))
                )
              }
              if (isLost(error)) {
                const outcome = sent ? "unknown" : "not-stored"
                return Effect.succeed(commands.map(() => Exit.fail(toStoreError("append", error, outcome))))
              }
              // one bad command never fails its neighbours
              if (commands.length > 1) {
                return Effect.map(Effect.forEach(commands, (command) => send([command], true)), (answers) =>
                  answers.flat())
              }
              if (!repeatable && isEventIdTaken(error)) {
                return send(commands, true)
              }
              return Effect.succeed([Exit.fail(toRefusal("append", error))])
            }
          }
        )
      return attempt(0)
    })
  return (commands: ReadonlyArray<AppendCommand>) =>
    Effect.andThen(recordBatch(commands.length), send(commands, commands.some((command) => command.repeatable)))
}

/** The third parameter of append_events tells that the commands may be stored already. */
const withRepeatable = (params: ReadonlyArray<unknown>) => params.with(2, true)

const toAnswers = (
  commands: ReadonlyArray<AppendCommand>,
  rows: ReadonlyArray<Sql.Values>
): ReadonlyArray<AppendExit> => {
  let offset = 0
  return commands.map((command) => {
    const answer = toAnswer(command, rows, offset)
    offset += command.entries.length
    return answer
  })
}

/** The answer to one command, from the rows of append_events that begin at an offset. */
const toAnswer = (
  command: AppendCommand,
  rows: ReadonlyArray<Sql.Values>,
  offset: number
): Exit.Exit<ReadonlyArray<AppendedEntry>, AppendRefused> => {
  const { condition, entries } = command
  const refusals: Array<Refusal> = []
  const appended = entries.map(({ events, expected, streamId }, i): AppendedEntry => {
    const [verdict, version, position] = rows[offset + i]!
    const eventId = verdict === Verdict.idConflict ? events[0]!.eventId : null
    if (verdict > 1) refusals.push({ verdict, streamId, expected, version, position, eventId, after: condition?.after })
    const more = Math.max(0, events.length - 1)
    return { firstVersion: version - more, version, firstPosition: Math.max(0, position - more), position }
  })
  const refusal = refusals.length === 0 ? undefined : fromRefusals(refusals)
  return refusal === undefined ? Exit.succeed(appended) : Exit.fail(refusal)
}

/** Why one entry of a command was refused. */
interface Refusal {
  readonly verdict: number
  readonly streamId: StreamId
  readonly expected: ExpectedVersion
  readonly version: number
  readonly position: number
  readonly eventId: EventId | null
  readonly after: number | undefined
}

const fromRefusals = (refusals: ReadonlyArray<Refusal>): AppendRefused => {
  const of = (verdict: number) => refusals.filter((refusal) => refusal.verdict === verdict)
  const [tombstoned] = of(Verdict.tombstoned)
  if (tombstoned !== undefined) return new StreamTombstoned({ streamId: tombstoned.streamId })
  const [conflict] = of(Verdict.idConflict)
  if (conflict !== undefined) return new EventIdConflict({ eventId: conflict.eventId!, streamId: conflict.streamId })
  const [broken] = of(Verdict.conditionBroken)
  if (broken !== undefined) {
    return new AppendConditionFailed({ after: (broken.after ?? 0) as Position, position: broken.position as Position })
  }
  return wrongExpectedVersion(
    of(Verdict.wrongVersion).map(({ expected, streamId, version }) => violation(streamId, expected, version))
  )
}

const codeOf = (error: SqlError.SqlError): string | undefined => {
  const cause = error.reason.cause
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined
}

/** The server went away, or never was there: it did not say what became of the statement. */
const isLost = (error: SqlError.SqlError): boolean => {
  const code = codeOf(error)
  return error.reason._tag === "ConnectionError" || code === "57P01" || code === "57P02" || code === "57P03" ||
    code === "53300" || (error.reason._tag === "UnknownError" && (code === undefined || !/^[0-9A-Z]{5}$/.test(code)))
}

/** Worth another try: besides lost answers, what the server rolled back because of somebody else. */
const mayPass = (error: SqlError.SqlError): boolean => isLost(error) || error.isRetryable

const isEventIdTaken = (error: SqlError.SqlError): boolean =>
  error.reason._tag === "UniqueViolation" && error.reason.constraint === "events_event_id_key"

const toStoreError = (operation: string, error: SqlError.SqlError, outcome: StoreError["outcome"]): StoreError =>
  new StoreError({ operation, isRetryable: error.isRetryable || isLost(error), outcome, cause: error })

/** What an error of the database means to the writer; the codes are those that the functions of the schema raise. */
const toRefusal = (operation: string, error: SqlError.SqlError): AppendRefused | InvalidInput | StoreError => {
  const code = codeOf(error)
  if (code === "ES001") {
    return new InvalidInput({ field: "transaction", problem: "is not READ COMMITTED: an append needs that isolation" })
  }
  if (code === "ES002") {
    const { detail } = error.reason.cause as { readonly detail: string }
    return fromRefusals(
      JSON.parse(detail).map((refusal: any) => ({
        verdict: refusal.verdict,
        streamId: refusal.stream,
        expected: Sql.expectedFromNumber(refusal.expected),
        version: refusal.version,
        position: refusal.position,
        eventId: refusal.event_id,
        after: refusal.after
      }))
    )
  }
  // data the server cannot take: a number, a text or a nesting beyond what it knows
  if (code?.startsWith("22") === true || code === "54001") {
    return new InvalidInput({ field: "events", problem: `cannot be stored by the database: ${error.message}` })
  }
  return toStoreError(operation, error, isLost(error) && operation === "transaction" ? "unknown" : "not-stored")
}

/** A page of a stream with what the open transaction staged behind its last version. */
const withStaged = (
  events: ReadonlyArray<StoredEvent>,
  staged: ReadonlyArray<StoredEvent>,
  version: number,
  { direction, from, limit, to }: PageRange
): ReadonlyArray<StoredEvent> => {
  const forward = direction === "forward"
  const [low, high] = forward ? [from, to] : [to, from]
  const numbered = staged
    .map((event, i) => ({ ...event, streamVersion: version + i + 1 }))
    .filter(({ streamVersion }) => streamVersion >= low && streamVersion <= high)
  return (forward ? [...events, ...numbered] : [...numbered.reverse(), ...events]).slice(0, limit)
}
