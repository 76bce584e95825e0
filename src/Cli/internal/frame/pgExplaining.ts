import { CliError } from "effect/cli"
import { SqlError } from "effect/sql"
import { reasonOf } from "../../../Store/StoreError.ts"
import { answerIsNo, noDatabase, Refused, wrongInput } from "./refusal.ts"
import { inOneLine } from "./table.ts"

/** What the command line says of a failure: with an exit code, and never a stack trace. `undefined`: a mistake of ours. */
export const explain = (error: unknown): Refused | undefined => {
  const refusal = explained(error)
  if (refusal === undefined || !refusal.problem.includes("\n")) return refusal
  const { code, facts, hint, of, problem } = refusal
  return new Refused({
    problem: inOneLine(problem),
    code,
    ...(hint === undefined ? {} : { hint }),
    ...(of === undefined ? {} : { of }),
    ...(facts === undefined ? {} : { facts })
  })
}

const explained = (error: unknown): Refused | undefined => {
  if (error instanceof Refused) return error
  if (CliError.isCliError(error)) return wrongInput(error.message)
  if (SqlError.isSqlError(error)) return ofDatabase(error)
  if (!(error instanceof Error) || !("_tag" in error)) return undefined
  switch (error._tag) {
    case "InvalidInput":
    case "CommandDecodeFailed":
    case "RenameRefused":
      return wrongInput(sentence(error.message), hintOf(error))
    case "UnsupportedDatabase":
      return ofUnsupported((error as unknown as { readonly problem: string }).problem)
    case "MigrationError":
      return noDatabase(`The migration failed: ${reasonOf(error)}`)
    case "StoreError":
      return "outcome" in error && error.outcome === "unknown" ? ofUnknownOutcome(ofCause(error)) : ofCause(error)
    case "ForeignReadFailed":
      return ofCause(error)
    case "PlatformError":
      return answerIsNo(sentence(reasonOf(error)))
    default:
      // an expected answer, that names what it is about, and may know what helps
      return answerIsNo(sentence(reasonOf(error)), hints[String(error._tag)] ?? hintOf(error))
  }
}

const hints: { readonly [tag: string]: string | undefined } = {
  WrongExpectedVersion: "somebody else appended: read the stream again, and decide anew",
  UnknownEventType: "the application that is declared is older than the log, or lacks a type in its categories",
  EventDecodeFailed: "eventstore read shows it as it is stored: leave out --typed",
  InlineProjectionMissing: "append by a program that runs them, or pause them",
  LogRewound: "see the guide on restored logs",
  VersionBehind: "wait until it has caught up: eventstore projections status",
  ProjectionNotFound: "eventstore projections list shows those that somebody ran on this log",
  SubscriptionNotFound: "eventstore subscriptions list shows those that there are",
  ProjectionChanged: "raise its version, and the new one is built beside the old one",
  VersionIsLive: "switch to another version first, or pause it where it is the only one"
}

const ofUnsupported = (problem: string): Refused =>
  noDatabase(
    sentence(problem),
    / is in use by process /.test(problem)
      ? "stop it, or look at a copy of the directory that was made while it was stopped"
      : undefined
  )

const hintOf = (error: Error): string | undefined =>
  "hint" in error && typeof error.hint === "string" ? error.hint : undefined

const ofCause = (error: Error): Refused =>
  SqlError.isSqlError(error.cause) ? ofDatabase(error.cause) : noDatabase(sentence(reasonOf(error)))

/** The connection was lost after something was sent: nobody here knows what became of it. */
const ofUnknownOutcome = ({ code, problem }: Refused): Refused =>
  new Refused({
    problem,
    code,
    of: "StoreError",
    hint: "it may be stored: read the stream before you repeat this",
    facts: { outcome: "unknown" }
  })

/** What the database says itself; a lack of privileges and a lack of a server each with what to do. */
const ofDatabase = (error: SqlError.SqlError): Refused => {
  const reason = reasonOf(error)
  const { _tag } = error.reason
  if (_tag === "ConnectionError") {
    return noDatabase(`The database does not answer: ${reason}`, "eventstore doctor says more, where it does")
  }
  if (_tag === "AuthenticationError") return noDatabase(`The database does not let this user in: ${reason}`)
  return _tag === "AuthorizationError"
    ? noDatabase(
      `The database does not allow it: ${reason}`,
      "eventstore migrate --grants ROLE prints what a role needs; to import or migrate takes the owner"
    )
    : noDatabase(`The database refused: ${reason}`)
}

const sentence = (text: string): string => text === "" ? text : text[0]!.toUpperCase() + text.slice(1)
