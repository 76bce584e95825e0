import { Effect, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Projection from "../../../Projection/Projection.ts"
import { Application } from "../frame/application.ts"
import { group, storeCommand } from "../frame/command.ts"
import { confirm, yes } from "../frame/confirming.ts"
import { projectionOf } from "../frame/declared.ts"
import { answer, answerRows, note, Output } from "../frame/output.ts"
import { ProgramName, typedTo } from "../frame/programName.ts"
import { answerIsNo } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { counted, tableOf } from "../frame/table.ts"
import { showing, watch } from "../frame/watching.ts"
import { name, version } from "../projectionArguments.ts"
import { partitionColumns, statusColumns, statusJson, statusLines } from "../projectionRows.ts"
import { rebuildFlags } from "../replay/rebuildFlags.ts"
import { runJobs } from "../replay/replaying.ts"
import { rebuildJob } from "../replay/replayProjection.ts"
import { discardParked, parked, replayParked } from "./projectionsParked.ts"

const list = storeCommand(
  "list",
  watch,
  {
    description: "Lists the versions of all projections, and how far they are.",
    examples: [
      { command: "eventstore projections list" },
      { command: "eventstore projections list --watch" },
      { command: "eventstore projections list --json" }
    ]
  },
  Effect.fnUntraced(function*(options) {
    const output = yield* Output
    const nobody = "There is no projection. A program makes one known when it runs it, or eventstore replay."
    if (!output.isJson && !options.watch && (yield* Projection.statuses()).length === 0) return yield* note(nobody)
    const program = yield* ProgramName
    yield* showing(
      options,
      Effect.map(Projection.statuses(), (statuses) =>
        output.isJson
          ? statuses.map((status) => JSON.stringify(statusJson(status)))
          : statuses.length === 0
          ? [typedTo(program, nobody)]
          : tableOf(statusColumns, output).lines(statuses))
    )
  })
)

const status = storeCommand(
  "status",
  { name, version, ...watch },
  {
    description:
      "Shows what a version of a projection is: its place, its partitions and who owns them, its last error.",
    examples: [
      { command: "eventstore projections status totals" },
      { command: "eventstore projections status totals --version 2 --watch" }
    ]
  },
  Effect.fnUntraced(function*({ name, version, ...options }) {
    const output = yield* Output
    yield* showing(
      options,
      Effect.gen(function*() {
        const status = yield* Projection.status(name, { version: valueOf(version) })
        if (output.isJson) return [JSON.stringify(statusJson(status), null, output.isWatched && !options.watch ? 2 : 0)]
        const others = (yield* Projection.statuses(name)).filter(({ version }) => version !== status.version)
        return [
          ...statusLines(status, others, output.paint),
          "",
          ...tableOf(partitionColumns, output).lines(status.partitions)
        ]
      })
    )
  })
)

const lag = storeCommand(
  "lag",
  {
    name: name.pipe(Argument.optional),
    max: natural("max").pipe(
      Flag.withDescription("Exit with 1 where a version is further behind, for monitors"),
      Flag.optional
    )
  },
  {
    description: "Tells how many positions projections are behind the end of the log.",
    examples: [
      { command: "eventstore projections lag" },
      { command: "eventstore projections lag totals --max 1000" }
    ]
  },
  Effect.fnUntraced(function*({ max, name }) {
    const statuses = Option.isSome(name)
      ? yield* Effect.flatMap(
        Projection.statuses(name.value),
        (found) => found.length > 0 ? Effect.succeed(found) : Effect.map(Projection.status(name.value), (one) => [one])
      )
      : yield* Projection.statuses()
    yield* answerRows(Stream.fromIterable(statuses), {
      columns: statusColumns.filter(({ title }) =>
        ["name", "version", "live", "status", "position", "lag"].includes(title)
      ),
      json: (status) => {
        const { activity, head, isLive, lag, name, position, version } = statusJson(status)
        return { name, version, isLive, activity, position, head, lag }
      },
      empty: "There is no projection."
    })
    const most = valueOf(max)
    const late = most === undefined ? undefined : statuses.find(({ lag }) => lag > most)
    if (late !== undefined) {
      return yield* answerIsNo(
        `Version ${late.version} of the projection ${late.name} is ${counted(late.lag, "position")} behind`
      )
    }
  })
)

/** A change of one version, that is told of as it then is. */
const changing = <E, R>(
  command: "pause" | "resume" | "reset",
  flags: { readonly yes?: typeof yes },
  help: { readonly description: string; readonly question?: (subject: string) => string; readonly done: string },
  change: (name: string, of: Projection.OfVersion) => Effect.Effect<void, E, R>
) =>
  storeCommand(
    command,
    { name, version, ...flags },
    {
      description: help.description,
      examples: [
        { command: `eventstore projections ${command} totals` },
        {
          command: `eventstore projections ${command} totals --version 2${help.question === undefined ? "" : " --yes"}`
        }
      ]
    },
    Effect.fnUntraced(function*({ name, version, yes = false }) {
      const before = yield* Projection.status(name, { version: valueOf(version) })
      const subject = `version ${before.version} of the projection ${name}`
      // what it was asked for, whichever is live by then
      const of = { version: before.version }
      if (help.question !== undefined) yield* confirm(help.question(subject), { yes })
      yield* change(name, of)
      yield* answer(
        statusJson(yield* Projection.status(name, of)),
        () => `${subject[0]!.toUpperCase()}${subject.slice(1)} ${help.done}`
      )
    })
  )

const pause = changing("pause", {}, {
  description: "Stops a version in all processes, until it is resumed. The batch in hand is rolled back.",
  done: "is paused"
}, Projection.pause)

const resume = changing("resume", {}, {
  description: "Lets a version go on that was paused or has failed: it tries again what it could not handle.",
  done: "goes on, where somebody runs it"
}, Projection.resume)

const reset = changing("reset", { yes }, {
  description:
    "Empties a version and lets it begin anew, in the processes that run it. To keep it readable meanwhile, rebuild it instead.",
  question: (subject) => `Empty ${subject}, and let it begin anew? What it keeps is gone until it has caught up`,
  done: "is empty, and begins anew where somebody runs it"
}, Projection.reset)

const ofVersion = Argument.Int("version").pipe(Argument.withDescription("Which version, from 1"))

const drop = storeCommand(
  "drop",
  { name, version: ofVersion, yes },
  {
    description: "Removes a version and all it keeps. Processes that run it end with an error.",
    examples: [{ command: "eventstore projections drop totals 1" }]
  },
  Effect.fnUntraced(function*({ name, version, yes }) {
    const { isLive, kind } = yield* Projection.status(name, { version })
    yield* confirm(
      `Remove version ${version} of the projection ${name}${isLive ? ", which is live" : ""}, with all its ${
        kind === "events" ? "checkpoints" : kind
      }?`,
      { yes }
    )
    yield* Projection.drop(name, version)
    yield* answer({ name, version, dropped: true }, () => `Version ${version} of the projection ${name} is gone`)
  })
)

const repartition = storeCommand(
  "repartition",
  {
    name,
    partitions: Argument.Int("partitions").pipe(Argument.withDescription("How many it is to have, 1 to 1,000")),
    version
  },
  {
    description:
      "Changes the number of partitions: how many processes can work on a version at a time. It goes on meanwhile.",
    examples: [{ command: "eventstore projections repartition totals 4" }]
  },
  Effect.fnUntraced(function*({ name, partitions, version }) {
    const of = { version: (yield* Projection.status(name, { version: valueOf(version) })).version }
    yield* Projection.repartition(name, partitions, of)
    yield* answer(
      statusJson(yield* Projection.status(name, of)),
      ({ partitions: now, repartitionTo }) =>
        repartitionTo === null
          ? `Version ${of.version} of the projection ${name} has ${now.length} partitions`
          : `Version ${of.version} of the projection ${name} gets ${repartitionTo} partitions as soon as all of its ${now.length} are level`
    )
  })
)

const switchTo = storeCommand(
  "switch",
  {
    name,
    version: ofVersion,
    timeout: natural("timeout").pipe(
      Flag.withDescription("Seconds to wait until it is as far as the live one"),
      Flag.withDefault(5)
    )
  },
  {
    description: "Makes a version live, from one query to the next. It has to be ready, and as far as the live one.",
    examples: [{ command: "eventstore projections switch totals 2" }]
  },
  Effect.fnUntraced(function*({ name, timeout, version }) {
    const before = yield* Projection.status(name)
    const outcome = yield* Projection.switchTo(name, version, { timeout: timeout * 1000 })
    yield* answer({ name, version, from: before.version, outcome }, () =>
      outcome === "wanted"
        ? `Version ${version} of the projection ${name} is made live by the process that runs it`
        : before.version === version
        ? `Version ${version} of the projection ${name} was live already`
        : `Version ${version} of the projection ${name} is live, instead of version ${before.version}`)
  })
)

const rollback = storeCommand(
  "rollback",
  {
    name,
    from: natural("from", 1).pipe(
      Flag.withDescription("The version to leave: does nothing where another one is live, so that it can be repeated"),
      Flag.optional
    )
  },
  {
    description: "Makes the version live that was live before.",
    examples: [{ command: "eventstore projections rollback totals --from 2" }]
  },
  Effect.fnUntraced(function*({ from, name }) {
    const before = yield* Projection.status(name)
    const version = yield* Projection.rollBack(name, { from: valueOf(from) })
    yield* answer({ name, version, from: before.version }, () =>
      before.version === version
        ? `Version ${version} of the projection ${name} was live already`
        : `Version ${version} of the projection ${name} is live again, instead of version ${before.version}`)
  })
)

const rebuild = storeCommand(
  "rebuild",
  { name, ...rebuildFlags },
  {
    description:
      "Builds the version that the application declares beside the live one, and switches to it when it is ready: raise its version first. The same as eventstore replay.",
    examples: [
      { command: "eventstore projections rebuild totals" },
      { command: "eventstore projections rebuild totals --no-switch" }
    ]
  },
  Effect.fnUntraced(function*({ batch, keepGoing, name, partitions, switch: isSwitching, yes }) {
    const { app } = yield* Application
    const projection = yield* projectionOf(app, name)
    const job = yield* rebuildJob(projection, {
      isSwitching,
      partitions: Option.getOrElse(partitions, () => 1),
      batch: valueOf(batch),
      isKeepingOn: keepGoing
    })
    yield* runJobs([job], { yes })
  })
)

export const projections = group("projections", "Lists, shows and operates projections, by name.").pipe(
  Command.withSubcommands([
    list,
    status,
    lag,
    pause,
    resume,
    reset,
    drop,
    repartition,
    switchTo,
    rollback,
    rebuild,
    parked,
    replayParked,
    discardParked
  ])
)
