/**
 * Process managers: they react to events with commands, timers and events of their own, and remember where they stand.
 *
 * A process belongs to a correlation id, its `id`. Every event that concerns it is handed to it once and in order, together
 * with its state; what it answers is plain data. State, commands, timers, events and the acknowledgement are stored in one
 * transaction, so each event moves a process exactly once, whatever crashes. Commands are carried out afterwards, at least
 * once, by handlers of their own.
 *
 * **Example**
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Category, EventStore, ProcessManager } from "effect-eventstore"
 *
 * class Placed extends Schema.TaggedClass<Placed>()("Placed", { total: Schema.Int }) {}
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { order: Schema.String }) {}
 * const Order = Category.make("order", { id: Schema.String, events: [Placed] })
 * const Payment = Category.make("payment", { id: Schema.String, events: [Paid] })
 *
 * class RequestPayment extends Schema.TaggedClass<RequestPayment>()("RequestPayment", { total: Schema.Int }) {}
 * class CancelOrder extends Schema.TaggedClass<CancelOrder>()("CancelOrder", {}) {}
 *
 * const Fulfilment = ProcessManager.make("fulfilment", {
 *   from: [Order, Payment],
 *   correlate: ({ event, streamId }) => event._tag === "Paid" ? event.order : streamId.slice("order-".length),
 *   starts: ["Placed"],
 *   state: Schema.Struct({ total: Schema.Int }),
 *   initial: () => ({ total: 0 }),
 *   commands: [RequestPayment, CancelOrder],
 *   timers: ["payment"]
 * }, {
 *   handle: {
 *     Placed: (_, { total }) => ({
 *       state: { total },
 *       send: [new RequestPayment({ total })],
 *       timers: { payment: "15 minutes" }
 *     }),
 *     Paid: () => ({ end: true })
 *   },
 *   onTimer: {
 *     payment: () => ({ send: [new CancelOrder()], end: true })
 *   }
 * })
 *
 * export const Live = ProcessManager.layer(Fulfilment, {
 *   perform: {
 *     RequestPayment: ({ total }, { id, idempotencyKey }) => Effect.log(`${id} pays ${total}, once: ${idempotencyKey}`),
 *     CancelOrder: (_, { id }) => Effect.log(`cancel ${id}`)
 *   }
 * }).pipe(Layer.provideMerge(EventStore.layerMemory))
 * ```
 * @since 0.1.0
 */
import type { DateTime, Duration, Effect, Layer, Option, Schema, Scope, Stream } from "effect"
import type * as Event from "../Event/Event.ts"
import type { EventId } from "../Event/EventId.ts"
import type { Entry, EventStore } from "../Store/EventStore.ts"
import type { InvalidInput, StoreError } from "../Store/StoreError.ts"
import type { Any as AnyCategory, Category } from "../Stream/Category.ts"
import type { DecodeError } from "../Stream/DecodeError.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import type { StreamId } from "../Stream/StreamId.ts"
import type { StreamVersion } from "../Stream/StreamVersion.ts"
import type { Delivery, Stop } from "../Subscription/Delivery.ts"
import type * as PersistentSubscription from "../Subscription/PersistentSubscription.ts"
import { makeDefinition, type ProcessDefinition, type TypeId } from "./internal/processDefinition.ts"
import type { Moved, TimerFired } from "./internal/processEvents.ts"
import * as operations from "./internal/processOperations.ts"
import * as running from "./internal/processRunning.ts"
import type { StateDecodeFailed } from "./internal/processState.ts"
import * as stepping from "./internal/processStep.ts"

export { Moved, TimerFired } from "./internal/processEvents.ts"
export { StateDecodeFailed } from "./internal/processState.ts"
export { InvalidStep } from "./internal/processStep.ts"

/**
 * Any process manager.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any {
  readonly [TypeId]: ProcessDefinition
  readonly name: string
  /** Names of its persistent subscriptions: see `PersistentSubscription.info`, `parked`, `replay`, `discard`. */
  readonly subscriptions: {
    /** Hands events, and timers that fired, to processes. */
    readonly events: string
    /** Hands commands to `perform`. */
    readonly commands: string
  }
  /** Where it keeps its processes, what they sent, and their timers that fired. */
  readonly categories: {
    readonly processes: AnyCategory
    readonly commands: AnyCategory
    readonly timers: AnyCategory
  }
}

