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
