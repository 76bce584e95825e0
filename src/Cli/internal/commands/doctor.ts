import { Cause, Effect, Exit } from "effect"
import { danger, type Diagnosis } from "../doctoring.ts"
import { layer as application } from "../frame/application.ts"
import { plainCommand } from "../frame/command.ts"
import { answer, type Output } from "../frame/output.ts"
import { explain } from "../frame/pgExplaining.ts"
import { target, withDatabase } from "../frame/pgTarget.ts"
import { Reported } from "../frame/reporting.ts"
import { counted, printable } from "../frame/table.ts"
import { diagnose } from "../pgDoctor.ts"

export const doctor = plainCommand(
  "doctor",
  {},
  {
    description:
      "Looks whether an application can work with the database: connection, version, privileges, settings that endanger data, " +
      "what stands between. Exit code 1 where something is dangerous, 3 where the database cannot be used.",
    examples: [
      { command: "eventstore doctor" },
      { command: "eventstore doctor --json | jq '.checks[] | select(.status != \"ok\")'" }
    ]
  },
  Effect.fnUntraced(function*() {
    const looked = Effect.gen(function*() {
      // where the log is must be said; whether it can be reached is what is asked
      yield* target
      return yield* Effect.exit(withDatabase(diagnose))
    })
    const exit = yield* Effect.provide(looked, application)
    if (Exit.isSuccess(exit)) {
      yield* told(exit.value)
      if (exit.value.some(({ status }) => status === "danger")) return yield* Effect.fail(new Reported(1))
      return
    }
    const refusal = explain(Cause.squash(exit.cause))
    if (refusal === undefined || refusal.code !== 3) return yield* Effect.failCause(exit.cause)
    const isAway = refusal.hint?.includes("doctor") === true
    yield* told([
      danger(
        "connection",
        refusal.problem,
        isAway ? "See whether the server runs, and whether host, port and firewall are right" : refusal.hint
      )
    ])
    return yield* Effect.fail(new Reported(3))
  })
)

const told = (checks: ReadonlyArray<Diagnosis>) => answer({ ok: !checks.some(isDanger), checks }, textOf)

const isDanger = ({ status }: Diagnosis): boolean => status === "danger"

const styles = { ok: "green", advice: "yellow", danger: "red" } as const

const textOf = ({ checks }: { readonly checks: ReadonlyArray<Diagnosis> }, { paint }: Output["Service"]): string => {
  const width = Math.max(...checks.map(({ check }) => check.length))
  const lines = checks.map(({ check, hint, message, status }) =>
    [
      `${paint(styles[status], status.padEnd(6))}  ${paint("bold", check.padEnd(width))}  ${printable(message)}`,
      ...(hint === undefined ? [] : [`${" ".repeat(8 + width)}  ${paint("dim", printable(hint))}`])
    ].join("\n")
  )
  const count = (wanted: Diagnosis["status"]) => checks.filter(({ status }) => status === wanted).length
  const [dangers, advices] = [count("danger"), count("advice")]
  return [
    ...lines,
    "",
    dangers > 0
      ? paint("red", `${counted(dangers, "danger")}, and advice on ${advices}`)
      : advices > 0
      ? `No danger, advice on ${advices}`
      : paint("green", "All is well")
  ].join("\n")
}