/**
 * A process manager: `Events` is what it reacts to, `State` what it remembers of a process, `Commands` what it sends,
 * `Timers` the names of its timers. `E` and `R` are what its handlers fail with and need.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcessManager<
  out Name extends string,
  in out Events,
  in out State,
  in out Commands,
  in out Timers extends string,
  out E,
  out R
> extends Any {
  readonly name: Name
  /** Where it keeps its processes: for projections, tools and tests. */
  readonly categories: {
    /** The processes, `<name>-<id>`: an event for each time that one of them moved. */
    readonly processes: Category<Name, string, Moved, Moved, never>
    /** Commands that were sent, `<name>.commands-<id>`: the outbox. */
    readonly commands: Category<`${Name}.commands`, string, Commands, Commands, R>
    /** Timers that fired, `<name>.timers-<id>`. */
    readonly timers: Category<`${Name}.timers`, string, TimerFired, TimerFired, never>
  }
  readonly _types?: {
    readonly events: (_: Events) => Events
    readonly state: (_: State) => State
    readonly commands: (_: Commands) => Commands
    readonly timers: (_: Timers) => Timers
    readonly E: () => E
    readonly R: () => R
  }
}

/**
 * When a timer fires: so long after the event is handled, or at a time. `null` cancels it.
 *
 * **Details** "After" counts from the `now` of the context: the `Clock` of the process that handles the event. A time that
 * is past already is due at once.
 *
 * @category models
 * @since 0.1.0
 */
export type TimerSetting = Duration.Input | DateTime.Utc | null

/**
 * What a process does about an event: all of it is stored together, or nothing. What is left out stays as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step<out State, out Commands, in Timers extends string> {
  /** The new state. */
  readonly state?: State | undefined
  /** Commands to be carried out by `perform`, in this order. */
  readonly send?: ReadonlyArray<Commands> | undefined
  /** Events for other streams: made with `EventStore.entry`, one for each stream. Those without an id are given one. */
  readonly append?: ReadonlyArray<Entry> | undefined
  /** Timers to set, by name; a timer of that name is replaced. `null` cancels it. */
  readonly timers?: { readonly [Name in Timers]?: TimerSetting | undefined } | undefined
  /** Whether the process ends with this: its timers are cancelled, and it takes no notice of what comes later. */
  readonly end?: boolean | undefined
}

/**
 * What a handler answers: a step, or nothing where the event is of no concern; a timer that fired waits no more nevertheless. With an effect it may ask other services
 * first; what it writes there is no part of the step. A handler may run again, for the same event.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer<State, Commands, Timers extends string> =
  | Step<State, Commands, Timers>
  | undefined
  | void
  | Effect.Effect<Step<State, Commands, Timers> | undefined | void, any, any>

/**
 * What a handler may know besides the state and the event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Context<out E, in out Timers extends string> {
  /** The id of the process. */
  readonly id: string
  /** The time by `Clock`. */
  readonly now: DateTime.Utc
  /** The event with its stream, position, metadata and time. */
  readonly recorded: Recorded<E>
  /** Timers that wait, without the one that fired. */
  readonly timers: { readonly [Name in Timers]?: DateTime.Utc }
}

/**
 * A handler for each event that a source can yield, by its tag.
 *
 * @category models
 * @since 0.1.0
 */
export type Handlers<Events, State, Commands, Timers extends string> = {
  readonly [Tag in TagOf<Events>]: (
    state: State,
    event: Extract<Events, { readonly _tag: Tag }>,
    context: Context<Extract<Events, { readonly _tag: Tag }>, Timers>
  ) => Answer<State, Commands, Timers>
}

/**
 * A handler for each timer, by its name.
 *
 * @category models
 * @since 0.1.0
 */
export type TimerHandlers<State, Commands, Timers extends string> = {
  readonly [Name in Timers]: (
    state: State,
    timer: TimerFired & { readonly name: Name },
    context: Context<TimerFired, Timers>
  ) => Answer<State, Commands, Timers>
}

/**
 * The tags of a union of events.
 *
 * @category type-level
 * @since 0.1.0
 */
export type TagOf<E> = Extract<E, { readonly _tag: string }>["_tag"]

/**
 * What the handlers of a record fail with.
 *
 * @category type-level
 * @since 0.1.0
 */
export type ErrorOf<H> = {
  [K in keyof H]: H[K] extends (...args: any) => infer A ? A extends Effect.Effect<any, infer E, any> ? E : never
    : never
}[keyof H]

