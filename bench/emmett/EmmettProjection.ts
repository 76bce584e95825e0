/**
 * Emmett's projections on Postgres, as its documentation says: asynchronous ones run by a consumer's projector, inline ones
 * given to the store. It lies in this folder to see this folder's dependencies.
 */
import { identifier, SQL } from "@event-driven-io/dumbo"
import { projections } from "@event-driven-io/emmett"
import {
  pongoMultiStreamProjection,
  postgreSQLEventStoreConsumer,
  type PostgreSQLProjectionDefinition,
  postgreSQLRawSQLProjection
} from "@event-driven-io/emmett-postgresql"
import { Effect, type Scope } from "effect"
import * as EmmettStore from "./EmmettStore.ts"

/** - `"sql"`: one statement an event; `"documents"`: a document a cart, kept by Pongo */
export type Kind = "sql" | "documents"

/**
 * - `"default"`: a hundred messages a batch, 50 ms between batches
 * - `"tuned"`: a thousand a batch, and 1 ms
 */
export type Settings = "default" | "tuned"

interface CartEvent {
  readonly type: string
  readonly data: Record<string, unknown>
  readonly metadata?: { readonly streamName: string }
}

type Total = {
  events: number
  cents: number
}

// a projector hands its projection the types that it names, and all that a shop has are wanted
const types = [
  "Opened",
  "ItemAdded",
  "ItemRemoved",
  "QuantityChanged",
  "CouponUsed",
  "AddressGiven",
  "Noted",
  "Paid",
  "Shipped",
  "Closed"
]

const centsOf = ({ data }: CartEvent): number => typeof data["cents"] === "number" ? data["cents"] : 0
const cartOf = ({ metadata }: CartEvent): string => metadata!.streamName

/** The same totals as everybody's: a row or a document for each cart. */
const projectionOf = (kind: Kind, name: string): PostgreSQLProjectionDefinition<CartEvent> =>
  kind === "sql"
    ? postgreSQLRawSQLProjection<CartEvent>({
      name,
      canHandle: types,
      init: () =>
        SQL`CREATE TABLE IF NOT EXISTS ${identifier(name)}
          (cart text PRIMARY KEY, events bigint NOT NULL, cents bigint NOT NULL)`,
      evolve: (event) =>
        SQL`INSERT INTO ${identifier(name)} AS t (cart, events, cents) VALUES (${cartOf(event)}, 1, ${centsOf(event)})
          ON CONFLICT (cart) DO UPDATE SET events = t.events + 1, cents = t.cents + excluded.cents`
    })
    : pongoMultiStreamProjection<Total, CartEvent>({
      collectionName: name,
      canHandle: types,
      getDocumentId: cartOf,
      initialState: () => ({ events: 0, cents: 0 }),
      evolve: (total: Total, event: CartEvent) => ({ events: total.events + 1, cents: total.cents + centsOf(event) })
    })

/** Builds a read model of the first messages of a store; says how many milliseconds it took to the last one. */
export const project = (
  url: string,
  kind: Kind,
  settings: Settings,
  name: string,
  count: number
): Effect.Effect<number> =>
  Effect.promise(async () => {
    const started = performance.now()
    let handled = 0
    let last = Number.NaN
    const consumer = postgreSQLEventStoreConsumer({
      connectionString: url,
      ...settings === "tuned" ? { pulling: { batchSize: 1000, pullingFrequencyInMs: 1 } } : {}
    })
    consumer.projector({
      projection: projectionOf(kind, name),
      startFrom: "BEGINNING",
      // asked after each message, when its place is stored
      stopAfter: () => {
        last = performance.now()
        return ++handled === count
      }
    })
    await consumer.start()
    await consumer.close()
    if (handled !== count) throw new Error(`Emmett projected ${handled} of ${count} messages`)
    return last - started
  })

/** A store whose appends apply an inline projection. */
export const makeInline = (
  url: string,
  kind: Kind,
  name: string
): Effect.Effect<EmmettStore.EmmettStore, never, Scope.Scope> =>
  EmmettStore.make(url, projections.inline([projectionOf(kind, name)]))
