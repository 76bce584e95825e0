import { Effect, Schedule } from "effect"
import { type AnyConflict, isConflict } from "../../Store/StoreError.ts"

/** When a decision is made again. */
export type Retry = Schedule.Schedule<unknown, any>

/** Short waits, then up to 50 ms; about five seconds of patience. */
export const defaultRetry: Retry = Schedule.min([Schedule.exponential("1 millis"), Schedule.spaced("50 millis")]).pipe(
  Schedule.jittered,
  Schedule.upTo({ times: 100 })
)

/** A conflict of the append of a decision, and nobody else's: what the decision itself fails with is its answer. */
export class Conflicted {
  readonly _tag = "Conflicted"
  readonly conflict: AnyConflict
  constructor(conflict: AnyConflict) {
    this.conflict = conflict
  }
}

/** Marks the conflicts of an append as those that lead to another attempt, all or those that may pass. */
export const conflicting = <A, E, R, E2 = never>(
  append: Effect.Effect<A, E, R>,
  canPass: (conflict: AnyConflict) => Effect.Effect<boolean, E2> = always
): Effect.Effect<A, E | E2 | Conflicted, R> =>
  Effect.catch(append, (error): Effect.Effect<never, E | E2 | Conflicted> =>
    isConflict(error)
      ? Effect.flatMap(canPass(error), (can) => Effect.fail(can ? new Conflicted(error) : error))
      : Effect.fail(error))

const always = () => Effect.succeed(true)

/** Makes attempts while they end in a conflict and the schedule allows; the last conflict is the answer then. */
export const retrying = <A, E, R>(
  attempt: Effect.Effect<A, E | Conflicted, R>,
  schedule: Retry,
  onRetry: Effect.Effect<void>
): Effect.Effect<A, Exclude<E, Conflicted> | AnyConflict, R> => {
  let attempts = 0
  const judged = Effect.matchEffect(
    Effect.andThen(Effect.suspend(() => attempts++ === 0 ? Effect.void : onRetry), attempt),
    {
      onSuccess: (answer) => Effect.succeed(Effect.succeed(answer)),
      onFailure: (error): Effect.Effect<Effect.Effect<A, any>, AnyConflict> =>
        error instanceof Conflicted ? Effect.fail(error.conflict) : Effect.succeed(Effect.fail(error))
    }
  )
  return Effect.flatten(Effect.retry(judged, schedule))
}
