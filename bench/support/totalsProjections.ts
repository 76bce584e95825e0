/** The read model of the benches (`totals.ts`), kept by the library in each of the ways there are. */
import { Effect, Schema, Stream } from "effect"
import { type EventStore, Projection } from "effect-eventstore"
import type { SqlClient } from "effect/sql"
import { unique } from "./load.ts"
import { Cart } from "./shop.ts"
import { centsOf, type Sums, totalsOf } from "./totals.ts"

/** A projection, and how to see what it made. */
export interface Keeper {
  readonly projection: Projection.Projection<SqlClient.SqlClient>
  readonly sums: Effect.Effect<Sums, unknown, EventStore | SqlClient.SqlClient>
}

interface Options {
  readonly mode?: "async" | "inline"
  readonly start?: "start" | "end"
}

/** Makes one that nobody has run before. */
export type Keep = (options?: Options) => Keeper

const newName = () => `totals-${unique()}`

const setup = ({ sql, table }: Projection.Model) =>
  sql`CREATE TABLE ${table("totals")} (cart text PRIMARY KEY, events bigint NOT NULL, cents bigint NOT NULL)`

const sumsIn = (projection: Projection.Tables<any>) =>
  Effect.map(
    Projection.read(projection, ({ sql, table }) =>
      sql<Sums>`SELECT count(*)::float8 AS carts, sum(events)::float8 AS events, sum(cents)::float8 AS cents
        FROM ${table("totals")}`),
    (rows) =>
      rows[0]!
  )

const toEach = <A>(handler: A) => ({
  Opened: handler,
  ItemAdded: handler,
  ItemRemoved: handler,
  QuantityChanged: handler,
  CouponUsed: handler,
  AddressGiven: handler,
  Noted: handler,
  Paid: handler,
  Shipped: handler,
  Closed: handler
})

interface Seen {
  readonly event: object
  readonly streamId: string
}

/** One statement an event. */
export const byTag: Keep = (options) => {
  const projection = Projection.make(newName(), {
    ...options,
    from: Cart,
    setup,
    handle: toEach(({ event, streamId }: Seen, { sql, table }: Projection.Model) =>
      sql`INSERT INTO ${table("totals")} AS t (cart, events, cents) VALUES (${streamId}, 1, ${centsOf(event)})
        ON CONFLICT (cart) DO UPDATE SET events = t.events + 1, cents = t.cents + excluded.cents`
    )
  })
  return { projection, sums: sumsIn(projection) }
}

/** One statement a transaction. */
export const inBatches: Keep = (options) => {
  const projection = Projection.make(newName(), {
    ...options,
    from: Cart,
    setup,
    batch: (events, { sql, table }) => {
      const { carts, cents, events: counts } = totalsOf(
        events,
        ({ event, streamId }) => ({ cart: streamId, data: event })
      )
      return sql`INSERT INTO ${table("totals")} AS t (cart, events, cents)
        SELECT * FROM unnest(${carts}::text[], ${counts}::int8[], ${cents}::int8[])
        ON CONFLICT (cart) DO UPDATE SET events = t.events + excluded.events, cents = t.cents + excluded.cents`
    }
  })
  return { projection, sums: sumsIn(projection) }
}

interface Total {
  readonly events: number
  readonly cents: number
}

/** A document a cart. */
export const inDocuments: Keep = (options) => {
  const projection = Projection.documents(newName(), {
    ...options,
    from: Cart,
    state: Schema.Struct({ events: Schema.Int, cents: Schema.Int }),
    initial: (): Total => ({ events: 0, cents: 0 }),
    evolve: toEach(({ cents, events }: Total, { event }: Seen): Total => ({
      events: events + 1,
      cents: cents + centsOf(event)
    }))
  })
  const sums = Stream.runFold(
    Projection.list(projection),
    (): Sums => ({ carts: 0, events: 0, cents: 0 }),
    (sums, { state }) => ({
      carts: sums.carts + 1,
      events: sums.events + state.events,
      cents: sums.cents + state.cents
    })
  )
  return { projection, sums }
}
