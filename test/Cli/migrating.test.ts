import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { PgMigrations } from "effect-eventstore"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import {
  type Diagnosis,
  ofAge,
  ofClock,
  ofMigrations,
  ofPrepared,
  ofServer,
  ofSettings,
  ofTransactions
} from "../../src/Cli/internal/doctoring.ts"
import { selectTransactions } from "../../src/Cli/internal/doctorSql.ts"
import { directory, run } from "../support/commandLine.ts"
import * as TestPostgres from "../support/TestPostgres.ts"
import * as TransactionPooler from "../support/TransactionPooler.ts"

const onto = <A, E>(url: string, effect: Effect.Effect<A, E, PgClient.PgClient>) =>
  Effect.provide(effect, PgClient.layer({ url: Redacted.make(url) }))

/** The address as a role of the database, with a password that nobody asks for and nobody shall see. */
const as = (url: string, role: string) => url.replace("postgres@", `${role}:secret@`)

describe("migrate", () => {
  it.live("makes the tables, and asks before it changes those that have events", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const [missing, made] = [
        yield* run(["migrate", "--status", "--json", "--url", url]),
        yield* run(["migrate", "--url", url])
      ]
      assert.deepStrictEqual([missing.code, missing.json[0].version], [1, 0])
      assert.strictEqual(made.code, 0, made.stderr)
      assert.include(made.stdout, `an event store in the schema eventstore (migration ${PgMigrations.latest})`)
      // back to the last but one, for all that the tables know
      yield* onto(
        url,
        PgClient.PgClient.use((sql) =>
          Effect.gen(function*() {
            yield* sql.unsafe("DROP SCHEMA eventstore CASCADE")
            yield* sql.withTransaction(Effect.forEach(
              PgMigrations.statements().slice(
                0,
                -PgMigrations.statements({ after: PgMigrations.latest - 1 }).length + 2
              ),
              (statement) => sql.unsafe(statement)
            ))
            yield* sql`INSERT INTO eventstore.events VALUES (1, 1, now(), gen_random_uuid(), 1, 1, 'a-1', 'T', '{}')`
          })
        )
      )
      const old = yield* run(["read", "--url", url])
      assert.deepStrictEqual([old.code, old.stdout], [3, ""])
      assert.include(old.stderr, "eventstore migrate brings it up to date")
      const asked = yield* run(["migrate", "--url", url])
      assert.deepStrictEqual([asked.code, asked.stdout], [2, ""])
      assert.include(
        asked.stderr,
        `from migration ${PgMigrations.latest - 1} to ${PgMigrations.latest}? It has events.`
      )
      assert.strictEqual((yield* run(["migrate", "--yes", "--url", url])).code, 0)
      assert.strictEqual((yield* run(["migrate", "--status", "--url", url])).code, 0)
    }).pipe(Effect.scoped))

  it.live("makes a directory, which nothing else does", () =>
    Effect.gen(function*() {
      const dir = join(yield* directory, "log")
      const none = yield* run(["read", "--dir", dir])
      assert.deepStrictEqual([none.code, none.stdout], [3, ""])
      assert.include(none.stderr, "There is no log in the directory")
      assert.strictEqual((yield* run(["migrate", "--dir", dir])).code, 0)
      yield* Effect.promise(() => mkdir(join(dir, "pglite.discarded-1")))
      const doctor = yield* run(["doctor", "--dir", dir, "--json"])
      assert.deepStrictEqual([doctor.code, doctor.json[0].ok], [0, true])
      assert.deepStrictEqual(
        doctor.json[0].checks.filter(({ status }: Diagnosis) => status !== "ok").map(({ check }: Diagnosis) => check),
        ["directory"]
      )
    }).pipe(Effect.scoped))

  it.live("prints what a DBA runs without a connection, and refuses what does not go together", () =>
    Effect.gen(function*() {
      const printed = yield* run(["migrate", "--print", "--schema", "shop"])
      assert.strictEqual(printed.stdout.trim(), PgMigrations.script({ schema: "shop" }).trim())
      const contradicting = yield* run(["migrate", "--print", "--status", "--url", "postgres://nowhere/db"])
      assert.deepStrictEqual([contradicting.code, contradicting.stdout], [2, ""])
    }))

  it.live("lets a role work, and doctor tells what it lacks before", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const role = "cli_shop_app"
      yield* run(["migrate", "--url", url])
      yield* onto(
        url,
        PgClient.PgClient.use((sql) => Effect.ignore(sql.unsafe(`CREATE ROLE ${role} LOGIN`)))
      )
      const before = yield* run(["doctor", "--json", "--url", as(url, role)])
      const checkOf = (ended: typeof before, name: string): Diagnosis =>
        ended.json[0].checks.find(({ check }: Diagnosis) => check === name)
      assert.strictEqual(before.code, 1)
      assert.strictEqual(checkOf(before, "privileges").status, "danger")
      assert.include(checkOf(before, "privileges").hint, `--grants ${role}`)
      const granted = yield* run(["migrate", "--grants", role, "--apply", "--url", url])
      assert.strictEqual(granted.code, 0, granted.stderr)
      assert.strictEqual((yield* run(["append", "a-1", "--type", "T", "--url", as(url, role)])).code, 0)
      // a superuser turns off what defends the log
      yield* onto(
        url,
        PgClient.PgClient.use((sql) => sql.unsafe("ALTER TABLE eventstore.events DISABLE TRIGGER events_refuse_change"))
      )
      const after = yield* run(["doctor", "--json", "--url", as(url, role)])
      assert.notInclude(after.stdout + after.stderr, "secret")
      assert.deepStrictEqual(
        ["connection", "version", "privileges", "pooler", "notifications", "clock", "defences", "durability"].map((
          name
        ) => checkOf(after, name).status),
        // the servers of the tests do not wait for the disk
        ["ok", "ok", "ok", "ok", "ok", "ok", "danger", "danger"]
      )
      assert.include(checkOf(after, "defences").message, "events_refuse_change")
    }).pipe(Effect.scoped))
})