/**
 * What the handlers of a record need.
 *
 * @category type-level
 * @since 0.1.0
 */
export type ServicesOf<H> = {
  [K in keyof H]: H[K] extends (...args: any) => infer A ? A extends Effect.Effect<any, any, infer R> ? R : never
    : never
}[keyof H]

/** What the answer of a handler has beyond a step. TypeScript does not look for it where a function returns an object. */
type Excess<F, Timers extends string> = F extends (...args: any) => infer A
  ? A extends Effect.Effect<infer B, any, any> ? ExcessOf<B, Timers> : ExcessOf<A, Timers>
  : never
type ExcessOf<A, Timers extends string> = A extends object ?
    | Exclude<keyof A, keyof Step<any, any, any>>
    | (A extends { readonly timers?: infer T } ? Exclude<KeysOf<T>, Timers> : never)
  : never

/** The keys of all members of a union; `keyof` alone has those that all of them share. */
type KeysOf<T> = T extends object ? keyof T : never

/**
 * Refuses handlers for tags that there are not, and answers with timers or fields that there are not.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Exact<H, Tags, Timers extends string> = {
  readonly [K in keyof H]: K extends Tags
    ? [Excess<H[K], Timers>] extends [never] ? unknown : `unknown: ${Excess<H[K], Timers> & string}`
    : `unknown: ${K & string}`
}

/**
 * What a process manager is. See {@link make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  C extends PersistentSubscription.Source,
  State,
  SR,
  Initial extends State,
  Members extends ReadonlyArray<Event.Member>,
  Timers extends ReadonlyArray<string>
> {
  /** The events that it reacts to: a category or several. */
  readonly from: C
  /**
   * The id of the process that an event belongs to; `undefined` for an event that is of no concern. The names of streams are
   * made of it, so `<name>.commands-<id>` must have no more than 512 characters, all printable. See also {@link byStreamId}
   * and {@link byCorrelationId}.
   */
  readonly correlate: (recorded: Recorded<PersistentSubscription.Out<NoInfer<C>>>) => string | undefined
  /**
   * Tags of the events that start a process. Others are passed over where there is no process: also what comes before its
   * start. Default: all.
   */
  readonly starts?: ReadonlyArray<TagOf<PersistentSubscription.Out<NoInfer<C>>>> | undefined
  /** Where it begins when it runs for the first time ever: what came before is none of its business. Default `"start"`. */
  readonly start?: PersistentSubscription.Start | undefined
  /**
   * The schema of the state, or where it has changed the chain of its schemas, today's last:
   * `Event.oldest(Before).next(Today, (before) => ...)`.
   */
  readonly state: Schema.ConstraintCodec<State, unknown, SR, never> | Event.Chain<State, SR>
  /** The state in which a process starts. */
  readonly initial: (id: string) => Initial
  /** The classes of the commands that it sends: as the events of a category, chains too. */
  readonly commands?: Members | undefined
  /** The names of its timers: 1 to 512 printable characters. */
  readonly timers?: Timers | undefined
}

/**
 * How its work is done; see `PersistentSubscription.Options`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WorkOptions extends PersistentSubscription.ConsumerOptions {
  /** Most processes that are worked for at a time, in this program. Default 4. */
  readonly concurrency?: number | undefined
  /** Events or commands that are claimed ahead of those. Default 32. */
  readonly buffer?: number | undefined
  /** Time for one of them; longer is a failure. Default: no limit. */
  readonly timeout?: Duration.Input | undefined
  /**
   * Whether one that was parked keeps the later ones of its process waiting, until it is replayed or discarded. Default
   * `false`: they pass it. With `true`, an event that does not decode ends the consumer, since nobody knows its process.
   */
  readonly parkedBlocks?: boolean | undefined
}

/**
 * What carrying out a command may know besides the command.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommandContext<out Command> {
  /** The id of the process. */
  readonly id: string
  /**
   * The same whenever this command is carried out, and no other command has it: its event id. Hand it to other systems, that
   * they do twice what is asked twice only once.
   */
  readonly idempotencyKey: EventId
  /** How often the command was handed out, this time included. */
  readonly attempt: number
  /** The command as it stands in the outbox. */
  readonly recorded: Recorded<Command>
  /**
   * Runs an effect in a transaction that notes the command as carried out: what it appends or writes with the store's
   * `SqlClient` is there exactly once. See `Delivery.transaction`.
   */
  readonly transaction: Delivery<Command>["transaction"]
}

