import { type Context, Effect, Fiber } from "effect"
import type { Background } from "../Background.ts"

/** A background, and the way in which its store ends it. */
export interface OwnBackground extends Background {
  readonly close: Effect.Effect<void>
}

/** Most that waits for one owner. */
const capacity = 1000

/** How long what was added may take after the store was closed. */
const patience = "5 seconds"

/** A fibre for each owner that has work, as long as it has some. */
export const makeBackground = (context: Context.Context<never>): OwnBackground => {
  const queues = new Map<object, Map<string, Effect.Effect<void>>>()
  const fibers = new Set<Fiber.Fiber<void>>()
  let isClosed = false

  const workOff = (owner: object, waiting: Map<string, Effect.Effect<void>>): Effect.Effect<void> =>
    Effect.gen(function*() {
      for (;;) {
        // whoever added it goes on first
        yield* Effect.yieldNow
        const [next] = waiting
        if (next === undefined) break
        waiting.delete(next[0])
        yield* Effect.catchCause(next[1], (cause) => Effect.logError("Work behind a store ended with a defect", cause))
      }
      queues.delete(owner)
    })

  return {
    add: (owner, key, work) =>
      Effect.sync(() => {
        if (isClosed) return false
        const waiting = queues.get(owner)
        if (waiting !== undefined) {
          if (waiting.size >= capacity && !waiting.has(key)) return false
          waiting.set(key, work)
          return true
        }
        const begun = new Map([[key, work]])
        queues.set(owner, begun)
        const fiber = Effect.runForkWith(context)(workOff(owner, begun))
        fibers.add(fiber)
        fiber.addObserver(() => fibers.delete(fiber))
        return true
      }),

    close: Effect.suspend(() => {
      isClosed = true
      return Effect.andThen(
        Effect.timeoutOption(Effect.suspend(() => Fiber.awaitAll([...fibers])), patience),
        Effect.suspend(() => Fiber.interruptAll([...fibers]))
      )
    })
  }
}
