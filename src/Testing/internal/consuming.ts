import { Cause, Clock, type Duration, Effect, Exit, Fiber, Option, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { EventStore } from "../../Store/EventStore.ts"
import type { Delivery } from "../../Subscription/Delivery.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import { begin } from "./queue.ts"
import { type Counted, freshName, type Noted, type Notes, type Store, textOf } from "./rule.ts"

export type Note = Delivery<Noted | Counted>

/** The operators of a store, for rules: these are handed the store. */
export const inStore = (store: Store) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, EventStore, store)

/** A clock that stands still until it is adjusted, ahead of what the storage takes for the time. */
export const makeClock: Effect.Effect<TestClock.TestClock, never, Scope.Scope> = Effect.gen(function*() {
  const clock = yield* TestClock.make()
  yield* clock.setTime(begin)
  return clock
})

/** Waits until something holds, not for ever; by the clock of the machine. */
export const until = (what: string, holds: () => boolean | Effect.Effect<boolean, any>): Effect.Effect<void, any> => {
  const look: Effect.Effect<void, any> = Effect.suspend(() => {
    const held = holds()
    return typeof held === "boolean" ? Effect.succeed(held) : held
  }).pipe(Effect.flatMap((held) => held ? Effect.void : Effect.andThen(Effect.sleep(2), look)))
  return Effect.timeoutOrElse(look, {
    duration: "20 seconds",
    orElse: () => Effect.die(new Error(`waited in vain for ${what}`))
  })
}

/** A consumer that runs until its scope closes, and what it handled. */
export interface Consumer {
  /** Texts of the notes whose handlers were begun, in that order. */
  readonly begun: ReadonlyArray<string>
  readonly deliveries: ReadonlyArray<Note>
  /** Waits until so many handlers were begun. */
  readonly until: (count: number) => Effect.Effect<void, any>
  readonly stop: Effect.Effect<void>
  /** What it ended with by itself. */
  readonly end: Effect.Effect<Exit.Exit<never, any>>
  readonly isRunning: () => boolean
}

type ConsumeOptions<R> = Omit<PersistentSubscription.Options<Notes, any, R>, "from" | "handle"> & {
  readonly from: Notes
  readonly handle?: (delivery: Note) => Effect.Effect<void, any, R>
  readonly clock?: Clock.Clock | undefined
}

/** Consumes notes: a handler that is left out succeeds at once. */
export const consume = (
  store: Store,
  name: string,
  { clock, handle, ...options }: ConsumeOptions<never>
): Effect.Effect<Consumer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const begun: Array<string> = []
    const deliveries: Array<Note> = []
    const running = PersistentSubscription.run(name, {
      ...options,
      handle: (delivery: Note) =>
        Effect.suspend(() => {
          begun.push(textOf(delivery.event))
          deliveries.push(delivery)
          return handle === undefined ? Effect.void : handle(delivery)
        })
    }).pipe(inStore(store))
    const fiber = yield* Effect.forkScoped(
      clock === undefined ? running : Effect.provideService(running, Clock.Clock, clock)
    )
    return {
      begun,
      deliveries,
      until: (count) =>
        until(`${count} deliveries of ${name}`, () => {
          const exit = fiber.pollUnsafe()
          return exit === undefined
            ? begun.length >= count
            : Effect.die(new Error(`the consumer ended: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""}`))
        }),
      stop: Fiber.interrupt(fiber),
      end: Fiber.await(fiber),
      isRunning: () => fiber.pollUnsafe() === undefined
    }
  })

/** What is kept of a subscription: what waits, what is in flight, what is parked. */
export const counts = (store: Store, name: string): Effect.Effect<readonly [number, number, number], any> =>
  Effect.map(
    Effect.flatMap(inStore(store)(PersistentSubscription.info(name)), Effect.fromOption),
    ({ inFlight, parked, waiting }) => [waiting, inFlight, parked] as const
  )

/** Waits until all that there is was handled, and nothing waits or is in flight. */
export const finished = (store: Store, name: string, parked = 0) =>
  until(`the end of ${name}`, () =>
    Effect.map(
      inStore(store)(PersistentSubscription.info(name)),
      (info) => Option.isSome(info) && info.value.waiting + info.value.inFlight === 0 && info.value.parked === parked
    ))

/** Adjusts a clock bit by bit, until something holds: what is woken may need the storage before it sleeps again. */
export const adjustUntil = (
  clock: TestClock.TestClock,
  step: Duration.Input,
  what: string,
  holds: () => boolean
): Effect.Effect<void, any> =>
  until(what, () => holds() || Effect.map(Effect.andThen(clock.adjust(step), Effect.sleep(5)), () => holds()))

/** Adjusts a clock bit by bit, so that what is woken can use the storage before it is too late. */
export const pass = (clock: TestClock.TestClock, step: Duration.Input, times: number): Effect.Effect<void> =>
  Effect.forEach(
    Array.from({ length: times }),
    () => Effect.andThen(clock.adjust(step), Effect.sleep(5)),
    { discard: true }
  )

export const freshSubscription = (): string => `s${freshName()}`

/** What is parked, without the events. */
export const parkedOf = (store: Store, name: string, filter?: PersistentSubscription.ParkedFilter) =>
  Effect.map(
    Stream.runCollect(PersistentSubscription.parked(name, filter)).pipe(inStore(store)),
    (parked) => parked.map(({ attempts, error, reason }) => ({ attempts, error, reason }))
  )
