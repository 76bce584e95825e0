/**
 * Saves states of streams, and loads them again with the events that came since.
 *
 * Snapshots are kept where the events are, unless a layer of {@link SnapshotStore} is provided. They are a cache: all of them
 * may be dropped at any time.
 *
 * @since 0.1.0
 */
import { Cause, Clock, Context, Effect, Layer, Option, Stream, Tracer } from "effect"
import { EventStore, type ReadError } from "../Store/EventStore.ts"
import * as LogFilter from "../Store/LogFilter.ts"
import type { LogStorage, Page } from "../Store/LogStorage.ts"
import type {
  SnapshotFilter,
  SnapshotInfo,
  SnapshotKey,
  SnapshotMark,
  SnapshotRange,
  SnapshotStorage
} from "../Store/SnapshotStorage.ts"
import { InvalidInput, type StoreError, StreamTombstoned } from "../Store/StoreError.ts"
import type * as Category from "../Stream/Category.ts"
import { decodeFrom } from "../Stream/Decode.ts"
import type { Position } from "../Stream/Position.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import type { StoredEvent } from "../Stream/StoredEvent.ts"
import type { StreamId } from "../Stream/StreamId.ts"
import type { StreamVersion } from "../Stream/StreamVersion.ts"
import { makeInProcess } from "./internal/inProcess.ts"
import { countLoad, countSave } from "./internal/telemetry.ts"
import type { Snapshot } from "./Snapshot.ts"

/**
 * Keeps the snapshots of one log: all that a `SnapshotStorage` does, without the question whether somebody else's state holds.
 *
 * @category models
 * @since 0.1.0
 */
export type Keeper = Pick<SnapshotStorage, "load" | "save" | "list" | "drop">

/**
 * Where snapshots are kept: for the storage of whatever `EventStore` a program uses, who keeps its snapshots. The same storage has
 * to give the same one. Where no such service is provided, they are kept in the storage itself.
 *
 * @category services
 * @since 0.1.0
 */
export class SnapshotStore extends Context.Service<
  SnapshotStore,
  { readonly of: (storage: LogStorage) => Keeper }
>()("effect-eventstore/Snapshot/SnapshotStore") {}

/**
 * Keeps snapshots in the process, beside whatever event store: for each store at most so many, the ones that were used last.
 * What is loaded is checked against the store of the caller, in the same round trip as the events behind it.
 *
 * **Gotchas** Throws where `capacity` is not a whole number from 1.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemoryWith = (options: { readonly capacity: number }): Layer.Layer<SnapshotStore> => {
  const { capacity } = options
  if (!Number.isSafeInteger(capacity) || capacity < 1) {
    throw new Error(`The capacity of snapshots is ${capacity}, not a whole number from 1`)
  }
  return Layer.sync(SnapshotStore, () => {
    // positions and versions of one log say nothing about another
    const keepers = new WeakMap<LogStorage, Keeper>()
    const of = (storage: LogStorage): Keeper => {
      let keeper = keepers.get(storage)
      if (keeper === undefined) {
        keeper = makeInProcess(storage, capacity)
        keepers.set(storage, keeper)
      }
      return keeper
    }
    return { of }
  })
}

/**
 * As {@link layerMemoryWith}, for 10,000 snapshots.
 *
 * **Example**
 * ```ts
 * import { Layer } from "effect"
 * import { EventStore, SnapshotStore } from "effect-eventstore"
 *
 * export const Live = SnapshotStore.layerMemory.pipe(Layer.provideMerge(EventStore.layerMemory))
 * ```
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<SnapshotStore> = layerMemoryWith({ capacity: 10_000 })

/**
 * A state that was saved and holds, and the first page of what is stored behind it; or no state, and the beginning.
 *
 * @category models
 * @since 0.1.0
 */
export interface Loaded<out S> {
  readonly state: Option.Option<S>
  /** Where the state was taken; `undefined` without one. */
  readonly mark: SnapshotMark | undefined
  /** When it was saved, in milliseconds since 1970; `undefined` without one. */
  readonly savedAt: number | undefined
  readonly page: Page
  /** The version below which events of the stream are hidden now. */
  readonly truncatedBefore: number
}

/**
 * A state, and what it is the state of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Folded<out S> {
  readonly state: S
  /** What the stream is at, or the version that was asked for: what an append expects that is decided on this state. */
  readonly version: StreamVersion
  /** Position of the last event in the state, 0 where there is none. */
  readonly position: Position
  /** Where the state can be saved; `undefined` where there is no event in it. */
  readonly mark: SnapshotMark | undefined
  /** Version of the snapshot it was made from, 0 where there was none. */
  readonly snapshotVersion: number
  /** Stored events that were folded. */
  readonly events: number
  /** When the first of them was recorded, in milliseconds since 1970; `undefined` where there was none. */
  readonly oldest: number | undefined
  /** How long it took to read and to fold. */
  readonly replayMillis: number
}

