/**
 * Deciders: how a state follows from events, and which events a command leads to.
 *
 * A {@link Decider} is three pure members and meets no database. {@link make} ties one to a category: what that answers
 * loads the state of a stream, decides, appends with the exact version, and decides again where another writer was faster.
 *
 * **Example** (A bank account)
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Category, Decider, EventStore } from "effect-eventstore"
 *
 * class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
 * class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
 * const Account = Category.make("account", { id: Schema.String, events: [Deposited, Withdrawn] })
 *
 * class Deposit extends Schema.TaggedClass<Deposit>()("Deposit", { cents: Schema.Int }) {}
 * class Withdraw extends Schema.TaggedClass<Withdraw>()("Withdraw", { cents: Schema.Int }) {}
 * class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { balance: Schema.Int }) {}
 *
 * const Accounts = Decider.make(Account, {
 *   commands: [Deposit, Withdraw],
 *   initial: { balance: 0 },
 *   evolve: {
 *     Deposited: ({ balance }, { cents }) => ({ balance: balance + cents }),
 *     Withdrawn: ({ balance }, { cents }) => ({ balance: balance - cents })
 *   },
 *   decide: {
 *     Deposit: ({ cents }) => [new Deposited({ cents })],
 *     Withdraw: ({ cents }, { balance }) =>
 *       balance < cents ? Effect.fail(new Overdrawn({ balance })) : Effect.succeed([new Withdrawn({ cents })])
 *   }
 * })
 *
 * export const program = Effect.gen(function*() {
 *   yield* Accounts.run("anna", new Deposit({ cents: 500 }))
 *   const { state, version } = yield* Accounts.run("anna", new Withdraw({ cents: 200 }), { commandId: "request-7" })
 *   return [state.balance, version] // => [300, 2]
 * }).pipe(Effect.provide(EventStore.layerMemory))
 * ```
 * @since 0.1.0
 */
import type { DateTime, Effect, HashMap, Schedule, Schema } from "effect"
import type * as Event from "../Event/Event.ts"
import type { EventId } from "../Event/EventId.ts"
import type { EventMetadata } from "../Event/EventMetadata.ts"
import type { Snapshot } from "../Snapshot/Snapshot.ts"
import type { Rebuilt } from "../Snapshot/SnapshotStore.ts"
import type { AppendError, EventStore, ReadError } from "../Store/EventStore.ts"
import type { WrongExpectedVersion } from "../Store/StoreError.ts"
import type * as Category from "../Stream/Category.ts"
import type { ExpectedVersion } from "../Stream/ExpectedVersion.ts"
import type { Position } from "../Stream/Position.ts"
import type { StreamVersion } from "../Stream/StreamVersion.ts"
import type { AnswerHidden, CommandDecodeFailed } from "./AggregateError.ts"
import * as aggregate from "./internal/aggregate.ts"
import * as combining from "./internal/combining.ts"

/**
 * A decider: a state to begin with, what an event does to it, and which events a command leads to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decider<in Command, in out Event, in out State, out E = never, out R = never> {
  readonly initial: State
  /** Pure: the same state and event give the same state, and neither is changed. */
  readonly evolve: (state: State, event: Event) => State
  /** May fail with errors of its own and ask services; may be made again, on a newer state. */
  readonly decide: (command: Command, state: State) => Effect.Effect<ReadonlyArray<Event>, E, R>
}

/**
 * What an event does to a state: a function for each tag, or one for all.
 *
 * @category models
 * @since 0.1.0
 */
export type Evolve<S, E> =
  | { readonly [Tag in TagOf<E>]: (state: S, event: Extract<E, { readonly _tag: Tag }>) => S }
  | ((state: S, event: E) => S)

/**
 * What a decision answers: events, or an effect of them. Without events, nothing happens.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer<E> = ReadonlyArray<E> | Effect.Effect<ReadonlyArray<E>, any, any>

/**
 * Which events a command leads to: a function for each tag, or one for all. Where no commands were declared, their types
 * are those that the functions name.
 *
 * @category models
 * @since 0.1.0
 */
export type Decide<C, S, E> = [C] extends [never] ?
    | { readonly [tag: string]: (command: any, state: S) => Answer<E> }
    | ((command: any, state: S) => Answer<E>)
  :
    | { readonly [Tag in TagOf<C>]: (command: Extract<C, { readonly _tag: Tag }>, state: S) => Answer<E> }
    | ((command: C, state: S) => Answer<E>)

