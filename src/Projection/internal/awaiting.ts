import { Context, Deferred, type Duration, Effect, Option, type Scope, Tracer } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import type { LogStorage } from "../../Store/LogStorage.ts"
import type { ProjectionState } from "../../Store/ProjectionStorage.ts"
import { Signal } from "../../Store/Signal.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { InvalidInput, retryPassing, type StoreError } from "../../Store/StoreError.ts"
import { AwaitTimedOut, ProjectionFailed, ProjectionNotFound } from "../ProjectionError.ts"
import { hindranceOf } from "./administration.ts"
import type { Core } from "./core.ts"
import { checkName } from "./naming.ts"
import { span } from "./settings.ts"
import { steadyMillis } from "./time.ts"

/** Milliseconds between two questions: where nobody in this process works on it, and where somebody does. */
const shortest = 2
const longest = 50
const longestLocal = 250

/** Milliseconds after which it is asked whether the projection has failed. */
const statusMillis = 200

/** Milliseconds for the storage to say why nothing came in time. */
const patience = 500

type AwaitError = ProjectionNotFound | ProjectionFailed | InvalidInput | StoreError

/** A runner of this process. */
interface Local {
  readonly version: number
  readonly progress: () => { readonly of: number; readonly positions: ReadonlyMap<number, number> }
  readonly hasFailed: () => boolean
}

interface Waiter {
  readonly position: number
  readonly done: Deferred.Deferred<void, AwaitError>
}

/** One projection of one storage: who works on it here, and who waits for it. */
class Awaited {
  readonly locals = new Set<Local>()
  readonly waiters = new Set<Waiter>()
  /** Raised when it may be worth to ask. */
  readonly signal = new Signal()
  isAsking = false
  /** How far the live version came, by the last answer. */
  version: number | undefined
  reached = 0

  /** How far this process knows a version to be, where it works on all of its partitions. */
  progress(version: number | undefined): number {
    let of = 0
    const positions = new Map<number, number>()
    for (const local of this.locals) {
      if (local.version !== version) continue
      const progress = local.progress()
      if (progress.of > 0) of = progress.of
      for (const [partition, position] of progress.positions) {
        positions.set(partition, Math.max(position, positions.get(partition) ?? 0))
      }
    }
    return of > 0 && positions.size === of ? Math.min(...positions.values()) : -1
  }

  /** Whether a question would have news for somebody. */
  hasNews(): boolean {
    const progress = this.progress(this.version)
    for (const { position } of this.waiters) if (position <= progress) return true
    for (const { hasFailed, version } of this.locals) if (version === this.version && hasFailed()) return true
    return false
  }

  readonly onProgress = (): void => {
    if (this.waiters.size > 0 && this.hasNews()) this.signal.raise()
  }
}

const all = new WeakMap<LogStorage, Map<string, Awaited>>()

const awaitedOf = (storage: LogStorage, name: string): Awaited => {
  const byName = all.get(storage) ?? new Map<string, Awaited>()
  all.set(storage, byName)
  const awaited = byName.get(name) ?? new Awaited()
  byName.set(name, awaited)
  return awaited
}

const forget = (storage: LogStorage, name: string, { locals, waiters }: Awaited): void => {
  if (locals.size === 0 && waiters.size === 0) all.get(storage)?.delete(name)
}

/** Lets those who wait in this process know how far a runner is. */
export const awaitable = (core: Core, progress: Local["progress"]): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      const { definition: { name, version }, store: { storage } } = core.options
      const awaited = awaitedOf(storage, name)
      const local: Local = { version, progress, hasFailed: () => core.known?.status === "failed" }
      awaited.locals.add(local)
      core.onProgress = awaited.onProgress
      return { awaited, local, name, storage }
    }),
    ({ awaited, local, name, storage }) =>
      Effect.sync(() => {
        awaited.locals.delete(local)
        forget(storage, name, awaited)
      })
  ))

/** Waits until the live version of a projection has handled everything up to a position. */
export const awaitProcessed = (
  name: string,
  position: number,
  options: { readonly timeout?: Duration.Input | undefined } = {}
): Effect.Effect<void, AwaitTimedOut | AwaitError, EventStore> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    yield* checkName(name)
    if (!Number.isSafeInteger(position) || position < 0) {
      return yield* new InvalidInput({ field: "position", problem: `is ${String(position)}, which is not a position` })
    }
    const timeout = yield* span("timeout", options.timeout ?? "30 seconds")
    if (yield* store.storage.inTransaction) {
      return yield* new InvalidInput({
        field: "transaction",
        problem: "is open: what it stored has no position before its end"
      })
    }
    const awaited = awaitedOf(store.storage, name)
    const waiter: Waiter = { position, done: Deferred.makeUnsafe() }
    return yield* Effect.timeoutOrElse(waitIn(awaited, waiter, store, name), {
      duration: timeout,
      orElse: () => Effect.flatMap(timedOut(awaited, store, name, position), Effect.fail)
    })
  })

