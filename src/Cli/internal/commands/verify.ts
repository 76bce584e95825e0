import { Effect, Option, Path, Stream } from "effect"
import { Flag } from "effect/cli"
import type { EventStore } from "../../../Store/EventStore.ts"
import * as Archive from "../../Archive.ts"
import * as Verification from "../../Verification.ts"
import { Application } from "../frame/application.ts"
import { applicationCommand } from "../frame/command.ts"
import { categoriesOf } from "../frame/declared.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answer, Output } from "../frame/output.ts"
import { withStore } from "../frame/pgTarget.ts"
import { ProgramName, typedTo } from "../frame/programName.ts"
import { during, say } from "../frame/progress.ts"
import { Reported } from "../frame/reporting.ts"
import { natural } from "../frame/settings.ts"
import { counted, numberOf, printable } from "../frame/table.ts"

export const verify = applicationCommand(
  "verify",
  {
    check: Flag.Literals("check", Verification.CheckName.literals).pipe(
      Flag.withDescription("Only this check; may be given several times"),
      Flag.atLeast(0)
    ),
    archive: Flag.String("archive").pipe(
      Flag.withMetavar("<directory>"),
      Flag.withDescription("Compares the log with this archive of it, byte by byte"),
      Flag.optional
    ),
    limit: natural("limit", 1).pipe(
      Flag.withDescription("Most findings of a check that are told; all are counted"),
      Flag.withDefault(100)
    )
  },
  {
    description:
      "Looks at everything a log is made of, and names what is not as it should be. Changes nothing, and may " +
      "run while the log is in use. What the application declares is checked more closely. Exit code 1 where something is found.",
    examples: [
      { command: "eventstore verify" },
      { command: "eventstore verify --check positions --check versions" },
      {
        command: "eventstore verify --archive ./backup",
        description: "Also sees what was changed into something else that fits"
      },
      { command: "eventstore verify --json > report.json", description: "A report for programs" }
    ]
  },
  Effect.fnUntraced(function*({ archive, check, limit }) {
    const path = yield* Path.Path
    // before the log: what cannot be compared with is known before anything was looked at
    const opened = Option.isNone(archive) ? undefined : yield* Archive.open(path.resolve(archive.value))
    yield* withStore(verifyLog({ opened, check, limit }))
  })
)

const verifyLog = ({ check, limit, opened }: {
  readonly opened: Archive.Archive | undefined
  readonly check: ReadonlyArray<Verification.CheckName>
  readonly limit: number
}) =>
  Effect.gen(function*() {
    const { app } = yield* Application
    const tables = yield* OpenLog
    const { isJson, paint } = yield* Output
    const program = yield* ProgramName
    const steps = Verification.run({
      tables,
      checks: check.length === 0 ? undefined : check,
      categories: categoriesOf(app),
      deciders: app.deciders,
      projections: app.projections,
      archive: opened === undefined ? undefined : Archive.fromArchive(opened)
      // what the declarations need is in the services of the application
    }) as Stream.Stream<Verification.Step, Verification.VerifyError, EventStore>

    const findings: Array<Verification.Finding> = []
    let told = 0
    let verified: Verification.Verified | undefined
    const tell = (text: string) => isJson ? Effect.void : say(text)
    yield* during({ label: "verify", isKept: false }, (report) =>
      Stream.runForEach(steps, (step) => {
        switch (step._tag) {
          case "Progress":
            return report(step.done, step.total ?? undefined, `verify ${step.check}`)
          case "Found": {
            const { finding } = step
            if (told++ >= limit) return Effect.void
            if (isJson) findings.push(finding)
            return tell([
              `${paint("red", "✗")} ${finding.check}: ${printable(finding.message)}`,
              ...valueLines(finding, paint)
            ].join("\n"))
          }
          case "Checked":
            told = 0
            return check.length > 0 && !check.includes(step.summary.check)
              ? Effect.void
              : tell(typedTo(program, summaryText(step.summary, limit, paint)))
          case "Verified":
            return Effect.sync(() => void (verified = step.verified))
        }
      }))

    const { found } = verified!
    yield* answer({ ...verified!, findings }, () =>
      found === 0
        ? paint("green", `Nothing is wrong with log ${tables.log} of ${tables.name}.`)
        : paint("red", `${counted(found, "finding")} in log ${tables.log} of ${tables.name}.`))
    if (found > 0) return yield* Effect.fail(new Reported(1))
  })

const summaryText = (
  { check, found, looked, skipped }: Verification.Summary,
  limit: number,
  paint: Output["Service"]["paint"]
): string =>
  [
    `${found === 0 ? paint("green", "✓") : paint("red", "✗")} ${check}: ${numberOf(looked)} looked at, ` +
    `${counted(found, "finding")}${found > limit ? `, of which ${limit} are told` : ""}`,
    ...skipped.map(({ count, reason }) =>
      paint("dim", `  ${count === 0 ? "not done" : `${numberOf(count)} passed over`}: ${printable(reason)}`)
    ),
    ...(found === 0 ? [] : [`  ${paint("dim", "hint")}  ${hints[check]}`])
  ].join("\n")

/** The two that a finding compares, as far as a line has room for them. */
const valueLines = ({ actual, expected }: Verification.Finding, paint: Output["Service"]["paint"]) => {
  const line = (label: string, value: unknown) => {
    const text = printable(JSON.stringify(value))
    return paint("dim", `    ${label}  ${text.length > most ? `${text.slice(0, most)}...` : text}`)
  }
  return [
    ...(actual === undefined ? [] : [line("is       ", actual)]),
    ...(expected === undefined ? [] : [line("should be", expected)])
  ]
}

/** Characters of a value that are shown; `--json` has all of them. */
const most = 160

const restore = "import an archive of the log, or restore a backup, into another log"

/** What to do where a check finds something. */
const hints: { readonly [check in Verification.CheckName]: string } = {
  defences: "eventstore doctor says more; put back what is missing before anything else is written",
  positions: restore,
  versions: restore,
  events: `declare in the categories what they lack, or ${restore}`,
  streams: restore,
  checkpoints: "eventstore projections reset NAME, then eventstore replay NAME; of a restored log see the guide",
  snapshots: "eventstore snapshots drop --category NAME removes them; they are taken anew",
  projections:
    "eventstore projections reset NAME, then eventstore replay NAME; after a change of its code raise its version",
  archive: `take another copy of an archive that is damaged; what the log lacks, ${restore}`
}
