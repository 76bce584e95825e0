import { Duration, Effect } from "effect"
import type { StoreError } from "../../Store/StoreError.ts"
import type { Held } from "../../Store/SubscriptionStorage.ts"
import type { Entry, Holdings } from "./held.ts"

export interface LeaseOptions {
  readonly holdings: Holdings
  readonly lease: Duration.Duration
  readonly extend: (held: ReadonlyArray<Held>) => Effect.Effect<ReadonlyArray<number>, StoreError>
  /** Goes on trying while the storage does not answer. */
  readonly steadily: <A>(effect: Effect.Effect<A, StoreError>) => Effect.Effect<A, StoreError>
  /** Told of an entry that is somebody else's by now, or may be. */
  readonly onLost: (entry: Entry, why: string) => Effect.Effect<void>
}

/** Extends the leases of all that is held, three times in the time of a lease. */
export const extendLeases = (
  { extend, holdings, lease, onLost, steadily }: LeaseOptions
): Effect.Effect<never, StoreError> =>
  Effect.forever(Effect.andThen(
    Effect.sleep(Duration.divideUnsafe(lease, 3)),
    Effect.gen(function*() {
      const entries = holdings.all()
      if (entries.length === 0) return
      let started = 0
      // before the call: the storage counts from later
      const refused = new Set(
        yield* steadily(Effect.suspend(() => {
          started = holdings.now()
          return extend(entries.map(({ held }) => held))
        }))
      )
      for (const entry of entries) {
        if (!refused.has(entry.claimed.position)) entry.validUntil = started + Duration.toMillis(lease)
        // what was answered meanwhile is refused because it is settled
        else if (entry.phase !== "answered") yield* onLost(entry, "was given to somebody else, or ran out")
      }
    })
  ))

/** Gives up what could not be extended in time: whoever comes next does not wait for this process. */
export const giveUpExpired = ({ holdings, lease, onLost }: LeaseOptions): Effect.Effect<never> =>
  Effect.forever(Effect.gen(function*() {
    const now = holdings.now()
    // whatever is claimed meanwhile runs out later
    let next = now + Duration.toMillis(lease) / 3
    for (const entry of holdings.all()) {
      if (entry.phase === "answered") continue
      if (entry.validUntil <= now) yield* onLost(entry, "ran out, because it could not be extended in time")
      else next = Math.min(next, entry.validUntil)
    }
    yield* Effect.sleep(Math.max(1, Math.ceil(next - now)))
  }))