/**
 * Loads what was saved and the first events behind it, in one round trip. One that does not hold or does not decode is
 * ignored, and counted by the metric `eventstore.snapshot.loads`: the answer has no state then, and the first events of all.
 *
 * **Details** `to` is the last version that is wanted. With the policy `never` nothing is looked for. Inside a transaction
 * that is open the page has what is staged.
 *
 * @category operations
 * @since 0.1.0
 */
export const load = <S, R>(
  snapshot: Snapshot<S, R>,
  stream: Category.StreamRef<never, unknown, any>,
  options?: { readonly to?: number | undefined }
): Effect.Effect<Loaded<S>, InvalidInput | StreamTombstoned | StoreError, EventStore | R> =>
  Effect.gen(function*() {
    yield* checkStream(stream)
    const store = yield* EventStore
    const { streamId } = stream
    const range = { to: yield* checkVersion(options?.to), limit: firstPage, bytes: pageBytes }
    if (snapshot.policy._tag === "Never") return yield* fromBeginning(store, streamId, range)
    const kept = yield* current(store)
    const { isStale, page, snapshot: stored, truncatedBefore } = yield* kept.load(streamId, snapshot.name, range)
    if (stored === undefined) {
      yield* countLoad(snapshot.name, isStale ? "stale" : "none")
      return { ...nothing, page, truncatedBefore }
    }
    const state = yield* Effect.option(snapshot.decode(stored))
    if (Option.isNone(state)) {
      yield* countLoad(snapshot.name, "undecodable")
      return yield* fromBeginning(store, streamId, range)
    }
    yield* countLoad(snapshot.name, "held")
    return { state, mark: markOf(stored, stored.truncatedBefore), savedAt: stored.savedAt, page, truncatedBefore }
  }).pipe(span("load", snapshot.name))

/**
 * The state of a stream: what was saved, and all events since folded into it. The same as a fold of all events that can be
 * read, whatever is saved, provided that `evolve` is pure.
 *
 * **Details** Needs one round trip where no more than a page of events came since, and holds no more than the state and a page.
 * Where events are hidden while it reads several pages, it begins anew: the answer was the state at one time.
 * Fails with a `DecodeError` at an event that does not decode, unless its category says otherwise. A function that throws is a
 * defect.
 *
 * **Example** (Save what took long)
 * ```ts
 * import { Clock, Effect, Schema } from "effect"
 * import { Category, Snapshot, SnapshotStore } from "effect-eventstore"
 *
 * class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
 * const Account = Category.make("account", { id: Schema.String, events: [Deposited] })
 * const Balance = Snapshot.make({ name: "balance", state: Schema.Int, policy: Snapshot.every(100) })
 *
 * export const balance = Effect.fn("balance")(function*(id: string) {
 *   const stream = Account.stream(id)
 *   const folded = yield* SnapshotStore.fold(Balance, stream, {
 *     initial: 0,
 *     evolve: (sum, { event }) => sum + event.cents
 *   })
 *   const now = yield* Clock.currentTimeMillis
 *   if (Snapshot.isDue(Balance.policy, { ...folded, now })) yield* SnapshotStore.saveLater(Balance, stream, folded)
 *   return folded.state
 * })
 * ```
 * @category operations
 * @since 0.1.0
 */
export const fold = <S, R, Out, R2>(
  snapshot: Snapshot<S, R>,
  stream: Category.StreamRef<never, Out, R2>,
  options: {
    readonly initial: NoInfer<S>
    /** Pure: the same state and event give the same state, and neither is changed. */
    readonly evolve: (state: NoInfer<S>, recorded: Recorded<Out>) => NoInfer<S>
    /** The last version that is wanted. */
    readonly to?: number | undefined
  }
): Effect.Effect<Folded<S>, ReadError, EventStore | R | R2> =>
  foldFrom(stream, options, load(snapshot, stream, options))

/** Folds what is loaded and all that follows, again where events of it were hidden while the pages were read. */
const foldFrom = <S, Out, R, E, R2>(
  stream: Category.StreamRef<never, Out, R>,
  options: Folding<S, Out>,
  load: Effect.Effect<Loaded<S>, E, R2>
): Effect.Effect<Folded<S>, E | ReadError, EventStore | R | R2> =>
  Effect.flatMap(timed(load), ([loaded, millis]) =>
    Effect.flatMap(
      foldPages(stream, options, loaded, millis),
      (folded) => folded === undefined ? foldFrom(stream, options, load) : Effect.succeed(folded)
    ))

