/**
 * One process at a time in a directory, and one whole database in it.
 *
 * The lock is a file that names its owner, `eventstore.lock`. Of an owner with whom this process shares its process ids, the
 * system knows whether it lives, so that a crash leaves nothing to clean up and nothing to wait for. Of one in another
 * container or on another host only the file tells: its owner touches it as long as it lives.
 */
import { Effect, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  unlinkSync
} from "node:fs"
import { type FileHandle, link, mkdir, open, rename, rm, writeFile } from "node:fs/promises"
import { hostname } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { UnsupportedDatabase } from "../../Postgres/UnsupportedDatabase.ts"

/** How often an owner touches its lock, in ms. */
const beatEvery = 2_000

/** Without a touch for so long, in ms, an owner elsewhere may be gone: a statement of PGlite holds up its process as well. */
const silentAfter = 15_000

/**
 * How long one then looks on whether it is, in ms. An owner that wakes from the sleep of its host, which is that of this
 * process as well, touches its lock in this time, and so does one whose clock is wrong.
 */
const watchFor = 5_000

/** Keeps a directory to one process while the scope is open. */
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
    (release) => Effect.promise(release)
  ))

/**
 * Opens the database in a locked directory. A note stands beside it while it is made for the first time: whoever finds the
 * note finds a database half made by a process that was killed, in which nobody ever stored anything, and starts again. The
 * half-made one is set aside, for a note is not enough to delete a database by.
 */
export const createWhole = async <A>(directory: string, create: (database: string) => Promise<A>): Promise<A> => {
  const database = join(directory, "pglite")
  const note = join(directory, "pglite.unfinished")
  if (existsSync(database)) {
    if (!existsSync(note)) return create(database)
    await rename(database, unusedName(join(directory, "pglite.discarded")))
  }
  await writeFile(note, "")
  await syncDirectory(directory)
  const created = await create(database)
  await rm(note)
  // a note that came back after a power failure would speak of a database with events in it
  await syncDirectory(directory)
  return created
}

const unusedName = (name: string): string => {
  for (let n = 1;; n++) {
    if (!existsSync(`${name}-${n}`)) return `${name}-${n}`
  }
}

const syncDirectory = async (directory: string): Promise<void> => {
  // Windows opens no directory as a file
  if (process.platform === "win32") return
  const handle = await open(directory, "r")
  try {
    await handle.sync()
  } catch (error) {
    // some network file systems know no such thing
    if (codeOf(error) !== "EINVAL" && codeOf(error) !== "ENOTSUP") throw error
  } finally {
    await handle.close()
  }
}

/** Answers how to give the directory back. */
const acquire = async (directory: string): Promise<() => Promise<void>> => {
  await mkdir(directory, { recursive: true })
  const taken = await take(join(directory, "eventstore.lock"))
  if ("owner" in taken) {
    const { host, pid } = taken.owner
    throw new UnsupportedDatabase({
      problem: `The directory ${directory} is in use by process ${pid}${
        isElsewhere(taken.owner) ? ` on host ${host}` : ""
      }: PGlite allows one process at a time`
    })
  }
  const stop = keepAlive(taken.lock, () =>
    process.emitWarning(
      `The directory ${directory} was taken from this process, which gave no sign of life for ${silentAfter} ms: ` +
        "two processes on one database may ruin it",
      "EventStoreWarning"
    ))
  return async () => {
    await stop()
    await release(taken.lock)
  }
}

interface Lock {
  readonly file: string
  /** What is in the file as long as the lock is ours: no two locks hold the same. */
  readonly text: string
  /** The file itself, whatever has its name by now. */
  readonly handle: FileHandle
}

/**
 * Makes this process the owner of a lock; answers who owns it where another process does.
 *
 * Many may find the same dead owner's lock, and whoever moves it away may move away a living one that took its place in
 * between. So the right to replace a lock is a lock itself: its owner knows that nobody else replaces the first, and that
 * its dead owner does not remove it, so it is still the dead one if it reads the same. That right may be a dead one's too,
 * and is then replaced by the same rule, under a third: as many as processes died in the middle of replacing each other.
 */
const take = async (file: string): Promise<{ readonly lock: Lock } | { readonly owner: Owner }> => {
  const mine = `${file}.${randomUUID()}`
  const text = JSON.stringify({ ...here(), id: randomUUID() })
  // written and closed before it gets its name: on a network file system others see what is in a file once it is closed
  await writeFile(mine, text)
  let lock: Lock | undefined
  const handle = await open(mine, "r+")
  try {
    for (;;) {
      await touch(handle)
      if (await linked(mine, file)) return { lock: lock = { file, text, handle } }
      const seen = look(file)
      if (seen === undefined) continue
      const owner = parse(seen.text)
      if (owner !== undefined) {
        const sign = isElsewhere(owner) ? await givesSign(file, seen) : isAlive(owner)
        if (sign) return { owner }
      }
      const takeover = await take(`${file}.takeover`)
      if ("owner" in takeover) return takeover
      try {
        await touch(handle)
        // nothing between the look and the change: a process that was held up there for long would act on what was
        const now = look(file)
        if (now?.text === seen.text && now.touched === seen.touched) {
          renameSync(mine, file)
          return { lock: lock = { file, text, handle } }
        }
      } finally {
        await release(takeover.lock)
      }
    }
  } finally {
    if (lock === undefined) await handle.close()
    rmSync(mine, { force: true })
  }
}

