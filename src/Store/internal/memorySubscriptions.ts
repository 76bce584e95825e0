import { Clock, Duration, Effect, Option } from "effect"
import * as StreamId from "../../Stream/StreamId.ts"
import type { AppendRefused } from "../LogStorage.ts"
import type { InvalidInput, StoreError } from "../StoreError.ts"
import type { Held, SubscriptionStorage } from "../SubscriptionStorage.ts"
import {
  claim,
  type Delivery,
  heldDelivery,
  makeSubscription,
  move,
  parkedAfter,
  type QueuedLog,
  restart,
  settle,
  stateOf,
  type Subscription,
  unpark
} from "./memoryQueue.ts"
import type { Ending } from "./memoryTransaction.ts"

/** What persistent subscriptions need of the log in memory. */
export interface SubscribedLog extends QueuedLog {
  /** Runs an effect as a transaction that ends with something else. `None`, and nothing stored, where that cannot be. */
  readonly transactionWith: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    ending: Ending
  ) => Effect.Effect<Option.Option<A>, E | AppendRefused | InvalidInput | StoreError, R>
}

/** The queues of persistent subscriptions in memory. Every operation runs in one piece, so none needs a lock. */
export const makeMemorySubscriptions = (log: SubscribedLog): SubscriptionStorage => {
  const byName = new Map<string, Subscription>()
  const byId = new Map<number, Subscription>()
  let ids = 0

  /** Changes the deliveries that are held by their lease; answers the positions of the others. */
  const changeHeld = <H extends Held>(
    id: number,
    held: ReadonlyArray<H>,
    now: number,
    change: (subscription: Subscription, delivery: Delivery, held: H) => void
  ): ReadonlyArray<number> => {
    const refused: Array<number> = []
    const subscription = byId.get(id)
    for (const one of held) {
      const delivery = subscription && heldDelivery(subscription, one, now)
      if (delivery === undefined) refused.push(one.position)
      else change(subscription!, delivery, one)
    }
    return refused
  }

  /** Takes deliveries out of the parked ones; answers how many there were. */
  const takeParked = (
    id: number,
    positions: ReadonlyArray<number>,
    use: (subscription: Subscription, delivery: Delivery) => void
  ): number => {
    const subscription = byId.get(id)
    let count = 0
    for (const position of subscription === undefined ? [] : positions) {
      const delivery = unpark(subscription!, position)
      if (delivery === undefined) continue
      use(subscription!, delivery)
      count++
    }
    return count
  }

  return {
    create: (definition, start) =>
      Effect.sync(() => {
        if (byName.has(definition.name)) return false
        const subscription = makeSubscription(definition, ++ids, start)
        byName.set(definition.name, subscription)
        byId.set(subscription.id, subscription)
        return true
      }),

    update: (name, { start, ...change }) =>
      Effect.sync(() => {
        const subscription = byName.get(name)
        if (subscription === undefined) return false
        const { capacity, filter, ordering, parkedBlocks } = subscription.definition
        subscription.definition = {
          name,
          filter: change.filter ?? filter,
          ordering: change.ordering ?? ordering,
          parkedBlocks: change.parkedBlocks ?? parkedBlocks,
          capacity: change.capacity ?? capacity
        }
        if (change.filter !== undefined || change.ordering !== undefined || change.parkedBlocks !== undefined) {
          subscription.revision++
        }
        if (start !== undefined) move(subscription, start)
        return true
      }),

    remove: (name) =>
      Effect.sync(() => {
        const subscription = byName.get(name)
        if (subscription === undefined) return false
        byId.delete(subscription.id)
        return byName.delete(name)
      }),

    list: (now) =>
      atTime(now, (now) => [...byName.keys()].sort(StreamId.compare).map((name) => stateOf(byName.get(name)!, now))),

    state: (name, now) =>
      atTime(now, (now) => {
        const subscription = byName.get(name)
        return subscription === undefined ? Option.none() : Option.some(stateOf(subscription, now))
      }),

    claim: (asked) =>
      atTime(asked.now, (now) => {
        const subscription = byId.get(asked.id)
        return subscription && claim(subscription, asked, now, log)
      }),

    settle: (id, settlements, now) =>
      atTime(
        now,
        (now) =>
          changeHeld(id, settlements, now, (subscription, delivery, settlement) =>
            settle(subscription, delivery, settlement, now))
      ),

    extend: (id, held, lease, now) =>
      atTime(now, (now) =>
        changeHeld(id, held, now, (_, delivery) => {
          delivery.due = now + Duration.toMillis(lease)
        })),

    finishWith: (id, held, effect, given) =>
      log.transactionWith(effect, {
        isPossible: (now_) => {
          const now = given ?? now_
          const subscription = byId.get(id)
          return subscription !== undefined && heldDelivery(subscription, held, now) !== undefined
        },
        run: () => {
          byId.get(id)!.open.delete(held.position)
        }
      }),

    parked: (id, { after, limit }) =>
      Effect.sync(() => {
        const subscription = byId.get(id)
        const deliveries = subscription === undefined ? [] : parkedAfter(subscription, after, limit)
        return deliveries.map(({ attempts, error, key, parkedAt, position, reason }) => ({
          position,
          key,
          attempts,
          reason,
          error,
          parkedAt,
          event: log.eventAt(position)
        }))
      }),

    replay: (id, positions) =>
      atTime(
        undefined,
        (now) => takeParked(id, positions, (subscription, delivery) => restart(subscription, delivery, now))
      ),

    discard: (id, positions) => Effect.sync(() => takeParked(id, positions, () => {})),

    skip: (id, positions) =>
      Effect.sync(() => {
        const open = byId.get(id)?.open
        const skipped = new Set(positions.filter((position) => open?.delete(position)))
        return skipped.size + takeParked(id, positions, () => {})
      })
  }
}

/** Runs something at a time: the one given, or that of the fibre's clock. */
const atTime = <A>(now: number | undefined, run: (now: number) => A): Effect.Effect<A> =>
  Effect.withFiber((fiber) => Effect.succeed(run(now ?? fiber.getRef(Clock.Clock).currentTimeMillisUnsafe())))
