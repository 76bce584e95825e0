/**
 * Projections: read models made of events, exact, rebuilt without downtime, and waited for.
 *
 * A projection is a value: which events it is made of, and what it makes of them. {@link layer} runs it, in any number of
 * processes. What an event does to the read model and the checkpoint are committed in one transaction, which the database
 * refuses to a process that is not the owner any more: each event is in the read model exactly once. A new `version` is
 * built beside the old one while that is read, and takes its place in an instant.
 *
 * **Example** (Documents by key, and reading what was just written)
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Category, EventStore, Projection } from "effect-eventstore"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Added] })
 *
 * const Sizes = Projection.documents("sizes", {
 *   from: Cart,
 *   state: Schema.Int,
 *   initial: () => 0,
 *   evolve: { Added: (size, { event }) => size + event.quantity }
 * })
 *
 * export const program = Effect.gen(function*() {
 *   const store = yield* EventStore
 *   const { position } = yield* store.append(Cart.stream("42"), [new Added({ sku: "pen", quantity: 2 })])
 *   yield* Projection.awaitProcessed(Sizes, position)
 *   return yield* Projection.get(Sizes, "cart-42")
 * }).pipe(Effect.provide(Projection.layer(Sizes).pipe(Layer.provideMerge(EventStore.layerMemory))))
 * ```
 *
 * @since 0.1.0
 */
import {
  type DateTime,
  type Duration,
  Effect,
  Layer,
  type Option,
  type Schedule,
  type Scope,
  type Stream
} from "effect"
import type { RawEvent } from "../Event/RawEvent.ts"
import type { EventStore, ReadOptions } from "../Store/EventStore.ts"
import type { ProjectionState } from "../Store/ProjectionStorage.ts"
import type { InvalidInput, LogRewound, StoreError } from "../Store/StoreError.ts"
import type { DecodeError } from "../Stream/DecodeError.ts"
import type { Position } from "../Stream/Position.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import * as administration from "./internal/administration.ts"
import * as awaiting from "./internal/awaiting.ts"
import type { Definition } from "./internal/definition.ts"
import * as deriveKind from "./internal/derive.ts"
import * as documentReads from "./internal/documentReads.ts"
import * as documentsKind from "./internal/documents.ts"
import * as inMemoryKind from "./internal/inMemory.ts"
import * as linksKind from "./internal/links.ts"
import * as patternKind from "./internal/patternDefinition.ts"
import * as readiness from "./internal/readiness.ts"
import * as running from "./internal/running.ts"
import * as tablesKind from "./internal/tablesSql.ts"
import type { Steps } from "./Pattern.ts"
import type {
  AwaitTimedOut,
  NoPreviousVersion,
  ProjectionChanged,
  ProjectionDropped,
  ProjectionFailed,
  ProjectionNotFound,
  VersionBehind,
  VersionIsLive
} from "./ProjectionError.ts"
import type { Apply } from "./ProjectionMiddleware.ts"
import type { Out, Services, Source } from "./View.ts"

export {
  /**
   * Marks a service as one that handlers of projections may use, since to use it once more changes nothing: a calculation, a
   * table of rates, a cache. Everything else but the `SqlClient` is refused by the types: in a rebuild it would be done again.
   *
   * **Example**
   * ```ts
   * import { Context } from "effect"
   * import { Projection } from "effect-eventstore"
   *
   * export class Rates extends Context.Service<Rates, { readonly of: (currency: string) => number }>()("shop/Rates") {
   *   declare readonly [Projection.replaySafe]: true
   * }
   * ```
   * @category symbols
   * @since 0.1.0
   */
  replaySafe
} from "./internal/replaySafe.ts"

export type {
  /**
   * A service that is marked with {@link replaySafe}.
   *
   * @category models
   * @since 0.1.0
   */
  ReplaySafe
} from "./internal/replaySafe.ts"

export type {
  /**
   * What projections of all kinds declare.
   *
   * @category models
   * @since 0.1.0
   */
  Common
} from "./internal/source.ts"

export type {
  /**
   * What follows from an event: events for a stream, made with `EventStore.entry` and without an expected version; for several
   * streams; or nothing.
   *
   * @category models
   * @since 0.1.0
   */
  Emitted
} from "./internal/derived.ts"

