import { Cause, Clock, Context, Effect, Exit, Fiber, type Scope } from "effect"
import * as Projection from "../../Projection/Projection.ts"
import { EventStore } from "../../Store/EventStore.ts"
import type { ProjectionState } from "../../Store/ProjectionStorage.ts"
import { inStore, until } from "./consuming.ts"
import { type Hook, hookedStorage } from "./hookedStorage.ts"
import { freshName, show, type Store } from "./rule.ts"

/** Names of projections are short. */
export const freshProjection = (): string => `p${freshName()}`

/** The store of another process on the same storage; it may pass a hook on its way there. */
export const otherStore = (store: Store, hook?: Hook): Effect.Effect<Store, never, Scope.Scope> => {
  // where nobody can be heard it has to look for itself, and rules do not wait for a minute
  const { listen, pollMillis } = store.storage
  const storage = { ...store.storage, pollMillis: listen === undefined ? 20 : pollMillis }
  return EventStore.make(hook === undefined ? storage : hookedStorage(storage, hook))
}

/** A runner that runs until its scope closes. */
export interface Runner {
  readonly store: Store
  /** Interrupts it, and waits for that. */
  readonly stop: Effect.Effect<void>
  /** What it ended with by itself. */
  readonly end: Effect.Effect<Exit.Exit<never, any>>
  readonly isRunning: () => boolean
}

export type RunOptions = Projection.RunOptions & {
  readonly clock?: Clock.Clock | undefined
  /** What its handlers need. */
  readonly context?: Context.Context<any> | undefined
}

/** Runs a projection. */
export const project = (
  store: Store,
  projection: Projection.Any,
  { clock, context = Context.empty() as Context.Context<any>, ...options }: RunOptions = {}
): Effect.Effect<Runner, never, Scope.Scope> =>
  Effect.gen(function*() {
    const running = inStore(store)(Projection.run(projection, options)).pipe(
      Effect.provideContext(context),
      // nobody may be looking
      Effect.tapCause((cause) => Cause.hasInterrupts(cause) ? Effect.void : Effect.logInfo("A runner ended", cause))
    ) as Effect.Effect<never, any>
    const fiber = yield* Effect.forkScoped(
      clock === undefined ? running : Effect.provideService(running, Clock.Clock, clock)
    )
    return {
      store,
      stop: Fiber.interrupt(fiber),
      end: Fiber.await(fiber),
      isRunning: () => fiber.pollUnsafe() === undefined
    }
  })

/** The store of a process that can be killed: from then on the storage hears nothing of it any more. */
export const mortalStore = (store: Store): Effect.Effect<Mortal, never, Scope.Scope> =>
  Effect.gen(function*() {
    let isDead = false
    // the connections of a process that is killed are gone: what they were in the middle of is rolled back
    const mortal = yield* otherStore(store, () => isDead ? Effect.never : Effect.void)
    return {
      store: mortal,
      kill: (runner) =>
        Effect.suspend(() => {
          isDead = true
          // nobody waits for a dead one to say good-bye
          return Effect.asVoid(Effect.forkDetach(runner.stop))
        })
    }
  })

export interface Mortal {
  readonly store: Store
  readonly kill: (runner: Runner) => Effect.Effect<void>
}

/** What the storage keeps of a version: of the live one where none is named. */
export const stateOf = (store: Store, name: string, version?: number): Effect.Effect<ProjectionState, any> =>
  Effect.map(store.storage.projections.states(name, undefined), (states) => {
    const state = states.find((state) => version === undefined ? state.isLive : state.version === version)
    if (state === undefined) throw new Error(`no version ${version ?? "is live"} of ${name}`)
    return state
  })

/** Waits until something holds of what the storage keeps of a version. */
export const untilState = (
  store: Store,
  name: string,
  holds: (state: ProjectionState) => boolean,
  version?: number
): Effect.Effect<void, any> => {
  let last: ReadonlyArray<ProjectionState> = []
  const look = Effect.map(store.storage.projections.states(name, undefined), (states) => {
    last = states
    return states.some((state) => (version === undefined ? state.isLive : state.version === version) && holds(state))
  })
  return Effect.catchDefect(
    until(`a state of ${name}`, () => look),
    (defect) => Effect.die(new Error(`${defect}: ${holds}, but it is ${show(last)}`))
  )
}

/** Waits until a version has handled all that is stored by now. */
export const processed = (store: Store, name: string, version?: number): Effect.Effect<void, any> =>
  Effect.flatMap(
    store.head(),
    (head) => untilState(store, name, ({ partitions }) => partitions.every(({ position }) => position >= head), version)
  )

/** As {@link processed}, where a runner that ends is reported at once. */
export const processedBy = (
  runner: Runner,
  name: string,
  version?: number
): Effect.Effect<void, any> =>
  Effect.raceFirst(
    processed(runner.store, name, version),
    Effect.flatMap(runner.end, (exit) =>
      Effect.die(new Error(`the runner ended: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""}`)))
  )

/** Owners of the partitions, in order. */
export const ownersOf = (state: ProjectionState): ReadonlyArray<string | null> =>
  state.partitions.map(({ owner }) => owner)

/** How many partitions each owner has, fewest first; `undefined` where one has none. */
export const sharesOf = (state: ProjectionState): ReadonlyArray<number> | undefined => {
  const shares = new Map<string, number>()
  for (const owner of ownersOf(state)) {
    if (owner === null) return undefined
    shares.set(owner, (shares.get(owner) ?? 0) + 1)
  }
  return [...shares.values()].sort((a, b) => a - b)
}
