/**
 * One decision over several streams.
 *
 * {@link make} names the streams: each has a decider or a fold of its own, all are appended to at once, each at exactly the
 * version it was decided on. {@link dynamic} asks by types and tags, over streams that nobody could name: the append holds if
 * no event that the decision would have seen was stored since.
 *
 * Where another writer was faster, both decide again, by the schedule: on `WrongExpectedVersion` and `AppendConditionFailed`, and
 * on nothing else.
 *
 * **Example** (A transfer)
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Boundary, Category, Decider, EventStore } from "effect-eventstore"
 *
 * class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
 * class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
 * const Account = Category.make("account", { id: Schema.String, events: [Deposited, Withdrawn] })
 * const Balance = Decider.fold(Account, {
 *   initial: 0,
 *   evolve: { Deposited: (sum, { cents }) => sum + cents, Withdrawn: (sum, { cents }) => sum - cents }
 * })
 *
 * class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { balance: Schema.Int }) {}
 * interface Transfer {
 *   readonly from: string
 *   readonly to: string
 *   readonly cents: number
 * }
 *
 * const Transfers = Boundary.make("transfers", {
 *   streams: ({ from, to }: Transfer) => ({ from: Boundary.on(Balance, from), to: Boundary.on(Balance, to) }),
 *   decide: ({ cents }, { from }) =>
 *     from < cents
 *       ? Effect.fail(new Overdrawn({ balance: from }))
 *       : Effect.succeed({ from: [new Withdrawn({ cents })], to: [new Deposited({ cents })] })
 * })
 *
 * export const program = Effect.gen(function*() {
 *   const store = yield* EventStore
 *   yield* store.append(Account.stream("anna"), [new Deposited({ cents: 500 })])
 *   const { states } = yield* Transfers.run({ from: "anna", to: "ben", cents: 200 })
 *   return states // => { from: 300, to: 200 }
 * }).pipe(Effect.provide(EventStore.layerMemory))
 * ```
 * @since 0.1.0
 */
import type { Effect, Schedule } from "effect"
import type { AppendError, Entry, EventStore, ReadError } from "../Store/EventStore.ts"
import type { AppendCondition } from "../Store/LogStorage.ts"
import type { AppendConditionFailed, WrongExpectedVersion } from "../Store/StoreError.ts"
import type * as Category from "../Stream/Category.ts"
import type { Position } from "../Stream/Position.ts"
import type { StreamId } from "../Stream/StreamId.ts"
import type { StreamVersion } from "../Stream/StreamVersion.ts"
import type { AnswerHidden } from "./AggregateError.ts"
import type { Decided, Evolve, Fold, RunOptions as DeciderRunOptions } from "./Decider.ts"
import * as boundary from "./internal/boundary.ts"
import * as dynamicBoundary from "./internal/dynamicBoundary.ts"

/**
 * A stream that takes part, and how it becomes a state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Participant<in In, out Out, out State, out CR> {
  readonly fold: Fold<any, any, any, any, CR>
  readonly id: unknown
  readonly _types?: { readonly in: (_: In) => void; readonly out: () => Out; readonly state: () => State }
}

/**
 * The streams that take part, by the names that a decision has for them.
 *
 * @category models
 * @since 0.1.0
 */
export type Participants = { readonly [name: string]: Participant<never, any, any, any> }

/**
 * The states of the streams that take part.
 *
 * @category type-level
 * @since 0.1.0
 */
export type StatesOf<P> = { readonly [K in keyof P]: P[K] extends Participant<never, any, infer S, any> ? S : never }

/**
 * The events for the streams that take part; a stream that is left out has none.
 *
 * @category type-level
 * @since 0.1.0
 */
export type EventsOf<P> = {
  readonly [K in keyof P]?: P[K] extends Participant<infer In, any, any, any> ? ReadonlyArray<In> : never
}

/**
 * The events that the streams that take part can have.
 *
 * @category type-level
 * @since 0.1.0
 */
export type OutOf<P> = { [K in keyof P]: P[K] extends Participant<never, infer Out, any, any> ? Out : never }[keyof P]

/**
 * The services that reading the streams needs.
 *
 * @category type-level
 * @since 0.1.0
 */
