import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import * as RawEvent from "../../Event/RawEvent.ts"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type {
  Claim,
  ClaimedDelivery,
  Held,
  Settlement,
  SubscriptionDefinition
} from "../../Store/SubscriptionStorage.ts"
import { rawStream } from "../../Stream/Category.ts"
import { equal, freshName, type Store } from "./rule.ts"

/**
 * A time for rules to begin at, far ahead of every clock: what counts by the clock of the storage is due by then, and a
 * lease given then holds by the clock of the storage.
 */
export const begin = 4_000_000_000_000

/** A time long past, by the clock of the storage: a lease given then has run out. */
export const longAgo = 1_700_000_000_000

export const everything: LogFilter = {
  types: null,
  categories: null,
  streamPrefix: null,
  tags: null,
  recordedFrom: null,
  recordedUntil: null
}

export const definitionOf = (
  name: string,
  options: Partial<SubscriptionDefinition> = {}
): SubscriptionDefinition => ({
  name,
  filter: everything,
  ordering: "key",
  parkedBlocks: false,
  capacity: 1000,
  ...options
})

export const second = Duration.seconds(1)

export const storageOf = (store: Store) => store.storage.subscriptions

/** A claim of all there is, by a consumer that has nothing in hand. */
export const claimOf = (id: number, now: number | undefined, options: Partial<Claim> = {}): Claim => ({
  id,
  now,
  limit: 1000,
  lease: second,
  attempts: 1000,
  idle: true,
  offer: undefined,
  ...options
})

/** A persistent subscription of its own for each rule, and what rules do with it. */
/** Stores so many events: what stands before and at the last of them, and its id. */
export const storedEvents = Effect.fnUntraced(function*(store: Store, count: number) {
  const noted = RawEvent.make({ type: "Noted", schemaVersion: 1, data: {} })
  const { firstPosition, position } = yield* store.append(
    rawStream(`offered-${freshName()}`),
    Array.from({ length: count }, () => noted)
  )
  return { from: firstPosition - 1, to: position, eventId: (yield* store.storage.identity(position)).eventId! }
})

export type Queue = Effect.Success<ReturnType<typeof makeQueue>>

export const makeQueue = Effect.fnUntraced(
  function*(store: Store, options: Partial<SubscriptionDefinition> = {}, start = 0) {
    const subscriptions = storageOf(store)
    const definition = definitionOf(freshName(), options)
    const { name } = definition
    equal(yield* subscriptions.create(definition, { position: start, eventId: null }), true)
    const { id } = Option.getOrThrow(yield* subscriptions.state(name, begin))
    let offered = start

    const claim = (now: number | undefined, options?: Partial<Claim>) =>
      Effect.map(subscriptions.claim(claimOf(id, now, options)), (claimed) => {
        assert.isDefined(claimed)
        return claimed
      })

    return {
      name,
      id,
      claim,
      /** The deliveries of a claim. */
      take: (now: number | undefined, options?: Partial<Claim>) =>
        Effect.map(claim(now, options), ({ deliveries }) => deliveries),
      /** Positions that are handed out by a claim. */
      positions: (now: number | undefined, options?: Partial<Claim>) =>
        Effect.map(claim(now, options), ({ deliveries }) => deliveries.map(({ position }) => position)),
      /** Offers deliveries of these keys, at the positions that follow, and claims none. */
      offer: (keys: ReadonlyArray<string | null>, now = begin) => {
        const from = offered
        const events = keys.map((key) => ({ position: ++offered, key }))
        return claim(now, { limit: 0, offer: { from, to: offered, eventId: null, events } })
      },
      state: (now = begin) => Effect.map(subscriptions.state(name, now), Option.getOrThrow),
      /** What waits, what is in flight, and what is parked. */
      counts: (now = begin) =>
        Effect.map(subscriptions.state(name, now), (state) => {
          const { inFlight, parked, waiting } = Option.getOrThrow(state)
          return { waiting, inFlight, parked }
        }),
      /** Settles; answers what is refused. */
      settle: (now: number, ...settlements: ReadonlyArray<Settlement>) =>
        Effect.map(subscriptions.settle(id, settlements, now), ascending),
      extend: (now: number, lease: Duration.Duration, ...held: ReadonlyArray<Held>) =>
        Effect.map(subscriptions.extend(id, held.map(heldOf), lease, now), ascending),
      /** What is parked, without the events: the positions of rules are made up, and may be those of other events. */
      parked: (after = 0, limit = 1000) =>
        Effect.map(
          subscriptions.parked(id, { after, limit }),
          (parked) =>
            parked.map(({ attempts, error, key, parkedAt, position, reason }) => ({
              position,
              key,
              attempts,
              reason,
              error,
              parkedAt
            }))
        ),
      replay: (...positions: ReadonlyArray<number>) => subscriptions.replay(id, positions),
      discard: (...positions: ReadonlyArray<number>) => subscriptions.discard(id, positions),
      skip: (...positions: ReadonlyArray<number>) => subscriptions.skip(id, positions)
    }
  }
)

const ascending = (positions: ReadonlyArray<number>): ReadonlyArray<number> => [...positions].sort((a, b) => a - b)

export const heldOf = ({ lease, position }: Held): Held => ({ position, lease })

export const done = (held: Held): Settlement => ({ ...heldOf(held), outcome: "done" })

export const release = (held: Held): Settlement => ({ ...heldOf(held), outcome: "release" })

export const retry = (held: Held, millis: number, error = "it failed"): Settlement => ({
  ...heldOf(held),
  outcome: "retry",
  after: Duration.millis(millis),
  error
})

export const park = (held: Held, reason = "on purpose", error: string | null = null): Settlement => ({
  ...heldOf(held),
  outcome: "park",
  reason,
  error
})

export const positionsOf = (deliveries: ReadonlyArray<ClaimedDelivery>): ReadonlyArray<number> =>
  deliveries.map(({ position }) => position)
