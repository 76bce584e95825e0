import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { PgCapabilities, PgMigrations, PgProbe } from "effect-eventstore"
import { fakeServer } from "../support/fakeServer.ts"
import { note, Notes, open, openStore } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const postgres: PgCapabilities.Capabilities = {
  version: "PostgreSQL 18.1 on x86_64-pc-linux-gnu, compiled by gcc, 64-bit",
  versionNumber: 180001,
  encoding: "UTF8",
  isReadOnly: false
}

/** What these say of themselves, by their documentation. */
const strangers = {
  CockroachDB:
    "CockroachDB CCL v25.2.1 (x86_64-pc-linux-gnu, built 2025/06/02 14:32:13, go1.23.7 X:nocoverageredesign)",
  YugabyteDB: "PostgreSQL 15.12-YB-2025.1.0.0-b168 on x86_64-pc-linux-gnu, compiled by clang version 17.0.6, 64-bit",
  Redshift:
    "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.103",
  Greenplum: "PostgreSQL 12.12 (Greenplum Database 7.1.0 build commit:e7c2b1f) on x86_64-pc-linux-gnu",
  Materialize: "PostgreSQL 9.5.0 on x86_64-unknown-linux-gnu (Materialize v0.130.0)",
  CrateDB: "CrateDB 5.10.0 (built 3c1a1b5/2025-01-15T10:10:10Z, Linux 5.10 amd64, OpenJDK 64-Bit Server VM 23)",
  RisingWave: "PostgreSQL 13.14.0-RisingWave-2.4.0 (unknown)",
  QuestDB: "PostgreSQL 12.3, compiled by Visual C++ build 1914, 64-bit, QuestDB"
}

const probeAt = (url: string) =>
  Effect.provide(
    PgClient.PgClient.use((sql) => PgProbe.probe(sql, { schema: "eventstore", log: 1 })),
    PgClient.layer({ url: Redacted.make(url) }),
    { local: true }
  )

/** Runs a statement that changes the database at `url` for those who connect from now on. */
const alter = (url: string, change: (database: string) => string) =>
  Effect.provide(
    PgClient.PgClient.use((sql) => sql.unsafe(change(new URL(url).pathname.slice(1)))),
    PgClient.layer({ url: Redacted.make(url) }),
    { local: true }
  )

const problemAt = <A, E extends Error>(effect: Effect.Effect<A, E, never>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.strictEqual((error as { readonly _tag?: string })._tag, "UnsupportedDatabase", String(error))
    return error.message
  })

