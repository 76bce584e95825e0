import { Effect } from "effect"
import { isPassing, retryPassing } from "../StoreError.ts"
import { countReconnect, warnRepeated } from "./telemetry.ts"

const note = (warning: string) => (error: { readonly message: string }) =>
  Effect.andThen(countReconnect, warnRepeated(warning, error))

/** Goes on trying while the storage does not answer, and says so. */
export const steady = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  warning = "Reading the log failed for now and is repeated"
): Effect.Effect<A, E, R> => retryPassing(effect, note(warning))

/** What ran for so long was up. */
const upNanos = 10_000_000_000n

/** As `steady`, for what runs on: after it was up for a while, the waits are short again. */
export const steadySession = <E, R>(
  session: Effect.Effect<never, E, R>,
  warning: string
): Effect.Effect<never, E, R> =>
  Effect.forever(steady(
    Effect.clockWith((clock) => {
      const begun = clock.monotonicTimeNanosUnsafe()
      return Effect.catch(session, (error) =>
        isPassing(error) && clock.monotonicTimeNanosUnsafe() - begun >= upNanos
          ? note(warning)(error)
          : Effect.fail(error))
    }),
    warning
  ))
