import { Effect, type Scope } from "effect"
import type { EventId } from "../../Event/EventId.ts"
import { EventStore } from "../../Store/EventStore.ts"
import { matches } from "../../Store/LogFilter.ts"
import type { LogStorage } from "../../Store/LogStorage.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { LogTables } from "./logSql.ts"
import { type EventRow, selectEvents, selectLargeEvent } from "./verifySql.ts"

/** The same store, where hidden events are read as well: what a projection saw that handled them before they were hidden. */
export const withHidden = (
  store: EventStore["Service"],
  tables: LogTables
): Effect.Effect<EventStore["Service"], never, Scope.Scope> =>
  EventStore.make({ ...store.storage, logPage: allEvents(tables) }, store.limits)

/** Reads the log forward, as a rebuild does. */
const allEvents = (tables: LogTables): LogStorage["logPage"] => (filter, { bytes, from, limit, to }) =>
  Effect.gen(function*() {
    const events: Array<StoredEvent> = []
    let size = 0
    let last: Pick<EventRow, "position" | "row"> = { position: from - 1, row: lastRow }
    while (true) {
      const rows = yield* selectEvents(tables, last, Math.min(to, Number.MAX_SAFE_INTEGER), limit)
      for (const row of rows) {
        if (size >= bytes) return { events, more: true }
        const event = row.isLarge ? yield* selectLargeEvent(tables, row) : row
        if (event === undefined) continue
        const stored = { ...event, eventId: event.eventId as EventId }
        if (!matches(filter, stored)) continue
        size += event.data.length + (event.metadata?.length ?? 0)
        events.push(stored)
      }
      const more = rows.length >= limit
      // a page without an event would say that there is none up to its end
      if (!more || events.length > 0) return { events, more }
      last = rows.at(-1)!
    }
  })

/** Behind all rows of a position. */
const lastRow = "(4294967295,65535)"
