import { assert } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import { storageOf } from "./projectionStorageVersion.ts"
import { begin, longAgo } from "./queue.ts"
import { equal, fails, freshName, type Rules, skip, type Store, together } from "./rule.ts"

/** The timers of an owner of its own, and what rules do with them. */
const makeTimers = (store: Store) => {
  const { change, clear, due, list, take } = storageOf(store).timers
  const owner = freshName()
  const said = ({ at, key, name }: { key: string; name: string; at: number }) => `${key}.${name}@${at - begin}`
  return {
    /** Sets timers to so many milliseconds after the beginning, or cancels them. */
    set: (key: string, times: { readonly [name: string]: number | null }) =>
      change(owner, Object.entries(times).map(([name, at]) => ({ key, name, at: at === null ? null : begin + at }))),
    clear: (key: string) => clear(owner, key),
    list: Effect.map(list(owner, 1000), (timers) => timers.map(said)),
    due: (at: number | undefined, limit = 1000) => due(owner, limit, at === undefined ? undefined : begin + at),
    dueAt: (at: number, limit = 1000) =>
      Effect.map(due(owner, limit, begin + at), ({ nextIn, timers }) => [timers.map(said), nextIn]),
    timers: list(owner, 1000),
    take: (timer: { readonly id: number; readonly key: string; readonly name: string; readonly at: number }) =>
      take(owner, timer),
    change: (changes: Parameters<typeof change>[1]) => change(owner, changes)
  }
}

