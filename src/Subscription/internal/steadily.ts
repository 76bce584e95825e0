import { Effect, Schedule } from "effect"
import type { StoreError } from "../../Store/StoreError.ts"

/** How long to wait between two attempts: short at first, never longer than two seconds. */
const patience = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(Schedule.jittered)

/** Goes on trying while the storage does not answer, and says so. */
export const steadily = <A, E>(
  effect: Effect.Effect<A, StoreError | E>,
  onError: (error: StoreError) => Effect.Effect<void>
): Effect.Effect<A, StoreError | E> =>
  effect.pipe(
    Effect.tapError((error) => isPassing(error) ? onError(error) : Effect.void),
    Effect.retry({ while: isPassing, schedule: patience })
  )

const isPassing = (error: unknown): error is StoreError =>
  typeof error === "object" && error !== null && (error as StoreError)._tag === "StoreError" &&
  (error as StoreError).isRetryable