describe("doctor", () => {
  it.live("says why it cannot connect, without a secret", () =>
    Effect.gen(function*() {
      const ended = yield* run(["doctor", "--url", "postgres://anna:secret@127.0.0.1:1/shop"])
      assert.strictEqual(ended.code, 3)
      assert.match(ended.stdout, /danger +connection +The database does not answer: connect ECONNREFUSED/)
      assert.notInclude(ended.stdout + ended.stderr, "secret")
    }))

  it.live("finds out that a pooler stands between, which shares connections by transaction", () =>
    Effect.gen(function*() {
      const url = yield* TransactionPooler.make(yield* TestPostgres.url)
      const ended = yield* run(["doctor", "--url", url])
      assert.match(ended.stdout, /advice +pooler +A pooler stands between/)
      assert.match(ended.stdout, /advice +notifications +LISTEN heard nothing/)
    }).pipe(Effect.scoped))

  it.live("names who holds the lock of the log", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const found = yield* onto(
        url,
        PgClient.PgClient.use((sql) =>
          Effect.gen(function*() {
            const tables = { sql, schema: "eventstore", log: 1 }
            const holder = yield* sql.reserve
            yield* holder.executeUnprepared("BEGIN", [], undefined)
            yield* holder.executeUnprepared("SELECT pg_advisory_xact_lock(hashtext('eventstore'), 1)", [], undefined)
            const own = yield* selectTransactions(tables, { open: 3600, holding: 0 })
            const other = yield* selectTransactions({ ...tables, log: 2 }, { open: 3600, holding: 0 })
            yield* holder.executeUnprepared("ROLLBACK", [], undefined)
            return { own, other }
          }).pipe(Effect.scoped)
        )
      )
      assert.deepStrictEqual([found.own.length, found.other.length], [1, 0])
      const { message, status } = ofTransactions(found.own)
      assert.deepStrictEqual([status, message.startsWith(`Appends wait for process ${found.own[0]!.pid}`)], [
        "danger",
        true
      ])
    }).pipe(Effect.scoped))

  it("judges what endangers data", () => {
    const statuses = (diagnoses: ReadonlyArray<Diagnosis>) =>
      Object.fromEntries(diagnoses.map(({ check, status }) => [check, status]))
    const settings = (values: Readonly<Record<string, string>>) =>
      statuses(ofSettings(Object.entries(values).map(([name, value]) => ({ name, value, source: "default" }))))
    const fine = {
      fsync: "on",
      full_page_writes: "on",
      synchronous_commit: "on",
      autovacuum: "on",
      data_checksums: "on",
      default_transaction_isolation: "read committed",
      statement_timeout: "0",
      wal_level: "replica"
    }
    assert.deepStrictEqual(settings(fine), { durability: "ok", archiving: "ok" })
    for (const [name, value] of [["fsync", "off"], ["synchronous_commit", "off"], ["zero_damaged_pages", "on"]]) {
      assert.strictEqual(settings({ ...fine, [name!]: value! })["durability"], "danger")
    }
    assert.deepStrictEqual(
      settings({ ...fine, autovacuum: "off", default_transaction_isolation: "serializable", statement_timeout: "500" }),
      { durability: "ok", vacuum: "danger", isolation: "advice", "time-outs": "advice", archiving: "ok" }
    )
    const server = {
      version: "PostgreSQL 18.4 on x",
      versionNumber: 180004,
      encoding: "UTF8",
      isReadOnly: false,
      role: "r"
    }
    assert.deepStrictEqual(statuses(ofServer({ ...server, isStandby: false })), {
      version: "ok",
      encoding: "ok",
      writing: "ok"
    })
    assert.deepStrictEqual(
      statuses(ofServer({ ...server, versionNumber: 140000, encoding: "LATIN1", isStandby: true })),
      { version: "danger", encoding: "danger", writing: "danger" }
    )
    assert.deepStrictEqual(
      [0, PgMigrations.latest - 1, PgMigrations.latest, PgMigrations.latest + 1].map((version) =>
        ofMigrations("eventstore", version).status
      ),
      ["danger", "danger", "ok", "danger"]
    )
    assert.deepStrictEqual([0, -1999, 2001, -60_000].map((ahead) => ofClock(ahead).status), [
      "ok",
      "ok",
      "advice",
      "advice"
    ])
    assert.deepStrictEqual([1e6, 1.1e9, 1.6e9].map((age) => ofAge(age).status), ["ok", "advice", "danger"])
    assert.deepStrictEqual([10, 301].map((seconds) => ofPrepared([{ name: "tx", seconds }]).status), ["ok", "danger"])
  })
})
