/**
 * How long after its acknowledgement an append reaches a subscriber: in the same process, and in another.
 *
 * Appends follow a fixed schedule, whatever becomes of those before. Node's timers begin up to a millisecond late, which is
 * part of what is counted from the scheduled time. An event that comes before the acknowledgement counts as 0 after it.
 * The other stores get their 2,000 events a second in appends of ten: of single appends they took fewer than 1,000.
 */
import { Effect, type Scope } from "effect"
import { setTimeout as sleep } from "node:timers/promises"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import type * as EmmettConsumer from "../emmett/EmmettConsumer.ts"
import * as Emmett from "../emmett/EmmettStore.ts"
import * as MessageDb from "../message-db/MessageDb.ts"
import { makePlace, type Store } from "./arena.ts"
import { latenciesOf, now, rateOf } from "./arrivals.ts"
import { compare, contest, isWanted, quantile, type Row, type Sample, settings, within } from "./contest.ts"
import { unique } from "./load.ts"
import { Cart, marked, plainMarked, textMarked } from "./shop.ts"
import { type Kind, subscribeElsewhere, subscribeHere, type Subscriber } from "./subscribers.ts"

/** So many appends a second, of so many events each. */
interface Load {
  readonly appends: number
  readonly size: number
  readonly seconds: number
}

/** Appends the events from number `first` on to a stream of their own. */
type Append = (run: string, first: number, size: number) => Promise<unknown>

/** Appends on schedule; says when each append was to be sent, and when it was acknowledged. */
const drive = async (append: Append, run: string, { appends, seconds, size }: Load) => {
  const count = Math.ceil(appends * seconds)
  const start = now() + 5
  const intended = Array.from({ length: count }, (_, k) => start + k * 1000 / appends)
  const acknowledged: Array<number> = []
  const pending: Array<Promise<unknown>> = []
  for (const [k, time] of intended.entries()) {
    for (let wait = time - now(); wait > 0; wait = time - now()) await sleep(wait)
    pending.push(append(run, k * size, size).then(() => acknowledged[k] = now()))
  }
  await Promise.all(pending)
  return { intended, acknowledged }
}

/** Latencies of the events that come to a subscriber while appends follow a schedule. */
const delivery = (
  append: Append,
  subscriber: Effect.Effect<Subscriber, unknown, Scope.Scope>,
  load: Load
): Effect.Effect<Sample, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const { expect } = yield* subscriber
    // established is who has seen an event
    const first = unique()
    let i = 0
    yield* Effect.raceFirst(
      expect({ run: first, count: 1 }),
      Effect.forever(Effect.andThen(Effect.promise(() => append(first, i++, 1)), Effect.sleep(100)))
    )
    const warm = { ...load, seconds: 1 }
    const warming = unique()
    yield* Effect.promise(() => drive(append, warming, warm))
    yield* expect({ run: warming, count: Math.ceil(warm.appends) * warm.size })

    const run = unique()
    const { acknowledged, intended } = yield* Effect.promise(() => drive(append, run, load))
    const arrived = yield* expect({ run, count: intended.length * load.size })
    const sorted = (from: ReadonlyArray<number>) => latenciesOf(arrived, (i) => from[Math.floor(i / load.size)]!)
    const [after, sent] = [sorted(acknowledged), sorted(intended)]
    return {
      ...rateOf(arrived, intended[0]!),
      p50: quantile(after, 0.5),
      p99: quantile(after, 0.99),
      sentP50: quantile(sent, 0.5),
      sentP99: quantile(sent, 0.99)
    }
  }))

const numbers = (first: number, size: number) => Array.from({ length: size }, (_, n) => first + n)

const appendOurs = (store: Store): Append => (run, first, size) =>
  Effect.runPromise(store.append(Cart.stream(`${run}-${first}`), numbers(first, size).map((i) => marked(run, i))))

