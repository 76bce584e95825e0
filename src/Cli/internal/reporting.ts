import { Cause, Console, Effect, References, Runtime } from "effect"
import { jsonOf, Output } from "./output.ts"
import { explain } from "./pgExplaining.ts"
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
    const { isJson, paint } = yield* Output
    const refusal = explain(error)
    const { facts, hint, of, problem }: Partial<Refused> & { readonly problem: string } = refusal ?? {
      problem: `A mistake in this program or in what the application declares: ${messageOf(error)}`,
      hint: "--log-level debug shows where"
    }
    const level = yield* References.MinimumLogLevel
    yield* Console.error(
      isJson
        ? jsonOf({
          error: { tag: of ?? tagOf(error), message: problem, ...(hint === undefined ? {} : { hint }), ...facts }
        }, false)
        : [
          `${paint("red", "error")} ${printable(problem)}`,
          ...(hint === undefined ? [] : [`${paint("dim", "hint")}  ${printable(hint)}`])
        ]
          .join("\n")
    )
    if (level === "Debug" || level === "Trace" || level === "All") yield* Console.error(Cause.pretty(cause))
    return yield* Effect.fail(new Reported(refusal?.code ?? 4))
  })

const messageOf = (error: unknown): string => error instanceof Error ? error.message || error.name : String(error)

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : "Defect"
