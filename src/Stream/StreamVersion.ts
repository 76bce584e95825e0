/**
 * Place of an event in its stream, and size of a stream.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * Number of events a stream has had: 0 before the first append; an event's own version is its place, from 1. It counts
 * on when a deleted stream is recreated. At most 2^53 - 1.
 *
 * @category models
 * @since 0.1.0
 */
export const StreamVersion = Schema.Natural.pipe(Schema.brand("StreamVersion"))

/**
 * @category models
 * @since 0.1.0
 */
export type StreamVersion = typeof StreamVersion.Type

/**
 * Makes a stream version; throws where the number is not a whole one from 0.
 *
 * **Example**
 * ```ts
 * import { StreamVersion } from "effect-eventstore"
 *
 * export const third = StreamVersion.make(3)
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make = (version: number): StreamVersion => StreamVersion.make(version)

/**
 * Version of a stream without events.
 *
 * @category constructors
 * @since 0.1.0
 */
export const none: StreamVersion = make(0)
