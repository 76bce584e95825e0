import { Clock, DateTime, Effect, Exit, Fiber, Option } from "effect"
import type { Snapshot } from "../../Snapshot/Snapshot.ts"
import * as SnapshotStore from "../../Snapshot/SnapshotStore.ts"
import { EventStore, type ReadError } from "../../Store/EventStore.ts"
import type { Page } from "../../Store/LogStorage.ts"
import type { Resumed, SnapshotMark } from "../../Store/SnapshotStorage.ts"
import { InvalidInput, type StoreError, type StreamTombstoned } from "../../Store/StoreError.ts"
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
  /** How its state is saved, if it is. */
  readonly snapshot: Snapshot<S, any> | undefined
}

/** The state of a stream at a version. */
export interface Loaded<S> {
  readonly state: S
  /** Version of the stream: what an append expects that is decided on this state. */
  readonly version: StreamVersion
  /** Position of the last event in the state, 0 for none; what is staged has none. */
  readonly position: Position
  /** Where the state can be picked up again: at its last event. `undefined` where there is none in it. */
  readonly mark: SnapshotMark | undefined
  /** Events below this version were hidden. */
  readonly truncatedBefore: number
  readonly unsaved: Unsaved
}

/** What of a state is in no snapshot, as far as is known here. */
export interface Unsaved {
  readonly events: number
  /** When the oldest of them was recorded, in milliseconds since 1970. */
  readonly oldest: number | undefined
  /** How long it took to read and to fold them. */
  readonly replayMillis: number
}

export const allSaved: Unsaved = { events: 0, oldest: undefined, replayMillis: 0 }

/** What became of a state that was picked up again: it holds, and nothing came since or something did; or it does not. */
export type PickedUp = "same" | "behind" | "stale"

/**
 * The one place where states are loaded: everything that runs, retries or asks comes here. A state is that of all events of
 * a stream that can be read, at the version that the stream has, also where events at its end read as nothing and where it
 * was deleted. One round trip, as long as no more than a page of events is behind what is saved.
 */
export const load = <S>(store: Store, folded: Folded<S>): Effect.Effect<Loaded<S>, ReadError, any> =>
  Effect.map(foldOn(store, folded, begin(store, folded, forever)), whole)

/** The same for a state that may be behind: reads only what is new, or all where the state does not hold any more. */
export const reload = <S>(
  store: Store,
  folded: Folded<S>,
  before: Loaded<S>
): Effect.Effect<Loaded<S>, ReadError, any> => Effect.map(pickUp(store, folded, before), ({ loaded }) => loaded)

/** The same, and what became of the state. */
export const pickUp = <S>(
  store: Store,
  folded: Folded<S>,
  before: Loaded<S>
): Effect.Effect<{ readonly loaded: Loaded<S>; readonly pickedUp: PickedUp }, ReadError, any> => {
  if (before.mark === undefined) {
    return Effect.map(load(store, folded), (loaded) => ({
      loaded,
      pickedUp: loaded.version > before.version ?
        "behind" :
        loaded.version === before.version && loaded.truncatedBefore === before.truncatedBefore
        ? "same"
        : "stale"
    }))
  }
  let pickedUp: PickedUp = "same"
  const beginning = Effect.flatMap(
    resume(store, folded, before.mark, { to: forever, limit: firstPageEvents }),
    ({ holds, page, truncatedBefore }): Effect.Effect<Start<S>, ReadError, any> => {
      pickedUp = !holds ? "stale" : page.events.length > 0 ? "behind" : "same"
      // a long way from the first event: somebody may have saved one that holds
      return !holds && page.more && folded.snapshot !== undefined
        ? begin(store, folded, forever)
        : Effect.succeed({ base: holds ? before : nothing(folded, truncatedBefore), page })
    }
  )
  return Effect.map(foldOn(store, folded, beginning), (loaded) => ({ loaded: whole(loaded), pickedUp }))
}

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
    const { position = Infinity, time, version = forever } = asOf
    const millis = time === undefined ? Infinity : DateTime.toEpochMillis(time)
    if (version === 0) return Effect.succeed(nothing(folded, 0))
    // when the events in a snapshot were recorded, it does not tell
    const beginning = time !== undefined
      ? fromFirst(store, folded, version)
      : Effect.flatMap(begin(store, folded, version), (start) =>
        start.base.position <= position ? Effect.succeed(start) : fromFirst(store, folded, version))
    return foldOn(store, folded, beginning, {
      to: version,
      // what is staged comes after every position
      isBeyond: (stored) =>
        position !== Infinity && (stored.position === 0 || stored.position > position) || stored.recordedAt > millis
    })
  })

const forever = Number.MAX_SAFE_INTEGER

/** Events of the first page and of the others, and the bytes after which a page ends. */
const firstPageEvents = 200
const pageEvents = 2000
const pageBytes = 2 * 1024 * 1024

/** Where a fold begins. */
interface Start<S> {
  readonly base: Loaded<S>
  /** The first events behind it. */
  readonly page: Page
}

const nothing = <S>({ initial }: Folded<S>, truncatedBefore: number): Loaded<S> => ({
  state: initial,
  version: 0 as StreamVersion,
  position: 0 as Position,
  mark: undefined,
  truncatedBefore,
  unsaved: allSaved
})

/** A stream without an event to read is new, or so many are hidden: then it goes on counting. */
const whole = <S>(loaded: Loaded<S>): Loaded<S> =>
  loaded.mark === undefined
    ? { ...loaded, version: Math.max(0, loaded.truncatedBefore - 1) as StreamVersion }
    : loaded

