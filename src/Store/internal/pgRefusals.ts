import { Exit } from "effect"
import type { SqlError } from "effect/sql"
import type { EventId } from "../../Event/EventId.ts"
import type { ExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { Position } from "../../Stream/Position.ts"
import type { StreamId } from "../../Stream/StreamId.ts"
import type { AppendCommand, AppendedEntry, AppendRefused } from "../LogStorage.ts"
import { AppendConditionFailed, EventIdConflict, InvalidInput, StoreError, StreamTombstoned } from "../StoreError.ts"
import * as Sql from "./eventsSql.ts"
import { violation, wrongExpectedVersion } from "./verdict.ts"

/** The answers of append_events and change_stream. */
export const Verdict = { wrongVersion: 2, tombstoned: 3, idConflict: 4, conditionBroken: 5 } as const

/** The answer to one command, from the rows of append_events that begin at an offset. */
export const toAnswer = (
  command: AppendCommand,
  rows: ReadonlyArray<Sql.Values>,
  offset: number
): Exit.Exit<ReadonlyArray<AppendedEntry>, AppendRefused> => {
  const { condition, entries } = command
  const refusals: Array<Refusal> = []
  const appended = entries.map(({ events, expected, streamId }, i): AppendedEntry => {
    const [verdict, version, position] = rows[offset + i]!
    const eventId = verdict === Verdict.idConflict ? idAt(command, position) : null
    if (verdict > 1) refusals.push({ verdict, streamId, expected, version, position, eventId, after: condition?.after })
    const more = Math.max(0, events.length - 1)
    return { firstVersion: version - more, version, firstPosition: Math.max(0, position - more), position }
  })
  const refusal = refusals.length === 0 ? undefined : fromRefusals(refusals)
  return refusal === undefined ? Exit.succeed(appended) : Exit.fail(refusal)
}

/** The id of an event by its place in a command, from 1. */
const idAt = ({ entries }: AppendCommand, place: number): EventId =>
  entries.flatMap(({ events }) => events)[place - 1]!.eventId

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
export const isLost = (error: SqlError.SqlError): boolean => {
  const code = codeOf(error)
  // the client's own word for a COMMIT that the server answered with ROLLBACK
  if (code === undefined && error.reason._tag === "UnknownError" && error.reason.operation === "commit") return false
  return error.reason._tag === "ConnectionError" || code === "57P01" || code === "57P02" || code === "57P03" ||
    code === "53300" || (error.reason._tag === "UnknownError" && (code === undefined || !/^[0-9A-Z]{5}$/.test(code)))
}

/** Worth another try: besides lost answers, what the server rolled back because of somebody else. */
export const mayPass = (error: SqlError.SqlError): boolean => isLost(error) || error.isRetryable

export const isEventIdTaken = (error: SqlError.SqlError): boolean =>
  error.reason._tag === "UniqueViolation" && error.reason.constraint === "events_event_id_key"

export const toStoreError = (operation: string, error: SqlError.SqlError, outcome: StoreError["outcome"]): StoreError =>
  new StoreError({ operation, isRetryable: error.isRetryable || isLost(error), outcome, cause: error })

/** What an error of the database means to the writer; the codes are those that the functions of the schema raise. */
export const toRefusal = (
  operation: string,
  error: SqlError.SqlError,
  outcome: StoreError["outcome"]
): AppendRefused | InvalidInput | StoreError => {
  const conflict = conflictAtCommit(error)
  if (conflict !== undefined) return conflict
  const code = codeOf(error)
  if (code === "ES001") {
    return new InvalidInput({ field: "transaction", problem: "is not READ COMMITTED: an append needs that isolation" })
  }
  // data the server cannot take: a number, a text or a nesting beyond what it knows
  if (code?.startsWith("22") === true || code === "54001") {
    return new InvalidInput({ field: "events", problem: `cannot be stored by the database: ${error.message}` })
  }
  return toStoreError(operation, error, outcome)
}

/** Why a staged append was refused at COMMIT; `undefined` where the error is another. */
export const conflictAtCommit = (error: SqlError.SqlError): AppendRefused | undefined => {
  if (codeOf(error) !== "ES002") return undefined
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
