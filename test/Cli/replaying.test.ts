/** What a replay promises where others are at work meanwhile: in this process, on a log in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { EventStore, Projection } from "effect-eventstore"
import { Output } from "../../src/Cli/internal/output.ts"
import { Progress } from "../../src/Cli/internal/progress.ts"
import { prepareRebuild, rebuild } from "../../src/Cli/internal/replayProjection.ts"
import { fill, Payment } from "../support/cliShop/shop.ts"

const quiet = Layer.mergeAll(
  Layer.succeed(
    Output,
    Output.of({ isJson: true, isWatched: false, columns: undefined, paint: (_, text) => text })
  ),
  Layer.succeed(Progress, Progress.of({ say: () => Effect.void, during: (_, work) => work(() => Effect.void) }))
)

const paying = (version: number) =>
  Projection.documents("paying", {
    version,
    from: Payment,
    state: Schema.Int,
    initial: () => 0,
    evolve: { Paid: (sum, { event }) => sum + event.cents }
  })

const isLive = (version: number) =>
  Projection.status("paying", { version }).pipe(
    Effect.map(({ isLive, stage }) => isLive && stage === "ready"),
    Effect.orElseSucceed(() => false),
    Effect.delay("20 millis"),
    Effect.repeat({ until: (is) => is })
  )

describe("a rebuild", () => {
  it.live("takes the place of the version that is live when it ends, and of no later one", () =>
    Effect.gen(function*() {
      yield* fill(3)
      yield* Effect.forkScoped(Projection.run(paying(1)))
      yield* isLive(1)
      const options = { isSwitching: true, partitions: 1, batch: undefined, isKeepingOn: false }
      const prepared = yield* Effect.forEach([2, 4], (version) => prepareRebuild(paying(version), options))
      yield* Effect.forkScoped(Projection.run(paying(3)))
      yield* isLive(3)

      assert.deepInclude(yield* rebuild(prepared[0]!), { version: 2, isLive: false, replaced: null, handled: 3 })
      assert.strictEqual((yield* Projection.status("paying")).version, 3)
      assert.deepInclude(yield* rebuild(prepared[1]!), { version: 4, isLive: true, replaced: 3 })
    }).pipe(Effect.scoped, Effect.provide([quiet, EventStore.layerMemory])))
})
