import { type Duration, Effect, Ref } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import type { ProjectionState } from "../../Store/ProjectionStorage.ts"
import { Signal } from "../../Store/Signal.ts"
import { InvalidInput, retryPassing, type StoreError } from "../../Store/StoreError.ts"
import type { Named, OfVersion } from "../Projection.ts"
import { AwaitTimedOut, ProjectionFailed, type ProjectionNotFound } from "../ProjectionError.ts"
import { hindranceOf, nameOf, stateOf } from "./administration.ts"
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
    const seen = yield* Ref.make<ProjectionState | undefined>(undefined)
    return yield* Effect.timeoutOrElse(Effect.scoped(look(named, options, seen)), {
      duration: timeout,
      orElse: () =>
        Effect.flatMap(Ref.get(seen), (state) =>
          Effect.fail(
            state === undefined
              ? new AwaitTimedOut({ projection, position, reached: 0, why: "behind" })
              : new AwaitTimedOut({
                projection,
                version: state.version,
                position,
                reached: reachedBy(state),
                ...hindranceOf(state)
              })
          ))
    })
  })

const reachedBy = ({ partitions }: ProjectionState): number => Math.min(...partitions.map(({ position }) => position))

const look = (named: Named, of: OfVersion, seen: Ref.Ref<ProjectionState | undefined>) =>
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
      yield* Ref.set(seen, state)
      yield* Effect.raceFirst(signal.wait, Effect.sleep(wait))
    }
  })

const isReady = ({ isApplied, isInline, isLive, stage }: ProjectionState): boolean =>
  stage === "ready" && (isApplied || !(isInline && isLive))