export type {
  /**
   * A state in memory that follows the log.
   *
   * @category models
   * @since 0.1.0
   */
  InMemory,
  /**
   * Why a state in memory does not follow the log any more.
   *
   * @category errors
   * @since 0.1.0
   */
  InMemoryError
} from "./internal/inMemory.ts"

export type {
  /**
   * The tables of a version, and how to reach them.
   *
   * @category models
   * @since 0.1.0
   */
  Model
} from "./internal/tablesSql.ts"

declare const Requires: unique symbol

/**
 * A projection: what is made of which events. Running it needs `R`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Projection<out R> {
  readonly definition: Definition
  readonly [Requires]?: R
}

/**
 * @category models
 * @since 0.1.0
 */
export type Any = Projection<any>

/**
 * A projection, or its name: operators may know no more.
 *
 * @category models
 * @since 0.1.0
 */
export type Named = Any | string

/**
 * Which version an operation is about. Left out, that of the projection; of a name the live one.
 *
 * @category models
 * @since 0.1.0
 */
export interface OfVersion {
  readonly version?: number | undefined
}

/**
 * A projection that keeps a state for each key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Documents<in out S, out R> extends documentsKind.Documents<S>, Projection<R> {}

/**
 * A projection that keeps under which keys events are found.
 *
 * @category models
 * @since 0.1.0
 */
export interface Links<out E, out R> extends linksKind.Links<E, R>, Projection<R> {}

/**
 * A projection that keeps what its handlers write to tables of their own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tables<out R> extends Projection<R> {
  readonly definition: Definition & { readonly kind: "tables" }
}

/**
 * How a projection is run.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<R = never> {
  /** How many owners it can have at a time; order is kept by key. Counts only when the version is made known. Default 1. */
  readonly partitions?: number | undefined
  /**
   * How long a partition stays with a process that gives no sign of life. Leases are extended as long as the process lives,
   * so this bounds how long a read model stands still after a crash, not how long a batch may take. Default 30 seconds.
   */
  readonly lease?: Duration.Input | undefined
  /** Most stored events of a transaction. Default 500; 2000 until it has caught up for the first time. */
  readonly batch?: number | undefined
  readonly onError?: {
    /**
     * The delays between attempts; the input is the error. Trouble of the database that passes is no failure, and repeated for
     * ever. Default: 200 ms, doubled each time up to 30 seconds, 10 times: two minutes in all; with `giveUp: "park"` 6 times, 13
     * seconds in all, since the others of its partition wait meanwhile. The first failure is logged as a warning.
     */
    readonly retry?: Schedule.Schedule<unknown, unknown> | undefined
    /**
     * What becomes of an event that cannot be handled. `"stop"`, the default: nothing more is handled until somebody resumes.
     * `"park"`: it is set aside, with all later ones of its key, until somebody replays or discards them.
     */
    readonly giveUp?: "stop" | "park" | undefined
  } | undefined
  /**
   * Whether a version that has caught up for the first time takes the place of an older one that is live. Default
   * `"automatic"`; else {@link switchTo} does it.
   */
  readonly switch?: "automatic" | "manual" | undefined
  /** Around the handling of each batch, inside of its transaction: see `ProjectionMiddleware`. */
  readonly middleware?: ((apply: Apply) => Apply<unknown, R>) | undefined
}

/**
 * Why a projection cannot start. `ProjectionFailed`: it could not be set up.
 *
 * @category errors
 * @since 0.1.0
 */
export type StartError = InvalidInput | ProjectionChanged | ProjectionFailed | StoreError

/**
 * Why a projection ended. A handler that fails is no reason: it stops then, until it is resumed.
 *
 * @category errors
 * @since 0.1.0
 */
export type RunError = StartError | ProjectionDropped | LogRewound

/**
 * What a version is at the moment.
 *
 * - `isLive`: it is the one that readers are given. The first version is from the beginning, while it builds
 * - `stage`: `"building"` until it has caught up for the first time, or since it was reset; `"ready"` from then on, also when it is
 *   behind again
 * - `status`: `"running"` says that it may be worked on, not that somebody does (`partitions` have their `owner`); `"paused"` by
 *   an operator; `"failed"` at `errorPosition`, until it is resumed
 * - `error`: the last failure, also one that is tried again. It stays until something is handled, or it is resumed
 * - `isApplied`: appends apply it at the moment: an inline projection guards then, and only then
 * - `parkedEvents`, `parkedKeys`: what is set aside, those included that only wait behind another one
 *
 * @category models
 * @since 0.1.0
 */
