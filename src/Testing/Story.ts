/**
 * Stories: tests of a whole program on the memory layer, in which commands, time that passes and expectations alternate, while
 * projections, subscriptions and process managers work.
 *
 * **Example** (Who does not pay is reminded)
 * ```ts
 * import { it } from "@effect/vitest"
 * import { Effect, Layer, Option, Schema } from "effect"
 * import { Category, Decider, ProcessManager, Projection } from "effect-eventstore"
 * import { Story } from "effect-eventstore/Testing"
 *
 * class Placed extends Schema.TaggedClass<Placed>()("Placed", {}) {}
 * class Reminded extends Schema.TaggedClass<Reminded>()("Reminded", {}) {}
 * const Order = Category.make("order", { id: Schema.String, events: [Placed, Reminded] })
 * class Place extends Schema.TaggedClass<Place>()("Place", {}) {}
 * class Remind extends Schema.TaggedClass<Remind>()("Remind", {}) {}
 *
 * const Orders = Decider.make(Order, {
 *   commands: [Place, Remind],
 *   initial: { isPlaced: false },
 *   evolve: { Placed: () => ({ isPlaced: true }), Reminded: (state) => state },
 *   decide: {
 *     Place: (_, { isPlaced }) => isPlaced ? [] : [new Placed()],
 *     Remind: () => [new Reminded()]
 *   }
 * })
 * const Reminders = ProcessManager.make("reminders", {
 *   from: Order,
 *   correlate: ProcessManager.byStreamId,
 *   starts: ["Placed"],
 *   state: Schema.Struct({}),
 *   initial: () => ({}),
 *   commands: [Remind],
 *   timers: ["payment"]
 * }, {
 *   handle: { Placed: () => ({ timers: { payment: "7 days" } }), Reminded: () => undefined },
 *   onTimer: { payment: () => ({ send: [new Remind()], end: true }) }
 * })
 * const Counts = Projection.documents("reminders-sent", {
 *   from: Order,
 *   state: Schema.Int,
 *   initial: () => 0,
 *   evolve: { Placed: (count) => count, Reminded: (count) => count + 1 }
 * })
 * const Program = Layer.mergeAll(
 *   ProcessManager.layer(Reminders, { perform: { Remind: (command, { id }) => Orders.run(id, command) } }),
 *   Projection.layer(Counts)
 * )
 *
 * it.effect("reminds after a week", () =>
 *   Story.play(Program, Effect.gen(function*() {
 *     yield* Orders.run("1", new Place())
 *     yield* Story.passes("6 days")
 *     yield* Story.events(Order.stream("1"), new Placed())
 *     yield* Story.passes("1 day")
 *     yield* Story.events(Order.stream("1"), new Placed(), new Reminded())
 *     yield* Story.expect(Projection.get(Counts, "order-1"), Option.some(1))
 *   })))
 * ```
 * @since 0.1.0
 */
import { Clock, Duration, Effect, Layer, Stream } from "effect"
import { EventStore } from "../Store/EventStore.ts"
import type * as Category from "../Stream/Category.ts"
import { expectSame, type Failure, mustFail, orFail, textOf } from "./internal/expecting.ts"
import { nextTimer, patientTurns, quietTurns, settle } from "./internal/settling.ts"
import { StoryClock } from "./internal/storyClock.ts"

/**
 * Plays a story: an effect on a fresh store in memory, with what is at work meanwhile, until it ends. It begins in 1970, and time
 * passes where the story says so.
 *
 * **Details** `work` is a layer of all that runs: `Projection.layer`, `ProcessManager.layer`, `PersistentSubscription.layer`. With
 * `Layer.empty` nothing does. What it needs besides the store, the story needs; what it offers, the story has. A failure of the
 * story is one of the test.
 *
 * @category constructors
 * @since 0.1.0
 */
