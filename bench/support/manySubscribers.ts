/**
 * A thousand readers in one process, while another process appends: each wants a thousandth of the events, or each wants
 * all of them. The clock runs from the first append until the last reader has all that is his.
 */
import { Effect } from "effect"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import { makePlace, type Place } from "./arena.ts"
import { latenciesOf, now, rateOf } from "./arrivals.ts"
import { compare, contest, isWanted, quantile, type Row, type Sample, settings, thousands } from "./contest.ts"
import { timed, unique } from "./load.ts"
import { entryFor, type Part } from "./readerParts.ts"
import { type Read, type Settings, startReaders } from "./readers.ts"

const readers = settings.quick ? 200 : 1000
/** Events of each reader, where each has its own. They come in pieces of ten, and an append holds one for every tenth. */
const own = settings.quick ? 50 : 100
const piece = 10
const share = readers / 10
/** Events where all get the same, in appends of a hundred. */
const common = settings.quick ? 500 : 2000

/** The appends of a run: which reader's events, by their first number. */
const appendsOf = (part: Part): ReadonlyArray<ReadonlyArray<{ readonly reader: number; readonly first: number }>> =>
  part === "all"
    ? Array.from(
      { length: common / 100 },
      (_, n) => Array.from({ length: 10 }, (_, i) => ({ reader: 0, first: n * 100 + i * piece }))
    )
    : Array.from({ length: own / piece * 10 }, (_, n) =>
      Array.from({ length: share }, (_, i) => {
        const reader = n % 10 * share + i
        return { reader, first: reader * own + Math.floor(n / 10) * piece }
      }))

/** Appends everything; says when each append was acknowledged. */
const append = Effect.fnUntraced(function*({ store }: Place, part: Part, run: string) {
  const acknowledged: Array<number> = []
  for (const entries of appendsOf(part)) {
    yield* store.appendAll(entries.map(({ first, reader }) => entryFor(part, reader, run, first, piece)))
    acknowledged.push(now())
  }
  return acknowledged
})

const read = (place: Place, part: Part, way: Settings["way"]): Effect.Effect<Sample, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const each = part === "all" ? common : own
    const { ask } = yield* startReaders({ url: place.url, readers, each, part, way })
    yield* Effect.sleep("1 second")
    const run = unique()
    const started = now()
    const acknowledged = yield* append(place, part, run)
    const { heap, rss, times } = yield* ask<Read>({ run, count: part === "all" ? readers : readers * each })
    const latencies = latenciesOf(times, (i) => {
      if (part === "all") return acknowledged[acknowledged.length - 1]!
      const reader = Math.floor(i / own)
      return acknowledged[Math.floor(i % own / piece) * 10 + Math.floor(reader / share)]!
    })
    const { lost, rate } = rateOf(times, started)
    return {
      rate: part === "all" ? rate * each : rate,
      lost,
      p50: quantile(latencies, 0.5),
      p99: quantile(latencies, 0.99),
      heap,
      rss
    }
  }))

const names = {
  p50: "p50 of the delivery",
  p99: "p99 of the delivery",
  heap: "live heap of the process",
  rss: "peak rss of the process"
} as const

export const manySubscribers = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  for (
    const [part, filter] of [
      ["category", `a category each, ${thousands(readers * own)} events`],
      ["stream", `a stream each, ${thousands(readers * own)} events`],
      ["tag", `a tag each, ${thousands(readers * own)} events`],
      ["all", `the whole log each, ${thousands(common)} events, deliveries`]
    ] as const
  ) {
    const work = `${thousands(readers)} subscribers, ${filter}`
    if (!isWanted(work)) continue
    const place = yield* makePlace(postgres)
    const results = yield* contest(work, {
      ours: read(place, part, "subscription"),
      read: read(place, part, "read"),
      select: read(place, part, "select"),
      woken: read(place, part, "woken"),
      nobody: timed(
        Effect.suspend(() => Effect.as(append(place, part, unique()), part === "all" ? common : readers * own))
      )
    })
    const beside = "one reader each, that reads on every 100 ms"
    rows.push(
      compare(results, "ours", "read", { work, beside, budget: { atLeast: 100 } }),
      compare(results, "ours", "select", { work, beside: `${beside}, bare SELECT` }),
      compare(results, "ours", "woken", { work, beside: "one reader each, bare SELECT when something was appended" }),
      ...(["p50", "p99", "heap", "rss"] as const).map((measure) =>
        compare(results, "ours", "read", { work: `${work}: ${names[measure]}`, beside, measure })
      ),
      ...(["p50", "p99"] as const).map((measure) =>
        compare(results, "ours", "woken", {
          work: `${work}: ${names[measure]}`,
          beside: "one reader each, bare SELECT when something was appended",
          measure
        })
      )
    )
    if (part !== "all") rows.push(compare(results, "ours", "nobody", { work, beside: "the same appends, no readers" }))
  }
  return rows
})
