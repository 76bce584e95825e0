/**
 * How fast are reads from Postgres, beside bare pages through the same client and beside Emmett on the same Postgres?
 * And does a reader's memory stay flat?
 *
 * - "Bare pages" is what a user would write: `SELECT` of the table's columns after a position, 2,000 rows at a time, rows
 *   as the client gives them. "By hand" is the limit: cheap types on the wire, rows without names, objects made by hand.
 * - Emmett has no read of the whole log, and gives a stream as one array: it is compared on one long stream.
 * - Every read runs to the end; what it reads is dropped.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Stream } from "effect"
import { Category, type Recorded } from "effect-eventstore"
import * as Emmett from "./emmett/EmmettStore.ts"
import { about, fill, makePlace, server } from "./support/arena.ts"
import { compare, contest, isWanted, report, type Row, settings, thousands } from "./support/contest.ts"
import { fibres, promises, timed, unique } from "./support/load.ts"
import { readPages, readPagesByHand, readStream } from "./support/rawTables.ts"
import { memoryOfRead } from "./support/readMemory.ts"
import { Cart, events, plainEvent } from "./support/shop.ts"

const rows: Array<Row> = []
const total = settings.quick ? 50_000 : 200_000

/** Reads a stream to its end, array by array as they come. */
const drain = <E>(stream: Stream.Stream<Recorded.Recorded<unknown>, E>) =>
  timed(Effect.suspend(() => {
    let count = 0
    return Effect.as(
      Stream.runForEachArray(stream, (events) => Effect.sync(() => void (count += events.length))),
      0
    ).pipe(Effect.map(() => count))
  }))

/** The same, event by event. */
const drainEach = <E>(stream: Stream.Stream<Recorded.Recorded<unknown>, E>) =>
  timed(Effect.suspend(() => {
    let count = 0
    return Effect.map(Stream.runForEach(stream, () => Effect.sync(() => void count++)), () => count)
  }))

const main = Effect.gen(function*() {
  const postgres = yield* server
  const { sql, store, url } = yield* makePlace(postgres)
  if (["log", "typed", "memory", "short"].some(isWanted)) {
    yield* fill(store, total)
    yield* sql.unsafe("VACUUM ANALYZE eventstore.events")
  }

  if (isWanted("log")) {
    const work = `read a log of ${thousands(total)} events to plain objects`
    const results = yield* contest(work, {
      ours: drain(store.readAll()),
      each: drainEach(store.readAll()),
      pages: timed(readPages(sql, 2000)),
      pages1000: timed(readPages(sql, 1000)),
      byHand: timed(readPagesByHand(sql, 2000))
    })
    rows.push(
      compare(results, "ours", "pages", { work, beside: "bare pages", budget: { atLeast: 0.9 } }),
      compare(results, "ours", "pages1000", { work, beside: "bare pages of 1,000" }),
      compare(results, "ours", "byHand", { work, beside: "bare pages, by hand" }),
      compare(results, "each", "ours", { work: `${work}, event by event`, beside: "array by array" })
    )
  }

  if (isWanted("typed")) {
    const work = `read ${thousands(total)} typed events (Schema, 10 classes)`
    const results = yield* contest(work, {
      typed: drain(store.readCategory(Cart)),
      plain: drain(store.readAll()),
      pages: timed(readPages(sql, 2000))
    })
    rows.push(
      compare(results, "typed", "plain", { work, beside: "the same to plain objects", budget: { atLeast: 0.5 } }),
      compare(results, "typed", "pages", { work, beside: "bare pages", budget: { atLeast: 0.5 } })
    )
  }

  if (isWanted("long stream")) {
    const emmett = yield* Emmett.make(yield* postgres.createDatabase)
    const long = yield* makePlace(postgres)
    const name = "cart-long"
    for (let i = 0; i < total; i += 1000) {
      yield* long.store.append(Cart.stream("long"), events(i, 1000))
      yield* Effect.promise(() => emmett.append(name, Array.from({ length: 1000 }, (_, n) => plainEvent(i + n))))
    }
    const work = `read one stream of ${thousands(total)} events`
    const results = yield* contest(work, {
      plain: drain(long.store.read(Category.rawStream(name))),
      typed: drain(long.store.read(Cart.stream("long"))),
      emmett: timed(Effect.promise(() => emmett.read(name)))
    })
    rows.push(
      compare(results, "plain", "emmett", {
        work: `${work} to plain objects`,
        beside: "Emmett",
        budget: { atLeast: 3 }
      }),
      compare(results, "typed", "emmett", { work: `${work}, typed`, beside: "Emmett, plain" })
    )
  }

  if (isWanted("short")) {
    const work = "load a stream of 10 events, typed"
    const emmett = yield* Emmett.make(yield* postgres.createDatabase)
    const run = unique()
    yield* Effect.promise(() =>
      Promise.all(
        Array.from({ length: 1000 }, (_, n) =>
          emmett.append(
            `cart-${run}-${n}`,
            Array.from({ length: 10 }, (_, i) => plainEvent(i))
          ))
      )
    )
    const streams = total / 10
    const id = (caller: number, i: number) => `fill-${(caller * 7919 + i * 104_729) % streams}`
    const load = (callers: number) =>
      fibres(callers, (caller, i) => Stream.runCollect(store.read(Cart.stream(id(caller, i)))))
    const bare = (callers: number) => fibres(callers, (caller, i) => readStream(sql, `cart-${id(caller, i)}`))
    const emmetts = (callers: number) =>
      promises(callers, (caller, i) => emmett.read(`cart-${run}-${(caller * 79 + i * 101) % 1000}`))
    const results = yield* contest(work, {
      one: load(1),
      bareOne: bare(1),
      emmettOne: emmetts(1),
      many: load(64),
      bareMany: bare(64),
      emmettMany: emmetts(64)
    })
    rows.push(
      compare(results, "one", "bareOne", { work: `${work}, 1 caller: p50`, beside: "bare SELECT", measure: "p50" }),
      compare(results, "one", "emmettOne", { work: `${work}, 1 caller: p50`, beside: "Emmett, plain", measure: "p50" }),
      compare(results, "many", "bareMany", { work: `${work}, 64 callers`, beside: "bare SELECT" }),
      compare(results, "many", "emmettMany", { work: `${work}, 64 callers`, beside: "Emmett, plain" })
    )
  }

  if (isWanted("memory")) {
    for (const kind of ["plain", "typed"] as const) rows.push(yield* memoryOfRead(url, kind, total))
  }

  console.log(report("read", about, rows))
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
