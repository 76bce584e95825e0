/**
 * What an application tells the command line of itself: where its log is, and what is in it.
 *
 * @since 0.1.0
 */
import type { Effect, Layer, Redacted } from "effect"
import type { Aggregate } from "../Aggregate/Decider.ts"
import type * as ProcessManager from "../Projection/ProcessManager.ts"
import type * as Projection from "../Projection/Projection.ts"
import type { EventStore } from "../Store/EventStore.ts"
import type * as Category from "../Stream/Category.ts"
import type { Declaration } from "../Subscription/PersistentSubscription.ts"
import type { SqlClient } from "./internal/frame/logSql.ts"

const TypeId = "~effect-eventstore/Cli/App"

/**
 * Where the log is. What is given to a command, or stands in the environment, comes first.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place {
  /** A Postgres database: `postgres://user:password@host:port/database`. */
  readonly url?: string | Redacted.Redacted | undefined
  /** The directory of an embedded log; from a configuration file a relative one starts at the directory of that file. */
  readonly dir?: string | undefined
  /** The database schema; `"eventstore"` where nothing else is asked for. */
  readonly schema?: string | undefined
  /** The number of the log; 1 where nothing else is asked for. */
  readonly log?: number | undefined
}

/**
 * A decider of whatever types.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyDecider = Aggregate<any, any, any, any, any, any, any, any, any, any>

/**
 * A persistent subscription as `PersistentSubscription.layer` takes it: with a handler it can be replayed.
 *
 * @category models
 * @since 0.1.0
 */
export interface AnySubscription extends Declaration<any> {
  readonly handle?: ((delivery: any) => Effect.Effect<void, unknown, any>) | undefined
}

/**
 * What an application declares. All of it is optional: what is declared is checked, decoded and run, the rest is shown as it is
 * stored.
 *
 * - `categories`: types of the events, for `append`, `read --typed`, `verify`; those of deciders and process managers are known by these
 * - `projections`: for `replay`, `projections`, `verify`
 * - `deciders`: for `state` and `verify` (snapshots)
 * - `subscriptions`: by name, as they are given to `PersistentSubscription.layer`: for `replay` and `subscriptions`
 * - `processManagers`: for `timers`
 *
 * @category models
 * @since 0.1.0
 */
export interface Declarations extends Place {
  readonly categories?: ReadonlyArray<Category.Any> | undefined
  readonly projections?: ReadonlyArray<Projection.Any> | undefined
  readonly deciders?: ReadonlyArray<AnyDecider> | undefined
  readonly subscriptions?: { readonly [name: string]: AnySubscription } | undefined
  readonly processManagers?: ReadonlyArray<ProcessManager.Any> | undefined
}

/**
 * An application, as the command line knows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface App extends Declarations {
  readonly [TypeId]: typeof TypeId
  readonly services?: Layer.Layer<any, unknown, EventStore | SqlClient> | undefined
}

type ElementOf<A> = A extends ReadonlyArray<infer E> ? E : never

type ProjectionServices<P> = P extends Projection.Projection<infer R> ? R : never

type DeciderServices<A> = A extends Aggregate<any, any, any, any, any, any, infer R, infer CR, infer DR, infer SR> ?
  R | CR | DR | SR :
  never

type SubscriptionServices<S> = S extends { readonly handle: (delivery: any) => Effect.Effect<any, any, infer R> } ? R
  : never

/**
 * The services that what is declared needs besides the store and its `SqlClient`.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Needed<D extends Declarations> = Exclude<
  | Category.Services<ElementOf<D["categories"]>>
  | ProjectionServices<ElementOf<D["projections"]>>
  | DeciderServices<ElementOf<D["deciders"]>>
  | SubscriptionServices<D["subscriptions"] extends infer S ? S[keyof S] : never>,
  EventStore | SqlClient
>

/**
 * The layer of the services that are needed, where any are.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Provided<R> = [R] extends [never] ? { readonly services?: undefined } : {
  readonly services: Layer.Layer<R, unknown, EventStore | SqlClient>
}

/**
 * Keys that mean nothing here: a misspelt one would be left aside without a word.
 *
 * @category type-level
 * @since 0.1.0
 */
export type NoOther<D> = { readonly [K in Exclude<keyof D, keyof Declarations | "services">]: never }

/**
 * Declares an application: what a configuration file exports, and what `Cli.make` and `Cli.run` take.
 *
 * **Example** (`eventstore.config.ts`)
 * ```ts
 * import { Schema } from "effect"
 * import { Category } from "effect-eventstore"
 * import { App } from "effect-eventstore/Cli"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * export default App.make({ dir: "./data", categories: [Cart] })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make = <const D extends Declarations>(
  declarations: D & Provided<Needed<NoInfer<D>>> & NoOther<NoInfer<D>>
): App => ({
  ...declarations,
  [TypeId]: TypeId
})

/**
 * Tells whether a value is an application.
 *
 * @category guards
 * @since 0.1.0
 */
export const isApp = (value: unknown): value is App => typeof value === "object" && value !== null && TypeId in value
