import { assert } from "@effect/vitest"
import { Effect, Exit, Schedule, Stream } from "effect"
import * as Projection from "../../Projection/Projection.ts"
import { StoreError } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import { adjustUntil, inStore, makeClock, until } from "./consuming.ts"
import type { Point } from "./hookedStorage.ts"
import { documentsOf, foldByHand, freshTexts, put, puts, type Texts, textsOf, unreadable } from "./keyedTexts.ts"
import { freshProjection, otherStore, processed, project, stateOf, untilState } from "./projecting.ts"
import { begin } from "./queue.ts"
import { equal, has, type Rules, type Store } from "./rule.ts"

const once = Schedule.recurs(0)
const parking = { retry: once, giveUp: "park" } as const

const documents = (store: Store, name: string) =>
  Effect.flatMap(stateOf(store, name), ({ id }) => documentsOf(store, id))

/** What is set aside, as the operators see it. */
const parkedOf = (store: Store, name: string, filter?: Parameters<typeof Projection.parked>[1]) =>
  Effect.map(
    inStore(store)(Stream.runCollect(Projection.parked(name, filter))),
    (parked) =>
      parked.map(({ error, key, position }) => ({ key, position: position as number, hasFailed: error !== null }))
  )

/** A projection whose broken texts are set aside, and what was stored for it. */
const setAside = (store: Store, broken: Set<string>, options: Parameters<typeof project>[2] = {}) =>
  Effect.gen(function*() {
    const [from, name]: [Texts, string] = [freshTexts(), freshProjection()]
    const { firstPosition: at } = yield* store.append(from.stream("1"), [
      put("1", "a"),
      put("2", "b"),
      put("3", "a"),
      put("4", "a"),
      put("5", "b"),
      put("6", "c"),
      put("7", "a")
    ])
    const texts = textsOf(name, from, { broken })
    const runner = yield* project(store, texts, { onError: parking, ...options })
    return { from, name, texts, runner, at: (text: number) => at + text - 1, run: inStore(store) }
  })

const storageTrouble = (isRetryable: boolean) =>
  new StoreError({ operation: "test", isRetryable, outcome: "not-stored", cause: new Error("on purpose") })

/** A hook with which calls to the storage fail, before they do something and after it, a dozen times. */
const troubles = () => {
  let left = 12
  let state = 7
  return ({ call }: Point) =>
    Effect.suspend(() => {
      state = state * 1103515245 + 12345 & 0x7fffffff
      if (!call.startsWith("projections.") || left === 0 || (state >> 16) % 3 !== 0) return Effect.void
      left--
      return Effect.fail(storageTrouble(true))
    })
}

