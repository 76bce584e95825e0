/** What the command line runs again: projections, beside the live ones or for a look, and handlers. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { EventStore, PgliteEventStore, Projection } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { looking, operated, storeAt } from "../support/cliShop/logs.ts"
import { fill, Totals } from "../support/cliShop/shop.ts"
import { directory, type Options, run, start, terminal } from "../support/commandLine.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

/** A program with a client and a store on a database. */
const on = <A, E>(url: string, effect: Effect.Effect<A, E, EventStore | SqlClient.SqlClient>) =>
  Effect.provide(effect, storeAt(url))

/** Runs a command of the shop on a database, in a directory where it may write. */
const shop = (url: string, cwd: string, env: Options["env"] = {}) => ({
  args: (...args: ReadonlyArray<string>) => [...args, ...operated],
  options: { cwd, env: { EVENTSTORE_URL: url, ...env } }
})

const command = (url: string, cwd: string, env: Options["env"], ...args: ReadonlyArray<string>) => {
  const { args: all, options } = shop(url, cwd, env)
  return run(all(...args), options)
}

/** Looks into a database until something holds. */
const until = (url: string, holds: Effect.Effect<boolean, any, EventStore | SqlClient.SqlClient>) =>
  on(url, looking(holds))

const linesOf = (file: string) => existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").map(Number) : []

