/** A read model that is built by four partitions of one process, beside one. */
import { Effect } from "effect"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import { makePlace } from "./arena.ts"
import { compare, contest, isWanted, type Row, settings, thousands } from "./contest.ts"
import { build } from "./projectors.ts"
import { block, fillInterleaved } from "./totals.ts"
import { byTag, inBatches, inDocuments } from "./totalsProjections.ts"

export const partitions = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  const ways = [
    ["tables, by tag", byTag, settings.quick ? block : 5 * block],
    ["tables, by batch", inBatches, settings.quick ? block : 20 * block],
    ["documents", inDocuments, settings.quick ? block : 20 * block]
  ] as const
  for (const [way, keep, total] of ways) {
    const work = `4 partitions, rebuild of ${thousands(total)} events, ${way}`
    if (!isWanted(work)) continue
    const place = yield* makePlace(postgres)
    yield* fillInterleaved(place.store, total)
    yield* place.sql.unsafe("VACUUM ANALYZE eventstore.events")
    const results = yield* contest(work, {
      four: Effect.suspend(() => build(place, [keep()], total, { partitions: 4 })),
      one: Effect.suspend(() => build(place, [keep()], total))
    })
    rows.push(compare(results, "four", "one", { work, beside: "1 partition" }))
  }
  return rows
})
