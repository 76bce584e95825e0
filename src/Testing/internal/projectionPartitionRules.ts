import { assert } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import type { TestClock } from "effect/testing"
import * as Projection from "../../Projection/Projection.ts"
import { adjustUntil, inStore, makeClock, until } from "./consuming.ts"
import { documentsOf, foldByHand, freshTexts, put, puts, type Texts, textsOf } from "./keyedTexts.ts"
import {
  freshProjection,
  mortalStore,
  otherStore,
  ownersOf,
  processed,
  project,
  sharesOf,
  stateOf,
  untilState
} from "./projecting.ts"
import { equal, type Rules, type Store, together } from "./rule.ts"

/** Ten texts for each of some keys, from several writers at once. */
const write = (store: Store, from: Texts, keys: ReadonlyArray<string>, mark = "") =>
  together(3, (writer) =>
    Effect.gen(function*() {
      for (let i = 0; i < 10; i++) {
        for (const key of keys) yield* store.append(from.stream(`${writer}`), puts(key, `${mark}${key}.${writer}.${i}`))
      }
    }))

const keys = ["a", "b", "c", "d", "e", "f", "g", "h"]

/** The documents are what the log says. */
const assertFolded = (store: Store, name: string, from: Texts) =>
  Effect.gen(function*() {
    yield* processed(store, name)
    const { id } = yield* stateOf(store, name)
    equal(yield* documentsOf(store, id), yield* foldByHand(store, from))
  })

/** As {@link processed}, by a clock that is adjusted: what does not concern a partition moves it from time to time. */
const processedInTime = (store: Store, name: string, clock: TestClock.TestClock) =>
  Effect.gen(function*() {
    const handled = yield* Effect.forkChild(processed(store, name))
    yield* adjustUntil(clock, "500 millis", "what is stored", () => handled.pollUnsafe() !== undefined)
    yield* Fiber.join(handled)
  })

