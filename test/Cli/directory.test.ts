/** Commands that the other files try on a database only, on a directory. A process on PGlite takes seconds: no others. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { EventStore, PersistentSubscription, Projection } from "effect-eventstore"
import { join } from "node:path"
import { config, looking, storeIn } from "../support/cliShop/logs.ts"
import { Carts, CheckoutLive, fill, Mails, mails, Popular, Totals } from "../support/cliShop/shop.ts"
import { directory, run } from "../support/commandLine.ts"

/** A log with something of all that an application declares. */
const filled = Effect.gen(function*() {
  yield* fill(2)
  yield* Carts.snapshot("1")
  const store = yield* EventStore
  const isDone = Effect.gen(function*() {
    const head = yield* store.head()
    const subscriptions = yield* PersistentSubscription.list
    const projections = yield* Projection.statuses()
    return subscriptions.length === 3 && subscriptions.every(({ inFlight, lag, waiting }) =>
      inFlight + lag + waiting === 0
    ) &&
      projections.filter(({ position }) => position === head).length === 2
  })
  yield* looking(isDone).pipe(
    Effect.provide(
      Layer.mergeAll(
        Projection.layer(Totals),
        Projection.layer(Popular),
        PersistentSubscription.layer("mails", mails),
        CheckoutLive
      ).pipe(Layer.provide(Mails.layer))
    )
  )
})

/** A command, and what of its answer has to hold. */
const commands: ReadonlyArray<
  readonly [command: string, holds: (rows: ReadonlyArray<any>) => unknown, is: unknown]
> = [
  ["streams show cart-2", ([{ events, version }]) => [events, version], [5, 5]],
  ["stats", ([{ looked }]) => looked > 10, true],
  ["state cart-1", ([{ state }]) => state.items, { tea: 1, cup: 2, pot: 1 }],
  ["subscriptions list", (rows) => rows.some(({ name, lag }) => name === "mails" && lag === 0), true],
  ["subscriptions show mails", ([{ parked }]) => parked, 0],
  ["snapshots list", (rows) => rows.map(({ streamId }) => streamId), ["cart-1"]],
  ["snapshots show cart-1", (rows) => rows.length > 0, true],
  ["timers list", (rows) => rows.length, 0],
  ["append cart-3 --type Opened --data {\"customer\":\"eva\"} --expected no-stream", ([{ version }]) => version, 1],
  ["migrate --status", (rows) => rows.length, 1]
]

describe("a command", () => {
  it.live("answers of a directory as of a database", () =>
    Effect.gen(function*() {
      const dir = join(yield* directory, "data")
      yield* Effect.provide(filled, storeIn(dir))
      for (const [command, holds, is] of commands) {
        const { code, json, stderr } = yield* run([...command.split(" "), "--dir", dir, ...config, "--json"])
        assert.strictEqual(code, 0, `${command}: ${stderr}`)
        assert.deepStrictEqual(holds(json), is, `${command}: ${JSON.stringify(json)}`)
      }
    }))
})
