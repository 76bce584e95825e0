import { assert, describe, it } from "@effect/vitest"
import { type Cause, Duration, Effect, Exit, Fiber, Latch, Schema } from "effect"
import { type Worked, workThrough } from "../../src/Projection/internal/working.ts"

/** What became of a run of numbers, some of which fail. */
const work = (
  count: number,
  options: {
    readonly fails?: (item: number, attempt: number) => boolean
    readonly limit?: number
    readonly retries?: number
    readonly alone?: ReadonlySet<number>
    readonly leaveAfter?: number
    readonly blame?: "passed" | "stopped"
    readonly refuses?: (items: ReadonlyArray<number>) => boolean
  } = {}
) =>
  Effect.gen(function*() {
    const { alone = new Set(), blame = "passed", fails = () => false, leaveAfter = Infinity, limit = 10, retries = 0 } =
      options
    const committed: Array<number> = []
    const transactions: Array<ReadonlyArray<number>> = []
    const attempts: Array<number> = []
    const blamed: Array<readonly [item: number, attempts: number]> = []
    const waits: Array<number> = []
    const tries = new Map<number, number>()
    const worked: Worked = yield* workThrough(Array.from({ length: count }, (_, i) => i), {
      limit: () => limit,
      isAlone: (item) => alone.has(item),
      isLeaving: () => committed.length >= leaveAfter,
      commit: (items, { number }) =>
        Effect.suspend(() => {
          transactions.push(items)
          attempts.push(number)
          for (const item of items) {
            const attempt = (tries.get(item) ?? 0) + 1
            tries.set(item, attempt)
            if (fails(item, attempt)) return Effect.fail(`${item}`)
          }
          if (options.refuses?.(items) === true) return Effect.succeed(false)
          committed.push(...items)
          return Effect.succeed(true)
        }),
      retryIn: (_: Cause.Cause<unknown>, failures) =>
        Effect.succeed(failures > retries ? undefined : Duration.millis(failures)),
      pause: (duration) => Effect.sync(() => waits.push(Duration.toMillis(duration)) > 0),
      blame: (item, _, attempts) =>
        Effect.sync(() => {
          blamed.push([item, attempts])
          return blame
        })
    })
    return { worked, committed, transactions, attempts, blamed, waits }
  })

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i)

