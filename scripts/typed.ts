/**
 * Pages that somebody types in: runs the `sh run` blocks of a page one after the other, in a new project that has the package
 * installed, and compares what they print with the `text` block that follows. `sh run 1` has to end with exit code 1. A block
 * that is named for a file, as in ```` ```ts src/main.ts ````, is written there. Blocks of `sh` alone are only read.
 *
 * What is different each time is compared by its shape (`shapeOf`). With UPDATE_EXAMPLES=1 what is printed becomes what the
 * page says.
 */
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { environment, install, pack } from "../test/support/installed.ts"

const root = join(import.meta.dirname, "..")

const isUpdated = process.env["UPDATE_EXAMPLES"] === "1"

/** What stands on a page for what is another one each time: the directory of the project, and a database. */
const home = "/home/anna"
const database = "postgres://anna:secret@localhost:5432/shop"

/** A database without who it is that asks. */
const placeOf = (url: string) => url.replace(/^.*@/, "")

const fence = /^```(?<language>\w+)(?: (?<info>[^\n]+))?\n(?<code>[^]*?)^```$(?:\s*^```text\n(?<prints>[^]*?)^```$)?/gm

const opening = "```text\n"

const isFile = /^[\w./-]+\.\w+$/

/** Whether a page has anything to be typed in. */
export const isTyped = (page: string): boolean => /^```sh run/m.test(readFileSync(join(root, page), "utf8"))

/** Times, ids, lengths of time, sizes, rates and runs of blanks, without what is different each time. */
export const shapeOf = (text: string): string =>
  text
    .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z| UTC)?/g, "<time>")
    .replaceAll(/\d{4}-\d\d-\d\d/g, "<date>")
    .replaceAll(/\b\d\d:\d\d:\d\d(\.\d+)?/g, "<time>")
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<id>")
    .replaceAll(/\b[0-9a-f]{16,}\b/g, "<hash>")
    .replaceAll(/\b[\d,]+(\.\d+)? ?(bytes|[kMG]i?B|B)\b/g, "<size>")
    .replaceAll(/\b[\d,]+(\.\d+)?\/(s|day)\b/g, "<rate>")
    .replaceAll(/\b\d+(\.\d+)? ?(ms|s|min|h|seconds?|minutes?)\b/g, "<length>")
    .replaceAll(/[ \t]+/g, " ")
    .replaceAll(/ +$/gm, "")
    .trim()

/** Runs pages; answers what is wrong with them. `database` makes one for those that use one. */
export const runPages = async (
  pages: ReadonlyArray<string>,
  options: { readonly database: () => Promise<string> }
): Promise<ReadonlyArray<string>> => {
  if (pages.length === 0) return []
  const temp = mkdtempSync(join(tmpdir(), "eventstore-pages-"))
  try {
    const tarball = pack(temp)
    const problems = await Promise.all(pages.map(async (page) => {
      const project = join(temp, page.replaceAll(/\W/g, "-"), "shop")
      mkdirSync(project, { recursive: true })
      install(project, tarball)
      const text = readFileSync(join(root, page), "utf8")
      const url = text.includes(database) ? await options.database() : undefined
      return runPage(page, project, { url, compiled: join(temp, "compiled") })
    }))
    return problems.flat()
  } finally {
    rmSync(temp, { recursive: true, force: true })
  }
}

const runPage = async (page: string, project: string, { compiled, url }: {
  readonly url: string | undefined
  readonly compiled: string
}): Promise<ReadonlyArray<string>> => {
  const text = readFileSync(join(root, page), "utf8")
  const problems: Array<string> = []
  const state = join(dirname(project), "state") // what a shell keeps from one block to the next
  writeFileSync(state, `cd ${project}\n`)
  /** What the page says, and what that is here. */
  const places: Array<readonly [onPage: string, here: string]> = [[home, dirname(project)]]
  if (url !== undefined) {
    const { host, pathname } = new URL(url)
    places.push([database, url], [placeOf(database), `${host}${pathname}`])
  }
  const toHere = (code: string) => places.reduce((code, [onPage, here]) => code.replaceAll(onPage, here), code)
  const toPage = (printed: string) => places.reduce((text, [onPage, here]) => text.replaceAll(here, onPage), printed)

  const run = async (code: string) => {
    // what was compiled once need not be again
    const env = { ...environment, NODE_COMPILE_CACHE: compiled }
    const { reason, status, stderr, stdout } = await bash(script(state, toHere(code)), env)
    return { status, reason, stdout: toPage(stdout), stderr: toPage(stderr) }
  }

  let updated = text
  for (const match of text.matchAll(fence)) {
    const { code = "", info = "", language, prints } = match.groups!
    if (isFile.test(info)) {
      mkdirSync(dirname(join(project, info)), { recursive: true })
      writeFileSync(join(project, info), code)
    }
    const wanted = language === "sh" ? /^run(?: (?<code>\d+))?$/.exec(info) : null
    if (wanted === null) continue
    const line = text.slice(0, match.index).split("\n").length
    const exitCode = Number(wanted.groups?.["code"] ?? 0)
    const { reason, status, stderr, stdout } = await run(code)
    const printed = status === 0 ? stdout : stdout + stderr
    if (status !== exitCode) {
      const end = reason === undefined ? `ended with ${status} and not with ${exitCode}` : `was stopped: ${reason}`
      problems.push(`${page}:${line} ${end}\n${stdout.slice(0, mostShown)}${stderr.slice(0, mostShown)}`)
    } else if (prints !== undefined && shapeOf(printed) !== shapeOf(prints)) {
      const [block] = match
      const fresh = `${block.slice(0, block.lastIndexOf(opening) + opening.length)}${printed.trimEnd()}\n\`\`\``
      if (isUpdated) updated = updated.replace(block, () => fresh)
      else problems.push(`${page}:${line} prints\n${printed}and not\n${prints}`)
    }
  }
  if (updated !== text) writeFileSync(join(root, page), updated)
  return problems
}