export interface Status extends Omit<ProjectionState, "id" | "filter" | "schema" | "rehearsal" | "startPosition"> {
  /** Everything up to here is in the read model, or set aside. */
  readonly position: Position
  /** The end of the log. */
  readonly head: Position
  /** Positions between the two. */
  readonly lag: number
  /** Events handled since it was made or reset. */
  readonly handled: number
  /** Events a second, as its owners measured last. */
  readonly rate: number
}

/**
 * An event that is set aside. `error` is `null` where it only waits behind an earlier one of its key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parked {
  readonly key: string
  readonly position: Position
  /** `None` where the event is hidden or gone by now. */
  readonly recorded: Option.Option<Recorded<RawEvent>>
  readonly attempts: number
  readonly error: string | null
  readonly parkedAt: DateTime.Utc
  readonly isReplayWanted: boolean
}

/**
 * Why an operation on a projection has no answer.
 *
 * @category errors
 * @since 0.1.0
 */
export type OperationError = ProjectionNotFound | InvalidInput | StoreError

/**
 * A projection that keeps what its handlers write to tables, with the `SqlClient` of the application. The tables of a version
 * are in a database schema of its own, `<name>_v<version>`: name them with `table`, and the next version builds its own
 * beside them.
 *
 * `handle` has a handler for the tag of each event; `batch` takes all events of a transaction at once, which is what makes
 * millions of them fast. Both run in the transaction that moves the checkpoint, and can use the `SqlClient` and services that
 * are marked with {@link replaySafe}: in a rebuild every event is handled again.
 *
 * **Gotchas** Needs a store in a database, and its own `SqlClient`; another one is refused. Throws where the name or the version
 * is not allowed, `from` is empty, or `types` names none of its events: a mistake in the program, not in its input. A name has 1
 * to 40 lower-case letters, digits, hyphens and underscores, and begins with a letter; `a-b` and `a_b` would share a schema.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category, Projection } from "effect-eventstore"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", {}) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Added, Paid] })
 *
 * export const Totals = Projection.make("totals", {
 *   from: Cart,
 *   setup: ({ sql, table }) => sql`CREATE TABLE ${table("carts")} (cart text PRIMARY KEY, items int NOT NULL, paid bool NOT NULL)`,
 *   indexes: ({ sql, table }) => sql`CREATE INDEX ON ${table("carts")} (paid)`,
 *   handle: {
 *     Added: ({ event, streamId }, { sql, table }) =>
 *       sql`INSERT INTO ${table("carts")} AS c VALUES (${streamId}, ${event.quantity}, false)
 *         ON CONFLICT (cart) DO UPDATE SET items = c.items + excluded.items`,
 *     Paid: ({ streamId }, { sql, table }) => sql`UPDATE ${table("carts")} SET paid = true WHERE cart = ${streamId}`
 *   }
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make: <
  const C extends Source,
  const H extends tablesKind.Handlers<Out<C>, tablesKind.Safe> = tablesKind.Handlers<Out<C>, never>,
  RB extends tablesKind.Safe = never,
  RS extends tablesKind.Safe = never,
  RI extends tablesKind.Safe = never
>(
  name: string,
  options: tablesKind.TablesOptions<C, H, RB, RS, RI>
) => Tables<tablesKind.HandlerServices<H> | RB | RS | RI | Services<C> | tablesKind.SqlClient> = tablesKind
  .tables as never

/**
 * A projection that keeps a state for each key, in the store. The documents of a batch are loaded and saved together, and
 * `evolve` changes them in memory.
 *
 * **Gotchas** Throws where the name or the version is not allowed, `from` is empty, or `types` names none of its events: a mistake
 * in the program, not in its input.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category, Projection } from "effect-eventstore"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
 * class Emptied extends Schema.TaggedClass<Emptied>()("Emptied", {}) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Added, Emptied] })
 *
 * export const Quantities = Projection.documents("quantities", {
 *   from: Cart,
 *   state: Schema.Record(Schema.String, Schema.Int),
 *   initial: () => ({}),
 *   evolve: {
 *     Added: (state, { event }) => ({ ...state, [event.sku]: (state[event.sku] ?? 0) + event.quantity }),
 *     Emptied: () => undefined
 *   }
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const documents = <const C extends Source, S>(
  name: string,
  options: documentsKind.DocumentsOptions<C, S>
): Documents<S, Services<C>> => documentsKind.documents(name, options)

/**
 * A projection that finds events under keys of its own, without a copy of them: by customer, by country, by what an event
 * refers to. See {@link events}.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category, Projection } from "effect-eventstore"
 *
 * class Placed extends Schema.TaggedClass<Placed>()("Placed", { customer: Schema.String }) {}
 * class Called extends Schema.TaggedClass<Called>()("Called", { customer: Schema.String, about: Schema.String }) {}
 * const Order = Category.make("order", { id: Schema.String, events: [Placed] })
 * const Support = Category.make("support", { id: Schema.String, events: [Called] })
 *
 * export const ByCustomer = Projection.links("by-customer", { from: [Order, Support], key: ({ event }) => event.customer })
 * export const ofAnna = Projection.events(ByCustomer, "anna") // Stream of Placed and Called, in the order of the log
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const links = <const C extends Source>(
  name: string,
  options: linksKind.LinksOptions<C>
): Links<Out<C>, Services<C>> => linksKind.links(name, options)

/**
 * Finds all events of the log by the name of their stored type. Its name is `"by-type"`, unless another one is given.
 *
 * @category constructors
 * @since 0.1.0
 */
