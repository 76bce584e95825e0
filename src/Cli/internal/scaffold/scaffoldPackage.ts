import { Effect, FileSystem, Path, Schema } from "effect"
import { ownPackage } from "../frame/ownPackage.ts"
import { type Refused, wrongInput } from "../frame/refusal.ts"

const Versions = Schema.Record(Schema.String, Schema.String)

/** Of a package.json what is looked at; all the rest of it stays as it is. */
const PackageJson = Schema.StructWithRest(
  Schema.Struct({
    type: Schema.optionalKey(Schema.String),
    scripts: Schema.optionalKey(Versions),
    dependencies: Schema.optionalKey(Versions),
    devDependencies: Schema.optionalKey(Versions),
    peerDependencies: Schema.optionalKey(Versions),
    optionalDependencies: Schema.optionalKey(Versions)
  }),
  [Schema.Record(Schema.String, Schema.Json)]
)

type PackageJson = typeof PackageJson.Type

const scripts = { start: "node src/main.ts", test: "vitest run", types: "tsc" }

/** What npm writes where nobody wrote a test. */
const placeholder = "echo \"Error: no test specified\" && exit 1"

const needed = ["@effect/platform-node", "@effect/sql-pg", "@electric-sql/pglite", "effect"]

const neededToDevelop = ["@effect/vitest", "@types/node", "typescript", "vitest"]

/** A package.json with all that a new project needs: the one that is there, and what it lacks. */
export const packageJson = (directory: string, options: {
  readonly title: string
  /** Where this package comes from; `undefined` where that is found out. */
  readonly spec: string | undefined
}): Effect.Effect<
  { readonly before: string | undefined; readonly after: string },
  Refused,
  FileSystem.FileSystem | Path.Path
> =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    const file = path.join(directory, "package.json")
    const before = yield* readText(file)
    const own = yield* ownPackage
    const found: PackageJson = before === undefined
      ? { name: options.title, version: "0.1.0", private: true }
      : yield* parse(file, before)
    if (found.type !== undefined && found.type !== "module") {
      return yield* wrongInput(
        `${file} says "type": "${found.type}", and the files of the project are ES modules`,
        "npm pkg set type=module changes that; or take another directory"
      )
    }
    const there = {
      ...found.optionalDependencies,
      ...found.peerDependencies,
      ...found.devDependencies,
      ...found.dependencies
    }
    const missing = (versions: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(versions).filter(([name]) => there[name] === undefined))
    const test = found.scripts?.["test"]
    const after: PackageJson = {
      ...found,
      type: "module",
      scripts: { ...scripts, ...found.scripts, ...(test === placeholder ? { test: scripts.test } : {}) },
      dependencies: {
        ...found.dependencies,
        ...missing({
          ...versionsOf(needed, own.peerDependencies),
          [own.name]: yield* inheritedSpec(directory, own.name, `^${own.version}`)
        }),
        ...(options.spec === undefined ? {} : { [own.name]: options.spec })
      },
      devDependencies: {
        ...found.devDependencies,
        ...missing(versionsOf(neededToDevelop, { ...own.devDependencies, ...own.peerDependencies }))
      }
    }
    return { before, after: print(after, before) }
  })

const versionsOf = (names: ReadonlyArray<string>, versions: Readonly<Record<string, string>>) =>
  Object.fromEntries(names.map((name) => {
    const version = versions[name]!
    return [name, /^\d/.test(version) ? `^${version}` : version]
  }))

/** Where a project above the directory has the package from: a file of it is named from the new directory then. */
const inheritedSpec = (directory: string, name: string, otherwise: string) =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    for (let above = path.dirname(directory);; above = path.dirname(above)) {
      const file = path.join(above, "package.json")
      const text = yield* readText(file)
      const found = text === undefined ? undefined : yield* Effect.orElseSucceed(parse(file, text), () => undefined)
      const spec = found?.dependencies?.[name] ?? found?.devDependencies?.[name]
      if (spec !== undefined) {
        return spec.startsWith("file:")
          ? `file:${path.relative(directory, path.resolve(above, spec.slice("file:".length)))}`
          : spec
      }
      if (path.dirname(above) === above) return otherwise
    }
  })

/** Checked, and not decoded: that would put its keys in another order. */
const parse = (file: string, text: string): Effect.Effect<PackageJson, Refused> =>
  Effect.suspend(() => {
    try {
      const value: unknown = JSON.parse(text)
      if (Schema.is(PackageJson)(value)) return Effect.succeed(value)
      return wrongInput(`${file} cannot be read: it is no package.json`)
    } catch (cause) {
      return wrongInput(`${file} cannot be read: ${String(cause)}`)
    }
  })

/** As it was indented before; new keys at the end, as npm adds them. */
const print = (value: PackageJson, before: string | undefined): string => {
  const indent = before === undefined ? "  " : /^[ \t]+(?=")/m.exec(before)?.[0] ?? "  "
  const end = before === undefined || before.endsWith("\n") ? "\n" : ""
  const { dependencies, devDependencies, ...rest } = value
  const sorted = before === undefined
    ? { ...rest, dependencies: byName(dependencies), devDependencies: byName(devDependencies) }
    : value
  return JSON.stringify(sorted, null, indent) + end
}

const byName = (versions: Readonly<Record<string, string>> = {}) =>
  Object.fromEntries(Object.entries(versions).sort(([a], [b]) => a < b ? -1 : 1))

/** The text of a file, `undefined` where there is none. */
export const readText = (file: string): Effect.Effect<string | undefined, Refused, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    fs.readFileString(file).pipe(
      Effect.catchIf(
        (error) => error.reason._tag === "NotFound",
        () => Effect.undefined
      ),
      Effect.mapError((error) => wrongInput(`${file} cannot be read: ${error.message}`))
    ))
