/**
 * How fast are subscriptions, beside Emmett's consumer and beside a consumer that polls message-db, on the same Postgres?
 *
 * - `--only catch-up`: `bench/support/catchUp.ts`
 * - `--only delivery`, or `"same process"`, `"other process"`: `bench/support/latency.ts`
 * - `--only subscribers`, or `category`, `"a stream each"`, `tag`, `whole`: `bench/support/manySubscribers.ts`
 * - `--only persistent`: `bench/support/persistent.ts`
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import { about, server } from "./support/arena.ts"
import { catchUp } from "./support/catchUp.ts"
import { report, type Row } from "./support/contest.ts"
import { latency } from "./support/latency.ts"
import { manySubscribers } from "./support/manySubscribers.ts"
import { persistent } from "./support/persistent.ts"

const main = Effect.gen(function*() {
  const postgres = yield* server
  const rows: Array<Row> = []
  for (const part of [catchUp, latency, manySubscribers, persistent]) rows.push(...yield* Effect.scoped(part(postgres)))
  console.log(report("subscribe", about, rows))
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
