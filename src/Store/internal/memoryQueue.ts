import { Duration } from "effect"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type {
  Claim,
  Claimed,
  ClaimedDelivery,
  Held,
  Offer,
  Settlement,
  SubscriptionDefinition,
  SubscriptionState
} from "../SubscriptionStorage.ts"

/** A delivery that is not finished. */
export interface Delivery {
  readonly position: number
  readonly key: string | null
  isLeased: boolean
  attempts: number
  /** Leases that ran out, without the one that runs now. */
  lost: number
  lease: number
  /** When it may be claimed: the time it waits for, or the end of its lease. */
  due: number
  reason: string
  error: string | null
  parkedAt: number
}

/** A persistent subscription with its deliveries. */
export interface Subscription {
  definition: SubscriptionDefinition
  readonly id: number
  revision: number
  position: number
  eventId: string | null
  leases: number
  /** What waits or is leased, in the order of positions as long as `isSorted`. */
  open: Map<number, Delivery>
  isSorted: boolean
  newest: number
  readonly parked: Map<number, Delivery>
  /** Lowest parked position of each key, counted when somebody asks for it. */
  parkedKeys: Map<string, number> | undefined
}

/** Where a subscription stands in the log. */
interface Start {
  readonly position: number
  readonly eventId: string | null
}

export const makeSubscription = (
  definition: SubscriptionDefinition,
  id: number,
  start: Start
): Subscription => ({
  definition,
  id,
  revision: 1,
  position: start.position,
  eventId: start.eventId,
  leases: 0,
  open: new Map(),
  isSorted: true,
  newest: 0,
  parked: new Map(),
  parkedKeys: undefined
})

/** Moves it there: what waits or is leased is dropped. */
export const move = (subscription: Subscription, start: Start): void => {
  subscription.open.clear()
  subscription.isSorted = true
  subscription.newest = 0
  subscription.position = start.position
  subscription.eventId = start.eventId
}

/** A delivery under its lease, `undefined` where that ran out or is another one. */
export const heldDelivery = ({ open }: Subscription, { lease, position }: Held, now: number): Delivery | undefined => {
  const delivery = open.get(position)
  return delivery !== undefined && delivery.isLeased && delivery.lease === lease && delivery.due > now
    ? delivery
    : undefined
}

export const stateOf = (
  { definition, eventId, id, open, parked, position, revision }: Subscription,
  now: number
): SubscriptionState => {
  let inFlight = 0
  let checkpoint = position
  for (const delivery of open.values()) {
    if (delivery.isLeased && delivery.due > now) inFlight++
    checkpoint = Math.min(checkpoint, delivery.position - 1)
  }
  return {
    ...definition,
    id,
    revision,
    position,
    eventId,
    checkpoint,
    // a lease that ran out waits for another consumer
    waiting: open.size - inFlight,
    inFlight,
    parked: parked.size
  }
}

const open = (subscription: Subscription, delivery: Delivery): void => {
  if (delivery.position < subscription.newest) subscription.isSorted = false
  else subscription.newest = delivery.position
  subscription.open.set(delivery.position, delivery)
}

const wait = (delivery: Delivery, due: number): void => {
  delivery.isLeased = false
  delivery.due = due
}

const park = (
  subscription: Subscription,
  delivery: Delivery,
  why: { readonly reason: string; readonly error: string | null },
  now: number
): void => {
  delivery.reason = why.reason
  delivery.error = why.error
  delivery.parkedAt = now
  subscription.open.delete(delivery.position)
  subscription.parked.set(delivery.position, delivery)
  subscription.parkedKeys = undefined
}

export const settle = (
  subscription: Subscription,
  delivery: Delivery,
  settlement: Settlement,
  now: number
): void => {
  switch (settlement.outcome) {
    case "done":
      subscription.open.delete(delivery.position)
      break
    case "retry":
      delivery.error = settlement.error
      wait(delivery, now + Duration.toMillis(settlement.after))
      break
    case "release":
      delivery.attempts--
      wait(delivery, now)
      break
    case "park":
      park(subscription, delivery, settlement, now)
  }
}

/** Parked deliveries behind a position, in the order of positions. */
export const parkedAfter = ({ parked }: Subscription, after: number, limit: number): ReadonlyArray<Delivery> =>
  [...parked.values()]
    .filter(({ position }) => position > after)
    .sort((a, b) => a.position - b.position)
    .slice(0, limit)

/** A delivery that is parked no longer. */
export const unpark = (subscription: Subscription, position: number): Delivery | undefined => {
  const delivery = subscription.parked.get(position)
  subscription.parked.delete(position)
  subscription.parkedKeys = undefined
  return delivery
}

/** Lets a delivery wait again as if it had never been claimed. */
export const restart = (subscription: Subscription, delivery: Delivery, now: number): void => {
  delivery.attempts = 0
  delivery.lost = 0
  wait(delivery, now)
  open(subscription, delivery)
}

