/**
 * Tests that say what happened, what is done, and what has to follow: for deciders, projections, views and process managers.
 *
 * Each answers an effect that fails the test with a readable difference, so it is yielded or returned in `it.effect`. Values are
 * compared by what they say: an instance is the same as a plain object with its `_tag` and fields, a field that is
 * `undefined` is not there, and the order of keys does not count.
 *
 * **Example** (A bank account)
 * ```ts
 * import { it } from "@effect/vitest"
 * import { Effect, Schema } from "effect"
 * import { Decider } from "effect-eventstore"
 * import { Given } from "effect-eventstore/Testing"
 *
 * class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
 * class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
 * class Withdraw extends Schema.TaggedClass<Withdraw>()("Withdraw", { cents: Schema.Int }) {}
 * class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { balance: Schema.Int }) {}
 *
 * const account = Decider.of({
 *   events: [Deposited, Withdrawn],
 *   commands: [Withdraw],
 *   initial: 0,
 *   evolve: {
 *     Deposited: (balance, { cents }) => balance + cents,
 *     Withdrawn: (balance, { cents }) => balance - cents
 *   },
 *   decide: {
 *     Withdraw: ({ cents }, balance) =>
 *       balance < cents ? Effect.fail(new Overdrawn({ balance })) : Effect.succeed([new Withdrawn({ cents })])
 *   }
 * })
 *
 * it.effect("pays out what is there", () =>
 *   Given.decider(account, new Deposited({ cents: 500 })).when(new Withdraw({ cents: 200 })).then(
 *     new Withdrawn({ cents: 200 })
 *   ))
 *
 * it.effect("pays out no more", () =>
 *   Given.decider(account, new Deposited({ cents: 500 })).when(new Withdraw({ cents: 600 })).thenFails(
 *     new Overdrawn({ balance: 500 })
 *   ))
 * ```
 * @since 0.1.0
 */
/* oxlint-disable unicorn/no-thenable -- given, when, then: refusingPromises keeps it from being awaited */
import { type DateTime, type Duration, Effect, type Scope } from "effect"
import type { Aggregate, Decider } from "../Aggregate/Decider.ts"
import type * as ProcessManager from "../Projection/ProcessManager.ts"
import type * as Projection from "../Projection/Projection.ts"
import type { View } from "../Projection/View.ts"
import type { Entry, EventStore } from "../Store/EventStore.ts"
import { refusingPromises } from "./internal/awaiting.ts"
import { expectSame, type Failure, mustFail, orFail, textOf } from "./internal/expecting.ts"
import type { Fired, Passed } from "./internal/givenProcess.ts"
import * as processes from "./internal/givenProcess.ts"
import * as projections from "./internal/givenProjections.ts"

export type {
  /**
   * What has to be failed with: an error, its tag, or a predicate.
   *
   * @category models
   * @since 0.1.0
   */
  Failure
} from "./internal/expecting.ts"

/**
 * Events one after the other, or a list of them.
 *
 * @category models
 * @since 0.1.0
 */
export type Events<E> = ReadonlyArray<E> | readonly [ReadonlyArray<E>]

/**
 * A decider after events.
 *
 * @category models
 * @since 0.1.0
 */
export interface GivenEvents<C, E, S, X, R> {
  /** What is asked for. Nothing runs before it is said what has to follow. */
  readonly when: (command: C) => WhenCommand<E, S, X, R>
  /** The state that the events lead to. */
  readonly thenState: (state: S) => Effect.Effect<void>
}

/**
 * A command on its way. What it needs, the effects need: provide it with a layer as ever.
 *
 * @category models
 * @since 0.1.0
 */
export interface WhenCommand<E, S, X, R> {
  /** It leads to these events, and to no others. */
  readonly then: (...events: Events<E>) => Effect.Effect<void, never, R>
  /** It leads to no events. */
  readonly thenNothing: () => Effect.Effect<void, never, R>
  /** The state afterwards. */
  readonly thenState: (state: S) => Effect.Effect<void, never, R>
  /** It fails: with this error, with one of this tag, or with one of which it holds. */
  readonly thenFails: (failure: Failure<X>) => Effect.Effect<void, never, R>
}

