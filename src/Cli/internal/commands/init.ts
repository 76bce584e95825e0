import { Effect, Option, Path } from "effect"
import { Argument, Flag, Prompt, TerminalCapabilities } from "effect/cli"
import { plainCommand } from "../frame/command.ts"
import { asking, yes } from "../frame/confirming.ts"
import { answer, Output } from "../frame/output.ts"
import { wrongInput } from "../frame/refusal.ts"
import { valueOf } from "../frame/settings.ts"
import { tableText } from "../frame/table.ts"
import { type Action, scaffold } from "../scaffold/scaffold.ts"
import { problemOfThing } from "../scaffold/scaffoldThing.ts"

export const init = plainCommand(
  "init",
  {
    directory: Argument.String("directory").pipe(
      Argument.withDescription("Where the project is made; here where it is left out"),
      Argument.withDefault(".")
    ),
    name: Flag.String("name").pipe(
      Flag.withDescription("What it is about: the name of the category (else it asks in a terminal, or takes order)"),
      Flag.optional
    ),
    package: Flag.String("package").pipe(
      Flag.withMetavar("<spec>"),
      Flag.withDescription(
        "Where this package comes from, as npm takes it; else as it is installed, or by its version"
      ),
      Flag.optional
    ),
    overwrite: Flag.Boolean("overwrite").pipe(
      Flag.withDescription("Overwrite sources that are there already, after a question; else they are kept"),
      Flag.withDefault(false)
    ),
    yes
  },
  {
    description:
      "Makes a small project that runs: events, rules, a read model, a test, and what the command line has to " +
      "know of them. In a directory that has files already it adds what is missing.",
    examples: [
      { command: "eventstore init shop" },
      { command: "eventstore init --name cart", description: "here, and about carts" },
      { command: "eventstore init shop --package ../effect-eventstore-0.1.0.tgz" }
    ]
  },
  Effect.fnUntraced(function*(input) {
    const path = yield* Path.Path
    const directory = path.resolve(input.directory)
    const thing = Option.isSome(input.name) ? input.name.value : yield* askForThing
    const problem = problemOfThing(thing)
    if (problem !== undefined) return yield* wrongInput(problem, "--name order, --name cart, --name shoppingCart")
    const spec = valueOf(input.package)
    const files = yield* scaffold({
      directory,
      thing,
      spec: spec === undefined ? undefined : specFrom(path, spec, directory),
      overwrite: input.overwrite,
      yes: input.yes
    })
    const from = path.relative(path.resolve("."), directory)
    const next = [
      ...(from === "" ? [] : [`cd ${from}`]),
      "npm install",
      "npm start",
      "npm test",
      "npx eventstore streams list"
    ]
    yield* answer({ directory, files, next }, ({ files, next }, output) =>
      [
        tableText(files, [
          { title: "file", value: ({ path }) => path },
          { title: "", value: ({ action }) => action, style: ({ action }) => styles[action] }
        ], output),
        ...(files.some(({ action, path }) => action === "kept" && path === "tsconfig.json")
          ? [
            "",
            "Your tsconfig.json is kept: the files need \"allowImportingTsExtensions\", \"noEmit\" and \"nodenext\" in it."
          ]
          : []),
        ...(files.some(({ action, path }) => action === "kept" && path.endsWith(".ts"))
          ? ["", "Your sources are kept; --overwrite writes them anew."]
          : []),
        "",
        "Next:",
        ...next.map((command) => `  ${output.paint("cyan", command)}`)
      ].join("\n"))
  })
)

const styles: Partial<Record<Action, "green" | "yellow" | "dim">> = {
  written: "green",
  extended: "green",
  overwritten: "yellow",
  "there already": "dim",
  kept: "dim"
}

/** Only where somebody can be asked; others get a name that fits the code. */
const askForThing = Effect.gen(function*() {
  const { isJson } = yield* Output
  const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
  if (!canPrompt || isJson) return "order"
  return yield* asking(Prompt.String({
    message: "What is it about? The name of one of them:",
    default: "order",
    validate: (name) => {
      const problem = problemOfThing(name)
      return problem === undefined ? Effect.succeed(name) : Effect.fail(problem)
    }
  }))
})

/** A file is named from where the command runs; npm takes it from the new directory. */
const specFrom = (path: Path.Path, spec: string, directory: string): string => {
  const file = spec.startsWith("file:") ? spec.slice("file:".length) : /^\.{0,2}\//.test(spec) ? spec : undefined
  return file === undefined ? spec : `file:${path.relative(directory, path.resolve(file))}`
}
