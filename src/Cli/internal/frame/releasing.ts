import { type Duration, Effect, Fiber } from "effect"

/**
 * Ends an effect that was interrupted after a time, though it has not released all it holds: a server that stands still answers
 * nothing, not even to whoever wants to leave. What is not released goes with the process.
 */
export const releasedWithin =
  (atMost: Duration.Input) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkDetach(restore(effect))
        return yield* Effect.onInterrupt(restore(Fiber.join(fiber)), () =>
          Effect.suspend(() => {
            fiber.interruptUnsafe()
            return Effect.raceFirst(
              Effect.interruptible(Effect.asVoid(Fiber.await(fiber))),
              Effect.interruptible(Effect.sleep(atMost))
            )
          }))
      })
    )
