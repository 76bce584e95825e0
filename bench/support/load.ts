/** Callers that do one piece of work after the other for a while, and how long each piece took. */
import { Effect } from "effect"
import { quantile, type Sample, settings } from "./contest.ts"

/** Keeps `callers` fibres busy; `work` does piece `i` of a caller. */
export const fibres = <E>(
  callers: number,
  work: (caller: number, i: number) => Effect.Effect<unknown, E>,
  seconds = settings.seconds
): Effect.Effect<Sample, E> =>
  Effect.suspend(() => {
    const clock = new Stopwatch(seconds)
    const caller = (caller: number) => {
      let i = 0
      let started = 0
      return Effect.whileLoop({
        while: () => (started = performance.now()) < clock.deadline,
        body: () => work(caller, i++),
        step: () => clock.done(started)
      })
    }
    return Effect.map(
      Effect.all(Array.from({ length: callers }, (_, n) => caller(n)), { concurrency: "unbounded", discard: true }),
      () => clock.sample()
    )
  })

/** The same for work that is a promise. */
export const promises = (
  callers: number,
  work: (caller: number, i: number) => Promise<unknown>,
  seconds = settings.seconds
): Effect.Effect<Sample> =>
  Effect.promise(async () => {
    const clock = new Stopwatch(seconds)
    const caller = async (caller: number) => {
      let started = 0
      for (let i = 0; (started = performance.now()) < clock.deadline; i++) {
        await work(caller, i)
        clock.done(started)
      }
    }
    await Promise.all(Array.from({ length: callers }, (_, n) => caller(n)))
    return clock.sample()
  })

class Stopwatch {
  readonly deadline: number
  private readonly started = performance.now()
  private readonly latencies: Array<number> = []
  private last = 0

  constructor(seconds: number) {
    this.deadline = this.started + seconds * 1000
  }

  done(started: number) {
    this.last = performance.now()
    this.latencies.push(this.last - started)
  }

  sample(): Sample {
    const sorted = this.latencies.sort((a, b) => a - b)
    return {
      rate: sorted.length / (this.last - this.started) * 1000,
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99)
    }
  }
}

/** A piece of work that handles many things at once: how many a second. */
export const timed = <E>(work: Effect.Effect<number, E>): Effect.Effect<Sample, E> =>
  Effect.suspend(() => {
    const started = performance.now()
    return Effect.map(work, (count) => ({ rate: count / (performance.now() - started) * 1000 }))
  })

let names = 0

/** A text that no other part of this run uses. */
export const unique = (): string => `${process.pid.toString(36)}x${(++names).toString(36)}`
