import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { Projection, type ProjectionStorage } from "effect-eventstore"
import { setImmediate } from "node:timers/promises"
import { makeMemoryStorage } from "../../src/Store/internal/memoryStorage.ts"
import { inStore } from "../../src/Testing/internal/consuming.ts"
import { documentsOf, foldByHand, freshTexts, put, puts, textsOf } from "../../src/Testing/internal/keyedTexts.ts"
import { freshProjection, stateOf } from "../../src/Testing/internal/projecting.ts"
import { type Fault, play, type Scenario, type World } from "../support/crashPoints.ts"

type ProjectionState = ProjectionStorage.ProjectionState

const lease = "5 seconds"
const options: Projection.RunOptions = { lease, batch: 2, partitions: 2 }

/** A name and a category for each play, and what scenarios do with them. */
const cast = ({ allowReset, store, until }: World) => {
  const [name, from] = [freshProjection(), freshTexts()]
  const run = inStore(store)
  const untilState = (what: string, holds: (state: ProjectionState) => boolean, version?: number) =>
    until(
      what,
      Effect.map(
        store.storage.projections.states(name, undefined),
        (states) =>
          states.some((state) => (version === undefined ? state.isLive : state.version === version) && holds(state))
      )
    )
  return {
    name,
    from,
    append: (...events: ReadonlyArray<ReturnType<typeof put>>) => store.append(from.stream(events[0]!.text), events),
    /** Waits until a version has handled everything. */
    handled: (version?: number) =>
      Effect.flatMap(store.head(), (head) =>
        untilState(
          `everything handled by ${version ?? "the live version"}`,
          ({ partitions, repartitionTo }) =>
            repartitionTo === null && partitions.every(({ position }) => position >= head),
          version
        )),
    until: untilState,
    run,
    allowReset,
    /** The documents are what the log says, and each event was counted once for each of its keys. */
    check: (version?: number) =>
      Effect.gen(function*() {
        const state = yield* stateOf(store, name, version)
        const documents = yield* documentsOf(store, state.id)
        assert.deepStrictEqual(documents, yield* foldByHand(store, from))
        return state
      })
  }
}

const scenarios: Readonly<Record<string, Scenario>> = {
  "catches up and goes on": (world) =>
    Effect.gen(function*() {
      const { append, check, from, handled, name } = cast(world)
      yield* append(...puts("a", "1", "2"), ...puts("b", "3"), ...puts("c", "4", "5"))
      yield* world.start(textsOf(name, from), options)
      yield* handled()
      yield* append(...puts("b", "6", "7"), ...puts("a", "8"))
      yield* handled()
      return Effect.map(check(), ({ partitions }) =>
        assert.strictEqual(partitions.reduce((sum, { handled }) => sum + handled, 0), 8))
    }),

  "sets a key aside, and handles it again": (world) =>
    Effect.gen(function*() {
      const { append, check, from, handled, name, run, until } = cast(world)
      const broken = new Set(["2"])
      yield* append(...puts("a", "1", "2", "3"), ...puts("b", "4", "5"))
      yield* world.start(textsOf(name, from, { broken }), {
        ...options,
        onError: { retry: Schedule.recurs(1), giveUp: "park" }
      })
      yield* handled()
      yield* append(...puts("a", "6"), ...puts("b", "7"))
      yield* handled()
      yield* until("parked events", ({ parkedEvents }) => parkedEvents === 3)
      broken.clear()
      yield* run(Projection.replay(name))
      yield* until("no parked events", ({ parkedEvents }) => parkedEvents === 0)
      yield* append(...puts("a", "8"))
      yield* handled()
      return check()
    }),

  "becomes more partitions, and fewer": (world) =>
    Effect.gen(function*() {
      const { append, check, from, handled, name, run, until } = cast(world)
      yield* append(...puts("a", "1"), ...puts("b", "2"))
      yield* world.start(textsOf(name, from), { ...options, partitions: 1 })
      yield* until("a start", ({ isSetUp }) => isSetUp)
      yield* run(Projection.repartition(name, 3))
      yield* append(...puts("a", "3"), ...puts("c", "4"), ...puts("d", "5"))
      yield* until("three partitions", ({ partitions }) => partitions.length === 3)
      yield* run(Projection.repartition(name, 2))
      yield* append(...puts("a", "6"), ...puts("c", "7"), ...puts("d", "8"))
      yield* until("two partitions", ({ partitions }) => partitions.length === 2)
      yield* append(...puts("a", "9"), ...puts("b", "10"))
      yield* handled()
      return check()
    }),

  "builds a version beside another one, switches to it and back": (world) =>
    Effect.gen(function*() {
      const { append, check, from, handled, name, run, until } = cast(world)
      yield* append(...puts("a", "1"), ...puts("b", "2", "3"))
      yield* world.start(textsOf(name, from), options)
      yield* handled()
      yield* world.start(textsOf(name, from, { version: 2 }), options)
      yield* until("a switch", ({ version }) => version === 2)
      yield* append(...puts("a", "4"))
      yield* handled(1)
      yield* run(Projection.rollBack(name))
      yield* handled(2)
      return Effect.gen(function*() {
        assert.isTrue((yield* check(1)).isLive)
        assert.isFalse((yield* check(2)).isLive)
      })
    }),

  "is paused, resumed, and reset": (world) =>
    Effect.gen(function*() {
      const { allowReset, append, check, from, handled, name, run } = cast(world)
      yield* append(...puts("a", "1"), ...puts("b", "2"))
      yield* world.start(textsOf(name, from), options)
      yield* handled()
      yield* run(Projection.pause(name))
      yield* append(...puts("a", "3"))
      yield* run(Projection.resume(name))
      yield* handled()
      allowReset()
      yield* run(Projection.reset(name))
      yield* append(...puts("b", "4"))
      yield* handled()
      return Effect.map(check(), ({ partitions }) =>
        assert.strictEqual(partitions.reduce((sum, { handled }) => sum + handled, 0), 4))
    }),

  "fails, and is resumed": (world) =>
    Effect.gen(function*() {
      const { append, check, from, handled, name, run, until } = cast(world)
      const broken = new Set(["3"])
      yield* append(...puts("a", "1", "2", "3", "4"), ...puts("b", "5"))
      yield* world.start(textsOf(name, from, { broken }), { ...options, onError: { retry: Schedule.recurs(1) } })
      yield* until("a failure", ({ status }) => status === "failed")
      broken.clear()
      yield* run(Projection.resume(name))
      yield* handled()
      return check()
    })
}

const faults: ReadonlyArray<Fault> = ["refused", "interrupted", "killed", "frozen"]

const memory = Effect.sync(() => ({
  storage: makeMemoryStorage(),
  rest: Effect.promise(() => setImmediate()),
  endsFrozenTransactions: false
}))

/** Every point of the scenario that all others begin with; of the others each time another third. */
const strideOf = (name: string) => name === "catches up and goes on" ? 1 : 3

for (const [name, scenario] of Object.entries(scenarios)) {
  for (const [i, fault] of faults.entries()) {
    it.live(
      `a projection in memory ${name}, though its runner is ${fault} at one point after the other`,
      () =>
        Effect.gen(function*() {
          const stride = strideOf(name)
          const seen = new Set<string>()
          for (let n = 1 + i % stride;; n += stride) {
            const where = yield* Effect.flatMap(memory, (stage) => play(stage, scenario, fault, n))
            if (where === undefined) break
            seen.add(where)
          }
          assert.isAbove([...seen].filter((where) => where.startsWith("projections.")).length, 5)
        }),
      60_000
    )
  }
}
