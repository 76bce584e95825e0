import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Schedule, Schema } from "effect"
import { Category, Decider, EventStore } from "effect-eventstore"
import * as DeciderEntity from "effect-eventstore/Aggregate/DeciderEntity"
import { TestRunner } from "effect/cluster"
import { foldedOf } from "../../src/Aggregate/internal/aggregate.ts"
import { defaultRetry } from "../../src/Aggregate/internal/retrying.ts"
import { makeTelemetry } from "../../src/Aggregate/internal/telemetry.ts"
import { makeWriter } from "../../src/Aggregate/internal/writer.ts"
import { Enter, Entered, makeLedgers } from "../support/ledgers.ts"

let made = 0

const enter = (by: number, saw: number) => [new Entered({ by, saw, note: "" })]

const open = (decide: NonNullable<Parameters<typeof makeLedgers>[1]>, options: DeciderEntity.LayerOptions = {}) =>
  Effect.gen(function*() {
    const ledgers = makeLedgers(`leaving${++made}`, decide)
    const context = yield* Layer.build(
      ledgers.entity.toLayer(options).pipe(
        Layer.provideMerge(Layer.fresh(Layer.merge(TestRunner.layer, EventStore.layerMemory)))
      )
    )
    return (by: number) => Effect.provide(ledgers.entity.run("a", new Enter({ by })), context)
  })

describe("DeciderEntity", () => {
  it.live("goes on where the one who asked leaves while his command is decided", () =>
    Effect.gen(function*() {
      const began = yield* Deferred.make<void>()
      let isInterrupted = false
      const run = yield* open(({ by }, { sum }) =>
        by === 1
          ? Effect.andThen(
            Deferred.succeed(began, undefined),
            Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (isInterrupted = true)))
          )
          : Effect.succeed(enter(by, sum))
      )
      const first = yield* Effect.forkChild(run(1))
      yield* Deferred.await(began)
      const second = yield* Effect.forkChild(run(2), { startImmediately: true })
      yield* Fiber.interrupt(first)
      assert.strictEqual((yield* Effect.timeout(Fiber.join(second), "3 seconds")).state.sum, 2)
      assert.isTrue(isInterrupted)
    }))

  it.live("keeps nothing of those who left before their turn", () =>
    Effect.gen(function*() {
      const { ledgers } = makeLedgers(`leaving${++made}`)
      const store = Context.get(yield* Layer.build(EventStore.layerMemory), EventStore)
      const gate = yield* Deferred.make<void>()
      const writer = yield* makeWriter({
        store,
        folded: foldedOf(ledgers, "a"),
        decide: ({ by }: Enter, { sum }: { readonly sum: number }) => Effect.as(Deferred.await(gate), enter(by, sum)),
        retry: defaultRetry,
        telemetry: makeTelemetry("leaving"),
        batch: 10
      })
      const ask = (by: number) =>
        Effect.forkChild(
          writer.run({ command: new Enter({ by }), commandId: `c${by}`, expected: undefined, metadata: {} }),
          { startImmediately: true }
        )
      const first = yield* ask(1)
      while (writer.waiting() > 0) yield* Effect.sleep("1 millis")
      const gone = yield* Effect.forEach(Array.from({ length: 100 }, (_, i) => i + 10), ask)
      const last = yield* ask(2)
      assert.strictEqual(writer.waiting(), 101)
      yield* Fiber.interruptAll(gone)
      assert.strictEqual(writer.waiting(), 1)
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual([(yield* Fiber.join(first)).state.sum, (yield* Fiber.join(last)).state.sum], [1, 3])
    }))

  it.live("takes a decision that ends in an interruption of its own for a defect, and does not send it again", () =>
    Effect.gen(function*() {
      let times = 0
      const run = yield* open(({ by }, { sum }) =>
        by === 1
          ? Effect.suspend(() => {
            times++
            return Effect.interrupt
          })
          : Effect.succeed(enter(by, sum))
      )
      const exit = yield* Effect.exit(Effect.timeout(run(1), "3 seconds"))
      assert.isTrue(Exit.hasDies(exit))
      assert.strictEqual(times, 1)
      assert.strictEqual((yield* run(2)).state.sum, 2)
    }))

  it.live("decides again as often as its decider does, unless it is told otherwise", () =>
    Effect.gen(function*() {
      for (const retry of [undefined, Schedule.recurs(1)]) {
        const category = Category.make(`leaving${++made}`, { id: Schema.String, events: [Entered] })
        let times = 0
        const store = Context.get(yield* Layer.build(Layer.fresh(EventStore.layerMemory)), EventStore)
        const entity = DeciderEntity.make(Decider.make(category, {
          state: Schema.Int,
          commands: [Enter],
          initial: 0,
          evolve: { Entered: (sum, { by }) => sum + by },
          decide: {
            // somebody is always faster
            Enter: ({ by }, sum) =>
              Effect.orDie(store.append(category.stream("a"), enter(1, -1))).pipe(
                Effect.andThen(Effect.sync(() => void times++)),
                Effect.as(enter(by, sum))
              )
          },
          retry: Schedule.recurs(3)
        }))
        const error = yield* Effect.flip(entity.run("a", new Enter({ by: 1 }))).pipe(
          Effect.provide(entity.toLayer({ retry })),
          Effect.provide(TestRunner.layer, { local: true }),
          Effect.provideService(EventStore, store)
        )
        assert.strictEqual(error._tag, "WrongExpectedVersion")
        assert.strictEqual(times, retry === undefined ? 4 : 2)
      }
    }))
})
