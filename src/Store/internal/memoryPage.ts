import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import * as StreamId from "../../Stream/StreamId.ts"
import type { Page, PageRange } from "../LogStorage.ts"

/** Events sorted by `key`, from `range.from` on in its direction. */
export const page = (
  events: ReadonlyArray<StoredEvent>,
  { direction, from, limit, to }: PageRange,
  key: (event: StoredEvent) => number,
  keep: (event: StoredEvent) => boolean
): Page => {
  const found: Array<StoredEvent> = []
  const forward = direction === "forward"
  const begin = forward ? firstAt(events, from, key) : firstAt(events, from + 1, key) - 1
  const end = forward ? firstAt(events, to + 1, key) : firstAt(events, to, key) - 1
  for (let i = begin; forward ? i < end : i > end; i += forward ? 1 : -1) {
    if (found.length >= limit) return { events: found, more: true }
    if (keep(events[i]!)) found.push(events[i]!)
  }
  return { events: found, more: false }
}

const firstAt = (events: ReadonlyArray<StoredEvent>, from: number, key: (event: StoredEvent) => number): number =>
  firstIndex(events.length, (i) => key(events[i]!) >= from)

/** Index of the first name behind another, in code point order. */
export const firstAfter = (sorted: ReadonlyArray<string>, after: string): number =>
  firstIndex(sorted.length, (i) => StreamId.compare(sorted[i]!, after) > 0)

/** Binary search for the first index at which a property holds that goes on holding. */
const firstIndex = (length: number, holds: (index: number) => boolean): number => {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}
