import type { Duration } from "effect"
import type {
  Claim,
  Claimed,
  ClaimedDelivery,
  Held,
  ParkedDelivery,
  Settlement,
  SubscriptionDefinition,
  SubscriptionState
} from "../SubscriptionStorage.ts"
import { columns, isVisible, type Statement, toStored, type Values } from "./eventsSql.ts"
import { interval, nullable, text, time, timeOr } from "./sqlParams.ts"

/** Where a subscription stands in the log. */
interface Place {
  readonly position: number
  readonly eventId: string | null
}

export const createSubscription = (
  schema: string,
  log: number,
  { capacity, filter, name, ordering, parkedBlocks }: SubscriptionDefinition,
  start: Place
): Statement => ({
  text: `
      SELECT ${schema}.create_subscription(
        $1::int4, $2::text, $3::json, $4::text, $5::bool, $6::int8, $7::int8, $8::uuid
      )`,
  params: [
    log,
    name,
    JSON.stringify(filter),
    ordering,
    parkedBlocks,
    BigInt(capacity),
    BigInt(start.position),
    start.eventId
  ]
})

export const updateSubscription = (
  schema: string,
  log: number,
  name: string,
  { capacity, filter, ordering, parkedBlocks }: Partial<SubscriptionDefinition>,
  start: Place | undefined
): Statement => ({
  text: `
      SELECT ${schema}.update_subscription(
        $1::int4, $2::text, $3::json, $4::text, $5::bool, $6::int8, $7::bool, $8::int8, $9::uuid
      )`,
  params: [
    log,
    name,
    filter === undefined ? null : JSON.stringify(filter),
    ordering ?? null,
    parkedBlocks ?? null,
    capacity === undefined ? null : BigInt(capacity),
    start !== undefined,
    start === undefined ? null : BigInt(start.position),
    start?.eventId ?? null
  ]
})

export const removeSubscription = (schema: string, log: number, name: string): Statement => ({
  text: `
      SELECT ${schema}.remove_subscription($1::int4, $2::text)`,
  params: [log, name]
})

/**
 * What subscriptions are, all of them or the one of a name: a probe of subscriptions_name_key, and of each the ranges of
 * deliveries_pkey and parked_deliveries_pkey, to be counted.
 */
export const subscriptionStates = (
  schema: string,
  log: number,
  name: string | null,
  now: number | undefined
): Statement => ({
  text: `
      SELECT
        s.name::text, s.filter::text, s.ordering, s.parked_blocks, s.capacity::float8, s.subscription_id,
        s.position::float8, s.event_id::text, LEAST(s.position, q.first - 1)::float8,
        q.waiting::float8, q.leased::float8, p.parked::float8, s.revision
      FROM ${schema}.subscriptions s
      CROSS JOIN LATERAL (
        SELECT
          min(d.position) AS first,
          count(*) FILTER (WHERE d.lease IS NULL OR d.due_at <= ${timeOr(3)}) AS waiting,
          count(*) FILTER (WHERE d.lease IS NOT NULL AND d.due_at > ${timeOr(3)}) AS leased
        FROM ${schema}.deliveries d
        WHERE d.subscription_id = s.subscription_id AND d.position >= s.lowest
      ) q
      CROSS JOIN LATERAL (
        SELECT count(*) AS parked FROM ${schema}.parked_deliveries p WHERE p.subscription_id = s.subscription_id
      ) p
      WHERE s.log_id = $1::int4 AND ($2::text IS NULL OR s.name = $2::text)
      ORDER BY s.name`,
  params: [log, name, now ?? null]
})

/** A row of {@link subscriptionStates}. */
export const toSubscriptionState = (row: Values): SubscriptionState => ({
  name: row[0],
  filter: JSON.parse(row[1]),
  ordering: row[2],
  parkedBlocks: row[3],
  capacity: row[4],
  id: row[5],
  position: row[6],
  eventId: row[7],
  checkpoint: row[8],
  waiting: row[9],
  inFlight: row[10],
  parked: row[11],
  revision: row[12]
})

/** One claim; its rows are read by {@link toClaimed}. */
export const claimDeliveries = (
  schema: string,
  { attempts, id, idle, lease, limit, now, offer }: Claim
): Statement => ({
  text: `
      SELECT
        ${columns}, e.order_key::text, e.attempt, e.lease::float8, e.free::float8, e.next_in::float8, e.parked::float8,
        e.revision, e.alone
      FROM ${schema}.claim_deliveries(
        $1::int4, ${time(2)}, $3::int8, $4::text::interval, $5::int4, $6::bool, $7::int4, $8::int8, $9::int8, $10::uuid,
        $11::text[]::int8[], $12::text[]
      ) e`,
  params: [
    id,
    now ?? null,
    BigInt(limit),
    interval(lease),
    Math.min(attempts, 0x7fffffff),
    idle,
    offer?.revision ?? null,
    offer === undefined ? null : BigInt(offer.from),
    offer === undefined ? null : BigInt(offer.to),
    offer === undefined ? null : offer.eventId,
    offer === undefined ? null : offer.events.map(({ position }) => String(position)),
    offer === undefined || offer.events.every(({ key }) => key === null)
      ? null
      : offer.events.map(({ key }) => key === null ? null : text(key))
  ]
})