export const byType: (options?: linksKind.LogLinksOptions) => Links<RawEvent, never> = linksKind.byType

/**
 * Finds all events of the log by their correlation id: the conversation that followed from one request, over all streams. An
 * event that was stored without one began a conversation, whose id is its own: see `EventMetadata.causedBy`. Its name is
 * `"by-correlation"`, unless another one is given.
 *
 * **Gotchas** An empty correlation id, or one of more than 512 characters, is not found.
 *
 * @category constructors
 * @since 0.1.0
 */
export const byCorrelation: (options?: linksKind.LogLinksOptions) => Links<RawEvent, never> = linksKind.byCorrelation

/**
 * A projection that appends the events that follow from others: `emit` answers them, with `EventStore.entry`.
 *
 * **Details** They are appended in the transaction that moves the checkpoint, in the order of the events that they follow
 * from, with these for their cause (`EventMetadata.causedBy`). Their ids are made of the name of the projection, the id of
 * the event, and their place in the answer. So another version, or one that is reset, finds them stored and leaves them
 * where they are; what it answers in addition is appended.
 *
 * **Gotchas** A fact that is stored does not change: where a version answers something else for an event, it fails with
 * `EventIdConflict`. Derive the new events under another name, into other streams, and have readers move to those. With
 * several partitions only events that follow from one stream are in order. A projection that reads what it emits never comes to
 * an end: each event it appends is one more to derive from. So emit into categories that are not in `from`, and with
 * `Category.raw` for its source leave out those of one's own, by `types` or in `emit`. To derive from what another projection derives is
 * fine.
 *
 * **Example** (A summary a month)
 * ```ts
 * import { DateTime, Schema } from "effect"
 * import { Category, EventStore, Projection } from "effect-eventstore"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int }) {}
 * const Order = Category.make("order", { id: Schema.String, events: [Paid] })
 * class Earned extends Schema.TaggedClass<Earned>()("Earned", { order: Schema.String, cents: Schema.Int }) {}
 * const Month = Category.make("month", { id: Schema.String, events: [Earned] })
 *
 * export const Earnings = Projection.derive("earnings", {
 *   from: Order,
 *   emit: ({ event, recordedAt, streamId }) =>
 *     EventStore.entry(Month.stream(DateTime.formatIsoDateUtc(recordedAt).slice(0, 7)), [
 *       new Earned({ order: streamId, cents: event.cents })
 *     ])
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const derive = <const C extends Source>(
  name: string,
  options: deriveKind.DeriveOptions<C>
): Projection<Services<C>> => ({ definition: deriveKind.derive(name, options) })

/**
 * A projection that looks for a pattern among the events of each key, and appends the events that follow from a match, in the
 * transaction that moves the checkpoint: see `Pattern`.
 *
 * **Details** The same log leads to the same events, whatever the batches, crashes and owners: time is that of the events,
 * and ids are made of the name, the key, the first and the last event of the match, and the place in the answer. So
 * another version finds them stored, as with {@link derive}, and what is said there of changes holds here. What is in the
 * making is kept in the store, with the events that it is made of: until it matches, is ruled out, or another event of its
 * key shows that it is too late. Of a key there are `inFlight` at most (default 100); one that begins beyond them replaces
 * the oldest, with a warning.
 *
 * **Gotchas** Raise the version when the pattern changes: what is in the making was begun by the old one.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category, EventStore, Pattern, Projection } from "effect-eventstore"
 *
 * class Failed extends Schema.TaggedClass<Failed>()("Failed", { user: Schema.String }) {}
 * class LoggedIn extends Schema.TaggedClass<LoggedIn>()("LoggedIn", { user: Schema.String }) {}
 * const Session = Category.make("session", { id: Schema.String, events: [Failed, LoggedIn] })
 * class Guessed extends Schema.TaggedClass<Guessed>()("Guessed", { tries: Schema.Int }) {}
 * const Alert = Category.make("alert", { id: Schema.String, events: [Guessed] })
 *
 * export const Guessing = Projection.pattern("guessing", {
 *   pattern: Pattern.start(Session, "Failed")
 *     .followedBy("Failed", { times: 4, within: "1 minute" })
 *     .without("LoggedIn"),
 *   key: ({ event }) => event.user,
 *   emit: ({ events, key }) => EventStore.entry(Alert.stream(key), [new Guessed({ tries: events.length })])
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const pattern = <C extends Source, S extends Steps>(
  name: string,
  options: patternKind.PatternOptions<C, S>
): Projection<Services<C>> => ({ definition: patternKind.pattern(name, options) })

/**
 * Folds events in the memory of this process, from the start of the log. Completes when everything stored so far is in the
 * state, and follows the log until the scope closes. Nothing is kept in the store, and nothing is shared: each process
 * folds for itself.
 *
 * **Details** The state is changed once for all events that are read together, so whoever observes it sees a stored event
 * with all its parts or not at all, and not every state in between.
 *
 * An event that does not decode fails this effect, unless its category says otherwise, and so does a log that is another
 * one. Where that happens later, it is logged, and everybody is told who reads the state with `get`, `changes`, `position` or
 * `awaitProcessed`; `state` itself stays as it is. A function that throws is a defect there.
 *
 * **Gotchas** `state` is there to be observed: what somebody else sets is the state that the next event finds.
 *
 * **Example** (Flags that every request asks for)
 * ```ts
 * import { Context, Effect, Layer, Schema } from "effect"
 * import { Category, Projection } from "effect-eventstore"
 *
 * class Enabled extends Schema.TaggedClass<Enabled>()("Enabled", { flag: Schema.String }) {}
 * class Disabled extends Schema.TaggedClass<Disabled>()("Disabled", { flag: Schema.String }) {}
 * const Feature = Category.make("feature", { id: Schema.String, events: [Enabled, Disabled] })
 *
 * const follow = Projection.inMemory({
 *   from: Feature,
 *   initial: new Set<string>() as ReadonlySet<string>,
 *   evolve: {
 *     Enabled: (flags, { event }) => new Set([...flags, event.flag]),
 *     Disabled: (flags, { event }) => new Set([...flags].filter((flag) => flag !== event.flag))
 *   }
 * })
 *
 * export class Flags extends Context.Service<Flags, Effect.Success<typeof follow>>()("Flags") {
 *   static readonly layer = Layer.effect(Flags, follow)
 * }
 * export const isEnabled = (flag: string) => Effect.flatMap(Flags, ({ get }) => Effect.map(get, (flags) => flags.has(flag)))
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const inMemory: <const C extends Source, S>(
  options: inMemoryKind.InMemoryOptions<C, S>
) => Effect.Effect<
  inMemoryKind.InMemory<S>,
  InvalidInput | inMemoryKind.InMemoryError,
  EventStore | Scope.Scope | Services<C>
> = inMemoryKind.inMemory

/**
 * Runs a projection, until it is interrupted or ends with an error: makes its version known, sets it up, and handles events
 * in those partitions that it owns. A version that is known under another declaration is refused.
 *
 * **Details** When it is interrupted the batch in hand is rolled back, and what it owns is given back. It goes on trying
 * while the database does not answer. Run it in as many processes as you like: they share the partitions.
 *
 * @category constructors
 * @since 0.1.0
 */
