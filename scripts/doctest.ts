/**
 * Examples that cannot rot: type-checks every `ts` block of the docstrings in `src/`, of `README.md` and of `docs/`, and
 * runs those of the README and of `docs/` that are marked `ts run`. A block is a module of its own. Where a `text` block follows
 * one that is run, that is what it has to print. Pages that have `sh run` blocks are typed in (see `typed.ts`).
 *
 * With paths of files it looks at these alone.
 */
import { Effect, Exit, Scope } from "effect"
import { spawnSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, sep } from "node:path"
import * as PostgresServer from "../test/support/PostgresServer.ts"
import { isTyped, runPages } from "./typed.ts"

const root = join(import.meta.dirname, "..")
const temp = join(root, "temp", "doctest")

interface Block {
  readonly source: string
  readonly line: number // of the first line of code, from 1
  readonly code: string
  readonly run: boolean
  /** What it has to print, where that is said. */
  readonly prints: string | undefined
}

const fence = /^(?<indent>[ \t]*(?:\* ?)?)```ts(?<run> run)?[ \t]*\n(?<code>[^]*?)^[ \t]*(?:\* ?)?```[ \t]*$/gm
const output = /\s*```text\n(?<text>[^]*?)^```$/my

const blocksOf = (source: string): ReadonlyArray<Block> => {
  const text = readFileSync(join(root, source), "utf8")
  return Array.from(text.matchAll(fence), (match) => {
    const isDocstring = source.endsWith(".ts")
    const code = match.groups?.["code"] ?? ""
    output.lastIndex = match.index + match[0].length
    return {
      source,
      line: text.slice(0, match.index).split("\n").length + 1,
      code: isDocstring ? code.replaceAll(/^[ \t]*\* ?/gm, "") : code,
      run: !isDocstring && match.groups?.["run"] !== undefined,
      prints: output.exec(text)?.groups?.["text"]
    }
  })
}

const fileOf = (block: Block) => `${block.source.replaceAll(/[\\/]/g, "__")}__${block.line}.ts`

/** Messages name the place in the source: a block stands on the same lines as there. */
const translate = (output: string) =>
  output.replaceAll(/(?:\S*[\\/])?([^\s\\/]+)__\d+\.ts(?=[(:])/g, (_, name: string) => name.replaceAll("__", "/"))

/** What it printed; `undefined` where it failed. */
const node = (...args: ReadonlyArray<string>): string | undefined => {
  const env = { ...process.env, FORCE_COLOR: "0" } // what is printed is compared
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8", env })
  if (status === 0) return stdout
  console.error(translate(stdout + stderr))
  return undefined
}

const isRight = (block: Block): boolean => {
  const printed = node("--conditions=source", join(temp, fileOf(block)))
  if (printed === undefined || block.prints === undefined || printed === block.prints) return printed !== undefined
  console.error(`${block.source}:${block.line} prints\n${printed}and not\n${block.prints}`)
  return false
}

const wanted = process.argv.slice(2)
const known = globSync(["src/**/*.ts", "README.md", "docs/**/*.md"], { cwd: root })
  .map((file) => file.split(sep).join("/")).sort()
const unknown = wanted.filter((file) => !known.includes(file))
if (unknown.length > 0) {
  console.error(`Not among the files with examples, by their paths from ${root}: ${unknown.join(", ")}`)
  process.exit(1)
}
const files = known.filter((file) => wanted.length === 0 || wanted.includes(file))
const blocks = files.flatMap(blocksOf)

rmSync(temp, { recursive: true, force: true })
mkdirSync(temp, { recursive: true })
for (const block of blocks) {
  writeFileSync(join(temp, fileOf(block)), `${"\n".repeat(block.line - 1)}${block.code}export {}\n`)
}
writeFileSync(
  join(temp, "tsconfig.json"),
  JSON.stringify({ extends: "../../tsconfig.json", compilerOptions: { noUnusedLocals: false }, include: ["*.ts"] })
)

const typed = blocks.length === 0 || node("node_modules/typescript/bin/tsc", "-p", temp) !== undefined
const failed = typed ? blocks.filter((block) => block.run && !isRight(block)) : []
for (const block of failed) console.error(`${block.source}:${block.line} failed when run`)
const scope = Scope.makeUnsafe()
const pages = files.filter((file) => file.endsWith(".md") && isTyped(file))
// as it should be: `doctor` looks at it
const server = () =>
  Effect.runPromise(Scope.provide(PostgresServer.make({ fsync: true, settings: { full_page_writes: "on" } }), scope))
let started: ReturnType<typeof server> | undefined
let problems: ReadonlyArray<string>
try {
  const database = async () => Effect.runPromise((await (started ??= server())).createDatabase)
  problems = await runPages(pages, { database })
} finally {
  await Effect.runPromise(Scope.close(scope, Exit.void))
}
for (const problem of problems) console.error(problem)

const run = blocks.filter((block) => block.run).length
console.log(`${blocks.length} examples type-checked, ${run} to run, ${pages.length} pages typed in`)
if (!typed || failed.length > 0 || problems.length > 0) process.exitCode = 1
