import { assert, it } from "@effect/vitest"
import { Clock, Effect, References } from "effect"
import { StoreError } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { steadySession } from "../../src/Store/internal/steady.ts"

it.effect("waits longer and longer for what does not come up, and shortly again after it was up for a while", () =>
  Effect.gen(function*() {
    const begun: Array<number> = []
    const lost = new StoreError.StoreError({
      operation: "listen",
      isRetryable: true,
      outcome: "not-stored",
      cause: new Error("lost")
    })
    // the tenth one lasts for a minute
    const session = Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => Effect.andThen(Effect.sleep(begun.push(now) === 10 ? "1 minute" : 0), Effect.fail(lost))
    )
    yield* Effect.forkChild(
      Effect.provideService(steadySession(session, "It is lost"), References.MinimumLogLevel, "Error")
    )
    while (begun.length < 12) yield* TestClock.adjust(10)
    const waits = begun.slice(1).map((time, i) => time - begun[i]!)
    assert.isBelow(waits[0]!, 100)
    assert.isAbove(waits[8]!, 1500)
    // at once, and then as at first
    assert.isBelow(waits[9]!, 60_050)
    assert.isBelow(waits[10]!, 100)
  }))
