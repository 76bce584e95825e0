/** What the command line shows and changes of projections, which a program runs meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { EventStore, PgliteEventStore, Projection } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { join } from "node:path"
import { looking, storeAt } from "../support/cliShop/logs.ts"
import { fill, Paid, Payment, Popular, Totals } from "../support/cliShop/shop.ts"
import { directory, run, terminal } from "../support/commandLine.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

/** Sets aside what is paid for the cart 2, until it is mended. */
const paying = (isMended: () => boolean, version = 1) =>
  Projection.documents("paying", {
    version,
    from: Payment,
    state: Schema.Int,
    initial: () => 0,
    key: ({ event }) => event.cart,
    evolve: {
      Paid: (sum, { event }) => {
        if (event.cart === "2" && !isMended()) throw new Error("cart 2 is broken")
        return sum + event.cents
      }
    }
  })

const isReady = (name: string, version = 1) =>
  looking(Effect.map(Projection.status(name, { version }), ({ stage }) => stage === "ready"))

describe("projections", () => {
  it.live("are listed, shown and changed by name, while a program runs them", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const projections = (...args: ReadonlyArray<string>) =>
        run(["projections", ...args], { env: { EVENTSTORE_URL: url } })
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* fill(3)
        yield* Effect.forkScoped(Projection.run(Totals))
        yield* isReady("totals")

        const [list, status, none, bad, asks, unasked] = yield* Effect.all([
          projections("list", "--json"),
          projections("status", "totals"),
          projections("status", "nothing"),
          projections("status", "totals", "--version", "0"),
          projections("reset", "totals"),
          projections("pause", "totals", "--yes")
        ], { concurrency: 2 })
        assert.deepInclude(list.json[0], {
          name: "totals",
          version: 1,
          isLive: true,
          stage: "ready",
          activity: "running",
          position: 18,
          lag: 0,
          parkedEvents: 0
        })
        assert.include(status.stdout, "totals version 1, live")
        assert.match(status.stdout, /partition +position +handled/)
        assert.strictEqual(none.code, 1)
        assert.include(none.stderr, "There is no projection nothing")
        assert.strictEqual(bad.code, 2)
        assert.strictEqual(asks.code, 2)
        assert.include(asks.stderr, "--yes does it without asking")
        assert.strictEqual(unasked.code, 2)

        assert.strictEqual(
          (yield* projections("pause", "totals")).stdout,
          "Version 1 of the projection totals is paused\n"
        )
        yield* fill(1)
        const late = yield* projections("lag", "totals", "--max", "5")
        assert.strictEqual(late.code, 1)
        assert.include(late.stderr, "Version 1 of the projection totals is 6 positions behind")
        assert.strictEqual((yield* Projection.status("totals")).status, "paused")
        yield* projections("resume", "totals")
        yield* looking(Effect.map(Projection.status("totals"), ({ lag }) => lag === 0))

        const parts = yield* projections("repartition", "totals", "3")
        assert.strictEqual(parts.code, 0, parts.stderr)
        yield* looking(Effect.map(Projection.status("totals"), ({ partitions }) => partitions.length === 3))
        const before = (yield* Projection.status("totals")).handled
        // what nobody handled: only an empty read model is without it
        yield* sql`INSERT INTO totals_v1.carts VALUES ('cart-99', 0, 0)`
        assert.strictEqual((yield* projections("reset", "totals", "--yes")).code, 0)
        yield* looking(Effect.map(Projection.status("totals"), ({ handled, lag }) => lag === 0 && handled === before))
        assert.deepStrictEqual(yield* sql`SELECT cart FROM totals_v1.carts WHERE cart = 'cart-99'`, [])

        const live = yield* projections("drop", "totals", "1", "--yes")
        assert.strictEqual(live.code, 1)
        assert.include(live.stderr, "is live")
      }).pipe(Effect.scoped, Effect.provide(storeAt(url)))
    }), 60_000)

  it.live(
    "are switched, rolled back and dropped, and what they set aside is shown, replayed and given up",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const projections = (...args: ReadonlyArray<string>) =>
          run(["projections", ...args], { env: { EVENTSTORE_URL: url } })
        yield* Effect.gen(function*() {
          let isMended = false
          const store = yield* EventStore
          yield* fill(3)
          yield* store.append(Payment.stream("2"), [new Paid({ cart: "2", cents: 5 })])
          for (const version of [1, 2]) {
            yield* Effect.forkScoped(Projection.run(paying(() => isMended, version), {
              switch: "manual",
              onError: { giveUp: "park", retry: Schedule.recurs(0) }
            }))
            yield* isReady("paying", version)
          }
          const [parked, full] = yield* Effect.all([
            projections("parked", "paying", "--json"),
            projections("parked", "paying", "--full", "--limit", "1")
          ], { concurrency: 2 })
          assert.deepStrictEqual(
            parked.json.map(({ error, event, key, position }) => [position, key, event.type, event.data.cents, error]),
            [[12, "2", "Paid", 1850, "cart 2 is broken"], [19, "2", "Paid", 5, null]]
          )
          assert.include(full.stdout, "position 12  Paid  payment-2 version 1")
          assert.include(full.stdout, "cart 2 is broken")
          assert.include(full.stdout, "\"cents\": 1850")

          isMended = true
          assert.deepStrictEqual((yield* projections("replay-parked", "paying", "--key", "2", "--json")).json, [
            { name: "paying", version: 1, events: 2 }
          ])
          yield* looking(Effect.map(Projection.status("paying"), ({ parkedEvents }) => parkedEvents === 0))
          const discarded = yield* projections("discard-parked", "paying", "--version", "2", "--yes")
          assert.strictEqual(discarded.stdout, "2 parked events given up\n")

          const switched = yield* projections("switch", "paying", "2")
          assert.strictEqual(switched.stdout, "Version 2 of the projection paying is live, instead of version 1\n")
          const back = yield* projections("rollback", "paying", "--from", "2", "--json")
          assert.deepStrictEqual(back.json, [{ name: "paying", version: 1, from: 2 }])
          const again = yield* projections("rollback", "paying", "--from", "2")
          assert.strictEqual(again.stdout, "Version 1 of the projection paying was live already\n")
          assert.strictEqual((yield* projections("drop", "paying", "2", "--yes")).code, 0)
          assert.deepStrictEqual((yield* Projection.statuses("paying")).map(({ version }) => version), [1])
        }).pipe(Effect.scoped, Effect.provide(storeAt(url)))
      }),
    60_000
  )

  it.live("are those of a directory, too, and are watched in a terminal", () =>
    Effect.gen(function*() {
      const cwd = yield* directory
      const options = { cwd, env: { EVENTSTORE_DIR: "data" } }
      yield* Effect.andThen(
        fill(2),
        Effect.scoped(Effect.andThen(Effect.forkScoped(Projection.run(Popular)), isReady("popular")))
      ).pipe(Effect.provide(PgliteEventStore.layer({ dataDir: join(cwd, "data") })))
      const watched = yield* terminal(["projections", "list", "--watch", "--every", "1"], options)
      // drawn over what was there
      // oxlint-disable-next-line no-control-regex
      yield* watched.says(/popular.*idle[^]*\u001b\[2A\u001b\[J[^]*popular/)
      yield* watched.types("\u0003")
      assert.strictEqual(yield* watched.ended, 130)
      const paused = yield* run(["projections", "pause", "popular", "--json"], options)
      assert.deepInclude(paused.json[0], { name: "popular", status: "paused", activity: "paused" })
    }), 60_000)
})
