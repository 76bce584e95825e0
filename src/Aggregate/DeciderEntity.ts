/**
 * One writer for each stream, wherever its commands come from: a decider as an entity of `effect/cluster`.
 *
 * Commands for one id meet in the one process that owns it. There the state stays in memory, and what waits is decided one
 * after the other and stored by one append: a hot stream has no conflicts. When the process dies, another one takes over. The
 * log stays what decides: each append is made at exactly the version of the state, so that two owners for a moment, or somebody
 * who writes past the entity, do no harm.
 *
 * This module is not part of `effect-eventstore` itself, because `effect/cluster` would be loaded with it: import it by its path.
 *
 * **Example** (A counter that all processes use)
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Category, Decider, EventStore } from "effect-eventstore"
 * import * as DeciderEntity from "effect-eventstore/Aggregate/DeciderEntity"
 * import { TestRunner } from "effect/cluster"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { by: Schema.Int }) {}
 * class Add extends Schema.TaggedClass<Add>()("Add", { by: Schema.Int }) {}
 * class TooMuch extends Schema.TaggedError<TooMuch>()("TooMuch", { is: Schema.Int }) {}
 * const Counter = Category.make("counter", { id: Schema.String, events: [Added] })
 *
 * const Counters = Decider.make(Counter, {
 *   state: Schema.Struct({ is: Schema.Int }),
 *   commands: [Add],
 *   initial: { is: 0 },
 *   evolve: { Added: ({ is }, { by }) => ({ is: is + by }) },
 *   decide: {
 *     Add: ({ by }, { is }) =>
 *       is + by > 100 ? Effect.fail(new TooMuch({ is })) : Effect.succeed([new Added({ by })])
 *   }
 * })
 *
 * const CounterEntity = DeciderEntity.make(Counters, { error: TooMuch })
 *
 * export const program = Effect.gen(function*() {
 *   const { state } = yield* CounterEntity.run("visits", new Add({ by: 1 }), { commandId: "request-7" })
 *   return state.is // => 1
 * }).pipe(
 *   Effect.provide(CounterEntity.toLayer()),
 *   Effect.provide([EventStore.layerMemory, TestRunner.layer]) // several processes: NodeClusterSocket.layer
 * )
 * ```
 * @since 0.1.0
 */
import type { Duration, Effect, Layer, Schedule, Schema } from "effect"
import type { EntityNotAssignedToRunner, MailboxFull, PersistenceError } from "effect/cluster/ClusterError"
import type * as Entity from "effect/cluster/Entity"
import type { Sharding } from "effect/cluster/Sharding"
import type * as Rpc from "effect/rpc/Rpc"
import type { EventStore } from "../Store/EventStore.ts"
import type { WrongExpectedVersion } from "../Store/StoreError.ts"
import type { CommandDecodeFailed } from "./AggregateError.ts"
import type { Aggregate, Ran, RunError, RunOptions } from "./Decider.ts"
import * as entity from "./internal/entity.ts"

/**
 * How the handlers of an entity work.
 *
 * @category models
 * @since 0.1.0
 */
export interface LayerOptions {
  /** Commands that are decided and stored together, at most. Default 256. */
  readonly batch?: number | undefined
  /**
   * Commands of one id that may wait, those in hand included; one more fails with `MailboxFull`. Default: that of the
   * cluster, 4096.
   */
  readonly mailboxCapacity?: number | "unbounded" | undefined
  /** How long an id without commands keeps its state in memory. Default: that of the cluster, a minute. */
  readonly maxIdleTime?: Duration.Input | undefined
  /**
   * How often and when the commands of a batch are decided again, because somebody wrote past the entity. Default: `retry` of
   * the decider.
   */
  readonly retry?: Schedule.Schedule<unknown, WrongExpectedVersion> | undefined
}

