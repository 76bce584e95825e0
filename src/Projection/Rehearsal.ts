/**
 * Rehearsals: a projection built once more, up to a position or a time, beside the read model that everybody reads; to look
 * at, to compare, and to throw away.
 *
 * A rehearsal has tables, documents or links of its own. It never touches those of a version, appends no events, and is
 * neither listed, waited for nor switched to by the functions of `Projection`. When it is built it is finished: it does not
 * follow the log. To handlers the `EventStore` refuses to append (`InvalidInput`).
 *
 * **Gotchas** What handlers do besides, they do for real: what they write with SQL elsewhere than in `table(...)`, and all that
 * is no part of the database.
 *
 * **Example** (What would another version change?)
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Category, Projection, Rehearsal } from "effect-eventstore"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Added] })
 *
 * const Sizes = Projection.documents("sizes", {
 *   version: 2,
 *   from: Cart,
 *   state: Schema.Int,
 *   initial: () => 0,
 *   evolve: { Added: (size, { event }) => size + event.quantity }
 * })
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const rehearsal = yield* Rehearsal.make(Sizes)
 *   const difference = yield* rehearsal.difference({ limit: 5 })
 *   if (!difference.isEqual) yield* Effect.log(difference.parts)
 * }))
 * ```
 *
 * @since 0.1.0
 */
import type { DateTime, Effect, Scope } from "effect"
import type { EventStore } from "../Store/EventStore.ts"
import type { InvalidInput, LogRewound, StoreError } from "../Store/StoreError.ts"
import * as rehearsing from "./internal/rehearsing.ts"
import type * as Projection from "./Projection.ts"
import type { ProjectionFailed, ProjectionNotFound, RehearsalChanged, RehearsalNotFound } from "./ProjectionError.ts"
import type { Apply } from "./ProjectionMiddleware.ts"

/**
 * How far a rehearsal is.
 *
 * @category models
 * @since 0.1.0
 */
export interface RehearsalProgress {
  /** Everything up to here is in it, or set aside. */
  readonly position: number
  /** Up to where it is built. */
  readonly target: number
  /** Events handled since it was begun. */
  readonly handled: number
}

/**
 * What is rehearsed, and how. Without `from`, `to` and `until` it is what the live version has made so far.
 *
 * @category models
 * @since 0.1.0
 */
export interface RehearseOptions<out R = never> {
  /**
   * Keeps it: when it is interrupted, or the process dies, the next call with this name goes on where it stopped, and so does
   * one after it was finished. It stays until {@link drop}. 1 to 40 lower-case letters, digits, hyphens and underscores,
   * beginning with a letter; of its own in the whole log, whatever the projection. Left out, it is temporary, and dropped when
   * the scope closes.
   *
   * **Gotchas** The schema of its tables is named for it: with tables the name is one of the whole database, and `a-b` is no
   * other one than `a_b`. What was handled stays as it was: after a change of handlers under the same version drop it first, or
   * it answers for code that is not there any more.
   */
  readonly name?: string | undefined
  /** The first position that it may handle. Default: where the version began, or will by its declaration. */
  readonly from?: number | undefined
  /** The last position. Default: where the live version is when it is begun, or the head of the log where there is none. */
  readonly to?: number | undefined
  /** As of a time, instead of `to`: up to the first of its events that was recorded then or later, without that. */
  readonly until?: DateTime.Utc | undefined
  /** Most stored events of a transaction. Default 2000. */
  readonly batch?: number | undefined
  /** As `onError.giveUp` where a projection is run, but at once. Default `"stop"`: it fails with `ProjectionFailed`. */
  readonly giveUp?: "stop" | "park" | undefined
  /** The middleware that the projection is run with, where that changes what it makes. */
  readonly middleware?: ((apply: Apply) => Apply<unknown, R>) | undefined
  /** Called at the beginning and after each transaction. */
  readonly onProgress?: ((progress: RehearsalProgress) => Effect.Effect<unknown>) | undefined
}