/** Says what keeps the live version, if the storage does. */
const timedOut = (awaited: Awaited, { storage }: EventStore["Service"], projection: string, position: number) =>
  Effect.clockWith((clock) => {
    const { reached } = awaited
    const states = Effect.orElseSucceed(
      storage.projections.states(projection, StorageTime.of(clock)),
      (): ReadonlyArray<ProjectionState> => []
    )
    return Effect.map(Effect.timeoutOption(states, patience), (states) => {
      const live = Option.getOrElse(states, () => []).find(({ isLive }) => isLive)
      return live === undefined
        ? new AwaitTimedOut({ projection, position, reached, why: "behind" })
        : new AwaitTimedOut({ projection, version: live.version, position, reached, ...hindranceOf(live) })
    })
  })

const waitIn = (awaited: Awaited, waiter: Waiter, store: EventStore["Service"], name: string) =>
  Effect.onExitPrimitive(
    Effect.flatMap(
      Effect.context<never>(),
      (context) => {
        awaited.waiters.add(waiter)
        // where the runners are here, they say when it is worth to ask
        if (awaited.progress(awaited.version) < 0 || awaited.hasNews()) awaited.signal.raise()
        if (!awaited.isAsking) {
          awaited.isAsking = true
          Effect.runForkWith(Context.omit(Tracer.ParentSpan)(context))(ask(awaited, store, name))
        }
        return Deferred.await(waiter.done)
      }
    ),
    () => {
      awaited.waiters.delete(waiter)
      // nobody asks for nobody
      if (awaited.waiters.size === 0) awaited.signal.raise()
      forget(store.storage, name, awaited)
      return undefined
    }
  )

/** Asks for all who wait, as long as there are some. */
const ask = (awaited: Awaited, { storage }: EventStore["Service"], name: string): Effect.Effect<void> =>
  Effect.clockWith((clock) => {
    const asking = Effect.gen(function*() {
      const { projections } = storage
      const steadily = <A>(effect: Effect.Effect<A, StoreError>) =>
        retryPassing(effect, (error) =>
          Effect.annotateLogs(
            Effect.logWarning("How far a projection is cannot be asked for now", error.message),
            { projection: name }
          ))
      let statusAt = -Infinity
      let wait = shortest
      while (awaited.waiters.size > 0) {
        awaited.signal.take()
        const asked = yield* steadily(projections.progress(name))
        if (asked === undefined) return yield* new ProjectionNotFound({ projection: name })
        awaited.version = asked.version
        // known since it was live: whatever its runners here did by now
        awaited.reached = Math.max(asked.position, awaited.progress(asked.version))
        for (const waiter of awaited.waiters) {
          if (waiter.position > awaited.reached) continue
          awaited.waiters.delete(waiter)
          Deferred.doneUnsafe(waiter.done, Effect.void)
          wait = shortest
        }
        if (awaited.waiters.size === 0) return
        const now = steadyMillis(clock)
        if (now - statusAt >= statusMillis || awaited.hasNews()) {
          statusAt = now
          const states = yield* steadily(projections.states(name, StorageTime.of(clock)))
          const live = states.find(({ isLive }) => isLive)
          if (live?.status === "failed") {
            const { error: cause, errorPosition: position, version } = live
            return yield* new ProjectionFailed({ projection: name, version, position, cause })
          }
        }
        yield* awaited.progress(asked.version) < 0
          ? Effect.raceFirst(awaited.signal.wait, Effect.sleep(wait))
          : watchLocals(awaited)
        wait = Math.min(longest, wait * 2)
      }
    })
    const settled = Effect.catchCause(asking, (cause) =>
      Effect.sync(() => {
        for (const { done } of awaited.waiters) Deferred.doneUnsafe(done, Effect.failCause(cause))
        awaited.waiters.clear()
      }))
    return Effect.onExitPrimitive(settled, () => {
      awaited.isAsking = false
      forget(storage, name, awaited)
      return undefined
    })
  })

/** Waits for the runners here. Of what does not match nobody tells them, so they are looked at. */
const watchLocals = (awaited: Awaited): Effect.Effect<void> =>
  Effect.gen(function*() {
    let wait = shortest
    for (let waited = 0; waited < longestLocal && !awaited.hasNews(); waited += wait) {
      const isTold = yield* Effect.raceFirst(Effect.as(awaited.signal.wait, true), Effect.as(Effect.sleep(wait), false))
      if (isTold) return
      wait = Math.min(longest, wait * 2)
    }
  })
