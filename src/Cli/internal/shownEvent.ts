import { DateTime, Effect, Option } from "effect"
import type { EventId } from "../../Event/EventId.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import type { EventStore } from "../../Store/EventStore.ts"
import { everything } from "../../Store/LogFilter.ts"
import * as Category from "../../Stream/Category.ts"
import { byCategory } from "../../Stream/Decode.ts"
import type { Position } from "../../Stream/Position.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import * as StreamId from "../../Stream/StreamId.ts"
import type { StreamVersion } from "../../Stream/StreamVersion.ts"

/** An event as it is shown: `data` and `metadata` are JSON texts, to the last digit as they are stored. */
export interface ShownEvent {
  readonly type: string
  readonly schemaVersion: number
  readonly data: string
  readonly metadata: string | null
}

/** A recorded event as it is shown. */
export type Shown = Recorded<ShownEvent>

/** A category of all streams that yields events as they are shown. */
export type Showing = Category.Category<"", never, ShownEvent, ShownEvent, never>

/** Shows events as they are stored. */
export const asStored: Showing = showing((stored, into) => {
  into.push(toShown(stored, stored))
  return undefined
})

/**
 * Shows events as the application reads them: through the chains of its categories, as today's type with today's fields. Those
 * of other categories are shown as they are stored.
 */
export const asRead = (categories: ReadonlyArray<Category.Any>): Showing => {
  const decode = byCategory([...categories, Category.raw])
  const byName = new Map(categories.map((category) => [category.name, category]))
  return showing((stored, into) => {
    const category = byName.get(StreamId.category(stored.streamId))
    if (category === undefined) return asStored.codec.decode(stored, into)
    const events: Array<Recorded<any>> = []
    // the services of the categories are those of the application
    const decoded = (decode(stored, events) ?? Effect.void) as Effect.Effect<void, any>
    return Effect.flatMap(decoded, () =>
      Effect.forEach(events, (recorded) =>
        Effect.map(
          // what is no event of today, of a type that nobody declares, is left as it is stored
          Effect.orElseSucceed(category.codec.encode(recorded.event as never), () => stored),
          (event) => into.push({ ...toShown(stored, event), part: recorded.part, parts: recorded.parts })
        ), { discard: true }))
  })
}

function showing(decode: Showing["codec"]["decode"]): Showing {
  return { ...Category.raw, codec: { ...Category.raw.codec, decode } } as never
}

const toShown = (
  stored: StoredEvent,
  { data, schemaVersion, type }: Pick<StoredEvent, "type" | "schemaVersion" | "data">
): Shown => ({
  event: { type, schemaVersion, data, metadata: stored.metadata },
  type: stored.type,
  schemaVersion: stored.schemaVersion,
  eventId: stored.eventId,
  streamId: stored.streamId as StreamId.StreamId,
  streamVersion: stored.streamVersion as StreamVersion,
  position: stored.position as Position,
  metadata: stored.metadata === null ? EventMetadata.empty : JSON.parse(stored.metadata),
  tags: stored.tags ?? [],
  recordedAt: DateTime.makeUnsafe(stored.recordedAt),
  part: 0,
  parts: 1
})

/** One event by its id, as it is stored; `undefined` where there is none, or it is hidden. */
export const eventById = (store: EventStore["Service"], eventId: EventId) =>
  Effect.map(
    store.storage.event(eventId),
    (found): Shown | undefined => Option.isSome(found) ? toShown(found.value, found.value) : undefined
  )

/** One event by its place, as it is stored; `undefined` where there is none, or it is hidden. */
export const eventAt = (store: EventStore["Service"], position: number) =>
  Effect.map(
    store.storage.logPage(everything, { direction: "forward", from: position, to: position, limit: 1, bytes: 1 }),
    ({ events: [stored] }): Shown | undefined => stored && toShown(stored, stored)
  )
