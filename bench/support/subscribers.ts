/**
 * Subscribers that note when marked events come to them. Run as a program, this file is one of them in a process of its
 * own.
 */
import { Effect, type Scope, Stream } from "effect"
import { EventStore, Subscription } from "effect-eventstore"
import * as EmmettConsumer from "../emmett/EmmettConsumer.ts"
import * as MessageDb from "../message-db/MessageDb.ts"
import { openPlace, type Store } from "./arena.ts"
import { Arrivals, type Expected, type Times } from "./arrivals.ts"
import { answerParent, startChild } from "./child.ts"
import { unique } from "./load.ts"
import { Cart } from "./shop.ts"

/** What subscribes, and to which database. */
export type Kind =
  | { readonly of: "ours"; readonly url: string }
  | { readonly of: "emmett"; readonly url: string; readonly settings: EmmettConsumer.Settings }
  | { readonly of: "message-db"; readonly url: string; readonly intervalMillis: number }

export interface Subscriber {
  readonly expect: (expected: Expected) => Effect.Effect<Times>
}

/** Subscribes to our store with what it gives to programs. */
const subscribeOurs = Effect.fnUntraced(function*(store: Store, arrivals: Arrivals) {
  const events = yield* Effect.provideService(Subscription.volatile(Cart), EventStore, store)
  yield* Effect.forkScoped(
    Stream.runForEachArray(
      events,
      (recorded) => Effect.sync(() => recorded.forEach(({ event }) => arrivals.note(event)))
    )
  )
})

const subscribe = Effect.fnUntraced(function*(kind: Kind, arrivals: Arrivals) {
  switch (kind.of) {
    case "ours":
      return yield* subscribeOurs((yield* openPlace(kind.url)).store, arrivals)
    case "emmett":
      return yield* EmmettConsumer.follow(kind.url, kind.settings, unique(), ({ data }) => arrivals.note(data))
    case "message-db": {
      const sql = yield* MessageDb.connect(kind.url)
      const polling = { category: "cart", batchSize: 1000, ahead: false }
      const onMessages = (messages: ReadonlyArray<MessageDb.Message>) =>
        messages.forEach(({ data }) => arrivals.note(data))
      const start = yield* MessageDb.head(sql)
      return yield* Effect.forkScoped(MessageDb.poll(sql, polling, start, kind.intervalMillis, onMessages))
    }
  }
})

/** A subscriber in this process; ours shares the store with those who append. */
export const subscribeHere = (
  kind: Exclude<Kind, { readonly of: "ours" }> | { readonly of: "ours"; readonly store: Store }
): Effect.Effect<Subscriber, unknown, Scope.Scope> =>
  Effect.suspend(() => {
    const arrivals = new Arrivals()
    return Effect.as(kind.of === "ours" ? subscribeOurs(kind.store, arrivals) : subscribe(kind, arrivals), arrivals)
  })

/** A subscriber in another process of this machine. */
export const subscribeElsewhere = (kind: Kind): Effect.Effect<Subscriber, unknown, Scope.Scope> =>
  Effect.map(startChild<Expected>(import.meta.filename, kind), ({ ask }) => ({
    expect: (expected) => ask<Times>(expected)
  }))

if (import.meta.main) {
  await answerParent<Expected, Kind>((kind) => {
    const arrivals = new Arrivals()
    return Effect.as(subscribe(kind, arrivals), arrivals.expect)
  })
}
