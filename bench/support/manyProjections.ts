/** Ten projections of one process beside one: building them from the same log, and the pace of appends that they follow. */
import { Effect } from "effect"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import { ours } from "./appends.ts"
import { makePlace } from "./arena.ts"
import { compare, contest, isWanted, type Row, type Sample, settings, thousands } from "./contest.ts"
import { build, ready, start } from "./projectors.ts"
import { block, fillInterleaved } from "./totals.ts"
import { inBatches, inDocuments, type Keep } from "./totalsProjections.ts"

const total = settings.quick ? block : 10 * block
const ways: ReadonlyArray<readonly [string, Keep]> = [["tables, by batch", inBatches], ["documents", inDocuments]]

export const manyProjections = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  const many = (count: number, keep: Keep) => Array.from({ length: count }, () => keep())

  const building = `ten projections, catch-up over ${thousands(total)} events`
  if (isWanted(building)) {
    const place = yield* makePlace(postgres)
    yield* fillInterleaved(place.store, total)
    yield* place.sql.unsafe("VACUUM ANALYZE eventstore.events")
    for (const [way, keep] of ways) {
      const results = yield* contest(`${building}, ${way}`, {
        one: Effect.suspend(() => build(place, many(1, keep), total)),
        ten: Effect.suspend(() => build(place, many(10, keep), total))
      })
      rows.push(
        compare(results, "ten", "one", { work: `${building}, ${way}: events until all have them`, beside: "one" })
      )
    }
  }

  const following = "ten projections that follow, 64 callers append"
  if (isWanted(following)) {
    for (const [way, keep] of ways) {
      const place = yield* makePlace(postgres)
      const followed = (count: number): Effect.Effect<Sample, unknown> =>
        Effect.scoped(Effect.gen(function*() {
          for (const keeper of Array.from({ length: count }, () => keep({ start: "end" }))) {
            yield* start(place, keeper)
            yield* ready(place, keeper)
          }
          return yield* ours(place.store, 64)
        }))
      const results = yield* contest(`${following}, ${way}`, { none: followed(0), one: followed(1), ten: followed(10) })
      rows.push(
        compare(results, "one", "none", {
          work: `one projection that follows, 64 callers append, ${way}`,
          beside: "none"
        }),
        compare(results, "ten", "one", { work: `${following}, ${way}`, beside: "one" }),
        compare(results, "ten", "none", { work: `${following}, ${way}`, beside: "none" })
      )
    }
  }
  return rows
})