const take = (subscription: Subscription, offer: Offer, now: number, idAt: QueuedLog["idAt"]): void => {
  if (offer.from !== subscription.position || (offer.revision ?? subscription.revision) !== subscription.revision) {
    return
  }
  if (offer.eventId !== null && idAt(offer.to) !== offer.eventId) return
  subscription.position = offer.to
  subscription.eventId = offer.eventId
  for (const { key, position } of offer.events) {
    // one that was parked, or replayed, before the subscription was moved back
    if (subscription.open.has(position) || subscription.parked.has(position)) continue
    const nothing = { isLeased: false, attempts: 0, lost: 0, lease: 0, reason: "", error: null, parkedAt: 0 }
    open(subscription, { position, key, due: now, ...nothing })
  }
}

/** What a queue asks of the log. */
export interface QueuedLog {
  /** The event at a position, unless it is hidden. */
  readonly eventAt: (position: number) => StoredEvent | undefined
  /** The id of the event at a position, also of a hidden one. */
  readonly idAt: (position: number) => string | undefined
}

export const claim = (
  subscription: Subscription,
  { attempts, idle, lease, limit, offer }: Claim,
  now: number,
  { eventAt, idAt }: QueuedLog
): Claimed => {
  if (offer !== undefined) take(subscription, offer, now, idAt)
  if (!subscription.isSorted) {
    subscription.open = new Map([...subscription.open].sort(([a], [b]) => a - b))
    subscription.isSorted = true
  }
  const parked = parkExhausted(subscription, attempts, now)
  const { first, suspect } = claimable(subscription, limit, now)
  const chosen = suspect === undefined ? first : idle && limit > 0 ? [suspect] : []
  if (chosen.length > 0) subscription.leases++
  const deliveries = chosen.map((delivery): ClaimedDelivery => {
    if (delivery.isLeased) delivery.lost++
    delivery.isLeased = true
    delivery.attempts++
    delivery.lease = subscription.leases
    delivery.due = now + Duration.toMillis(lease)
    const { key, position } = delivery
    return { position, key, attempt: delivery.attempts, lease: delivery.lease, event: eventAt(position) }
  })
  let next = Infinity
  for (const { due } of subscription.open.values()) {
    if (due > now && due < next) next = due
  }
  return {
    deliveries,
    position: subscription.position,
    eventId: subscription.eventId,
    free: Math.max(0, subscription.definition.capacity - subscription.open.size),
    nextIn: next === Infinity ? undefined : next - now,
    parked,
    revision: subscription.revision,
    isAlone: suspect !== undefined && chosen.length > 0
  }
}

const parkExhausted = (subscription: Subscription, attempts: number, now: number): number => {
  let count = 0
  for (const delivery of subscription.open.values()) {
    if (delivery.due > now || delivery.attempts < attempts) continue
    const reason = `it was begun ${delivery.attempts} times without an answer`
    park(subscription, delivery, { reason, error: delivery.error }, now)
    count++
  }
  return count
}

/** The first due deliveries whose keys are not blocked, and the first of those that has to be handed out alone. */
const claimable = (
  subscription: Subscription,
  limit: number,
  now: number
): { readonly first: ReadonlyArray<Delivery>; readonly suspect: Delivery | undefined } => {
  const blocked = new Set<string>()
  for (const { due, isLeased, key } of subscription.open.values()) {
    if (isLeased && due > now && key !== null) blocked.add(key)
  }
  const parkedKeys = subscription.definition.parkedBlocks ? lowestParked(subscription) : noKeys
  const begun = new Set<string>()
  const first: Array<Delivery> = []
  let suspect: Delivery | undefined
  for (const delivery of subscription.open.values()) {
    const { due, isLeased, key, lost, position } = delivery
    if (key !== null && (blocked.has(key) || parkedKeys.get(key)! < position)) continue
    const isSuspect = lost + (isLeased ? 1 : 0) >= lostBySuspects
    // nothing of a key passes one that waits for its time, or one that goes alone: that one waits for those before it
    if (key !== null && (due > now || isSuspect)) blocked.add(key)
    if (due > now) continue
    if (isSuspect) {
      if (key === null || !begun.has(key)) suspect ??= delivery
      continue
    }
    if (key !== null) begun.add(key)
    if (first.length < limit) first.push(delivery)
  }
  return { first, suspect }
}

/** Leases of a delivery that ran out, after which it may be what kills its consumers. */
const lostBySuspects = 2

const noKeys: ReadonlyMap<string, number> = new Map()

const lowestParked = (subscription: Subscription): ReadonlyMap<string, number> => {
  if (subscription.parkedKeys !== undefined) return subscription.parkedKeys
  const lowest = new Map<string, number>()
  for (const { key, position } of subscription.parked.values()) {
    if (key !== null && !(lowest.get(key)! < position)) lowest.set(key, position)
  }
  return subscription.parkedKeys = lowest
}
