import { assert } from "@effect/vitest"
import { type Duration, Effect, Fiber, Latch, Schema, type Scope, Stream } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import * as Subscription from "../../Subscription/Subscription.ts"
import { collect, equal, fails, type Store } from "./rule.ts"

/** The subscriptions of a store, for rules: these are handed the store. */
export const catchUp = <const S extends Subscription.Subscribable>(
  store: Store,
  source: S,
  options?: Subscription.SubscribeOptions<NoInfer<S>>
) => Stream.provideService(Subscription.catchUp(source, options), EventStore, store)

export const signals = <const S extends Subscription.Subscribable>(
  store: Store,
  source: S,
  options?: Parameters<typeof Subscription.signals<S>>[1]
) => Stream.provideService(Subscription.signals(source, options), EventStore, store)

export const volatile = <const S extends Subscription.Subscribable>(
  store: Store,
  source: S,
  options?: Parameters<typeof Subscription.volatile<S>>[1]
) => Effect.provideService(Subscription.volatile(source, options), EventStore, store)

/** A subscription that runs until its scope closes, and what came of it so far. */
export interface Gathered<A> {
  readonly all: ReadonlyArray<A>
  /** Waits until there are so many, or until they are as wanted: not for ever. */
  readonly until: (
    enough: number | ((all: ReadonlyArray<A>) => boolean),
    within?: Duration.Input
  ) => Effect.Effect<void, any>
  readonly stop: Effect.Effect<void>
}

export const gather = <A, E, R>(
  stream: Stream.Stream<A, E, R>
): Effect.Effect<Gathered<A>, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const all: Array<A> = []
    let noteMore = () => {}
    const running = yield* Effect.forkScoped(
      Stream.runForEachArray(stream, (some) =>
        Effect.sync(() => {
          all.push(...some)
          noteMore()
        })),
      { startImmediately: true }
    )
    return {
      all,
      until: (enough, within = "20 seconds") => {
        const isEnough = () => typeof enough === "number" ? all.length >= enough : enough(all)
        const waiting = Effect.callback<void>((resume) => {
          noteMore = () => isEnough() && resume(Effect.void)
          noteMore()
        })
        return Effect.timeoutOrElse(Effect.raceFirst(waiting, Fiber.join(running)), {
          duration: within,
          orElse: () => Effect.die(new Error(`waited in vain for more than ${all.length} of a subscription`))
        })
      },
      stop: Effect.asVoid(Fiber.interrupt(running))
    }
  })

/** What a read of the log finds behind a position. */
export const logAfter = (
  store: Store,
  position: number,
  filter?: Omit<NonNullable<Parameters<Store["readAll"]>[0]>, "from">
) => collect(store.readAll({ ...filter, from: position + 1 }))

/** A subscription saw what a read finds: the same events, all of them, once, in order. */
export const saw = <E>(
  seen: ReadonlyArray<Recorded<E>>,
  expected: ReadonlyArray<Recorded<E>>
): void => {
  // the first difference of many thousand positions, before the rest
  const wrong = expected.findIndex(({ position }, i) => seen[i]?.position !== position)
  if (wrong >= 0) assert.strictEqual(seen[wrong]?.position, expected[wrong]!.position, `event ${wrong}`)
  equal(seen, expected)
}

/** The error of a subscription that has to fail, though it would not end by itself. */
export const failsSoon = <A, E extends { readonly _tag: string }, R, const T extends E["_tag"]>(
  stream: Stream.Stream<A, E, R>,
  tag: T
): Effect.Effect<Extract<E, { readonly _tag: T }>, never, R> =>
  Effect.map(
    fails(
      Effect.timeout(Stream.runDrain(stream), "10 seconds") as Effect.Effect<void, { readonly _tag: string }, R>,
      tag
    ),
    (error) => error as never
  )

/** A category of a name, with its events as they are stored. */
export const asStored = (name: string) => Category.make(name, { id: Schema.String, events: [], undecodable: "raw" })

/** Something that stands still until it is let go, and says when it does. */
export const makeStandstill = Effect.gen(function*() {
  const [reached, released] = [yield* Latch.make(), yield* Latch.make()]
  return {
    /** Stands still here. */
    here: Effect.andThen(reached.open, released.await),
    reached: reached.await,
    release: released.open
  }
})
