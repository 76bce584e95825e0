/** Where contests on Postgres take place: one real Postgres 18 that waits for its disk, and a database for each store. */
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Redacted } from "effect"
import { EventStore, PgEventStore, PgliteEventStore } from "effect-eventstore"
import { cpus, totalmem } from "node:os"
import * as PostgresServer from "../../test/support/PostgresServer.ts"
import { Cart, events } from "./shop.ts"

export type Store = EventStore["Service"]

/** A store and the client below it. */
export interface Place {
  readonly url: string
  readonly store: Store
  readonly sql: PgClient.PgClient
}

/** A server with default settings, but for the number of connections. */
export const server = PostgresServer.make({ version: "18", fsync: true, settings: { max_connections: "300" } })

/** A store in a fresh database. */
export const makePlace = Effect.fnUntraced(function*(postgres: PostgresServer.PostgresServer) {
  const url = yield* postgres.createDatabase
  return yield* openPlace(url)
})

/** A store in a database; makes its tables where they are missing. */
export const openPlace = Effect.fnUntraced(function*(url: string) {
  const context = yield* Layer.build(
    PgEventStore.layer().pipe(Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) })))
  )
  return { url, store: Context.get(context, EventStore), sql: Context.get(context, PgClient.PgClient) } satisfies Place
})

/** A store in a PGlite of its own, with the client below it. */
export const makePglite = Effect.fnUntraced(function*(dataDir: string) {
  const context = yield* Layer.build(Layer.fresh(PgliteEventStore.layer({ dataDir })))
  return { store: Context.get(context, EventStore), sql: Context.get(context, PgClient.PgClient) }
})

/** Fills a store with carts of ten events each, a thousand carts an append. */
export const fill = (store: Store, count: number): Effect.Effect<void, unknown> =>
  Effect.forEach(
    Array.from({ length: Math.ceil(count / 10_000) }, (_, i) => i),
    (i) =>
      store.appendAll(
        Array.from(
          { length: Math.min(1000, Math.ceil(count / 10) - i * 1000) },
          (_, n) => EventStore.entry(Cart.stream(`fill-${i * 1000 + n}`), events((i * 1000 + n) * 10, 10))
        )
      ),
    { concurrency: 2, discard: true }
  )

/** The machine and the versions, for the head of a table. */
export const about = `${cpus().length} x ${cpus()[0]?.model.trim()}, ${
  Math.round(totalmem() / 2 ** 30)
} GiB, Node ${process.versions.node}, Postgres 18 on the same machine with fsync on.`
