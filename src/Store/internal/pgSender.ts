import type { PgPool } from "@effect/sql-pg"
import { Duration, Effect, Exit, Schedule } from "effect"
import type { SqlError } from "effect/sql"
import type { AppendCommand, AppendEntry, NewEvent } from "../LogStorage.ts"
import * as AppendSql from "./appendSql.ts"
import type { AppendExit } from "./coalescer.ts"
import * as Sql from "./eventsSql.ts"
import { isEventIdTaken, isLost, mayPass, toAnswer, toRefusal, toStoreError } from "./pgRefusals.ts"
import { recordBatch } from "./telemetry.ts"

/** Sends batches, and finds out what became of those whose answer was lost. */
export const makeSender = (options: {
  readonly pool: PgPool.PgPool
  readonly schema: string
  readonly log: number
  /** How long a batch is repeated while the database does not answer. */
  readonly reconnectFor: Duration.Duration
  /** Says that nobody waits for the database to come back any more. */
  readonly isClosing: () => boolean
}) => {
  const { isClosing, log, pool, reconnectFor, schema } = options
  const patience = Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced("1 second")]).pipe(
    Schedule.jittered,
    Schedule.upTo({ duration: reconnectFor })
  )

  /** `wasLost`: an earlier attempt was sent, and its answer lost, so the commands may be stored. */
  const send = (
    commands: ReadonlyArray<AppendCommand>,
    isWanted: (command: AppendCommand) => boolean,
    repeatable: boolean,
    wasLost: boolean
  ): Effect.Effect<Answers> =>
    Effect.suspend(() => {
      let mayBeStored = wasLost
      let sent: ReadonlyArray<AppendCommand> = []
      const attempt = pool.use((connection) => {
        // what may be stored already has to be asked for, by everybody; what was never sent can still be withdrawn
        if (!mayBeStored) commands = commands.filter(isWanted)
        if (commands.length === 0) return Effect.succeed([])
        sent = commands
        // what may be stored already, the database has to look for
        const look = repeatable || mayBeStored
        const [entry, event] = look ? [] : loneEvent(commands)
        if (entry !== undefined && event !== undefined) {
          const { params, text } = AppendSql.appendEvent(schema, log, entry, event)
          return Effect.map(connection.queryValues(text, params), AppendSql.toVerdicts)
        }
        const { params, text } = AppendSql.appendEvents(schema, log, commands, { stage: false, repeatable: look })
        return connection.queryValues(text, params)
      })
      return attempt.pipe(
        Effect.tapError((error) => {
          mayBeStored ||= sent.length > 0 && isLost(error)
          sent = []
          return mayPass(error)
            ? Effect.logWarning("An append failed for now and is repeated", error.message)
            : Effect.void
        }),
        Effect.retry({ while: (error) => mayPass(error) && !isClosing(), schedule: patience }),
        Effect.matchEffect({
          onSuccess: (rows) => Effect.succeed(toAnswers(commands, rows)),
          onFailure: (error) => afterFailure(commands, isWanted, repeatable, mayBeStored, error)
        })
      )
    })

  const afterFailure = (
    commands: ReadonlyArray<AppendCommand>,
    isWanted: (command: AppendCommand) => boolean,
    repeatable: boolean,
    mayBeStored: boolean,
    error: SqlError.SqlError
  ): Effect.Effect<Answers> => {
    const outcome = mayBeStored ? "unknown" : "not-stored"
    const failAll = (error: SqlError.SqlError): Answers =>
      new Map(commands.map((command) => [
        command,
        Exit.fail(toStoreError("append", error, outcome, command.repeatable))
      ]))
    // the database had all the time it was given: one by one would give it as much again for each
    if (mayPass(error)) return Effect.succeed(failAll(error))
    const [command, another] = commands
    if (command === undefined) return Effect.succeed(new Map())
    if (another !== undefined) {
      // one bad command never fails its neighbours: the half without it goes through whole
      const half = commands.length >>> 1
      return Effect.zipWith(
        send(commands.slice(0, half), isWanted, true, mayBeStored),
        send(commands.slice(half), isWanted, true, mayBeStored),
        (first, second) => new Map([...first, ...second])
      )
    }
    if (!repeatable && isEventIdTaken(error)) return send(commands, isWanted, true, mayBeStored)
    return Effect.succeed(new Map([[command, Exit.fail(toRefusal("append", error, outcome))]]))
  }

  return (
    commands: ReadonlyArray<AppendCommand>,
    isWanted: (command: AppendCommand) => boolean
  ): Effect.Effect<ReadonlyArray<AppendExit>> =>
    Effect.andThen(
      recordBatch(commands.length),
      Effect.map(
        send(commands, isWanted, commands.some((command) => command.repeatable), false),
        (answers) => commands.map((command) => answers.get(command) ?? Exit.interrupt())
      )
    )
}

/** What became of the commands that were sent; one that was withdrawn before is not in it. */
type Answers = ReadonlyMap<AppendCommand, AppendExit>

/** The only event of a batch, where it is one event without a condition. */
const loneEvent = (commands: ReadonlyArray<AppendCommand>): readonly [AppendEntry?, NewEvent?] => {
  const [command, another] = commands
  const [entry, check] = command!.entries
  const single = another === undefined && check === undefined && command!.condition === undefined &&
    entry?.events.length === 1
  return single ? [entry, entry.events[0]!] : []
}

const toAnswers = (commands: ReadonlyArray<AppendCommand>, rows: ReadonlyArray<Sql.Values>): Answers => {
  let offset = 0
  return new Map(commands.map((command) => {
    const answer = toAnswer(command, rows, offset)
    offset += command.entries.length
    return [command, answer]
  }))
}
