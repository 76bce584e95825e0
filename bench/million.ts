/**
 * Does the store slow down when it is full? Appends and reads of a store with a million events in Postgres, beside those
 * of an empty one on the same server.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Stream } from "effect"
import { about, fill, makePlace, server, type Store } from "./support/arena.ts"
import { compare, contest, isWanted, report, type Row, settings, thousands } from "./support/contest.ts"
import { fibres, timed, unique } from "./support/load.ts"
import { readPages, readPagesByHand } from "./support/rawTables.ts"
import { memoryOfRead } from "./support/readMemory.ts"
import { Cart, event } from "./support/shop.ts"

const rows: Array<Row> = []
const million = settings.quick ? 100_000 : 1_000_000
/** What the store beside holds where there must be something to read. */
const few = million / 10

const append = (store: Store, callers: number) =>
  Effect.suspend(() => {
    const run = unique()
    return fibres(
      callers,
      (caller, i) => store.append(Cart.stream(`${run}-${caller}-${Math.floor(i / 10)}`), [event(i)])
    )
  })

/** To streams that have events, all over the store. */
const appendToOld = (store: Store, streams: number) =>
  fibres(64, (caller, i) => store.append(Cart.stream(`fill-${(caller * 7919 + i * 104_729) % streams}`), [event(i)]))

/** Reads as many events as there are few, from a position on. */
const read = (store: Store, from: number) =>
  timed(Effect.suspend(() => {
    let count = 0
    return Effect.map(
      Stream.runForEachArray(store.readAll({ from, limit: few }), (events) =>
        Effect.sync(() => void (count += events.length))),
      () =>
        count
    )
  }))

const readTyped = (store: Store, limit: number) =>
  timed(Effect.as(Stream.runForEachArray(store.readCategory(Cart, { limit }), () => Effect.void), limit))

const readOne = (store: Store, streams: number) =>
  fibres(1, (_, i) => Stream.runCollect(store.read(Cart.stream(`fill-${(i * 104_729) % streams}`))))

const main = Effect.gen(function*() {
  const postgres = yield* server
  const empty = yield* makePlace(postgres)
  const small = yield* makePlace(postgres)
  const full = yield* makePlace(postgres)
  const size = thousands(million)
  yield* fill(small.store, few)
  yield* small.sql.unsafe("VACUUM ANALYZE eventstore.events")
  const started = performance.now()
  yield* fill(full.store, million)
  console.error(`${size} events stored in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  yield* full.sql.unsafe("VACUUM ANALYZE eventstore.events")

  if (isWanted("read")) {
    const beside = `a store of ${thousands(few)}`
    const work = `read ${thousands(few)} events, at ${size} events`
    const results = yield* contest(work, {
      full: read(full.store, Math.floor(million * 0.45)),
      small: read(small.store, 1),
      typed: readTyped(full.store, few),
      typedSmall: readTyped(small.store, few),
      one: readOne(full.store, million / 10),
      oneSmall: readOne(small.store, few / 10)
    })
    rows.push(
      compare(results, "full", "small", { work, beside }),
      compare(results, "typed", "typedSmall", { work: `${work}, typed`, beside }),
      compare(results, "one", "oneSmall", { work: `load a stream of 10 events, at ${size} events`, beside })
    )
  }

  if (isWanted("full")) {
    const work = `read ${size} events to plain objects`
    const results = yield* contest(work, {
      ours: timed(
        Effect.as(Stream.runForEachArray(full.store.readAll({ limit: million }), () => Effect.void), million)
      ),
      typed: readTyped(full.store, million),
      pages: timed(readPages(full.sql, 2000, 0, million)),
      byHand: timed(readPagesByHand(full.sql, 2000, 0, million))
    }, Math.min(settings.rounds, 5))
    rows.push(
      compare(results, "ours", "pages", { work, beside: "bare pages", budget: { atLeast: 0.9 } }),
      compare(results, "ours", "byHand", { work, beside: "bare pages, by hand" }),
      compare(results, "typed", "pages", {
        work: `read ${size} typed events (Schema, 10 classes)`,
        beside: "bare pages",
        budget: { atLeast: 0.5 }
      })
    )
  }

  if (isWanted("memory")) {
    for (const kind of ["plain", "typed"] as const) rows.push(yield* memoryOfRead(full.url, kind, million))
  }

  // last, as they change what the reads find
  if (isWanted("append")) {
    for (const callers of [64, 1]) {
      const work = `append, 1 event, ${callers} ${callers === 1 ? "caller" : "callers"}, at ${size} events`
      const results = yield* contest(work, { full: append(full.store, callers), empty: append(empty.store, callers) })
      rows.push(compare(results, "full", "empty", { work, beside: "an empty store", budget: { atLeast: 1 / 1.3 } }))
    }
    const work = `append, 1 event, 64 callers, to streams that exist, at ${size} events`
    const results = yield* contest(work, {
      full: appendToOld(full.store, million / 10),
      small: appendToOld(small.store, few / 10)
    })
    rows.push(
      compare(results, "full", "small", { work, beside: `a store of ${thousands(few)}`, budget: { atLeast: 1 / 1.3 } })
    )
  }

  console.log(report("million", about, rows))
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
