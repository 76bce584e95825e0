import { Effect, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { answerIsNo, type Refused } from "./refusal.ts"

/** Who holds a lock, as the file of the lock names it. */
interface Owner {
  readonly host: string
  readonly pid: number
  /** When the process started, where the system tells: a process id can come back. */
  readonly started: string | null
}

/**
 * Keeps a file to one process while the scope is open, by a lock beside it. The lock of a process that died is replaced; of one
 * on another host nobody knows whether it lives.
 */
export const lockFile = (path: string): Effect.Effect<void, Refused, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.flatMap(
      Effect.try({
        try: () => take(`${path}.lock`),
        catch: (cause) =>
          answerIsNo(
            `The lock ${path}.lock cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`
          )
      }),
      (taken) => "owner" in taken ? Effect.fail(inUse(path, taken)) : Effect.succeed(taken)
    ),
    ({ text }) => Effect.sync(() => release(`${path}.lock`, text))
  ))

const inUse = (path: string, { lock, owner }: Held) =>
  answerIsNo(
    owner === undefined
      ? `Another process runs this: ${lock} is there, and does not say whose it is`
      : `Another process runs this: ${path} is in use by process ${owner.pid}${
        owner.host === hostname() ? "" : ` on host ${owner.host}`
      }`,
    owner !== undefined && owner.host === hostname()
      ? "wait until it has ended, or name another file with --checkpoint"
      : `where it has ended, remove ${lock}`
  )

interface Held {
  readonly lock: string
  readonly owner: Owner | undefined
}

/**
 * Takes a lock, or answers who has it. Many may find the lock of the same dead process, and one of them may have replaced it
 * when another is about to: so the right to replace it is a lock, too, and under it the file is looked at once more.
 */
const take = (lock: string): { readonly text: string } | Held => {
  const text = JSON.stringify({ ...here(), id: randomUUID() })
  for (;;) {
    if (isTaken(lock, text)) return { text }
    const seen = read(lock)
    if (seen === undefined) continue
    const owner = parse(seen)
    if (owner === undefined || isAlive(owner)) return { lock, owner }
    const takeover = take(`${lock}.takeover`)
    if ("lock" in takeover) return takeover
    try {
      if (read(lock) === seen) rmSync(lock)
    } finally {
      release(`${lock}.takeover`, takeover.text)
    }
  }
}

/** Whether the file is ours now: it gets its name with all of its text in it, and only where nothing has that name. */
const isTaken = (lock: string, text: string): boolean => {
  const mine = `${lock}.${randomUUID()}`
  writeFileSync(mine, text, { flag: "wx" })
  try {
    linkSync(mine, lock)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false
    throw error
  } finally {
    rmSync(mine, { force: true })
  }
}

const release = (lock: string, text: string): void => {
  if (read(lock) === text) rmSync(lock, { force: true })
}

const read = (lock: string): string | undefined => {
  try {
    return readFileSync(lock, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw error
  }
}

const parse = (text: string): Owner | undefined => {
  try {
    const { host, pid, started } = JSON.parse(text)
    return typeof host === "string" && Number.isInteger(pid) && pid > 0 ? { host, pid, started } : undefined
  } catch {
    return undefined
  }
}

const here = (): Owner => ({ host: hostname(), pid: process.pid, started: startOf(process.pid) })

const isAlive = ({ host, pid, started }: Owner): boolean => {
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (error) {
    // it may be another user's
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false
  }
  const now = startOf(pid)
  return started === null || now === null || now === started
}

/** The boot of the system, and the ticks from there to the start of a process; `null` where the system does not tell. */
const startOf = (pid: number): string | null => {
  if (!existsSync("/proc/sys/kernel/random/boot_id")) return null
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    // the name of the program, in brackets, may hold anything; the start is the 22nd field of all
    return `${boot}/${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`
  } catch {
    return null
  }
}