interface Folding<S, Out> {
  readonly initial: S
  readonly evolve: (state: S, recorded: Recorded<Out>) => S
  readonly to?: number | undefined
}

/** Folds a page and all that follow it; `undefined` where what they add up to was never the state of the stream. */
const foldPages = Effect.fnUntraced(function*<S, Out, R>(
  stream: Category.StreamRef<never, Out, R>,
  { evolve, initial, to }: Folding<S, Out>,
  { mark, page: first, state: saved, truncatedBefore }: Loaded<S>,
  millis: number
): Effect.fn.Return<Folded<S> | undefined, ReadError, EventStore | R> {
  const { storage } = yield* EventStore
  let state = Option.getOrElse(saved, () => initial)
  let last: StoredEvent | undefined
  let events = 0
  let oldest: number | undefined
  const rest = Effect.gen(function*() {
    let page = first
    while (true) {
      const recorded: Array<Recorded<Out>> = []
      yield* decodeFrom(stream.category.codec.decode, page.events, 0, recorded) ?? Effect.void
      for (const one of recorded) state = evolve(state, one)
      events += page.events.length
      oldest ??= page.events[0]?.recordedAt
      last = page.events.at(-1) ?? last
      if (!page.more || last === undefined) return
      page = yield* storage.streamPage(stream.streamId, {
        direction: "forward",
        from: last.streamVersion + 1,
        to: to ?? Number.MAX_SAFE_INTEGER,
        limit: nextPage,
        bytes: pageBytes
      })
    }
  })
  const [, more] = yield* timed(rest)
  if (first.more) {
    const now = yield* storage.stream(stream.streamId)
    if (now.tombstoned) return yield* new StreamTombstoned({ streamId: stream.streamId })
    if (Math.max(now.truncatedBefore, 1) !== Math.max(truncatedBefore, 1)) return undefined
  }
  const end = last === undefined ? mark : markOf(last, truncatedBefore)
  return {
    state,
    // of a stream without an event to read this many are hidden
    version: (end?.streamVersion ?? Math.max(0, Math.min(to ?? Infinity, truncatedBefore - 1))) as StreamVersion,
    position: (end?.position ?? 0) as Position,
    mark: end,
    snapshotVersion: mark?.streamVersion ?? 0,
    events,
    oldest,
    replayMillis: millis + more
  }
})

/**
 * Saves a state, as of where it was taken. Answers whether it is kept: not where the stream has changed so that it does not
 * hold, nor where a newer one is there, nor inside of a transaction, nor with the policy `never`. Saving an older one never
 * does harm.
 *
 * **Details** Fails with `InvalidInput` where the state does not fit its schema, or has more bytes than an event may have
 * (`Limits.eventBytes`).
 *
 * @category operations
 * @since 0.1.0
 */
export const save = <S, R>(
  snapshot: Snapshot<S, R>,
  stream: Category.StreamRef<never, unknown, any>,
  { mark, state }: { readonly state: NoInfer<S>; readonly mark: SnapshotMark | undefined }
): Effect.Effect<boolean, InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    yield* checkStream(stream)
    if (mark === undefined || snapshot.policy._tag === "Never") return false
    const store = yield* EventStore
    const text = yield* Effect.mapError(
      snapshot.encode(state),
      (problem) => new InvalidInput({ field: "state", problem })
    )
    const { eventBytes } = store.limits
    const bytes = text.length * 3 <= eventBytes ? 0 : new TextEncoder().encode(text).length
    if (bytes > eventBytes) {
      return yield* new InvalidInput({
        field: "state",
        problem: `takes ${bytes} bytes, at most ${eventBytes} are allowed`
      })
    }
    const kept = yield* current(store)
    const isKept = yield* kept.save({
      name: snapshot.name,
      streamId: stream.streamId,
      schemaVersion: snapshot.schemaVersion,
      state: text,
      ...markOf(mark, mark.truncatedBefore)
    })
    yield* countSave(snapshot.name, isKept ? "kept" : "refused")
    return isKept
  }).pipe(span("save", snapshot.name))

/**
 * As {@link save}, behind the answer: adds it to the work of the store, and neither waits nor fails. Of several states of a
 * stream that wait, the one that was added last is saved. Answers whether it was added: not inside of a transaction, nor where
 * too many wait.
 *
 * **Details** What becomes of it is counted by the metric `eventstore.snapshot.saves`, and a failure is logged. A save that
 * takes 30 seconds is given up. A store that is closed lets those that wait end, for a few seconds.
 *
 * @category operations
 * @since 0.1.0
 */