describe("a projection that is replayed", () => {
  it.live(
    "is built beside the live one while an application runs that, and takes its place",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const cwd = yield* directory
        yield* on(url, fill(20))
        yield* Effect.gen(function*() {
          // the application, in a process of its own: this one
          yield* Effect.forkScoped(Projection.run(Totals))
          yield* until(url, Effect.map(Projection.status("totals"), ({ stage }) => stage === "ready"))

          const nothing = yield* command(url, cwd, {}, "replay", "totals")
          assert.deepInclude(nothing, { code: 1, stdout: "" })
          assert.include(nothing.stderr, "Version 1 of the projection totals is live and ready")
          assert.include(nothing.stderr, "raise its version")

          const v2 = { SHOP_VERSION: "2", SHOP_FACTOR: "2" }
          const beside = yield* command(url, cwd, v2, "replay", "totals", "--no-switch", "--json")
          assert.strictEqual(beside.code, 0, beside.stderr)
          assert.deepInclude(beside.json[0], {
            name: "totals",
            version: 2,
            isLive: false,
            replaced: null,
            handled: 100
          })
          assert.strictEqual((yield* Projection.status("totals")).version, 1)

          const switched = yield* command(url, cwd, v2, "projections", "rebuild", "totals")
          assert.strictEqual(switched.code, 0, switched.stderr)
          assert.include(
            switched.stdout,
            "totals: version 2 is live, instead of version 1, at position 120 (100 events in"
          )
          assert.include(switched.stderr, "nobody runs version 2 now")
          const sum = yield* Effect.flatMap(
            SqlClient.SqlClient,
            (sql) => sql<{ sum: bigint }>`SELECT sum(cents) FROM totals_v2.carts`
          )
          assert.deepStrictEqual(sum, [{ sum: 20n * 2n * 1850n }])
          assert.isTrue((yield* Projection.status("totals", { version: 2 })).isLive)
        }).pipe(Effect.scoped, Effect.provide(storeAt(url)))
      }),
    60_000
  )

  it.live("is built exactly once where it is killed in the middle and continued", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const cwd = yield* directory
      yield* on(url, fill(60))
      const { args, options } = shop(url, cwd, { SHOP_PAUSE: "150" })
      const first = yield* start(args("replay", "totals", "--batch", "20"), options)
      yield* until(url, Effect.map(Projection.status("totals"), ({ position }) => position > 0))
      yield* first.signal("SIGKILL")
      yield* first.ended
      const { position } = yield* on(url, Projection.status("totals"))
      assert.isBelow(position, 360)
      const second = yield* command(url, cwd, {}, "replay", "totals", "--json")
      assert.strictEqual(second.code, 0, second.stderr)
      assert.deepInclude(second.json[0], { version: 1, isLive: true, position: 360, handled: 300 })
      const rows = yield* on(
        url,
        SqlClient.SqlClient.use((sql) =>
          sql`SELECT count(*)::int4 AS carts, sum(cents)::int4 AS cents FROM totals_v1.carts`
        )
      )
      assert.deepStrictEqual(rows, [{ carts: 60, cents: 60 * 1850 }])
    }), 60_000)

  it.live("leaves a sentence and nothing half done at Ctrl-C in a terminal", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const cwd = yield* directory
      yield* on(url, fill(20))
      const { args, options } = shop(url, cwd, { SHOP_PAUSE: "2000" })
      const window = yield* terminal(args("replay", "totals"), options)
      yield* window.says("of 120")
      yield* window.types("\u0003")
      assert.strictEqual(yield* window.ended, 130)
      assert.include(window.screen(), "totals: stopped at position 0; the same command goes on from there")
      // nobody has to wait for its lease
      const { partitions, position, stage } = yield* on(url, Projection.status("totals"))
      assert.deepStrictEqual([partitions[0]!.owner, position, stage], [null, 0, "building"])

      const dry = yield* terminal(args("replay", "totals", "--dry-run", "--to", "120"), options)
      yield* dry.says("of 120")
      yield* dry.types("\u0003")
      assert.strictEqual(yield* dry.ended, 130)
      assert.include(dry.screen(), "nothing of it is left")
      assert.deepStrictEqual((yield* command(url, cwd, {}, "replay", "--scratches", "--json")).json, [])
    }), 60_000)

  it.live("shows what would be different, keeps what is asked for, and bounds it", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const cwd = yield* directory
      yield* on(
        url,
        Effect.gen(function*() {
          yield* fill(4)
          yield* Effect.forkScoped(Projection.run(Totals))
          yield* looking(Effect.map(Projection.status("totals"), ({ stage }) => stage === "ready"))
        }).pipe(Effect.scoped)
      )
      const dry = (env: Options["env"], ...args: ReadonlyArray<string>) => command(url, cwd, env, "replay", ...args)

      const same = yield* dry({}, "totals", "--dry-run", "--exit-code")
      assert.strictEqual(same.code, 0, same.stderr)
      assert.include(same.stdout, "both at position 24: they are equal")

      const other = yield* dry({ SHOP_VERSION: "2", SHOP_FACTOR: "3" }, "totals", "--dry-run", "--exit-code", "--json")
      assert.strictEqual(other.code, 1)
      const [{ difference, ...rehearsed }] = other.json
      assert.deepInclude(rehearsed, { kind: "rehearsal", version: 2, position: 24, handled: 20, kept: null })
      assert.deepInclude(difference.parts[0], { name: "carts", live: 4, fresh: 4 })
      assert.deepStrictEqual([difference.parts[0].onlyLive.count, difference.parts[0].onlyFresh.count], [4, 4])

      const kept = yield* dry({}, "totals", "--dry-run", "--to", "12", "--keep", "half")
      assert.strictEqual(kept.code, 0, kept.stderr)
      assert.include(kept.stdout, "at position 12, and 24 the live one")
      assert.include(kept.stdout, "2 only live")
      const scratches = yield* dry({}, "--scratches", "--json")
      assert.deepInclude(scratches.json[0], {
        name: "half",
        projection: "totals",
        to: 12,
        position: 12,
        isLeftOver: false
      })
      const dropped = yield* dry({}, "--scratches", "--drop", "half", "--yes")
      assert.strictEqual(dropped.stdout, "Removed half\n")
    }), 60_000)

  it.live("does not stop others that run with it where it fails", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const cwd = yield* directory
      yield* on(url, fill(5))
      const both = yield* command(url, cwd, { SHOP_BROKEN: "3" }, "replay", "popular", "paying", "--json")
      assert.strictEqual(both.code, 1)
      assert.deepInclude(both.json[0], { name: "popular", isLive: true, handled: 15 })
      assert.strictEqual(both.json[1].error.tag, "ProjectionFailed")
      assert.match(both.json[1].error.message, /paying failed at position 18: .*cart 3 is broken/)
      // it was mended, and goes on; the other one needs nothing
      const again = yield* command(url, cwd, { SHOP_BROKEN: "4" }, "replay", "paying", "--keep-going", "--json")
      assert.strictEqual(again.code, 0, again.stderr)
      assert.deepInclude(again.json[0], { name: "paying", parkedEvents: 1, handled: 4 })
    }), 60_000)

  it.live("refuses what makes no sense before anything is done", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const cwd = yield* directory
      yield* on(url, fill(1))
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
        [["totals", "nothing"], "declares no projection or subscription nothing"],
        [["totals", "--from", "3"], "is rebuilt from all of its events"],
        [["totals", "--dry-run", "--since", "yesterday"], "--since \"yesterday\" is no time"],
        [["writing"], "say over which part of the log"],
        [["writing", "--from", "1"], "asks first"]
      ]
      const found = yield* Effect.forEach(cases, ([args]) => command(url, cwd, {}, "replay", ...args), {
        concurrency: 3
      })
      for (const [i, { code, stderr, stdout }] of found.entries()) {
        assert.deepStrictEqual([code, stdout], [2, ""], stderr)
        assert.include(stderr, cases[i]![1])
      }
      assert.deepStrictEqual(yield* on(url, Projection.statuses()), [])
    }), 60_000)
})

