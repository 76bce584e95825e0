import { Effect, type Scope } from "effect"
import type { EventId } from "../../../Event/EventId.ts"
import { EventStore } from "../../../Store/EventStore.ts"
import { matches } from "../../../Store/LogFilter.ts"
import type { LogStorage } from "../../../Store/LogStorage.ts"
import type { StoredEvent } from "../../../Stream/StoredEvent.ts"
import type { LogTables } from "../frame/logSql.ts"
import { selectEvents, selectLargeEvent } from "./verifySql.ts"

/** The same store, where hidden events are read as well: what a projection saw that handled them before they were hidden. */
export const withHidden = (
  store: EventStore["Service"],
  tables: LogTables
): Effect.Effect<EventStore["Service"], never, Scope.Scope> =>
  EventStore.make({ ...store.storage, logPage: allEvents(tables) }, store.limits)

/** Reads the log forward, as a rebuild does: so many positions at a time, until there is an event to answer. */
const allEvents = (tables: LogTables): LogStorage["logPage"] => (filter, { bytes, from, limit, to }) =>
  Effect.gen(function*() {
    const events: Array<StoredEvent> = []
    let size = 0
    for (let first = from; first <= to && events.length === 0; first += limit) {
      const last = Math.min(first - 1 + limit, to)
      for (const row of yield* selectEvents(tables, { from: first, to: last })) {
        if (size >= bytes) return { events, more: true }
        const event = row.isLarge ? yield* selectLargeEvent(tables, row) : row
        if (event === undefined) continue
        const stored = { ...event, eventId: event.eventId as EventId }
        if (!matches(filter, stored)) continue
        size += event.data.length + (event.metadata?.length ?? 0)
        events.push(stored)
      }
      if (last === to) return { events, more: false }
    }
    return { events, more: events.length > 0 }
  })