export const saveLater = <S, R>(
  snapshot: Snapshot<S, R>,
  stream: Category.StreamRef<never, unknown, any>,
  folded: { readonly state: NoInfer<S>; readonly mark: SnapshotMark | undefined }
): Effect.Effect<boolean, never, EventStore> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    if (folded.mark === undefined || snapshot.policy._tag === "Never" || (yield* store.storage.inTransaction)) {
      return false
    }
    // the metrics, the logger and the place of snapshots of the caller, and not its span, which ends before
    const context = Context.omit(Tracer.ParentSpan)(yield* Effect.context<EventStore>())
    const saving = save(snapshot, stream, folded).pipe(
      Effect.timeout("30 seconds"),
      // whatever goes wrong, even a schema that throws: nobody asked for it
      Effect.catchCause((cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.void
          : Effect.andThen(
            countSave(snapshot.name, "failed"),
            Effect.logWarning(`The snapshot ${snapshot.name} of ${stream.streamId} was not saved`, cause)
          )
      ),
      Effect.asVoid,
      Effect.provideContext(context)
    )
    const isAdded = yield* store.background.add(snapshot, stream.streamId, saving)
    if (!isAdded) yield* countSave(snapshot.name, "dropped")
    return isAdded
  })

/**
 * Which snapshots are meant: those for which all holds that is given; all of them where nothing is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Filter {
  readonly category?: Category.Any | string | undefined
  readonly stream?: Category.StreamRef<never, unknown, any> | undefined
  readonly snapshot?: Snapshot<any, any> | string | undefined
}

/**
 * Lists snapshots by stream, then by name, page by page as it is pulled; their states are left out. `holds` says which are of
 * use.
 *
 * @category operations
 * @since 0.1.0
 */
export const list = (filter?: Filter): Stream.Stream<SnapshotInfo, InvalidInput | StoreError, EventStore> =>
  Stream.unwrap(Effect.gen(function*() {
    const kept = yield* current(yield* EventStore)
    const checked = yield* checkFilter(filter)
    return Stream.paginate(
      undefined as SnapshotKey | undefined,
      (after) =>
        Effect.map(kept.list(checked, { after, limit: listPage }), (infos) =>
          [
            infos,
            infos.length < listPage ? Option.none() : Option.some(infos.at(-1))
          ] as const)
    )
  }))

/**
 * Removes snapshots, and answers how many. Nothing is lost: states are folded from the events again.
 *
 * @category operations
 * @since 0.1.0
 */
export const drop = (filter?: Filter): Effect.Effect<number, InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const kept = yield* current(yield* EventStore)
    return yield* kept.drop(yield* checkFilter(filter))
  }).pipe(Effect.withSpan("eventstore.snapshot.drop"))

/**
 * What became of the streams of a category: states that are `kept`, and those that were `refused`, because a later one was there
 * each time. Streams without events are neither.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rebuilt {
  readonly kept: number
  readonly refused: number
}

/**
 * Drops the snapshot of each stream of a category, folds it from its first event on, and saves the state. Where somebody saved a
 * later state meanwhile, it begins with that stream again, up to ten times. Streams that are tombstoned are passed over.
 *
 * **When to use** After `evolve` was mended, or before a new version goes live, so that nobody waits for long folds.
 *
 * **Gotchas** A program that still folds in the old way may save its state behind this one, or keeps one in its memory and
 * saves that later: nothing tells them apart. Under traffic of such programs only a raised `version` is safe, which is never
 * mixed up with theirs. Inside of a transaction it fails with `InvalidInput`.
 *
 * @category operations
 * @since 0.1.0
 */