describe("a handler that is replayed", () => {
  it.live(
    "is given every event where it is killed and continued, and none twice after Ctrl-C",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const cwd = yield* directory
        yield* on(url, fill(40))
        const file = join(cwd, "mails")
        const all = Array.from({ length: 40 }, (_, i) => 6 * (i + 1))
        const { args, options } = shop(url, cwd, { SHOP_MAILS: file, SHOP_PAUSE: "100" })
        const first = yield* start(args("replay", "writing", "--from", "1", "--yes"), options)
        yield* looking(Effect.sync(() => linesOf(file).length >= 12))
        yield* first.signal("SIGKILL")
        yield* first.ended

        const second = yield* start(args("replay", "writing", "--from", "1", "--yes"), options)
        yield* second.says("goes on behind position")
        const before = linesOf(file).length
        yield* looking(Effect.sync(() => linesOf(file).length >= before + 5))
        yield* second.signal("SIGINT")
        assert.strictEqual(yield* second.ended, 130)
        assert.include(second.stderr(), "the same command goes on from there")
        const kept = JSON.parse(readFileSync(join(cwd, "replay-writing.checkpoint.json"), "utf8"))
        assert.strictEqual(kept.position, linesOf(file).at(-1))

        const other = yield* command(url, cwd, { SHOP_MAILS: file }, "replay", "writing", "--from", "7", "--yes")
        assert.strictEqual(other.code, 2)
        assert.include(other.stderr, "is of another range: --from 1")

        const third = yield* command(
          url,
          cwd,
          { SHOP_MAILS: file },
          "replay",
          "writing",
          "--from",
          "1",
          "--yes",
          "--json"
        )
        assert.strictEqual(third.code, 0, third.stderr)
        assert.deepInclude(third.json[0], { name: "writing", kind: "subscription", handled: 40, position: 240 })
        const handled = linesOf(file)
        assert.deepStrictEqual([...new Set(handled)], all)
        // what was not written down when it was killed: no more than is done in a second
        assert.isBelow(handled.length, 40 + 12)
        assert.isFalse(existsSync(join(cwd, "replay-writing.checkpoint.json")))
      }),
    60_000
  )

  it.live("stops at an event that it cannot handle, or passes over it, and says which", () =>
    Effect.gen(function*() {
      const cwd = yield* directory
      yield* Effect.provide(fill(3), PgliteEventStore.layer({ dataDir: join(cwd, "data") }))
      const file = join(cwd, "mails")
      const handle = (...args: ReadonlyArray<string>) =>
        run(["replay", "writing", "--dir", join(cwd, "data"), ...operated, "--yes", ...args], {
          cwd,
          env: { SHOP_MAILS: file, SHOP_BROKEN: "2" }
        })
      const stopped = yield* handle("--from", "1", "--attempts", "2", "--checkpoint", "here")
      assert.strictEqual(stopped.code, 1)
      assert.include(stopped.stderr, "failed at position 12 (Paid of payment-2): no address for cart 2")
      assert.include(stopped.stderr, "stopped behind position 6")
      const passed = yield* handle("--from", "1", "--attempts", "1", "--checkpoint", "here", "--keep-going", "--json")
      assert.strictEqual(passed.code, 0, passed.stderr)
      assert.deepInclude(passed.json[0], {
        handled: 2,
        failed: { count: 1, first: [{ position: 12, error: "no address for cart 2" }] }
      })
      assert.deepStrictEqual(linesOf(file), [6, 18])
      writeFileSync(join(cwd, "here"), "{}")
      assert.include((yield* handle("--from", "1", "--checkpoint", "here")).stderr, "is no checkpoint of a replay")
    }), 60_000)
})
