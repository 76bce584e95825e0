/**
 * Place of an event in its log.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * Place among all events of a log: 1, 2, 3, … in commit order; 0 stands before the first. A reader that asks for what
 * comes after the last position it saw never skips an event. At most 2^53 - 1.
 *
 * @category models
 * @since 0.1.0
 */
export const Position = Schema.Natural.pipe(Schema.brand("Position"))

/**
 * @category models
 * @since 0.1.0
 */
export type Position = typeof Position.Type

/**
 * Makes a position; throws where the number is not a whole one from 0.
 *
 * **Example**
 * ```ts
 * import { Position } from "effect-eventstore"
 *
 * export const seventh = Position.make(7)
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make = (position: number): Position => Position.make(position)

/**
 * The place before the first event.
 *
 * @category constructors
 * @since 0.1.0
 */
export const start: Position = make(0)