export type ReadServicesOf<P> = {
  [K in keyof P]: P[K] extends Participant<never, any, any, infer CR> ? CR : never
}[keyof P]

/** What a function fails with. */
type ErrorOf<D> = D extends (...args: any) => infer A ? A extends Effect.Effect<any, infer E, any> ? E : never : never

/** What a function needs. */
type ServicesOf<D> = D extends (...args: any) => infer A ? A extends Effect.Effect<any, any, infer R> ? R : never
  : never

/** Refuses answers with events for streams that take no part. */
type Exact<D, P> = D extends (...args: any) => infer A
  ? Exclude<KeysOf<A extends Effect.Effect<infer B, any, any> ? B : A>, keyof P> extends infer Excess
    ? [Excess] extends [never] ? unknown : `unknown: ${Excess & string}`
  : never
  : never
type KeysOf<T> = T extends object ? keyof T : never

/**
 * How a command is run. See `Decider.RunOptions`: here a `commandId` is the identity of the command for the boundary, by its
 * name.
 *
 * @category models
 * @since 0.1.0
 */
export type RunOptions = Omit<DeciderRunOptions, "expected">

/**
 * An event that a command led to, and where it stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface DecidedOn<out E> extends Decided<E> {
  readonly streamId: StreamId
}

/**
 * What became of a command over several streams.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ran<in out P> {
  /** The states afterwards. */
  readonly states: StatesOf<P>
  /** The versions of the streams afterwards. */
  readonly versions: { readonly [K in keyof P]: StreamVersion }
  /** The events that it led to, in the order of the log. */
  readonly events: ReadonlyArray<DecidedOn<OutOf<P>>>
  /** Position of the last event of the states, 0 where there is none. */
  readonly position: Position
  /** Whether this is the answer of an earlier run under the same `commandId`. Of two at once, both may say no. */
  readonly isRepeated: boolean
}

/**
 * What running a command can fail with besides the errors of the decision. `AnswerHidden` comes only with a `commandId`.
 *
 * @category errors
 * @since 0.1.0
 */
export type RunError = AppendError | ReadError | WrongExpectedVersion | AnswerHidden

/**
 * One decision over named streams.
 *
 * @category models
 * @since 0.1.0
 */
export interface Boundary<in Command, in out P, out E, out R> {
  readonly name: string
  /**
   * Runs a command: loads the states, decides, and appends to all streams or to none, each at exactly the version of its state,
   * also those that get no event.
   *
   * **Details** What it answers was decided on states that were there together at some moment: a decision that fails, or
   * leads to no events, is checked before it is the answer.
   */
  readonly run: (
    command: Command,
    options?: RunOptions
  ) => Effect.Effect<Ran<P>, RunError | E, R | ReadServicesOf<P> | EventStore>
  /** The states that a command would be decided on now; they may have been read one after the other. */
  readonly query: (
    command: Command
  ) => Effect.Effect<Pick<Ran<P>, "states" | "versions" | "position">, ReadError, ReadServicesOf<P> | EventStore>
}

/**
 * A stream takes part with a decider (`Decider.make`) or a fold (`Decider.fold`) of its category.
 *
 * @category constructors
 * @since 0.1.0
 */
export const on = <Id, In, Out, S, CR>(
  fold: Fold<Id, In, Out, S, CR>,
  id: NoInfer<Id>
): Participant<In, Out, S, CR> => ({ fold, id })

/**
 * One decision over streams that a command names. Its `name` tells its commands from those of other boundaries.
 *
 * **Details** `decide` answers events by the names of the streams, at once or as an effect. A stream without events must still
 * be at the version that was read. A stream can take part only once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: <
  Command,
  P extends Participants,
  D extends (command: Command, states: StatesOf<P>) => EventsOf<P> | Effect.Effect<EventsOf<P>, any, any>
>(name: string, options: {
  readonly streams: (command: Command) => P
  readonly decide: D & Exact<NoInfer<D>, NoInfer<P>>
  /** How often and when it is decided again. Default: as for `Decider.make`. */
  readonly retry?: Schedule.Schedule<unknown, WrongExpectedVersion> | undefined
}) => Boundary<Command, P, ErrorOf<D>, ServicesOf<D>> = boundary.make as never

