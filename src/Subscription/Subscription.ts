/**
 * Subscriptions that keep no state in the store: what was stored so far and then what comes, or only what comes.
 *
 * @since 0.1.0
 */
import { Array as Arr, type Cause, Duration, Effect, Option, type Pull, type Scope, Stream } from "effect"
import { EventStore } from "../Store/EventStore.ts"
import * as LogFilter from "../Store/LogFilter.ts"
import type { LogFollower, LogPlace, StreamPlace } from "../Store/LogTail.ts"
import { InvalidInput, type LogRewound, type StoreError, type StreamTombstoned } from "../Store/StoreError.ts"
import type { Any as AnyCategory, Category, Out, Services, StreamRef } from "../Stream/Category.ts"
import { decodeFrom } from "../Stream/Decode.ts"
import type { DecodeError } from "../Stream/DecodeError.ts"
import type { EventFilter } from "../Stream/EventFilter.ts"
import type { Position } from "../Stream/Position.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import { checkedPlace, checkedStreamPlace } from "./internal/place.ts"
import { type Decode, sourceOf } from "./internal/source.ts"

/**
 * What can be subscribed to: a category, several, one stream, or with `Category.raw` the whole log.
 *
 * @category models
 * @since 0.1.0
 */
export type Subscribable = AnyCategory | ReadonlyArray<AnyCategory> | StreamRef<never, unknown, any>

/**
 * The events that a subscription yields.
 *
 * @category type-level
 * @since 0.1.0
 */
export type OutOf<S> = S extends StreamRef<never, infer O, any> ? O
  : Out<S extends ReadonlyArray<any> ? S[number] : S>

/**
 * The services that a subscription needs to decode its events.
 *
 * @category type-level
 * @since 0.1.0
 */
export type ServicesOf<S> = S extends StreamRef<never, any, infer R> ? R
  : Services<S extends ReadonlyArray<any> ? S[number] : S>

/**
 * Where a subscription begins, and which events it wants.
 *
 * `after` is the last place that was seen: a position, for one stream a version; 0, the default, for everything, `"end"`
 * for what is stored from now on. A recorded event can stand there as well: then its id is checked too, so that a log
 * that was restored from a backup is noticed even where it has grown again meanwhile.
 *
 * @category models
 * @since 0.1.0
 */
export interface SubscribeOptions<S> extends Omit<EventFilter, "categories"> {
  /** Of the whole log (`Category.raw`) only these categories. */
  readonly categories?: S extends Category<"", never, any, any, any> ? EventFilter["categories"] : undefined
  readonly after?: number | "end" | (S extends StreamRef<never, any, any> ? StreamPlace : LogPlace) | undefined
}

/**
 * What a subscription says: an event; that everything stored so far was handed out; or, from time to time, that
 * everything up to a position was handed out or did not match.
 *
 * @category models
 * @since 0.1.0
 */
export type Signal<E> =
  | { readonly _tag: "Event"; readonly recorded: Recorded<E> }
  | { readonly _tag: "CaughtUp"; readonly position: Position }
  | { readonly _tag: "Heartbeat"; readonly position: Position }

/**
 * Why a subscription ends. A database that does not answer for a while is no reason: it goes on when that is over.
 *
 * @category errors
 * @since 0.1.0
 */
export type SubscribeError = InvalidInput | DecodeError | StreamTombstoned | LogRewound | StoreError