/**
 * The tags of a union.
 *
 * @category type-level
 * @since 0.1.0
 */
export type TagOf<A> = A extends { readonly _tag: infer Tag extends string } ? Tag : never

/**
 * The commands of a decider: those that were declared, or those that its functions name.
 *
 * @category type-level
 * @since 0.1.0
 */
export type CommandOf<C, D> = [C] extends [never] ? D extends (command: infer One, ...args: any) => any ? One
  : { [K in keyof D]: D[K] extends (command: infer One, ...args: any) => any ? One : never }[keyof D]
  : C

/**
 * What the functions of a decider answer.
 *
 * @category type-level
 * @since 0.1.0
 */
export type AnswerOf<D> = D extends (...args: any) => infer A ? A
  : { [K in keyof D]: D[K] extends (...args: any) => infer A ? A : never }[keyof D]

/**
 * What the functions of a decider fail with.
 *
 * @category type-level
 * @since 0.1.0
 */
export type ErrorOf<D> = AnswerOf<D> extends infer A ? A extends Effect.Effect<any, infer E, any> ? E : never : never

/**
 * What the functions of a decider need.
 *
 * @category type-level
 * @since 0.1.0
 */
export type ServicesOf<D> = AnswerOf<D> extends infer A ? A extends Effect.Effect<any, any, infer R> ? R : never : never

/**
 * Refuses functions for tags that there are not.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Exact<D, Tags> = D extends (...args: any) => any ? unknown
  : [Tags] extends [never] ? unknown
  : { readonly [K in keyof D]: K extends Tags ? unknown : `unknown: ${K & string}` }

/**
 * A class of commands, made with `Schema.TaggedClass`.
 *
 * @category models
 * @since 0.1.0
 */
export type CommandClass = Event.EventClass<any, any>

/** The commands of a list of classes. */
type CommandsOf<Members extends ReadonlyArray<CommandClass>> = Members[number]["Type"]

/**
 * What a decider is. See {@link make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  Id,
  In,
  Out,
  S,
  SR,
  I extends S,
  Commands extends ReadonlyArray<CommandClass>,
  D,
  NR = never
> {
  /** The schema of the state. Where it is left out, the state is that of `snapshot`, or of the type of `initial`. */
  readonly state?: Schema.ConstraintCodec<S, unknown, SR, never> | undefined
  /** The state of a stream without events, or a function from its id. */
  readonly initial: I | ((id: Id) => I)
  /** What an event does to a state: for each event that can be read. */
  readonly evolve: Evolve<S, Out>
  /** Classes of the commands: then `decide` has to have a function for each, and `runUnknown` decodes them. */
  readonly commands?: Commands | undefined
  /** Which events a command leads to. */
  readonly decide: D & Exact<NoInfer<D>, TagOf<CommandsOf<NoInfer<Commands>>>>
  /**
   * How often and when a decision is made again, because another writer was faster; its input is the conflict. Default: with
   * short, jittered waits, up to 100 times, which is some five seconds.
   */
  readonly retry?: Schedule.Schedule<unknown, WrongExpectedVersion> | undefined
  /**
   * How the state is saved, and when: then a state is loaded from what was saved last and the events behind it, in one round
   * trip. It is saved behind the answer of a command that appended, which never waits for it, nor fails because of it.
   */
  readonly snapshot?: Snapshot<S, NR> | undefined
  /** Keeps states in the process. */
  readonly cache?: Cache | undefined
  readonly _In?: (_: In) => void
}

/**
 * How a decider keeps states in the process: those that were used last, for each store apart.
 *
 * **Details** With the mode `"checked"`, the default, a state is asked after in one round trip before each decision: whether it
 * holds, and what came since. With `"trusted"` a command is decided at once, and the append tells: on a conflict what came
 * since is read, and the command decided again. Where a decision fails or leads to nothing, the state is asked after first, and
 * the command decided again if it was over.
 *
 * **Gotchas** Who deletes or truncates a stream does not change its version, so the append does not tell: with `"trusted"` a
 * command may be decided on events that another process hid long ago. Take it where no streams are deleted or truncated that
 * are in use, and begin new processes after a log was restored from a backup.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cache {
  /** Most states: a whole number from 1. */
  readonly capacity: number
  readonly mode?: "checked" | "trusted" | undefined
}

