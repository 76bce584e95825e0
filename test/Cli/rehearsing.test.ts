/** What a dry run says beside a live version that does not move: in this process, on a log in memory. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Layer, References, Schedule, Schema } from "effect"
import { EventStore, Projection } from "effect-eventstore"
import { Output } from "../../src/Cli/internal/frame/output.ts"
import { Progress } from "../../src/Cli/internal/frame/progress.ts"
import { rehearse, rehearsedText } from "../../src/Cli/internal/replay/replayRehearsal.ts"
import { fill, Payment } from "../support/cliShop/shop.ts"

const quiet = Layer.mergeAll(
  Layer.succeed(
    Output,
    Output.of({ isJson: false, isWatched: false, columns: undefined, paint: (_, text) => text })
  ),
  Layer.succeed(Progress, Progress.of({ say: () => Effect.void, during: (_, work) => work(() => Effect.void) }))
)

/** The payments, at 6, 12 and 18; it fails where it is made to. */
const paying = (version: number, failsAt: number) =>
  Projection.documents("paying", {
    version,
    from: Payment,
    state: Schema.Int,
    initial: () => 0,
    evolve: {
      Paid: (sum, { event, position }) => {
        if (position === failsAt) throw new Error("no such cart")
        return sum + event.cents
      }
    }
  })

describe("a dry run beside a live version that has failed", () => {
  it.live("goes to the end of the log, and tells whether it gets there", () =>
    Effect.gen(function*() {
      yield* fill(3)
      yield* Effect.forkScoped(
        Projection.run(paying(1, 6), { onError: { retry: Schedule.recurs(0), giveUp: "stop" } }).pipe(
          Effect.provideService(References.MinimumLogLevel, "None")
        )
      )
      yield* Projection.status("paying").pipe(
        Effect.map(({ status }) => status === "failed"),
        Effect.orElseSucceed(() => false),
        Effect.delay("20 millis"),
        Effect.repeat({ until: (has) => has })
      )
      const said: Array<string> = []
      const dryRun = (projection: Projection.Any, range: { readonly to?: number } = {}) =>
        rehearse(projection, {
          range: { from: undefined, to: range.to, until: undefined },
          keep: undefined,
          ignore: [],
          rows: 5,
          batch: undefined,
          isKeepingOn: false
        }).pipe(
          Effect.provideService(Console.Console, { ...console, error: (text: string) => said.push(text) })
        )
      const done = yield* dryRun(paying(2, 0))
      assert.deepInclude(done, { position: 18, handled: 3, difference: null })
      assert.deepInclude(done.notCompared, { version: 1, is: "failed", position: 6 })
      const text = rehearsedText(done, (_, text) => text)
      assert.match(text, /version 2 built anew to position 18; version 1, which is live, has failed at position 6/)
      assert.notInclude(text, "equal")
      assert.include(said.join(), "goes to the end of the log")

      assert.include(String(yield* Effect.flip(dryRun(paying(2, 12)))), "no such cart")
      // who says up to where, compares all the same
      assert.strictEqual((yield* dryRun(paying(2, 0), { to: 6 })).difference?.isEqual, false)
    }).pipe(Effect.scoped, Effect.provide([quiet, EventStore.layerMemory, NodeServices.layer])))
})