/**
 * A decider, or a category with one, after events.
 *
 * **Gotchas** Of a category, the state begins as that of the stream `"1"`: where it depends on the id, hand in
 * `Accounts.decider(id)`. Events that are lists themselves have to be handed in as a list of them.
 *
 * **Example** (A list, nothing yet, and a service)
 * ```ts
 * import { it } from "@effect/vitest"
 * import { Context, Effect, Schema } from "effect"
 * import { Category, Decider } from "effect-eventstore"
 * import { Given } from "effect-eventstore/Testing"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { cents: Schema.Int }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Added] })
 * class Prices extends Context.Service<Prices, { readonly of: (sku: string) => number }>()("shop/Prices") {}
 *
 * const Carts = Decider.make(Cart, {
 *   initial: { cents: 0 },
 *   evolve: { Added: (state, { cents }) => ({ cents: state.cents + cents }) },
 *   decide: (sku: string) => Prices.use((prices) => Effect.succeed([new Added({ cents: prices.of(sku) })]))
 * })
 *
 * it.effect("asks for the price", () =>
 *   Given.decider(Carts, []).when("tea").then(new Added({ cents: 3 })).pipe(
 *     Effect.provideService(Prices, { of: (sku) => sku.length })
 *   ))
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const decider: {
  <Id, C, In, Out, S, X, R, CR, DR>(
    aggregate: Aggregate<Id, C, In, Out, S, X, R, CR, DR>,
    ...events: Events<NoInfer<Out>>
  ): GivenEvents<C, Out, S, X, R>
  <C, E, S, X, R>(decider: Decider<C, E, S, X, R>, ...events: Events<NoInfer<E>>): GivenEvents<C, E, S, X, R>
} = (
  of: Decider<any, any, any, any, any> | Aggregate<any, any, any, any, any, any, any, any, any>,
  ...events: Events<any>
) => {
  const { decide, evolve, initial }: Decider<any, any, any, any, any> = "decider" in of ? of.decider("1") : of
  const history = listOf(events)
  const begin = Effect.sync(() => history.reduce((state, event) => evolve(state, event), initial))
  const given = history.length === 0 ? "given nothing" : `given ${history.map(textOf).join(", ")}`
  return {
    thenState: (state: unknown) =>
      Effect.map(begin, (actual) => expectSame(`${given}, another state was expected`, actual, state)),
    when: (command: unknown) => {
      const what = `${given}, when ${textOf(command)}`
      const decided = Effect.gen(function*() {
        const before = yield* begin
        const events: ReadonlyArray<any> = yield* decide(command, before)
        return { events, state: events.reduce((state, event) => evolve(state, event), before) }
      })
      const then = (...expected: Events<any>) =>
        Effect.map(
          orFail(what, decided),
          (decided) => expectSame(`${what}, other events were expected`, decided.events, listOf(expected))
        )
      return {
        then: refusingPromises(then),
        thenNothing: () => then([]),
        thenState: (state: unknown) =>
          Effect.map(
            orFail(what, decided),
            (decided) => expectSame(`${what}, another state was expected`, decided.state, state)
          ),
        thenFails: (failure: unknown) =>
          mustFail(what, decided, failure, ({ events }) => `It leads to ${textOf(events)}`)
      }
    }
  }
}

const listOf = <E>(events: Events<E>): ReadonlyArray<E> =>
  events.length === 1 && Array.isArray(events[0]) ? events[0] : events as ReadonlyArray<E>

/**
 * Documents after events: `then` has all of them, by their keys.
 *
 * **Details** The events are stored in a store of its own in memory, so streams, versions and metadata are there, and each one
 * finds the documents as they were stored.
 *
 * **Example**
 * ```ts
 * import { it } from "@effect/vitest"
 * import { Schema } from "effect"
 * import { Category, EventStore, Projection } from "effect-eventstore"
 * import { Given } from "effect-eventstore/Testing"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { customer: Schema.String, cents: Schema.Int }) {}
 * const Order = Category.make("order", { id: Schema.String, events: [Paid] })
 *
 * const Spent = Projection.documents("spent", {
 *   from: Order,
 *   key: ({ event }) => event.customer,
 *   state: Schema.Struct({ cents: Schema.Int }),
 *   initial: () => ({ cents: 0 }),
 *   evolve: { Paid: ({ cents }, { event }) => ({ cents: cents + event.cents }) }
 * })
 *
 * it.effect("adds up what a customer paid", () =>
 *   Given.documents(
 *     Spent,
 *     EventStore.entry(Order.stream("1"), [new Paid({ customer: "anna", cents: 5 })]),
 *     EventStore.entry(Order.stream("2"), [new Paid({ customer: "anna", cents: 7 })])
 *   ).then({ anna: { cents: 12 } }))
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const documents = <S, R>(projection: Projection.Documents<S, R>, ...entries: ReadonlyArray<Entry>): {
  readonly then: (documents: { readonly [key: string]: S }) => Effect.Effect<void, never, R>
} => projections.documents(projection, entries) as never

/**
 * The state of a view after events.
 *
 * **Example**
 * ```ts
 * import { it } from "@effect/vitest"
 * import { Schema } from "effect"
 * import { Category, EventStore, View } from "effect-eventstore"
 * import { Given } from "effect-eventstore/Testing"
 *
 * class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
 * const Account = Category.make("account", { id: Schema.String, events: [Deposited] })
 * const Balance = View.make(Account, { initial: 0, evolve: { Deposited: (sum, { event }) => sum + event.cents } })
 *
 * it.effect("adds up", () =>
 *   Given.view(
 *     Balance,
 *     EventStore.entry(Account.stream("1"), [new Deposited({ cents: 5 }), new Deposited({ cents: 7 })])
 *   ).then(12))
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const view = <S, E>(view: View<S, E>, ...entries: ReadonlyArray<Entry>): {
  readonly then: (state: S) => Effect.Effect<void>
} => projections.view(view, entries)

/**
 * The state that `Projection.inMemory` answers after events.
 *
 * @category constructors
 * @since 0.1.0
 */
