/** What is shown again and again, and how it ends: where the database goes away for a while, or stands still. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Fiber, Latch } from "effect"
import { StoreError } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { Output } from "../../src/Cli/internal/frame/output.ts"
import { releasedWithin } from "../../src/Cli/internal/frame/releasing.ts"
import { showing } from "../../src/Cli/internal/frame/watching.ts"

const failing = (isRetryable: boolean) =>
  Effect.fail(
    new StoreError.StoreError({
      operation: "statuses",
      isRetryable,
      outcome: "not-stored",
      cause: new Error("it restarts")
    })
  )

describe("what is watched", () => {
  it.effect("outlives a restart of the database, and says once that it waits", () =>
    Effect.gen(function*() {
      const said: Array<string> = []
      const looks = [Effect.succeed([]), failing(true), failing(true), Effect.succeed([]), failing(false)]
      let look = 0
      const watching = yield* Effect.forkChild(
        showing({ watch: true, every: 1 }, Effect.suspend(() => looks[look++]!)).pipe(
          Effect.provideService(Console.Console, { ...console, error: (text: string) => void said.push(text) }),
          Effect.provideService(
            Output,
            Output.of({ isJson: false, isWatched: false, columns: undefined, paint: (_, text) => text })
          ),
          Effect.provide(NodeServices.layer),
          Effect.flip
        )
      )
      yield* TestClock.adjust("10 seconds")
      const error = yield* Fiber.join(watching)
      assert.instanceOf(error, StoreError.StoreError)
      assert.strictEqual(look, 5)
      assert.deepStrictEqual(said, ["Waits for the database: statuses failed: it restarts"])
    }))

  it.effect("ends in time at Ctrl-C, whatever does not let go", () =>
    Effect.gen(function*() {
      const begun = yield* Latch.make()
      const stalled = yield* Effect.forkChild(
        releasedWithin("3 seconds")(Effect.ensuring(Effect.andThen(begun.open, Effect.never), Effect.never))
      )
      yield* begun.await
      const ended = yield* Effect.forkChild(Fiber.interrupt(stalled))
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(stalled.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(ended)
      assert.isDefined(stalled.pollUnsafe())
    }))
})
