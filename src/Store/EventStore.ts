/**
 * The event store: appends events to streams and reads them back.
 *
 * @since 0.1.0
 */
import { Context, Effect, Layer, type Option, type Schema, type Scope, type Stream, Tracer } from "effect"
import type { EventData } from "../Event/EventData.ts"
import type { EventId } from "../Event/EventId.ts"
import type { RawEvent } from "../Event/RawEvent.ts"
import type { Any as AnyCategory, Out, Services, StreamRef } from "../Stream/Category.ts"
import type { DecodeError } from "../Stream/DecodeError.ts"
import type { EventFilter } from "../Stream/EventFilter.ts"
import type { ExpectedVersion } from "../Stream/ExpectedVersion.ts"
import type { Position } from "../Stream/Position.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import type { StreamId } from "../Stream/StreamId.ts"
import type { StreamVersion } from "../Stream/StreamVersion.ts"
import type { Background } from "./Background.ts"
import type { InlineProjections } from "./Inline.ts"
import { makeBackground } from "./internal/background.ts"
import { makeStore } from "./internal/eventStore.ts"
import { makeInline } from "./internal/inline.ts"
import { makeLogTail } from "./internal/logTail.ts"
import { makeMemoryStorage } from "./internal/memoryStorage.ts"
import { type Limits, withDefaults } from "./Limits.ts"
import type { AppendCondition, AppendRefused, LogStorage } from "./LogStorage.ts"
import type { LogTail } from "./LogTail.ts"
import {
  type AppendConditionFailed,
  type EventIdConflict,
  type InlineProjectionFailed,
  type InlineProjectionMissing,
  type InvalidInput,
  isConflict,
  type StoreError,
  type StreamTombstoned,
  type WrongExpectedVersion
} from "./StoreError.ts"

/**
 * Where the events of an append stand. After an append without events, `version` is that of the stream and `position`
 * the head of the log, and the first ones are the same.
 *
 * **Gotchas** Inside an open transaction positions do not exist yet: they are 0, and versions are what they would be now.
 *
 * @category models
 * @since 0.1.0
 */
export interface Appended {
  readonly streamId: StreamId
  readonly firstVersion: StreamVersion
  /** Version of the last event. */
  readonly version: StreamVersion
  readonly firstPosition: Position
  /** Position of the last event. */
  readonly position: Position
}

/**
 * The part of an append that goes to one stream: make it with {@link EventStore.entry}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly stream: StreamRef<never, unknown, any>
  readonly events: ReadonlyArray<unknown>
  readonly expected: ExpectedVersion
}

/**
 * What a stream is. `"deleted"`: it has no event to read, but a new append goes on counting its versions.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamInfo {
  readonly streamId: StreamId
  readonly version: StreamVersion
  /** Events below this version are hidden; 0 or 1 where none are. */
  readonly truncatedBefore: StreamVersion
  readonly status: "new" | "active" | "deleted" | "tombstoned"
  readonly metadata: Option.Option<Schema.Json>
}

/**
 * A part of a stream: from a version on, up to another, both inclusive, in reading direction; at most `limit` stored
 * events. Backward reading starts at the end.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadOptions {
  readonly direction?: "forward" | "backward" | undefined
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly limit?: number | undefined
}

/**
 * @category errors
 * @since 0.1.0
 */
export type AppendError =
  | InvalidInput
  | StreamTombstoned
  | EventIdConflict
  | InlineProjectionFailed
  | InlineProjectionMissing
  | StoreError

/**
 * The conflict that an expected version can lead to: none for `"any"`.
 *
 * @category errors
 * @since 0.1.0
 */
export type Conflict<X extends ExpectedVersion> = X extends "any" ? never : WrongExpectedVersion

/**
 * @category errors
 * @since 0.1.0
 */
export type ReadError = InvalidInput | StreamTombstoned | DecodeError | StoreError

/**
 * The event store.
 *
 * **Example** (Append and read)
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Category, EventStore } from "effect-eventstore"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * export const program = Effect.gen(function*() {
 *   const store = yield* EventStore
 *   const { version } = yield* store.append(Cart.stream("42"), [new Opened({ customer: "c-1" })], {
 *     expected: "no-stream"
 *   })
 *   const events = yield* Stream.runCollect(store.read(Cart.stream("42")))
 *   return { version, customers: events.map(({ event }) => event.customer) }
 * }).pipe(Effect.provide(EventStore.layerMemory))
 * ```
 * @category services
 * @since 0.1.0
 */
