import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Signal } from "../../src/Store/Signal.ts"

it.effect("does not wait where it was raised before", () =>
  Effect.gen(function*() {
    const signal = new Signal()
    signal.raise()
    yield* signal.wait
    assert.isTrue(signal.take())
    assert.isFalse(signal.take())
  }))

it.effect("wakes who waits, after who raised it has gone on", () =>
  Effect.gen(function*() {
    const signal = new Signal()
    const order: Array<string> = []
    const waiting = yield* Effect.forkChild(Effect.andThen(signal.wait, Effect.sync(() => order.push("woken"))))
    yield* Effect.yieldNow
    signal.raise()
    order.push("raised")
    yield* Fiber.join(waiting)
    assert.deepStrictEqual(order, ["raised", "woken"])
  }))

it.effect("is not kept busy by who does not wait any more", () =>
  Effect.gen(function*() {
    const signal = new Signal()
    const waiting = yield* Effect.forkChild(signal.wait, { startImmediately: true })
    yield* Fiber.interrupt(waiting)
    signal.raise()
    yield* signal.wait
  }))
