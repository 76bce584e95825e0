/**
 * Which part of a stream or of a log a reader wants, as a storage understands it.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import type { ReadOptions } from "./EventStore.ts"
import type { PageRange } from "./LogStorage.ts"
import { InvalidInput } from "./StoreError.ts"

/**
 * A range without the size of its pages.
 *
 * @category models
 * @since 0.1.0
 */
export type LogRange = Omit<PageRange, "bytes">

/**
 * Checks a range and fills in what was left out. Fails with `InvalidInput` where a part of it is no whole number from 0.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromReadOptions = (options: ReadOptions | undefined): Effect.Effect<LogRange, InvalidInput> => {
  const direction = options?.direction ?? "forward"
  if (direction !== "forward" && direction !== "backward") {
    return new InvalidInput({ field: "direction", problem: `is ${String(direction)}, not forward or backward` })
  }
  const [from, to] = direction === "forward" ? [1, Number.MAX_SAFE_INTEGER] : [Number.MAX_SAFE_INTEGER, 1]
  const range = {
    direction,
    from: options?.from ?? from,
    to: options?.to ?? to,
    limit: options?.limit ?? Number.MAX_SAFE_INTEGER
  }
  // no bound at all is what left out means
  if (range.to === Infinity && direction === "forward") range.to = to
  if (range.from === Infinity && direction === "backward") range.from = from
  if (range.limit === Infinity) range.limit = Number.MAX_SAFE_INTEGER
  for (const field of ["from", "to", "limit"] as const) {
    if (!Number.isSafeInteger(range[field]) || range[field] < 0) {
      return new InvalidInput({ field, problem: `is ${String(range[field])}, which is not a whole number from 0` })
    }
  }
  return Effect.succeed(range)
}
