import { Effect } from "effect"

/**
 * Wakes one fibre. What is raised while nobody waits is not lost: take the flag first, then look, then wait.
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

  /** Lowers it. */
  take(): void {
    this.isRaised = false
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
