import type { PgPool } from "@effect/sql-pg"
import { Duration, Effect, Exit, Schedule } from "effect"
import type { SqlError } from "effect/sql"
import type { AppendCommand, AppendEntry, NewEvent } from "../LogStorage.ts"
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
    repeatable: boolean,
    wasLost: boolean
  ): Effect.Effect<ReadonlyArray<AppendExit>> =>
    Effect.suspend(() => {
      let mayBeStored = wasLost
      let sent = false
      const attempt = pool.use((connection) => {
        sent = true
        // what may be stored already, the database has to look for
        const look = repeatable || mayBeStored
        const [entry, event] = look ? [] : loneEvent(commands)
        if (entry !== undefined && event !== undefined) {
          const { params, text } = Sql.appendEvent(schema, log, entry, event)
          return Effect.map(connection.queryValues(text, params), Sql.toVerdicts)
        }
        const { params, text } = Sql.appendEvents(schema, log, commands, { stage: false, repeatable: look })
        return connection.queryValues(text, params)
      })
      return attempt.pipe(
        Effect.tapError((error) => {
          mayBeStored ||= sent && isLost(error)
          sent = false
          return mayPass(error)
            ? Effect.logWarning("An append got no answer and is repeated", error.message)
            : Effect.void
        }),
        Effect.retry({ while: (error) => mayPass(error) && !isClosing(), schedule: patience }),
        Effect.matchEffect({
          onSuccess: (rows) => Effect.succeed(toAnswers(commands, rows)),
          onFailure: (error) => afterFailure(commands, repeatable, mayBeStored, error)
        })
      )
    })

  const afterFailure = (
    commands: ReadonlyArray<AppendCommand>,
    repeatable: boolean,
    mayBeStored: boolean,
    error: SqlError.SqlError
  ): Effect.Effect<ReadonlyArray<AppendExit>> => {
    const outcome = mayBeStored ? "unknown" : "not-stored"
    if (isLost(error)) {
      const failure = Exit.fail(toStoreError("append", error, outcome))
      return Effect.succeed(commands.map(() => failure))
    }
    // one bad command never fails its neighbours
    if (commands.length > 1) {
      return Effect.map(
        Effect.forEach(commands, (command) => send([command], true, mayBeStored)),
        (answers) => answers.flat()
      )
    }
    if (!repeatable && isEventIdTaken(error)) return send(commands, true, mayBeStored)
    return Effect.succeed([Exit.fail(toRefusal("append", error, outcome))])
  }

  return (commands: ReadonlyArray<AppendCommand>): Effect.Effect<ReadonlyArray<AppendExit>> =>
    Effect.andThen(recordBatch(commands.length), send(commands, commands.some((command) => command.repeatable), false))
}

/** The only event of a batch, where it is one event without a condition. */
const loneEvent = (commands: ReadonlyArray<AppendCommand>): readonly [AppendEntry?, NewEvent?] => {
  const [command, another] = commands
  const [entry, check] = command!.entries
  const single = another === undefined && check === undefined && command!.condition === undefined &&
    entry?.events.length === 1
  return single ? [entry, entry.events[0]!] : []
}

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
