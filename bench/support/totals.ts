/**
 * The read model that the benches keep: a row for each cart, with the number of its events and the sum of their cents. Carts
 * are interleaved, a thousand at a time, so that neighbours in the log seldom belong to one cart.
 */
import type { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import { EventStore } from "effect-eventstore"
import type { Store } from "./arena.ts"
import { Cart, event, plainEvent } from "./shop.ts"

/** Cents that an event adds. */
export const centsOf = (data: object): number => "cents" in data && typeof data.cents === "number" ? data.cents : 0

const open = 1000

/** A whole number of blocks: a thousand carts of ten events each. */
export const block = open * 10

/** Fills a store; `count` is a multiple of `block`. */
export const fillInterleaved = ({ appendAll }: Store, count: number, prefix = "t"): Effect.Effect<void, unknown> =>
  Effect.forEach(
    Array.from({ length: count / open }, (_, i) => i),
    (i) =>
      appendAll(Array.from({ length: open }, (_, n) => {
        const cart = Math.floor(i / 10) * open + n
        return EventStore.entry(Cart.stream(`${prefix}${cart}`), [event(cart * 10 + i % 10)])
      })),
    { discard: true } // one after the other: the order of a cart's events is theirs
  )

/** What the rows of a model have to add up to. */
export const expected = (count: number): Sums => {
  let cents = 0
  for (let i = 0; i < count; i++) cents += centsOf(plainEvent(i).data)
  return { carts: count / 10, events: count, cents }
}

export interface Sums {
  readonly carts: number
  readonly events: number
  readonly cents: number
}

/** Dies where a read model is not what the events say: a rate of something else is none. */
export const verify = (found: Sums, count: number): Effect.Effect<void> => {
  const wanted = expected(count)
  return found.carts === wanted.carts && found.events === wanted.events && found.cents === wanted.cents
    ? Effect.void
    : Effect.die(new Error(`The read model has ${JSON.stringify(found)}, and not ${JSON.stringify(wanted)}`))
}

/** Sums of a table of totals by its name. */
export const sumsOf = (sql: PgClient.PgClient, table: string) =>
  Effect.map(
    sql.unsafe<Sums>(
      `SELECT count(*)::float8 AS carts, sum(events)::float8 AS events, sum(cents)::float8 AS cents FROM ${table}`
    ),
    (rows) => rows[0]!
  )

/** Totals of several events, by cart: what a batch adds. */
export const totalsOf = <A>(
  events: ReadonlyArray<A>,
  look: (event: A) => { readonly cart: string; readonly data: object }
) => {
  const totals = new Map<string, { events: number; cents: number }>()
  for (const event of events) {
    const { cart, data } = look(event)
    const total = totals.get(cart)
    if (total === undefined) totals.set(cart, { events: 1, cents: centsOf(data) })
    else {
      total.events++
      total.cents += centsOf(data)
    }
  }
  return {
    carts: [...totals.keys()],
    events: Array.from(totals.values(), ({ events }) => events),
    cents: Array.from(totals.values(), ({ cents }) => cents)
  }
}
