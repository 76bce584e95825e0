import { assert } from "@effect/vitest"
import { Clock, Effect } from "effect"
import type { Store } from "./rule.ts"

/** Turns of the event loop without any news after which nothing more is to come, and where work is still open. */
export const quietTurns = 10
export const patientTurns = 200

/** Lets everybody else go on until they wait. */
const turn = Effect.callback<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

/**
 * Waits until projections, subscriptions and process managers have handled all there is, or wait for the time to pass. A
 * projection that has failed ends the test. Answers whether no work is open.
 */
export const settle = (store: Store, patience = patientTurns): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const { storage } = store
    let last = ""
    for (let quiet = 0;; quiet++) {
      const now = yield* Clock.currentTimeMillis
      const head = yield* storage.head
      const projections = yield* storage.projections.states(undefined, now)
      const subscriptions = yield* storage.subscriptions.list(now)
      const failed = projections.find(({ status }) => status === "failed")
      if (failed !== undefined) {
        assert.fail(
          `Version ${failed.version} of the projection ${failed.name} failed at position ${failed.errorPosition}: ${failed.error}`
        )
      }
      const places = [
        head,
        ...projections.flatMap(({ partitions }) => partitions.map(({ position }) => position)),
        ...subscriptions.flatMap(({ checkpoint, inFlight, parked, position, waiting }) => [
          checkpoint,
          inFlight,
          parked,
          position,
          waiting
        ])
      ].join()
      const isDone = projections.every(({ partitions }) => partitions.every(({ position }) => position >= head)) &&
        subscriptions.every(({ inFlight, waiting }) => inFlight + waiting === 0)
      if (places !== last) quiet = 0
      if (quiet >= (isDone ? quietTurns : patience)) return isDone
      last = places
      yield* turn
    }
  }).pipe(Effect.orDie)

/** When the next timer of any process manager fires after a time, in milliseconds since 1970; `Infinity` where none waits. */
export const nextTimer = (store: Store, after: number): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { projections, subscriptions } = store.storage
    const names = (yield* subscriptions.list(undefined)).map(({ name }) => name)
    const timers = yield* Effect.forEach(names, (name) => projections.timers.list(name, 1000))
    return Math.min(...timers.flat().map(({ at }) => at).filter((at) => at > after))
  }).pipe(Effect.orDie)
