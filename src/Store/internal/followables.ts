import { Effect } from "effect"
import type { StreamId } from "../../Stream/StreamId.ts"
import { type LogFilter, matches } from "../LogFilter.ts"
import type { LogStorage, Page } from "../LogStorage.ts"
import type { StoreError, StreamTombstoned } from "../StoreError.ts"
import type { Followable } from "./follower.ts"
import { steady } from "./steady.ts"
import type { TailKey } from "./tailPages.ts"

/** Bytes after which a page ends that a follower reads for itself. */
const pageBytes = 512 * 1024

/** Positions that a follower looks through at a time where no index finds what it wants. */
const scannedAtATime = 50_000

/** The events of the log that a filter lets pass. */
export const followLog = (storage: LogStorage, filter: LogFilter): Followable<StoreError> => ({
  keys: keysOf(filter),
  wants: (event) => matches(filter, event),
  took: () => {},
  page: (after, end, limit) => {
    const to = isIndexed(filter) ? end : Math.min(end, after + scannedAtATime)
    return Effect.map(
      steady(storage.logPage(filter, { direction: "forward", from: after + 1, to, limit, bytes: pageBytes })),
      (page) => ({ ...page, to })
    )
  }
})

/** The events of one stream behind a version. */
export const followStream = (
  storage: LogStorage,
  streamId: StreamId,
  version: number
): Followable<StoreError | StreamTombstoned> => {
  let last = version
  return {
    keys: [`stream:${streamId}`],
    wants: (event) => event.streamId === streamId && event.streamVersion > last,
    took: (events) => {
      if (events.length > 0) last = events[events.length - 1]!.streamVersion
    },
    page: (_, end, limit) =>
      Effect.map(
        steady(storage.streamPage(streamId, {
          direction: "forward",
          from: last + 1,
          to: Number.MAX_SAFE_INTEGER,
          limit,
          bytes: pageBytes
        })),
        (page) => ({ ...committed(page), to: end })
      )
  }
}

/** Without what a transaction around the follower staged: it has no place yet. */
const committed = (page: Page): Page =>
  page.events.at(-1)?.position === 0
    ? { events: page.events.filter(({ position }) => position > 0), more: false }
    : page

/** Whether the storage finds what matches without looking at everything that does not. */
const isIndexed = (filter: LogFilter): boolean =>
  filter.categories !== null || filter.types !== null ||
  filter.streamPrefix === null && filter.tags === null && filter.recordedFrom === null && filter.recordedUntil === null

/** Tags come first: of a category there are mostly many events, of a tag few. An event has to have all, so any one finds it. */
const keysOf = ({ categories, tags, types }: LogFilter): ReadonlyArray<TailKey> =>
  tags !== null && tags.length > 0
    ? [`tag:${tags[0]!}`]
    : categories !== null
    ? categories.map((category) => `category:${category}` as const)
    : types !== null
    ? types.map((type) => `type:${type}` as const)
    : ["*"]