export class EventStore extends Context.Service<EventStore, {
  /**
   * Appends events to a stream, all or none. The answer is final: what it acknowledges is stored.
   *
   * `expected` (default `"any"`) is checked under the log's lock, so of two appends that expect the same version one
   * wins and the other fails with `WrongExpectedVersion`. An append repeated with the same event ids stores nothing and
   * answers as the first, whatever the stream's version is by now; the same ids with other events fail with
   * `EventIdConflict`. Without events it only checks.
   */
  readonly append: <In, const X extends ExpectedVersion = "any">(
    stream: StreamRef<In, unknown, any>,
    events: ReadonlyArray<NoInfer<In> | EventData<NoInfer<In>>>,
    options?: { readonly expected?: X | undefined }
  ) => Effect.Effect<Appended, AppendError | Conflict<X>>

  /**
   * Appends to several streams, all or none, at positions that follow one another. An entry without events is a pure
   * check. Fails with one `WrongExpectedVersion` that names every violated expectation.
   */
  readonly appendAll: (
    entries: ReadonlyArray<Entry>
  ) => Effect.Effect<ReadonlyArray<Appended>, AppendError | WrongExpectedVersion>

  /**
   * Appends only if no event of the condition was stored after its position: a dynamic consistency boundary. The check is
   * exact, because it is made under the log's lock. See https://dcb.events for the idea. Takes one entry or several.
   */
  readonly appendIf: (
    condition: AppendCondition,
    entries: Entry | ReadonlyArray<Entry>
  ) => Effect.Effect<ReadonlyArray<Appended>, AppendError | AppendConditionFailed | WrongExpectedVersion>

  /** Reads a stream, page by page as it is pulled. A stream that does not exist or is deleted is empty. */
  readonly read: <Out, R>(
    stream: StreamRef<never, Out, R>,
    options?: ReadOptions
  ) => Stream.Stream<Recorded<Out>, ReadError, R>

  /** Reads the log in the order of positions, events as they are stored; ends when it has caught up. */
  readonly readAll: (
    options?: ReadOptions & EventFilter
  ) => Stream.Stream<Recorded<RawEvent>, InvalidInput | StoreError>

  /**
   * Reads the log in the order of positions, the events of one or several categories, typed. With `Category.raw` among them
   * it reads all streams, those of other categories as they are stored.
   */
  readonly readCategory: <const C extends AnyCategory | ReadonlyArray<AnyCategory>>(
    category: C,
    options?: ReadOptions & Omit<EventFilter, "categories">
  ) => Stream.Stream<
    Recorded<Out<C extends ReadonlyArray<any> ? C[number] : C>>,
    InvalidInput | DecodeError | StoreError,
    Services<C extends ReadonlyArray<any> ? C[number] : C>
  >

  /** One event by its id, as it is stored; `None` where there is none or it is hidden. */
  readonly readEvent: (
    eventId: EventId
  ) => Effect.Effect<Option.Option<Recorded<RawEvent>>, InvalidInput | StoreError>

  /** Position of the newest event there has ever been in the log, or version of a stream. */
  readonly head: {
    (): Effect.Effect<Position, StoreError>
    (stream: StreamRef<never, unknown, any>): Effect.Effect<StreamVersion, InvalidInput | StreamTombstoned | StoreError>
  }

  /** What a stream is. Answers for tombstoned ones, too. */
  readonly info: (
    stream: StreamRef<never, unknown, any>
  ) => Effect.Effect<StreamInfo, InvalidInput | StoreError>

  /** Lists streams that have events, sorted by code point; with `deleted`, those that had some as well. */
  readonly streams: (options?: {
    readonly category?: AnyCategory | string | undefined
    readonly prefix?: string | undefined
    readonly after?: string | undefined
    readonly limit?: number | undefined
    readonly deleted?: boolean | undefined
  }) => Stream.Stream<StreamInfo, InvalidInput | StoreError>

  /** Sets or removes (`null`) what is noted about a stream: any JSON value, up to the limit of an event. */
  readonly setMetadata: <const X extends ExpectedVersion = "any">(
    stream: StreamRef<never, unknown, any>,
    metadata: Schema.Json,
    options?: { readonly expected?: X | undefined }
  ) => Effect.Effect<void, InvalidInput | StreamTombstoned | StoreError | Conflict<X>>

