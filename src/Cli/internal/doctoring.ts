import * as PgCapabilities from "../../Postgres/PgCapabilities.ts"
import { latest } from "../../Postgres/PgMigrations.ts"
import type { Connections, OpenTransaction, Prepared, Role, Server, Setting } from "./doctorSql.ts"
import { timeOf } from "./frame/progress.ts"
import { counted, numberOf } from "./frame/table.ts"

/** What was looked at, and how it is. `danger`: events may be lost, or the event store does not work. */
export interface Diagnosis {
  readonly check: string
  readonly status: "ok" | "advice" | "danger"
  readonly message: string
  /** What to do about it. */
  readonly hint?: string
}

const as = (status: Diagnosis["status"]) => (check: string, message: string, hint?: string): Diagnosis => ({
  check,
  status,
  message,
  ...(hint === undefined ? {} : { hint })
})

export const ok = as("ok")
export const advice = as("advice")
export const danger = as("danger")

/** Whether the event store can stand on a server. */
export const ofServer = (
  { encoding, isReadOnly, isStandby, version, versionNumber }: Server
): ReadonlyArray<Diagnosis> => {
  const fine = { version, versionNumber, encoding: "UTF8", isReadOnly: false }
  const refused = PgCapabilities.problemOf(fine)
  const name = version.split(" on ")[0]!
  return [
    refused === undefined
      ? ok("version", `${name}; ${PgCapabilities.oldestMajor} is the oldest that is supported`)
      : danger("version", refused, `Use Postgres ${PgCapabilities.oldestMajor} or newer`),
    encoding === "UTF8"
      ? ok("encoding", "The database is encoded in UTF8")
      : danger(
        "encoding",
        `The database is encoded in ${encoding}`,
        "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
      ),
    isStandby
      ? danger("writing", "This is a standby: nothing can be appended", "Name the primary in the URL")
      : isReadOnly
      ? danger("writing", "Transactions are read-only: nothing can be appended", "See default_transaction_read_only")
      : ok("writing", "Transactions can write")
  ]
}

export const ofMigrations = (schema: string, version: number): Diagnosis =>
  version === 0
    ? danger("migrations", `There is no event store in the schema ${schema}`, "eventstore migrate makes one")
    : version < latest
    ? danger(
      "migrations",
      `The tables are at migration ${version} of ${latest}`,
      "eventstore migrate brings them up to date"
    )
    : version > latest
    ? danger("migrations", `The tables are at migration ${version}, this program knows ${latest}`, "Update the program")
    : ok("migrations", `The tables are up to date (migration ${version})`)

/** What a role may do; `needsSchemas` where projections keep tables of their own. */
export const ofRole = (
  role: string,
  { functionsNotRun, isOwner, isSuperuser, mayCreateSchemas, mayUse, tablesNotRead }: Role,
  needsSchemas: boolean
): ReadonlyArray<Diagnosis> => {
  const missing = [
    ...(mayUse ? [] : ["USAGE of the schema"]),
    ...(tablesNotRead.length === 0 ? [] : [`SELECT of ${few(tablesNotRead)}`]),
    ...(functionsNotRun.length === 0 ? [] : [`EXECUTE of ${few(functionsNotRun)}`])
  ]
  return [
    missing.length === 0
      ? ok("privileges", `${role} may append, read, subscribe and run projections`)
      : danger(
        "privileges",
        `${role} lacks ${missing.join(", ")}`,
        `eventstore migrate --grants ${role} --apply, as the owner of the schema`
      ),
    isSuperuser
      ? advice(
        "role",
        `${role} is a superuser: what defends the log does not hold for it`,
        "Give the application a role of its own: eventstore migrate --grants ROLE"
      )
      : ok(
        "role",
        isOwner ? `${role} may also migrate and import` : `${role} may neither migrate nor import: that is the owner's`
      ),
    mayCreateSchemas || !needsSchemas
      ? ok(
        "tables of projections",
        mayCreateSchemas ? `${role} may make schemas for projections` : "No projection that is declared keeps tables"
      )
      : advice(
        "tables of projections",
        `${role} may not make the schemas in which projections keep their tables`,
        `GRANT CREATE ON DATABASE ... TO ${role}`
      )
  ]
}