/**
 * Why a rehearsal cannot be built.
 *
 * - `InvalidInput`: an option is none, or the projection appends events
 * - `RehearsalChanged`: another one of this name was begun with something else
 * - `ProjectionFailed`: it cannot be set up, or an event cannot be handled
 * - `LogRewound`: the log was restored since it was begun
 * - `RehearsalNotFound`: somebody dropped it meanwhile
 *
 * @category errors
 * @since 0.1.0
 */
export type RehearseError =
  | InvalidInput
  | RehearsalChanged
  | RehearsalNotFound
  | ProjectionFailed
  | LogRewound
  | StoreError

/**
 * What is known of a rehearsal. `isInUse`: a program has it open, or did a moment ago; what is temporary and not in use was left
 * over by a process that died, and can be dropped.
 *
 * @category models
 * @since 0.1.0
 */
export interface RehearsalStatus extends RehearsalProgress {
  readonly name: string
  readonly projection: string
  readonly version: number
  readonly kind: "tables" | "documents" | "links"
  /** The database schema of its tables, where it has tables. */
  readonly schema: string | null
  /** What was asked for. */
  readonly from: number | null
  readonly to: number | null
  readonly until: DateTime.Utc | null
  /** It began behind this position. */
  readonly start: number
  /** What is set aside, with what waits behind it. */
  readonly parkedEvents: number
  readonly isTemporary: boolean
  readonly isInUse: boolean
}

/**
 * A projection that was built for a look.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rehearsal<out P extends Projection.Any = Projection.Any> {
  readonly name: string
  readonly isTemporary: boolean
  /** Up to where it was built at first: {@link difference} may build on. */
  readonly target: number
  /**
   * What was built, for the functions that read projections: `Projection.read`, `get`, `getMany`, `list`, `events` and `keys`.
   * Nothing else takes it.
   */
  readonly projection: P
  /** The database schema of its tables, where it has tables. */
  readonly schema: string | null
  readonly status: Effect.Effect<RehearsalStatus, RehearsalNotFound | StoreError>
  /**
   * Compares it with the live version, or another one. Without `to` and `until` the two are compared at the same position: it is
   * built on to where the other one is, and what that handles meanwhile is taken into account as well, so that it may run on.
   * With one of them it stays where it is, and `isSamePosition` says whether the other one is there, too.
   *
   * Where the partitions of the other one are far apart, or it moves on faster than it can be followed, `isSamePosition` is
   * `false`.
   *
   * **Details** What is compared is seen as of one time, in a transaction that is rolled back; no lock is held that appends or
   * projections wait for. On PGlite, which has one connection, everybody waits until it is done. A long one keeps `VACUUM` from
   * removing what is dead since it began, and whoever drops a version whose tables it reads waits for it.
   *
   * **Gotchas** A rebuild does not know events that were hidden since, by a truncated or deleted stream, and neither does a
   * rehearsal: what the other version made of them is a difference. Links to them are left out on both sides. So are columns
   * and fields in `ignore`; serial numbers and times of insertion belong there. Numbers of `int8` and `numeric` columns are shown
   * as texts, with all their digits.
   */
  readonly difference: (options?: DifferenceOptions) => Effect.Effect<Difference, DifferenceError>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface DifferenceOptions {
  /** Of the same name, to be compared with. Default: the live one. */
  readonly version?: number | undefined
  /** Most rows of each list that are shown, up to 10,000. Default 20. */
  readonly limit?: number | undefined
  /** Columns of tables, `"column"` or `"table.column"`, or fields of documents that are not compared. */
  readonly ignore?: ReadonlyArray<string> | undefined
  /** Called while it is built on. */
  readonly onProgress?: ((progress: RehearsalProgress) => Effect.Effect<unknown>) | undefined
}

/**
 * Why two versions cannot be compared. `ProjectionNotFound`: there is no other one.
 *
 * @category errors
 * @since 0.1.0
 */
export type DifferenceError =
  | InvalidInput
  | RehearsalNotFound
  | ProjectionNotFound
  | ProjectionFailed
  | LogRewound
  | StoreError

/**
 * In what a rehearsal ("fresh") differs from another version ("live").
 *
 * @category models
 * @since 0.1.0
 */
