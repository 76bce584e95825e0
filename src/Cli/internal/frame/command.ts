import { Effect, Layer, Logger, Option, References } from "effect"
import { Command, GlobalFlag } from "effect/cli"
import { layer as application } from "./application.ts"
import { Output } from "./output.ts"
import { target, withStore, withTables } from "./pgTarget.ts"
import { Progress } from "./progress.ts"
import { reporting } from "./reporting.ts"

/** What is said of a command in its help. */
export interface Help {
  readonly description: string
  readonly examples: ReadonlyArray<{ readonly command: string; readonly description?: string }>
}

/** Declares a command that needs no database. */
export const plainCommand = <const Name extends string, const C extends Command.Command.Config, E, R>(
  name: Name,
  config: C,
  help: Help,
  run: (input: Command.Command.Config.Infer<C>) => Effect.Effect<void, E, R>
) =>
  Command.make(name, config, (input) => Effect.provide(reporting(run(input)), surface)).pipe(
    Command.withDescription(help.description),
    Command.withExamples(help.examples)
  )

/** Declares a command that works on a log. */
export const storeCommand = <const Name extends string, const C extends Command.Command.Config, E, R>(
  name: Name,
  config: C,
  help: Help,
  run: (input: Command.Command.Config.Infer<C>) => Effect.Effect<void, E, R>
) => plainCommand(name, config, help, (input) => Effect.provide(withStore(run(input)), application))

/** Declares a command that reads the tables of a log, without a store on it. */
export const tablesCommand = <const Name extends string, const C extends Command.Command.Config, E, R>(
  name: Name,
  config: C,
  help: Help,
  run: (input: Command.Command.Config.Infer<C>) => Effect.Effect<void, E, R>
) =>
  plainCommand(
    name,
    config,
    help,
    (input) => Effect.provide(Effect.flatMap(target, (found) => withTables(found, run(input))), application)
  )

/** Declares a command that knows what the application declares, and opens what it needs itself. */
export const applicationCommand = <const Name extends string, const C extends Command.Command.Config, E, R>(
  name: Name,
  config: C,
  help: Help,
  run: (input: Command.Command.Config.Infer<C>) => Effect.Effect<void, E, R>
) => plainCommand(name, config, help, (input) => Effect.provide(run(input), application))

/** A command that only holds others. */
export const group = <const Name extends string>(name: Name, description: string) =>
  Command.make(name).pipe(Command.withDescription(description))

// what a program reads as JSON is an error, unless it asks for more
const quiet = Layer.unwrap(
  Effect.gen(function*() {
    const { isJson } = yield* Output
    return isJson && Option.isNone(yield* GlobalFlag.LogLevel)
      ? Layer.succeed(References.MinimumLogLevel, "Error")
      : Layer.empty
  })
)

const surface = Layer.merge(Progress.layer, quiet).pipe(
  Layer.provideMerge(Output.layer),
  // the standard output is for answers
  Layer.provideMerge(Layer.succeed(Logger.LogToStderr, true))
)