/**
 * Everything that matches, in order, without a seam between what was stored and what is stored later: a catch-up
 * subscription. It never ends by itself.
 *
 * **Details** No event is skipped or comes twice while the stream runs. Note the position of what is done, and hand it in
 * as `after` to go on from there; where upcasters split events, note it when `part + 1 === parts`. Whoever is slow is waited for by nobody and costs no memory: it reads for itself until
 * it is near the end again. All subscriptions of a process share one reader there.
 *
 * Fails with `LogRewound` where the log is not the one that was read before, with `InvalidInput` where the options are
 * wrong, with a `DecodeError` at an event that does not decode, unless its category says otherwise.
 *
 * **Example** (Go on where the last run stopped)
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Category, Subscription } from "effect-eventstore"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * export const greet = (checkpoint: number) =>
 *   Subscription.catchUp(Cart, { after: checkpoint }).pipe(
 *     Stream.runForEach(({ event, position }) => Effect.log(`${position}: welcome, ${event.customer}`))
 *   )
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const catchUp = <const S extends Subscribable>(
  source: S,
  options?: SubscribeOptions<NoInfer<S>>
): Stream.Stream<Recorded<OutOf<S>>, SubscribeError, EventStore | ServicesOf<S>> =>
  Stream.unwrap(Effect.map(open(source, options), ({ next, wait }) => eventsOf<OutOf<S>, ServicesOf<S>>(next, wait)))

/**
 * As {@link catchUp}, with word of how far it is: `CaughtUp` when everything stored so far was handed out, and again
 * after it fell behind; `Heartbeat` with the current position every `heartbeat` (default 5 seconds) without an event, and
 * for each large piece of the log in which nothing matched. A checkpoint can move to each of these positions. The first
 * signal comes as soon as the subscription is established, whether there are events or not.
 *
 * **Gotchas** For one stream these are positions of the log, too, while `after` is a version there: note the last event.
 *
 * **Example** (A checkpoint that moves on, though nothing matches)
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Category, Subscription } from "effect-eventstore"
 *
 * declare const handle: (type: string) => Effect.Effect<void>
 * declare const save: (position: number) => Effect.Effect<void>
 *
 * export const run = (checkpoint: number) =>
 *   Subscription.signals(Category.raw, { after: checkpoint, tags: ["vip"] }).pipe(
 *     Stream.runForEach((signal) =>
 *       signal._tag === "Event"
 *         ? Effect.andThen(handle(signal.recorded.type), save(signal.recorded.position))
 *         : save(signal.position)
 *     )
 *   )
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const signals = <const S extends Subscribable>(
  source: S,
  options?: SubscribeOptions<NoInfer<S>> & { readonly heartbeat?: Duration.Input | undefined }
): Stream.Stream<Signal<OutOf<S>>, SubscribeError, EventStore | ServicesOf<S>> =>
  Stream.unwrap(Effect.gen(function*() {
    const heartbeat = Duration.fromInput(options?.heartbeat === undefined ? "5 seconds" : options.heartbeat)
    if (Option.isNone(heartbeat) || Duration.toMillis(heartbeat.value) <= 0) {
      return yield* new InvalidInput({ field: "heartbeat", problem: "is not a time longer than 0" })
    }
    const { next, position, wait } = yield* open(source, options)
    return signalsOf<OutOf<S>, ServicesOf<S>>(next, position, wait, Duration.toMillis(heartbeat.value))
  }))

/**
 * What is stored from now on: a volatile subscription. It is established when the effect completes; from then on
 * nothing is skipped, however late the stream is run, and each run of it begins there. It is released with the scope.
 *
 * **Example** (Append, and see it come)
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Category, EventStore, Subscription } from "effect-eventstore"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * export const program = Effect.gen(function*() {
 *   const store = yield* EventStore
 *   const events = yield* Subscription.volatile(Cart)
 *   yield* store.append(Cart.stream("42"), [new Opened({ customer: "c-1" })])
 *   return yield* Stream.runCollect(Stream.take(events, 1))
 * }).pipe(Effect.scoped, Effect.provide(EventStore.layerMemory))
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const volatile = <const S extends Subscribable>(
  source: S,
  options?: Omit<SubscribeOptions<NoInfer<S>>, "after">
): Effect.Effect<
  Stream.Stream<Recorded<OutOf<S>>, SubscribeError, ServicesOf<S>>,
  SubscribeError,
  EventStore | Scope.Scope
> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    // as long as this one is there, what is new is at hand for the runs
    const { start } = yield* open(source, { ...options, after: "end" })
    const run = Effect.provideService(
      open(source, { ...options, after: start } as SubscribeOptions<S>),
      EventStore,
      store
    )
    return Stream.unwrap(Effect.map(run, ({ next, wait }) => eventsOf<OutOf<S>, ServicesOf<S>>(next, wait)))
  })

/** Most stored events that are taken at a time. */
const pageEvents = 2000

/** The next decoded events of a subscription. */
interface Taken {
  readonly events: Array<Recorded<any>>
  readonly position: number
  readonly caughtUp: boolean
  readonly isBehind: boolean
}

interface Opened {
  readonly start: LogFollower<never>["start"]
  readonly next: Effect.Effect<Taken, SubscribeError, any>
  readonly position: () => number
  readonly wait: Effect.Effect<void>
}

