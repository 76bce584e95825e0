import { type Array as Arr, Effect, Stream } from "effect"
import type { ArchivedEvent } from "./archivedEvent.ts"
import { type ForeignError, ForeignSourceChanged, StreamsCollide, VersionsBroken } from "./foreignError.ts"
import { type ForeignEvent, type Store, toArchived, toStreamId } from "./foreignEvent.ts"
import type { Rename } from "./foreignRename.ts"
import type { Source } from "./importSource.ts"

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
 * Another store, as an import takes it. The positions of its events are counted from 1, without its own holes. What cannot be
 * taken over is found by running `events` once before the import: it would store what comes before.
 */
export interface ForeignSource extends Source<ForeignError> {
  readonly total: number
  readonly passedOver: ReadonlyArray<PassedOver>
}

/**
 * Makes a source of what a store's reader gives. Each pass holds the name and version of every stream, some 200 bytes each, and
 * no events.
 */
export const make = (
  store: Store,
  rename: Rename,
  options: MovingOptions,
  reader: {
    readonly total: number
    readonly passedOver: ReadonlyArray<PassedOver>
    readonly events: Stream.Stream<ForeignEvent, ForeignError>
    /** The metadata of streams, as JSON text, where the store keeps any. */
    readonly streams: Stream.Stream<{ readonly stream: string; readonly metadata: string }, ForeignError>
  }
): ForeignSource => {
  const nameOf = options.rename ?? rename
  return {
    total: reader.total,
    isWhole: true,
    head: undefined,
    passedOver: reader.passedOver,
    events: Stream.suspend(() => {
      const pass = new Pass(store, nameOf, options.renumber === true)
      return reader.events.pipe(
        Stream.mapArrayEffect((events) => pass.takeAll(events)),
        Stream.concat(Stream.unwrap(Effect.suspend(() => pass.end(reader.total))))
      )
    }),
    streams: Stream.map(reader.streams, ({ metadata, stream }) => ({
      streamId: nameOf(stream),
      truncatedBefore: 0,
      tombstoned: false,
      metadata
    }))
  }
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
  private readonly streams = new Map<string, StreamState>()
  private position = 0

  constructor(store: Store, rename: Rename, renumber: boolean) {
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
    return toArchived(store, event, { position: this.position, streamId, streamVersion: state.version })
  }

  /** Ends a pass: without an error where it saw all that was counted. */
  end(expected: number): Effect.Effect<Stream.Stream<never>, ForeignSourceChanged> {
    return this.position === expected
      ? Effect.succeed(Stream.empty)
      : Effect.fail(new ForeignSourceChanged({ store: this.store, expected, actual: this.position }))
  }
}
