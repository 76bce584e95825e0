import { Clock, type Duration, Duration as Durations, Effect } from "effect"

/** Milliseconds up to which a sleep is one of those that look now and then whether there is something to do. */
const shortMillis = 60_000

interface Sleep {
  readonly at: number
  readonly isShort: boolean
  readonly wake: () => void
}

/**
 * A clock that stands still until it is set, for programs that poll: a year of a story has millions of short sleeps, after
 * which nothing has happened.
 */
export class StoryClock implements Clock.Clock {
  private now = 0
  private readonly sleeps = new Set<Sleep>()

  currentTimeMillisUnsafe(): number {
    return this.now
  }
  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.now * 1000)) * 1000n
  }
  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe()
  }
  readonly currentTimeMillis = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos = Effect.sync(() => this.monotonicTimeNanosUnsafe())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const millis = Durations.toMillis(duration)
      if (millis <= 0) return resume(Effect.void)
      const sleep: Sleep = {
        at: this.now + millis,
        isShort: millis <= shortMillis,
        wake: () => resume(Effect.void)
      }
      this.sleeps.add(sleep)
      return Effect.sync(() => void this.sleeps.delete(sleep))
    })
  }

  /** When the next sleep ends; of the short ones only where it is asked for them. */
  next(withShort: boolean): number {
    let next = Infinity
    for (const { at, isShort } of this.sleeps) if (withShort || !isShort) next = Math.min(next, at)
    return next
  }

  /** Sets the time, and wakes all whose sleep is over. */
  set(millis: number): void {
    this.now = Math.max(this.now, millis)
    const over = [...this.sleeps].filter(({ at }) => at <= this.now).sort((a, b) => a.at - b.at)
    for (const sleep of over) {
      this.sleeps.delete(sleep)
      sleep.wake()
    }
  }

  /** For those who take it for a test clock. */
  adjust(): Effect.Effect<void> {
    return Effect.die(new Error("In a story, time passes with Story.passes"))
  }
  setTime(): Effect.Effect<void> {
    return this.adjust()
  }
}
