import { type Array as Arr, Exit } from "effect"
import type { SqlError } from "effect/sql"
import type { EventId } from "../../Event/EventId.ts"
import type { ExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { Position } from "../../Stream/Position.ts"
import type { StreamId } from "../../Stream/StreamId.ts"
import type { AppendCommand, AppendedEntry, AppendRefused } from "../LogStorage.ts"
import {
  AppendConditionFailed,
  EventIdConflict,
  InlineProjectionMissing,
  InvalidInput,
  StoreError,
  StreamTombstoned,
  type Violation,
  wrongExpectedVersion
} from "../StoreError.ts"
import * as AppendSql from "./appendSql.ts"
import * as Sql from "./eventsSql.ts"
import { violation } from "./verdict.ts"

/** The answers of append_events and change_stream. */
export const Verdict = { wrongVersion: 2, tombstoned: 3, idConflict: 4, conditionBroken: 5 } as const

/** The answer to one command, from the rows of append_events that begin at an offset. */
export const toAnswer = (
  command: AppendCommand,
  rows: ReadonlyArray<Sql.Values>,
  offset: number
): Exit.Exit<ReadonlyArray<AppendedEntry>, AppendRefused> => {
  const { condition, entries } = command
  const after = condition?.after
  const refusals: Array<Refusal> = []
  const appended = entries.map(({ events, expected, streamId }, i): AppendedEntry => {
    const [verdict, version, position] = rows[offset + i]!
    if (verdict === Verdict.idConflict) {
      refusals.push({ verdict, expected, version, position, after, ...at(command, position) })
    } else if (verdict > 1) refusals.push({ verdict, streamId, expected, version, position, after, eventId: null })
    const more = Math.max(0, events.length - 1)
    return { firstVersion: version - more, version, firstPosition: Math.max(0, position - more), position }
  })
  const refusal = refusals.length === 0 ? undefined : fromRefusals(refusals)
  return refusal === undefined ? Exit.succeed(appended) : Exit.fail(refusal)
}

/** The stream and the id of an event by its place in a command, from 1. */
const at = ({ entries }: AppendCommand, place: number): { readonly streamId: StreamId; readonly eventId: EventId } =>
  entries.flatMap(({ events, streamId }) => events.map(({ eventId }) => ({ streamId, eventId })))[place - 1]!

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
  const violations = of(Verdict.wrongVersion).map(({ expected, streamId, version }) =>
    violation(streamId, expected, version)
  )
  // nothing else is left for which a command is refused
  return wrongExpectedVersion(violations as Arr.NonEmptyArray<Violation>)
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
export const mayPass = (error: SqlError.SqlError): boolean =>
  isLost(error) || error.isRetryable || codeOf(error) === stoodStill

/** The process stood still in a transaction for too long, so that the server ended it. */
const stoodStill = "25P03"

/** The unique constraint that a statement would have broken. */
export const constraintOf = ({ reason }: SqlError.SqlError): string | undefined =>
  reason._tag === "UniqueViolation" ? reason.constraint : undefined

export const isEventIdTaken = (error: SqlError.SqlError): boolean => constraintOf(error) === "events_event_id_key"

/**
 * What is unknown is not to be retried as it stands: a repetition draws new event ids, and would store the events twice.
 * `repeatable` says that the caller chose the ids.
 */
export const toStoreError = (
  operation: string,
  error: SqlError.SqlError,
  outcome: StoreError["outcome"],
  repeatable = false
): StoreError =>
  new StoreError({
    operation,
    isRetryable: mayPass(error) && (outcome === "not-stored" || repeatable),
    outcome,
    cause: error
  })

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
  if (operation === "append" && (code?.startsWith("22") === true || code === "54001")) {
    return new InvalidInput({ field: "events", problem: `cannot be stored by the database: ${error.message}` })
  }
  return toStoreError(operation, error, outcome)
}

/** Why a staged append was refused at COMMIT; `undefined` where the error is another. */
export const conflictAtCommit = (error: SqlError.SqlError): AppendRefused | undefined => {
  const code = codeOf(error)
  if (code !== "ES002" && code !== "ES006") return undefined
  const { detail } = error.reason.cause as { readonly detail: string }
  if (code === "ES006") return new InlineProjectionMissing({ projections: JSON.parse(detail) })
  return fromRefusals(
    JSON.parse(detail).map((refusal: any) => ({
      verdict: refusal.verdict,
      streamId: refusal.stream,
      expected: AppendSql.expectedFromNumber(refusal.expected),
      version: refusal.version,
      position: refusal.position,
      eventId: refusal.event_id,
      after: refusal.after
    }))
  )
}
