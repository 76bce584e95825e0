/**
 * A process that consumes persistent subscriptions with a handler that has nothing to do. Run as a program, this file is
 * that process.
 */
import { Effect, Exit, Scope } from "effect"
import { EventStore, PersistentSubscription } from "effect-eventstore"
import { openPlace } from "./arena.ts"
import { answerParent, type Child, startChild } from "./child.ts"
import { Cart } from "./shop.ts"

export interface Work {
  readonly name: string
  readonly concurrency: number
  readonly buffer: number
}

/** All but `"start"` are answered with the number of events handled since the last start. */
type Order = { readonly do: "start"; readonly work: Work } | { readonly do: "count" } | { readonly do: "stop" }

export type Worker = Child<Order>

export const startWorker = (url: string): Effect.Effect<Worker, never, Scope.Scope> =>
  startChild<Order>(import.meta.filename, { url })

if (import.meta.main) {
  await answerParent<Order, { readonly url: string }>(Effect.fnUntraced(function*({ url }) {
    const { store } = yield* openPlace(url)
    let count = 0
    let running = yield* Scope.make()
    const consume = ({ buffer, concurrency, name }: Work) =>
      PersistentSubscription.run(name, {
        from: Cart,
        concurrency,
        buffer,
        handle: () => Effect.sync(() => void count++)
      }).pipe(Effect.provideService(EventStore, store))
    return Effect.fnUntraced(function*(order) {
      switch (order.do) {
        case "start":
          count = 0
          running = yield* Scope.make()
          yield* Effect.forkIn(consume(order.work), running)
          break
        case "count":
          break
        case "stop":
          yield* Scope.close(running, Exit.void)
          break
      }
      return count
    })
  }))
}