const resume = <S>(
  store: Store,
  { stream }: Folded<S>,
  mark: SnapshotMark | undefined,
  range: { readonly to: number; readonly limit: number }
): Effect.Effect<Resumed, StreamTombstoned | StoreError> =>
  store.storage.snapshots.resume(stream.streamId, mark, { ...range, bytes: pageBytes })

const fromFirst = <S>(store: Store, folded: Folded<S>, to: number) =>
  Effect.map(
    resume(store, folded, undefined, { to, limit: firstPageEvents }),
    ({ page, truncatedBefore }): Start<S> => ({ base: nothing(folded, truncatedBefore), page })
  )

/** What is saved, if there is something, and the first events behind it. */
const begin = <S>(store: Store, folded: Folded<S>, to: number): Effect.Effect<Start<S>, ReadError, any> => {
  const { snapshot, stream } = folded
  return snapshot === undefined ? fromFirst(store, folded, to) : SnapshotStore.load(snapshot, stream, { to }).pipe(
    Effect.provideService(EventStore, store),
    Effect.map(({ mark, page, state, truncatedBefore }): Start<S> => {
      const first = nothing(folded, truncatedBefore)
      return mark === undefined || Option.isNone(state) ? { base: first, page } : {
        base: {
          ...first,
          state: state.value,
          version: mark.streamVersion as StreamVersion,
          position: mark.position as Position,
          mark
        },
        page
      }
    })
  )
}

/**
 * Folds on from where it begins: page by page, the next one under way while one is folded. Keeps no events. Where events
 * of the state are hidden while it reads, it begins anew: what all pages add up to was the state of the stream at one time.
 */
const foldOn = <S>(
  store: Store,
  folded: Folded<S>,
  beginning: Effect.Effect<Start<S>, ReadError, any>,
  { isBeyond, to = forever }: {
    /** The last version. */
    readonly to?: number | undefined
    /** Whether the fold ends before a stored event. */
    readonly isBeyond?: ((stored: StoredEvent) => boolean) | undefined
  } = {}
): Effect.Effect<Loaded<S>, ReadError, any> =>
  Clock.clockWith((clock) =>
    Effect.gen(function*() {
      const started = clock.monotonicTimeNanosUnsafe()
      const { category: { codec: { decode } }, streamId } = folded.stream
      const { evolve } = folded
      let { base, page } = yield* beginning
      let { position, state } = base
      let last: StoredEvent | undefined
      let count = 0
      let oldest: number | undefined
      const sink = {
        push: (recorded: Recorded<any>) => {
          state = evolve(state, recorded.event)
        }
      }
      const passed = (stored: StoredEvent) => {
        last = stored
        count++
        oldest ??= stored.recordedAt
        if (stored.position > 0) position = stored.position as Position
      }
      /** Answers whether that is the end, whatever follows. */
      const foldPage = (events: ReadonlyArray<StoredEvent>, from: number): Effect.Effect<boolean, DecodeError, any> => {
        for (let i = from; i < events.length; i++) {
          const stored = events[i]!
          if (isBeyond?.(stored) === true) return Effect.succeed(true)
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
      /** What follows an event: whether all up to it is still there is seen by the same statement. */
      const following = (last: StoredEvent, truncatedBefore: number): Effect.Effect<Resumed, ReadError> =>
        // what is staged is no place to resume at, and nobody else can hide it
        last.position === 0
          ? Effect.map(
            store.storage.streamPage(streamId, {
              direction: "forward",
              from: last.streamVersion + 1,
              to,
              limit: pageEvents,
              bytes: pageBytes
            }),
            (page) => ({ holds: true, page, truncatedBefore })
          )
          : resume(store, folded, markOf(last, truncatedBefore), { to, limit: pageEvents })

      for (;;) {
        const { events, more } = page
        const end = events.at(-1)
        const next = end === undefined || !more || end.streamVersion >= to
          ? undefined
          : yield* Effect.forkChild(following(end, base.truncatedBefore))
        const folding = Effect.suspend(() => foldPage(events, 0))
        const isEnd = yield* next === undefined
          ? folding
          : Effect.onExit(folding, (exit) => Exit.isSuccess(exit) && !exit.value ? Effect.void : Fiber.interrupt(next))
        yield* countReplayed(events.length)
        if (isEnd || next === undefined) break
        const resumed = yield* Fiber.join(next)
        page = resumed.page
        if (!resumed.holds) {
          base = nothing(folded, resumed.truncatedBefore)
          state = base.state
          position = base.position
          last = undefined
          count = 0
          oldest = undefined
        }
      }
      const mark = last === undefined ? base.mark : markOf(last, base.truncatedBefore)
      const replayMillis = count === 0 ? 0 : Number(clock.monotonicTimeNanosUnsafe() - started) / 1e6
      const { unsaved } = base
      return {
        state,
        version: (mark?.streamVersion ?? 0) as StreamVersion,
        position,
        mark,
        truncatedBefore: base.truncatedBefore,
        unsaved: {
          events: unsaved.events + count,
          oldest: unsaved.oldest ?? oldest,
          replayMillis: Math.max(unsaved.replayMillis, replayMillis)
        }
      }
    })
  )

export const markOf = (
  { eventId, position, streamVersion }: Pick<SnapshotMark, "eventId" | "position" | "streamVersion">,
  truncatedBefore: number
): SnapshotMark => ({ streamVersion, position, eventId, truncatedBefore })