export const play = <A, E, R, Offered, E2, Needed>(
  work: Layer.Layer<Offered, E2, Needed>,
  story: Effect.Effect<A, E, R>
): Effect.Effect<A, E | E2, Exclude<R, Offered | EventStore> | Exclude<Needed, EventStore>> =>
  story.pipe(
    Effect.provide(Layer.provideMerge(work, Layer.fresh(EventStore.layerMemory)), { local: true }),
    (played) => Effect.suspend(() => Effect.provideService(played, Clock.Clock, new StoryClock()))
  ) as never

/**
 * Waits until all that is at work has handled what was stored, or waits for the time. Every expectation and {@link passes} do
 * so first.
 *
 * **Details** Fails the test where a projection has failed. Work that waits for something outside of the program, a server for one, may
 * not be waited for: give it a substitute that answers at once.
 *
 * @category operations
 * @since 0.1.0
 */
export const settled: Effect.Effect<void, never, EventStore> = EventStore.use((store) => Effect.asVoid(settle(store)))

/**
 * Lets time pass. Timers of process managers that are due meanwhile fire each at its time, and what follows from one is done
 * before the next; who sleeps for longer than a minute is woken at the time. While there is nothing to do, shorter sleeps end
 * together with the step that time makes.
 *
 * **Gotchas** The clock of a story is its own, and no `TestClock`.
 *
 * @category operations
 * @since 0.1.0
 */
export const passes = (duration: Duration.Input): Effect.Effect<void, never, EventStore> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const clock = yield* Clock.Clock
    if (!(clock instanceof StoryClock)) return yield* Effect.die(new Error("Time passes only in what Story.play plays"))
    let isDone = yield* settle(store)
    const end = clock.currentTimeMillisUnsafe() + Duration.toMillis(Duration.fromInputUnsafe(duration))
    while (clock.currentTimeMillisUnsafe() < end) {
      // one that was due and still waits is not fired for a reason
      const timer = yield* nextTimer(store, clock.currentTimeMillisUnsafe())
      clock.set(Math.min(end, timer, clock.next(!isDone)))
      isDone = yield* settle(store, isDone ? patientTurns : quietTurns)
    }
    yield* settle(store)
  })

/**
 * What an effect answers: compared by what it says, as in `Given`.
 *
 * @category expectations
 * @since 0.1.0
 */
export const expect = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  expected: NoInfer<A>
): Effect.Effect<void, never, R | EventStore> =>
  Effect.andThen(
    settled,
    Effect.flatMap(orFail("something was expected", effect), (actual) =>
      located((at) => expectSame(`${at}, something else was expected`, actual, expected)))
  )

/**
 * That an effect fails: with this error, with one of this tag, or with one of which it holds.
 *
 * @category expectations
 * @since 0.1.0
 */
export const fails = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  expected: Failure<NoInfer<E>>
): Effect.Effect<void, never, R | EventStore> =>
  Effect.andThen(
    settled,
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      mustFail(sayTime(now), effect, expected, (answer) => `It answers ${textOf(answer)}`))
  )

/**
 * All events that are in a stream.
 *
 * @category expectations
 * @since 0.1.0
 */
export const events = <Out, R>(
  stream: Category.StreamRef<never, Out, R>,
  ...expected: ReadonlyArray<NoInfer<Out>>
): Effect.Effect<void, never, R | EventStore> =>
  Effect.gen(function*() {
    yield* settled
    const store = yield* EventStore
    const recorded = yield* orFail(`events of ${stream.streamId} were expected`, Stream.runCollect(store.read(stream)))
    yield* located((at) =>
      expectSame(
        `${at}, other events of ${stream.streamId} were expected`,
        recorded.map(({ event }) => event),
        expected
      )
    )
  })

/** A sentence that says when in the story it is. */
const located = (check: (at: string) => void): Effect.Effect<void> =>
  Effect.map(Clock.currentTimeMillis, (now) => check(sayTime(now)))

const sayTime = (now: number): string =>
  now === 0 ? "at the beginning" : `after ${Duration.format(Duration.millis(now))}`
