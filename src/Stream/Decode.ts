/**
 * From stored events to recorded ones, for those who read a log of several categories.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import * as Category from "./Category.ts"
import { type DecodeError, unknownEventType } from "./DecodeError.ts"
import type { Recorded } from "./Recorded.ts"
import type { StoredEvent } from "./StoredEvent.ts"
import * as StreamId from "./StreamId.ts"

/**
 * Pushes what a stored event reads as. Most events decode without waiting: then there is no effect to run and the answer
 * is `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export type Decode<Out, R> = (
  stored: StoredEvent,
  into: { push(event: Recorded<Out>): unknown }
) => Effect.Effect<void, DecodeError, R> | undefined

/**
 * Decodes events by their category; those of others are raw where `Category.raw` is among the given ones, else they fail
 * with `UnknownEventType`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const byCategory = (categories: ReadonlyArray<Category.Any>): Decode<any, any> => {
  const byName = new Map(categories.map((category) => [category.name, category]))
  const others = byName.get(Category.raw.name)
  return (stored, into) => {
    const category = byName.get(StreamId.category(stored.streamId)) ?? others
    return category === undefined ? Effect.fail(unknownEventType(stored, 0)) : category.codec.decode(stored, into)
  }
}

/**
 * Decodes events from an index on; `into` has what comes before an event that fails.
 *
 * @category combinators
 * @since 0.1.0
 */
export const decodeFrom = <Out, R>(
  decode: Decode<Out, R>,
  events: ReadonlyArray<StoredEvent>,
  start: number,
  into: Array<Recorded<Out>>
): Effect.Effect<void, DecodeError, R> | undefined => {
  for (let i = start; i < events.length; i++) {
    const waiting = decode(events[i]!, into)
    if (waiting !== undefined) {
      return Effect.flatMap(waiting, () => decodeFrom(decode, events, i + 1, into) ?? Effect.void)
    }
  }
  return undefined
}
