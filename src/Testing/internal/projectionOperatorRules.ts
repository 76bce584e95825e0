import { assert } from "@effect/vitest"
import { Effect, Schedule, Stream } from "effect"
import * as Projection from "../../Projection/Projection.ts"
import { inStore, until } from "./consuming.ts"
import { documentsOf, foldByHand, freshTexts, puts, textsOf } from "./keyedTexts.ts"
import { freshProjection, otherStore, ownersOf, processed, project, stateOf, untilState } from "./projecting.ts"
import { equal, fails, has, type Rules, type Store } from "./rule.ts"

const documents = (store: Store, name: string) =>
  Effect.flatMap(stateOf(store, name), ({ id }) => documentsOf(store, id))

export const projectionOperatorRules: Rules = (rule) => {
  rule("stands still while it is paused, and goes on when it is resumed", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* project(store, textsOf(name, from), { lease: "1 hour" })
    yield* project(yield* otherStore(store), textsOf(name, from), { lease: "1 hour" })
    yield* processed(store, name)
    yield* run(Projection.pause(name))
    yield* store.append(from.stream("1"), puts("a", "2"))
    yield* Effect.sleep(50)
    const paused = yield* stateOf(store, name)
    has(paused, { status: "paused" })
    equal(ownersOf(paused), [null])
    equal(yield* documents(store, name), { a: ["1"] })
    yield* run(Projection.resume(name))
    yield* processed(store, name)
    equal(yield* documents(store, name), { a: ["1", "2"] })
  })

  rule("stays paused when a runner starts", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const first = yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    yield* inStore(store)(Projection.pause(name))
    yield* first.stop
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* project(store, textsOf(name, from))
    yield* Effect.sleep(50)
    has(yield* stateOf(store, name), { status: "paused" })
    equal(yield* documents(store, name), {})
    yield* inStore(yield* otherStore(store))(Projection.resume(name))
    yield* processed(store, name)
    equal(yield* documents(store, name), { a: ["1"] })
  })

  rule("begins anew when it is reset, while it runs and while it does not", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    const broken = new Set(["2"])
    const options = { partitions: 2, onError: { retry: Schedule.recurs(0), giveUp: "park" } } as const
    yield* store.append(from.stream("1"), [...puts("a", "1", "2"), ...puts("b", "3")])
    const runner = yield* project(store, textsOf(name, from, { broken }), options)
    yield* processed(store, name)
    has(yield* stateOf(store, name), { parkedEvents: 1 })
    broken.clear()
    yield* run(Projection.reset(name))
    yield* untilState(store, name, ({ stage }) => stage === "ready")
    yield* processed(store, name)
    const state = yield* stateOf(store, name)
    has(state, { parkedEvents: 0, parkedKeys: 0 })
    equal(state.partitions.reduce((sum, { handled }) => sum + handled, 0), 3)
    equal(yield* documents(store, name), yield* foldByHand(store, from))
    yield* runner.stop
    yield* run(Projection.reset(name))
    equal(yield* documents(store, name), {})
    yield* project(store, textsOf(name, from), options)
    yield* processed(store, name)
    equal(yield* documents(store, name), yield* foldByHand(store, from))
  })

  rule("is reset again and again in the middle of its work, and loses and doubles nothing", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const keys = ["a", "b", "c"]
    for (let i = 0; i < 100; i++) {
      yield* store.append(from.stream(String(i % 2)), keys.flatMap((key) => puts(key, String(i))))
    }
    for (let i = 0; i < 2; i++) {
      yield* project(yield* otherStore(store), textsOf(name, from), { partitions: 2, batch: 10, lease: "2 seconds" })
    }
    for (let i = 1; i <= 5; i++) {
      yield* untilState(store, name, ({ partitions }) => partitions.some(({ handled }) => handled > 20 * i))
      yield* inStore(store)(Projection.reset(name))
    }
    yield* processed(store, name)
    const state = yield* stateOf(store, name)
    equal(yield* documentsOf(store, state.id), yield* foldByHand(store, from))
    equal(state.partitions.reduce((sum, { handled }) => sum + handled, 0), 300)
  })

  rule("tells how far it is, who works on it, how fast, and what failed last", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    const broken = new Set(["bad"])
    yield* store.append(from.stream("1"), puts("a", "1", "2", "3"))
    const runner = yield* project(store, textsOf(name, from, { broken }), { onError: { retry: Schedule.recurs(0) } })
    let stored = 3
    yield* processed(store, name)
    while ((yield* stateOf(store, name)).partitions[0]!.rate === 0) {
      stored += 10
      yield* store.append(from.stream("1"), puts("a", ...Array.from({ length: 10 }, String)))
      yield* Effect.sleep(50)
    }
    yield* processed(store, name)
    yield* untilState(store, name, ({ stage }) => stage === "ready")
    const status = yield* run(Projection.status(name))
    has(status, { name, version: 1, isLive: true, stage: "ready", status: "running", lag: 0, error: null })
    equal(status.partitions.length, 1)
    has(status.partitions[0]!, { handled: stored, isCaughtUp: true })
    assert.isNotNull(status.partitions[0]!.owner)
    assert.isAbove(status.partitions[0]!.rate, 0)
    const { firstPosition, position } = yield* store.append(from.stream("1"), puts("a", "bad", "4"))
    yield* untilState(store, name, ({ status }) => status === "failed")
    const failed = yield* run(Projection.status(name))
    has(failed, { status: "failed", errorPosition: firstPosition, lag: 2 })
    assert.include(failed.error, "bad is broken")
    equal(failed.partitions[0]!.position, position - 2)
    yield* runner.stop
    equal((yield* run(Projection.statuses(name))).map(({ version }) => version), [1])
    assert.include((yield* run(Projection.statuses())).map(({ name }) => name), name)
  })

  rule("knows its versions one by one", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    yield* project(store, textsOf(name, from, { version: 2 }), { switch: "manual" })
    yield* processed(store, name, 2)
    yield* run(Projection.pause(name, { version: 2 }))
    has(yield* run(Projection.status(name)), { version: 1, status: "running" })
    has(yield* run(Projection.status(name, { version: 2 })), { version: 2, status: "paused" })
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* processed(store, name)
    equal(yield* documentsOf(store, (yield* stateOf(store, name, 2)).id), {})
    yield* run(Projection.resume(name, { version: 2 }))
    yield* processed(store, name, 2)
    equal(yield* documentsOf(store, (yield* stateOf(store, name, 2)).id), { a: ["1"] })
  })

  rule("says of what nobody knows that it is not found", function*(store) {
    const [name, run] = [freshProjection(), inStore(store)]
    for (
      const operation of [
        Projection.status(name),
        Projection.pause(name),
        Projection.resume(name),
        Projection.reset(name),
        Projection.repartition(name, 2),
        Projection.switchTo(name, 1),
        Projection.rollBack(name),
        Projection.drop(name, 1),
        Projection.replay(name),
        Projection.discard(name),
        Stream.runDrain(Projection.parked(name)),
        Projection.awaitProcessed(name, 1)
      ]
    ) {
      const failing = run(operation as Effect.Effect<unknown, any, any>)
      has(yield* fails(failing, "ProjectionNotFound"), { projection: name })
    }
  })

  rule("refuses operations with bad input, by the name of the field", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    for (const partitions of [0, 1001, 1.5, NaN]) {
      has(yield* fails(run(Projection.repartition(name, partitions)), "InvalidInput"), { field: "partitions" })
    }
    for (const position of [-1, 0.5, NaN]) {
      has(yield* fails(run(Projection.awaitProcessed(name, position)), "InvalidInput"), { field: "position" })
    }
    for (const timeout of [-1, "soon"]) {
      const waiting = Projection.awaitProcessed(name, 1, { timeout: timeout as never })
      has(yield* fails(run(waiting), "InvalidInput"), { field: "timeout" })
    }
    has(yield* stateOf(store, name), { repartitionTo: null, status: "running" })
  })

  rule("ends with nothing left running when its runner is interrupted in whatever it does", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    let calls = 0
    const counting = yield* otherStore(store, ({ call }) =>
      Effect.sync(() => {
        if (call.startsWith("projections.")) calls++
      }))
    yield* store.append(from.stream("1"), puts("a", "1", "2", "3"))
    for (let i = 0; i < 10; i++) {
      const runner = yield* project(counting, textsOf(name, from), { partitions: 2, batch: 1 })
      yield* Effect.sleep(i)
      yield* runner.stop
    }
    const after = calls
    yield* Effect.sleep(300)
    equal(calls, after)
    yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    equal(yield* documents(store, name), { a: ["1", "2", "3"] })
    yield* until("owners", () => Effect.map(stateOf(store, name), (state) => !ownersOf(state).includes(null)))
  })
}