/**
 * How a command is run.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions {
  /**
   * The identity of the command, for this stream: run again under it, it is not decided again, and the answer is the first
   * one, by whatever process and after whatever time. It is the causation of the events.
   *
   * **Gotchas** A command that led to no events, or failed, leaves no trace, and is decided again. The command itself is not
   * compared: another one under the same id gets the answer of the first.
   */
  readonly commandId?: string | undefined
  /** Metadata of the events, over those of the fibre. */
  readonly metadata?: EventMetadata | undefined
  /**
   * What the caller believes about the stream, for example the version that a form was filled in for. Where that is not so,
   * the command fails with `WrongExpectedVersion` and is not decided.
   */
  readonly expected?: ExpectedVersion | undefined
}

/**
 * An event that a command led to, and where it stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decided<out E> {
  readonly event: E
  readonly eventId: EventId
  readonly streamVersion: StreamVersion
  /** 0 inside of a transaction: there is none before COMMIT. */
  readonly position: Position
}

/**
 * What became of a command.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ran<out State, out E> {
  /** The state afterwards. */
  readonly state: State
  /** The events that it led to; none where there was nothing to do. */
  readonly events: ReadonlyArray<Decided<E>>
  /** Version of the stream afterwards. */
  readonly version: StreamVersion
  /** Position of the last event of the state, 0 where there is none. */
  readonly position: Position
  /** Whether this is the answer of an earlier run under the same `commandId`. Of two at once, both may say no. */
  readonly isRepeated: boolean
}

/**
 * A state, the version of its stream, and the position of the last event in it: 0 where there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Queried<out State> {
  readonly state: State
  readonly version: StreamVersion
  readonly position: Position
}

/**
 * The past that is asked for: the longest beginning of a stream in which all events are at or before what is named. With
 * several, the shortest.
 *
 * **Gotchas** Clocks step back: with `time` it ends before the first event that was recorded later, though events after that
 * one may have been recorded earlier. What is staged in an open transaction comes after every position.
 *
 * @category models
 * @since 0.1.0
 */
export interface AsOf {
  readonly version?: number | undefined
  /** A position of the log. */
  readonly position?: number | undefined
  /** A time, by the clock of the store. */
  readonly time?: DateTime.Utc | undefined
}

/**
 * What is asked of a state: that of now, or the past.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryOptions extends AsOf {
  /**
   * Of the state of now: `"checked"`, the default, is what is stored when it is asked for. `"cached"` is what this process
   * knows, without a round trip, where the decider has a `cache` and the state is in it: as old as the last command or query of
   * the stream here. Nothing changes by it inside of a transaction.
   */
  readonly consistency?: "checked" | "cached" | undefined
}

/**
 * What running a command can fail with besides the errors of the decider. `AnswerHidden` comes only with a `commandId`.
 *
 * @category errors
 * @since 0.1.0
 */
export type RunError = AppendError | ReadError | WrongExpectedVersion | AnswerHidden

/**
 * How the streams of a category become states: what takes part in a `Boundary`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fold<in Id, in In, in out Out, in out State, out CR> {
  readonly category: Category.Category<string, Id, In, Out, CR>
  readonly initial: (id: Id) => State
  readonly evolve: (state: State, event: Out) => State
  /** How the state is saved, where it is. */
  readonly savedAs?: Snapshot<State, any> | undefined
}

