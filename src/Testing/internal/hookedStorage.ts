import { Effect } from "effect"
import type { LogStorage } from "../../Store/LogStorage.ts"
import type { StoreError } from "../../Store/StoreError.ts"

/**
 * A place where a program waits for a storage: before a call and after it, and inside of a transaction when it has begun
 * (`begun`) and before it is to end (`ending`).
 */
export interface Point {
  /** The name of the call, `"projections.advanceWith"`. */
  readonly call: string
  readonly at: "before" | "begun" | "ending" | "after"
}

/** What happens at a point: it may wait, fail instead of the storage, or never answer. */
export type Hook = (point: Point) => Effect.Effect<void, StoreError>

/** The same storage for a program of its own, which passes a hook on its way there and back. */
export const hookedStorage = (storage: LogStorage, hook: Hook): LogStorage => ({
  ...hooked(storage, "", hook),
  // these are asked on the way, and answer from memory
  inTransaction: storage.inTransaction,
  transactionDepth: storage.transactionDepth,
  listen: storage.listen
})

const hooked = <A extends object>(part: A, path: string, hook: Hook): A => {
  const wrapped = Object.entries(part).map(([name, value]) => {
    const call = `${path}${name}`
    const around = (effect: Effect.Effect<unknown, unknown, unknown>) =>
      Effect.tap(Effect.andThen(hook({ call, at: "before" }), effect), () => hook({ call, at: "after" }))
    const inside = (effect: Effect.Effect<unknown, unknown, unknown>) =>
      Effect.tap(Effect.andThen(hook({ call, at: "begun" }), effect), () => hook({ call, at: "ending" }))
    return [
      name,
      Effect.isEffect(value)
        ? around(value)
        : typeof value === "function"
        // what a transaction runs is its last argument, or what that answers
        ? (...args: ReadonlyArray<unknown>) => {
          const last = args.at(-1)
          const own = Effect.isEffect(last)
            ? inside(last)
            : typeof last === "function"
            ? (...given: ReadonlyArray<unknown>) => inside(last(...given))
            : last
          return around(Effect.suspend(() => value(...args.slice(0, -1), own)))
        }
        : typeof value === "object" && value !== null
        ? hooked(value, `${call}.`, hook)
        : value
    ]
  })
  return Object.fromEntries(wrapped)
}