export const latency = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  const idle: Load = { appends: 50, size: 1, seconds: settings.seconds * 3 }
  const single: Load = { appends: 2000, size: 1, seconds: settings.seconds }
  const tens: Load = { appends: 200, size: 10, seconds: settings.seconds }
  const places = ["same process", "other process"] as const
  const loads = ["an append every 20 ms", "2,000 events/s"] as const
  const nameOf = (place: (typeof places)[number], load: (typeof loads)[number]) => `delivery, ${place}, ${load}`
  if (!places.some((place) => loads.some((load) => isWanted(nameOf(place, load))))) return rows

  const { store, url } = yield* makePlace(postgres)
  const messagesUrl = yield* postgres.createDatabase
  const messages = yield* MessageDb.make(messagesUrl)

  for (const place of places) {
    const elsewhere = place === "other process"
    const subscriberOf = (kind: Kind) =>
      elsewhere ? subscribeElsewhere(kind) : subscribeHere(kind.of === "ours" ? { of: "ours", store } : kind)

    const ours = (load: Load) => delivery(appendOurs(store), subscriberOf({ of: "ours", url }), load)
    // a database for each turn: Emmett reads slower the more there is
    const emmett = (settings: EmmettConsumer.Settings, load: Load) =>
      Effect.scoped(Effect.gen(function*() {
        const url = yield* postgres.createDatabase
        const emmett = yield* Emmett.make(url)
        const append: Append = (run, first, size) =>
          emmett.append(`cart-${run}-${first}`, numbers(first, size).map((i) => plainMarked(run, i)))
        return yield* delivery(append, subscriberOf({ of: "emmett", url, settings }), load)
      }))
    const messageDb = (intervalMillis: number, load: Load) => {
      const append: Append = (run, first, size) =>
        Effect.runPromise(
          MessageDb.write(messages, `cart-${run}-${first}`, numbers(first, size).map((i) => textMarked(run, i)))
        )
      return delivery(append, subscriberOf({ of: "message-db", url: messagesUrl, intervalMillis }), load)
    }

    const quiet = nameOf(place, loads[0])
    if (isWanted(quiet)) {
      const results = yield* contest(quiet, {
        ours: ours(idle),
        emmett: emmett("default", idle),
        messageDb: messageDb(100, idle),
        messageDb10: messageDb(10, idle)
      })
      for (const measure of ["p50", "p99"] as const) {
        const work = `${quiet}: ${measure} after the acknowledgement`
        rows.push(
          within(results, "ours", { work, milliseconds: measure === "p50" ? 1 : 10, measure }),
          compare(results, "ours", "emmett", { work, beside: "Emmett's reactor, its defaults", measure }),
          compare(results, "ours", "messageDb", { work, beside: "message-db, a poll every 100 ms", measure }),
          compare(results, "ours", "messageDb10", { work, beside: "message-db, a poll every 10 ms", measure })
        )
      }
    }

    const busy = nameOf(place, loads[1])
    if (isWanted(busy)) {
      const results = yield* contest(busy, {
        single: ours(single),
        tens: ours(tens),
        emmett: emmett("default", tens),
        emmettTuned: emmett("tuned", tens),
        messageDb: messageDb(100, tens),
        messageDb10: messageDb(10, tens)
      })
      for (const measure of ["p50", "p99"] as const) {
        const milliseconds = measure === "p50" ? 1 : 10
        const work = `${busy}: ${measure} after the acknowledgement`
        rows.push(
          within(results, "single", { work: `${work}, 2,000 appends`, milliseconds, measure }),
          within(results, "tens", { work: `${work}, 200 appends of ten`, milliseconds, measure })
        )
      }
      for (const measure of ["p50", "p99"] as const) {
        const work = `${busy}, 200 appends of ten: ${measure} after the acknowledgement`
        rows.push(
          compare(results, "tens", "emmett", { work, beside: "Emmett's reactor, its defaults", measure }),
          compare(results, "tens", "emmettTuned", {
            work,
            beside: "Emmett's reactor, batches of 1,000, 1 ms between",
            measure
          }),
          compare(results, "tens", "messageDb", { work, beside: "message-db, a poll every 100 ms", measure }),
          compare(results, "tens", "messageDb10", { work, beside: "message-db, a poll every 10 ms", measure })
        )
      }
      for (const measure of ["sentP50", "sentP99"] as const) {
        const work = `${busy}, 200 appends of ten: ${measure === "sentP50" ? "p50" : "p99"} after the scheduled time`
        rows.push(
          compare(results, "tens", "single", { work, beside: "ours, 2,000 appends", measure }),
          compare(results, "tens", "messageDb10", { work, beside: "message-db, a poll every 10 ms", measure })
        )
      }
    }
  }
  return rows
})