export const inMemory = <S, E, R>(
  follow: Effect.Effect<Projection.InMemory<S>, E, R>,
  ...entries: ReadonlyArray<Entry>
): { readonly then: (state: S) => Effect.Effect<void, never, Exclude<R, EventStore | Scope.Scope>> } =>
  projections.inMemory(follow, entries)

/**
 * The tables of a projection after events, on the store and the database at hand: `then` asks them, and says what they answer.
 *
 * **Gotchas** What was in the store before is in the tables as well: give each test a store of its own, or a name that nobody
 * else has.
 *
 * **Example**
 * ```ts
 * import { it } from "@effect/vitest"
 * import { Effect, Schema } from "effect"
 * import { Category, EventStore, PgliteEventStore, Projection } from "effect-eventstore"
 * import { Given } from "effect-eventstore/Testing"
 *
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int }) {}
 * const Order = Category.make("order", { id: Schema.String, events: [Paid] })
 *
 * const Income = Projection.make("income", {
 *   from: Order,
 *   setup: ({ sql, table }) => sql`CREATE TABLE ${table("income")} (cents int)`,
 *   handle: { Paid: ({ event }, { sql, table }) => sql`INSERT INTO ${table("income")} VALUES (${event.cents})` }
 * })
 *
 * it.live("keeps what was paid", () =>
 *   Given.tables(Income, EventStore.entry(Order.stream("1"), [new Paid({ cents: 5 })])).then(
 *     ({ sql, table }) => sql`SELECT cents FROM ${table("income")}`,
 *     [{ cents: 5 }]
 *   ).pipe(Effect.provide(PgliteEventStore.layer())), 30_000)
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const tables = <R>(projection: Projection.Tables<R>, ...entries: ReadonlyArray<Entry>): {
  readonly then: <A, E, R2>(
    query: (model: Projection.Model) => Effect.Effect<A, E, R2>,
    expected: NoInfer<A>
  ) => Effect.Effect<void, never, EventStore | R | R2>
} => projections.tables(projection, entries) as never

export type {
  /**
   * A timer of a process that fired, in its history.
   *
   * @category models
   * @since 0.1.0
   */
  Fired,
  /**
   * Time that passed in the history of a process.
   *
   * @category models
   * @since 0.1.0
   */
  Passed
} from "./internal/givenProcess.ts"