/**
 * Carries out commands, by their tags. It may fail with `Retry`, `Park`, `Skip` or `Stop` as a handler of a persistent
 * subscription; any other failure is a retry by the schedule.
 *
 * @category models
 * @since 0.1.0
 */
export type Performers<Commands> = {
  readonly [Tag in TagOf<Commands>]: (
    command: Extract<Commands, { readonly _tag: Tag }>,
    context: CommandContext<Extract<Commands, { readonly _tag: Tag }>>
  ) => Effect.Effect<unknown, any, any>
}

/**
 * How a process manager is run. `perform` may be left out only where it has no commands.
 *
 * @category models
 * @since 0.1.0
 */
export type RunOptions<Commands, P> =
  & WorkOptions
  & { readonly commands?: WorkOptions | undefined }
  & ([TagOf<Commands>] extends [never] ? { readonly perform?: P | undefined } : { readonly perform: P })

/**
 * A process as it is at the moment: plain data.
 *
 * @category models
 * @since 0.1.0
 */
export interface Process<out State, in out Timers extends string> {
  readonly id: string
  /** `"new"`: nothing has moved it yet. */
  readonly status: "new" | "running" | "ended"
  readonly state: State
  /** Timers that wait. */
  readonly timers: { readonly [Name in Timers]?: DateTime.Utc }
}

/**
 * What an event does to a process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outcome<out State, out Commands, in out Timers extends string> {
  /** Whether it moved; if not, nothing is stored but that the event was handled. */
  readonly hasMoved: boolean
  /** The process afterwards. */
  readonly process: Process<State, Timers>
  readonly sent: ReadonlyArray<Commands>
  readonly appended: ReadonlyArray<Entry>
}

/**
 * A move of a process, as it stands in its history.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transition<out State, in out Timers extends string> {
  /** Its number, from 1. */
  readonly version: StreamVersion
  readonly recordedAt: DateTime.Utc
  /** The event that the process reacted to; a timer is an event of the category `<name>.timers`. */
  readonly cause: {
    readonly eventId: EventId
    readonly type: string
    readonly streamId: string
    readonly position: number
  }
  /** The process afterwards. */
  readonly process: Process<State, Timers>
  /** Commands that were sent, by their tags; the ids are those of their events, and the idempotency keys. */
  readonly sent: ReadonlyArray<{ readonly type: string; readonly eventId: EventId }>
}

/**
 * A process in a list.
 *
 * @category models
 * @since 0.1.0
 */
export interface Listed<out State, in out Timers extends string> extends Process<State, Timers> {
  /** How often it has moved. */
  readonly version: StreamVersion
  /** When it moved last. */
  readonly movedAt: DateTime.Utc
}

/**
 * A timer that waits.
 *
 * @category models
 * @since 0.1.0
 */
export interface PendingTimer<out Timers extends string> {
  /** The id of the process. */
  readonly id: string
  readonly name: Timers
  readonly at: DateTime.Utc
}

/**
 * An event or a command that was parked.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParkedOf extends PersistentSubscription.Parked {
  readonly subscription: string
  /**
   * The id of the process: of an event that could not be correlated its stream instead, and `undefined` where it did not
   * decode.
   */
  readonly id: string | undefined
}

/**
 * @category errors
 * @since 0.1.0
 */
export type ReadError = InvalidInput | DecodeError | StateDecodeFailed | StoreError

