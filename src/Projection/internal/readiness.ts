import { type Duration, Effect, Ref } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import type { ProjectionState } from "../../Store/ProjectionStorage.ts"
import { Signal } from "../../Store/Signal.ts"
import { InvalidInput, retryPassing, type StoreError } from "../../Store/StoreError.ts"
import type { Named, OfVersion } from "../Projection.ts"
import { AwaitTimedOut, ProjectionFailed, type ProjectionNotFound } from "../ProjectionError.ts"
import { nameOf, stateOf } from "./administration.ts"
import { channelOf } from "./core.ts"
import { span } from "./settings.ts"

/** Milliseconds between two looks, at first and at most. */
const shortest = 5
const longest = 250

/** Waits until a version has caught up. */
export const awaitReady = (
  named: Named,
  options: OfVersion & { readonly timeout?: Duration.Input | undefined } = {}
): Effect.Effect<void, AwaitTimedOut | ProjectionFailed | ProjectionNotFound | InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const timeout = yield* span("timeout", options.timeout ?? "30 seconds")
    if (yield* store.storage.inTransaction) {
      return yield* new InvalidInput({ field: "transaction", problem: "is open: what others do is not seen in it" })
    }
    const projection = nameOf(named)
    const position = yield* store.storage.head
    const reached = yield* Ref.make(0)
    return yield* Effect.timeoutOrElse(Effect.scoped(look(named, options, reached)), {
      duration: timeout,
      orElse: () =>
        Effect.flatMap(Ref.get(reached), (reached) => Effect.fail(new AwaitTimedOut({ projection, position, reached })))
    })
  })

const look = (named: Named, of: OfVersion, reached: Ref.Ref<number>) =>
  Effect.gen(function*() {
    const { tail } = yield* EventStore
    const signal = new Signal()
    const projection = nameOf(named)
    yield* tail.watch(channelOf(projection), signal.raise)
    const asked = retryPassing(stateOf(named, of), (error) =>
      Effect.annotateLogs(Effect.logWarning("What a projection is cannot be asked for now", error.message), {
        projection
      }))
    for (let wait = shortest;; wait = Math.min(longest, wait * 2)) {
      signal.take()
      const state = yield* asked
      if (isReady(state)) {
        return
      }
      const { error: cause, errorPosition: position, status, version } = state
      if (status === "failed") {
        return yield* new ProjectionFailed({ projection, version, position, cause })
      }
      yield* Ref.set(
        reached,
        Math.min(...state.partitions.map(({ position }) =>
          position
        ))
      )
      yield* Effect.raceFirst(signal.wait, Effect.sleep(wait))
    }
  })

const isReady = ({ isApplied, isInline, isLive, stage }: ProjectionState): boolean =>
  stage === "ready" && (isApplied || !(isInline && isLive))
