import { type Array as Arr, Effect, Result, Stream } from "effect"
import { NotImportable } from "../../ArchiveError.ts"
import type { ArchivedEvent, ArchivedStream } from "../archive/archivedEvent.ts"
import { sayOf, toStream } from "../archive/archiveLine.ts"
import { checked, type Source } from "../archive/importSource.ts"
import {
  type ForeignError,
  ForeignEventRefused,
  ForeignSourceChanged,
  StreamsCollide,
  VersionsBroken
} from "./foreignError.ts"
import { type ForeignEvent, type Store, toArchived, toStreamId, uuidOf } from "./foreignEvent.ts"
import { SeenIds } from "./foreignIds.ts"
import type { Rename } from "./foreignRename.ts"

/** What can be asked for with every source. */
export interface MovingOptions {
  /** The names of streams here; each store has a default of its own. */
  readonly rename?: Rename | undefined
  /** Counts the events of a stream from 1 in their order, whatever their versions. Otherwise a hole is an error. */
  readonly renumber?: boolean | undefined
}

/** What a source leaves out, on purpose. */
export interface PassedOver {
  /** "commands", "system events", ... */
  readonly what: string
  readonly count: number
}

/**
 * Another store, as an import takes it. The positions of its events are counted from 1, without its own holes: they are none of
 * its own. What cannot be taken over is found by {@link check}: an import would store what comes before.
 */
export interface ForeignSource extends Source<ForeignError | NotImportable> {
  readonly total: number
  /** Of all that was read by now. */
  readonly passedOver: ReadonlyArray<PassedOver>
}

/** Reads all of a source once, and does nothing with it. `advance` hears how many events more were read. */
export const check = (
  source: ForeignSource,
  advance: (events: number) => Effect.Effect<void>
): Effect.Effect<void, ForeignError | NotImportable> =>
  Effect.andThen(
    Stream.runForEachArray(source.events, (events) => advance(events.length)),
    Stream.runDrain(source.streams)
  )

/** The metadata of a stream, as JSON text. `source` is that of its events, see {@link ForeignEvent}. */
export interface ForeignStream {
  readonly stream: string
  readonly source: string
  readonly metadata: string
}

/**
 * Makes a source of what a store's reader gives. Each pass holds the name and version of every stream, some 200 bytes each, and
 * some 20 bytes of every id, but no events.
 */
export const make = (
  store: Store,
  rename: Rename,
  options: MovingOptions,
  reader: {
    readonly total: number
    readonly passedOver: ReadonlyArray<PassedOver>
    /** Whether the store itself sees to it that no two events have the same id. */
    readonly hasUniqueIds: boolean
    readonly events: Stream.Stream<ForeignEvent, ForeignError>
    /** The metadata of streams, where the store keeps any: of one stream one after the other, the newest first. */
    readonly streams: Stream.Stream<ForeignStream, ForeignError>
  }
): ForeignSource => {
  const nameOf = options.rename ?? rename
  let streamsPassedOver: ReadonlyArray<PassedOver> = []
  /** The last pass that came to its end. */
  let done: Pass | undefined
  const events = Stream.suspend(() => {
    const pass = new Pass(store, nameOf, options.renumber === true, reader.hasUniqueIds)
    return reader.events.pipe(
      Stream.mapArrayEffect((events) => pass.takeAll(events)),
      Stream.concat(Stream.unwrap(Effect.suspend(() => {
        done = pass
        return pass.end(reader.total)
      })))
    )
  })
  const streams = Stream.unwrap(Effect.gen(function*() {
    // which streams there are is known from their events
    if (done === undefined) yield* Stream.runDrain(events)
    const pass = done!
    const left = new Map<string, number>()
    const leave = (what: string) => {
      left.set(what, (left.get(what) ?? 0) + 1)
      streamsPassedOver = [...left].map(([what, count]) => ({ what, count }))
    }
    streamsPassedOver = []
    let last: string | undefined
    return Stream.mapArrayEffect(reader.streams, (found) =>
      Effect.gen(function*() {
        const taken: Array<ArchivedStream> = []
        for (const { metadata, source, stream } of found) {
          const streamId = nameOf(stream)
          if (!pass.has(streamId, source)) leave("metadata of streams without events")
          else if (last === source) leave("older metadata of streams")
          else {
            last = source
            const result = toStream({ streamId, truncatedBefore: 0, tombstoned: false, metadata })
            if (Result.isFailure(result)) {
              return yield* new NotImportable({ row: `stream ${stream}`, problem: sayOf(result.failure) })
            }
            taken.push(result.success)
          }
        }
        return [taken] as const
      })).pipe(Stream.flattenIterable)
  }))
  return checked({
    total: reader.total,
    isWhole: false,
    head: undefined,
    get passedOver() {
      return [...reader.passedOver, ...streamsPassedOver]
    },
    events,
    streams
  })
}

