import { Effect, type Scope } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { UnsupportedDatabase } from "../../Postgres/UnsupportedDatabase.ts"

/**
 * Keeps a directory to one process while the scope is open. The lock is a file that names its owner; that of a process
 * that is gone counts for nothing, so a crash leaves nothing to clean up.
 */
export const lockDirectory = (directory: string): Effect.Effect<void, UnsupportedDatabase, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.tryPromise({
      try: () => acquire(directory),
      catch: (cause) =>
        cause instanceof UnsupportedDatabase ? cause : new UnsupportedDatabase({
          problem: `The directory ${directory} cannot be used: ${
            cause instanceof Error ? cause.message : String(cause)
          }`
        })
    }),
    (file) => Effect.promise(() => rm(file, { force: true }))
  ))

/**
 * Opens the database in a locked directory. A note stands beside it while it is made for the first time: whoever finds the
 * note finds a database half made by a process that was killed, in which nobody ever stored anything, and starts again.
 */
export const createWhole = async <A>(directory: string, create: (database: string) => Promise<A>): Promise<A> => {
  const database = join(directory, "pglite")
  const note = join(directory, "pglite.unfinished")
  if (existsSync(note)) await rm(database, { recursive: true, force: true })
  if (existsSync(database)) return create(database)
  await writeFile(note, "")
  const created = await create(database)
  await rm(note)
  return created
}

const acquire = async (directory: string): Promise<string> => {
  await mkdir(directory, { recursive: true })
  const file = join(directory, "eventstore.lock")
  const mine = join(directory, `eventstore.lock.${process.pid}.${++locks}`)
  await writeFile(mine, JSON.stringify(self()))
  try {
    // two processes may find the same dead owner's file: only one can move it away, only one can link its own in
    for (let tries = 0; tries < 100; tries++) {
      try {
        await link(mine, file)
        return file
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw error
      }
      const text = await readFile(file, "utf8").catch((error) => {
        if (codeOf(error) === "ENOENT") return undefined
        throw error
      })
      if (text === undefined) continue
      const owner = parse(text)
      if (owner !== undefined && isAlive(owner)) {
        throw new UnsupportedDatabase({
          problem: `The directory ${directory} is in use by process ${owner.pid}: PGlite allows one process at a time`
        })
      }
      const dead = `${mine}.dead`
      await rename(file, dead).catch(() => {})
      // somebody may have linked a living lock between the look and the move: then it has to go back
      const moved = await readFile(dead, "utf8").catch(() => undefined)
      if (moved !== undefined && moved !== text) await link(dead, file).catch(() => {})
      await rm(dead, { force: true })
    }
    throw new Error("its lock changes owners all the time")
  } finally {
    await rm(mine, { force: true })
  }
}

let locks = 0

interface Owner {
  readonly pid: number
  /** When the process started, where the system tells: a process id can come back. */
  readonly started: string | undefined
  readonly lock: number
}

const self = (): Owner => ({ pid: process.pid, started: startOf(process.pid), lock: locks })

const isAlive = ({ pid, started }: Owner): boolean => {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false
  }
  const now = startOf(pid)
  return started === undefined || now === undefined || now === started
}

/** On Linux, field 22 of /proc/<pid>/stat, in ticks since boot; the command before it may hold spaces and brackets. */
const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
  } catch {
    return undefined
  }
}

const parse = (text: string): Owner | undefined => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown } | undefined)?.code
