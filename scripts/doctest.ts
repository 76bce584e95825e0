/**
 * Examples that cannot rot: type-checks every `ts` block of the docstrings in `src/`, of `README.md` and of `docs/`, and
 * runs those of the README and of `docs/` that are marked `ts run`. A block is a module of its own.
 */
import { spawnSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, sep } from "node:path"

const root = join(import.meta.dirname, "..")
const temp = join(root, "temp", "doctest")

interface Block {
  readonly source: string
  readonly line: number // of the first line of code, from 1
  readonly code: string
  readonly run: boolean
}

const fence = /^(?<indent>[ \t]*(?:\* ?)?)```ts(?<run> run)?[ \t]*\n(?<code>[^]*?)^[ \t]*(?:\* ?)?```[ \t]*$/gm

const blocksOf = (source: string): ReadonlyArray<Block> => {
  const text = readFileSync(join(root, source), "utf8")
  return Array.from(text.matchAll(fence), (match) => {
    const isDocstring = source.endsWith(".ts")
    const code = match.groups?.["code"] ?? ""
    return {
      source,
      line: text.slice(0, match.index).split("\n").length + 1,
      code: isDocstring ? code.replaceAll(/^[ \t]*\* ?/gm, "") : code,
      run: !isDocstring && match.groups?.["run"] !== undefined
    }
  })
}

const fileOf = (block: Block) => `${block.source.replaceAll(/[\\/]/g, "__")}__${block.line}.ts`

/** Messages name the place in the source: a block stands on the same lines as there. */
const translate = (output: string) =>
  output.replaceAll(/(?:\S*[\\/])?([^\s\\/]+)__\d+\.ts(?=[(:])/g, (_, name: string) => name.replaceAll("__", "/"))

const node = (...args: ReadonlyArray<string>): boolean => {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" })
  if (status !== 0) console.error(translate(stdout + stderr))
  return status === 0
}

const blocks = globSync(["src/**/*.ts", "README.md", "docs/**/*.md"], { cwd: root })
  .map((file) => file.split(sep).join("/")).sort().flatMap(blocksOf)

rmSync(temp, { recursive: true, force: true })
mkdirSync(temp, { recursive: true })
for (const block of blocks) {
  writeFileSync(join(temp, fileOf(block)), `${"\n".repeat(block.line - 1)}${block.code}export {}\n`)
}
writeFileSync(
  join(temp, "tsconfig.json"),
  JSON.stringify({ extends: "../../tsconfig.json", compilerOptions: { noUnusedLocals: false }, include: ["*.ts"] })
)

const typed = blocks.length === 0 || node("node_modules/typescript/bin/tsc", "-p", temp)
const failed = typed
  ? blocks.filter((block) => block.run).filter((block) => !node("--conditions=source", join(temp, fileOf(block))))
  : []
for (const block of failed) console.error(`${block.source}:${block.line} failed when run`)
console.log(`${blocks.length} examples type-checked, ${blocks.filter((block) => block.run).length} to run`)
if (!typed || failed.length > 0) process.exitCode = 1