/**
 * What a decider was declared with that those need who send commands and states to other processes: the schemas, and when it
 * decides again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Declared<in out State, out SR> {
  readonly commands: ReadonlyArray<CommandClass>
  readonly state: Schema.ConstraintCodec<State, unknown, SR, never> | undefined
  readonly retry: Schedule.Schedule<unknown, WrongExpectedVersion> | undefined
}

/**
 * The streams of a category under a decider.
 *
 * **Details** `In` is what can be appended, `Out` what reading yields, `E` and `R` what `decide` fails with and needs, `CR`
 * what the upcasters of the category and of the snapshot need, `DR` what decoding commands needs, `SR` what decoding a state needs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Aggregate<
  in Id,
  in Command,
  in out In,
  in out Out,
  in out State,
  out E,
  out R,
  out CR,
  out DR,
  out SR = never
> extends Fold<Id, In, Out, State, CR> {
  readonly declared: Declared<State, SR>
  readonly decide: (command: Command, state: State) => Effect.Effect<ReadonlyArray<In>, E, R>
  /** The decider of one stream, without a store: for tests and combinators. */
  readonly decider: (id: Id) => Decider<Command, Out, State, E, R>

  /**
   * Runs a command: loads the state, decides, and appends at exactly the version of the state. Where another writer was
   * faster, it reads what is new and decides again, as often as the schedule allows; then it fails with
   * `WrongExpectedVersion`. No other failure is tried again.
   *
   * **Details** An answer is made of a state that was current at some moment during the call. A command that leads to no
   * events appends nothing. Interrupting it leaves nothing, or the events whole.
   *
   * **Gotchas** Inside of `store.transaction` the events are staged: positions are 0, and the version is checked once more at
   * COMMIT, where a conflict is one of the whole transaction. Repeat that, with `EventStore.retryConflicts`. A transaction
   * that sees no later commits (`REPEATABLE READ`) would decide on the same state each time.
   *
   * Who deletes or truncates a stream does not change its version: a command that has read its state may still append.
   */
  readonly run: (
    id: Id,
    command: Command,
    options?: RunOptions
  ) => Effect.Effect<Ran<State, Out>, RunError | E, R | CR | EventStore>

  /**
   * As `run`, of what came from outside: JSON of one of the declared command classes. What is none fails with
   * `CommandDecodeFailed`, which names the field, before anything is read.
   */
  readonly runUnknown: (
    id: Id,
    input: unknown,
    options?: RunOptions
  ) => Effect.Effect<Ran<State, Out>, RunError | E | CommandDecodeFailed, R | CR | DR | EventStore>

  /** The state of a stream, as it is or as it was. */
  readonly query: (id: Id, options?: QueryOptions) => Effect.Effect<Queried<State>, ReadError, CR | EventStore>

  /**
   * Saves the state of a stream, and waits for it. Answers whether it is kept: not where no event is in it, a newer one is there,
   * or inside of a transaction. Fails with `InvalidInput` where the decider has no `snapshot`, or the state is too large.
   */
  readonly snapshot: (id: Id) => Effect.Effect<boolean, ReadError, CR | EventStore>

  /**
   * Drops the snapshots of the category, folds its streams from their first event on, and saves their states; answers how many
   * are kept, and how many were refused. After `evolve` was mended, and before a new shape of the state goes live.
   *
   * **Gotchas** While programs run that fold in the old way, raise the `version` of the snapshot instead: see
   * `SnapshotStore.rebuild`.
   */
  readonly rebuildSnapshots: (
    options?: { readonly concurrency?: number | undefined }
  ) => Effect.Effect<Rebuilt, ReadError, CR | EventStore>
}

