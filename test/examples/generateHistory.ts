/**
 * Makes a git repository with a history of any length and everything that is odd about histories: names of any bytes,
 * binary files, renames, merges of two, three and unrelated parents, empty commits, authors without an address.
 *
 * By itself: `node --conditions=source test/examples/generateHistory.ts <directory> <commits>`.
 */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"

/** Names as bytes, one character a byte: what is beyond ASCII is written with {@link utf8}. */
const utf8 = (text: string) => Buffer.from(text).toString("latin1")

export const oddNames: ReadonlyArray<string> = [
  "with space",
  " leading and trailing ",
  "quo\"te and 'another'",
  "new\nline",
  "tab\tinside",
  "\tleading tab",
  "-rf",
  "--help",
  ":(glob)*",
  "back\\slash",
  "bell\u0007 and escape \u001b[31m",
  "\u00ff\u00fe not UTF-8",
  "\u00c3 cut short",
  utf8("é composed"),
  utf8("e\u0301 decomposed"),
  utf8("日本語/ファイル.txt"),
  utf8("🚀"),
  utf8("\u202egnp.exe"),
  utf8("no\u00a0break\u2028line"),
  "percent %41",
  "percent A",
  "100%",
  "__proto__",
  "constructor/toString",
  `${"deep/".repeat(60)}${"long-".repeat(45)}one`,
  `${"deep/".repeat(60)}${"long-".repeat(45)}two`,
  utf8(`${"長い/".repeat(120)}end`)
]

const oddAuthors: ReadonlyArray<string> = [
  "Ann <ann@example.org>",
  "Ann Other-Name <ann@example.org>",
  "ANN <ANN@EXAMPLE.ORG>",
  "Bob <>",
  "Robot <>",
  `${utf8("Zoë 🚀")} <${utf8("zoë@example.org")}>`,
  "L\u00e4tin <l\u00e4tin@example.org>",
  "Space <with space@example.org>",
  "Dash <-->",
  `Long <${"l".repeat(600)}@example.org>`,
  "Tab\there <tab@example.org>"
]

/** Writes the commands for `git fast-import`; the same for the same number of commits. */
export function* history(commits: number): Generator<Buffer> {
  let seed = 42
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return Math.floor(seed / 0x80000000 * below)
  }
  const pick = <A>(from: ReadonlyArray<A>): A => from[random(from.length)]!
  const quote = (path: string) =>
    `"${path.replace(/[^a-zA-Z0-9/._-]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`)}"`
  const data = (text: string) => `data ${text.length}\n${text}\n`
  const files: Array<string> = []
  let mark = 0
  let changes = 0
  let time = 1_500_000_000

  const commit = (branch: string, parents: ReadonlyArray<number>, subject: string, operations: string) => {
    time += random(3600) - 60 // clocks step back at times
    const author = mark < oddAuthors.length ? oddAuthors[mark]! : pick(oddAuthors)
    const [from, ...merged] = parents
    return Buffer.from(
      `commit refs/heads/${branch}\nmark :${++mark}\nauthor ${author} ${time} +0200\n` +
        `committer Committer <committer@example.org> ${time} +0000\n${data(subject)}` +
        (from === undefined ? "" : `from :${from}\n`) + merged.map((parent) => `merge :${parent}\n`).join("") +
        `${operations}\n`,
      "latin1"
    )
  }
  const write = (path: string) => {
    const lines = Array.from({ length: 3 + random(20) }, () => `line ${random(1000)} of ${path.length}\n`).join("")
    const content = random(12) === 0 ? `\u0000\u0001${lines}\u00ff` : lines
    return `M ${random(40) === 0 ? "100755" : "100644"} inline ${quote(path)}\n${data(content)}`
  }
  const change = () => {
    const kind = random(20)
    changes++
    if (files.length < 30 || kind < 5) {
      const path = files.length < oddNames.length
        ? oddNames[files.length]!
        : `src/${pick(["a", "b", "c"])}/file ${changes}.ts`
      files.push(path)
      return write(path)
    }
    // the odd names stay longer than others
    const at = Math.max(random(Math.min(files.length, 400)), random(10) === 0 ? 0 : random(oddNames.length + 1))
    const path = files[at]!
    if (kind === 5) {
      files.splice(at, 1)
      return `D ${quote(path)}\n`
    }
    if (kind <= 7) {
      files[at] = `moved ${random(2) === 0 ? "here" : "there"}/${changes}`
      return `R ${quote(path)} ${quote(files[at])}\n`
    }
    return write(path)
  }

  yield commit("main", [], "First\n\nwith a body", write("README.md"))
  let head = mark
  while (mark < commits) {
    const step = random(30)
    if (step === 0 && mark + 4 < commits) {
      const base = head
      const path = `side/${mark}`
      const text = write(path)
      yield commit(`side`, [base], "On a side branch", text)
      yield commit(`side`, [mark], "Twice", write(`${path} second`))
      const side = mark
      if (random(2) === 0) {
        yield commit("main", [base], "Meanwhile", change())
        head = mark
      }
      // what git would have merged; every third merge takes nothing over
      yield commit("main", [head, side], "Merge", random(3) === 0 ? "" : text)
    } else if (step === 1 && mark + 4 < commits) {
      const text = write(`octopus/${mark}`)
      yield commit("left", [head], "Left", text)
      const left = mark
      yield commit("right", [], "A root of its own", write(`root/${mark}`))
      yield commit("main", [head, left, mark], "Octopus", text)
    } else if (step === 2) yield commit("main", [head], "Nothing", "")
    else {
      const operations = Array.from({ length: 1 + random(4) }, change).join("")
      yield commit("main", [head], `Change ${mark} with \u001b[31mcolour`, operations)
    }
    head = mark
  }
}

export const generate = async (directory: string, commands: Iterable<Buffer>): Promise<void> => {
  spawnSync("git", ["init", "--quiet", "--initial-branch=main", directory])
  const git = spawn("git", ["fast-import", "--quiet", "--force"], {
    cwd: directory,
    stdio: ["pipe", "inherit", "inherit"]
  })
  const end = once(git, "exit")
  for (const command of commands) if (!git.stdin.write(command)) await once(git.stdin, "drain")
  git.stdin.end()
  const [code] = await end
  if (code !== 0) throw new Error(`git fast-import ended with ${code}`)
}

if (import.meta.main) {
  const [directory, commits] = process.argv.slice(2)
  await generate(directory!, history(Number(commits)))
}
