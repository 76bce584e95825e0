import { PgClient } from "@effect/sql-pg"
import { Clock, Effect, FileSystem, Queue, Random, Result, Stream } from "effect"
import type { SqlError } from "effect/sql"
import { grants, latest, status } from "../../Postgres/PgMigrations.ts"
import { reasonOf } from "../../Store/StoreError.ts"
import * as Doctoring from "./doctoring.ts"
import type { Diagnosis } from "./doctoring.ts"
import * as Sql from "./doctorSql.ts"
import { sizeOf } from "./facts.ts"
import { Application } from "./frame/application.ts"
import { type LogTables, OpenLog } from "./frame/logSql.ts"
import { numberOf } from "./frame/table.ts"
import { checkDefences } from "./verify/verifyDefences.ts"
import { Tally } from "./verify/verifying.ts"

/** Looks at an open database, one check after the other: what cannot be asked hinders nothing else. */
export const diagnose = Effect.gen(function*() {
  const log = yield* OpenLog
  const { app } = yield* Application
  const isServer = log.kind === "postgres"
  const found: Array<Diagnosis> = []
  const look = <E, R>(check: string, effect: Effect.Effect<Diagnosis | ReadonlyArray<Diagnosis>, E, R>) =>
    Effect.map(Effect.result(effect), (result) => {
      if (Result.isSuccess(result)) found.push(...[result.success].flat())
      else {
        found.push(
          Doctoring.advice(check, `This could not be looked at: ${reasonOf(result.failure)}`, "Ask with another role")
        )
      }
    })

  const server = yield* Sql.selectServer(log)
  // asked on a connection that is there already
  const before = yield* Clock.currentTimeMillis
  const now = yield* Sql.selectNow(log)
  const after = yield* Clock.currentTimeMillis
  found.push(
    Doctoring.ok("connection", `${log.name} answers in ${after - before} ms, as ${server.role}`),
    ...Doctoring.ofServer(server)
  )
  if (isServer) {
    yield* look("encryption", Effect.map(Sql.selectEncryption(log), ofEncryption))
    yield* look("clock", Effect.succeed(Doctoring.ofClock(now - (before + after) / 2)))
  }
  const version = yield* Effect.result(status(log.sql, log.schema))
  found.push(
    Result.isSuccess(version)
      ? Doctoring.ofMigrations(log.schema, version.success)
      : Doctoring.danger("migrations", `They cannot be read: ${reasonOf(version.failure)}`)
  )
  if (isServer) {
    const needsSchemas = app.projections?.some(({ definition }) => definition.kind === "tables") ?? false
    yield* look(
      "privileges",
      Effect.map(
        Sql.selectRole(log, grantedFunctions()),
        // without a schema there is nothing to be allowed yet
        (role) => role === undefined ? [] : Doctoring.ofRole(server.role, role, needsSchemas)
      )
    )
  }
  if (Result.isSuccess(version) && version.success === latest) yield* look("defences", defences(log))
  yield* look(
    "size",
    Effect.map(
      Sql.selectSize(log),
      ({ database, events }) =>
        Doctoring.ok("size", `${sizeOf(database)}, ${sizeOf(events)} of them events with their indexes`)
    )
  )
  if (!isServer) {
    yield* look("directory", directory(log.name))
    return found
  }
  yield* look("settings", Effect.map(Sql.selectSettings(log, Doctoring.settingNames), Doctoring.ofSettings))
  yield* look("connections", Effect.map(Sql.selectConnections(log), Doctoring.ofConnections))
  yield* look("prepared transactions", Effect.map(Sql.selectPrepared(log), Doctoring.ofPrepared))
  yield* look(
    "transactions",
    Effect.map(Sql.selectTransactions(log, { open: 3600, holding: 5 }), Doctoring.ofTransactions)
  )
  yield* look("transaction ids", Effect.map(Sql.selectAge(log), Doctoring.ofAge))
  yield* look("pooler", Effect.scoped(pooler))
  if (!server.isStandby) yield* look("notifications", Effect.scoped(notifications))
  return found
})

