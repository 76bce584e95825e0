import { Clock, Context } from "effect"

const systemClock = Context.get(Context.empty(), Clock.Clock)

/** The time to go by: the storage's own, unless the program runs on another clock than the system's. */
export const timeOf = (clock: Clock.Clock): number | undefined =>
  clock === systemClock ? undefined : clock.currentTimeMillisUnsafe()

/** Milliseconds of a clock that never steps back. */
export const steadyMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
