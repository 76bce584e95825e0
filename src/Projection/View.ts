/**
 * Live views: the state that the events of a stream, a category or several lead to, folded when somebody asks for it, as
 * it is or as it was.
 *
 * A view keeps nothing. It is exact at any time and needs no runner; each read costs the events it folds. Where that is too
 * much, run a projection.
 *
 * @since 0.1.0
 */
import { DateTime, Effect, Stream } from "effect"
import { EventStore, type ReadError } from "../Store/EventStore.ts"
import { InvalidInput } from "../Store/StoreError.ts"
import type * as Category from "../Stream/Category.ts"
import type { EventFilter } from "../Stream/EventFilter.ts"
import * as Position from "../Stream/Position.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import * as StreamVersion from "../Stream/StreamVersion.ts"
import { type Evolve, evolveBy } from "./internal/evolve.ts"

/**
 * A state and how events change it.
 *
 * @category models
 * @since 0.1.0
 */
export interface View<in out S, in E> {
  readonly initial: S
  /** Pure: the same state and event give the same state, and neither is changed. */
  readonly evolve: (state: S, recorded: Recorded<E>) => S
}

/**
 * Where the events of a view come from: a category, several, or with `Category.raw` the whole log.
 *
 * @category models
 * @since 0.1.0
 */
export type Source = Category.Any | ReadonlyArray<Category.Any>

/**
 * The events of a source.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Out<C> = Category.Out<C extends ReadonlyArray<any> ? C[number] : C>

/**
 * The services that reading a source needs.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<C> = Category.Services<C extends ReadonlyArray<any> ? C[number] : C>

/**
 * The past that is asked for: the longest beginning of the events in which all of them are at or before what is named.
 * Without any of it, the present.
 *
 * **Gotchas** Clocks step back: with `time` the view ends before the first event that was recorded later, though events
 * after that one may have been recorded earlier. Events staged in a transaction that is open have no position, and come
 * after every position.
 *
 * @category models
 * @since 0.1.0
 */
export interface AsOf {
  /** A position of the log. */
  readonly position?: number | undefined
  /** A time, by the clock of the store: that of the database, and on memory the `Clock` of the fibre that appended. */
  readonly time?: DateTime.Utc | undefined
}

/**
 * As {@link AsOf}, or a version of the stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamAsOf extends AsOf {
  readonly version?: number | undefined
}

/**
 * As {@link AsOf}, of those events of a source that a filter lets pass.
 *
 * @category models
 * @since 0.1.0
 */
export interface SourceAsOf extends AsOf, Pick<EventFilter, "types" | "streamPrefix" | "tags"> {}

/**
 * A state, and the position of the last event in it: 0 where there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Viewed<out S> {
  readonly state: S
  readonly position: Position.Position
}

/**
 * As {@link Viewed}, with the version of the last event in it, 0 where there is none: what an append expects that was
 * decided on this state.
 *
 * **Gotchas** Where the newest stored events read as nothing, dropped ones or such an upcaster's, the stream is further than
 * that: `store.head` says how far, and deciders go by it.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamViewed<out S> extends Viewed<S> {
  readonly version: StreamVersion.StreamVersion
}

/**
 * Makes a view of the events of a source: a state to begin with, and a pure function for each tag.
 *
 * **Gotchas** Throws where an event that can be appended has no function, or the source is empty: a mistake in the program, not
 * in its input.
 *
 * **Example** (Today, and at noon)
 * ```ts
 * import { type DateTime, Effect, Schema } from "effect"
 * import { Category, View } from "effect-eventstore"
 *
 * class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
 * class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
 * const Account = Category.make("account", { id: Schema.String, events: [Deposited, Withdrawn] })
 *
 * const Balance = View.make(Account, {
 *   initial: 0,
 *   evolve: {
 *     Deposited: (sum, { event }) => sum + event.cents,
 *     Withdrawn: (sum, { event }) => sum - event.cents
 *   }
 * })
 *
 * export const compare = Effect.fn("compare")(function*(id: string, noon: DateTime.Utc) {
 *   const today = yield* View.of(Balance, Account.stream(id))
 *   const atNoon = yield* View.of(Balance, Account.stream(id), { time: noon })
 *   const everybody = yield* View.of(Balance, Account)
 *   return { grown: today.state - atNoon.state, share: today.state / everybody.state }
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make = <const C extends Source, S>(from: C, options: {
  readonly initial: S
  readonly evolve: Evolve<NoInfer<S>, Out<C>>
}): View<S, Out<C>> => ({ initial: options.initial, evolve: evolveBy<S>(from, options.evolve) })

/**
 * Folds the events of a stream, or those of a category or several in the order of their positions: all there are to read, or
 * those up to a version, a position or a time. What is hidden is not part of it, as in every read.
 *
 * **Details** Reads page by page, and no further than the page in which it ends; holds no more than the state and a few
 * pages. Inside a transaction that is open, the view of a stream includes what is staged.
 *
 * Fails with `InvalidInput` where the version or position is no whole number from 0, with a `DecodeError` at an event that
 * does not decode, unless its category says otherwise. A function of the view that throws is a defect.
 *
 * **Gotchas** A deleted or truncated stream reads as what is left of it: version 0 says that nothing is there to read, not
 * that the stream is new.
 *
 * **Example** (Decide on a state, and append if nothing came between)
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Category, EventStore, View } from "effect-eventstore"
 *
 * class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
 * const Account = Category.make("account", { id: Schema.String, events: [Withdrawn] })
 * const Spent = View.make(Account, { initial: 0, evolve: { Withdrawn: (sum, { event }) => sum + event.cents } })
 *
 * export const withdraw = Effect.fn("withdraw")(function*(id: string, cents: number) {
 *   const store = yield* EventStore
 *   const { state, version } = yield* View.of(Spent, Account.stream(id))
 *   if (state + cents > 100_000) return
 *   yield* store.append(Account.stream(id), [new Withdrawn({ cents })], { expected: version })
 * })
 * ```
 * @category operations
 * @since 0.1.0
 */
