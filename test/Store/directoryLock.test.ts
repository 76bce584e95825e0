import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { spawn, spawnSync } from "node:child_process"
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { hostname, tmpdir } from "node:os"
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

/** A lock as a process writes it whose process ids mean nothing here; `silence`: how long it gave no sign of life, in ms. */
const writeForeign = (path: string, silence: number, place: object = { pids: "pid:[1]" }) => {
  const lock = { pid: process.pid, host: hostname(), boot: "another", started: "1", id: `${Math.random()}`, ...place }
  writeFileSync(lockFile(path), JSON.stringify(lock))
  age(path, silence)
}

const age = (path: string, silence: number) => {
  const then = new Date(Date.now() - silence)
  utimesSync(lockFile(path), then, then)
}

const sleep = (ms: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, ms)))

/** Runs a worker in a pid namespace of its own, and tells it to lock; its answer. */
const lockInNamespace = (path: string, ...flags: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn("unshare", [
          "-Urpf",
          "--kill-child",
          ...flags,
          process.execPath,
          "--conditions=source",
          join(import.meta.dirname, "../support/lockWorker.ts")
        ], { stdio: ["pipe", "pipe", "inherit"] })
      ),
      (worker) =>
        Effect.promise(() =>
          new Promise<void>((resolve) => {
            worker.on("exit", () => resolve())
            if (!worker.kill("SIGKILL")) resolve()
          })
        )
    )
    const lines = createInterface(worker.stdout)[Symbol.asyncIterator]()
    worker.stdin.write(`lock ${path}\n`)
    return yield* Effect.promise(async () => (await lines.next()).value as string)
  })

