import { DateTime, Effect, Exit, Fiber } from "effect"
import type { EventStore, ReadError } from "../../Store/EventStore.ts"
import { InvalidInput } from "../../Store/StoreError.ts"
import type { StreamRef } from "../../Stream/Category.ts"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import type { Position } from "../../Stream/Position.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { StreamVersion } from "../../Stream/StreamVersion.ts"
import type { AsOf } from "../Decider.ts"
import { countReplayed } from "./telemetry.ts"

type Store = EventStore["Service"]

/** A stream, and how its events become a state. */
export interface Folded<S> {
  readonly stream: StreamRef<never, any, any>
  readonly initial: S
  readonly evolve: (state: S, event: any) => S
}

/** The state of a stream at a version. */
export interface Loaded<S> {
  readonly state: S
  /** Version of the stream: what an append expects that is decided on this state. */
  readonly version: StreamVersion
  /** Position of the last event in the state, 0 for none; what is staged has none. */
  readonly position: Position
  /** Version of the first event in the state, 0 for none: whether something of it is hidden by now shows there. */
  readonly firstVersion: number
}

/**
 * The one place where states are loaded: everything that runs, retries or asks comes here. A state is that of all events of
 * a stream that can be read, at the version that the stream has, also where events at its end read as nothing and where it
 * was deleted.
 */
export const load = <S>(store: Store, folded: Folded<S>): Effect.Effect<Loaded<S>, ReadError, any> =>
  Effect.flatMap(foldOn(store, folded, nothing(folded)), (loaded) => {
    if (loaded.version > 0) return Effect.succeed(loaded)
    // new, or deleted: then it goes on counting
    return Effect.flatMap(
      store.storage.stream(folded.stream.streamId),
      ({ truncatedBefore, version }) =>
        version === 0 || version < truncatedBefore
          ? Effect.succeed({ ...loaded, version: version as StreamVersion })
          : load(store, folded)
    )
  })

/** The same for a state that may be behind: reads only what is new, or all where something of the state is hidden by now. */
export const reload = <S>(
  store: Store,
  folded: Folded<S>,
  before: Loaded<S>
): Effect.Effect<Loaded<S>, ReadError, any> =>
  before.firstVersion === 0
    ? load(store, folded)
    : Effect.flatMap(foldOn(store, folded, before), (loaded) =>
      // asked after the events were read: of a stream that was deleted and has new ones, both show
      Effect.flatMap(
        store.storage.stream(folded.stream.streamId),
        ({ truncatedBefore }) => truncatedBefore > before.firstVersion ? load(store, folded) : Effect.succeed(loaded)
      ))

/** The state as it was: that of the longest beginning of the stream that is not beyond what is asked for. */
export const loadAsOf = <S>(
  store: Store,
  folded: Folded<S>,
  asOf: AsOf
): Effect.Effect<Loaded<S>, ReadError, any> =>
  Effect.suspend(() => {
    for (const field of ["version", "position"] as const) {
      const given = asOf[field]
      if (given !== undefined && !(Number.isSafeInteger(given) && given >= 0)) {
        return new InvalidInput({ field, problem: `is ${String(given)}, which is not a whole number from 0` })
      }
    }
    if (asOf.time !== undefined && !DateTime.isDateTime(asOf.time)) {
      return new InvalidInput({ field: "time", problem: "is no time" })
    }
    const { position = Infinity, time, version } = asOf
    const millis = time === undefined ? Infinity : DateTime.toEpochMillis(time)
    if (version === 0) return Effect.succeed(nothing(folded))
    return foldOn(store, folded, nothing(folded), {
      to: version,
      // what is staged comes after every position
      isBeyond: (stored) =>
        position !== Infinity && (stored.position === 0 || stored.position > position) || stored.recordedAt > millis
    })
  })

/** Where a fold begins. */
export const nothing = <S>({ initial }: Folded<S>): Loaded<S> => ({
  state: initial,
  version: 0 as StreamVersion,
  position: 0 as Position,
  firstVersion: 0
})

/** Events of the first page and of the others, and the bytes after which a page ends. */
const firstPageEvents = 200
const pageEvents = 2000
const pageBytes = 2 * 1024 * 1024

/** Folds on from a state: page by page, the next one under way while one is folded. Keeps no events. */
export const foldOn = <S>(
  store: Store,
  folded: Folded<S>,
  start: Loaded<S>,
  options: {
    /** The last version. */
    readonly to?: number | undefined
    /** Whether the fold ends before a stored event. */
    readonly isBeyond?: ((stored: StoredEvent) => boolean) | undefined
  } = {}
): Effect.Effect<Loaded<S>, ReadError, any> =>
  Effect.gen(function*() {
    const { category: { codec: { decode } }, streamId } = folded.stream
    const { isBeyond, to = Number.MAX_SAFE_INTEGER } = options
    const { evolve } = folded
    let { firstVersion, position, state, version } = start
    let isHidden = false
    const sink = {
      push: (recorded: Recorded<any>) => {
        state = evolve(state, recorded.event)
      }
    }
    const passed = (stored: StoredEvent) => {
      if (firstVersion === 0) firstVersion = stored.streamVersion
      version = stored.streamVersion as StreamVersion
      if (stored.position > 0) position = stored.position as Position
    }
    /** Answers whether that is the end, whatever follows. */
    const foldPage = (events: ReadonlyArray<StoredEvent>, from: number): Effect.Effect<boolean, DecodeError, any> => {
      for (let i = from; i < events.length; i++) {
        const stored = events[i]!
        if (isBeyond?.(stored) === true) return Effect.succeed(true)
        // versions have no holes, unless a part was hidden after the fold began
        isHidden = firstVersion > 0 && stored.streamVersion !== version + 1
        if (isHidden) return Effect.succeed(true)
        const waiting = decode(stored, sink)
        if (waiting !== undefined) {
          return Effect.flatMap(waiting, () => {
            passed(stored)
            return foldPage(events, i + 1)
          })
        }
        passed(stored)
      }
      return Effect.succeed(false)
    }
    const read = (from: number, limit: number) =>
      store.storage.streamPage(streamId, { direction: "forward", from, to, limit, bytes: pageBytes })

    let page = yield* read(start.version + 1, firstPageEvents)
    for (;;) {
      const { events, more } = page
      const last = events.at(-1)
      const next = last === undefined || !more || last.streamVersion >= to
        ? undefined
        : yield* Effect.forkChild(read(last.streamVersion + 1, pageEvents))
      const folding = Effect.suspend(() => foldPage(events, 0))
      const isEnd = yield* next === undefined
        ? folding
        : Effect.onExit(folding, (exit) => Exit.isSuccess(exit) && !exit.value ? Effect.void : Fiber.interrupt(next))
      yield* countReplayed(events.length)
      if (isHidden) return yield* foldOn(store, folded, nothing(folded), options)
      if (isEnd || next === undefined) return { state, version, position, firstVersion }
      page = yield* Fiber.join(next)
    }
  })
