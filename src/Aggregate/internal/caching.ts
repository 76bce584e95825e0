import { Effect, Metric } from "effect"
import type { LogStorage } from "../../Store/LogStorage.ts"
import type { Loaded, PickedUp } from "./loading.ts"

/** How states are kept in the process. */
export interface CacheOptions {
  readonly capacity: number
  readonly mode?: "checked" | "trusted" | undefined
}

/** The states of a decider that were used last, apart for each log. */
export interface Cache {
  readonly isTrusted: boolean
  readonly of: (storage: LogStorage) => States
  /** Counts what became of looking for a state. */
  readonly count: (outcome: "miss" | PickedUp) => Effect.Effect<void>
}

/** States by stream. None rests on staged events. */
export interface States {
  readonly get: (streamId: string) => Loaded<any> | undefined
  /** Keeps a state, unless one is there that knows more. */
  readonly put: (streamId: string, loaded: Loaded<any>) => Effect.Effect<void>
  /** Forgets a state that does not hold, unless another one took its place. */
  readonly remove: (streamId: string, loaded: Loaded<any>) => void
}

export const makeCache = (decider: string, { capacity, mode = "checked" }: CacheOptions): Cache => {
  if (!Number.isSafeInteger(capacity) || capacity < 1) {
    throw new Error(`The cache of ${decider} has a capacity of ${capacity}, which is not a whole number from 1`)
  }
  if (mode !== "checked" && mode !== "trusted") {
    throw new Error(`The cache of ${decider} has the mode ${JSON.stringify(mode)}: checked and trusted are known`)
  }
  // what is kept of a store goes with it
  const all = new WeakMap<LogStorage, States>()
  const evictions = Metric.counter("eventstore.decider.cache.evictions", {
    description: "States that made room for others",
    incremental: true,
    attributes: { decider }
  })
  const lookups = (outcome: "hit" | "behind" | "stale" | "miss") =>
    Metric.counter("eventstore.decider.cache.lookups", {
      description: "States that were looked for in the process, by what became of that",
      incremental: true,
      attributes: { decider, outcome }
    })
  const counters = {
    same: lookups("hit"),
    behind: lookups("behind"),
    stale: lookups("stale"),
    miss: lookups("miss")
  }

  const makeStates = (): States => {
    /** In the order in which they were used last. */
    const kept = new Map<string, Loaded<any>>()
    return {
      get: (streamId) => {
        const found = kept.get(streamId)
        if (found !== undefined) {
          kept.delete(streamId)
          kept.set(streamId, found)
        }
        return found
      },
      put: (streamId, loaded) =>
        Effect.suspend(() => {
          // no event in it, or a staged one: nothing to pick up
          if (loaded.mark === undefined || loaded.mark.position === 0) return Effect.void
          const before = kept.get(streamId)
          if (before !== undefined && knowsMore(before, loaded)) return Effect.void
          kept.delete(streamId)
          kept.set(streamId, loaded)
          if (kept.size <= capacity) return Effect.void
          kept.delete(kept.keys().next().value!)
          return Metric.update(evictions, 1)
        }),
      remove: (streamId, loaded) => {
        if (kept.get(streamId) === loaded) kept.delete(streamId)
      }
    }
  }
  return {
    isTrusted: mode === "trusted",
    of: (storage) => {
      let states = all.get(storage)
      if (states === undefined) all.set(storage, states = makeStates())
      return states
    },
    count: (outcome) => Metric.update(counters[outcome], 1)
  }
}

/** What was hidden stays hidden, and versions only grow. Below 0 and below 1 stands nothing. */
const knowsMore = (kept: Loaded<any>, given: Loaded<any>): boolean => {
  const hidden = Math.max(kept.truncatedBefore, 1) - Math.max(given.truncatedBefore, 1)
  return hidden > 0 || hidden === 0 && kept.version > given.version
}