/**
 * Declares a process manager. The name is that of a category and of a persistent subscription, so nothing else may have it:
 * 1 to 119 printable characters without a hyphen.
 *
 * **Details** Each event of `from` is handed to the process that `correlate` names, one after the other for each process,
 * whatever the number of programs that run it. The handler is picked by the event's tag; its answer, a {@link Step}, is
 * stored in one transaction with the acknowledgement of the event. So a handler may run again, but a process moves once
 * for each event. A process that has no state yet is given `initial`, and is stored with its first step.
 *
 * **Gotchas** Throws where the name, or that of a timer, is not allowed, two commands share a tag, `from` is empty, or `starts` names
 * no event: a mistake in the program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: <
  const Name extends string,
  const C extends PersistentSubscription.Source,
  State,
  const H extends Handlers<PersistentSubscription.Out<C>, State, Event.In<Members[number]>, Timers[number]>,
  const Initial extends State,
  SR = never,
  const Members extends ReadonlyArray<Event.Member> = readonly [],
  const Timers extends ReadonlyArray<string> = readonly [],
  const T extends TimerHandlers<State, Event.In<Members[number]>, Timers[number]> = TimerHandlers<
    State,
    Event.In<Members[number]>,
    Timers[number]
  >
>(
  name: Name,
  options: Options<C, State, SR, Initial, Members, Timers>,
  handlers:
    & { readonly handle: H & Exact<NoInfer<H>, TagOf<PersistentSubscription.Out<NoInfer<C>>>, NoInfer<Timers>[number]> }
    & ([Timers[number]] extends [never] ? { readonly onTimer?: undefined }
      : { readonly onTimer: T & Exact<NoInfer<T>, NoInfer<Timers>[number], NoInfer<Timers>[number]> })
) => ProcessManager<
  Name,
  PersistentSubscription.Out<C>,
  State,
  Event.In<Members[number]>,
  Timers[number],
  ErrorOf<H> | ([Timers[number]] extends [never] ? never : ErrorOf<T>),
  | ServicesOf<H>
  | ([Timers[number]] extends [never] ? never : ServicesOf<T>)
  | PersistentSubscription.Services<C>
  | Event.Services<Members[number]>
  | SR
> = makeDefinition as never

/**
 * For `correlate`: the id of the event's stream, what stands behind the hyphen.
 *
 * @category combinators
 * @since 0.1.0
 */
export const byStreamId = (recorded: { readonly streamId: StreamId }): string =>
  recorded.streamId.slice(recorded.streamId.indexOf("-") + 1)

/**
 * For `correlate`: the conversation that the event belongs to, by its metadata; none where it was stored without.
 *
 * @category combinators
 * @since 0.1.0
 */
export const byCorrelationId = (
  { metadata }: { readonly metadata: { readonly correlationId?: string } }
): string | undefined => metadata.correlationId

/**
 * A process that nothing has moved yet: what a test begins with.
 *
 * @category testing
 * @since 0.1.0
 */
export const initial: <Events, State, Commands, Timers extends string, E, R>(
  manager: ProcessManager<string, Events, State, Commands, Timers, E, R>,
  id: string
) => Process<State, Timers> = stepping.initial

/**
 * What an event does to a process, without a store: the very function that runs in production. Fails with `InvalidStep` where
 * the answer of the handler cannot be carried out.
 *
 * **Details** `now` is the time by `Clock` where it is left out. `recorded` is what the handler sees of the event's place in the
 * log; what is left out of it is made up.
 *
 * **Example**
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Category, ProcessManager } from "effect-eventstore"
 *
 * class Placed extends Schema.TaggedClass<Placed>()("Placed", {}) {}
 * const Order = Category.make("order", { id: Schema.String, events: [Placed] })
 * const Reminders = ProcessManager.make("reminders", {
 *   from: Order,
 *   correlate: ProcessManager.byStreamId,
 *   state: Schema.Struct({ reminded: Schema.Int }),
 *   initial: () => ({ reminded: 0 }),
 *   timers: ["reminder"]
 * }, {
 *   handle: { Placed: () => ({ timers: { reminder: "1 day" } }) },
 *   onTimer: { reminder: ({ reminded }) => ({ state: { reminded: reminded + 1 }, end: true }) }
 * })
 *
 * export const program = Effect.gen(function*() {
 *   const placed = yield* ProcessManager.step(Reminders, ProcessManager.initial(Reminders, "o-1"), new Placed())
 *   const reminded = yield* ProcessManager.fire(Reminders, placed.process, "reminder")
 *   return [reminded.process.state.reminded, reminded.process.status] // => [1, "ended"]
 * })
 * ```
 * @category testing
 * @since 0.1.0
 */
export const step: <Events, State, Commands, Timers extends string, E, R>(
  manager: ProcessManager<string, Events, State, Commands, Timers, E, R>,
  process: Process<State, Timers>,
  event: NoInfer<Events>,
  options?: {
    readonly now?: DateTime.Utc | undefined
    readonly recorded?: Partial<Omit<Recorded<unknown>, "event">> | undefined
  }
) => Effect.Effect<Outcome<State, Commands, Timers>, E | stepping.InvalidStep, R> = stepping.step

/**
 * What a timer does to a process when it fires, without a store. `now` is the time for which it is set where it is left out.
 * Nothing happens where the process does not wait for it.
 *
 * @category testing
 * @since 0.1.0
 */