export const rebuild = <S, R, const C extends Category.Any>(
  snapshot: Snapshot<S, R>,
  category: C,
  options: {
    readonly initial: (streamId: StreamId) => NoInfer<S>
    readonly evolve: (state: NoInfer<S>, recorded: Recorded<Category.Out<C>>) => NoInfer<S>
    /** Which streams; default is all of them. */
    readonly isMeant?: ((streamId: StreamId) => boolean) | undefined
    /** Streams at a time; default 4. */
    readonly concurrency?: number | undefined
  }
): Effect.Effect<Rebuilt, ReadError, EventStore | Category.Services<C>> =>
  Effect.gen(function*() {
    if (snapshot.policy._tag === "Never") return { kept: 0, refused: 0 }
    const store = yield* EventStore
    const kept = yield* current(store)
    const rebuildOne = Effect.fnUntraced(function*(streamId: StreamId) {
      const stream: Category.StreamRef<never, any, any> = { streamId, problem: undefined, category: category as never }
      const range = { to: Number.MAX_SAFE_INTEGER, limit: firstPage, bytes: pageBytes }
      const filter = { streamId, name: snapshot.name }
      for (let attempt = 0; attempt < rebuildAttempts; attempt++) {
        // what is there may be wrong, and of a later version than what is folded now
        yield* kept.drop(filter)
        const folded = yield* foldFrom(
          stream,
          { initial: options.initial(streamId), evolve: options.evolve },
          fromBeginning(store, streamId, range)
        )
        if (folded.mark === undefined) return "none"
        if (yield* save(snapshot, stream, folded)) return "kept"
      }
      return "refused"
    }, Effect.catchTag("StreamTombstoned", () => Effect.succeed("none" as const)))
    const { isMeant = () => true } = options
    return yield* store.streams({ category }).pipe(
      Stream.filter(({ streamId }) => isMeant(streamId)),
      Stream.mapEffect(({ streamId }) => rebuildOne(streamId), {
        concurrency: options.concurrency ?? 4,
        unordered: true
      }),
      Stream.runFold((): Rebuilt => ({ kept: 0, refused: 0 }), ({ kept, refused }, outcome) => ({
        kept: outcome === "kept" ? kept + 1 : kept,
        refused: outcome === "refused" ? refused + 1 : refused
      }))
    )
  }) as Effect.Effect<Rebuilt, ReadError, EventStore | Category.Services<C>>

/** How often the fold of a stream begins again because a later state was saved meanwhile. */
const rebuildAttempts = 10

const span = (operation: string, name: string) =>
  Effect.withSpan(`eventstore.snapshot.${operation}`, { attributes: { "eventstore.snapshot": name } })

/** Events of the page that comes with a snapshot, and of those behind it; and the bytes after which they end. */
const firstPage = 500
const nextPage = 2000
const pageBytes = 2 * 1024 * 1024

const listPage = 500

const current = ({ storage }: EventStore["Service"]): Effect.Effect<Keeper> =>
  Effect.map(
    Effect.serviceOption(SnapshotStore),
    Option.match({ onNone: () => storage.snapshots, onSome: (snapshots) => snapshots.of(storage) })
  )

const nothing = { state: Option.none(), mark: undefined, savedAt: undefined } as const

const fromBeginning = (store: EventStore["Service"], streamId: StreamId, range: SnapshotRange) =>
  Effect.map(
    store.storage.snapshots.resume(streamId, undefined, range),
    ({ page, truncatedBefore }): Loaded<never> => ({ ...nothing, page, truncatedBefore })
  )

const markOf = (
  { eventId, position, streamVersion }: Pick<SnapshotMark, "eventId" | "position" | "streamVersion">,
  truncatedBefore: number
): SnapshotMark => ({ streamVersion, position, eventId, truncatedBefore })

/** What an effect answers, and how many milliseconds it took. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, number], E, R> =>
  Clock.clockWith((clock) => {
    const started = clock.monotonicTimeNanosUnsafe()
    return Effect.map(effect, (answer) => [answer, Number(clock.monotonicTimeNanosUnsafe() - started) / 1e6] as const)
  })

const checkStream = ({ problem }: Category.StreamRef<never, unknown, any>): Effect.Effect<void, InvalidInput> =>
  problem === undefined ? Effect.void : Effect.fail(new InvalidInput({ field: "stream", problem }))

const checkVersion = (to: number | undefined): Effect.Effect<number, InvalidInput> =>
  to === undefined
    ? Effect.succeed(Number.MAX_SAFE_INTEGER)
    : Number.isSafeInteger(to) && to >= 0
    ? Effect.succeed(to)
    : Effect.fail(new InvalidInput({ field: "to", problem: `is ${String(to)}, which is not a whole number from 0` }))

const checkFilter = ({ category, snapshot, stream }: Filter = {}): Effect.Effect<SnapshotFilter, InvalidInput> =>
  Effect.gen(function*() {
    if (stream !== undefined) yield* checkStream(stream)
    const given = {
      // the raw category is that of all streams
      category: typeof category === "object" ? category.name || undefined : category,
      name: typeof snapshot === "object" ? snapshot.name : snapshot
    }
    return {
      streamId: stream?.streamId,
      category: given.category === undefined ? undefined : yield* LogFilter.textField("category", given.category),
      name: given.name === undefined ? undefined : yield* LogFilter.textField("snapshot", given.name)
    }
  })
