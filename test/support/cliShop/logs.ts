/** Logs of the shop for tests of the command line: a Postgres database, and a directory of PGlite. */
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Redacted } from "effect"
import { EventStore, PgEventStore, PgliteEventStore } from "effect-eventstore"
import { join } from "node:path"
import * as CommandLine from "../commandLine.ts"
import * as TestPostgres from "../TestPostgres.ts"
import { fill } from "./shop.ts"

/** What the application declares. */
export const config = ["--config", join(import.meta.dirname, "eventstore.config.ts")]

/** What another release of it declares: the environment says what is different. */
export const operated = ["--config", join(import.meta.dirname, "operated.config.ts")]

/** The store in a database, with its tables. */
export const storeAt = (url: string) =>
  PgEventStore.layer().pipe(Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) })), Layer.fresh)

/** The store in a directory, which is nobody else's as long as this is there. */
export const storeIn = (dir: string) => PgliteEventStore.layer({ dataDir: dir })

/** Logs that are filled with so many carts; of the directory with none the tables alone are there. */
export class Logs extends Context.Service<Logs, {
  readonly url: string
  readonly dir: string
  /** Flags that name the one or the other, with what the application declares. */
  readonly at: (kind: "Postgres" | "PGlite") => ReadonlyArray<string>
  /** Runs an effect on the store in Postgres, in this process. */
  readonly inPostgres: <A, E>(effect: Effect.Effect<A, E, EventStore>) => Effect.Effect<A>
}>()("test/cliShop/Logs") {
  static readonly layer = (carts: { readonly postgres: number; readonly pglite: number }) =>
    Layer.effect(
      Logs,
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const dir = yield* CommandLine.directory
        const store = yield* Layer.build(storeAt(url))
        yield* Effect.provide(fill(carts.postgres), store)
        yield* Effect.provide(fill(carts.pglite), storeIn(dir))
        return Logs.of({
          url,
          dir,
          at: (kind) => [...(kind === "Postgres" ? ["--url", url] : ["--dir", dir]), ...config],
          inPostgres: (effect) => Effect.orDie(Effect.provide(effect, store))
        })
      }).pipe(Effect.orDie)
    )
}

/** Looks until something holds; a failure says that it does not yet. */
export const looking = <R>(holds: Effect.Effect<boolean, any, R>): Effect.Effect<unknown, any, R> =>
  Effect.repeat(Effect.andThen(Effect.sleep("30 millis"), Effect.orElseSucceed(holds, () => false)), {
    until: (holds) => holds
  }).pipe(Effect.timeout("20 seconds"))
