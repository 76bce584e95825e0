/** States of streams: as they are, as they were, and how they got there. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, HashMap, Option, Redacted } from "effect"
import { PgliteEventStore } from "effect-eventstore"
import { join } from "node:path"
import { changesOf } from "../../src/Cli/internal/jsonChanges.ts"
import { plainJson } from "../../src/Cli/internal/plainJson.ts"
import { config, storeAt } from "../support/cliShop/logs.ts"
import { fill } from "../support/cliShop/shop.ts"
import { directory, run } from "../support/commandLine.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

describe("the state of a stream", () => {
  it.live(
    "is that of now, of a version, of a time, and step by step what each event changed",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        yield* Effect.provide(fill(1), storeAt(url))
        const state = (...args: ReadonlyArray<string>) =>
          run(["state", ...args, ...config], { env: { EVENTSTORE_URL: url } })

        const now = yield* state("cart-1", "--json")
        assert.strictEqual(now.code, 0, now.stderr)
        assert.deepStrictEqual(now.json, [{
          streamId: "cart-1",
          version: 5,
          position: 5,
          streamVersion: 5,
          status: "active",
          state: { customer: "customer-1", items: { tea: 1, cup: 2, pot: 1 }, cents: 1850, status: "checked-out" }
        }])

        const before = yield* state("cart-1", "--at-version", "2")
        assert.strictEqual(before.lines[0], "cart-1  at version 2 of 5, position 2")
        assert.deepStrictEqual(JSON.parse(before.lines.slice(1).join("\n")), {
          customer: "customer-1",
          items: { tea: 1 },
          cents: 100,
          status: "open"
        })
        assert.deepInclude((yield* state("cart-1", "--at", "2020-01-01", "--json")).json[0], {
          version: 0,
          position: 0
        })

        const history = yield* state("cart-1", "--history", "--from", "2", "--to", "3")
        assert.deepStrictEqual(history.lines.map((line) => line.replace(/\d{4}-\S+Z/, "(time)")), [
          "version 2  Added  (time), position 2",
          "  ~ cents: 0 → 100",
          "  + items.tea: 1",
          "version 3  Added  (time), position 3",
          "  ~ cents: 100 → 600",
          "  + items.cup: 2"
        ])
        const [last] = (yield* state("cart-1", "--history", "--from", "5", "--full", "--json")).json
        assert.deepInclude(last, {
          version: 5,
          type: "CheckedOut",
          event: { _tag: "CheckedOut", cents: 1850 },
          changes: [{ op: "replace", path: ["status"], from: "open", to: "checked-out" }]
        })
        assert.strictEqual(last.state.status, "checked-out")

        const [missing, undeclared, both] = yield* Effect.all([
          state("cart-9"),
          state("payment-1"),
          state("cart-1", "--history", "--at", "1h")
        ], { concurrency: 2 })
        assert.deepStrictEqual([missing.code, missing.stderr], [1, "error There is no stream cart-9\n"])
        assert.strictEqual(undeclared.code, 2)
        assert.include(undeclared.stderr, "declares no decider of the category payment")
        assert.include(undeclared.stderr, "deciders: [...]")
        assert.deepStrictEqual([both.code, both.stdout], [2, ""])
      }),
    60_000
  )

  it.live("is that of a directory, too", () =>
    Effect.gen(function*() {
      const cwd = yield* directory
      yield* Effect.provide(fill(1), PgliteEventStore.layer({ dataDir: join(cwd, "data") }))
      const { lines } = yield* run(["state", "cart-1", "--dir", "data", ...config], { cwd })
      assert.strictEqual(lines[0], "cart-1  at version 5 of 5, position 5")
    }), 60_000)

  it("is shown in a form for people, whatever it is made of", () => {
    class Point {
      readonly x = 1
      readonly y = undefined
    }
    const circle: { self?: unknown } = {}
    circle.self = circle
    assert.deepStrictEqual(
      plainJson({
        map: new Map([["a", new Set([1n, 2n])]]),
        pairs: new Map([[new Point(), 1]]),
        hash: HashMap.make(["k", Option.some(3)]),
        none: Option.none(),
        date: new Date(0),
        time: DateTime.makeUnsafe(0),
        length: Duration.minutes(2),
        secret: Redacted.make("password"),
        infinite: Infinity,
        bytes: new Uint8Array([1, 2]),
        list: [undefined, null, true],
        circle,
        run: () => 1
      }),
      {
        map: { a: ["1", "2"] },
        pairs: [[{ x: 1 }, 1]],
        hash: { k: 3 },
        none: null,
        date: "1970-01-01T00:00:00.000Z",
        time: "1970-01-01T00:00:00.000Z",
        length: "2m",
        secret: "(redacted)",
        infinite: "Infinity",
        bytes: "AQI=",
        list: [null, null, true],
        circle: { self: "(circular)" }
      }
    )
  })

  it("differs by what was added, taken away and replaced, with what was there", () => {
    assert.deepStrictEqual(
      changesOf({ list: [1, 2, 3], "a/b": { "c~d": 1 }, gone: 1 }, { list: [1, 5], "a/b": { "c~d": 2 }, come: [] }),
      [
        { op: "replace", path: ["a/b", "c~d"], from: 1, to: 2 },
        { op: "add", path: ["come"], to: [] },
        { op: "remove", path: ["gone"], from: 1 },
        { op: "replace", path: ["list", "1"], from: 2, to: 5 },
        { op: "remove", path: ["list", "2"], from: 3 }
      ]
    )
    assert.deepStrictEqual(changesOf(1, { a: 1 }), [{ op: "replace", path: [], from: 1, to: { a: 1 } }])
    assert.deepStrictEqual(changesOf([], []), [])
  })
})
