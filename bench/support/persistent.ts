/**
 * Persistent subscriptions whose handlers have nothing to do, from the start of the first consumer until as many events were
 * handled as there are: what the bookkeeping costs. Emmett's reactor also keeps its place in the database, but takes one
 * event after the other and has one process at a time; it is given a part of the events.
 */
import { Effect } from "effect"
import { EventStore, PersistentSubscription, Subscription } from "effect-eventstore"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import { makePlace, type Place } from "./arena.ts"
import { emmetts, fillEmmett, until } from "./catchUp.ts"
import { compare, contest, isWanted, type Row, type Sample, settings, thousands } from "./contest.ts"
import { timed, unique } from "./load.ts"
import { Cart, events } from "./shop.ts"
import { startWorker, type Work, type Worker } from "./workers.ts"

const total = settings.quick ? 2000 : 20_000

/** Fills a store with so many streams. */
const fillStreams = ({ sql, store }: Place, streams: number) =>
  Effect.gen(function*() {
    // an append takes a stream once, and each stream gets its share with one append
    const share = total / streams
    for (let i = 0; i < total; i += 1000) {
      yield* store.appendAll(
        Array.from({ length: Math.max(1, 1000 / share) }, (_, n) => {
          const first = i + n * share
          return EventStore.entry(Cart.stream(`s${Math.floor(first / share)}`), events(first, Math.min(share, 1000)))
        })
      )
    }
    yield* sql.unsafe("VACUUM ANALYZE eventstore.events")
  })

/** Handles everything once, by a new subscription. */
const handleAll = (
  place: Place,
  workers: ReadonlyArray<Worker>,
  options: Omit<Work, "name">
): Effect.Effect<Sample, unknown> =>
  Effect.gen(function*() {
    const name = unique()
    const all = (order: Parameters<Worker["ask"]>[0]) =>
      Effect.map(
        Effect.forEach(workers, ({ ask }) => ask<number>(order), { concurrency: "unbounded" }),
        (counts) => counts.reduce((a, b) => a + b)
      )
    const sample = yield* timed(Effect.gen(function*() {
      yield* all({ do: "start", work: { name, ...options } })
      while ((yield* all({ do: "count" })) < total) yield* Effect.sleep(10)
      return total
    }))
    yield* all({ do: "stop" })
    yield* Effect.provideService(PersistentSubscription.remove(name), EventStore, place.store)
    return sample
  })

export const persistent = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  for (const streams of [total / 20, 1]) {
    const work = `persistent subscription, ${thousands(total)} events of ${
      streams === 1 ? "one stream" : `${thousands(streams)} streams`
    }`
    if (!isWanted(work)) continue
    const place = yield* makePlace(postgres)
    yield* fillStreams(place, streams)
    const emmett = yield* postgres.createDatabase
    yield* fillEmmett(emmett, total)
    const workers = yield* Effect.forEach([1, 2, 3, 4], () => startWorker(place.url))
    const one = workers.slice(0, 1)
    const buffer = 256

    const results = yield* contest(work, {
      one: handleAll(place, one, { concurrency: 1, buffer }),
      eight: handleAll(place, one, { concurrency: 8, buffer }),
      fourOne: handleAll(place, workers, { concurrency: 1, buffer }),
      fourEight: handleAll(place, workers, { concurrency: 8, buffer }),
      catchUp: timed(
        Effect.provideService(until(Subscription.catchUp(Cart), total), EventStore, place.store)
      ),
      emmett: emmetts(emmett, "default", total / 8),
      emmettTuned: emmetts(emmett, "tuned", total / 2)
    })
    const alone = `${work}, concurrency 8`
    rows.push(
      compare(results, "eight", "one", { work: alone, beside: "concurrency 1" }),
      compare(results, "fourOne", "one", { work: `${work}, concurrency 1, 4 processes`, beside: "1 process" }),
      compare(results, "fourEight", "eight", { work: `${alone}, 4 processes`, beside: "1 process" }),
      compare(results, "eight", "catchUp", { work: alone, beside: "a catch-up subscription, typed" }),
      compare(results, "one", "emmett", { work: `${work}, concurrency 1`, beside: "Emmett's reactor, its defaults" }),
      compare(results, "one", "emmettTuned", {
        work: `${work}, concurrency 1`,
        beside: "Emmett's reactor, batches of 1,000, 1 ms between"
      })
    )
  }
  return rows
})
