import { Effect, Stream } from "effect"
import type { EventId } from "../../../Event/EventId.ts"
import type { StoreError } from "../../../Store/StoreError.ts"
import { EventDiffers, ImportRefused, type NotImportable, StreamDiverges, StreamEnded } from "../../ArchiveError.ts"
import type { LogTables } from "../frame/logSql.ts"
import type { ArchivedEvent } from "./archivedEvent.ts"
import type { Source } from "./importSource.ts"
import * as Sql from "./importSql.ts"

export type BatchError = EventDiffers | ImportRefused | NotImportable | StoreError | StreamDiverges | StreamEnded

/** What became of the events so far. */
export interface Tally {
  /** Stored now. */
  stored: number
  /** Stored before. */
  present: number
  /** Position in the log of the last of them. */
  last: number
  /** Whether each stands where it stood in the source. */
  arePositionsKept: boolean
  /** Where the events are that were stored now. */
  readonly ranges: Array<Sql.Range>
}

/**
 * Stores batches, one after the other. What the log has already is the beginning of the source: batches are compared with it
 * until the first event that it does not have.
 */
export const makeBatches = <E, R>(
  log: LogTables,
  { isWhole, streams }: Pick<Source<E, R>, "isWhole" | "streams">
) => {
  const tally: Tally = { stored: 0, present: 0, last: 0, arePositionsKept: true, ranges: [] }
  let isComparing = true
  /** Streams that are tombstoned in the source, once that was asked for. */
  let ended: ReadonlySet<string> | undefined

  /** Passes over the events that the log has, and answers the others. */
  const compare = (events: ReadonlyArray<ArchivedEvent>): Effect.Effect<ReadonlyArray<ArchivedEvent>, BatchError> =>
    Effect.gen(function*() {
      const known = yield* Sql.known(log, events)
      for (const [i, { isSame, place, position }] of known.entries()) {
        const event = events[place - 1]!
        if (!isSame) return yield* differs(event, `is at position ${position} of the log with other content`)
        if (place !== i + 1) {
          const { eventId } = events[place - 2]!
          return yield* differs(
            event,
            `is at position ${position} of the log, and event ${eventId} before it is not in it`
          )
        }
        if (position <= tally.last) {
          return yield* differs(
            event,
            `is at position ${position} of the log, and the event before it at ${tally.last}`
          )
        }
        count(event, position)
      }
      tally.present += known.length
      return events.slice(known.length)
    })

  const count = (event: ArchivedEvent, position: number) => {
    tally.last = position
    tally.arePositionsKept &&= position === event.position
  }

  const insert = (events: ReadonlyArray<ArchivedEvent>): Effect.Effect<void, BatchError> =>
    Effect.gen(function*() {
      const twice = firstRepeated(events)
      if (twice !== undefined) return yield* differs(twice, "stands twice in the source")
      const first = yield* Sql.locked(
        log,
        Effect.gen(function*() {
          const { floor, head, inline, isEmpty } = yield* Sql.state(log)
          if (inline !== null) return yield* appliesInline(inline)
          const begins = yield* continuing(log, events, ended)
          // the positions before the first of a whole log were used there
          const start = isWhole && isEmpty ? Math.max(head, events[0]!.position - 1) : head
          if (start > floor && isEmpty) yield* Sql.raiseFloor(log, start)
          yield* Sql.insert(log, events, start)
          if (begins.size > 0) yield* Sql.beginAt(log, begins)
          yield* Sql.notify(log)
          return start + 1
        })
      )
      for (const [i, event] of events.entries()) count(event, first + i)
      tally.stored += events.length
      const before = tally.ranges.at(-1)
      const last = first + events.length - 1
      if (before?.last === first - 1) tally.ranges[tally.ranges.length - 1] = { first: before.first, last }
      else tally.ranges.push({ first, last })
    })

  const endedInSource = Effect.map(
    Stream.runFold(
      streams,
      () => new Set<string>(),
      (names, { streamId, tombstoned }) => tombstoned ? names.add(streamId) : names
    ),
    (names) => {
      ended = names
    }
  )

  const run = (events: ReadonlyArray<ArchivedEvent>): Effect.Effect<void, BatchError | E, R> =>
    Effect.gen(function*() {
      const absent = isComparing ? yield* compare(events) : events
      if (absent.length === 0) return
      isComparing = false
      yield* Effect.catch(insert(absent), (error) =>
        Effect.gen(function*() {
          if (error._tag === "StreamEnded" && ended === undefined) {
            // not under the lock of the log: the states of a source stand behind its events
            yield* endedInSource
            return yield* run(absent)
          }
          if (error._tag !== "StreamDiverges" && error._tag !== "StoreError") return yield* error
          // another import of the same source may have stored them meanwhile
          const still = yield* compare(absent)
          if (still.length === absent.length) return yield* error
          isComparing = true
          if (still.length > 0) yield* run(still)
        }))
    })

  return { tally, run }
}

/**
 * Fails where an event is not the next of its stream, or the stream ended here and not in the source, as `ended` says; answers
 * the new streams that begin above their first version.
 */
const continuing = (
  log: LogTables,
  events: ReadonlyArray<ArchivedEvent>,
  ended: ReadonlySet<string> | undefined
): Effect.Effect<ReadonlyMap<string, number>, BatchError> =>
  Effect.gen(function*() {
    const versions = new Map<string, number>()
    for (const [streamId, version, tombstoned] of yield* Sql.versions(log, [...new Set(events.map(streamOf))])) {
      if (tombstoned && ended?.has(streamId) !== true) {
        const { position } = events.find((event) => event.streamId === streamId)!
        return yield* new StreamEnded({ streamId, position })
      }
      if (version !== null) versions.set(streamId, version)
    }
    const begins = new Map<string, number>()
    for (const { position, streamId, streamVersion } of events) {
      const version = versions.get(streamId)
      if (version === undefined) {
        if (streamVersion > 1) begins.set(streamId, streamVersion)
      } else if (streamVersion !== version + 1) {
        return yield* new StreamDiverges({ streamId, expected: version + 1, actual: streamVersion, position })
      }
      versions.set(streamId, streamVersion)
    }
    return begins
  })

const streamOf = ({ streamId }: ArchivedEvent): string => streamId

const differs = ({ eventId, position, streamId }: ArchivedEvent, problem: string) =>
  new EventDiffers({ eventId: eventId as EventId, position, streamId, problem })

/** The projections that appends apply would never see the events. */
export const appliesInline = (projections: ReadonlyArray<{ readonly name: string; readonly version: number }>) =>
  new ImportRefused({
    problem: `appends to this log apply inline projections, which would miss the events: ${
      projections.map(({ name, version }) => `${name} (version ${version})`).join(", ")
    }`,
    hint: "Pause them, import, and rebuild them before they are resumed."
  })

const firstRepeated = (events: ReadonlyArray<ArchivedEvent>): ArchivedEvent | undefined => {
  const ids = new Set<string>()
  return events.find(({ eventId }) => ids.size === ids.add(eventId).size)
}
