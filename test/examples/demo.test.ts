import { assert, describe, it } from "@effect/vitest"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import { escape, fit } from "../../examples/demo/escape.ts"
import { generate, history, oddNames } from "./generateHistory.ts"

const root = mkdtempSync(join(tmpdir(), "eventstore-demo-test-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

// the user's own configuration is not what is tested here
const env = {
  ...process.env,
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "Ann",
  GIT_AUTHOR_EMAIL: "ann@example.org",
  GIT_COMMITTER_NAME: "Ann",
  GIT_COMMITTER_EMAIL: "ann@example.org"
}

const arguments_ = ["--conditions=source", "--disable-warning=ExperimentalWarning", "examples/demo.ts"]

const demo = (...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [...arguments_, ...args], { encoding: "utf8", env })
  return { status, stderr, stdout }
}

const git = (repo: string, ...args: ReadonlyArray<string>) =>
  execFileSync("git", args, { cwd: repo, env, encoding: "utf8" })

const commit = (repo: string, files: Record<string, string>, subject = "More") => {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(repo, name), text)
  git(repo, "add", "--all")
  git(repo, "commit", "--quiet", "--allow-empty", "-m", subject)
}

const makeRepo = (name: string, ...options: ReadonlyArray<string>) => {
  const repo = join(root, name)
  mkdirSync(repo)
  git(repo, "init", "--quiet", "--initial-branch=main", ...options)
  return repo
}

const makeOdd = async (name: string, commits: number) => {
  const repo = join(root, name)
  await generate(repo, history(commits))
  return repo
}

/** All that the demo compares; a run is right when each of them is. */
const assertAgrees = ({ status, stderr, stdout }: ReturnType<typeof demo>) => {
  assert.strictEqual(stderr, "")
  const compared = [
    "the same result",
    "the read model",
    "commits",
    "(authors and their commits|the author of all commits)",
    "files with their contents",
    "files as of"
  ]
  for (const what of compared) assert.match(stdout, new RegExp(`^  ok  ${what}`, "m"), stdout)
  assert.lengthOf(stdout.match(/^ {2}ok {2}version \d+ agrees with the report/gm)!, 2)
  assert.notMatch(stdout, /^ {2}no {2}/m)
  assert.strictEqual(status, 0)
}

