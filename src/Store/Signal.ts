/**
 * A flag that wakes a fibre: how what follows a log learns that there may be something to do.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"

/**
 * Wakes one fibre. What is raised while nobody waits is not lost: take the flag first, then look, then wait.
 *
 * **Example**
 * ```ts
 * import { Effect } from "effect"
 * import { Signal } from "effect-eventstore"
 *
 * const signal = new Signal.Signal()
 *
 * export const worker = (look: Effect.Effect<void>) =>
 *   Effect.forever(Effect.andThen(Effect.sync(() => signal.take()), Effect.andThen(look, signal.wait)))
 *
 * export const onNews = signal.raise
 * ```
 * @category models
 * @since 0.1.0
 */
export class Signal {
  private isRaised = false
  private resume: (() => void) | undefined

  readonly raise = (): void => {
    this.isRaised = true
    const { resume } = this
    this.resume = undefined
    resume?.()
  }

  /** Whether it was raised since the last time; lowers it. */
  take(): boolean {
    const was = this.isRaised
    this.isRaised = false
    return was
  }

  /** Waits until it is raised, and leaves it so. Who raises it finishes first what it is at. */
  readonly wait: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.isRaised) return resume(Effect.void)
    const mine = () => resume(Effect.yieldNow)
    this.resume = mine
    return Effect.sync(() => {
      if (this.resume === mine) this.resume = undefined
    })
  })
}
