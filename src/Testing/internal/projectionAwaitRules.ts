import { assert } from "@effect/vitest"
import { Clock, Effect, Fiber, Option, Schedule } from "effect"
import * as Projection from "../../Projection/Projection.ts"
import { adjustUntil, inStore, makeClock } from "./consuming.ts"
import { freshTexts, puts, Removed, textsOf } from "./keyedTexts.ts"
import { freshProjection, otherStore, processed, project, untilState } from "./projecting.ts"
import { equal, fails, freshStream, has, notes, type Rules, together } from "./rule.ts"

export const projectionAwaitRules: Rules = (rule) => {
  rule("lets a program read what it wrote, in the process of the runner and in another one", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const local = yield* otherStore(store)
    yield* project(local, texts, { partitions: 2 })
    yield* untilState(store, name, () => true)
    for (const reader of [local, yield* otherStore(store)]) {
      const run = inStore(reader)
      for (let i = 0; i < 20; i++) {
        const key = `${i % 5}`
        const { position } = yield* reader.append(from.stream(key), puts(key, "text"))
        yield* run(Projection.awaitProcessed(texts, position))
        const state = Option.getOrThrow(yield* run(Projection.get(texts, key)))
        assert.strictEqual(state.length, (reader === local ? 0 : 4) + Math.floor(i / 5) + 1)
      }
    }
  })

  rule("waits for an event that does not match as for any other, and for one that is set aside", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from, { types: ["Put"], broken: new Set(["bad"]) })
    yield* project(store, texts, { onError: { retry: Schedule.recurs(0), giveUp: "park" } })
    yield* untilState(store, name, () => true)
    for (const reader of [store, yield* otherStore(store)]) {
      const run = inStore(reader)
      const filtered = yield* store.append(from.stream("1"), [new Removed({ key: "a" })])
      yield* run(Projection.awaitProcessed(name, filtered.position))
      const foreign = yield* store.append(freshStream(), notes("foreign"))
      yield* run(Projection.awaitProcessed(name, foreign.position))
      const parked = yield* store.append(from.stream("1"), puts("a", "bad"))
      yield* run(Projection.awaitProcessed(name, parked.position))
    }
  })

  rule("answers at once what was handled long ago, whether it is running or not", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const { position } = yield* store.append(from.stream("1"), puts("a", "1"))
    const runner = yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    yield* runner.stop
    yield* inStore(store)(Projection.awaitProcessed(name, position, { timeout: "1 hour" }))
    yield* inStore(store)(Projection.awaitProcessed(name, 0))
    yield* inStore(store)(Projection.pause(name))
    yield* inStore(store)(Projection.awaitProcessed(name, position))
  })

  rule("gives up after a time, and says how far it is", function*(store) {
    const [from, name, clock] = [freshTexts(), freshProjection(), yield* makeClock]
    const { position } = yield* store.append(from.stream("1"), puts("a", "1"))
    const runner = yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    yield* runner.stop
    const later = yield* store.append(from.stream("1"), puts("a", "2"))
    for (const reader of [store, yield* otherStore(store)]) {
      const waiting = yield* Effect.forkChild(
        fails(
          inStore(reader)(Projection.awaitProcessed(name, later.position, { timeout: "5 seconds" })),
          "AwaitTimedOut"
        )
          .pipe(Effect.provideService(Clock.Clock, clock))
      )
      yield* adjustUntil(clock, "500 millis", "the end of waiting", () => waiting.pollUnsafe() !== undefined)
      has(yield* Fiber.join(waiting), { projection: name, position: later.position })
    }
    assert.isBelow(position, later.position)
  })

  rule("waits for what is stored only later", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* project(store, textsOf(name, from))
    yield* untilState(store, name, () => true)
    const head = yield* store.head()
    const waiting = yield* together(2, (i) =>
      Effect.gen(function*() {
        const reader = i === 0 ? store : yield* otherStore(store)
        return yield* Effect.forkScoped(inStore(reader)(Projection.awaitProcessed(name, head + 2)))
      }))
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* processed(store, name)
    for (const fiber of waiting) assert.isUndefined(fiber.pollUnsafe())
    yield* store.append(from.stream("1"), puts("a", "2"))
    for (const fiber of waiting) yield* Fiber.join(fiber)
  })

  rule("fails for a projection that nobody knows, and at once for one that has failed", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    has(yield* fails(run(Projection.awaitProcessed(name, 1)), "ProjectionNotFound"), { projection: name })
    const { position } = yield* store.append(from.stream("1"), puts("a", "1"))
    yield* project(store, textsOf(name, from, { broken: new Set(["1"]) }), { onError: { retry: Schedule.recurs(0) } })
    yield* untilState(store, name, ({ status }) => status === "failed")
    for (const reader of [store, yield* otherStore(store)]) {
      yield* fails(
        inStore(reader)(Projection.awaitProcessed(name, position, { timeout: "1 hour" })),
        "ProjectionFailed"
      )
    }
  })

  rule("fails when it fails while somebody waits", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* project(store, textsOf(name, from, { broken: new Set(["1"]) }), { onError: { retry: Schedule.recurs(0) } })
    yield* untilState(store, name, () => true)
    const head = yield* store.head()
    const waiting = yield* together(2, (i) =>
      Effect.gen(function*() {
        const reader = i === 0 ? store : yield* otherStore(store)
        return yield* Effect.forkScoped(
          fails(inStore(reader)(Projection.awaitProcessed(name, head + 1, { timeout: "1 hour" })), "ProjectionFailed")
        )
      }))
    yield* store.append(from.stream("1"), puts("a", "1"))
    for (const fiber of waiting) yield* Fiber.join(fiber)
  })

  rule("asks no more often for many who wait than for one", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    let asked = 0
    const counting = yield* otherStore(store, ({ at, call }) =>
      Effect.sync(() => {
        if (call === "projections.progress" && at === "before") asked++
      }))
    const runner = yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    yield* runner.stop
    const head = yield* store.head()
    const waiting = yield* Effect.forkChild(
      together(200, (i) => inStore(counting)(Projection.awaitProcessed(name, head + 1 + i % 3)))
    )
    yield* Effect.sleep(300)
    yield* project(store, textsOf(name, from))
    yield* store.append(from.stream("1"), puts("a", "1", "2", "3"))
    yield* Fiber.join(waiting)
    assert.isBelow(asked, 100)
  })

  rule("stops asking when nobody waits any more", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    let asked = 0
    const counting = yield* otherStore(store, ({ at, call }) =>
      Effect.sync(() => {
        if (call.startsWith("projections.") && at === "before") asked++
      }))
    const runner = yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    yield* runner.stop
    const head = yield* store.head()
    const waiting = yield* Effect.forkChild(inStore(counting)(Projection.awaitProcessed(name, head + 1)))
    yield* Effect.sleep(50)
    yield* Fiber.interrupt(waiting)
    const before = asked
    assert.isAbove(before, 0)
    yield* Effect.sleep(150)
    equal(asked, before)
  })
}