export const of: {
  <S, E, O extends E, R>(
    view: View<S, E>,
    stream: Category.StreamRef<never, O, R>,
    asOf?: StreamAsOf
  ): Effect.Effect<StreamViewed<S>, ReadError, EventStore | R>
  <S, E, const C extends Source>(
    view: View<S, E>,
    source: C & (Out<C> extends E ? unknown : never),
    asOf?: SourceAsOf
  ): Effect.Effect<Viewed<S>, Exclude<ReadError, { readonly _tag: "StreamTombstoned" }>, EventStore | Services<C>>
} = (
  view: View<any, any>,
  from: Category.StreamRef<never, unknown, any> | Source,
  asOf: StreamAsOf & SourceAsOf = {}
): Effect.Effect<any, any, any> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    yield* checkWhole("version", asOf.version)
    yield* checkWhole("position", asOf.position)
    if (asOf.time !== undefined && !DateTime.isDateTime(asOf.time)) {
      return yield* new InvalidInput({ field: "time", problem: "is no time" })
    }
    if ("streamId" in from) {
      return yield* fold(view, upTo(store.read(from, { to: asOf.version }), asOf))
    }
    const { streamPrefix, tags, types } = asOf
    const events = store.readCategory(from, { streamPrefix, tags, types, to: asOf.position })
    const { position, state } = yield* fold(view, upTo(events, { time: asOf.time }))
    return { position, state }
  })

const checkWhole = (field: string, given: number | undefined): Effect.Effect<void, InvalidInput> =>
  given === undefined || Number.isSafeInteger(given) && given >= 0
    ? Effect.void
    : Effect.fail(new InvalidInput({ field, problem: `is ${String(given)}, which is not a whole number from 0` }))

/** Ends before the first event that is beyond what is asked for: what comes after it is of no concern. */
const upTo = <E, Err, R>(
  events: Stream.Stream<Recorded<E>, Err, R>,
  { position, time }: AsOf
): Stream.Stream<Recorded<E>, Err, R> => {
  if (position === undefined && time === undefined) return events
  const millis = time === undefined ? Infinity : DateTime.toEpochMillis(time)
  const isBefore = position === undefined
    ? () => true
    : (recorded: Recorded<E>) => recorded.position > 0 && recorded.position <= position
  return Stream.takeWhile(
    events,
    (recorded) => isBefore(recorded) && DateTime.toEpochMillis(recorded.recordedAt) <= millis
  )
}

const fold = <S, Err, R>(
  view: View<S, any>,
  events: Stream.Stream<Recorded<any>, Err, R>
): Effect.Effect<StreamViewed<S>, Err, R> =>
  Effect.suspend(() => {
    let state = view.initial
    let version = StreamVersion.none
    let position = Position.start
    return Stream.runForEachArray(events, (some) =>
      Effect.sync(() => {
        for (const recorded of some) {
          state = view.evolve(state, recorded)
          version = recorded.streamVersion
          // what is staged has none yet
          if (recorded.position > position) position = recorded.position
        }
      })).pipe(Effect.map(() => ({ state, version, position })))
  })
