import { Effect, Option } from "effect"
import { Argument, type Command, Flag } from "effect/cli"
import type * as Projection from "../../../Projection/Projection.ts"
import { Application } from "../frame/application.ts"
import { storeCommand } from "../frame/command.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answerIsNo, wrongInput } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { numberOf } from "../frame/table.ts"
import { rebuildFlags } from "../replay/rebuildFlags.ts"
import {
  type Handled,
  type HandlerReplayed,
  handlerText,
  prepareHandler,
  replayHandler
} from "../replay/replayHandler.ts"
import { type Job, replayableOf, runJobs } from "../replay/replaying.ts"
import { rebuildJob } from "../replay/replayProjection.ts"
import { isBounded, range, readRange } from "../replay/replayRange.ts"
import { rehearse, type Rehearsed, rehearsedText } from "../replay/replayRehearsal.ts"
import { scratches } from "../replay/scratches.ts"

const dryRun = {
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDescription("Build a scratch read model, show the difference to the live one, and remove it"),
    Flag.withDefault(false)
  ),
  keep: Flag.String("keep").pipe(
    Flag.withDescription(
      "Keep the scratch read model under this name: to be queried, and to go on after an interruption"
    ),
    Flag.optional
  ),
  ignore: Flag.String("ignore").pipe(
    Flag.withDescription("A column, or field of a document, that is not compared; may be repeated"),
    Flag.atLeast(0)
  ),
  rows: natural("rows").pipe(
    Flag.withDescription("Most rows that are shown of each kind of difference (default 20)"),
    Flag.optional
  ),
  exitCode: Flag.Boolean("exit-code").pipe(
    Flag.withDescription("Exit with 1 where there is a difference"),
    Flag.withDefault(false)
  )
}

const handler = {
  checkpoint: Flag.String("checkpoint").pipe(
    Flag.withDescription("File that keeps how far a handler is (default replay-<name>.checkpoint.json)"),
    Flag.optional
  ),
  attempts: natural("attempts", 1).pipe(
    Flag.withDescription("How often a handler tries an event (default 3)"),
    Flag.optional
  )
}

const scratch = {
  scratches: Flag.Boolean("scratches").pipe(
    Flag.withDescription("List the scratch read models that there are"),
    Flag.withDefault(false)
  ),
  drop: Flag.String("drop").pipe(
    Flag.withDescription("With --scratches: remove the one of this name; may be repeated"),
    Flag.atLeast(0)
  ),
  leftOver: Flag.Boolean("left-over").pipe(
    Flag.withDescription("With --scratches: remove those that processes left over which died"),
    Flag.withDefault(false)
  )
}

const config = {
  names: Argument.String("name").pipe(
    Argument.withDescription("Projections and subscriptions that the application declares; several run at once"),
    Argument.variadic()
  ),
  ...dryRun,
  ...range,
  ...rebuildFlags,
  ...handler,
  ...scratch
}

type Input = Command.Command.Config.Infer<typeof config>

export const replay = storeCommand(
  "replay",
  config,
  {
    description:
      "Runs a projection over the log: builds the declared version beside the live one and switches to it, or with --dry-run shows what would change. Or runs the handler of a subscription over a range, at least once for each event; the subscription itself is not touched. What is interrupted goes on with the same command.",
    examples: [
      { command: "eventstore replay totals", description: "rebuild, and switch when it is ready" },
      { command: "eventstore replay totals popular --no-switch", description: "two at once, beside the live ones" },
      { command: "eventstore replay totals --dry-run", description: "what would be different?" },
      {
        command: "eventstore replay totals --dry-run --until 2026-06-01 --keep may",
        description: "as of a time, kept"
      },
      { command: "eventstore replay --scratches --drop may", description: "remove what was kept" },
      { command: "eventstore replay mails --since 2h", description: "run a handler again over the last two hours" }
    ]
  },
  Effect.fnUntraced(function*(input) {
    const { drop, leftOver, names, scratches: isListing, yes } = input
    if (isListing || drop.length > 0 || leftOver) {
      if (!isListing) {
        return yield* wrongInput("--drop and --left-over are about scratch read models", "add --scratches")
      }
      if (names.length > 0) return yield* wrongInput("--scratches is about none of the names", "leave them out")
      return yield* scratches({ drop, leftOver, yes })
    }
    if (names.length === 0) {
      return yield* wrongInput("It is not said what to replay", "name a projection or a subscription")
    }
    const twice = names.find((name, i) => names.indexOf(name) < i)
    if (twice !== undefined) return yield* wrongInput(`${twice} is named twice`)
    const { app } = yield* Application
    const found = yield* Effect.forEach(names, (name) => replayableOf(app, name))
    yield* checkFlags(input, found.map(({ kind }) => kind))
    const jobs: Array<Job<any>> = []
    for (const one of found) {
      jobs.push(
        one.kind === "subscription"
          ? yield* toHandler(input, one.name, one.subscription)
          : input.dryRun
          ? yield* toRehearsal(input, one.projection)
          : yield* toRebuild(input, one.projection)
      )
    }
    const done = yield* runJobs(jobs, { yes })
    const different = done.filter((one) => (one as Partial<Rehearsed>).difference?.isEqual === false).length
    if (input.exitCode && different > 0) {
      return yield* answerIsNo(different === 1 ? "There is a difference" : "There are differences")
    }
  })
)