/** Timers that survive their owners. */
export const projectionStorageTimerRules: Rules = (rule, { transactions }) => {
  rule("keeps timers by key and name, and lists them by time", function*(store) {
    const timers = makeTimers(store)
    const others = makeTimers(store)
    equal([yield* timers.list, yield* timers.dueAt(1000)], [[], [[], undefined]])
    yield* timers.set("a", { pay: 300, ship: 100 })
    yield* timers.set("b", { pay: 200 })
    yield* others.set("a", { pay: 50 })
    equal(yield* timers.list, ["a.ship@100", "b.pay@200", "a.pay@300"])
    yield* timers.set("a", { pay: 20, ship: null, none: null })
    equal(yield* timers.list, ["a.pay@20", "b.pay@200"])
    yield* timers.clear("a")
    yield* timers.clear("nobody")
    equal(yield* timers.list, ["b.pay@200"])
    equal(yield* others.list, ["a.pay@50"])
    equal((yield* storageOf(store).timers.list(freshName(), 10)).length, 0)
  })

  rule("answers timers that are due, the earliest first, and when the next one is", function*(store) {
    const timers = makeTimers(store)
    yield* timers.set("a", { x: 300, y: 100 })
    yield* timers.set("b", { x: 200, y: 900 })
    equal(yield* timers.dueAt(0), [[], 100])
    equal(yield* timers.dueAt(99), [[], 1])
    equal(yield* timers.dueAt(100), [["a.y@100"], 100])
    equal(yield* timers.dueAt(450), [["a.y@100", "b.x@200", "a.x@300"], 450])
    equal(yield* timers.dueAt(5000), [["a.y@100", "b.x@200", "a.x@300", "b.y@900"], undefined])
    equal((yield* timers.due(450, 2)).timers.map(({ key, name }) => key + name), ["ay", "bx"])
    equal((yield* storageOf(store).timers.list(freshName(), 1)).length, 0)
  })

  rule("goes by the time of the storage where none is given", function*(store) {
    const timers = makeTimers(store)
    yield* timers.change([{ key: "a", name: "past", at: longAgo }, { key: "a", name: "future", at: begin }])
    const { nextIn, timers: due } = yield* timers.due(undefined)
    equal(due.map(({ at, key, name }) => [key, name, at]), [["a", "past", longAgo]])
    assert.isAbove(nextIn!, 1_000_000_000)
  })

  rule("keeps times to the millisecond, whatever the year", function*(store) {
    const timers = makeTimers(store)
    const times = [1, 1_700_000_000_123, 4_000_000_000_999, 32_503_680_000_001]
    yield* timers.change(times.map((at, i) => ({ key: "a", name: String(i), at })))
    equal((yield* timers.timers).map(({ at }) => at), times)
  })

  rule("takes a timer once, and only if it is the one that was seen", function*(store) {
    const timers = makeTimers(store)
    yield* timers.set("a", { x: 100, y: 200 })
    const [seen] = (yield* timers.timers).filter(({ name }) => name === "x")
    yield* timers.set("a", { x: 100 })
    const [again] = (yield* timers.timers).filter(({ name }) => name === "x")
    assert.notEqual(seen!.id, again!.id)
    equal(yield* timers.take(seen!), false)
    equal(yield* timers.list, ["a.x@100", "a.y@200"])
    equal(yield* timers.take(again!), true)
    equal(yield* timers.take(again!), false)
    equal(yield* timers.list, ["a.y@200"])
    const [other] = yield* timers.timers
    yield* timers.clear("a")
    equal(yield* timers.take(other!), false)
  })

  rule("lets one of many take a timer, each in a transaction", function*(store) {
    const timers = makeTimers(store)
    yield* timers.set("a", { x: 100 })
    const [timer] = yield* timers.timers
    const answers = yield* together(8, () => store.transaction(Effect.tap(timers.take(timer!), () => Effect.yieldNow)))
    equal(answers.filter((answer) => answer).length, 1)
    equal(yield* timers.list, [])
  })

  rule("shows changes in the transaction that makes them, and keeps them with it or not at all", function*(store) {
    const timers = makeTimers(store)
    yield* timers.set("a", { x: 100, y: 200 })
    yield* timers.set("b", { x: 150 })
    yield* timers.set("c", { x: 170 })
    const [first] = yield* timers.timers
    const change = Effect.gen(function*() {
      equal(yield* timers.take(first!), true)
      yield* timers.set("a", { y: 20, z: 300 })
      yield* timers.clear("b")
      const part = store.transaction(
        Effect.andThen(timers.clear("c"), Effect.fail({ _tag: "OnPurpose" } as const))
      )
      yield* fails(part, "OnPurpose")
      equal(yield* timers.list, ["a.y@20", "c.x@170", "a.z@300"])
      equal(yield* timers.dueAt(20), [["a.y@20"], 150])
      equal(yield* timers.take(first!), false)
    })
    yield* fails(store.transaction(Effect.andThen(change, Effect.fail({ _tag: "OnPurpose" } as const))), "OnPurpose")
    equal(yield* timers.list, ["a.x@100", "b.x@150", "c.x@170", "a.y@200"])
    yield* store.transaction(change)
    equal(yield* timers.list, ["a.y@20", "c.x@170", "a.z@300"])
  })

  rule("keeps many timers", function*(store) {
    const timers = makeTimers(store)
    yield* timers.change(Array.from({ length: 500 }, (_, i) => ({
      key: `k${i % 50}`,
      name: `n${i}`,
      at: begin + ((i * 7919) % 500)
    })))
    const { timers: due } = yield* timers.due(249, 100)
    equal(due.map(({ at }) => at - begin), Array.from({ length: 100 }, (_, i) => i))
    yield* timers.clear("k0")
    equal((yield* timers.list).length, 490)
  })

  const openRule = transactions === "concurrent" ? rule : skip
  openRule("lets who takes a timer wait for who took it, and take it where that fails", function*(store) {
    for (const isFailing of [true, false]) {
      const timers = makeTimers(store)
      yield* timers.set("a", { x: 100 })
      const [timer] = yield* timers.timers
      const [opened, seen] = [yield* Latch.make(), yield* Latch.make()]
      const first = yield* Effect.forkChild(Effect.exit(store.transaction(Effect.gen(function*() {
        equal(yield* timers.take(timer!), true)
        yield* opened.open
        yield* seen.await
        if (isFailing) return yield* Effect.fail("no")
      }))))
      yield* opened.await
      const second = yield* Effect.forkChild(store.transaction(timers.take(timer!)))
      equal(yield* timers.list, ["a.x@100"])
      yield* seen.open
      yield* Fiber.join(first)
      equal(yield* Fiber.join(second), isFailing)
      equal(yield* timers.list, [])
    }
  })
}