export const projectionPartitionRules: Rules = (rule) => {
  rule("shares partitions among runners, each with one owner at a time", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const options = { partitions: 4, lease: "3 seconds" } as const
    const first = yield* project(store, texts, options)
    yield* untilState(store, name, (state) => sharesOf(state)?.join() === "4")
    const second = yield* project(yield* otherStore(store), texts, options)
    yield* untilState(store, name, (state) => sharesOf(state)?.join() === "2,2")
    const third = yield* project(yield* otherStore(store), texts, options)
    yield* untilState(store, name, (state) => sharesOf(state)?.join() === "1,1,2")
    yield* write(store, from, keys)
    yield* first.stop
    yield* untilState(store, name, (state) => sharesOf(state)?.join() === "2,2")
    yield* second.stop
    yield* untilState(store, name, (state) => sharesOf(state)?.join() === "4")
    yield* write(store, from, keys, "more ")
    yield* assertFolded(store, name, from)
    assert.isTrue(third.isRunning())
  })

  rule("hands the partitions of a runner that stops to others at once", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const options = { partitions: 2, lease: "1 hour" } as const
    const first = yield* project(store, texts, options)
    yield* untilState(store, name, (state) => sharesOf(state)?.join() === "2")
    yield* project(store, texts, options)
    yield* first.stop
    yield* untilState(store, name, (state) => sharesOf(state)?.join() === "2")
    yield* write(store, from, keys)
    yield* assertFolded(store, name, from)
  })

  rule(
    "hands the partitions of a runner that dies to others when its lease has run out, and not before",
    function*(store) {
      const [from, name, clock] = [freshTexts(), freshProjection(), yield* makeClock]
      const texts = textsOf(name, from)
      const options = { partitions: 2, lease: "10 seconds", clock } as const
      const mortal = yield* mortalStore(store)
      const first = yield* project(mortal.store, texts, options)
      yield* write(store, from, ["a", "b"])
      yield* processedInTime(store, name, clock)
      yield* mortal.kill(first)
      const owners = ownersOf(yield* stateOf(store, name))
      yield* project(yield* otherStore(store), texts, options)
      yield* store.append(from.stream("1"), [...puts("a", "later"), ...puts("b", "later")])
      const killed = clock.currentTimeMillisUnsafe()
      yield* adjustUntil(clock, "500 millis", "a takeover", () => clock.currentTimeMillisUnsafe() - killed >= 8000)
      equal(ownersOf(yield* stateOf(store, name)), owners)
      yield* processedInTime(store, name, clock)
      yield* assertFolded(store, name, from)
    }
  )

  rule(
    "takes nothing from a runner that stood still in the middle of a batch while another took over",
    function*(store) {
      const [from, name, clock] = [freshTexts(), freshProjection(), yield* makeClock]
      const texts = textsOf(name, from)
      const [frozen, thawed] = [yield* Latch.make(), yield* Latch.make()]
      let isFrozen = false
      let claims = 0
      // all of its process stands still when its batch is about to end
      const still = yield* otherStore(store, ({ at, call }) =>
        Effect.suspend(() => {
          if (call === "projections.advanceWith" && at === "before" && !isFrozen) {
            isFrozen = true
            return Effect.andThen(frozen.open, thawed.await)
          }
          if (call === "projections.claim" && at === "after") claims++
          return isFrozen ? thawed.await : Effect.void
        }))
      yield* store.append(from.stream("1"), puts("a", "1", "2"))
      yield* project(still, texts, { lease: "10 seconds", clock })
      yield* frozen.await
      yield* project(yield* otherStore(store), texts, { lease: "10 days", clock })
      let isTaken = false
      const look = yield* Effect.forkChild(
        untilState(store, name, ({ partitions }) => partitions[0]!.handled === 2).pipe(
          Effect.andThen(Effect.sync(() => isTaken = true))
        )
      )
      yield* adjustUntil(clock, "1 second", "a takeover", () => isTaken)
      yield* Fiber.join(look)
      claims = 0
      yield* thawed.open
      // its batch was refused, or given up, and it has asked what there is to do
      yield* adjustUntil(clock, "1 second", "another look", () => claims > 1)
      yield* store.append(from.stream("1"), puts("a", "3"))
      yield* assertFolded(store, name, from)
      equal((yield* stateOf(store, name)).partitions[0]!.handled, 3)
    }
  )

  rule("keeps the order of each key, with several runners and partitions", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    yield* write(store, from, keys, "early ")
    for (let i = 0; i < 3; i++) {
      yield* project(i === 0 ? store : yield* otherStore(store), texts, { partitions: 5, batch: 7, lease: "2 seconds" })
    }
    yield* write(store, from, keys)
    yield* assertFolded(store, name, from)
    const { partitions } = yield* stateOf(store, name)
    equal(partitions.reduce((sum, { handled }) => sum + handled, 0), 480)
    assert.isAbove(partitions.filter(({ handled }) => handled > 0).length, 1)
  })

  rule("hands an event of several keys to the partition of each", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* store.append(from.stream("1"), Array.from({ length: 20 }, (_, i) => put(String(i), ...keys)))
    yield* project(store, textsOf(name, from), { partitions: 4, batch: 3 })
    yield* assertFolded(store, name, from)
  })

  rule(
    "becomes more partitions and fewer while events come: nothing is lost, doubled or out of order",
    function*(store) {
      const [from, name] = [freshTexts(), freshProjection()]
      const texts = textsOf(name, from)
      const options = { partitions: 1, batch: 5, lease: "2 seconds" } as const
      yield* project(store, texts, options)
      yield* project(yield* otherStore(store), texts, options)
      yield* untilState(store, name, ({ isSetUp }) => isSetUp)
      let isOver = false
      const writing = yield* Effect.forkChild(Effect.gen(function*() {
        for (let i = 0; !isOver; i++) {
          yield* store.append(
            from.stream(String(i % 5)),
            keys.map((key) => put(`${key}${i}`, key, keys[i % keys.length]!))
          )
          yield* Effect.sleep(1)
        }
      }))
      for (const count of [4, 2, 7, 1, 3]) {
        equal(yield* inStore(store)(Projection.repartition(name, count)), undefined)
        yield* untilState(
          store,
          name,
          ({ partitions, repartitionTo }) => partitions.length === count && repartitionTo === null
        )
      }
      isOver = true
      yield* Fiber.join(writing)
      yield* assertFolded(store, name, from)
    }
  )

  rule("changes the number of partitions also where nobody runs it, when somebody does", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    yield* write(store, from, keys)
    const first = yield* project(store, texts, { partitions: 3, batch: 10 })
    yield* processed(store, name)
    yield* first.stop
    yield* write(store, from, keys, "more ")
    yield* inStore(store)(Projection.repartition(name, 2))
    yield* project(store, texts, { partitions: 3 })
    yield* untilState(store, name, ({ partitions }) => partitions.length === 2)
    yield* assertFolded(store, name, from)
  })

  rule("lets a runner with nothing to own wait, and take over", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const first = yield* project(store, texts, { lease: "1 hour" })
    yield* untilState(store, name, (state) => ownersOf(state)[0] !== null)
    const second = yield* project(store, texts, { lease: "1 hour" })
    const [owner] = ownersOf(yield* stateOf(store, name))
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* processed(store, name)
    equal(ownersOf(yield* stateOf(store, name)), [owner])
    assert.isTrue(second.isRunning())
    yield* first.stop
    yield* until(
      "another owner",
      () => Effect.map(stateOf(store, name), (state) => ownersOf(state)[0] !== null && ownersOf(state)[0] !== owner)
    )
    yield* store.append(from.stream("1"), puts("a", "2"))
    yield* assertFolded(store, name, from)
  })
}
