/** Other processes that run a program of this folder, on the sources, and can be killed. */
import { Effect, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"

export interface Child {
  readonly pid: number
  /** Lines it wrote to its standard output so far. */
  readonly lines: ReadonlyArray<string>
  /** Resolves when it has written that many lines; fails if it ends before. */
  readonly hasWritten: (lines: number) => Promise<void>
  /** SIGKILL; resolves when it is gone and all that it wrote has been read. */
  readonly kill: () => Promise<void>
  /** Resolves when it has ended by itself, to its exit code. */
  readonly ended: Promise<number | null>
  /** What it wrote to its standard error. */
  readonly errors: () => string
  readonly say: (message: string) => void
  /** Sends a signal; nothing happens where it has ended. */
  readonly signal: (signal: NodeJS.Signals) => void
}

/** Starts `test/support/<program>` in a process of its own; it is killed with the scope. */
export const start = (program: string, ...args: ReadonlyArray<string>): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => startUnsafe(program, args)),
    (child) => Effect.promise(() => child.kill())
  )

const startUnsafe = (program: string, args: ReadonlyArray<string>): Child => {
  const process_ = ChildProcess.spawn(
    process.execPath,
    ["--conditions=source", join(import.meta.dirname, program), ...args],
    { stdio: ["pipe", "pipe", "pipe"] }
  )
  const lines: Array<string> = []
  let errors = ""
  let wake = () => {}
  const reader = createInterface(process_.stdout)
  reader.on("line", (line) => {
    lines.push(line)
    wake()
  })
  process_.stdin.on("error", () => {})
  process_.stderr.on("data", (chunk) => errors += String(chunk))
  let hasEnded = false
  const ended = Promise.all([once(process_, "exit"), once(reader, "close")]).then(([[code]]) => {
    hasEnded = true
    wake()
    return code as number | null
  })
  return {
    pid: process_.pid!,
    lines,
    hasWritten: async (count) => {
      while (lines.length < count) {
        if (hasEnded) throw new Error(`${program} ended after ${lines.length} lines\n${errors}`)
        await new Promise<void>((resolve) => wake = resolve)
      }
    },
    kill: async () => {
      process_.kill("SIGKILL")
      await ended
    },
    ended,
    errors: () => errors,
    say: (message) => process_.stdin.write(`${message}\n`),
    signal: (signal) => process_.kill(signal)
  }
}