  /** Hides the events below a version from every read, for good. A version beyond the end hides all there are. */
  readonly truncateBefore: <const X extends ExpectedVersion = "any">(
    stream: StreamRef<never, unknown, any>,
    version: number,
    options?: { readonly expected?: X | undefined }
  ) => Effect.Effect<void, InvalidInput | StreamTombstoned | StoreError | Conflict<X>>

  /** Hides all events of a stream, for good. It can be recreated and goes on counting its versions. */
  readonly delete: <const X extends ExpectedVersion = "any">(
    stream: StreamRef<never, unknown, any>,
    options?: { readonly expected?: X | undefined }
  ) => Effect.Effect<void, InvalidInput | StreamTombstoned | StoreError | Conflict<X>>

  /** Ends a stream for ever: everything but `info` and lists answers `StreamTombstoned` from now on. */
  readonly tombstone: <const X extends ExpectedVersion = "any">(
    stream: StreamRef<never, unknown, any>,
    options?: { readonly expected?: X | undefined }
  ) => Effect.Effect<void, InvalidInput | StreamTombstoned | StoreError | Conflict<X>>

  /**
   * Runs an effect as one transaction: its appends are staged, visible to its own reads of a stream, and stored together
   * when it succeeds, at the next free positions; where it fails, nothing is. On a database the transaction is that of
   * its `SqlClient`, so what the effect writes with `sql` is part of it.
   *
   * It can hold appends and reads, and no change of a stream. Event ids are checked against what is stored and staged: the
   * same append twice in one transaction is a conflict, not a repetition.
   *
   * The log is locked during COMMIT only, however long the effect takes. So an expected version that held when the events
   * were staged can fail at the end: the whole then fails with `WrongExpectedVersion`.
   */
  readonly transaction: <A, E, R>(
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | AppendRefused | InvalidInput | StoreError, R>

  /** How much one call may ask for. */
  readonly limits: Limits

  /** What the store stands on: for those who build on it. */
  readonly storage: LogStorage

  /** The end of the log, followed by one reader for all: what subscriptions stand on. */
  readonly tail: LogTail

  /** The projections that appends of this process apply in their transactions: what inline projections stand on. */
  readonly inline: InlineProjections

  /** Work behind the answers, until the store is closed: what saves states stands on it. */
  readonly background: Background
}>()("effect-eventstore/Store/EventStore") {
  /** Keeps events in memory, for tests: the same promises, no durability. */
  static readonly layerMemory: Layer.Layer<EventStore> = Layer.suspend(() => EventStore.layerMemoryWith({}))

  /** As `layerMemory`, with limits of your own. */
  static readonly layerMemoryWith = (limits: Partial<Limits>): Layer.Layer<EventStore> =>
    Layer.effect(EventStore, Effect.suspend(() => EventStore.make(makeMemoryStorage(), limits)))

  /** Makes an event store on a storage: for those who keep events elsewhere. What follows its log ends with the scope. */
  static readonly make = (
    storage: LogStorage,
    limits: Partial<Limits> = {}
  ): Effect.Effect<EventStore["Service"], never, Scope.Scope> =>
    Effect.gen(function*() {
      const checked = withDefaults(limits)
      const context = Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>())
      const tail = yield* Effect.acquireRelease(
        Effect.sync(() => makeLogTail(storage, context)),
        (tail) => tail.close
      )
      const inline = yield* makeInline(storage)
      const background = yield* Effect.acquireRelease(
        Effect.sync(() => makeBackground(context)),
        (background) => background.close
      )
      return makeStore(storage, { tail, inline, background }, checked)
    })

  /**
   * Repeats an effect, at most so many times, when another writer was faster: on `WrongExpectedVersion` and
   * `AppendConditionFailed`. The effect has to read and decide anew, so wrap all of it and not only the append.
   */
  static readonly retryConflicts = (times: number) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.retry(self, { times, while: isConflict })

  /** The part of an `appendAll` or `appendIf` that goes to one stream. */
  static readonly entry = <In>(
    stream: StreamRef<In, unknown, any>,
    events: ReadonlyArray<NoInfer<In> | EventData<NoInfer<In>>>,
    options?: { readonly expected?: ExpectedVersion | undefined }
  ): Entry => ({
    stream: stream as never,
    events,
    expected: options?.expected === undefined ? "any" : options.expected
  })
}
