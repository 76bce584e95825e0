import { Effect, type Scope } from "effect"
import { createHash, randomUUID } from "node:crypto"
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
  const owner = await take(file)
  if (owner !== undefined) {
    throw new UnsupportedDatabase({
      problem: `The directory ${directory} is in use by process ${owner.pid}: PGlite allows one process at a time`
    })
  }
  return file
}

/**
 * Makes this process the owner of a lock; answers who owns it where another process does.
 *
 * Many may find the same dead owner's lock, and whoever moves it away may move away a living one that took its place in
 * between. So the right to replace a dead lock is a lock itself, named for what the dead one holds: who has it knows that
 * nobody else replaces that one. No two locks hold the same, so it is still the dead one as long as it reads the same.
 */
const take = async (file: string): Promise<Owner | undefined> => {
  const mine = `${file}.${randomUUID()}`
  await writeFile(mine, JSON.stringify({ pid: process.pid, started: statOf(process.pid)?.started, id: randomUUID() }))
  try {
    for (;;) {
      if (await linked(mine, file)) return undefined
      const text = await read(file)
      if (text === undefined) continue
      const owner = parse(text)
      if (owner !== undefined && isAlive(owner)) return owner
      const right = `${file}.${createHash("sha256").update(text).digest("hex").slice(0, 16)}`
      const heir = await take(right)
      if (heir !== undefined) return heir
      try {
        if (await read(file) === text) {
          await rename(mine, file)
          return undefined
        }
      } finally {
        await rm(right, { force: true })
      }
    }
  } finally {
    await rm(mine, { force: true })
  }
}

/** Whether the file has its second name now; it has not where the name was taken. */
const linked = (file: string, name: string): Promise<boolean> =>
  link(file, name).then(() => true, (error) => {
    if (codeOf(error) === "EEXIST") return false
    throw error
  })

const read = (file: string): Promise<string | undefined> =>
  readFile(file, "utf8").catch((error) => {
    if (codeOf(error) === "ENOENT") return undefined
    throw error
  })

interface Owner {
  readonly pid: number
  /** When the process started, where the system tells: a process id can come back. */
  readonly started: string | undefined
}

const isAlive = ({ pid, started }: Owner): boolean => {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false
  }
  const now = statOf(pid)
  // what was killed keeps its number until its parent asks for it, and in many a container nobody ever does
  return now === undefined || now.state !== "Z" && (started === undefined || started === now.started)
}

/**
 * On Linux, fields 3 and 22 of /proc/<pid>/stat: the state, and the start in ticks since boot. The command before them may
 * hold spaces and brackets.
 */
const statOf = (pid: number): { readonly state: string; readonly started: string } | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return { state: fields[0]!, started: fields[19]! }
  } catch {
    return undefined
  }
}

const parse = (text: string): Owner | undefined => {
  try {
    const { pid, started } = JSON.parse(text)
    return Number.isInteger(pid) && pid > 0 ? { pid, started } : undefined
  } catch {
    return undefined
  }
}

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown } | undefined)?.code
