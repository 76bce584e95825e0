import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as PostgresServer from "./PostgresServer.ts"
import * as TestPostgres from "./TestPostgres.ts"

const query = <A extends object>(url: string, statement: string) =>
  SqlClient.SqlClient.use((sql) => sql.unsafe<A>(statement)).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(url) }))
  )

const answer = (url: string) =>
  Effect.map(query<{ major: number }>(url, "SELECT current_setting('server_version_num')::int4 / 10000 AS major"), (
    [row]
  ) => row?.major)

describe("PostgresServer", () => {
  for (const version of ["18", "15"] as const) {
    it.effect(`starts Postgres ${version}, which answers`, () =>
      Effect.gen(function*() {
        const server = yield* PostgresServer.make({ version })
        assert.strictEqual(yield* answer(server.url("postgres")), Number(version))
      }))
  }

  it.effect("keeps committed data over restart and over kill -9, and is gone with its scope", () =>
    Effect.gen(function*() {
      const server = yield* Effect.scoped(Effect.gen(function*() {
        const server = yield* PostgresServer.make({ fsync: true })
        const url = yield* server.createDatabase
        yield* query(url, "CREATE TABLE kept (n int4)")
        const before = yield* server.pid

        yield* query(url, "INSERT INTO kept VALUES (1)")
        yield* server.restart
        assert.deepStrictEqual(yield* query<{ n: number }>(url, "SELECT n FROM kept"), [{ n: 1 }])
        assert.notStrictEqual(yield* server.pid, before)

        yield* query(url, "INSERT INTO kept VALUES (2)")
        yield* server.kill9
        assert.isTrue((yield* Effect.exit(server.pid))._tag === "Failure")
        assert.isTrue((yield* Effect.exit(query(url, "SELECT 1")))._tag === "Failure")
        yield* server.start
        assert.deepStrictEqual(yield* query<{ n: number }>(url, "SELECT n FROM kept ORDER BY n"), [{ n: 1 }, { n: 2 }])
        assert.include(yield* server.log, "database system was not properly shut down")
        return server
      }))
      assert.isTrue((yield* Effect.exit(query(server.url("postgres"), "SELECT 1")))._tag === "Failure")
    }))
})

layer(TestPostgres.layer)("TestPostgres", (it) => {
  it.effect("gives each layer a database of its own", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const name = sql<{ name: string }>`SELECT current_database() AS name`
      const other = yield* Effect.provide(
        SqlClient.SqlClient.use((sql) => sql<{ name: string }>`SELECT current_database() AS name`),
        TestPostgres.layer
      )
      assert.match((yield* name)[0]?.name ?? "", /^test_/)
      assert.notDeepEqual(yield* name, other)
    }))
})
