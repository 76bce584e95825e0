/**
 * A subscription that has a whole log to catch up with: ours, Emmett's consumer, and a consumer that polls message-db, each
 * over as many events in a database of its own on the same server. Rates are compared, as Emmett is given a part of them only.
 *
 * A subscription of ours and the polling of message-db keep no place; Emmett's reactor stores its own after every message,
 * and without that ("no checkpoints") it is what compares with ours. The tuned one has the settings it is fastest with.
 */
import { Effect, Stream } from "effect"
import { Category, EventStore, type Recorded, Subscription } from "effect-eventstore"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import * as EmmettConsumer from "../emmett/EmmettConsumer.ts"
import * as Emmett from "../emmett/EmmettStore.ts"
import * as MessageDb from "../message-db/MessageDb.ts"
import { fill, makePlace } from "./arena.ts"
import { compare, contest, isWanted, type Row, type Sample, settings, thousands } from "./contest.ts"
import { timed, unique } from "./load.ts"
import { Cart, plainEvent, textEvent } from "./shop.ts"

const total = settings.quick ? 20_000 : 200_000
/** As many as Emmett's reactors are given of them: they take their time. */
const some = total / 20
const few = some / 4

/** Runs a subscription until it has handed out so many events. */
export const until = <E, R>(
  stream: Stream.Stream<Recorded.Recorded<unknown>, E, R>,
  count: number,
  by: "array" | "event" = "array"
): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    let seen = 0
    const note = (events: number) =>
      Effect.suspend(() => (seen += events) >= count ? Effect.fail("all seen" as const) : Effect.void)
    const run = by === "array"
      ? Stream.runForEachArray(stream, (events) => note(events.length))
      : Stream.runForEach(stream, () => note(1))
    return run.pipe(
      Effect.catchIf((error) => error === "all seen", () => Effect.void),
      Effect.map(() => seen)
    ) as Effect.Effect<number, E, R>
  })

/** A rate is one of all events, or none. */
const complete = <E, R>(count: Effect.Effect<number, E, R>): Effect.Effect<number, E, R> =>
  Effect.tap(count, (count) => count === total ? Effect.void : Effect.die(new Error(`${count} events of ${total}`)))

/**
 * Fills Emmett's store, by one writer: where several append at a time, its consumer skips some events and repeats others,
 * because it reads in the order of transactions and goes on from a position.
 */
export const fillEmmett = (url: string, count: number) =>
  Effect.scoped(Effect.gen(function*() {
    const emmett = yield* Emmett.make(url)
    for (let first = 0; first < count; first += 100) {
      const events = Array.from({ length: 100 }, (_, n) => plainEvent(first + n))
      yield* Effect.promise(() => emmett.append(`cart-fill-${first}`, events))
    }
  }))

export const emmetts = (url: string, kind: EmmettConsumer.Settings, count: number): Effect.Effect<Sample> =>
  Effect.suspend(() =>
    Effect.map(EmmettConsumer.consume(url, kind, unique(), count), (took) => ({ rate: count / took * 1000 }))
  )

export const catchUp = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  const work = `catch-up over ${thousands(total)} events`
  if (!isWanted(work)) return rows

  const { sql, store } = yield* makePlace(postgres)
  yield* fill(store, total)
  yield* sql.unsafe("VACUUM ANALYZE eventstore.events")

  const messages = yield* MessageDb.make(yield* postgres.createDatabase)
  yield* MessageDb.fill(messages, "cart", textEvent, total)
  yield* messages.unsafe("VACUUM ANALYZE messages")
  const polling = { category: "cart", batchSize: 1000, ahead: false }

  const full = yield* postgres.createDatabase
  yield* fillEmmett(full, total)
  const small = yield* postgres.createDatabase
  yield* fillEmmett(small, some)
  for (const url of [full, small]) {
    yield* Effect.scoped(Effect.flatMap(MessageDb.connect(url), (sql) => sql.unsafe("VACUUM ANALYZE")))
  }

  const ours = <E>(stream: Stream.Stream<Recorded.Recorded<unknown>, E, EventStore>, by?: "event") =>
    timed(complete(Effect.provideService(until(stream, total, by), EventStore, store)))
  const messageDbs = (polling: MessageDb.Polling) => timed(complete(MessageDb.drain(messages, polling)))
  const results = yield* contest(work, {
    raw: ours(Subscription.catchUp(Category.raw)),
    each: ours(Subscription.catchUp(Category.raw), "event"),
    typed: ours(Subscription.catchUp(Cart)),
    emmett: emmetts(full, "default", few),
    emmettTuned: emmetts(full, "tuned", some),
    emmettSmall: emmetts(small, "tuned", some),
    emmettBare: emmetts(full, "no checkpoints", total / 4),
    messageDb: messageDbs(polling),
    messageDbAhead: messageDbs({ ...polling, ahead: true }),
    messageDbLarge: messageDbs({ ...polling, batchSize: 10_000, ahead: true })
  })
  const first = (count: number) => `given the first ${thousands(count)}`
  const untyped = `${work}, untyped`
  rows.push(
    compare(results, "raw", "emmettTuned", {
      work: untyped,
      beside: `Emmett's reactor, batches of 1,000, 1 ms between, ${first(some)}`,
      budget: { atLeast: 80 }
    }),
    compare(results, "typed", "emmettTuned", {
      work: `${work}, typed (10 classes)`,
      beside: `Emmett's reactor, batches of 1,000, 1 ms between, ${first(some)}`,
      budget: { atLeast: 40 }
    }),
    compare(results, "raw", "emmett", { work: untyped, beside: `Emmett's reactor, its defaults, ${first(few)}` }),
    compare(results, "raw", "emmettSmall", {
      work: untyped,
      beside: `Emmett's reactor, batches of 1,000, in a store of ${thousands(some)}`
    }),
    compare(results, "raw", "emmettBare", {
      work: untyped,
      beside: `Emmett's consumer, batches of 1,000, no checkpoints, ${first(total / 4)}`
    }),
    compare(results, "raw", "messageDb", {
      work: untyped,
      beside: "message-db, batches of 1,000 (its default)",
      budget: { atLeast: 2 }
    }),
    compare(results, "raw", "messageDbAhead", { work: untyped, beside: "message-db, the next batch asked for ahead" }),
    compare(results, "raw", "messageDbLarge", { work: untyped, beside: "message-db, batches of 10,000, ahead" }),
    compare(results, "typed", "messageDb", {
      work: `${work}, typed (10 classes)`,
      beside: "message-db, batches of 1,000, untyped"
    }),
    compare(results, "each", "raw", { work: `${untyped}, event by event`, beside: "array by array" })
  )
  return rows
})
