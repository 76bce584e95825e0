/**
 * The command line: looks at a log, operates what follows it, and moves it.
 *
 * `eventstore` is the binary of this package. It takes what an application declares from `eventstore.config.ts`; with
 * {@link make} and {@link run} an application has the same commands in a program of its own.
 *
 * **Example** (A command line of your own)
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { Schema } from "effect"
 * import { Category } from "effect-eventstore"
 * import { App, Cli } from "effect-eventstore/Cli"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * NodeRuntime.runMain(Cli.run({ name: "shop", app: App.make({ dir: "./data", categories: [Cart] }) }))
 * ```
 *
 * @since 0.1.0
 */
import { NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer, Option, Stdio } from "effect"
import { CliOutput, Command, TerminalCapabilities } from "effect/cli"
import { constants } from "node:os"
import type { App } from "./App.ts"
import { append } from "./internal/commands/append.ts"
import { copy } from "./internal/commands/copy.ts"
import { doctor } from "./internal/commands/doctor.ts"
import { event } from "./internal/commands/event.ts"
import { exportCommand } from "./internal/commands/export.ts"
import { importCommand } from "./internal/commands/import.ts"
import { init } from "./internal/commands/init.ts"
import { migrate } from "./internal/commands/migrate.ts"
import { projections } from "./internal/commands/projections.ts"
import { read } from "./internal/commands/read.ts"
import { replay } from "./internal/commands/replay.ts"
import { snapshots } from "./internal/commands/snapshots.ts"
import { state } from "./internal/commands/state.ts"
import { stats } from "./internal/commands/stats.ts"
import { streams } from "./internal/commands/streams.ts"
import { subscriptions } from "./internal/commands/subscriptions.ts"
import { tail } from "./internal/commands/tail.ts"
import { timers } from "./internal/commands/timers.ts"
import { verify } from "./internal/commands/verify.ts"
import { Given } from "./internal/frame/application.ts"
import { jsonOf, unwritten } from "./internal/frame/output.ts"
import { ownPackage } from "./internal/frame/ownPackage.ts"
import { ProgramName, typedTo } from "./internal/frame/programName.ts"
import { Reported } from "./internal/frame/reporting.ts"
import { all as settings, ConfigFile } from "./internal/frame/settings.ts"

const commands = [
  init,
  migrate,
  doctor,
  streams,
  read,
  tail,
  append,
  event,
  stats,
  projections,
  exportCommand,
  importCommand,
  copy,
  verify,
  subscriptions,
  snapshots,
  timers,
  replay,
  state
] as const

const description = "Looks at a log of events, operates what follows it, and moves it."

const [, ...commandsOfApp] = commands

const rootOf = (name: string) =>
  Command.make(name).pipe(
    Command.withDescription(description),
    Command.withSubcommands(commands),
    Command.withGlobalFlags(settings)
  )

/** Of a program that says itself what the application is: nothing that makes or names a configuration. */
const rootOfApp = (name: string): ReturnType<typeof rootOf> =>
  Command.make(name).pipe(
    Command.withDescription(description),
    Command.withSubcommands(commandsOfApp),
    Command.withGlobalFlags(settings.filter((setting) => setting !== ConfigFile)),
    Command.provideSync(ConfigFile, Option.none())
  ) as never

/**
 * The commands, under a name of your own (default `eventstore`): for a command line that has others as well. Without an
 * application they look for a configuration file; with one there is neither `init` nor `--config`.
 *
 * - `program`: what is typed to come to these commands, `"shop log"` where they are the subcommand `log` of `shop`: for hints.
 *   Default: the name
 *
 * **Details** A command that fails has said why on the standard error; its error, under the key `Runtime.errorExitCode`, carries
 * the exit code that `NodeRuntime.runMain` takes: those of {@link run}. Wrong usage is answered with a page of help, unless
 * {@link presenter} is provided, and fails with `CliError.ShowHelp`, exit code 1.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options?: {
  readonly name?: string | undefined
  readonly program?: string | undefined
  readonly app?: App | undefined
}) => {
  const name = options?.name ?? "eventstore"
  return (options?.app === undefined ? rootOf(name) : rootOfApp(name)).pipe(
    Command.provideSync(Given, options?.app),
    Command.provideSync(ProgramName, options?.program ?? name)
  )
}

/**
 * Runs the command line on the arguments of the process, on Node. Exit codes: 0 done; 1 the answer is no, or something was
 * found; 2 the command or its input is wrong; 3 the database cannot be used, or the output cannot be written; 4 a mistake in a
 * program; 130 interrupted.
 *
 * - `name`: of the program, in its help and in hints. Default `"eventstore"`
 * - `version`: what `--version` answers. Default: that of this package
 * - `app`: what the application declares. Default: what a configuration file says
 *
 * @category running
 * @since 0.1.0
 */