/**
 * What delivering a command can fail with:
 *
 * - `MailboxFull`: too many wait for this id, or the process has too many entities; this one was not decided. Try again later.
 * - `EntityNotAssignedToRunner`: this process is shutting down.
 * - `PersistenceError`: the tables of the cluster cannot be used.
 *
 * @category errors
 * @since 0.1.0
 */
export type DeliveryError = MailboxFull | EntityNotAssignedToRunner | PersistenceError

/**
 * A decider as an entity.
 *
 * **Details** Type parameters are those of the decider; `ER` is what encoding its errors needs.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeciderEntity<in Id, in Command, in out Out, in out State, out E, out R, out CR, out SR, out ER> {
  /** The type of the entity in the cluster. */
  readonly name: string
  /** What the cluster knows. Ids are those of the streams, without the category. */
  readonly entity: Entity.Entity<string, Rpc.Any>

  /**
   * Sends a command to where its id lives, and answers as `run` of the decider does. It waits while nobody owns the id, for
   * example until another process has taken over from one that died: limit it with `Effect.timeout`.
   *
   * **Details** Without a `commandId` one is made before the command is sent, so that the cluster may deliver it twice.
   *
   * **Gotchas** Who sends it again himself, after a time-out or an error, has to give a `commandId`. It is never a part of a
   * transaction of the caller.
   */
  readonly run: (
    id: Id,
    command: Command,
    options?: RunOptions
  ) => Effect.Effect<Ran<State, Out>, RunError | E | CommandDecodeFailed | DeliveryError, CR | SR | Sharding>

  /** As `run`, of what came from outside: JSON of one of the commands. It is decoded where it is decided. */
  readonly runUnknown: (
    id: Id,
    input: unknown,
    options?: RunOptions
  ) => Effect.Effect<Ran<State, Out>, RunError | E | CommandDecodeFailed | DeliveryError, CR | SR | Sharding>

  /** The handlers: a process with this layer takes part in owning ids. Throws where `batch` is not a whole number from 1. */
  readonly toLayer: (
    options?: LayerOptions
  ) => Layer.Layer<never, never, R | CR | ER | EventStore | Sharding>
}

/**
 * What an entity needs besides its decider: the schema of what `decide` fails with, where it does.
 *
 * @category models
 * @since 0.1.0
 */
export type Options<E, ErrorSchema extends Schema.Constraint> =
  & {
    /** The type of the entity in the cluster. Default: the name of the category. */
    readonly name?: string | undefined
  }
  & ([E] extends [never] ? { readonly error?: undefined } :
    [E] extends [ErrorSchema["Type"]] ? { readonly error: ErrorSchema }
    : { readonly error: "is no schema of all that decide fails with" })

/**
 * Makes an entity of a decider that declares its `commands` and its `state` (or a `snapshot` of it), so that both can be sent.
 *
 * **Details** Requests are volatile: the cluster does not store them, because what counts is stored in the log. What a dying
 * process had not answered is sent to the next owner, under the same command id. Everything about `commandId` is as in
 * `run` of the decider.
 *
 * All commands of an id are decided one after the other: what `decide` waits for, the others wait for. It may be made again.
 * When the one who asked is gone, a decision that is not made yet is interrupted. One that ends in an interruption of its own is
 * a defect.
 *
 * **Gotchas** Throws where the decider declares no `commands` or no `state`. A state that its schema cannot encode is a
 * defect of the answer; the events are stored.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: <
  Id,
  Command,
  In,
  Out,
  State,
  E,
  R,
  CR,
  DR,
  SR,
  ErrorSchema extends Schema.Constraint = Schema.Never
>(
  decider: Aggregate<Id, Command, In, Out, State, E, R, CR, DR, SR>,
  ...options: [E] extends [never] ? [options?: Options<E, ErrorSchema>] : [options: Options<E, ErrorSchema>]
) => DeciderEntity<
  Id,
  Command,
  Out,
  State,
  E,
  R,
  CR | DR,
  SR | ErrorSchema["DecodingServices"],
  ErrorSchema["EncodingServices"]
> = entity.make as never