export const run = <R, R2 = never>(
  projection: Projection<R>,
  options?: RunOptions<R2>
): Effect.Effect<never, RunError, EventStore | R | R2> =>
  Effect.scoped(Effect.flatten(running.start(projection.definition, options))) as never

/**
 * As {@link run}, as a layer: the projection is known and set up when the layer is built, and is run until it closes. A runner
 * that ends with an error afterwards is logged.
 *
 * **Example**
 * ```ts
 * import { Layer, Schema } from "effect"
 * import { Category, EventStore, Projection } from "effect-eventstore"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Paid] })
 * const Paying = Projection.documents("paying", {
 *   from: Cart,
 *   state: Schema.Int,
 *   initial: () => 0,
 *   evolve: { Paid: (sum, { event }) => sum + event.amount }
 * })
 *
 * export const Live = Projection.layer(Paying, { onError: { giveUp: "park" } }).pipe(
 *   Layer.provideMerge(EventStore.layerMemory)
 * )
 * ```
 * @category layers
 * @since 0.1.0
 */
export const layer = <R, R2 = never>(
  projection: Projection<R>,
  options?: RunOptions<R2>
): Layer.Layer<never, StartError, EventStore | Exclude<R | R2, Scope.Scope>> =>
  Layer.effectDiscard(running.startInBackground(projection.definition, options)) as never

