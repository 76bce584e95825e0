/** One Postgres for the whole test run; each test takes a database of its own from it, see `TestPostgres`. */
import { Effect, Exit, Scope } from "effect"
import type { TestProject } from "vitest/node"
import * as PostgresServer from "./PostgresServer.ts"

declare module "vitest" {
  interface ProvidedContext {
    readonly postgresAdminUrl: string
  }
}

export default async function(project: TestProject): Promise<() => Promise<void>> {
  const scope = Scope.makeUnsafe()
  const server = await Effect.runPromise(PostgresServer.make().pipe(Scope.provide(scope)))
  project.provide("postgresAdminUrl", server.url("postgres"))
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
}
