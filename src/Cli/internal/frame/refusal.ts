import { Runtime, Schema } from "effect"

/**
 * Why a command did not do what it was asked: a sentence, and where there is one what to do about it.
 *
 * `code` is the exit code of the process: 1 where the answer is no (not found, a conflict, damage), 2 where the command or
 * its input is wrong, 3 where the database or the output cannot be used.
 */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  problem: Schema.String,
  hint: Schema.optionalKey(Schema.String),
  /** The tag of the error that it tells of, where that is another one. */
  of: Schema.optionalKey(Schema.String),
  /** What programs are told besides. */
  facts: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)),
  code: Schema.Literals([1, 2, 3])
}) {
  override readonly [Runtime.errorExitCode] = this.code
  override readonly [Runtime.errorReported] = false

  override get message(): string {
    return this.hint === undefined ? this.problem : `${this.problem} (${this.hint})`
  }
}

const refused = (code: 1 | 2 | 3) => (problem: string, hint?: string): Refused =>
  new Refused({ problem, code, ...(hint === undefined ? {} : { hint }) })

/** The answer is no: exit code 1. */
export const answerIsNo = refused(1)

/** The command or its input is wrong: exit code 2. */
export const wrongInput = refused(2)

/** The database, or what else a command stands on, cannot be used: exit code 3. */
export const noDatabase = refused(3)
