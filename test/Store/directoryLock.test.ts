import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { lockDirectory } from "../../src/Store/internal/directoryLock.ts"
import * as Child from "../support/child.ts"

const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "eventstore-lock-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const lockFile = (path: string) => join(path, "eventstore.lock")

/** Tells a worker something, and waits for its answer. */
const ask = (child: Child.Child, message: string) =>
  Effect.promise(async () => {
    const answers = child.lines.length
    child.say(message)
    await child.hasWritten(answers + 1)
    return child.lines[answers]!
  })

/** A directory whose lock a process left behind when it was killed. */
const abandoned = Effect.gen(function*() {
  const path = yield* directory
  const worker = yield* Child.start("lockWorker.ts")
  assert.strictEqual(yield* ask(worker, `lock ${path}`), "locked")
  yield* Effect.promise(() => worker.kill())
  assert.isTrue(existsSync(lockFile(path)))
  return { path, pid: worker.pid }
})

const isFree = (path: string) =>
  Effect.map(Effect.exit(Effect.scoped(lockDirectory(path))), (exit) => exit._tag === "Success")

describe("the lock of a directory", () => {
  it.live("lets one process in, names it to the next, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const path = join(yield* directory, "deeper", "still")
      const [first, second] = yield* Effect.all([Child.start("lockWorker.ts"), Child.start("lockWorker.ts")])
      assert.strictEqual(yield* ask(first, `lock ${path}`), "locked")
      assert.include(yield* ask(second, `lock ${path}`), `in use by process ${first.pid}:`)
      // nor twice into the same process
      assert.include(yield* ask(first, `lock ${path}`), `in use by process ${first.pid}:`)
      yield* ask(first, "unlock")
      assert.strictEqual(yield* ask(second, `lock ${path}`), "locked")
      yield* ask(second, "unlock")
      assert.deepStrictEqual(readdirSync(path), [])
    }))

  it.live("is free again after kill -9", () =>
    Effect.gen(function*() {
      const { path } = yield* abandoned
      yield* Effect.scoped(Effect.andThen(
        lockDirectory(path),
        Effect.sync(() => assert.include(readFileSync(lockFile(path), "utf8"), String(process.pid)))
      ))
      assert.deepStrictEqual(readdirSync(path), [])
    }))

  it.live("is free again after kill -9, though nobody reaps the process", () =>
    Effect.gen(function*() {
      const path = yield* directory
      // the parent of the worker becomes a program that never asks for its children, as process 1 of many a container
      const shell = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn("/bin/sh", [
            "-c",
            "mkfifo \"$2/in\"; \"$0\" --conditions=source \"$1\" < \"$2/in\" & echo $!; exec 3> \"$2/in\"; echo \"lock $2\" >&3; exec sleep 600",
            process.execPath,
            join(import.meta.dirname, "../support/lockWorker.ts"),
            path
          ], { stdio: ["ignore", "pipe", "inherit"] })
        ),
        (shell) => Effect.sync(() => shell.kill("SIGKILL"))
      )
      const lines = createInterface(shell.stdout)[Symbol.asyncIterator]()
      const line = Effect.promise(async () => (await lines.next()).value as string)
      const pid = Number(yield* line)
      assert.strictEqual(yield* line, "locked")
      process.kill(pid, "SIGKILL")
      yield* Effect.promise(async () => {
        while (process.platform === "linux" && !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")) {
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
      })
      assert.isTrue(process.kill(pid, 0)) // it still has its number
      assert.isTrue(yield* isFree(path))
    }))

  it.live("counts for nothing where its process id belongs to a later process", () =>
    Effect.gen(function*() {
      const { path } = yield* abandoned
      const owner = JSON.parse(readFileSync(lockFile(path), "utf8"))
      writeFileSync(lockFile(path), JSON.stringify({ ...owner, pid: process.pid }))
      if (process.platform === "linux") assert.isTrue(yield* isFree(path))
      // without a start time, as where the system does not tell, who lives is the owner
      const { started: _, ...unknown } = owner
      writeFileSync(lockFile(path), JSON.stringify({ ...unknown, pid: process.pid }))
      assert.isFalse(yield* isFree(path))
    }))

  it.live("counts for nothing where nobody can tell whose it is", () =>
    Effect.gen(function*() {
      const path = yield* directory
      for (
        const content of [
          "",
          "garbage",
          "{}",
          "null",
          "[]",
          "5",
          "\"x\"",
          "{\"pid\":",
          "{\"pid\":0}",
          "{\"pid\":-1}",
          "{\"pid\":\"1\"}",
          "\0\0"
        ]
      ) {
        writeFileSync(lockFile(path), content)
        assert.isTrue(yield* isFree(path), JSON.stringify(content))
        assert.deepStrictEqual(readdirSync(path), [])
      }
    }))

  it.live("goes to exactly one of several processes that find a dead one's", () =>
    Effect.gen(function*() {
      const { path } = yield* abandoned
      const dead = JSON.parse(readFileSync(lockFile(path), "utf8"))
      const workers = yield* Effect.all(Array.from({ length: 6 }, () => Child.start("lockWorker.ts")))
      for (let round = 0; round < 100; round++) {
        writeFileSync(lockFile(path), JSON.stringify({ ...dead, id: `dead ${round}` }))
        const answers = yield* Effect.forEach(workers, (worker) => ask(worker, `lock ${path}`), {
          concurrency: "unbounded"
        })
        assert.strictEqual(answers.filter((answer) => answer === "locked").length, 1, answers.join("\n"))
        const winner = workers[answers.indexOf("locked")]!
        assert.strictEqual(JSON.parse(readFileSync(lockFile(path), "utf8")).pid, winner.pid)
        for (const answer of answers) if (answer !== "locked") assert.include(answer, "in use by process")
        yield* ask(winner, "unlock")
        assert.deepStrictEqual(readdirSync(path), [])
      }
    }))

  it.live("refuses a directory that cannot be used, and says why", () =>
    Effect.gen(function*() {
      const file = join(yield* directory, "file")
      writeFileSync(file, "")
      const error = yield* Effect.flip(Effect.scoped(lockDirectory(join(file, "below"))))
      assert.strictEqual(error._tag, "UnsupportedDatabase")
      assert.include(error.message, file)
    }))
})