describe("workThrough", () => {
  it.effect("handles everything in order, in transactions that are as large as they may be", () =>
    Effect.gen(function*() {
      const { committed, transactions, worked } = yield* work(25)
      assert.deepStrictEqual(committed, upTo(25))
      assert.deepStrictEqual(transactions.map(({ length }) => length), [10, 10, 5])
      assert.strictEqual(worked, "done")
    }))

  it.effect("tries a failing transaction again by the schedule, and goes on where that helps", () =>
    Effect.gen(function*() {
      const { attempts, blamed, committed, waits } = yield* work(20, {
        retries: 3,
        fails: (item, attempt) => item === 4 && attempt < 4
      })
      assert.deepStrictEqual(committed, upTo(20))
      assert.deepStrictEqual(waits, [1, 2, 3])
      assert.deepStrictEqual(attempts, [1, 2, 3, 4, 1])
      assert.deepStrictEqual(blamed, [])
    }))

  it.effect("finds the one to blame in halves, without waiting again", () =>
    Effect.gen(function*() {
      const { blamed, committed, transactions, waits } = yield* work(1000, {
        limit: 1000,
        retries: 2,
        fails: (item) => item === 700
      })
      assert.deepStrictEqual(committed, upTo(1000).filter((item) => item !== 700))
      assert.deepStrictEqual(blamed, [[700, 3]])
      assert.deepStrictEqual(waits, [1, 2])
      // three tries, ten halves or so, and the rest
      assert.isAtMost(transactions.length, 3 + 12 + 1)
    }))

  it.effect("lets each that fails have tries of its own", () =>
    Effect.gen(function*() {
      const { blamed, committed, waits } = yield* work(40, {
        limit: 40,
        retries: 2,
        fails: (item) => item === 3 || item === 30
      })
      assert.deepStrictEqual(committed, upTo(40).filter((item) => item !== 3 && item !== 30))
      assert.deepStrictEqual(blamed, [[3, 3], [30, 3]])
      assert.deepStrictEqual(waits, [1, 2, 1, 2])
    }))

  it.effect("does not blame one that fails for the first time when others before it have used up the tries", () =>
    Effect.gen(function*() {
      const { blamed, committed, waits } = yield* work(5, {
        retries: 1,
        fails: (item, attempt) => [0, 1, 3].includes(item) && attempt === 1
      })
      assert.deepStrictEqual(committed, upTo(5))
      assert.deepStrictEqual(blamed, [])
      assert.deepStrictEqual(waits, [1])
    }))

  it.effect("stops at the one to blame, with all before it done", () =>
    Effect.gen(function*() {
      const { committed, worked } = yield* work(40, { fails: (item) => item === 17, blame: "stopped" })
      assert.deepStrictEqual(committed, upTo(17))
      assert.strictEqual(worked, "stopped")
    }))

  it.effect("ends where a transaction is refused", () =>
    Effect.gen(function*() {
      const { committed, worked } = yield* work(40, { refuses: (items) => items.includes(25) })
      assert.deepStrictEqual(committed, upTo(20))
      assert.strictEqual(worked, "refused")
    }))

  it.effect("leaves between two transactions", () =>
    Effect.gen(function*() {
      const { committed, worked } = yield* work(40, { leaveAfter: 15 })
      assert.deepStrictEqual(committed, upTo(20))
      assert.strictEqual(worked, "left")
    }))

  it.effect("handles alone what cannot be handled with others", () =>
    Effect.gen(function*() {
      const { committed, transactions } = yield* work(10, { alone: new Set([0, 4, 5]) })
      assert.deepStrictEqual(committed, upTo(10))
      assert.deepStrictEqual(transactions, [[0], [1, 2, 3], [4], [5], [6, 7, 8, 9]])
    }))

  it.effect("takes a handler that interrupts itself, or dies, for one that fails", () =>
    Effect.gen(function*() {
      for (const failure of [Effect.interrupt, Effect.die("broken")]) {
        const blamed: Array<number> = []
        const committed: Array<number> = []
        const worked = yield* workThrough([1, 2, 3], {
          limit: () => 3,
          isAlone: () => false,
          isLeaving: () => false,
          commit: (items) =>
            items.includes(2) ? failure : Effect.sync(() => {
              committed.push(...items)
              return true
            }),
          retryIn: () => Effect.undefined,
          pause: () => Effect.succeed(true),
          blame: (item) =>
            Effect.sync(() => {
              blamed.push(item)
              return "passed"
            })
        })
        assert.strictEqual(worked, "done")
        assert.deepStrictEqual(committed, [1, 3])
        assert.deepStrictEqual(blamed, [2])
      }
    }))

  it.effect("ends when it is interrupted, and takes that for no failure", () =>
    Effect.gen(function*() {
      const begun = yield* Latch.make()
      let failures = 0
      const fiber = yield* Effect.forkChild(workThrough([1], {
        limit: () => 1,
        isAlone: () => false,
        isLeaving: () => false,
        commit: () => Effect.andThen(begun.open, Effect.never),
        retryIn: () => Effect.sync(() => void failures++),
        pause: () => Effect.succeed(true),
        blame: () => Effect.sync(() => ++failures > 0 ? "passed" : "passed")
      }))
      yield* begun.await
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.hasInterrupts(exit))
      assert.strictEqual(failures, 0)
    }))

  const Case = {
    count: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
    limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 70 })),
    retries: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
    broken: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 59 }))),
    flaky: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 59 }))),
    alone: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 59 })))
  }

  it.effect.prop(
    "handles or blames each exactly once, in order, whatever fails",
    Case,
    ({ alone, broken, count, flaky, limit, retries }) =>
      Effect.gen(function*() {
        const never = new Set(broken)
        const once = new Set(flaky)
        const { blamed, committed, transactions } = yield* work(count, {
          limit,
          retries,
          alone: new Set(alone),
          fails: (item, attempt) => never.has(item) || once.has(item) && attempt === 1
        })
        const done = [...committed, ...blamed.map(([item]) => item)].sort((a, b) => a - b)
        assert.deepStrictEqual(done, upTo(count))
        assert.deepStrictEqual(committed, [...committed].sort((a, b) => a - b))
        for (const [item, attempts] of blamed) {
          assert.isTrue(never.has(item) || retries === 0 && once.has(item))
          assert.isAtLeast(attempts, 1)
        }
        for (const { length } of transactions) assert.isAtMost(length, limit)
      })
  )
})
