/** Emmett's command handler on its Postgres store. It lies in this folder to see this folder's dependencies. */
import { CommandHandler } from "@event-driven-io/emmett"
import { getPostgreSQLEventStore } from "@event-driven-io/emmett-postgresql"
import { Effect, type Scope } from "effect"
import { evolve, plainAdded } from "../support/counters.ts"

interface Added {
  readonly type: "Added"
  readonly data: { readonly by: number; readonly note: string }
}

export interface EmmettCommands {
  /** Runs a command on a stream, again as often as another writer was faster. */
  readonly run: (stream: string) => Promise<unknown>
  /** Gives a stream so many events. */
  readonly fill: (stream: string, count: number) => Promise<void>
}

/** Opens the store in a database; makes its tables where they are missing. */
export const make = (url: string): Effect.Effect<EmmettCommands, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const store = getPostgreSQLEventStore(url)
        await store.schema.migrate()
        return store
      }),
      (store) => Effect.andThen(Effect.promise(() => store.close()), Effect.sleep(500))
    ),
    (store) => {
      const added: Added = { type: "Added", data: plainAdded }
      const handle = CommandHandler<{ readonly sum: number }, Added>({
        initialState: () => ({ sum: 0 }),
        evolve: (state, { data: { by } }) => evolve(state, by),
        // three tries in the beginning, which is nothing on a hot stream
        retry: { onVersionConflict: { retries: 10_000, minTimeout: 1, maxTimeout: 50, factor: 1.5, randomize: true } }
      })
      return {
        run: (stream) => handle(store, stream, () => added),
        fill: async (stream, count) => {
          for (let i = 0; i < count; i += 1000) {
            await store.appendToStream<Added>(stream, Array.from({ length: Math.min(1000, count - i) }, () => added))
          }
        }
      }
    }
  )