export const projectionFailureRules: Rules = (rule) => {
  rule("tries again by the schedule, and goes on where that helps", function*(store) {
    const [from, name, clock] = [freshTexts(), freshProjection(), yield* makeClock]
    const times: Array<number> = []
    const broken = {
      has: (text: string) => text === "2" && times.push(clock.currentTimeMillisUnsafe() - begin) < 4
    } as Set<string>
    yield* store.append(from.stream("1"), puts("a", "1", "2", "3"))
    yield* project(store, textsOf(name, from, { broken }), {
      clock,
      onError: { retry: Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 3 })) }
    })
    yield* adjustUntil(clock, "100 millis", "four attempts", () => times.length === 4)
    for (const [i, time] of [0, 1000, 3000, 7000].entries()) {
      assert.isAtLeast(times[i]!, time)
      assert.isAtMost(times[i]!, time + 1500)
    }
    yield* until("the end", () => Effect.map(documents(store, name), (documents) => documents["a"]?.length === 3))
    equal(yield* documents(store, name), { a: ["1", "2", "3"] })
    has(yield* stateOf(store, name), { status: "running", parkedEvents: 0 })
  })

  rule(
    "stops at the event that is to blame, keeps what came before it, and goes on when it is resumed",
    function*(store) {
      const [from, name] = [freshTexts(), freshProjection()]
      const broken = new Set(["3"])
      const { firstPosition } = yield* store.append(from.stream("1"), [
        ...puts("a", "1", "2", "3", "4"),
        ...puts("b", "5")
      ])
      const texts = textsOf(name, from, { broken })
      const runner = yield* project(store, texts, { onError: { retry: once } })
      const other = yield* project(yield* otherStore(store), texts, { onError: { retry: once } })
      yield* untilState(store, name, ({ status }) => status === "failed")
      const state = yield* stateOf(store, name)
      has(state, { errorPosition: firstPosition + 2, parkedEvents: 0 })
      assert.include(state.error, "3 is broken")
      has(state.partitions[0]!, { position: firstPosition + 1, handled: 2 })
      equal(yield* documents(store, name), { a: ["1", "2"] })

      // it does not help by itself
      yield* inStore(store)(Projection.resume(name))
      yield* untilState(store, name, ({ status }) => status === "failed")
      equal(yield* documents(store, name), { a: ["1", "2"] })
      broken.clear()
      yield* inStore(store)(Projection.resume(name))
      yield* processed(store, name)
      equal(yield* documents(store, name), yield* foldByHand(store, from))
      has(yield* stateOf(store, name), { status: "running", error: null, errorPosition: null })
      assert.isTrue(runner.isRunning() && other.isRunning())
    }
  )

  rule("does not fail because a runner starts while it has failed", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const broken = new Set(["1"])
    yield* store.append(from.stream("1"), puts("a", "1"))
    const texts = textsOf(name, from, { broken })
    const first = yield* project(store, texts, { onError: { retry: once } })
    yield* untilState(store, name, ({ status }) => status === "failed")
    yield* first.stop
    const second = yield* project(store, texts, { onError: { retry: once } })
    yield* Effect.sleep(50)
    has(yield* stateOf(store, name), { status: "failed" })
    assert.isTrue(second.isRunning())
    broken.clear()
    yield* inStore(store)(Projection.resume(name))
    yield* processed(store, name)
    equal(yield* documents(store, name), { a: ["1"] })
  })

  rule("sets an event aside with all later ones of its key, and goes on with the others", function*(store) {
    const { at, from, name } = yield* setAside(store, new Set(["3"]))
    yield* processed(store, name)
    equal(yield* documents(store, name), { a: ["1"], b: ["2", "5"], c: ["6"] })
    equal(yield* parkedOf(store, name), [
      { key: "a", position: at(3), hasFailed: true },
      { key: "a", position: at(4), hasFailed: false },
      { key: "a", position: at(7), hasFailed: false }
    ])
    const { position } = yield* store.append(from.stream("2"), [put("8", "b"), put("9", "a")])
    yield* processed(store, name)
    equal(yield* documents(store, name), { a: ["1"], b: ["2", "5", "8"], c: ["6"] })
    has(yield* stateOf(store, name), { status: "running", parkedEvents: 4, parkedKeys: 1 })
    equal((yield* parkedOf(store, name, { key: "a" })).at(-1), { key: "a", position, hasFailed: false })
    equal(yield* parkedOf(store, name, { key: "b" }), [])
  })

  rule("remembers which keys are set aside, whoever runs it", function*(store) {
    const { from, name, runner, texts } = yield* setAside(store, new Set(["3"]), { partitions: 2 })
    yield* processed(store, name)
    yield* runner.stop
    yield* project(yield* otherStore(store), texts, { onError: parking })
    yield* store.append(from.stream("2"), [put("8", "b"), put("9", "a")])
    yield* processed(store, name)
    equal(yield* documents(store, name), { a: ["1"], b: ["2", "5", "8"], c: ["6"] })
    has(yield* stateOf(store, name), { parkedEvents: 4, parkedKeys: 1 })
  })

  rule("handles the events of a key that is replayed in order, and goes on with it", function*(store) {
    const broken = new Set(["3", "6"])
    const { from, name, run } = yield* setAside(store, broken)
    yield* processed(store, name)
    has(yield* stateOf(store, name), { parkedEvents: 4, parkedKeys: 2 })
    broken.delete("3")
    yield* run(Projection.replay(name, { keys: ["a"] }))
    yield* untilState(store, name, ({ parkedEvents }) => parkedEvents === 1)
    equal(yield* documents(store, name), { a: ["1", "3", "4", "7"], b: ["2", "5"] })
    yield* store.append(from.stream("2"), [put("8", "a"), put("9", "c")])
    yield* processed(store, name)
    equal(yield* documents(store, name), { a: ["1", "3", "4", "7", "8"], b: ["2", "5"] })
    broken.clear()
    yield* run(Projection.replay(name))
    yield* untilState(store, name, ({ parkedEvents }) => parkedEvents === 0)
    equal(yield* documents(store, name), yield* foldByHand(store, from))
  })

  rule("replays with the runner that owns the partition, wherever that is, while events come", function*(store) {
    const broken = new Set(["3"])
    const { from, name, run, texts } = yield* setAside(store, broken, { partitions: 3, lease: "2 seconds" })
    yield* project(yield* otherStore(store), texts, { onError: parking, lease: "2 seconds" })
    yield* processed(store, name)
    broken.clear()
    for (let i = 0; i < 20; i++) {
      yield* store.append(from.stream("2"), [put(`x${i}`, "a"), put(`y${i}`, "b")])
      if (i === 5) yield* run(Projection.replay(name))
    }
    yield* untilState(store, name, ({ parkedEvents }) => parkedEvents === 0)
    yield* processed(store, name)
    equal(yield* documents(store, name), yield* foldByHand(store, from))
  })

  rule("keeps what fails again in a replay where it was, with its new error, and asks no more", function*(store) {
    const broken = new Set(["3"])
    const { at, from, name, run } = yield* setAside(store, broken)
    yield* processed(store, name)
    broken.clear()
    broken.add("4")
    yield* run(Projection.replay(name))
    yield* untilState(store, name, ({ parkedEvents }) => parkedEvents === 2)
    yield* until("a failure", () => Effect.map(parkedOf(store, name), ([first]) => first?.hasFailed === true))
    equal(yield* parkedOf(store, name), [
      { key: "a", position: at(4), hasFailed: true },
      { key: "a", position: at(7), hasFailed: false }
    ])
    equal((yield* documents(store, name))["a"], ["1", "3"])
    has(yield* stateOf(store, name), { status: "running" })
    broken.clear()
    yield* run(Projection.replay(name))
    yield* untilState(store, name, ({ parkedEvents }) => parkedEvents === 0)
    equal(yield* documents(store, name), yield* foldByHand(store, from))
  })

  rule("gives up what is discarded, and goes on with its key", function*(store) {
    const { at, from, name, run } = yield* setAside(store, new Set(["3"]))
    yield* processed(store, name)
    yield* run(Projection.discard(name))
    has(yield* stateOf(store, name), { parkedEvents: 0, parkedKeys: 0 })
    yield* store.append(from.stream("2"), puts("a", "8"))
    yield* processed(store, name)
    equal((yield* documents(store, name))["a"], ["1", "8"])
    equal(
      yield* documents(store, name),
      yield* foldByHand(store, from, {
        isHandled: ({ position }, key) => key !== "a" || position === at(1) || position > at(7)
      })
    )
  })

  rule("takes an event with several keys aside with all of them", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const broken = new Set(["2"])
    yield* store.append(from.stream("1"), [put("1", "a", "b"), put("2", "a", "b"), put("3", "b", "c"), put("4", "c")])
    for (const partitions of [1, 4]) {
      const one = `${name}${partitions}`
      broken.add("2")
      yield* project(store, textsOf(one, from, { broken }), { onError: parking, partitions })
      yield* processed(store, one)
      const { a, b, c } = yield* documents(store, one)
      equal([a, b], [["1"], ["1"]])
      // what "3" is for c may be there or wait, but not be passed over
      assert.include(["3,4", "4", "3", ""], String(c ?? ""))
      broken.clear()
      yield* inStore(store)(Projection.replay(one))
      yield* untilState(store, one, ({ parkedEvents }) => parkedEvents === 0)
      yield* processed(store, one)
      equal(yield* documents(store, one), yield* foldByHand(store, from))
    }
  })

  rule("takes an event that does not decode for one that fails", function*(store) {
    const [from, stops, parks] = [freshTexts(), freshProjection(), freshProjection()]
    yield* store.append(from.stream("1"), puts("a", "1"))
    const { position } = yield* store.append(Category.rawStream(from.stream("1").streamId), [unreadable])
    yield* store.append(from.stream("1"), puts("a", "2"))
    yield* store.append(from.stream("2"), puts("b", "3"))
    yield* project(store, textsOf(stops, from), { onError: { retry: once } })
    yield* untilState(store, stops, ({ status }) => status === "failed")
    has(yield* stateOf(store, stops), { errorPosition: position })
    equal(yield* documents(store, stops), { a: ["1"] })
    yield* project(store, textsOf(parks, from), { onError: parking, partitions: 3 })
    yield* processed(store, parks)
    equal((yield* documents(store, parks))["b"], ["3"])
    const parked = yield* parkedOf(store, parks)
    equal(parked[0], { key: from.stream("1").streamId as string, position, hasFailed: true })
  })

  rule("gives up nothing because the storage fails for a while", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const troubled = yield* otherStore(store, troubles())
    yield* store.append(from.stream("1"), puts("a", "1", "2", "3"))
    const runner = yield* project(troubled, textsOf(name, from), { onError: parking, lease: "1 second" })
    yield* processed(store, name)
    yield* store.append(from.stream("1"), puts("a", "4"))
    yield* processed(store, name)
    equal(yield* documents(store, name), { a: ["1", "2", "3", "4"] })
    has(yield* stateOf(store, name), { parkedEvents: 0, status: "running" })
    assert.isTrue(runner.isRunning())
  })

  rule("ends with the error of the storage where that will not pass", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const troubled = yield* otherStore(
      store,
      ({ at, call }) =>
        call === "projections.advanceWith" && at === "before" ? Effect.fail(storageTrouble(false)) : Effect.void
    )
    yield* store.append(from.stream("1"), puts("a", "1"))
    const runner = yield* project(troubled, textsOf(name, from), { onError: parking })
    const exit = yield* runner.end
    assert.isTrue(Exit.isFailure(exit))
    has(yield* stateOf(store, name), { parkedEvents: 0 })
  })
}