const open = <S extends Subscribable>(
  source: S,
  options: SubscribeOptions<S> | undefined
): Effect.Effect<Opened, SubscribeError, EventStore | Scope.Scope> =>
  Effect.gen(function*() {
    const { tail } = yield* EventStore
    const after = options?.after === undefined ? 0 : options.after
    if (!Arr.isArray(source) && "streamId" in (source as object)) {
      const stream = source as StreamRef<never, unknown, any>
      if (stream.problem !== undefined) return yield* new InvalidInput({ field: "stream", problem: stream.problem })
      const filter = yield* LogFilter.fromEventFilter(options)
      const follower = yield* tail.followStream(stream.streamId, yield* checkedStreamPlace(after))
      return opened(follower, stream.category.codec.decode, filter)
    }
    const { decode, filter } = sourceOf(source as AnyCategory | ReadonlyArray<AnyCategory>, options ?? {})
    const logFilter = yield* filter
    return opened(yield* tail.follow(logFilter, yield* checkedPlace(after)), decode, undefined)
  })

const opened = (
  follower: LogFollower<StreamTombstoned>,
  decode: Decode,
  /** What the follower does not filter: it follows streams whole. */
  filter: LogFilter.LogFilter | undefined
): Opened => {
  let failure: Cause.Cause<DecodeError> | undefined
  return {
    start: follower.start,
    next: Effect.suspend(() =>
      failure !== undefined
        ? Effect.failCause(failure)
        : Effect.flatMap(follower.take(pageEvents), ({ caughtUp, events, isBehind, position }) => {
          const decoded: Array<Recorded<any>> = []
          const taken: Taken = { events: decoded, position, caughtUp, isBehind }
          const wanted = filter === undefined ? events : events.filter((event) => LogFilter.matches(filter, event))
          const waiting = decodeFrom(decode, wanted, 0, decoded)
          return waiting === undefined ? Effect.succeed(taken) : Effect.matchCauseEffect(waiting, {
            onSuccess: () => Effect.succeed(taken),
            onFailure: (cause) => {
              // what comes before it is handed out first
              failure = cause
              const last = decoded[decoded.length - 1]
              return last === undefined
                ? Effect.failCause(cause)
                : Effect.succeed({ events: decoded, position: last.position, caughtUp: false, isBehind })
            }
          })
        })
    ),
    position: follower.position,
    wait: follower.wait
  }
}

const eventsOf = <E, R>(
  next: Opened["next"],
  wait: Effect.Effect<void>
): Stream.Stream<Recorded<E>, SubscribeError, R> => {
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Recorded<E>>, SubscribeError, void, any> = Effect.flatMap(
    next,
    ({ caughtUp, events }) =>
      Arr.isReadonlyArrayNonEmpty(events) ? Effect.succeed(events) : caughtUp ? Effect.andThen(wait, pull) : pull
  )
  return Stream.fromPull(Effect.succeed(pull))
}

const signalsOf = <E, R>(
  next: Opened["next"],
  position: () => number,
  wait: Effect.Effect<void>,
  heartbeatMillis: number
): Stream.Stream<Signal<E>, SubscribeError, R> => {
  let isAnnounced = false
  /** When a heartbeat is due, unless something is said before. */
  let due: number | undefined
  const say = (said: Arr.NonEmptyReadonlyArray<Signal<E>>) => {
    due = undefined
    return Effect.succeed(said)
  }
  const beat = Effect.suspend(() => say([{ _tag: "Heartbeat", position: position() as Position }]))
  const news = Effect.as(wait, false)
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Signal<E>>, SubscribeError, void, any> = Effect.flatMap(
    next,
    (taken): Pull.Pull<Arr.NonEmptyReadonlyArray<Signal<E>>, SubscribeError, void, any> => {
      if (taken.isBehind) isAnnounced = false
      const said: Array<Signal<E>> = taken.events.map((recorded) => ({ _tag: "Event", recorded }))
      if (taken.caughtUp && !isAnnounced) {
        isAnnounced = true
        said.push({ _tag: "CaughtUp", position: taken.position as Position })
      } else if (said.length === 0 && !taken.caughtUp) {
        said.push({ _tag: "Heartbeat", position: taken.position as Position })
      }
      if (Arr.isReadonlyArrayNonEmpty(said)) return say(said)
      return Effect.clockWith((clock) => {
        // what is stored without matching must not put it off
        const now = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
        due ??= now + heartbeatMillis
        if (now >= due) return beat
        const isDue = Effect.as(Effect.sleep(Math.ceil(due - now)), true)
        return Effect.flatMap(Effect.raceFirst(news, isDue), (isDue) => isDue ? beat : pull)
      })
    }
  )
  return Stream.fromPull(Effect.succeed(pull))
}
