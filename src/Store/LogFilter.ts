/**
 * Which events of a log a reader wants, as a storage understands it.
 *
 * @since 0.1.0
 */
import { DateTime, Effect } from "effect"
import type { EventFilter } from "../Stream/EventFilter.ts"
import type { StoredEvent } from "../Stream/StoredEvent.ts"
import * as StreamId from "../Stream/StreamId.ts"
import { InvalidInput } from "./StoreError.ts"

/**
 * `null` lets everything pass. Times are in milliseconds since 1970, from inclusive, until exclusive.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogFilter {
  readonly types: ReadonlyArray<string> | null
  readonly categories: ReadonlyArray<string> | null
  readonly streamPrefix: string | null
  readonly tags: ReadonlyArray<string> | null
  readonly recordedFrom: number | null
  readonly recordedUntil: number | null
}

/**
 * Lets everything pass.
 *
 * @category constructors
 * @since 0.1.0
 */
export const everything: LogFilter = {
  types: null,
  categories: null,
  streamPrefix: null,
  tags: null,
  recordedFrom: null,
  recordedUntil: null
}

/**
 * Checks a filter. Fails with `InvalidInput` where a part of it is no text that a database can compare.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromEventFilter = (filter: EventFilter | undefined): Effect.Effect<LogFilter, InvalidInput> => {
  const texts = (field: string, given: ReadonlyArray<string> | undefined) =>
    given === undefined ? Effect.succeed(null) : Effect.forEach(given, (text) => textField(field, text))
  const time = (given: DateTime.Utc | undefined) => given === undefined ? null : DateTime.toEpochMillis(given)
  return Effect.all({
    types: texts("types", filter?.types),
    categories: texts(
      "categories",
      filter?.categories && [
        ...new Set(filter.categories.map((category) => typeof category === "string" ? category : category.name))
      ]
    ),
    streamPrefix: filter?.streamPrefix === undefined
      ? Effect.succeed(null)
      : textField("streamPrefix", filter.streamPrefix),
    // all of no tags: everything has them, also what has no tags at all
    tags: texts("tags", filter?.tags?.length === 0 ? undefined : filter?.tags),
    recordedFrom: Effect.succeed(time(filter?.recordedFrom)),
    recordedUntil: Effect.succeed(time(filter?.recordedUntil))
  })
}

/**
 * Checks a text that is only compared: it may be anything that a database can take as a text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const textField = (field: string, text: string): Effect.Effect<string, InvalidInput> =>
  typeof text === "string" && text.isWellFormed() && !text.includes("\0")
    ? Effect.succeed(text)
    : Effect.fail(new InvalidInput({ field, problem: "is not a text without NUL and lone surrogates" }))

/**
 * Whether a filter lets an event pass.
 *
 * @category guards
 * @since 0.1.0
 */
export const matches = (filter: LogFilter, event: StoredEvent): boolean =>
  (filter.types === null || filter.types.includes(event.type)) &&
  (filter.categories === null ||
    filter.categories.includes(StreamId.category(event.streamId))) &&
  (filter.streamPrefix === null || event.streamId.startsWith(filter.streamPrefix)) &&
  (filter.tags === null || filter.tags.every((tag) => event.tags?.includes(tag))) &&
  (filter.recordedFrom === null || event.recordedAt >= filter.recordedFrom) &&
  (filter.recordedUntil === null || event.recordedAt < filter.recordedUntil)