interface Ended {
  readonly status: number | null
  /** Why it has no status. */
  readonly reason: string | undefined
  readonly stdout: string
  readonly stderr: string
}

/** Time for a block, and how much it may print: it is read by people. */
const mostSeconds = 120
const mostPrinted = 1024 * 1024
const mostShown = 10_000

const bash = (script: string, env: Readonly<Record<string, string>>) =>
  new Promise<Ended>((resolve, reject) => {
    // with a group of its own: what it started ends with it
    const child = spawn("bash", ["-c", script], { env, stdio: ["ignore", "pipe", "pipe"], detached: true })
    let reason: string | undefined
    const kill = (why: string) => {
      reason ??= why
      try {
        process.kill(-child.pid!, "SIGKILL")
      } catch {
        // it is gone already
      }
    }
    const timer = setTimeout(() => kill(`it took more than ${mostSeconds} seconds`), mostSeconds * 1000)
    // which does not reach another group
    const interrupt = () => {
      kill("it was interrupted")
      process.exit(130)
    }
    process.once("SIGINT", interrupt)
    const settle = () => {
      clearTimeout(timer)
      process.off("SIGINT", interrupt)
    }
    let stdout = ""
    let stderr = ""
    const note = (printed: string) => {
      if (printed.length > mostPrinted) kill(`it printed more than ${mostPrinted} characters`)
      return printed
    }
    child.stdout.setEncoding("utf8").on("data", (text) => stdout = note(stdout + text))
    child.stderr.setEncoding("utf8").on("data", (text) => stderr = note(stderr + text))
    child.on("error", (error) => {
      settle()
      reject(error)
    })
    child.on("close", (status, signal) => {
      settle()
      resolve({ status, reason: reason ?? (signal === null ? undefined : `it was ended by ${signal}`), stdout, stderr })
    })
  })

/** A block goes on where the one before it ended: in its directory, with its environment. */
const script = (state: string, code: string) => `
source ${state}
npx() { "$(npm_root)/node_modules/.bin/$1" "\${@:2}"; }
npm_root() { local at="$PWD"; while [ ! -e "$at/node_modules" ]; do at=$(dirname "$at"); done; echo "$at"; }
set -e -o pipefail
finish() { { export -p; echo "cd $PWD"; } > ${state}; }
trap finish EXIT
${code}`