const hasNamespaces = process.platform === "linux" && spawnSync("unshare", ["-Urpf", "true"]).status === 0

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
        // every other time the one who was to replace it died as well
        if (round % 2 === 1) {
          writeFileSync(`${lockFile(path)}.takeover`, JSON.stringify({ ...dead, id: `heir ${round}` }))
        }
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
    }), 90_000)

  it.live("goes to exactly one of several layers of a process that find a dead one's", () =>
    Effect.gen(function*() {
      const { path } = yield* abandoned
      const dead = JSON.parse(readFileSync(lockFile(path), "utf8"))
      for (let round = 0; round < 300; round++) {
        // as many before it died as well while they replaced each other
        for (const name of ["", ".takeover", ".takeover.takeover"].slice(0, 1 + round % 3)) {
          writeFileSync(`${lockFile(path)}${name}`, JSON.stringify({ ...dead, id: `${name} ${round}` }))
        }
        const scopes = Array.from({ length: 6 }, () => Scope.makeUnsafe())
        const exits = yield* Effect.forEach(
          scopes,
          (scope) => Effect.exit(Scope.provide(lockDirectory(path), scope)),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(exits.filter(Exit.isSuccess).length, 1, `round ${round}`)
        for (const scope of scopes) yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(readdirSync(path), [])
      }
    }), 90_000)

  it.live("is left alone by the one who held it, when another holds it by now", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const others = join(path, "others")
      yield* Effect.scoped(Effect.andThen(
        lockDirectory(path),
        Effect.sync(() => {
          writeFileSync(others, JSON.stringify({ pid: process.ppid, id: "others" }))
          renameSync(others, lockFile(path))
        })
      ))
      assert.include(readFileSync(lockFile(path), "utf8"), "others")
    }))

  it.live("shows that its owner lives by the time it was touched", () =>
    Effect.gen(function*() {
      const path = yield* directory
      yield* lockDirectory(path)
      const text = readFileSync(lockFile(path), "utf8")
      for (let i = 0; i < 2; i++) {
        age(path, 60_000)
        yield* sleep(3_000)
        assert.isBelow(Date.now() - statSync(lockFile(path)).mtimeMs, 4_000)
      }
      assert.strictEqual(readFileSync(lockFile(path), "utf8"), text)
    }))

  it.live("warns the one who held it, and does not speak for another, when another holds it by now", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const warnings: Array<string> = []
      const listener = (warning: Error) => warnings.push(warning.message)
      process.on("warning", listener)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.off("warning", listener)))
      yield* lockDirectory(path)
      writeFileSync(join(path, "others"), JSON.stringify({ pid: process.ppid, id: "others" }))
      renameSync(join(path, "others"), lockFile(path))
      age(path, 60_000)
      yield* sleep(5_000)
      assert.isAbove(Date.now() - statSync(lockFile(path)).mtimeMs, 60_000)
      assert.strictEqual(warnings.filter((warning) => warning.includes(path)).length, 1)
    }))

  it.live("is its owner's, in another container or on another host, while that gives signs of life", () =>
    Effect.gen(function*() {
      const path = yield* directory
      for (const place of [{ pids: "pid:[1]" }, { boot: "another" }, { host: "another" }]) {
        // this process id lives here and that start time does not: neither says anything about a process elsewhere
        for (const pid of [process.pid, 999_999_999]) {
          writeForeign(path, 10_000, { ...place, pid })
          const error = yield* Effect.flip(Effect.scoped(lockDirectory(path)))
          assert.include(error.message, `in use by process ${pid} on host `)
          assert.deepStrictEqual(readdirSync(path), ["eventstore.lock"])
        }
      }
    }))

  it.live("is free where its owner, in another container or on another host, has given no sign of life", () =>
    Effect.gen(function*() {
      const path = yield* directory
      const workers = yield* Effect.all(Array.from({ length: 3 }, () => Child.start("lockWorker.ts")))
      for (const silence of [20_000, -3_600_000]) { // and where its clock was wrong
        writeForeign(path, silence)
        const answers = yield* Effect.forEach(workers, (worker) => ask(worker, `lock ${path}`), {
          concurrency: "unbounded"
        })
        assert.strictEqual(answers.filter((answer) => answer === "locked").length, 1, answers.join("\n"))
        yield* ask(workers[answers.indexOf("locked")]!, "unlock")
        assert.deepStrictEqual(readdirSync(path), [])
      }
    }))

  it.live("is its owner's where that only comes back from sleep, or has another clock", () =>
    Effect.gen(function*() {
      const path = yield* directory
      writeForeign(path, 3_600_000)
      yield* Effect.forkScoped(Effect.andThen(sleep(2_000), Effect.sync(() => age(path, 3_600_000))))
      assert.isFalse(yield* isFree(path))
    }))

  for (const flags of [["--mount-proc"], []]) {
    it.live.skipIf(!hasNamespaces)(
      `lets one process of several containers in (unshare ${flags})`,
      () =>
        Effect.gen(function*() {
          const path = yield* directory
          assert.strictEqual(yield* lockInNamespace(path, ...flags), "locked")
          assert.include(yield* lockInNamespace(path, ...flags), "in use by process 1 on host")
          assert.isFalse(yield* isFree(path))
        })
    )
  }

  it.live.skipIf(!hasNamespaces)(
    "keeps processes apart whose /proc shows another namespace's",
    () =>
      Effect.gen(function*() {
        const path = yield* directory
        const worker = join(import.meta.dirname, "../support/lockWorker.ts")
        const node = `"${process.execPath}" --conditions=source "${worker}"`
        const { stdout } = spawnSync("unshare", [
          "-Urpf",
          "--kill-child",
          "/bin/sh",
          "-c",
          `mkfifo "${path}/in"; ${node} < "${path}/in" > "${path}/out" & exec 3> "${path}/in"; echo "lock ${path}" >&3
         until grep -q locked "${path}/out"; do sleep 0.1; done
         echo "lock ${path}" | ${node}`
        ], { encoding: "utf8", timeout: 20_000 })
        assert.include(stdout, "in use by process 3:")
      })
  )

  it.live("refuses a directory that cannot be used, and says why", () =>
    Effect.gen(function*() {
      const file = join(yield* directory, "file")
      writeFileSync(file, "")
      const error = yield* Effect.flip(Effect.scoped(lockDirectory(join(file, "below"))))
      assert.strictEqual(error._tag, "UnsupportedDatabase")
      assert.include(error.message, file)
    }))
})
