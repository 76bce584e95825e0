import { Effect, Exit, FileSystem, Path } from "effect"
import { confirm } from "../frame/confirming.ts"
import { answerIsNo, wrongInput } from "../frame/refusal.ts"
import { namesOf } from "./scaffoldNames.ts"
import { packageJson, readText } from "./scaffoldPackage.ts"
import { ignored, readme, tsconfig } from "./scaffoldSettings.ts"
import { sources } from "./scaffoldSources.ts"

/** What becomes of a file of the project. */
export type Action = "written" | "overwritten" | "extended" | "kept" | "there already"

interface Planned {
  readonly path: string
  readonly before: string | undefined
  readonly after: string
  readonly action: Action
}

/** What a project is made of. */
export interface Project {
  readonly directory: string
  /** Its thing, which gives the category its name. */
  readonly thing: string
  /** Where this package comes from; `undefined` where that is found out. */
  readonly spec: string | undefined
  /** Whether sources that are there are overwritten; else they are kept. */
  readonly overwrite: boolean
  /** Whether that is done without asking. */
  readonly yes: boolean
}

/** Writes a project: all of its files, or none. What is there already is kept, unless somebody says otherwise. */
export const scaffold = (project: Project) =>
  Effect.gen(function*() {
    const planned = yield* plan(project)
    const overwritten = planned.filter(({ action }) => action === "overwritten").map(({ path }) => path)
    if (overwritten.length > 0) yield* confirm(`Overwrite ${overwritten.join(", ")}?`, project)
    yield* write(project.directory, planned)
    return planned.map(({ action, path }) => ({ path, action }))
  })

const plan = ({ directory, overwrite, spec, thing }: Project) =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    const fs = yield* FileSystem.FileSystem
    const info = yield* Effect.option(fs.stat(directory))
    if (info._tag === "Some" && info.value.type !== "Directory") {
      return yield* wrongInput(`${directory} is not a directory`)
    }
    const names = namesOf(thing)
    const title = titleOf(path.basename(directory))
    const read = (file: string) => readText(path.join(directory, file))
    const manifest = yield* packageJson(directory, { title, spec })
    const gitignore = yield* read(".gitignore")
    return [
      planned("package.json", manifest.before, manifest.after, "extended"),
      planned("tsconfig.json", yield* read("tsconfig.json"), tsconfig, "kept"),
      planned(".gitignore", gitignore, withLines(gitignore, ignored), "extended"),
      ...(yield* Effect.forEach(
        Object.entries(sources(names)),
        ([file, text]) =>
          Effect.map(read(file), (before) => planned(file, before, text, overwrite ? "overwritten" : "kept"))
      )),
      planned("README.md", yield* read("README.md"), readme(title, names), "kept")
    ]
  })

/** `otherwise` is what becomes of a file that is there and says something else. */
const planned = (path: string, before: string | undefined, after: string, otherwise: Action): Planned => ({
  path,
  before,
  after,
  action: before === undefined ? "written" : before === after ? "there already" : otherwise
})

/** Ends with all of the files written, or with none, whoever interrupts it. */
const write = (directory: string, files: ReadonlyArray<Planned>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const done: Array<Planned> = []
    const back = Effect.forEach(done, ({ before, path: file }) =>
      Effect.ignore(
        before === undefined
          ? fs.remove(path.join(directory, file))
          : fs.writeFileString(path.join(directory, file), before)
      ))
    yield* Effect.forEach(files, (planned) =>
      Effect.gen(function*() {
        if (planned.action === "kept" || planned.action === "there already") return
        const file = path.join(directory, planned.path)
        yield* fs.makeDirectory(path.dirname(file), { recursive: true })
        done.push(planned)
        yield* fs.writeFileString(file, planned.after)
      })).pipe(
        Effect.onExit((exit) => Exit.isFailure(exit) ? back : Effect.void),
        Effect.mapError((error) => answerIsNo(`The project cannot be written: ${error.message}`))
      )
  }).pipe(Effect.uninterruptible)

/** A text with these lines, behind those that it has. */
const withLines = (text: string | undefined, lines: ReadonlyArray<string>): string => {
  if (text === undefined) return `${lines.join("\n")}\n`
  const there = new Set(text.split(/\r?\n/).map((line) => line.trim().replace(/^\//, "").replace(/\/$/, "")))
  const missing = lines.filter((line) => !there.has(line.replace(/\/$/, "")))
  return missing.length === 0 ? text : `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${missing.join("\n")}\n`
}

/** A directory's name as that of a package. */
const titleOf = (name: string): string =>
  name.toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[._-]+|-+$/g, "") || "events"