/**
 * Reads the tables of the live version, all of them as of one time: in a read-only transaction, or in the one that is open.
 * `version` says which version answers.
 *
 * **Example**
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Category, Projection } from "effect-eventstore"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Paid] })
 *
 * const Income = Projection.make("income", {
 *   from: Cart,
 *   setup: ({ sql, table }) => sql`CREATE TABLE ${table("income")} (cart text, amount int)`,
 *   handle: {
 *     Paid: ({ event, streamId }, { sql, table }) => sql`INSERT INTO ${table("income")} VALUES (${streamId}, ${event.amount})`
 *   }
 * })
 *
 * export const largest = Projection.read(Income, ({ sql, table }) =>
 *   sql<{ cart: string }>`SELECT cart FROM ${table("income")} ORDER BY amount DESC LIMIT 10`)
 * ```
 * @category reading
 * @since 0.1.0
 */
export const read: <A, E, R>(
  projection: Tables<any>,
  use: (model: tablesKind.Model) => Effect.Effect<A, E, R>
) => Effect.Effect<A, E | tablesKind.ReadError, R | EventStore | tablesKind.SqlClient> = tablesKind.read

/**
 * The state of a key, by the live version; `None` where there is none.
 *
 * @category reading
 * @since 0.1.0
 */
export const get: <S>(
  documents: Documents<S, any>,
  key: string
) => Effect.Effect<Option.Option<S>, documentReads.DocumentError, EventStore> = documentReads.get

/**
 * The states of some keys that have one, all by the same version.
 *
 * @category reading
 * @since 0.1.0
 */
export const getMany: <S>(
  documents: Documents<S, any>,
  keys: ReadonlyArray<string>
) => Effect.Effect<ReadonlyMap<string, S>, documentReads.DocumentError, EventStore> = documentReads.getMany

/**
 * All states with their keys, by the version that is live at the beginning, sorted by code point; read page by page as it is
 * pulled. Fails where that version is dropped meanwhile.
 *
 * @category reading
 * @since 0.1.0
 */
export const list: <S>(
  documents: Documents<S, any>,
  options?: { readonly prefix?: string | undefined }
) => Stream.Stream<{ readonly key: string; readonly state: S }, documentReads.DocumentError, EventStore> =
  documentReads.list