/**
 * Ties a decider to a category: answers what runs commands on its streams and asks for their states.
 *
 * **Details** `evolve` and `decide` are functions by tag, which have to be complete, or one function for all. Where no classes
 * of commands are declared, the types of the commands are those that the functions of `decide` name. What
 * {@link of} and the combinators make can be handed in as it is.
 *
 * **Gotchas** Throws where a function is missing: a mistake in the program, not in its input. An event that `evolve` throws on
 * is a defect; events that a decision leads to are folded before they are appended, so none is stored that cannot be folded.
 *
 * **Example** (A schema for the state, and a service)
 * ```ts
 * import { Context, Effect, Schedule, Schema } from "effect"
 * import { Category, Decider } from "effect-eventstore"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, cents: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Added] })
 *
 * class Prices extends Context.Service<Prices, { readonly of: (sku: string) => Effect.Effect<number> }>()("shop/Prices") {}
 *
 * export const Carts = Decider.make(Cart, {
 *   state: Schema.Struct({ cents: Schema.Int, isFull: Schema.Boolean }),
 *   initial: { cents: 0, isFull: false },
 *   evolve: {
 *     Added: (state, { cents }) => ({ cents: state.cents + cents, isFull: state.cents + cents > 9_000 })
 *   },
 *   decide: {
 *     Add: Effect.fnUntraced(function*({ sku }: { readonly _tag: "Add"; readonly sku: string }, { isFull }) {
 *       if (isFull) return []
 *       return [new Added({ sku, cents: yield* Prices.use((prices) => prices.of(sku)) })]
 *     })
 *   },
 *   retry: Schedule.spaced("5 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 20 }))
 * })
 *
 * export const add = Carts.run("42", { _tag: "Add", sku: "tea" })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make: <
  Id,
  In,
  Out,
  CR,
  I extends S,
  D extends Decide<CommandsOf<Commands>, S, In>,
  S = I,
  SR = never,
  const Commands extends ReadonlyArray<CommandClass> = readonly [],
  NR = never
>(
  category: Category.Category<string, Id, In, Out, CR>,
  options: Options<Id, In, Out, S, SR, I, Commands, D, NR>
) => Aggregate<
  Id,
  CommandOf<CommandsOf<Commands>, D>,
  In,
  Out,
  S,
  ErrorOf<D>,
  ServicesOf<D>,
  CR | NR,
  Commands[number]["DecodingServices"],
  SR
> = aggregate.make as never

/**
 * How the streams of a category become states, without anything to decide: for a stream that takes part in a `Boundary` and
 * has no decider of its own.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category, Decider } from "effect-eventstore"
 *
 * class SeatTaken extends Schema.TaggedClass<SeatTaken>()("SeatTaken", { seat: Schema.String }) {}
 * const Flight = Category.make("flight", { id: Schema.String, events: [SeatTaken] })
 *
 * export const Flights = Decider.fold(Flight, {
 *   initial: { taken: 0 },
 *   evolve: { SeatTaken: ({ taken }) => ({ taken: taken + 1 }) }
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const fold: <Id, In, Out, CR, S>(
  category: Category.Category<string, Id, In, Out, CR>,
  options: { readonly initial: S | ((id: Id) => S); readonly evolve: Evolve<NoInfer<S>, Out> }
) => Fold<Id, In, Out, S, CR> = aggregate.fold as never

/**
 * Makes a decider without a category: of the classes of its events and commands, with functions by tag, or of plain functions
 * that name the types.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Decider } from "effect-eventstore"
 *
 * class Switched extends Schema.TaggedClass<Switched>()("Switched", { on: Schema.Boolean }) {}
 * class Toggle extends Schema.TaggedClass<Toggle>()("Toggle", {}) {}
 *
 * export const lamp = Decider.of({
 *   events: [Switched],
 *   commands: [Toggle],
 *   initial: false,
 *   evolve: { Switched: (_, { on }) => on },
 *   decide: { Toggle: (_, isOn) => [new Switched({ on: !isOn })] }
 * })
 *
 * export const counter = Decider.of({
 *   initial: 0,
 *   evolve: (count: number, by: number) => count + by,
 *   decide: (command: "up" | "down") => [command === "up" ? 1 : -1]
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const of: {
  <
    const Events extends ReadonlyArray<Event.EventClass<any, any>>,
    S,
    D extends Decide<CommandsOf<Commands>, S, Events[number]["Type"]>,
    const Commands extends ReadonlyArray<CommandClass> = readonly []
  >(options: {
    readonly events: Events
    readonly commands?: Commands | undefined
    readonly initial: S
    readonly evolve: Evolve<NoInfer<S>, Events[number]["Type"]>
    readonly decide: D & Exact<NoInfer<D>, TagOf<CommandsOf<NoInfer<Commands>>>>
  }): Decider<CommandOf<CommandsOf<Commands>, D>, Events[number]["Type"], S, ErrorOf<D>, ServicesOf<D>>
  <S, E, D extends (command: any, state: S) => Answer<E>>(options: {
    readonly initial: S
    readonly evolve: (state: S, event: E) => S
    readonly decide: D
  }): Decider<CommandOf<never, D>, E, S, ErrorOf<D>, ServicesOf<D>>
} = combining.of as never

/**
 * The state after events.
 *
 * @category combinators
 * @since 0.1.0
 */
export const replay: {
  <Event>(
    events: Iterable<Event>
  ): <State>(decider: Pick<Decider<never, Event, State>, "initial" | "evolve">) => State
  <State, Event>(
    decider: Pick<Decider<never, Event, State>, "initial" | "evolve">,
    events: Iterable<Event>
  ): State
} = combining.replay

