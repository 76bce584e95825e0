/** A server of a test file's own, and databases on it that are dropped when their scope closes. */
import { Context, Effect, Layer } from "effect"
import * as PostgresServer from "./PostgresServer.ts"

/** The tests of the file stop and kill it. They run one after another. */
export class Server extends Context.Service<Server, PostgresServer.PostgresServer>()("test/Server") {
  // what is copied stays small
  static readonly layer = Layer.effect(
    Server,
    PostgresServer.make({ settings: { max_wal_size: "64MB", min_wal_size: "32MB" } })
  )
}

export const database = Effect.gen(function*() {
  const server = yield* Server
  const url = yield* Effect.acquireRelease(server.createDatabase, (url) => Effect.ignore(server.dropDatabase(url)))
  return { server, url }
})