/**
 * The events that a key links to, by the version of the links that is live at the beginning: in the order of the log, read page by
 * page as they are pulled. `from`, `to` and `limit` are as in `readAll`. What is hidden is not found.
 *
 * Fails with `ProjectionNotFound` where nobody ran the links on this store, or that version is dropped meanwhile; with a
 * `DecodeError` at an event that does not decode, unless its category says otherwise.
 *
 * **Example** (What was all this about?)
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Projection } from "effect-eventstore"
 *
 * const ByCorrelation = Projection.byCorrelation()
 *
 * export const conversation = (request: string) =>
 *   Projection.events(ByCorrelation, request).pipe(
 *     Stream.runForEach(({ streamId, type }) => Effect.log(`${streamId}: ${type}`))
 *   )
 * ```
 * @category reading
 * @since 0.1.0
 */
export const events: <E, R>(
  links: Links<E, R>,
  key: string,
  options?: ReadOptions
) => Stream.Stream<Recorded<E>, linksKind.LinkError | DecodeError, EventStore | R> = linksKind.events

/**
 * The keys of links with how many events they link to, hidden ones too, by the version that is live at the beginning, sorted by
 * code point; read page by page as they are pulled.
 *
 * @category reading
 * @since 0.1.0
 */
export const keys: (
  links: Links<unknown, any>,
  options?: { readonly prefix?: string | undefined }
) => Stream.Stream<{ readonly key: string; readonly count: number }, linksKind.LinkError, EventStore> = linksKind.keys

/**
 * Waits until the live version has handled everything up to a position, in whatever process it is run: read your own write.
 * Events that do not match count as handled, and so do those that are set aside. The default `timeout` is 30 seconds. Fails
 * at once where the projection has failed.
 *
 * **Gotchas** Where `onError.giveUp` is `"park"` it also answers for an event that is not in the read model, because it, or an
 * earlier one of its key, was set aside: {@link parked} with the `key` tells, and {@link status} has how many there are. An append
 * in a transaction that is open has no position yet. The first version is live while it builds: this waits for it as well.
 *
 * **Example**
 * ```ts
 * import { Effect } from "effect"
 * import { Projection } from "effect-eventstore"
 *
 * export const settled = (position: number) =>
 *   Projection.awaitProcessed("totals", position, { timeout: "2 seconds" }).pipe(
 *     Effect.catchTag("AwaitTimedOut", ({ reached }) => Effect.logWarning(`read as of position ${reached}`))
 *   )
 * ```
 * @category reading
 * @since 0.1.0
 */
export const awaitProcessed = (
  projection: Named,
  position: number,
  options?: { readonly timeout?: Duration.Input | undefined }
): Effect.Effect<void, AwaitTimedOut | ProjectionFailed | OperationError, EventStore> =>
  awaiting.awaitProcessed(administration.nameOf(projection), position, options)

/**
 * Waits until a version has caught up for the first time, or since it was reset: from then on it can be live, and is where the
 * switch is automatic; an inline one that is live is applied. The default `timeout` is 30 seconds. Fails at once where the
 * version has failed.
 *
 * **Details** That is another question than `isLive` of {@link status}: the first version is live from the beginning, while it
 * builds; and with `switch: "manual"` one that is ready is not live before {@link switchTo}.
 *
 * **Example** (Roll out another version)
 * ```ts
 * import { Effect } from "effect"
 * import { Projection } from "effect-eventstore"
 *
 * export const rollOut = Projection.awaitReady("totals", { version: 2, timeout: "1 hour" }).pipe(
 *   Effect.andThen(Projection.switchTo("totals", 2))
 * )
 * ```
 * @category reading
 * @since 0.1.0
 */
export const awaitReady: (
  projection: Named,
  options?: OfVersion & { readonly timeout?: Duration.Input | undefined }
) => Effect.Effect<void, AwaitTimedOut | ProjectionFailed | OperationError, EventStore> = readiness.awaitReady

/**
 * What a version is at the moment.
 *
 * **Example** (A progress bar of a rebuild)
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Projection } from "effect-eventstore"
 *
 * export const progress = Effect.flatMap(
 *   Projection.status("totals", { version: 2 }),
 *   ({ head, position, rate }) => Console.log(`${Math.floor(100 * position / head)} %, ${rate} events/s`)
 * )
 * ```
 * @category operations
 * @since 0.1.0
 */
export const status: (
  projection: Named,
  of?: OfVersion
) => Effect.Effect<Status, OperationError, EventStore> = administration.status

/**
 * All versions of a projection, or of all projections of the store, sorted by name and version.
 *
 * @category operations
 * @since 0.1.0
 */
