import { assert, describe, it, layer } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { Category, EventStore, PgliteEventStore, RawEvent } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { barChart } from "../../src/Cli/internal/chart.ts"
import { statsOf } from "../../src/Cli/internal/stats.ts"
import { Logs } from "../support/cliShop/logs.ts"
import { run } from "../support/commandLine.ts"

layer(Logs.layer({ postgres: 3, pglite: 3 }), { excludeTestServices: true })("statistics of a log", (it) => {
  for (const kind of ["Postgres", "PGlite"] as const) {
    it.effect(`counts by category, type and day in ${kind}`, () =>
      Effect.gen(function*() {
        const { at } = yield* Logs
        const { code, json: [stats], stderr } = yield* run(["stats", "--json", "--limit", "2", ...at(kind)])
        assert.strictEqual(code, 0, stderr)
        assert.deepInclude(stats, { after: 0, to: 18, events: 18, looked: 18, isSample: false, hottestOf: 18 })
        assert.deepStrictEqual(stats.categories.map(({ events, name }: any) => [name, events]), [["cart", 15], [
          "payment",
          3
        ]])
        assert.deepStrictEqual(stats.types.map(({ events, name }: any) => [name, events]), [
          ["Added", 9],
          ["CheckedOut", 3],
          ["Opened", 3],
          ["Paid", 3]
        ])
        assert.strictEqual(stats.days.reduce((sum: number, { events }: any) => sum + events, 0), 18)
        assert.deepStrictEqual(stats.hottest, [{ streamId: "cart-1", events: 5 }, { streamId: "cart-2", events: 5 }])
        assert.deepStrictEqual(stats.longest, [{ streamId: "cart-1", version: 5 }, { streamId: "cart-2", version: 5 }])
        assert.deepInclude(stats.growth, { days: 1, eventsPerDay: 18 })
        assert.isAbove(stats.size.tables.find(({ table }: any) => table === "events").indexBytes, 0)
      }))
  }

  it.effect("says so where it only looks at a part", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run(["stats", "--scan", "6", ...(yield* Logs).at("Postgres")])
      assert.match(stdout, /events +about 18\n/)
      assert.include(stdout, "A sample: 6 events were looked at")
      assert.match(stdout, /Events a day, in UTC\n\d{4}-\d{2}-\d{2} {2}█+/)
    }))
})

/** A log of so many days, with so many events on each; the last of each is of its own type and stream. */
const filled = Effect.fnUntraced(function*(days: number, perDay: number) {
  const store = yield* EventStore
  const sql = yield* SqlClient.SqlClient
  for (let day = 0; day < days; day++) {
    const events = Array.from(
      { length: perDay },
      (_, i) => RawEvent.make({ type: i % 2 === 0 ? "Even" : "Odd", schemaVersion: 1, data: { i } })
    )
    yield* store.append(Category.rawStream("long-1"), events.slice(perDay / 10))
    yield* store.append(Category.rawStream(`short-${day}`), events.slice(0, perDay / 10))
  }
  // the days of the past
  yield* sql`ALTER TABLE eventstore.events DISABLE TRIGGER events_refuse_change`
  yield* sql`UPDATE eventstore.events SET recorded_at =
    '2026-03-01T12:00:00Z'::timestamptz + ((position - 1) / ${perDay}) * interval '1 day'`
  return { sql, schema: "eventstore", log: 1 }
})

const options = { scan: 1_000_000, limit: 3, report: () => Effect.void, since: undefined, until: undefined }
const at = (text: string) => DateTime.toEpochMillis(DateTime.makeUnsafe(text))

describe("statistics", () => {
  it.live("find a part by its times, and estimate what is too much to look at", () =>
    Effect.gen(function*() {
      const tables = yield* filled(30, 400)
      const week = yield* statsOf(tables, {
        ...options,
        since: at("2026-03-08T00:00:00Z"),
        until: at("2026-03-15T00:00:00Z")
      })
      assert.deepInclude(week, { after: 2800, to: 5600, events: 2800, isSample: false })
      assert.deepStrictEqual(week.days.map(({ events }) => events), Array.from({ length: 7 }, () => 400))
      assert.deepInclude(week.growth, { days: 7, eventsPerDay: 400 })
      const all = yield* statsOf(tables, { ...options, until: at("2026-04-01T00:00:00Z") })
      assert.deepStrictEqual([all.events, all.isSample, all.days.length], [12_000, false, 30])
      assert.deepStrictEqual(all.longest[0], { streamId: "long-1", version: 10_800 })
      assert.deepStrictEqual(all.hottest[0], { streamId: "long-1", events: 10_800 })
      const sample = yield* statsOf(tables, { ...options, scan: 4000 })
      assert.deepStrictEqual([sample.isSample, sample.looked], [true, 4000])
      assert.closeTo(sample.events, 12_000, 1)
      assert.closeTo(sample.types.find(({ name }) => name === "Even")!.events, 6000, 300)
      assert.deepStrictEqual(sample.longest[0], { streamId: "long-1", version: 10_800 })
      // blocks that lie close together, or are no whole thousands
      for (const [scan, until] of [[1500, "2026-03-05"], [2800, "2026-03-08"], [7, "2026-03-02"]] as const) {
        const part = yield* statsOf(tables, { ...options, scan, until: at(until) })
        assert.deepStrictEqual([part.isSample, part.looked, part.events], [
          scan < part.to,
          Math.min(scan, part.to),
          part.to
        ])
      }
      const none = yield* statsOf(tables, { ...options, since: at("2027-01-01T00:00:00Z") })
      assert.deepInclude(none, { events: 0, looked: 0, isSample: false, categories: [], longest: [] })
    }).pipe(Effect.provide(PgliteEventStore.layer())))

  it("are drawn as bars that fit", () => {
    const lines = barChart([{ name: "a", value: 1000 }, { name: "bb", value: 500 }, { name: "c", value: 0 }], {
      columns: 30,
      paint: (_, text) => text
    })
    assert.deepStrictEqual(lines, ["a   ███████████████████ 1,000", "bb  █████████▌ 500", "c    0"])
  })
})