/**
 * In the history of a process: a timer fires, at its time or later.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fired: <const Timer extends string>(timer: Timer) => Fired<Timer> = processes.fired

/**
 * In the history of a process: time passes. Timers fire where it is said, with {@link fired}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const passed: (duration: Duration.Input) => Passed = processes.passed

/**
 * What has to follow for a process; what is left out may be as it likes.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExpectedStep<State, Commands, Timers extends string> {
  /** The state afterwards. */
  readonly state?: State
  /** All commands that are sent, in this order. */
  readonly send?: ReadonlyArray<Commands>
  /** All that is appended, made with `EventStore.entry`. */
  readonly append?: ReadonlyArray<Entry>
  /** All timers that wait afterwards: so long after now, or at a time. */
  readonly timers?: { readonly [Name in Timers]?: Duration.Input | DateTime.Utc }
  /** Whether it has ended. */
  readonly ended?: boolean
}

/**
 * What a process does about an event.
 *
 * @category models
 * @since 0.1.0
 */
export interface WhenProcess<State, Commands, Timers extends string, E, R> {
  readonly then: (expected: ExpectedStep<State, Commands, Timers>) => Effect.Effect<void, never, R>
  /** It is of no concern: nothing is stored but that it was handled. */
  readonly thenNothing: () => Effect.Effect<void, never, R>
  /** The handler fails: with this error, with one of this tag, or with one of which it holds. */
  readonly thenFails: (failure: Failure<E | ProcessManager.InvalidStep>) => Effect.Effect<void, never, R>
}

/**
 * A process after events.
 *
 * @category models
 * @since 0.1.0
 */
export interface GivenProcess<Events, State, Commands, Timers extends string, E, R> {
  readonly when: (event: Events) => WhenProcess<State, Commands, Timers, E, R>
  /** A timer fires, at its time or later. */
  readonly whenTimer: (timer: Timers) => WhenProcess<State, Commands, Timers, E, R>
}

/**
 * A process after events, timers that fired and time that passed. It is not asked whether the events correlate with it.
 *
 * **Example**
 * ```ts
 * import { it } from "@effect/vitest"
 * import { Schema } from "effect"
 * import { Category, ProcessManager } from "effect-eventstore"
 * import { Given } from "effect-eventstore/Testing"
 *
 * class Placed extends Schema.TaggedClass<Placed>()("Placed", {}) {}
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", {}) {}
 * const Order = Category.make("order", { id: Schema.String, events: [Placed, Paid] })
 * class Remind extends Schema.TaggedClass<Remind>()("Remind", { times: Schema.Int }) {}
 *
 * const Reminders = ProcessManager.make("reminders", {
 *   from: Order,
 *   correlate: ProcessManager.byStreamId,
 *   state: Schema.Int,
 *   initial: () => 0,
 *   commands: [Remind],
 *   timers: ["payment"]
 * }, {
 *   handle: { Placed: () => ({ timers: { payment: "1 day" } }), Paid: () => ({ end: true }) },
 *   onTimer: {
 *     payment: (times) => ({ state: times + 1, send: [new Remind({ times: times + 1 })], timers: { payment: "7 days" } })
 *   }
 * })
 *
 * it.effect("reminds again after a week", () =>
 *   Given.process(Reminders, "o-1", new Placed(), Given.fired("payment")).whenTimer("payment").then({
 *     state: 2,
 *     send: [new Remind({ times: 2 })],
 *     timers: { payment: "7 days" },
 *     ended: false
 *   }))
 *
 * it.effect("reminds nobody who has paid", () =>
 *   Given.process(Reminders, "o-1", new Placed()).when(new Paid()).then({ send: [], timers: {}, ended: true }))
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const process = <Events, State, Commands, Timers extends string, E, R>(
  manager: ProcessManager.ProcessManager<string, Events, State, Commands, Timers, E, R>,
  id: string,
  ...history: ReadonlyArray<NoInfer<Events> | Fired<NoInfer<Timers>> | Passed>
): GivenProcess<Events, State, Commands, Timers, E, R> => processes.given(manager, id, history) as never