export interface Difference {
  readonly rehearsal: string
  readonly projection: string
  /** The version that was rehearsed. */
  readonly version: number
  /** Up to where what was compared was built. */
  readonly position: number
  readonly live: {
    readonly version: number
    readonly position: number
    /** What it lacks since it was set aside explains a difference. */
    readonly parkedEvents: number
  }
  readonly isSamePosition: boolean
  readonly isEqual: boolean
  /** Each table by name; or `"documents"` or `"links"`. */
  readonly parts: ReadonlyArray<DifferencePart>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface DifferencePart {
  readonly name: string
  /** How many rows, documents or links there are; `null` where there is no such table. */
  readonly live: number | null
  readonly fresh: number | null
  /** Columns that only one of them has, and those that were not compared; of documents the fields to be ignored. */
  readonly columns: {
    readonly onlyLive: ReadonlyArray<string>
    readonly onlyFresh: ReadonlyArray<string>
    readonly ignored: ReadonlyArray<string>
  }
  /** A row of a table that was changed is in both of these, with what the two have of it. */
  readonly onlyLive: DifferenceRows
  readonly onlyFresh: DifferenceRows
  /** Documents of one key: `{ key, live, fresh }`. */
  readonly changed: DifferenceRows
}

/**
 * How many there are, and the first of them in their JSON form.
 *
 * @category models
 * @since 0.1.0
 */
export interface DifferenceRows {
  readonly count: number
  readonly rows: ReadonlyArray<unknown>
}

/**
 * Builds a projection of tables, documents or links once more, and completes when it is built. Handlers see what they are shown in
 * a rebuild. Each transaction moves its checkpoint with what it wrote, so that one with a `name` can be continued.
 *
 * **Details** An inline projection is built as any other. A role that may not create schemas can rehearse documents and links
 * only. A transaction must not be open.
 *
 * **Example** (A read model as of a time)
 * ```ts
 * import { DateTime, Effect, Schema } from "effect"
 * import { Category, Projection, Rehearsal } from "effect-eventstore"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { quantity: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Added] })
 *
 * const Sizes = Projection.documents("sizes", {
 *   from: Cart,
 *   state: Schema.Int,
 *   initial: () => 0,
 *   evolve: { Added: (size, { event }) => size + event.quantity }
 * })
 *
 * export const sizeInMay = (cart: string) =>
 *   Effect.scoped(Effect.flatMap(
 *     Rehearsal.make(Sizes, { until: DateTime.makeUnsafe("2026-06-01T00:00:00Z") }),
 *     ({ projection }) => Projection.get(projection, cart)
 *   ))
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make: <P extends Projection.Any, R2 = never>(
  projection: P,
  options?: RehearseOptions<R2>
) => Effect.Effect<Rehearsal<P>, RehearseError, EventStore | Scope.Scope | ServicesOf<P> | R2> = rehearsing
  .rehearse as never

/**
 * What running a projection needs.
 *
 * @category models
 * @since 0.1.0
 */
export type ServicesOf<P extends Projection.Any> = P extends Projection.Projection<infer R> ? R : never

/**
 * All rehearsals of the store, those left over by processes that died among them.
 *
 * **Example** (Drop what was left over)
 * ```ts
 * import { Effect } from "effect"
 * import { Rehearsal } from "effect-eventstore"
 *
 * export const tidy = Effect.flatMap(Rehearsal.list, (all) =>
 *   Effect.forEach(
 *     all.filter(({ isInUse, isTemporary }) => isTemporary && !isInUse),
 *     ({ name }) => Rehearsal.drop(name)
 *   ))
 * ```
 * @category operations
 * @since 0.1.0
 */
export const list: Effect.Effect<ReadonlyArray<RehearsalStatus>, StoreError, EventStore> = rehearsing.list

/**
 * Removes a rehearsal and all it keeps. Who builds or compares it fails with `RehearsalNotFound`.
 *
 * @category operations
 * @since 0.1.0
 */
export const drop: (
  name: string
) => Effect.Effect<void, RehearsalNotFound | InvalidInput | StoreError, EventStore> = rehearsing.drop