/**
 * What a decision depends on: events with one of the types (any, where there are none) and all of the tags, in any stream.
 *
 * @category models
 * @since 0.1.0
 */
export type Item = AppendCondition["items"][number]

/**
 * What became of a command over a dynamic boundary.
 *
 * @category models
 * @since 0.1.0
 */
export interface DynamicRan<out State, out E> {
  /** The state afterwards: with those of the new events that the decision asks for. */
  readonly state: State
  readonly events: ReadonlyArray<DecidedOn<E>>
  /** Position of the last event that the command led to; without events, the one up to which the state was read. */
  readonly position: Position
  readonly isRepeated: boolean
}

/**
 * One decision over events found by types and tags.
 *
 * @category models
 * @since 0.1.0
 */
export interface Dynamic<in Command, out State, out E, out R, out CR> {
  readonly name: string
  /**
   * Runs a command: reads the events it depends on, decides, and appends if none of that kind was stored since.
   *
   * **Gotchas** What is staged in a transaction that is open is not among the events.
   */
  readonly run: (
    command: Command,
    options?: RunOptions
  ) => Effect.Effect<
    DynamicRan<State, unknown>,
    RunError | AppendConditionFailed | E,
    R | CR | EventStore
  >
  /** The state that a command would be decided on now, and the position up to which it was read. */
  readonly query: (
    command: Command
  ) => Effect.Effect<{ readonly state: State; readonly position: Position }, ReadError, CR | EventStore>
}

/**
 * One decision over a dynamic consistency boundary: what it depends on is found by types and tags, whatever the stream. See
 * https://dcb.events for the idea.
 *
 * **Details** `decide` answers entries, made with `EventStore.entry`. An event is of one of the types by the name under which it
 * is stored, so name older ones, too. Events of categories that are not in `from` are not part of the state, but if they match,
 * they lead to another attempt.
 *
 * **Example** (A name is taken once)
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Boundary, Category, Event, EventStore } from "effect-eventstore"
 *
 * class Registered extends Schema.TaggedClass<Registered>()("Registered", { name: Schema.String }) {
 *   get [Event.tags]() {
 *     return [`name:${this.name}`]
 *   }
 * }
 * const User = Category.make("user", { id: Schema.String, events: [Registered] })
 * class Taken extends Schema.TaggedError<Taken>()("Taken", { name: Schema.String }) {}
 *
 * const Registration = Boundary.dynamic("registration", {
 *   from: User,
 *   query: ({ name }: { readonly id: string; readonly name: string }) => [{ types: ["Registered"], tags: [`name:${name}`] }],
 *   initial: false,
 *   evolve: { Registered: () => true },
 *   decide: ({ id, name }, isTaken) =>
 *     isTaken
 *       ? Effect.fail(new Taken({ name }))
 *       : Effect.succeed(EventStore.entry(User.stream(id), [new Registered({ name })]))
 * })
 *
 * export const register = Registration.run({ id: "1", name: "anna" })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const dynamic: <
  const C extends Category.Any | ReadonlyArray<Category.Any>,
  Command,
  S,
  D extends (command: Command, state: S) => Entries | Effect.Effect<Entries, any, any>
>(name: string, options: {
  /** The categories whose events make the state. */
  readonly from: C
  /** What the decision depends on: events that match one of the items. At least one, and each names something. */
  readonly query: (command: Command) => ReadonlyArray<Item>
  readonly initial: S
  readonly evolve: Evolve<NoInfer<S>, Category.Out<C extends ReadonlyArray<any> ? C[number] : C>>
  readonly decide: D
  /** How often and when it is decided again. Default: as for `Decider.make`. */
  readonly retry?: Schedule.Schedule<unknown, WrongExpectedVersion | AppendConditionFailed> | undefined
}) => Dynamic<
  Command,
  S,
  ErrorOf<D>,
  ServicesOf<D>,
  Category.Services<C extends ReadonlyArray<any> ? C[number] : C>
> = dynamicBoundary.make as never

/**
 * What a decision over a dynamic boundary leads to: events for one stream or for several, or none.
 *
 * @category models
 * @since 0.1.0
 */
export type Entries = Entry | ReadonlyArray<Entry>
