import { Cause, Console, Effect, References, Runtime } from "effect"
import { jsonOf, Output } from "./output.ts"
import { explain } from "./pgExplaining.ts"
import { ProgramName, typedTo } from "./programName.ts"
import type { Refused } from "./refusal.ts"
import { printable } from "./table.ts"

/** A failure that was said already: all that is left of it is the exit code. */
export class Reported extends Error {
  readonly _tag = "Reported"
  override readonly [Runtime.errorExitCode]: number
  override readonly [Runtime.errorReported] = false

  constructor(code: number) {
    super(`exit code ${code}`)
    this[Runtime.errorExitCode] = code
  }
}

/** Says why a command failed, in a sentence and with a hint; its stack only to those who ask for it. */
export const reporting = <A, E, R>(command: Effect.Effect<A, E, R>): Effect.Effect<A, Reported, R | Output> =>
  Effect.catchCause(
    command,
    (cause) => Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause as Cause.Cause<never>) : report(cause)
  )

const report = (cause: Cause.Cause<unknown>): Effect.Effect<never, Reported, Output> =>
  Effect.gen(function*() {
    const error = Cause.squash(cause)
    if (error instanceof Reported) return yield* Effect.fail(error)
    const output = yield* Output
    const failure = failureOf(cause, yield* ProgramName)
    const level = yield* References.MinimumLogLevel
    yield* Console.error(output.isJson ? jsonOf(failureJson(failure), false) : failureText(failure, output))
    if (level === "Debug" || level === "Trace" || level === "All") yield* Console.error(Cause.pretty(cause))
    return yield* Effect.fail(new Reported(failure.code))
  })

/** What is said of a failure, and the exit code. */
export interface Failure {
  readonly tag: string
  readonly problem: string
  readonly hint: string | undefined
  readonly code: number
  /** What else programs are told. */
  readonly facts: Refused["facts"] | undefined
}

/** What is said of a cause, to who typed a command to `program`: what is not expected is a mistake of a program. */
export const failureOf = (cause: Cause.Cause<unknown>, program: string): Failure => {
  const error = Cause.squash(cause)
  const refusal = explain(error)
  return refusal === undefined
    ? {
      tag: tagOf(error),
      problem: `A mistake in this program or in what the application declares: ${messageOf(error)}`,
      hint: "--log-level debug shows where",
      code: 4,
      facts: undefined
    }
    : {
      tag: refusal.of ?? tagOf(error),
      problem: refusal.problem,
      hint: refusal.hint === undefined ? undefined : typedTo(program, refusal.hint),
      code: refusal.code,
      facts: refusal.facts
    }
}

/** A failure for programs. */
export const failureJson = ({ facts, hint, problem, tag }: Failure) => ({
  error: { tag, message: problem, ...(hint === undefined ? {} : { hint }), ...facts }
})

/** A failure for people; `subject` is what failed, where there are several. */
export const failureText = ({ hint, problem }: Failure, { paint }: Output["Service"], subject?: string): string =>
  [
    `${paint("red", "error")} ${printable(subject === undefined ? problem : `${subject}: ${problem}`)}`,
    ...(hint === undefined ? [] : [`${paint("dim", "hint")}  ${printable(hint)}`])
  ].join("\n")

const messageOf = (error: unknown): string => error instanceof Error ? error.message || error.name : String(error)

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : "Defect"
