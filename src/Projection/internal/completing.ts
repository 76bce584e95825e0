import { Duration, Effect, Exit, Option, Schedule } from "effect"
import * as StorageTime from "../../Store/StorageTime.ts"
import { decodeFrom } from "../../Stream/Decode.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { Core } from "./core.ts"
import { failureOf, messageOf, passingOf } from "./failure.ts"
import { wholeTarget } from "./setup.ts"
import type { Worker } from "./worker.ts"

/** Milliseconds until another try, where others have to come as far first. */
const shortest = 25
const longest = 200

/**
 * Completes a version that has caught up with all partitions: its indexes, and then the switch where that is wanted, each in
 * a transaction of its own. A worker does it between two batches, so that what it does cannot wait for its own runner.
 */
export const completing = (core: Core, worker: Worker): Effect.Effect<void, unknown, any> => {
  const { clock, definition, id, settings, store } = core.options
  const { projections } = store.storage
  let notBefore = 0
  let wait = shortest
  let failures = 0
  let step: ((now: number, input: unknown) => Effect.Effect<readonly [unknown, Duration.Duration], unknown>) | undefined

  const passing = <A>(effect: Effect.Effect<A, unknown, any>) =>
    Effect.catchCause(Effect.scoped(effect), (cause) => {
      const trouble = passingOf(cause)
      return trouble === undefined ? Effect.failCause(cause) : Effect.fail(trouble)
    })

  /** Long before others wait for it: the live version goes on meanwhile, and this one catches up again. */
  const indexed = definition.index === undefined
    ? Effect.succeed(true)
    : projections.indexWith(id, passing(Effect.suspend(() => definition.index!(wholeTarget(core.options)))))

  /** Handles what is missing where appends are to apply it from now on. */
  const handleMissing = (missing: ReadonlyArray<StoredEvent>) =>
    passing(Effect.gen(function*() {
      const events: Array<Recorded<any>> = []
      yield* decodeFrom(definition.decode, missing, 0, events) ?? Effect.void
      if (events.length > 0) yield* worker.applyWhole(events)
    }))

  /** A program that is older than the live version does not take its place by itself. */
  const isSwitching = Effect.gen(function*() {
    const { isLive, isSwitchWanted } = core.known!
    if (isLive || isSwitchWanted) return true
    if (!settings.isSwitching) return false
    const states = yield* projections.states(definition.name, StorageTime.of(clock))
    return states.every(({ isLive, version }) => !isLive || version < definition.version)
  })

  const failed = (cause: Exit.Failure<unknown, unknown>["cause"]) =>
    Effect.gen(function*() {
      failures++
      if (failures === 1 || step === undefined) step = (yield* Schedule.toStep(settings.retry)) as never
      const next = yield* Effect.option(step(clock.currentTimeMillisUnsafe(), failureOf(cause)))
      const isFatal = Option.isNone(next)
      if (Option.isSome(next)) notBefore = core.millis + Duration.toMillis(next.value[1])
      else failures = 0
      yield* core.annotated(Effect.logError("A projection that has caught up cannot be completed", cause))
      yield* core.report(worker.owned, { error: messageOf(cause), position: null, isFatal })
      if (isFatal) core.changed()
    })

  return Effect.suspend(() => {
    if (core.isCompleting || !worker.place.isCaughtUp || core.millis < notBefore) return Effect.void
    core.isCompleting = true
    const completed = Effect.gen(function*() {
      const options = { isSwitching: yield* core.steadily("completed", isSwitching) }
      const completed = Effect.gen(function*() {
        if (!(yield* core.steadily("indexed", indexed))) return false
        return yield* core.steadily(
          "completed",
          Effect.suspend(() => projections.completeWith(id, options, handleMissing))
        )
      })
      const exit = yield* Effect.exit(completed)
      if (Exit.isFailure(exit)) return yield* failed(exit.cause)
      failures = 0
      if (!exit.value) {
        notBefore = core.millis + wait
        wait = Math.min(longest, wait * 2)
        return
      }
      wait = shortest
      const wasLive = core.known!.isLive
      // all else the next claim says
      core.known = { ...core.known!, stage: "ready", isSwitchWanted: false }
      const states = yield* core.steadily("completed", projections.states(definition.name, StorageTime.of(clock)))
      const isLive = states.some((state) => state.id === id && state.isLive)
      yield* core.annotated(
        isLive && !wasLive
          ? Effect.logInfo("The projection has caught up, and is the live version now")
          : Effect.logDebug("The projection has caught up")
      )
      core.changed()
    })
    return Effect.onExitPrimitive(completed, () => {
      core.isCompleting = false
      return undefined
    })
  })
}
