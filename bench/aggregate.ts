/**
 * How long does a command take on a long stream, and how many a second does one hot stream take, beside Emmett's and Castore's
 * command handlers on the same Postgres?
 *
 * - `--only "command on"`, or `"command on 1,000 events"`: `bench/support/longStreams.ts`; with `--full` up to 1,000,000 events
 * - `--only "hot stream"`: `bench/support/hotStream.ts`
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import { about, server } from "./support/arena.ts"
import { report, type Row } from "./support/contest.ts"
import { hotStream } from "./support/hotStream.ts"
import { longStreams } from "./support/longStreams.ts"

const main = Effect.gen(function*() {
  const postgres = yield* server
  const rows: Array<Row> = []
  for (const part of [longStreams, hotStream]) {
    rows.push(...yield* Effect.scoped(part(postgres)))
  }
  console.log(report("aggregate", about, rows))
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