export const fire: <Events, State, Commands, Timers extends string, E, R>(
  manager: ProcessManager<string, Events, State, Commands, Timers, E, R>,
  process: Process<State, Timers>,
  timer: NoInfer<Timers>,
  options?: { readonly now?: DateTime.Utc | undefined }
) => Effect.Effect<Outcome<State, Commands, Timers>, E | stepping.InvalidStep, R> = stepping.fire

/**
 * Runs a process manager: hands events to its processes, fires its timers and carries out its commands, until it is
 * interrupted or fails. Run it in as many programs as you like: they share the work.
 *
 * **Details** Three parts, none of which waits for another: the persistent subscription `<name>` for events and timers that
 * fired, one more, `<name>.commands`, for commands, and whoever looks for timers that are due. `concurrency`, `lease`,
 * `attempts`, `retry` and the others are those of the first one, under `commands` those of the second.
 *
 * Whatever cannot be done by trying again is parked at once, with the reason: an id that cannot stand in the name of a stream,
 * a state that does not decode, an answer that cannot be stored.
 *
 * @category constructors
 * @since 0.1.0
 */
export const run: <Events, State, Commands, Timers extends string, E, R, const P extends Performers<Commands>>(
  manager: ProcessManager<string, Events, State, Commands, Timers, E, R>,
  options: RunOptions<Commands, P>
) => Effect.Effect<
  never,
  PersistentSubscription.RunError | Extract<E | ErrorOf<P>, Stop>,
  EventStore | Exclude<R | ServicesOf<P>, Scope.Scope>
> = running.run as never

/**
 * As {@link run}, as a layer: it has started when the layer is built, and ends with it. What ends by an error afterwards is
 * logged.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: <Events, State, Commands, Timers extends string, E, R, const P extends Performers<Commands>>(
  manager: ProcessManager<string, Events, State, Commands, Timers, E, R>,
  options: RunOptions<Commands, P>
) => Layer.Layer<
  never,
  PersistentSubscription.StartError,
  EventStore | Exclude<R | ServicesOf<P>, Scope.Scope>
> = running.layer as never

/**
 * The state of a process that runs; `None` where there is none, or where it has ended: what it was at its end {@link history}
 * tells.
 *
 * @category operations
 * @since 0.1.0
 */
export const state: <Events, State, Commands, Timers extends string, E, R>(
  manager: ProcessManager<string, Events, State, Commands, Timers, E, R>,
  id: string
) => Effect.Effect<Option.Option<State>, ReadError, EventStore | R> = operations.state

/**
 * The moves of a process, the first one first: what it reacted to, what it was afterwards, and what it sent.
 *
 * @category operations
 * @since 0.1.0
 */
export const history: <Events, State, Commands, Timers extends string, E, R>(
  manager: ProcessManager<string, Events, State, Commands, Timers, E, R>,
  id: string
) => Stream.Stream<Transition<State, Timers>, ReadError, EventStore | R> = operations.history

/**
 * The processes that run, by their ids; with `ended`, those that have ended as well. Each one is read by itself, so a list of
 * many takes its time: for a dashboard make a projection of `manager.categories.processes`.
 *
 * @category operations
 * @since 0.1.0
 */
export const list: <Events, State, Commands, Timers extends string, E, R>(
  manager: ProcessManager<string, Events, State, Commands, Timers, E, R>,
  options?: { readonly prefix?: string | undefined; readonly ended?: boolean | undefined }
) => Stream.Stream<Listed<State, Timers>, ReadError, EventStore | R> = operations.list

/**
 * Timers that wait, the next one first, at most `limit` (default 1000). One that fired is not among them, even where its process
 * has not handled it yet.
 *
 * @category operations
 * @since 0.1.0
 */
export const timers: <Events, State, Commands, Timers extends string, E, R>(
  manager: ProcessManager<string, Events, State, Commands, Timers, E, R>,
  options?: { readonly limit?: number | undefined }
) => Effect.Effect<ReadonlyArray<PendingTimer<Timers>>, InvalidInput | StoreError, EventStore> = operations.timers

/**
 * What was parked: events first, then commands, in the order of positions. Let them be tried again with
 * `PersistentSubscription.replay(manager.subscriptions.events)`, or `.commands`.
 *
 * @category operations
 * @since 0.1.0
 */
export const parked: (
  manager: Any,
  filter?: PersistentSubscription.ParkedFilter
) => Stream.Stream<ParkedOf, InvalidInput | StoreError, EventStore> = operations.parked