/**
 * A command or an event of the first of a {@link pair}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Left<out A> {
  readonly _tag: "Left"
  readonly value: A
}

/**
 * A command or an event of the second of a {@link pair}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Right<out A> {
  readonly _tag: "Right"
  readonly value: A
}

/**
 * For the first of a {@link pair}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const left = <A>(value: A): Left<A> => ({ _tag: "Left", value })

/**
 * For the second of a {@link pair}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const right = <A>(value: A): Right<A> => ({ _tag: "Right", value })

/**
 * Two deciders side by side: a command goes to one of them, and its events change the state of that one only. With
 * {@link mapCommands} and {@link mapEvents} the two sides become unions of classes again.
 *
 * **Example**
 * ```ts
 * import { Decider } from "effect-eventstore"
 *
 * const counter = Decider.of({
 *   initial: 0,
 *   evolve: (count: number, by: number) => count + by,
 *   decide: (by: number) => [by]
 * })
 * const both = Decider.pair(counter, counter)
 *
 * export const decided = both.decide(Decider.left(3), both.initial) // => an effect of [{ _tag: "Left", value: 3 }]
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const pair: <C1, E1, S1, X1, R1, C2, E2, S2, X2, R2>(
  first: Decider<C1, E1, S1, X1, R1>,
  second: Decider<C2, E2, S2, X2, R2>
) => Decider<
  Left<C1> | Right<C2>,
  Left<E1> | Right<E2>,
  readonly [S1, S2],
  X1 | X2,
  R1 | R2
> = combining.pair

/**
 * The same decider for other commands: `f` turns them into its own.
 *
 * @category combinators
 * @since 0.1.0
 */
export const mapCommands: {
  <C2, C1>(f: (command: C2) => C1): <E, S, X, R>(self: Decider<C1, E, S, X, R>) => Decider<C2, E, S, X, R>
  <C1, E, S, X, R, C2>(self: Decider<C1, E, S, X, R>, f: (command: C2) => C1): Decider<C2, E, S, X, R>
} = combining.mapCommands

/**
 * The same decider with other events: `to` turns its own into them, `from` back. Where `from` answers `undefined`, the event is
 * of no concern and the state stays.
 *
 * **Gotchas** `from(to(event))` has to be as good as the event, or the decider forgets what it decided.
 *
 * @category combinators
 * @since 0.1.0
 */
export const mapEvents: {
  <E1, E2>(options: {
    readonly to: (event: E1) => NoInfer<E2>
    readonly from: (event: E2) => E1 | undefined
  }): <C, S, X, R>(self: Decider<C, E1, S, X, R>) => Decider<C, E2, S, X, R>
  <C, E1, S, X, R, E2>(self: Decider<C, E1, S, X, R>, options: {
    readonly to: (event: E1) => NoInfer<E2>
    readonly from: (event: E2) => E1 | undefined
  }): Decider<C, E2, S, X, R>
} = combining.mapEvents

/**
 * The same decider on a part of a larger state, which `get` finds and `set` replaces.
 *
 * @category combinators
 * @since 0.1.0
 */
export const adaptState: {
  <S1, S2>(options: {
    readonly initial: S2
    readonly get: (state: S2) => S1
    readonly set: (state: S2, part: S1) => S2
  }): <C, E, X, R>(self: Decider<C, E, S1, X, R>) => Decider<C, E, S2, X, R>
  <C, E, S1, X, R, S2>(self: Decider<C, E, S1, X, R>, options: {
    readonly initial: S2
    readonly get: (state: S2) => S1
    readonly set: (state: S2, part: S1) => S2
  }): Decider<C, E, S2, X, R>
} = combining.adaptState

/**
 * A command or an event of one of {@link many}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Keyed<out K, out A> {
  readonly key: K
  readonly value: A
}

/**
 * As many deciders of a kind as there are keys, in one stream: a state for each key that had an event.
 *
 * **Example** (The lines of a cart)
 * ```ts
 * import { Decider } from "effect-eventstore"
 *
 * const quantity = Decider.of({
 *   initial: 0,
 *   evolve: (quantity: number, by: number) => quantity + by,
 *   decide: (by: number, quantity: number) => quantity + by < 0 ? [] : [by]
 * })
 *
 * export const lines = Decider.many<string>()(quantity)
 * export const cart = Decider.replay(lines, [{ key: "tea", value: 2 }, { key: "cup", value: 1 }, { key: "tea", value: 1 }])
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const many: <K>() => <C, E, S, X, R>(
  self: Decider<C, E, S, X, R>
) => Decider<Keyed<K, C>, Keyed<K, E>, HashMap.HashMap<K, S>, X, R> = combining.many