/** The rows of {@link claimDeliveries}: the subscription itself, then what it hands out. No row: it is gone. */
export const toClaimed = ([subscription, ...rows]: ReadonlyArray<Values>): Claimed | undefined =>
  subscription === undefined ? undefined : {
    deliveries: rows.map((row): ClaimedDelivery => ({
      position: row[0],
      key: row[10],
      attempt: row[11],
      lease: row[12],
      event: toEvent(row)
    })),
    position: subscription[0],
    eventId: subscription[3],
    free: subscription[13],
    nextIn: subscription[14] ?? undefined,
    parked: subscription[15],
    revision: subscription[16],
    isAlone: subscription[17]
  }

/** `undefined` where the event is hidden or gone. */
const toEvent = (row: Values) => row[1] === null ? undefined : toStored(row)

/** Settles in the order of positions: two that settle the same deliveries cannot wait for each other. */
export const settleDeliveries = (
  schema: string,
  id: number,
  settlements: ReadonlyArray<Settlement>,
  now: number | undefined
): Statement => {
  const sorted = byPosition(settlements)
  const areDone = sorted.every(({ outcome }) => outcome === "done")
  return {
    text: `
      SELECT ${schema}.settle_deliveries(
        $1::int4, ${
      time(2)
    }, $3::text[]::int8[], $4::text[]::int8[], $5::int4[], $6::text[]::interval[], $7::text[], $8::text[]
      )::float8[]`,
    params: [
      id,
      now ?? null,
      sorted.map(({ position }) => String(position)),
      sorted.map(({ lease }) => String(lease)),
      areDone ? null : sorted.map(({ outcome }) => outcomes[outcome]),
      nullable(sorted.map((settlement) => settlement.outcome === "retry" ? interval(settlement.after) : null)),
      nullable(sorted.map((settlement) => settlement.outcome === "park" ? text(settlement.reason) : null)),
      nullable(
        sorted.map((settlement) => "error" in settlement && settlement.error !== null ? text(settlement.error) : null)
      )
    ]
  }
}

const outcomes = { done: 0, retry: 1, park: 2, release: 3 } as const

export const extendDeliveries = (
  schema: string,
  id: number,
  held: ReadonlyArray<Held>,
  lease: Duration.Duration,
  now: number | undefined
): Statement => {
  const sorted = byPosition(held)
  return {
    text: `
      SELECT ${schema}.extend_deliveries(
        $1::int4, ${time(2)}, $3::text[]::int8[], $4::text[]::int8[], $5::text::interval
      )::float8[]`,
    params: [
      id,
      now ?? null,
      sorted.map(({ position }) => String(position)),
      sorted.map(({ lease }) => String(lease)),
      interval(lease)
    ]
  }
}

/** Parked deliveries with their events: a range of parked_deliveries_pkey, and a probe of events_pkey for each. */
export const parkedDeliveries = (
  schema: string,
  log: number,
  id: number,
  { after, limit }: { readonly after: number; readonly limit: number }
): Statement => ({
  text: `
      SELECT ${columns}, p.position::float8, p.order_key::text, p.attempts, p.reason, p.error,
        floor(extract(epoch FROM p.parked_at) * 1000)::float8
      FROM (
        SELECT p.position, p.order_key, p.attempts, p.reason, p.error, p.parked_at
        FROM ${schema}.parked_deliveries p
        WHERE p.subscription_id = $2::int4 AND p.position > $3::int8
        ORDER BY p.position
        LIMIT $4::int8
      ) p
      LEFT JOIN LATERAL (
        SELECT e.* FROM ${schema}.events e WHERE e.log_id = $1::int4 AND e.position = p.position AND ${
    isVisible(schema)
  }
        LIMIT 1
      ) e ON true
      ORDER BY p.position`,
  params: [log, id, BigInt(after), BigInt(limit)]
})

/** A row of {@link parkedDeliveries}. */
export const toParked = (row: Values): ParkedDelivery => ({
  position: row[10],
  key: row[11],
  attempts: row[12],
  reason: row[13],
  error: row[14],
  parkedAt: row[15],
  event: toEvent(row)
})

export const replayDeliveries = (schema: string, id: number, positions: ReadonlyArray<number>): Statement => ({
  text: `
      SELECT ${schema}.replay_deliveries($1::int4, $2::text[]::int8[])::float8`,
  params: [id, positions.map(String)]
})

export const discardDeliveries = (schema: string, id: number, positions: ReadonlyArray<number>): Statement => ({
  text: `
      SELECT ${schema}.discard_deliveries($1::int4, $2::text[]::int8[])::float8`,
  params: [id, positions.map(String)]
})

export const skipDeliveries = (schema: string, id: number, positions: ReadonlyArray<number>): Statement => ({
  text: `
      SELECT ${schema}.skip_deliveries($1::int4, $2::text[]::int8[])::float8`,
  params: [id, positions.map(String)]
})

const byPosition = <A extends Held>(held: ReadonlyArray<A>): ReadonlyArray<A> =>
  held.toSorted((a, b) => a.position - b.position)
