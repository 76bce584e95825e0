import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as Child from "../support/child.ts"
import { open, recorded } from "../support/Notes.ts"
import type { RaceReport } from "../support/raceWorker.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

describe("several processes at once", () => {
  it.live(
    "store what they acknowledge, and a reader that follows sees every position once and in order",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const { sql, store } = yield* open(url)
        yield* sql`CREATE TABLE unrelated (n int4)`
        let running = 4
        const seen: Array<string> = []
        /** Asks for the head, then reads on: nothing up to that head may be missing, nothing may come before the last. */
        const follow = Effect.gen(function*() {
          let polls = 0
          for (let last = 0, finished = false; !finished; polls++) {
            finished = running === 0
            const head = yield* store.head()
            const events = yield* Stream.runCollect(store.readAll({ from: last + 1 }))
            for (const { eventId, position } of events) {
              assert.strictEqual(position, ++last)
              seen.push(eventId)
            }
            assert.isAtLeast(last, head)
          }
          return polls
        })
        const reader = yield* Effect.forkChild(follow)
        const children = yield* Effect.forEach(
          ["a", "b", "c", "d"],
          (name) => Child.start("raceWorker.ts", url, name, "120")
        )
        const codes = yield* Effect.forEach(children, (child) =>
          Effect.promise(async () => {
            const code = await child.ended
            running--
            return code
          }), { concurrency: "unbounded" })
        assert.deepStrictEqual(codes, [0, 0, 0, 0], children.map((child) => child.errors()).join("\n"))
        assert.isAbove(yield* Fiber.join(reader), 20)

        const reports = children.map(({ lines }): RaceReport => JSON.parse(lines.at(-1)!))
        const events = yield* recorded(store)
        // nothing appeared behind the reader
        assert.deepStrictEqual(seen, events.map(({ eventId }) => eventId))
        assert.deepStrictEqual(events.filter(({ event }) => (event.data as { text: string }).text === "gone"), [])
        const versions: Record<string, number> = {}
        for (const { streamId, streamVersion } of events) {
          const id = streamId.slice("notes-".length)
          versions[id] = (versions[id] ?? 0) + 1
          assert.strictEqual(streamVersion, versions[id], streamId)
        }
        const acknowledged: Record<string, number> = {}
        const met: Record<string, number> = {}
        for (const report of reports) {
          for (const [id, count] of Object.entries(report.acknowledged)) {
            acknowledged[id] = (acknowledged[id] ?? 0) + count
          }
          for (const [what, count] of Object.entries(report.met)) met[what] = (met[what] ?? 0) + count
        }
        assert.deepStrictEqual(versions, acknowledged)
        // and it was a race
        for (const what of ["own", "any", "expected", "all", "condition", "transaction", "savepoint", "prepared"]) {
          assert.isAbove(met[what] ?? 0, 0, what)
        }
        assert.isAbove(met["WrongExpectedVersion"] ?? 0, 50)
        assert.isAbove(met["RolledBack"] ?? 0, 50)
        const left = yield* sql`SELECT pid FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
        assert.deepStrictEqual(left, [])
      }),
    120_000
  )
})
