/** When marked events came to a subscriber, in this process or in another. */
import { Effect } from "effect"
import { markOf } from "./shop.ts"

/** Milliseconds by a clock that all processes of a machine share, and that nobody sets. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

/**
 * Asks a subscriber for the times at which the events 0 to `count - 1` of a run came. Waits until all have come, or nothing
 * has for a while: then some are missing.
 */
export interface Expected {
  readonly run: string
  readonly count: number
}

/** Times by number; there is none for an event that did not come. */
export type Times = ReadonlyArray<number | undefined>

interface Run {
  readonly times: Array<number | undefined>
  seen: number
  complete: (() => void) | undefined
  expected: number
}

const patienceMillis = 10_000

/** Notes the first arrival of each event. */
export class Arrivals {
  private readonly runs = new Map<string, Run>()

  readonly note = (data: unknown): void => {
    const { i, run } = markOf(data)
    this.noteAt(run, i)
  }

  readonly noteAt = (name: string, i: number): void => {
    const at = now()
    const run = this.runOf(name)
    if (run.times[i] !== undefined) return
    run.times[i] = at
    run.seen++
    if (run.seen === run.expected) run.complete?.()
  }

  readonly expect = ({ count, run: name }: Expected): Effect.Effect<Times> =>
    Effect.callback<Times>((resume) => {
      const run = this.runOf(name)
      let before = run.seen
      const patience = setInterval(() => run.seen === before ? finish() : before = run.seen, patienceMillis)
      const finish = () => {
        clearInterval(patience)
        this.runs.delete(name)
        resume(Effect.succeed(Array.from({ length: count }, (_, i) => run.times[i])))
      }
      run.expected = count
      run.complete = finish
      if (run.seen >= count) finish()
      return Effect.sync(() => clearInterval(patience))
    })

  private runOf(name: string): Run {
    let run = this.runs.get(name)
    if (run === undefined) this.runs.set(name, run = { times: [], seen: 0, complete: undefined, expected: Infinity })
    return run
  }
}

/** Latencies of the events that came, sorted; an event that came before it was waited for has none. */
export const latenciesOf = (times: Times, from: (i: number) => number): ReadonlyArray<number> =>
  times.flatMap((time, i) => time === undefined ? [] : [Math.max(0, time - from(i))]).sort((a, b) => a - b)

/** Events a second from a time until the last one came, and how many never came. */
export const rateOf = (times: Times, started: number): { readonly rate: number; readonly lost: number } => {
  const came = times.filter((time) => time !== undefined)
  return {
    rate: came.length / (came.reduce((a, b) => Math.max(a, b), started) - started) * 1000,
    lost: times.length - came.length
  }
}
