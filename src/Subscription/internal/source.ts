import { Effect } from "effect"
import * as LogFilter from "../../Store/LogFilter.ts"
import { InvalidInput } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import { type DecodeError, unknownEventType } from "../../Stream/DecodeError.ts"
import type { EventFilter } from "../../Stream/EventFilter.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import * as StreamId from "../../Stream/StreamId.ts"

/** Turns a stored event into those of a source. There is nothing to run where that took no waiting. */
export type Decode = (
  stored: StoredEvent,
  into: { push(recorded: Recorded<any>): unknown }
) => Effect.Effect<void, DecodeError, any> | undefined

/** What a category, or several, want of the log, and how it is decoded; `Category.raw` wants all streams. */
export const sourceOf = (
  source: Category.Any | ReadonlyArray<Category.Any>,
  options: EventFilter
): { readonly decode: Decode; readonly filter: Effect.Effect<LogFilter.LogFilter, InvalidInput> } => {
  const given: ReadonlyArray<unknown> = Array.isArray(source) ? source : [source]
  if (!given.every(Category.isCategory)) {
    const problem = "is neither a category nor a list of categories"
    return { decode: () => undefined, filter: Effect.fail(new InvalidInput({ field: "from", problem })) }
  }
  const byName = new Map(given.map((category) => [category.name, category]))
  const others = byName.get(Category.raw.name)
  return {
    decode: (stored, into) => {
      const category = byName.get(StreamId.category(stored.streamId)) ?? others
      // a delivery that was queued for another declaration of its subscription
      if (category === undefined) return Effect.fail(unknownEventType(stored, 0))
      return category.codec.decode(stored, into)
    },
    filter: LogFilter.fromEventFilter(
      others === undefined ? { ...options, categories: [...byName.values()] } : options
    )
  }
}

/** Decodes events from an index on. There is nothing to run where that took no waiting. */
export const decodeFrom = (
  codec: { readonly decode: Decode },
  events: ReadonlyArray<StoredEvent>,
  start: number,
  into: Array<Recorded<any>>
): Effect.Effect<void, DecodeError, any> | undefined => {
  for (let i = start; i < events.length; i++) {
    const waiting = codec.decode(events[i]!, into)
    if (waiting !== undefined) {
      return Effect.flatMap(waiting, () => decodeFrom(codec, events, i + 1, into) ?? Effect.void)
    }
  }
  return undefined
}