const few = (names: ReadonlyArray<string>): string =>
  names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`

/** Settings that are looked at. */
export const settingNames = [
  "fsync",
  "full_page_writes",
  "synchronous_commit",
  "zero_damaged_pages",
  "ignore_checksum_failure",
  "data_checksums",
  "autovacuum",
  "default_transaction_isolation",
  "statement_timeout",
  "lock_timeout",
  "transaction_timeout",
  "idle_in_transaction_session_timeout",
  "wal_level",
  "archive_mode"
]

/** Shorter than this, in milliseconds, a time-out cuts off what takes its time: migrations, exports, rebuilds. */
const shortTimeout = 30_000

export const ofSettings = (settings: ReadonlyArray<Setting>): ReadonlyArray<Diagnosis> => {
  const byName = new Map(settings.map((setting) => [setting.name, setting]))
  const value = (name: string) => byName.get(name)?.value
  const said = (name: string) => {
    const source = byName.get(name)?.source
    const of = source === "database" || source === "user" || source === "database user"
      ? ` (set for this ${source === "user" ? "role" : source === "database" ? "database" : "role in this database"})`
      : ""
    return `${name} is ${value(name)}${of}`
  }
  const found: Array<Diagnosis> = []
  const when = (is: boolean, diagnosis: Diagnosis) => {
    if (is) found.push(diagnosis)
  }
  when(
    value("fsync") === "off",
    danger(
      "durability",
      `${said("fsync")}: a crash of the machine can destroy the whole database`,
      "ALTER SYSTEM SET fsync TO on"
    )
  )
  when(
    value("full_page_writes") === "off",
    danger(
      "durability",
      `${said("full_page_writes")}: a crash of the machine can damage pages beyond repair`,
      "ALTER SYSTEM SET full_page_writes TO on, unless the file system writes pages whole"
    )
  )
  when(
    value("synchronous_commit") === "off",
    danger(
      "durability",
      `${said("synchronous_commit")}: events whose append was answered can be lost in a crash`,
      "Set it to on for the role that appends"
    )
  )
  for (const name of ["zero_damaged_pages", "ignore_checksum_failure"]) {
    when(
      value(name) === "on",
      danger("durability", `${said(name)}: damage is passed over in silence`, `Set ${name} to off`)
    )
  }
  if (found.length === 0) {
    found.push(ok("durability", "What was answered is on disk: fsync, full_page_writes and synchronous_commit are on"))
  }
  when(
    value("data_checksums") === "off",
    advice(
      "checksums",
      "Pages have no checksums: damage by the disk is found late",
      "pg_checksums --enable, while the server is down"
    )
  )
  when(
    value("autovacuum") === "off",
    danger(
      "vacuum",
      `${said("autovacuum")}: tables grow, and in the end the database stops`,
      "ALTER SYSTEM SET autovacuum TO on"
    )
  )
  const isolation = value("default_transaction_isolation")
  when(
    isolation !== undefined && isolation !== "read committed",
    advice(
      "isolation",
      `${said("default_transaction_isolation")}: appends in transactions of the application are refused`,
      "ALTER ROLE ... SET default_transaction_isolation TO 'read committed'"
    )
  )
  const timeouts = ["statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"]
  for (const name of timeouts) {
    const millis = Number(value(name) ?? 0)
    when(
      millis > 0 && millis < shortTimeout,
      advice(
        "time-outs",
        `${name} is ${timeOf(millis / 1000)}: migrations, rebuilds and exports may be cut off`,
        `Set it to 0 or longer for the role that does these`
      )
    )
  }
  found.push(ok("archiving", `wal_level is ${value("wal_level")}, archive_mode is ${value("archive_mode")}`))
  return found
}

export const ofConnections = ({ most, used }: Connections): Diagnosis => {
  const message = `${numberOf(used)} of ${counted(most, "connection")} are in use`
  return used > most * 0.8
    ? advice("connections", message, "Raise max_connections, or lower what the pools of the applications take")
    : ok("connections", message)
}

/** Prepared transactions hold their locks, whatever becomes of their clients. */
export const ofPrepared = (prepared: ReadonlyArray<Prepared>): Diagnosis => {
  const old = prepared.filter(({ seconds }) => seconds > 300)
  const [first] = old
  return first === undefined
    ? ok(
      "prepared transactions",
      prepared.length === 0 ? "There are none" : `${prepared.length}, none older than five minutes`
    )
    : danger(
      "prepared transactions",
      `${
        counted(old.length, "prepared transaction")
      } wait for longer than five minutes and hold their locks, the oldest for ${timeOf(first.seconds)}`,
      `COMMIT PREPARED or ROLLBACK PREPARED '${first.name}'`
    )
}

export const ofTransactions = (open: ReadonlyArray<OpenTransaction>): Diagnosis => {
  const holder = open.find(({ holdsLog }) => holdsLog)
  const named = ({ application, pid, role, state }: OpenTransaction) =>
    `process ${pid} (${[role, application, state].filter((part) => part !== "").join(", ")})`
  if (holder !== undefined) {
    return danger(
      "transactions",
      `Appends wait for ${named(holder)}, whose transaction is open for ${timeOf(holder.seconds)}`,
      `SELECT pg_terminate_backend(${holder.pid}) ends it`
    )
  }
  const [oldest] = open
  return oldest === undefined
    ? ok("transactions", "None is open for long")
    : advice(
      "transactions",
      `The transaction of ${named(oldest)} is open for ${timeOf(oldest.seconds)}: nothing is cleaned up meanwhile`,
      `See what it does; SELECT pg_terminate_backend(${oldest.pid}) ends it`
    )
}

export const ofAge = (age: number): Diagnosis =>
  age > 1_500_000_000
    ? danger(
      "transaction ids",
      `${numberOf(age)} of 2,000,000,000 are used up: the database will stop`,
      "VACUUM FREEZE, soon"
    )
    : age > 1_000_000_000
    ? advice("transaction ids", `${numberOf(age)} of 2,000,000,000 are used up`, "See why autovacuum does not keep up")
    : ok("transaction ids", `${numberOf(age)} of 2,000,000,000 are used up`)

/** Whose clock is how far ahead of whose: `ahead` is the database's, in milliseconds. */
export const ofClock = (ahead: number): Diagnosis => {
  const off = Math.abs(ahead)
  return off < 2000
    ? ok("clock", "The clocks here and in the database agree to two seconds")
    : advice(
      "clock",
      `The clock of the database is ${timeOf(off / 1000)} ${ahead > 0 ? "ahead of" : "behind"} the one here`,
      "Timers and times of events go by one clock and are compared with the other: synchronise them"
    )
}

/**
 * Of two sessions, which process of the server answered: the first one twice, the second one in a transaction between. What
 * shares connections by transaction gives them away in between.
 */
export const ofPooler = (
  pids: { readonly first: number; readonly second: number; readonly again: number }
): Diagnosis =>
  pids.first === pids.second || pids.first !== pids.again
    ? advice(
      "pooler",
      "A pooler stands between that shares connections by transaction: LISTEN hears nothing, settings of a session get lost",
      "Give the store listen: false and the client prepare: false, or connect past the pooler"
    )
    : ok("pooler", "A session is one of the server's: nothing stands between that shares connections by transaction")