describe("PgProbe", () => {
  it("accepts Postgres from 15 on, whoever built it", () => {
    for (
      const [version, versionNumber] of [
        [postgres.version, 180001],
        ["PostgreSQL 15.0 on aarch64-unknown-linux-gnu, compiled by clang, 64-bit", 150000],
        [
          "PostgreSQL 16.9 (Debian 16.9-1.pgdg120+1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14), 64-bit",
          160009
        ],
        ["PostgreSQL 17.5 on x86_64-pc-linux-musl, compiled by gcc (Alpine 14.2.0) 14.2.0, 64-bit", 170005],
        ["PostgreSQL 19beta1 on x86_64-apple-darwin", 190000],
        ["PostgreSQL 17.5 (PGlite 0.3.0) on wasm32-unknown-emscripten", 170005]
      ] as const
    ) {
      assert.isUndefined(PgCapabilities.problemOf({ ...postgres, version, versionNumber }), version)
    }
  })

  it("refuses what speaks the protocol without being Postgres, by what it calls itself", () => {
    for (const [name, version] of Object.entries(strangers)) {
      const problem = PgCapabilities.problemOf({ ...postgres, version, versionNumber: 150000 })
      assert.include(problem ?? "", "not Postgres", name)
      assert.include(problem ?? "", version.slice(0, 20))
    }
  })

  it("refuses older versions, other encodings and what is read-only, and says which", () => {
    const old = { ...postgres, version: "PostgreSQL 14.18 on x86_64-pc-linux-gnu", versionNumber: 140018 }
    assert.strictEqual(
      PgCapabilities.problemOf(old),
      "The database is PostgreSQL 14.18; Postgres 15 or newer is needed"
    )
    assert.include(PgCapabilities.problemOf({ ...postgres, encoding: "SQL_ASCII" }) ?? "", "SQL_ASCII")
    assert.include(PgCapabilities.problemOf({ ...postgres, encoding: "LATIN1" }) ?? "", "LATIN1")
    assert.include(PgCapabilities.problemOf({ ...postgres, isReadOnly: true }) ?? "", "read-only")
  })

  it.live("refuses a CockroachDB by its answers", () =>
    Effect.gen(function*() {
      const url = yield* fakeServer(() => ({ ...postgres, version: strangers.CockroachDB, versionNumber: 130000 }))
      assert.include(yield* problemAt(probeAt(url)), "CockroachDB CCL v25.2.1")
      assert.include(yield* problemAt(Effect.scoped(openStore(url))), "CockroachDB CCL v25.2.1")
      // also before anything is created
      assert.include(yield* problemAt(Effect.scoped(open(url))), "CockroachDB CCL v25.2.1")
    }))

  it.live("refuses a database that does not understand the questions, by its version", () =>
    Effect.gen(function*() {
      // Redshift knows no second argument of current_setting
      const url = yield* fakeServer((statement) =>
        statement.includes("current_setting") ? "42883" : { version: strangers.Redshift }
      )
      assert.include(yield* problemAt(probeAt(url)), "Redshift 1.0.103")
      assert.include(yield* problemAt(Effect.scoped(open(url))), "Redshift 1.0.103")
    }))

  it.live("leaves a database that refuses the client to the client's error", () =>
    Effect.gen(function*() {
      const url = yield* fakeServer(() => "42501")
      assert.strictEqual((yield* Effect.flip(probeAt(url)))._tag, "SqlError")
      const nobody = yield* Effect.flip(probeAt("postgres://postgres@127.0.0.1:1/postgres"))
      assert.strictEqual(nobody._tag, "SqlError")
    }))

  it.live("leaves a server that goes down between two questions to the client's error", () =>
    Effect.gen(function*() {
      const url = yield* fakeServer((statement) =>
        statement.includes("server_version_num") ? "57P01" : { version: postgres.version }
      )
      assert.strictEqual((yield* Effect.flip(probeAt(url)))._tag, "SqlError")
    }))

  it.live("refuses a database without the tables, and says what to do", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      assert.include(yield* problemAt(Effect.scoped(openStore(url))), "run the migrations")
      yield* open(url, { schema: "elsewhere" })
      assert.include(yield* problemAt(Effect.scoped(openStore(url))), "The schema eventstore has no event store")
    }))

  it.live("refuses tables older than the program, and accepts newer ones", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { sql, store } = yield* open(url)
      yield* sql`INSERT INTO eventstore.migrations (migration_id, name) VALUES (${PgMigrations.latest + 1}, 'to_come')`
      yield* (yield* openStore(url)).store.append(Notes.stream("a"), [note("1")])
      yield* (yield* open(url)).store.append(Notes.stream("a"), [note("2")])
      assert.strictEqual(yield* store.head(), 2)
      yield* sql`DELETE FROM eventstore.migrations WHERE migration_id >= ${PgMigrations.latest}`
      yield* problemAt(Effect.scoped(openStore(url)))
    }))

  it.live("refuses a database in which nothing can be written", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      yield* Effect.scoped(open(url))
      yield* alter(url, (database) => `ALTER DATABASE ${database} SET default_transaction_read_only TO on`)
      assert.include(yield* problemAt(Effect.scoped(openStore(url))), "read-only")
    }))

  it.live("refuses a database in another encoding", () =>
    Effect.gen(function*() {
      const url = new URL(yield* TestPostgres.url)
      const name = `${url.pathname.slice(1)}_ascii`
      yield* Effect.acquireRelease(
        alter(url.href, () => `CREATE DATABASE ${name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0`),
        () => Effect.ignore(alter(url.href, () => `DROP DATABASE ${name} WITH (FORCE)`))
      )
      const ascii = new URL(url)
      ascii.pathname = `/${name}`
      assert.include(yield* problemAt(probeAt(ascii.href)), "SQL_ASCII")
    }))
})