/** What lies in the directory of an embedded log besides the log. */
const directory = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const discarded = (yield* fs.readDirectory(path)).filter((name) => name.startsWith("pglite.discarded"))
    return discarded.length === 0
      ? Doctoring.ok("directory", "It belongs to one process at a time, at this moment to this one")
      : Doctoring.advice(
        "directory",
        `${discarded.join(", ")} was set aside half made, by a process that was killed`,
        "Nobody stored anything in it: it can be deleted"
      )
  })

/** The functions that `grants` names: what a program calls. */
const grantedFunctions = (): ReadonlyArray<string> => {
  const sql = grants({ role: "role_name", schema: "schema_name" })
  return [...sql.matchAll(/"schema_name"\.([a-z_]+)/g)].map(([, name]) => name!)
}

const ofEncryption = (found: { readonly ssl: boolean; readonly isLocal: boolean } | undefined): Diagnosis =>
  found === undefined || found.ssl || found.isLocal
    ? Doctoring.ok(
      "encryption",
      found?.ssl === true ? "The connection is encrypted" : "The connection stays on this machine"
    )
    : Doctoring.advice("encryption", "The connection is not encrypted", "?sslmode=require at the end of the URL")

const defences = (tables: LogTables) =>
  Effect.gen(function*() {
    const tally = new Tally()
    // the check of verify asks for no more of the log than where its tables are
    const steps = yield* Stream.runCollect(
      checkDefences({ tables, log: { floor: 0, newest: 0, head: 0, now: 0 } }, tally)
    )
    const messages = steps.flatMap((step) => step._tag === "Found" ? [step.finding.message] : [])
    const [first] = messages
    if (first === undefined) {
      return Doctoring.ok(
        "defences",
        `Constraints, triggers and functions are as they were installed: ${numberOf(tally.looked)} of them`
      )
    }
    const more = messages.length === 1 ? "" : ` (and ${messages.length - 1} more)`
    return Doctoring.danger("defences", `${first}${more}`, "eventstore verify --check defences names all of it")
  })

const pidOf = (run: (text: string) => Effect.Effect<ReadonlyArray<any>, SqlError.SqlError>) =>
  Effect.map(run("SELECT pg_backend_pid()::int4 AS pid"), ([row]) => row.pid as number)

/** Finds out by doing: two sessions that are open at the same time are two processes of the server, and stay these. */
const pooler = Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  const [first, second] = [yield* sql.reserve, yield* sql.reserve]
  const on = (connection: typeof first) => (text: string) => connection.executeUnprepared(text, [], undefined)
  const pid = yield* pidOf(on(first))
  const pids = yield* Effect.acquireUseRelease(
    on(second)("BEGIN"),
    () => Effect.all({ second: pidOf(on(second)), again: pidOf(on(first)) }),
    () => Effect.ignore(on(second)("ROLLBACK"))
  )
  return Doctoring.ofPooler({ first: pid, ...pids })
})

/** How long a notification may take. */
const patience = "5 seconds"

const notifications = Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  const channel = `eventstore_doctor_${yield* Random.nextIntBetween(0, 1_000_000_000)}`
  const heard = yield* sql.listen(channel)
  const begun = yield* Clock.currentTimeMillis
  yield* sql.notify(channel, "hello")
  const answer = yield* Effect.timeoutOption(Queue.take(heard), patience)
  const took = (yield* Clock.currentTimeMillis) - begun
  return answer._tag === "Some"
    ? Doctoring.ok("notifications", `LISTEN hears what NOTIFY says, after ${took} ms`)
    : Doctoring.advice(
      "notifications",
      `LISTEN heard nothing in ${patience}: subscriptions find news only by looking for it`,
      "Connect past the pooler, or give the store listen: false"
    )
})
