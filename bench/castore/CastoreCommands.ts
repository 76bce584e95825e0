/** Castore's commands on its Postgres adapter. It lies in this folder to see this folder's dependencies. */
import { Command, EventStore, EventType, tuple } from "@castore/core"
import { PostgresEventStorageAdapter } from "@castore/event-storage-adapter-postgres"
import { Effect } from "effect"
import { evolve, plainAdded } from "../support/counters.ts"

export interface CastoreCommands {
  /** Runs a command on an aggregate, again as often as another writer was faster. */
  readonly run: (aggregate: string) => Promise<unknown>
}

interface Counter {
  readonly aggregateId: string
  readonly version: number
  readonly sum: number
}

/** Its one table, in a database. */
export const table = "castore_event"

export const aggregateName = "COUNTER"

/** Makes the table; how often a command that lost is run again is up to who makes it, and the default is twice. */
export const migrate = (url: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    await PostgresEventStorageAdapter.createEventTable({
      connectionString: url,
      tableName: table,
      aggregateId: { type: "VARCHAR", length: 64 }
    })
  })

/** Opens the store in a database that has its table. */
export const make = (url: string): CastoreCommands => {
  const eventStorageAdapter = new PostgresEventStorageAdapter({ connectionString: url, tableName: table })
  const counters = new EventStore({
    eventStoreId: aggregateName,
    eventTypes: [new EventType<"ADDED", typeof plainAdded>({ type: "ADDED" })],
    reducer: (state: Counter, { aggregateId, payload, version }): Counter => ({
      aggregateId,
      version,
      ...evolve(state ?? { sum: 0 }, payload.by)
    }),
    eventStorageAdapter
  })
  const add = new Command({
    commandId: "ADD",
    requiredEventStores: tuple(counters),
    eventAlreadyExistsRetries: 10_000,
    handler: async ({ aggregateId }: { readonly aggregateId: string }, [counters]) => {
      const { aggregate } = await counters.getAggregate(aggregateId)
      await counters.pushEvent({
        aggregateId,
        version: (aggregate?.version ?? 0) + 1,
        type: "ADDED",
        payload: plainAdded
      })
    }
  })
  return { run: (aggregateId) => add.handler({ aggregateId }, [counters]) }
}
