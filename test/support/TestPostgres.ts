/** Databases for tests: fresh, empty, dropped when their scope closes. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, type Scope } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { inject } from "vitest"
import * as PostgresServer from "./PostgresServer.ts"

type Pg = Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError.SqlError>

const fresh = (adminUrl: string): Effect.Effect<string, SqlError.SqlError, Scope.Scope> =>
  Effect.acquireRelease(
    PostgresServer.createDatabase(adminUrl),
    (url) => Effect.ignore(PostgresServer.dropDatabase(adminUrl)(url))
  )

const client = (url: string): Pg => PgClient.layer({ url: Redacted.make(url) })

/** Address of a fresh database on the Postgres 18 that the test run shares. */
export const url: Effect.Effect<string, SqlError.SqlError, Scope.Scope> = Effect.suspend(() =>
  fresh(inject("postgresAdminUrl"))
)

/** A client on a fresh database of the Postgres 18 that the test run shares. Built anew wherever it is provided. */
export const layer: Pg = Layer.fresh(Layer.unwrap(Effect.map(url, client)))

/** Address of a fresh database on a Postgres 15 of its own: takes about a second. */
export const url15: Effect.Effect<
  string,
  SqlError.SqlError | PostgresServer.PostgresServerError,
  Scope.Scope
> = Effect.flatMap(PostgresServer.make({ version: "15" }), (server) => fresh(server.url("postgres")))

/** A client on a fresh database of a Postgres 15 of its own, the oldest that is supported. */
export const layer15: Layer.Layer<
  PgClient.PgClient | SqlClient.SqlClient,
  SqlError.SqlError | PostgresServer.PostgresServerError
> = Layer.fresh(Layer.unwrap(Effect.map(url15, client)))
