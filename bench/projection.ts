/**
 * How fast are projections, beside a hand-written loop and beside Emmett's projections on the same Postgres, and what do they
 * cost those who append?
 *
 * The read model is the same everywhere: a row or document for each cart, with the number of its events and a sum.
 *
 * - `--only "read model"`: `bench/support/projectionCatchUp.ts`
 * - `--only inline`, or `"inline projection, 64 callers"`: `bench/support/inlineCost.ts`
 * - `--only "ten projections"`: `bench/support/manyProjections.ts`
 * - `--only partitions`: `bench/support/partitions.ts`
 * - `--only awaitProcessed`: `bench/support/awaiting.ts`
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import { about, server } from "./support/arena.ts"
import { awaiting } from "./support/awaiting.ts"
import { report, type Row } from "./support/contest.ts"
import { inlineCost } from "./support/inlineCost.ts"
import { manyProjections } from "./support/manyProjections.ts"
import { partitions } from "./support/partitions.ts"
import { projectionCatchUp } from "./support/projectionCatchUp.ts"

const main = Effect.gen(function*() {
  const postgres = yield* server
  const rows: Array<Row> = []
  for (const part of [projectionCatchUp, inlineCost, manyProjections, partitions, awaiting]) {
    rows.push(...yield* Effect.scoped(part(postgres)))
  }
  console.log(report("projection", about, rows))
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