/** Removes a lock where it is still ours: another may have taken us for dead. */
const release = async ({ file, handle, text }: Lock): Promise<void> => {
  await handle.close()
  if (look(file)?.text === text) unlinkSync(file)
}

/**
 * Touches a lock until told to stop, or until it is another's. It asks by its handle: the name may have come to belong to
 * another, for whose life this process must not vouch.
 */
const keepAlive = (lock: Lock, onLost: () => void): () => Promise<void> => {
  let beat = Promise.resolve()
  const timer = setInterval(() => {
    beat = beat.then(() => touch(lock.handle)).then(() => {
      if (look(lock.file)?.text === lock.text) return
      clearInterval(timer)
      onLost()
    }).catch(() => {
      // the next one may succeed
    })
  }, beatEvery)
  timer.unref()
  return () => {
    clearInterval(timer)
    // a touch that still runs would touch whatever file gets the number of the closed one
    return beat
  }
}

const touch = (handle: FileHandle): Promise<void> => {
  const now = wallClock()
  return handle.utimes(now, now)
}

/** Not that of Clock: other processes compare it with theirs, so a test that moves its own must not move this one. */
const wallClock = (): Date => new Date()

/** Whether the file has its second name now; it has not where the name was taken. */
const linked = (file: string, name: string): Promise<boolean> =>
  link(file, name).then(() => true, (error) => {
    if (codeOf(error) === "EEXIST") return false
    throw error
  })

interface Seen {
  readonly text: string
  /** When its owner touched it last, by that one's clock, in ms. */
  readonly touched: number
}

/** One file's text and time, though its name may go to another one meanwhile; nothing where there is none. */
const look = (file: string): Seen | undefined => {
  let descriptor: number
  try {
    descriptor = openSync(file, "r")
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined
    throw error
  }
  try {
    return { text: readFileSync(descriptor, "utf8"), touched: fstatSync(descriptor).mtimeMs }
  } finally {
    closeSync(descriptor)
  }
}

/** Whether an owner elsewhere touched its lock of late, or does while one looks on. */
const givesSign = async (file: string, seen: Seen): Promise<boolean> => {
  // a time far ahead is as little a sign as one long ago
  if (Math.abs(wallClock().getTime() - seen.touched) <= silentAfter) return true
  await sleep(watchFor)
  const now = look(file)
  return now !== undefined && now.text === seen.text && now.touched !== seen.touched
}

interface Place {
  readonly host: string | undefined
  readonly boot: string | undefined
  readonly pids: string | undefined
}

interface Owner extends Place {
  readonly pid: number
  /** When the process started, where the system tells: a process id can come back. */
  readonly started: string | undefined
}

/** This process, and where its id means what it means: on Linux, in one pid namespace of one boot of one kernel. */
const here = (): Owner => ({
  pid: process.pid,
  started: statOf(process.pid)?.started,
  host: hostname(),
  boot: orUndefined(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
  pids: orUndefined(() => readlinkSync("/proc/self/ns/pid"))
})

/**
 * Whether an owner's process id means nothing here. Another boot of a host with this name counts as elsewhere too: two
 * hosts, or two containers that stand in for each other, can have one name. Locks of old say nothing of their place.
 */
const isElsewhere = (owner: Owner): boolean => {
  if (owner.host === undefined) return false
  const { boot, host, pids } = here()
  return owner.host !== host || owner.boot !== boot || owner.pids !== pids
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
const statOf = (pid: number): { readonly state: string; readonly started: string } | undefined =>
  orUndefined(() => {
    // a /proc of another pid namespace shows other processes under these ids
    if (readlinkSync("/proc/self") !== String(process.pid)) return undefined
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return { state: fields[0]!, started: fields[19]! }
  })

const parse = (text: string): Owner | undefined =>
  orUndefined(() => {
    const { boot, host, pid, pids, started } = JSON.parse(text)
    return Number.isInteger(pid) && pid > 0 ? { pid, started, host, boot, pids } : undefined
  })

const orUndefined = <A>(evaluate: () => A): A | undefined => {
  try {
    return evaluate()
  } catch {
    return undefined
  }
}

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown } | undefined)?.code
