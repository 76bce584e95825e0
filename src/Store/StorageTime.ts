/**
 * The time that a storage goes by.
 *
 * Leases, retries and timers of several processes need one clock: that of the storage. A program that runs on a clock of its
 * own, a `TestClock` perhaps, tells it the time instead.
 *
 * @since 0.1.0
 */
import { Clock, Context } from "effect"

const systemClock = Context.get(Context.empty(), Clock.Clock)

/**
 * What a storage is told as the time, in milliseconds since 1970: `undefined`, its own time counts, unless the program runs
 * on another clock than the system's.
 *
 * **Example**
 * ```ts
 * import { Clock, Effect } from "effect"
 * import { StorageTime } from "effect-eventstore"
 *
 * export const program = Effect.map(Clock.Clock, StorageTime.of) // => undefined
 * ```
 * @category getters
 * @since 0.1.0
 */
export const of = (clock: Clock.Clock): number | undefined =>
  clock === systemClock ? undefined : clock.currentTimeMillisUnsafe()