export const statuses: (
  projection?: Named
) => Effect.Effect<ReadonlyArray<Status>, InvalidInput | StoreError, EventStore> = administration.statuses

/**
 * Stops a version, in all processes, until it is resumed. The batch in hand is rolled back. Like all that changes a version it
 * is no part of a transaction that is open.
 *
 * @category operations
 * @since 0.1.0
 */
export const pause: (
  projection: Named,
  of?: OfVersion
) => Effect.Effect<void, OperationError, EventStore> = administration.pause

/**
 * Lets a version go on that was paused, or has failed: there it tries the event again that it could not handle.
 *
 * @category operations
 * @since 0.1.0
 */
export const resume: (
  projection: Named,
  of?: OfVersion
) => Effect.Effect<void, OperationError, EventStore> = administration.resume

/**
 * Empties a version, and lets it begin anew. What it kept is gone until it has caught up: to rebuild without that, raise the
 * `version` instead.
 *
 * @category operations
 * @since 0.1.0
 */
export const reset: (
  projection: Named,
  of?: OfVersion
) => Effect.Effect<void, OperationError, EventStore> = administration.reset

/**
 * Changes the number of partitions, from 1 to 1,000, while it runs: as soon as all of them have come as far as the first.
 *
 * @category operations
 * @since 0.1.0
 */
export const repartition: (
  projection: Named,
  partitions: number,
  of?: OfVersion
) => Effect.Effect<void, OperationError, EventStore> = administration.repartition

/**
 * Makes a version live, from one query to the next. Where it is not as far as the live one it waits for that, as long as
 * `timeout` (default 5 seconds, 0 for not at all), and then fails with `VersionBehind`; at once where it has not caught up, or
 * is not running. `"wanted"`: its runner does it, since it is applied in the transactions that append from then on.
 *
 * @category operations
 * @since 0.1.0
 */
export const switchTo: (
  projection: Named,
  version: number,
  options?: { readonly timeout?: Duration.Input | undefined }
) => Effect.Effect<"switched" | "wanted", VersionBehind | OperationError, EventStore> = administration.switchTo

/**
 * Makes the version live that was live before, and answers its number. Called once more it goes forward again: with `from`, the
 * version to leave, it does nothing where another one is live by then, and answers that one. So a call that is repeated, by a
 * script or after a lost answer, is harmless.
 *
 * **Gotchas** `from` is compared before, not together with the switch: two that roll back in the same moment are not kept apart.
 *
 * @category operations
 * @since 0.1.0
 */
export const rollBack: (
  projection: Named,
  options?: { readonly from?: number | undefined }
) => Effect.Effect<number, NoPreviousVersion | OperationError, EventStore> = administration.rollBack

/**
 * Removes a version and all it keeps. Runners of it end with `ProjectionDropped`. Fails with `VersionIsLive` where it is live,
 * unless it is the only one of its name and does not run: pause it first, and the projection is gone altogether.
 *
 * @category operations
 * @since 0.1.0
 */
export const drop: (
  projection: Named,
  version: number
) => Effect.Effect<void, VersionIsLive | OperationError, EventStore> = administration.drop

/**
 * The events that are set aside, by position.
 *
 * @category operations
 * @since 0.1.0
 */
export const parked: (
  projection: Named,
  options?: OfVersion & { readonly key?: string | undefined }
) => Stream.Stream<Parked, OperationError, EventStore> = administration.parked

/**
 * Asks for events that are set aside to be handled again, of all keys where none are given. Answers how many events that are.
 * Their keys go on when all of them are handled; where one fails again, it waits with those behind it.
 *
 * @category operations
 * @since 0.1.0
 */
export const replay: (
  projection: Named,
  options?: OfVersion & { readonly keys?: ReadonlyArray<string> | undefined }
) => Effect.Effect<number, OperationError, EventStore> = administration.replay

/**
 * Gives up events that are set aside, of all keys where none are given, and lets their keys go on. Answers how many events that
 * were.
 *
 * @category operations
 * @since 0.1.0
 */
export const discard: (
  projection: Named,
  options?: OfVersion & { readonly keys?: ReadonlyArray<string> | undefined }
) => Effect.Effect<number, OperationError, EventStore> = administration.discard
