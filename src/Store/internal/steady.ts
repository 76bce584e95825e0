import { Effect, Schedule } from "effect"
import type { StoreError } from "../StoreError.ts"
import { countReconnect, warnRepeated } from "./telemetry.ts"

/** Whether an error is one that passes by itself. */
const isPassing = (error: { readonly _tag: string }): boolean =>
  error._tag === "StoreError" && (error as StoreError).isRetryable

/** How long to wait between two attempts: short at first, never longer than two seconds. */
const patience = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.jittered
)

/** Goes on trying while the storage does not answer, and says so. */
export const steady = <A, E extends { readonly _tag: string; readonly message: string }, R>(
  effect: Effect.Effect<A, E, R>,
  warning = "Reading the log failed for now and is repeated"
): Effect.Effect<A, E, R> =>
  effect.pipe(
    Effect.tapError((error) =>
      isPassing(error) ? Effect.andThen(countReconnect, warnRepeated(warning, error)) : Effect.void
    ),
    Effect.retry({ while: isPassing, schedule: patience })
  )

/** What ran for so long was up. */
const upNanos = 10_000_000_000n

/** As `steady`, for what runs on: after it was up for a while, the waits are short again. */
export const steadySession = <E extends { readonly _tag: string; readonly message: string }, R>(
  session: Effect.Effect<never, E, R>,
  warning: string
): Effect.Effect<never, E, R> =>
  Effect.forever(steady(
    Effect.clockWith((clock) => {
      const begun = clock.monotonicTimeNanosUnsafe()
      return Effect.catch(session, (error) =>
        isPassing(error) && clock.monotonicTimeNanosUnsafe() - begun >= upNanos
          ? Effect.andThen(countReconnect, warnRepeated(warning, error))
          : Effect.fail(error))
    }),
    warning
  ))