// a run takes seconds, most of them the embedded database's own start
describe("demo", { timeout: 120_000 }, () => {
  it("agrees with git about a history with everything odd in it", async () => {
    const repo = await makeOdd("odd", 400)
    const run = demo("--repo", repo, "--dir", join(root, "odd-store"))
    assertAgrees(run)
    assert.match(run.stdout, /Imported 400 commits\n {2}[\d,]+ events in .* [\d,]+ of them in their old shape/)
    assert.match(run.stdout, /renamed most: .* ← /)
    assert.match(run.stdout, /100 % {2}version 1 {2}400 events in/)
    assert.match(run.stdout, /100 % {2}version 2, beside it {2}[\d,]+ events in/)
    assert.match(run.stdout, /asked all the while: \d+ answers? by version 1, \d+ answers? by version 2$/m)
    assert.match(run.stdout, /back to version 1, asked, and forward again in/)
    assert.notMatch(run.stdout, /[^\P{C}\n]/u, "no colours and no control characters where there is no terminal")
  })

  it("stores nothing twice, and only what is new, in a second run", async () => {
    const repo = await makeOdd("again", 60)
    const dir = join(root, "again-store")
    const first = demo("--repo", repo, "--dir", dir)
    assertAgrees(first)
    const second = demo("--repo", repo, "--dir", dir)
    assertAgrees(second)
    assert.match(second.stdout, /Nothing new to import/)
    assert.match(second.stdout, /100 % {2}version 2 {2}0 events in/)
    assert.match(second.stdout, /100 % {2}version 3, beside it/)
    assert.strictEqual(digestOf(second), digestOf(first))
    git(repo, "checkout", "--quiet", "--force", "main")
    git(repo, "checkout", "--quiet", "-b", "topic", "HEAD~3")
    commit(repo, { topic: "1\n" })
    git(repo, "merge", "--quiet", "-m", "Merge", "-s", "ours", "main")
    git(repo, "checkout", "--quiet", "main")
    git(repo, "merge", "--quiet", "topic") // the main line is another one now: it goes through the topic
    const third = demo("--repo", repo, "--dir", dir)
    assertAgrees(third)
    assert.match(third.stdout, /Imported 2 commits\n {2}4 events/)
    assert.match(third.stdout, /100 % {2}version 3 {2}3 events in/)
  })

  it("goes on where a killed run stopped", async () => {
    const repo = await makeOdd("killed", 3000)
    const dir = join(root, "killed-store")
    const child = spawn(process.execPath, [...arguments_, "--repo", repo, "--dir", dir], { env })
    let output = ""
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (chunk) => {
        output += chunk
        if (output.includes(" 25 %")) child.kill("SIGKILL")
      })
      child.on("exit", () => resolve())
    })
    assert.notInclude(output, "Imported")
    const run = demo("--repo", repo, "--dir", dir)
    assertAgrees(run)
    const imported = Number(/Imported ([\d,]+) commits/.exec(run.stdout)![1]!.replace(",", ""))
    assert.isAbove(imported, 0)
    assert.isBelow(imported, 3000)
  })

  it("follows a history that was rewritten", () => {
    const repo = makeRepo("rewritten")
    commit(repo, { a: "1\n" })
    commit(repo, { b: "1\n" })
    commit(repo, { c: "1\n" })
    const dir = join(root, "rewritten-store")
    assertAgrees(demo("--repo", repo, "--dir", dir))
    git(repo, "reset", "--quiet", "--hard", "HEAD~1")
    git(repo, "reflog", "expire", "--expire=now", "--all")
    git(repo, "gc", "--quiet", "--prune=now")
    commit(repo, { d: "1\n" })
    const run = demo("--repo", repo, "--dir", dir)
    assertAgrees(run)
    assert.match(run.stdout, /Imported 1 commit$/m)
  })

  it("imports a commit that is larger than an append may be", () => {
    const repo = makeRepo("large")
    commit(repo, Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [`file-${i}`, `${i}\n`])))
    for (let i = 0; i < 2500; i++) renameSync(join(repo, `file-${i}`), join(repo, `moved-${i}`))
    commit(repo, {})
    const run = demo("--repo", repo)
    rmSync(/^store {4}(.*) \(PGlite\)$/m.exec(run.stdout)![1]!, { recursive: true })
    assertAgrees(run)
  })

  it("reads bare repositories, work trees, SHA-256, submodules, mailmaps and symbolic links", () => {
    const repo = makeRepo("modes", "--object-format=sha256")
    commit(repo, { a: "1\n", ".mailmap": "Other <other@example.org> <ann@example.org>\n" })
    git(repo, "update-index", "--add", "--cacheinfo", `160000,${"1".repeat(64)},module`)
    git(repo, "commit", "--quiet", "-m", "A submodule")
    git(repo, "update-index", "--chmod=+x", "a")
    git(repo, "commit", "--quiet", "-m", "Executable")
    git(repo, "update-index", "--cacheinfo", `120000,${git(repo, "hash-object", "-w", "a").trim()},a`)
    git(repo, "commit", "--quiet", "-m", "A link")
    assertAgrees(demo("--repo", repo, "--dir", join(root, "modes-store")))
    git(root, "clone", "--quiet", "--bare", repo, join(root, "bare"))
    assertAgrees(demo("--repo", join(root, "bare"), "--dir", join(root, "modes-store")))
    git(repo, "worktree", "add", "--quiet", "--detach", join(root, "worktree"))
    assertAgrees(demo("--repo", join(root, "worktree"), "--dir", join(root, "modes-store")))
  })

  it("says that a clone is shallow, and reads what is there", async () => {
    const repo = await makeOdd("deep", 40)
    git(root, "clone", "--quiet", "--depth", "5", `file://${repo}`, join(root, "shallow"))
    const run = demo("--repo", join(root, "shallow"), "--dir", join(root, "shallow-store"))
    assertAgrees(run)
    assert.match(run.stdout, /This is a shallow clone/)
  })

  it("says kindly that there is nothing to read", () => {
    const elsewhere = { ...demo("--repo", join(root, "nowhere")) }
    assert.match(elsewhere.stderr, /There is no directory .*nowhere/)
    assert.strictEqual(elsewhere.status, 1)
    mkdirSync(join(root, "plain"))
    assert.match(demo("--repo", join(root, "plain")).stderr, /plain has no git history/)
    assert.match(demo("--repo", makeRepo("empty")).stderr, /empty has no commits yet/)
    const repo = makeRepo("full")
    commit(repo, { a: "1\n" })
    const full = demo("--repo", repo, "--dir", repo)
    assert.match(full.stderr, /full is neither empty nor a store/)
    assert.strictEqual(full.status, 1)
  })

  it("ends with 1 where the read model and the log disagree", () => {
    const repo = makeRepo("tampered")
    commit(repo, { a: "1\n" })
    const dir = join(root, "tampered-store")
    assertAgrees(demo("--repo", repo, "--dir", dir))
    const script = `
      import { Effect } from "effect"
      import { PgliteEventStore } from "effect-eventstore"
      import { SqlClient } from "effect/sql"
      const tampered = SqlClient.SqlClient.use((sql) => sql\`DELETE FROM activity_v2.touches\`)
      await Effect.runPromise(tampered.pipe(Effect.provide(PgliteEventStore.layer({ dataDir: ${
      JSON.stringify(dir)
    } }))))`
    execFileSync(process.execPath, ["--conditions=source", "--input-type=module-typescript", "--eval", script])
    const run = demo("--repo", repo, "--dir", dir)
    assert.match(run.stdout, /^ {2}no {2}version 2 agrees with the report/m)
    // built anew, it is right
    assert.match(run.stdout, /^ {2}ok {2}version 3 agrees with the report/m)
    assert.strictEqual(run.status, 1)
  })

  it("ends with 1 where the log and git disagree", () => {
    const repo = makeRepo("wrong")
    commit(repo, { a: "1\n" })
    const dir = join(root, "wrong-store")
    assertAgrees(demo("--repo", repo, "--dir", dir))
    const script = `
      import { Effect } from "effect"
      import { EventStore, PgliteEventStore } from "effect-eventstore"
      import { FileDeleted, fileStream } from ${JSON.stringify(join(process.cwd(), "examples/demo/events.ts"))}
      const commit = ${JSON.stringify(git(repo, "rev-parse", "HEAD").trim())}
      const forged = EventStore.use((store) => store.append(fileStream("a"), [new FileDeleted({ commit, path: "a" })]))
      await Effect.runPromise(forged.pipe(Effect.provide(PgliteEventStore.layer({ dataDir: ${JSON.stringify(dir)} }))))`
    execFileSync(process.execPath, ["--conditions=source", "--input-type=module-typescript", "--eval", script])
    const run = demo("--repo", repo, "--dir", dir)
    assert.match(run.stdout, /^ {2}no {2}files with their contents +0, git says 1, and a as 100644/m)
    assert.strictEqual(run.status, 1)
  })
})

describe("escape", () => {
  it("keeps names apart, printable and recoverable", () => {
    const names = [...oddNames, "", "%_", "%", "%25", "%2525", "\u00e9", "\u0080", "\u00ff", "\u0000"]
    const escaped = names.map(escape)
    assert.strictEqual(new Set(escaped).size, names.length)
    for (const [i, text] of escaped.entries()) {
      assert.notMatch(text, /[\p{C}\p{Zl}\p{Zp}]/u)
      const bytes = text === "%_" ?
        "" :
        Buffer.from(text).toString("latin1").replace(/%(..)/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)))
      assert.strictEqual(bytes, names[i])
    }
  })

  it("cuts what is too long without making two names one", () => {
    const long = "\u{1f680}".repeat(600)
    assert.strictEqual(fit("short", 10), "short")
    for (const length of [100, 101]) {
      assert.isAtMost(fit(long, length).length, length)
      assert.isTrue(fit(long, length).isWellFormed())
      assert.notStrictEqual(fit(long, length), fit(`${long}x`, length))
      assert.include(fit(long, length), createHash("sha256").update(long).digest("hex"))
    }
  })
})

const digestOf = ({ stdout }: ReturnType<typeof demo>) => /the same result +(\w+)/.exec(stdout)![1]
