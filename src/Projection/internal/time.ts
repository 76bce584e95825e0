import type { Clock } from "effect"

/** Milliseconds of a clock that never steps back. */
export const steadyMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
