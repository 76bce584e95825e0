import { Context, Effect, FileSystem, Layer, Option, Path, Redacted, Schema } from "effect"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as App from "../../App.ts"
import { checkDeclared } from "./declared.ts"
import { type Refused, wrongInput } from "./refusal.ts"
import { ConfigFile } from "./settings.ts"

/** What is known of the application, and where relative directories of it start. */
export interface Loaded {
  readonly app: App.App
  readonly base: string
  /** The file it was read from; `undefined` where it was given by a program, or there is none. */
  readonly file: string | undefined
}

/** The application that the command line was made for; `undefined` where a configuration file says. */
export const Given = Context.Reference<App.App | undefined>("effect-eventstore/Cli/Given", {
  defaultValue: () => undefined
})

/** The application that a command is about. */
export class Application extends Context.Service<Application, Loaded>()("effect-eventstore/Cli/Application") {}

const names = ["ts", "mts", "js", "mjs", "json"].map((extension) => `eventstore.config.${extension}`)

const JsonConfig = Schema.Struct({
  url: Schema.optionalKey(Schema.String),
  dir: Schema.optionalKey(Schema.String),
  schema: Schema.optionalKey(Schema.String),
  log: Schema.optionalKey(Schema.Int)
})

/**
 * What the application declares: what a program was made for, unless a file is named; else the file that is named, or the first
 * one found from here upwards.
 */
const load = Effect.gen(function*() {
  const given = yield* Given
  const path = yield* Path.Path
  const fs = yield* FileSystem.FileSystem
  const named = Option.getOrUndefined(yield* ConfigFile)
  const file = named !== undefined ? path.resolve(named) : given === undefined ? yield* find : undefined
  if (file === undefined) {
    const app = given ?? App.make({})
    yield* checkDeclared(app, "The application")
    return Application.of({ app, base: path.resolve("."), file })
  }
  if (!(yield* Effect.orElseSucceed(fs.exists(file), () => false))) {
    return yield* wrongInput(`There is no configuration file ${file}`)
  }
  const app = file.endsWith(".json") ? yield* fromJson(file) : yield* fromModule(file)
  yield* checkDeclared(app, `The configuration file ${file}`)
  return Application.of({ app, base: path.dirname(file), file })
})

/** Loads what the application declares. */
export const layer = Layer.effect(Application, Effect.suspend(() => load))

const find = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (let directory = path.resolve(".");; directory = path.dirname(directory)) {
    for (const name of names) {
      const file = path.join(directory, name)
      if (yield* Effect.orElseSucceed(fs.exists(file), () => false)) return file
    }
    if (path.dirname(directory) === directory) return undefined
  }
})

const fromJson = (file: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const text = yield* fs.readFileString(file)
    const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(JsonConfig), { onExcessProperty: "error" })
    const { url, ...rest } = yield* decode(text)
    return App.make({ ...rest, ...(url === undefined ? {} : { url: Redacted.make(url) }) })
  }).pipe(
    Effect.mapError((error) => wrongInput(`The configuration file ${file} cannot be read: ${error.message}`))
  )

const fromModule = (file: string): Effect.Effect<App.App, Refused> =>
  Effect.gen(function*() {
    const module = yield* Effect.tryPromise({
      try: () => import(pathToFileURL(file).href) as Promise<{ readonly default?: unknown }>,
      catch: (cause) =>
        wrongInput(
          `The configuration file ${file} cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
          isOfTypes(cause)
            ? "Node 22.19 or newer runs TypeScript whose types can be erased, and imports by full file name"
            : placeOf(cause)
        )
    })
    if (App.isApp(module.default)) return module.default
    return yield* wrongInput(
      `The configuration file ${file} declares no application`,
      "it has to say: export default App.make({ ... })"
    )
  })

/** Whether Node refused what only TypeScript has, or a file that it does not take for a program. */
const isOfTypes = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause &&
  ["ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX", "ERR_UNKNOWN_FILE_EXTENSION"].includes(String(cause.code))

/** The line of a file of the application that threw, or that cannot be parsed, where the error tells. */
const placeOf = (cause: unknown): string | undefined => {
  const stack = cause instanceof Error ? cause.stack ?? "" : ""
  const found = /file:\/\/[^\s()]+?:\d+/.exec(stack.replace(/^.*\/node_modules\/.*$/gm, ""))
  return found === null
    ? undefined
    : `it is line ${/\d+$/.exec(found[0])![0]} of ${fileOf(found[0].replace(/:\d+$/, ""))}`
}

const fileOf = (url: string): string => {
  try {
    return fileURLToPath(url)
  } catch {
    return url
  }
}
