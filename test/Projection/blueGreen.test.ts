import { assert, it } from "@effect/vitest"
import { Cause, Context, Effect, Fiber, Stream } from "effect"
import { Projection } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { inStore, until } from "../../src/Testing/internal/consuming.ts"
import { processed, project, untilState } from "../../src/Testing/internal/projecting.ts"
import { ask, balances, Payments, sent } from "../support/balances.ts"
import { open, type Opened } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const names = ["a", "b", "c", "d", "e"]

const payments = (i: number, count: number) =>
  Array.from({ length: count }, (_, k) => sent(names[(i + k) % 5]!, names[(i + k + 1 + i % 4) % 5]!, (i * 7 + k) % 13))

/** Asks all the time; notes the versions that answered, one after the other, and everything that is not as it should be. */
const reader = ({ sql, store }: Opened) =>
  Effect.gen(function*() {
    const versions: Array<number> = []
    const problems: Array<string> = []
    let answers = 0
    let isOver = false
    const fiber = yield* Effect.forkScoped(
      Effect.gen(function*() {
        while (!isOver) {
          const { problem, version } = yield* inStore(store)(ask(balances(1))).pipe(
            Effect.provideService(SqlClient.SqlClient, sql)
          )
          answers++
          if (versions.at(-1) !== version) versions.push(version)
          if (problem !== undefined) problems.push(problem)
        }
      }).pipe(Effect.catchCause((cause) => Effect.sync(() => problems.push(Cause.pretty(cause)))))
    )
    return {
      versions,
      answers: () => answers,
      sees: (version: number) => problems.length > 0 || versions.at(-1) === version,
      stop: Effect.suspend(() => {
        isOver = true
        return Effect.map(Fiber.await(fiber), () => assert.deepStrictEqual(problems, []))
      })
    }
  })

it.live(
  "tables of another shape are built, switched to, left and dropped while everybody reads: each answer is of one version, whole",
  () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const here = yield* open(url)
      const there = yield* open(url)
      const { sql, store } = here
      const run = inStore(store)
      for (let i = 0; i < 10; i++) yield* store.append(Payments.stream(String(i)), payments(i, 30))

      let isOver = false
      const writing = yield* Effect.forkScoped(Effect.gen(function*() {
        for (let i = 0; !isOver; i++) {
          yield* store.append(Payments.stream(String(i % 10)), payments(i, 3))
          yield* Effect.sleep(25)
        }
      }))
      yield* project(store, balances(1), { batch: 40, context: Context.make(SqlClient.SqlClient, sql) })
      yield* untilState(store, "balances", ({ stage }) => stage === "ready")
      const readers = yield* Effect.all([reader(here), reader(here), reader(there)])
      const allSee = (version: number) =>
        until(`version ${version} everywhere`, () => readers.every(({ sees }) => sees(version)))
      const switchTo = (version: number) =>
        until(`a switch to ${version}`, () =>
          run(Projection.switchTo("balances", version)).pipe(
            Effect.as(true),
            Effect.catchTag("VersionBehind", () => Effect.succeed(false))
          ))
      yield* allSee(1)
      for (let version = 2; version <= 4; version++) {
        const { sql, store } = version % 2 === 0 ? there : here
        yield* project(store, balances(version), { batch: 40, context: Context.make(SqlClient.SqlClient, sql) })
        yield* untilState(store, "balances", (state) => state.version === version)
        yield* allSee(version)
        for (let i = 0; i < 3; i++) {
          yield* run(Projection.rollBack("balances"))
          yield* allSee(version - 1)
          yield* switchTo(version)
          yield* allSee(version)
        }
        // some have begun to read what goes away
        yield* run(Projection.rollBack("balances"))
        yield* Effect.sleep(25)
        yield* switchTo(version)
        yield* run(Projection.drop("balances", version - 1))
      }
      isOver = true
      yield* Fiber.join(writing)
      yield* processed(store, "balances")
      yield* Effect.forEach(readers, ({ stop }) => stop)
      for (const { answers } of readers) assert.isAbove(answers(), 50)

      // and in the end it says what the log says
      const amounts = new Map(names.map((name) => [name, 0]))
      for (const { event: { amount, from, to } } of yield* Stream.runCollect(store.readCategory(Payments))) {
        amounts.set(from, amounts.get(from)! - amount)
        amounts.set(to, amounts.get(to)! + amount)
      }
      const rows = yield* sql<{ name: string; balance: number }>`
        SELECT name, (coming::int8 - going::int8)::float8 AS balance FROM balances_v4.accounts`
      assert.deepStrictEqual(new Map(rows.map(({ balance, name }) => [name, balance])), amounts)
      const schemas = yield* sql`SELECT nspname FROM pg_namespace WHERE nspname LIKE 'balances%'`
      assert.strictEqual(schemas.length, 1)
    }),
  60_000
)