interface StreamState {
  readonly source: string
  version: number
  /** The version in the source, where it tells them. */
  sourceVersion: number
}

/** One pass over a source. */
class Pass {
  private readonly store: Store
  private readonly rename: Rename
  private readonly renumber: boolean
  private readonly ids: SeenIds | undefined
  private readonly streams = new Map<string, StreamState>()
  private position = 0

  constructor(store: Store, rename: Rename, renumber: boolean, hasUniqueIds: boolean) {
    this.ids = hasUniqueIds ? undefined : new SeenIds()
    this.store = store
    this.rename = rename
    this.renumber = renumber
  }

  takeAll(
    events: Arr.NonEmptyReadonlyArray<ForeignEvent>
  ): Effect.Effect<Arr.NonEmptyReadonlyArray<ArchivedEvent>, ForeignError> {
    const taken: Array<ArchivedEvent> = []
    for (const event of events) {
      const archived = this.take(event)
      if ("_tag" in archived) return Effect.fail(archived)
      taken.push(archived)
    }
    return Effect.succeed(taken as [ArchivedEvent, ...Array<ArchivedEvent>])
  }

  private take(event: ForeignEvent): ArchivedEvent | ForeignError {
    const { store } = this
    const { place, source, stream } = event
    const streamId = this.rename(stream)
    let state = this.streams.get(streamId)
    if (state === undefined) {
      const refused = toStreamId(store, event, streamId)
      if (refused !== undefined) return refused
      state = { source, version: 0, sourceVersion: 0 }
      this.streams.set(streamId, state)
    } else if (state.source !== source) {
      return new StreamsCollide({ store, place, streamId, first: state.source, second: source })
    }

    const actual = event.version ?? state.sourceVersion + 1
    if (this.renumber ? actual <= state.sourceVersion : actual !== state.version + 1) {
      return new VersionsBroken({ store, place, stream, expected: state.sourceVersion + 1, actual })
    }
    state.sourceVersion = actual
    state.version++
    this.position++
    let eventId = uuidOf(event)
    if (eventId !== undefined && this.ids?.add(eventId) === false) {
      if (event.version === undefined) {
        return new ForeignEventRefused({
          store,
          place,
          problem: `has the id ${eventId}, as an event before it has, and no number: it may be the same once more`,
          hint: "Leave it out where it is, else give it another id."
        })
      }
      // one id twice is no id here: it is made of the place, and the original stays in the metadata
      eventId = undefined
    }
    return toArchived(store, event, { position: this.position, streamId, streamVersion: state.version }, eventId)
  }

  /** Whether there are events of a stream. */
  has(streamId: string, source: string): boolean {
    return this.streams.get(streamId)?.source === source
  }

  /** Ends a pass: without an error where it saw all that was counted. */
  end(expected: number): Effect.Effect<Stream.Stream<never>, ForeignSourceChanged> {
    return this.position === expected
      ? Effect.succeed(Stream.empty)
      : Effect.fail(new ForeignSourceChanged({ store: this.store, expected, actual: this.position }))
  }
}
