/** What the command line shows and changes of subscriptions, timers and snapshots. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, Stream } from "effect"
import { Delivery, EventStore, PersistentSubscription } from "effect-eventstore"
import { config, looking, storeAt } from "../support/cliShop/logs.ts"
import { Cart, CheckedOut, CheckoutLive, fill, Paid, Payment } from "../support/cliShop/shop.ts"
import { run, terminal } from "../support/commandLine.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const infoOf = (name: string) => Effect.flatMap(PersistentSubscription.info(name), Effect.fromOption)

describe("subscriptions", () => {
  it.live(
    "are shown, and what keeps them is replayed, skipped and given up, while a program runs them",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const subscriptions = (...args: ReadonlyArray<string>) =>
          run(["subscriptions", ...args], { env: { EVENTSTORE_URL: url } })
        yield* Effect.gen(function*() {
          const handled: Array<number> = []
          yield* fill(5)
          // of the payments at 6, 12, 18, 24 and 30: two are parked, one is tried again in an hour
          const consumer = yield* Effect.forkScoped(PersistentSubscription.run("mails", {
            from: Payment,
            handle: ({ event: { cart }, position }): Effect.Effect<void, Delivery.Park | Delivery.Retry> =>
              cart === "late" || (cart === "1" || cart === "2") && !handled.includes(-1)
                ? Effect.fail(new Delivery.Park({ reason: `no address for ${cart}` }))
                : cart === "3"
                ? Effect.fail(new Delivery.Retry({ after: Duration.hours(1) }))
                : Effect.sync(() => void handled.push(position))
          }))
          yield* looking(Effect.map(infoOf("mails"), ({ parked, waiting }) => parked === 2 && waiting === 1))
          const [list, shown, parked, full, none, late] = yield* Effect.all([
            subscriptions("list", "--json"),
            subscriptions("show", "mails"),
            subscriptions("parked", "mails", "--reason", "for 2", "--json"),
            subscriptions("parked", "mails", "--full"),
            subscriptions("show", "nothing"),
            subscriptions("lag", "--max", "10")
          ], { concurrency: 2 })
          assert.deepInclude(list.json[0], { name: "mails", waiting: 1, parked: 2, checkpoint: 17, lag: 13 })
          assert.match(shown.stdout, /from +payment\n/)
          assert.deepStrictEqual(parked.json.map(({ event, position }) => [position, event.data.cart]), [[12, "2"]])
          assert.include(full.stdout, "position 6  Paid  payment-1 version 1")
          assert.include(full.stdout, "no address for 1")
          assert.strictEqual(none.code, 1)
          assert.include(none.stderr, "There is no subscription nothing")
          assert.deepStrictEqual([late.code, late.lines.length], [1, 2])

          handled.push(-1)
          const replayed = yield* subscriptions("replay", "mails", "--position", "6")
          assert.strictEqual(replayed.stdout, "1 parked event to be delivered again, where somebody runs it\n")
          yield* looking(Effect.sync(() => handled.includes(6)))

          const [waiting] = yield* Stream.runCollect((yield* EventStore).read(Payment.stream("3")))
          const [asks, far, bad] = yield* Effect.all([
            subscriptions("skip", "mails", "18"),
            subscriptions("skip", "mails", "99", "--yes"),
            subscriptions("skip", "mails", "here", "--yes")
          ], { concurrency: 2 })
          assert.deepStrictEqual([asks.code, far.code, bad.code], [2, 1, 2])
          assert.include(far.stderr, "has not come to position 99 yet")
          const skipped = yield* subscriptions("skip", "mails", waiting!.eventId, "--yes", "--json")
          assert.deepStrictEqual(skipped.json, [{ name: "mails", position: 18, skipped: true }])
          const twice = yield* subscriptions("skip", "mails", "18", "--yes")
          assert.strictEqual(twice.code, 1)
          assert.include(twice.stderr, "Nothing of the subscription mails waits at position 18")

          // only what was there when it was asked
          const discarding = yield* terminal(["subscriptions", "discard", "mails"], { env: { EVENTSTORE_URL: url } })
          yield* discarding.says("Give up all 1 parked event")
          yield* (yield* EventStore).append(Payment.stream("late"), [new Paid({ cart: "late", cents: 1 })])
          yield* looking(Effect.map(infoOf("mails"), ({ parked }) => parked === 2))
          yield* discarding.types("y")
          yield* discarding.says("1 parked event given up")
          assert.strictEqual(yield* discarding.ended, 0)
          const discarded = yield* subscriptions("discard", "mails", "--yes")
          assert.strictEqual(discarded.stdout, "1 parked event given up\n")
          assert.deepInclude(yield* infoOf("mails"), { checkpoint: 31, waiting: 0, inFlight: 0, parked: 0 })

          assert.strictEqual((yield* subscriptions("remove", "mails", "--yes")).code, 0)
          assert.isTrue(Option.isNone(yield* PersistentSubscription.info("mails")))
          assert.strictEqual((yield* Fiber.await(consumer))._tag, "Failure")
        }).pipe(Effect.scoped, Effect.provide(storeAt(url)))
      }),
    60_000
  )
})

describe("timers and snapshots", () => {
  it.live(
    "are listed; snapshots are rebuilt with the declared decider, shown and dropped",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const es = (...args: ReadonlyArray<string>) => run([...args, ...config], { env: { EVENTSTORE_URL: url } })
        yield* Effect.gen(function*() {
          yield* fill(2)
          const store = yield* EventStore
          yield* Effect.scoped(Effect.andThen(
            Layer.build(CheckoutLive),
            // a cart that was not paid
            Effect.andThen(
              looking(Effect.map(infoOf("checkout"), ({ lag }) => lag === 0)),
              Effect.andThen(
                store.append(Cart.stream("9"), [new CheckedOut({ cents: 1 })]),
                looking(Effect.map(store.storage.projections.timers.list("checkout", 9), ({ length }) => length === 1))
              )
            )
          ))
        }).pipe(Effect.provide(storeAt(url)))

        const timers = yield* es("timers", "list", "--json")
        assert.deepInclude(timers.json[0], { manager: "checkout", process: "9", name: "payment", isOverdue: false })
        const rebuilt = yield* es("snapshots", "rebuild", "cart", "--yes", "--json")
        assert.deepStrictEqual(rebuilt.json, [{ category: "cart", name: "cart", kept: 3, refused: 0 }])
        const shown = yield* es("snapshots", "show", "cart-1", "--json")
        assert.deepInclude(shown.json[0].snapshots[0], { name: "cart", streamVersion: 5, holds: true })
        assert.strictEqual(shown.json[0].snapshots[0].state.cents, 1850)
        const all = yield* es("snapshots", "drop", "--yes")
        assert.strictEqual(all.code, 2)
        assert.include(all.stderr, "It is not said which snapshots")
        assert.strictEqual(
          (yield* es("snapshots", "drop", "--stream", "cart-1", "--yes")).stdout,
          "1 snapshot removed\n"
        )
        const left = yield* es("snapshots", "list", "--json")
        assert.deepStrictEqual(left.json.map(({ streamId }) => streamId), ["cart-2", "cart-9"])
      }),
    60_000
  )
})
