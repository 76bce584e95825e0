/** Emmett's Postgres store, used as its documentation says. It lies in this folder to see this folder's dependencies. */
import { isExpectedVersionConflictError } from "@event-driven-io/emmett"
import { getPostgreSQLEventStore, type PostgresEventStoreOptions } from "@event-driven-io/emmett-postgresql"
import { Effect, type Scope } from "effect"

export interface PlainEvent {
  readonly type: string
  readonly data: Record<string, unknown>
}

export interface EmmettStore {
  /** Appends and does it again as often as another writer of the stream was faster; says how often. */
  readonly append: (stream: string, events: ReadonlyArray<PlainEvent>) => Promise<number>
  /** Reads a whole stream; says how many events it has. */
  readonly read: (stream: string) => Promise<number>
}

/** Opens the store in a database, with inline projections where some are given, and makes its tables. */
export const make = (
  url: string,
  projections: NonNullable<PostgresEventStoreOptions["projections"]> = []
): Effect.Effect<EmmettStore, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const store = getPostgreSQLEventStore(url, { projections })
        await store.schema.migrate()
        return store
      }),
      // `close` does not wait for the connections, and one that the server ends first would end the bench
      (store) => Effect.andThen(Effect.promise(() => store.close()), Effect.sleep(500))
    ),
    (store) => ({
      append: async (stream, events) => {
        for (let conflicts = 0;; conflicts++) {
          try {
            await store.appendToStream(stream, [...events])
            return conflicts
          } catch (error) {
            if (!isExpectedVersionConflictError(error)) throw error
          }
        }
      },
      read: async (stream) => (await store.readStream(stream)).events.length
    })
  )
