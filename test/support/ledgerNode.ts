/** A node that owns ledgers, until it is killed. `node ledgerNode.ts URL PORT` */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { writeSync } from "node:fs"
import { cluster, shared } from "./ledgers.ts"

const [url, port] = process.argv.slice(2) as [string, string]

Layer.launch(
  Layer.effectDiscard(Effect.sync(() => writeSync(1, "ready\n"))).pipe(
    Layer.provide(shared.entity.toLayer()),
    Layer.provide(cluster(url, Number(port)))
  )
).pipe(NodeRuntime.runMain)