export const run = (options?: {
  readonly name?: string | undefined
  readonly version?: string | undefined
  readonly app?: App | undefined
}): Effect.Effect<void, Reported> =>
  Effect.gen(function*() {
    const version = options?.version ?? (yield* ownPackage).version
    yield* Command.run(make(options), { version })
  }).pipe(
    Effect.catch((error) =>
      Effect.fail(
        error instanceof Reported ? error : new Reported(error._tag === "ShowHelp" && error.errors.length === 0 ? 0 : 2)
      )
    ),
    Effect.andThen(writtenOutput),
    Effect.raceFirst(closedOutput),
    Effect.provide(surface)
  )

/** Ends without a word where nobody reads the output any more, `eventstore read | head`: as a program that a signal ends. */
const closedOutput = Effect.callback<never, Reported>((resume) => {
  // of another error the command hears that writes
  const onError = (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") resume(Effect.fail(new Reported(128 + constants.signals.SIGPIPE)))
  }
  process.stdout.on("error", onError)
  return Effect.sync(() => void process.stdout.off("error", onError))
})

/** A command whose output is lost is not done, whoever wrote it. */
const writtenOutput = Effect.suspend(() =>
  process.stdout.errored === null
    ? Effect.void
    : Effect.andThen(Console.error(`error ${unwritten(process.stdout.errored).problem}`), Effect.fail(new Reported(3)))
)

/** A mistake in a command is answered with what is wrong, not with a page of help. */
const presenterOf = (args: ReadonlyArray<string>): CliOutput.Presenter => ({
  present: (event) =>
    event._tag !== "InvalidInvocation" ? CliOutput.defaultPresenter.present(typed(event)) : Effect.gen(function*() {
      // what is wrong may be why the flag itself was not read
      if (args.includes("--json")) {
        const message = event.errors.map(({ message }) => message).join("; ")
        const hint = `see ${event.commandPath.join(" ")} --help`
        return yield* Console.error(jsonOf({ error: { tag: "InvalidInvocation", message, hint } }, false))
      }
      const formatter = yield* CliOutput.Formatter
      yield* Console.error(formatter.formatErrors(event.errors).trim())
      yield* Console.error(`\nSee ${event.commandPath.join(" ")} --help`)
    })
})

/** Its examples as they are typed to this program. */
const typed = (event: Exclude<CliOutput.Presenter.Event, CliOutput.Presenter.InvalidInvocation>) => {
  if (event._tag !== "Help" || event.helpDoc.examples === undefined) return event
  const { commandPath, helpDoc } = event
  const examples = event.helpDoc.examples.map((example) => {
    const [, first] = example.command.split(" ")
    const before = commandPath.slice(0, Math.max(1, commandPath.lastIndexOf(first!)))
    return { ...example, command: typedTo(before.join(" "), example.command) }
  })
  return { ...event, helpDoc: { ...helpDoc, examples } }
}

/**
 * Answers a mistake in a command with what is wrong, on the standard error, not with a page of help; and gives examples by the
 * name of the program. {@link run} has it; a program of which {@link make} is a part provides it.
 *
 * @category layers
 * @since 0.1.0
 */
export const presenter: Layer.Layer<never, never, Stdio.Stdio> = Layer.unwrap(
  Effect.map(Stdio.Stdio.use(({ args }) => args), (args) => CliOutput.layerPresenter(presenterOf(args)))
)

const surface = Layer.merge(presenter, TerminalCapabilities.layer).pipe(
  Layer.provideMerge(NodeServices.layer)
)
