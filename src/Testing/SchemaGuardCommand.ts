/**
 * The guard of stored schemas as a command: what `SchemaGuard` does in tests, for a build or a shell, without vitest.
 *
 * It is imported by its own path, as the rest of `effect-eventstore/Testing` needs vitest.
 *
 * @since 0.1.0
 */
import { Console, Effect } from "effect"
import { CliError, Command } from "effect/cli"
import { type Guarded, type SchemaChanged, verifyAll } from "./internal/schemaGuard.ts"

/**
 * A command with two subcommands: `verify` compares what is declared with the file and changes nothing; `write` notes there what
 * is new or harmless. Where something would break what is stored, both print what it is and what to do, and fail with
 * `SchemaChanged`: the exit code is 1, and such a change is never noted.
 *
 * **Details** `file` is the path of the JSON file, the same that `SchemaGuard` keeps; its directory is made where it is missing.
 * `name` is the name of the command in its help, `schemas` by default. The environment variable `SCHEMA_GUARD` is of no account
 * here.
 *
 * **Example** (A script of an application)
 * ```ts
 * import { NodeRuntime, NodeServices } from "@effect/platform-node"
 * import { Effect, Schema } from "effect"
 * import { Category } from "effect-eventstore"
 * import * as SchemaGuardCommand from "effect-eventstore/Testing/SchemaGuardCommand"
 * import { Command } from "effect/cli"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * export const main = () =>
 *   SchemaGuardCommand.make({ categories: [Cart] }, { file: "test/fixtures/schemas.json" }).pipe(
 *     Command.run({ version: "1.0.0" }),
 *     Effect.provide(NodeServices.layer),
 *     NodeRuntime.runMain
 *   )
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  guarded: Guarded,
  { file, name = "schemas" }: { readonly file: string; readonly name?: string | undefined }
): Command.Command<string, {}, {}, SchemaChanged, never> => {
  const run = (write: boolean) =>
    verifyAll(guarded, { file, write, toNote: "Run it with `write`" }).pipe(
      Effect.flatMap((count) => Console.log(`${count} versions are as ${file} has them`)),
      // printed as it stands, without a stack: it is for whoever changed the class
      Effect.mapError((error) => Object.defineProperty(error, CliError.userMessage, { value: error.message }))
    )
  return Command.make(name).pipe(
    Command.withDescription("Guards the schemas of what is stored"),
    Command.withSubcommands([
      Command.make("verify", {}, () => run(false)).pipe(
        Command.withDescription(`Compares what is declared with ${file}`)
      ),
      Command.make("write", {}, () => run(true)).pipe(
        Command.withDescription(`Notes in ${file} what is new, or harmless to what is stored`)
      )
    ])
  )
}
