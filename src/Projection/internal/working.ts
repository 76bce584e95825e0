import { type Cause, type Duration, Effect, Exit } from "effect"

/** How a run of events is worked through. */
export interface Work<Item> {
  /** Most events of a transaction. */
  readonly limit: () => number
  /** Whether an event cannot be handled together with others. */
  readonly isAlone: (item: Item) => boolean
  /** Handles events in one transaction; says whether that was accepted. `isEnd`: there are none behind them. */
  readonly commit: (
    items: ReadonlyArray<Item>,
    attempt: { readonly number: number; readonly isEnd: boolean }
  ) => Effect.Effect<boolean, unknown, any>
  /** Time until another try after so many; `undefined` where it has been tried often enough. */
  readonly retryIn: (
    cause: Cause.Cause<unknown>,
    failures: number,
    items: ReadonlyArray<Item>
  ) => Effect.Effect<Duration.Duration | undefined, unknown, any>
  /** Waits; says whether to go on. */
  readonly pause: (duration: Duration.Duration) => Effect.Effect<boolean, unknown, any>
  /** Decides about an event that failed by itself: `"passed"` where it is set aside. */
  readonly blame: (
    item: Item,
    cause: Cause.Cause<unknown>,
    attempts: number,
    isEnd: boolean
  ) => Effect.Effect<"passed" | "refused" | "stopped", unknown, any>
  /** Whether to stop between two transactions. */
  readonly isLeaving: () => boolean
}

export type Worked = "done" | "refused" | "stopped" | "left"

/**
 * Handles events in order, in as few transactions as may be. A transaction that fails is tried again by the schedule; then
 * the event to blame is looked for, in halves: what comes before it is handled meanwhile, nothing twice. Only what is
 * looked for counts: a new failure behind it has tries of its own, and who is found is asked once more.
 *
 * **Details** Failures that the work itself answers with are those of a transaction. Interruption ends it.
 */
export const workThrough = <Item>(
  items: ReadonlyArray<Item>,
  work: Work<Item>
): Effect.Effect<Worked, unknown, any> =>
  Effect.gen(function*() {
    let index = 0
    // failures since the last event that was done, and what of them the schedule is to blame for
    let failures = 0
    // the events before this index hold one that fails, however often it is tried
    let suspects = 0
    // the last event that failed by itself while such a one was looked for
    let found = -1
    while (index < items.length) {
      if (work.isLeaving()) return "left"
      const count = suspects > index ? Math.ceil((suspects - index) / 2) : work.limit()
      const end = endOf(items, index, count, work.isAlone)
      const slice = index === 0 && end === items.length ? items : items.slice(index, end)
      const isEnd = end === items.length
      const exit = yield* Effect.exit(work.commit(slice, { number: failures + 1, isEnd }))
      if (Exit.isSuccess(exit)) {
        if (!exit.value) return "refused"
        index = end
        if (index >= suspects) failures = suspects = 0
        continue
      }
      if (suspects <= index) {
        failures++
        const delay = yield* work.retryIn(exit.cause, failures, slice)
        if (delay !== undefined) {
          if (!(yield* work.pause(delay))) return "left"
          continue
        }
      }
      if (end - index > 1) {
        suspects = end
        continue
      }
      // the others of its transaction may have failed before, and this one never
      if (suspects > index && found !== index) {
        found = index
        continue
      }
      const verdict = yield* work.blame(items[index]!, exit.cause, failures, isEnd)
      if (verdict !== "passed") return verdict
      index = end
      failures = suspects = 0
    }
    return "done"
  })

const endOf = <Item>(
  items: ReadonlyArray<Item>,
  from: number,
  count: number,
  isAlone: (item: Item) => boolean
): number => {
  const end = Math.min(items.length, from + count)
  if (isAlone(items[from]!)) return from + 1
  for (let i = from + 1; i < end; i++) {
    if (isAlone(items[i]!)) return i
  }
  return end
}
