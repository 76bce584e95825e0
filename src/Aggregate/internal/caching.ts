import { Clock, Effect, Metric } from "effect"
import type { LogStorage } from "../../Store/LogStorage.ts"
import * as StreamChanges from "../../Store/StreamChanges.ts"
import type { Loaded, PickedUp } from "./loading.ts"

/** How states are kept in the process. */
export interface CacheOptions {
  readonly capacity: number
  readonly mode?: "checked" | "trusted" | undefined
}

/** The states of a decider that were used last, apart for each log. */
export interface Cache {
  readonly isTrusted: boolean
  /** For one command or query: what it puts there was read, or decided on what was read, from now on. */
  readonly of: (storage: LogStorage) => States
  /** Counts what became of looking for a state. */
  readonly count: (outcome: "miss" | PickedUp) => Effect.Effect<void>
}

/** States by stream. None rests on staged events. */
export interface States {
  readonly get: (streamId: string) => Loaded<any> | undefined
  /** Keeps a state that was read, unless one is there that knows more, or the stream was changed here meanwhile. */
  readonly put: (streamId: string, loaded: Loaded<any>) => Effect.Effect<void>
  /** The same for a state that an append led to. */
  readonly advance: (streamId: string, loaded: Loaded<any>) => Effect.Effect<void>
  /** Whether the state that is kept of a stream was read long ago: what others hid since does not show in appends. */
  readonly isOld: (streamId: string) => Effect.Effect<boolean>
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
  const all = new WeakMap<LogStorage, () => States>()
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

  const makeStates = (storage: LogStorage): () => States => {
    const changes = StreamChanges.of(storage)
    /** In the order in which they were used last. */
    const kept = new Map<string, Kept>()
    /** What is kept, unless this process changed the stream since. */
    const find = (streamId: string) => {
      const found = kept.get(streamId)
      if (found === undefined || changes.last(streamId) <= found.changes) return found
      kept.delete(streamId)
      return undefined
    }
    const keep = (streamId: string, given: Kept) => {
      const { mark } = given.loaded
      // no event in it, or a staged one: nothing to pick up
      if (mark === undefined || mark.position === 0) return Effect.void
      // read before a change of this process, or while it was made
      if (changes.last(streamId) > given.changes) return Effect.void
      const before = find(streamId)
      if (before !== undefined && knowsMore(before.loaded, given.loaded)) return Effect.void
      kept.delete(streamId)
      kept.set(streamId, given)
      if (kept.size <= capacity) return Effect.void
      kept.delete(kept.keys().next().value!)
      return Metric.update(evictions, 1)
    }
    return () => {
      const count = changes.count()
      return {
        get: (streamId) => {
          const found = find(streamId)
          if (found !== undefined) {
            kept.delete(streamId)
            kept.set(streamId, found)
          }
          return found?.loaded
        },
        put: (streamId, loaded) =>
          Clock.clockWith((clock) =>
            keep(streamId, { loaded, changes: count, readAt: clock.currentTimeMillisUnsafe() })
          ),
        advance: (streamId, loaded) =>
          Clock.clockWith((clock) =>
            keep(streamId, {
              loaded,
              changes: count,
              readAt: find(streamId)?.readAt ?? clock.currentTimeMillisUnsafe()
            })
          ),
        isOld: (streamId) =>
          Clock.clockWith((clock) => {
            const found = find(streamId)
            return Effect.succeed(found !== undefined && clock.currentTimeMillisUnsafe() - found.readAt > trustMillis)
          }),
        remove: (streamId, loaded) => {
          if (kept.get(streamId)?.loaded === loaded) kept.delete(streamId)
        }
      }
    }
  }
  return {
    isTrusted: mode === "trusted",
    of: (storage) => {
      let begin = all.get(storage)
      if (begin === undefined) all.set(storage, begin = makeStates(storage))
      return begin()
    },
    count: (outcome) => Metric.update(counters[outcome], 1)
  }
}

/** A state that is kept. */
interface Kept {
  readonly loaded: Loaded<any>
  /** How many changes of streams there had been in this process before it was read. */
  readonly changes: number
  /** When it was read last, or the one that it was decided on, in milliseconds since 1970. */
  readonly readAt: number
}

/** How long appends may follow each other on a state that nobody read. */
const trustMillis = 60_000

/** What was hidden stays hidden, and versions only grow. Below 0 and below 1 stands nothing. */
const knowsMore = (kept: Loaded<any>, given: Loaded<any>): boolean => {
  const hidden = Math.max(kept.truncatedBefore, 1) - Math.max(given.truncatedBefore, 1)
  return hidden > 0 || hidden === 0 && kept.version > given.version
}
