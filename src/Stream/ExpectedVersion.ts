/**
 * What a writer believes about a stream.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * What a writer believes about a stream when it appends:
 *
 * - `"any"`: nothing
 * - `"no-stream"`: it has no events to read; a deleted stream passes too
 * - `"stream-exists"`: it has at least one event to read
 * - a number: its version, 0 before the first event
 *
 * @category models
 * @since 0.1.0
 */
export const ExpectedVersion = Schema.Union([Schema.Literals(["any", "no-stream", "stream-exists"]), Schema.Natural])

/**
 * @category models
 * @since 0.1.0
 */
export type ExpectedVersion = typeof ExpectedVersion.Type

/**
 * Tells whether a value can stand as an expected version.
 *
 * @category guards
 * @since 0.1.0
 */
export const isExpectedVersion: (value: unknown) => value is ExpectedVersion = Schema.is(ExpectedVersion)

/**
 * Tells whether a stream is what a writer expects: `version` is that of the stream, and `exists` says whether it has an event
 * to read. A stream that was deleted, or truncated to its end, has a version and none.
 *
 * **Example** (A stream that was deleted after three events)
 * ```ts
 * import { ExpectedVersion } from "effect-eventstore"
 *
 * const deleted = { version: 3, exists: false }
 * export const isNew = ExpectedVersion.isMetBy("no-stream", deleted) // => true
 * export const isThere = ExpectedVersion.isMetBy("stream-exists", deleted) // => false
 * export const isAtThree = ExpectedVersion.isMetBy(3, deleted) // => true
 * ```
 * @category guards
 * @since 0.1.0
 */
export const isMetBy = (
  expected: ExpectedVersion,
  stream: { readonly version: number; readonly exists: boolean }
): boolean => {
  if (expected === "any") return true
  if (expected === "no-stream") return !stream.exists
  if (expected === "stream-exists") return stream.exists
  return stream.version === expected
}
