import { Cause } from "effect"
import { isPassing, reasonOf, StoreError } from "../../Store/StoreError.ts"

/** The failure that is told: an error before a defect, and that before an interruption. */
export const failureOf = (cause: Cause.Cause<unknown>): unknown => {
  const failed = cause.reasons.find((reason) => reason._tag === "Fail")
  return failed === undefined ? Cause.squash(cause) : failed.error
}

/** What a failure says, in a text that every database keeps, and that nobody minds to read. */
export const messageOf = (cause: Cause.Cause<unknown>): string =>
  reasonOf(failureOf(cause)).slice(0, 2000).toWellFormed().replaceAll("\0", "\uFFFD")

/**
 * Trouble that will pass, and that no event is to blame for, where that is why something failed: also what a handler met that
 * was in the middle of a statement when the database went away, or when somebody else was in its way.
 */
export const passingOf = (cause: Cause.Cause<unknown>): StoreError | undefined => {
  for (const reason of cause.reasons) {
    const failure: unknown = reason._tag === "Fail" ? reason.error : reason._tag === "Die" ? reason.defect : undefined
    if (isPassing(failure)) return failure
    if (isTrouble(failure)) {
      return new StoreError({ operation: "apply", isRetryable: true, outcome: "not-stored", cause: failure })
    }
  }
  return undefined
}

/** Whether the connection was lost, or the transaction was in the way of others, by the words of `effect/sql`. */
const isTrouble = (failure: unknown, depth = 0): boolean => {
  if (typeof failure !== "object" || failure === null || depth > 4) return false
  const { _tag, cause, code, reason } = failure as Record<string, unknown>
  return _tag === "ConnectionError" || troubles.has(code as string) || isTrouble(reason, depth + 1) ||
    isTrouble(cause, depth + 1)
}

/**
 * https://www.postgresql.org/docs/current/errcodes-appendix.html: the server shuts down, starts, or has no room; a deadlock,
 * another order of transactions, a lock that was waited for too long; a transaction that stood still for too long.
 */
const troubles = new Set(["57P01", "57P02", "57P03", "53300", "40P01", "40001", "55P03", "25P03"])
