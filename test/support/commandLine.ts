/** The command line as a user runs it: as a process of its own, with pipes or in a terminal. */
import { type IPty, spawn as spawnPty } from "@lydell/node-pty"
import { Effect, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { vi } from "vitest"

// a test starts several processes, each of which takes seconds where all cores are busy
vi.setConfig({ testTimeout: 120_000 })

const root = join(import.meta.dirname, "..", "..")
const binary = join(root, "src", "Cli", "bin.ts")

/** What a command left. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** What it wrote to the standard output, as lines. */
  readonly lines: ReadonlyArray<string>
  /** These lines, as JSON. */
  readonly json: ReadonlyArray<any>
}

export interface Options {
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly cwd?: string | undefined
  readonly stdin?: string | undefined
  /** Another program than the binary of the package. */
  readonly program?: string | undefined
}

/** Of the environment of the tests only what a program needs to run: no settings of whoever runs them. */
const environment = (env: Options["env"]) => ({
  PATH: process.env["PATH"]!,
  HOME: process.env["HOME"] ?? "/",
  ...env
})

const argumentsOf = (args: ReadonlyArray<string>, options: Options | undefined) => [
  "--conditions=source",
  options?.program ?? binary,
  ...args
]

/** Runs a command to its end. Its standard output and error are pipes. */
export const run = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Ended> =>
  Effect.callback((resume) => {
    const child = ChildProcess.spawn(process.execPath, argumentsOf(args, options), {
      cwd: options?.cwd ?? root,
      env: environment(options?.env)
    })
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text) => stdout += text)
    child.stderr.setEncoding("utf8").on("data", (text) => stderr += text)
    child.stdin.on("error", () => {})
    child.stdin.end(options?.stdin ?? "")
    child.on("close", (code) => {
      const lines = stdout === "" ? [] : stdout.replace(/\n$/, "").split("\n")
      resume(Effect.succeed({
        code,
        stdout,
        stderr,
        lines,
        get json() {
          return lines.map((line) => JSON.parse(line))
        }
      }))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** A process that goes on, with pipes. */
export interface Running {
  readonly stdout: () => string
  readonly stderr: () => string
  /** Resolves when the standard output or error holds it; fails when the process ends before. */
  readonly says: (text: string | RegExp) => Effect.Effect<void>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  readonly ended: Effect.Effect<number | null>
}

/** Starts a command; it is killed with the scope. */
export const start = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const child = ChildProcess.spawn(process.execPath, argumentsOf(args, options), {
          cwd: options?.cwd ?? root,
          env: environment(options?.env)
        })
        child.stdin.on("error", () => {})
        child.stdin.end(options?.stdin ?? "")
        return { child, ended: new Promise<number | null>((resolve) => child.on("close", resolve)) }
      }),
      ({ child, ended }) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return ended
        })
    ),
    ({ child, ended }) => {
      const heard = listener(ended)
      let stdout = ""
      let stderr = ""
      child.stdout.setEncoding("utf8").on("data", (text) => {
        stdout += text
        heard.tell()
      })
      child.stderr.setEncoding("utf8").on("data", (text) => {
        stderr += text
        heard.tell()
      })
      return {
        stdout: () => stdout,
        stderr: () => stderr,
        says: (text) => heard.until(() => isIn(text, stdout) || isIn(text, stderr), () => `${stdout}\n${stderr}`),
        signal: (signal) => Effect.sync(() => void child.kill(signal)),
        ended: Effect.promise(() => ended)
      }
    }
  )

/** A command in a terminal. */
export interface Terminal {
  /** All that the terminal was sent, with what moves its cursor and paints. */
  readonly screen: () => string
  readonly says: (text: string | RegExp) => Effect.Effect<void>
  readonly types: (text: string) => Effect.Effect<void>
  readonly ended: Effect.Effect<number>
}

/** Starts a command in a terminal of 100 columns; it is killed with the scope. */
export const terminal = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Terminal, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const pty: IPty = spawnPty(process.execPath, argumentsOf(args, options), {
          cols: 100,
          rows: 30,
          name: "xterm-256color",
          cwd: options?.cwd ?? root,
          env: environment(options?.env)
        })
        return { pty, ended: new Promise<number>((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode))) }
      }),
      ({ ended, pty }) =>
        Effect.promise(() => {
          try {
            pty.kill("SIGKILL")
          } catch {
            // it has ended
          }
          return ended
        })
    ),
    ({ ended, pty }) => {
      const heard = listener(ended)
      let screen = ""
      pty.onData((text) => {
        screen += text
        heard.tell()
      })
      return {
        screen: () => screen,
        says: (text) => heard.until(() => isIn(text, screen), () => screen),
        types: (text) => Effect.sync(() => pty.write(text)),
        ended: Effect.promise(() => ended)
      }
    }
  )

/** An empty directory that goes with the scope. */
export const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "eventstore-cli-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const isIn = (wanted: string | RegExp, text: string): boolean =>
  typeof wanted === "string" ? text.includes(wanted) : wanted.test(text)

const listener = (ended: Promise<unknown>) => {
  const waiting = new Set<() => void>()
  let hasEnded = false
  const tell = () => {
    for (const wake of waiting) wake()
  }
  void ended.then(() => {
    hasEnded = true
    tell()
  })
  return {
    tell,
    until: (is: () => boolean, said: () => string): Effect.Effect<void> =>
      Effect.callback((resume) => {
        const look = () => {
          if (!is() && !hasEnded) return
          waiting.delete(look)
          resume(is() ? Effect.void : Effect.die(new Error(`It ended, and said:\n${said()}`)))
        }
        waiting.add(look)
        look()
        return Effect.sync(() => waiting.delete(look))
      })
  }
}