/** Refuses flags that would be of no use: somebody meant something by them. */
const checkFlags = (input: Input, kinds: ReadonlyArray<"projection" | "subscription">) =>
  Effect.gen(function*() {
    const handlers = kinds.filter((kind) => kind === "subscription").length
    const isRebuild = !input.dryRun && handlers < kinds.length
    if (input.dryRun && handlers > 0) {
      return yield* wrongInput("--dry-run is for projections: a handler can only be run", "leave one of the two out")
    }
    const ofDryRun = given([
      ["--keep", Option.isSome(input.keep)],
      ["--ignore", input.ignore.length > 0],
      ["--rows", Option.isSome(input.rows)],
      ["--exit-code", input.exitCode]
    ])
    if (!input.dryRun && ofDryRun !== undefined) {
      return yield* wrongInput(`${ofDryRun} is about a scratch read model`, "add --dry-run")
    }
    if (Option.isSome(input.keep) && kinds.length > 1) {
      return yield* wrongInput("--keep names one scratch read model, and there are several projections")
    }
    const ofHandlers = given([
      ["--checkpoint", Option.isSome(input.checkpoint)],
      ["--attempts", Option.isSome(input.attempts)]
    ])
    if (handlers === 0 && ofHandlers !== undefined) {
      return yield* wrongInput(`${ofHandlers} is about the handler of a subscription, and none is named`)
    }
    if (Option.isSome(input.checkpoint) && handlers > 1) {
      return yield* wrongInput("--checkpoint names one file, and there are several subscriptions")
    }
    const ofRebuilds = given([["--no-switch", !input.switch], ["--partitions", Option.isSome(input.partitions)]])
    if (!isRebuild && ofRebuilds !== undefined) {
      return yield* wrongInput(`${ofRebuilds} is about the rebuild of a projection, and there is none`)
    }
    if (handlers === kinds.length && Option.isSome(input.batch)) {
      return yield* wrongInput("--batch is about transactions that build a read model, and there are none")
    }
    if (isRebuild && isBounded(input)) {
      return yield* wrongInput(
        "A read model is rebuilt from all of its events: --from, --to, --since and --until are for --dry-run and handlers",
        "--dry-run builds a scratch one of a part of the log"
      )
    }
    if (handlers > 0 && !isBounded(input)) {
      return yield* wrongInput(
        "A handler does again what it did: say over which part of the log",
        "--from and --to positions, --since and --until times; --from 1 is all of it"
      )
    }
  })

/** The first flag that was given. */
const given = (flags: ReadonlyArray<readonly [string, boolean]>): string | undefined =>
  flags.find(([, isGiven]) => isGiven)?.[0]

const toRehearsal = ({ batch, ignore, keep, keepGoing, rows, ...input }: Input, projection: Projection.Any) =>
  Effect.gen(function*() {
    const range = yield* readRange(input)
    const options = {
      range,
      keep: valueOf(keep),
      ignore,
      batch: valueOf(batch),
      rows: Option.getOrElse(rows, () => 20),
      isKeepingOn: keepGoing
    }
    return {
      name: projection.definition.name,
      question: undefined,
      run: rehearse(projection, options),
      textOf: rehearsedText
    } satisfies Job<Rehearsed>
  })

const toHandler = (
  { attempts, checkpoint, from, keepGoing, since, to, until }: Input,
  name: string,
  subscription: Handled
) =>
  Effect.gen(function*() {
    const { name: place } = yield* OpenLog
    const prepared = yield* prepareHandler(name, subscription, {
      range: { from, to, since, until },
      checkpoint: valueOf(checkpoint),
      attempts: Option.getOrElse(attempts, () => 3),
      isKeepingOn: keepGoing
    })
    const { position, to: last } = prepared.checkpoint
    return {
      name,
      question: position >= last
        ? undefined
        : `Run the handler of ${name} again over the positions ${numberOf(position + 1)} to ${
          numberOf(last)
        } of ${place}, with all that it does?`,
      run: replayHandler(prepared),
      textOf: handlerText
    } satisfies Job<HandlerReplayed>
  })

const toRebuild = (
  { batch, keepGoing, partitions, switch: isSwitching }: Input,
  projection: Projection.Any
) =>
  rebuildJob(projection, {
    isSwitching,
    partitions: Option.getOrElse(partitions, () => 1),
    batch: valueOf(batch),
    isKeepingOn: keepGoing
  })
