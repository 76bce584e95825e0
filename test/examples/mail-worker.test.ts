/** How to test a worker: on the store in memory, with the test clock instead of waiting. Nothing sleeps here. */
import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Fiber, Latch, Layer, Option, References, Stream } from "effect"
import { EventStore, PersistentSubscription } from "effect-eventstore"
import { TestClock } from "effect/testing"
import {
  type Mail,
  Mailer,
  NoSuchAddress,
  Order,
  OrderMails,
  OrderPlaced,
  OrderShipped,
  ServerBusy
} from "../../examples/mail-worker/worker.ts"

/** A mailer that does with each mail what the test says, and notes the mails. */
const makeMailer = (send: (attempt: number) => Effect.Effect<void, ServerBusy | NoSuchAddress> = () => Effect.void) => {
  const mails: Array<Mail> = []
  return {
    texts: () => mails.map(({ text }) => text),
    mails,
    layer: Layer.succeed(Mailer, { send: (mail) => Effect.suspend(() => send(mails.push(mail))) })
  }
}

/** The worker with a mailer, for as long as an effect runs. */
const withWorker = (mailer: { readonly layer: Layer.Layer<Mailer> }) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provide(effect, OrderMails.pipe(Layer.provide(mailer.layer)), { local: true })

/** Lets everybody go on until all of them wait: in memory that takes a few turns, and no time. */
const settle = Effect.repeat(Effect.yieldNow, { times: 100 })

const pass = (time: Duration.Input) => Effect.andThen(TestClock.adjust(time), settle)

const place = (id: string) =>
  EventStore.use((store) => store.append(Order.stream(id), [new OrderPlaced({ customer: "anna" })])).pipe(
    Effect.tap(settle)
  )
const ship = (id: string) =>
  EventStore.use((store) => store.append(Order.stream(id), [new OrderShipped({ customer: "anna" })])).pipe(
    Effect.tap(settle)
  )

const reasons = Stream.runCollect(PersistentSubscription.parked("order-mails")).pipe(
  Effect.map((parked) => parked.map(({ error, key, reason }) => [key, reason, error]))
)

const busy = Effect.fail(new ServerBusy())
const unknown = Effect.fail(new NoSuchAddress())

describe("examples/mail-worker", () => {
  const test = <A, E>(name: string, effect: Effect.Effect<A, E, EventStore>) =>
    it.effect(name, () =>
      effect.pipe(
        Effect.provide(EventStore.layerMemory),
        Effect.provideService(References.MinimumLogLevel, "Error")
      ))

  test(
    "mails what the events say, each under an id of its own",
    Effect.gen(function*() {
      const mailer = makeMailer()
      yield* Effect.andThen(place("7"), ship("7")).pipe(withWorker(mailer))
      assert.deepStrictEqual(mailer.mails.map(({ text, to }) => [to, text]), [
        ["anna", "Thank you for order-7"],
        ["anna", "order-7 is on its way"]
      ])
      assert.strictEqual(new Set(mailer.mails.map(({ messageId }) => messageId)).size, 2)
    })
  )

  test(
    "tries again after 20, 40 and 80 milliseconds, then parks the event with the error",
    Effect.gen(function*() {
      const mailer = makeMailer(() => busy)
      yield* Effect.gen(function*() {
        yield* place("7")
        for (const [delay, attempts] of [[20, 1], [40, 2], [80, 3]] as const) {
          yield* pass(delay - 1)
          assert.strictEqual(mailer.mails.length, attempts)
          yield* pass(1)
          assert.strictEqual(mailer.mails.length, attempts + 1)
        }
        assert.deepStrictEqual(yield* reasons, [["order-7", "failed 4 times", "the mail server is busy"]])
        yield* pass("1 hour")
        assert.strictEqual(mailer.mails.length, 4)
        assert.strictEqual(new Set(mailer.mails.map(({ messageId }) => messageId)).size, 1)
      }).pipe(withWorker(mailer))
    })
  )

  test(
    "keeps the later mails of an order back while an earlier one is parked, and sends both after a replay",
    Effect.gen(function*() {
      const mailer = makeMailer((attempt) => attempt === 1 ? unknown : Effect.void)
      yield* Effect.gen(function*() {
        yield* place("7")
        yield* ship("7")
        yield* place("8")
        assert.deepStrictEqual(mailer.texts(), ["Thank you for order-7", "Thank you for order-8"])
        assert.deepStrictEqual(yield* reasons, [["order-7", "no such address", null]])
        assert.strictEqual(yield* PersistentSubscription.replay("order-mails", { reason: "address" }), 1)
        yield* settle
        assert.deepStrictEqual(mailer.texts().slice(2), ["Thank you for order-7", "order-7 is on its way"])
        assert.deepStrictEqual(yield* reasons, [])
      }).pipe(withWorker(mailer))
    })
  )

  test(
    "gives a mail 5 seconds, and tries again",
    Effect.gen(function*() {
      let interrupted = 0
      const hangs = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      const mailer = makeMailer((attempt) => attempt === 1 ? hangs : Effect.void)
      yield* Effect.gen(function*() {
        yield* place("7")
        yield* pass("4999 millis")
        assert.strictEqual(interrupted, 0)
        yield* pass(1)
        assert.strictEqual(interrupted, 1)
        yield* pass(20)
        assert.strictEqual(mailer.mails.length, 2)
      }).pipe(withWorker(mailer))
    })
  )

  test(
    "sends the mails of four orders at a time, those of one order one after another",
    Effect.gen(function*() {
      const gate = yield* Latch.make()
      let now = 0
      let most = 0
      const mailer = makeMailer(() =>
        Effect.suspend(() => {
          most = Math.max(most, ++now)
          return Effect.ensuring(gate.await, Effect.sync(() => now--))
        })
      )
      yield* Effect.gen(function*() {
        for (const id of ["1", "2", "3", "4", "5"]) yield* Effect.andThen(place(id), ship(id))
        assert.deepStrictEqual(mailer.texts(), [1, 2, 3, 4].map((id) => `Thank you for order-${id}`))
        yield* gate.open
        yield* settle
        assert.strictEqual(most, 4)
        for (const id of [1, 2, 3, 4, 5]) {
          const texts = mailer.texts().filter((text) => text.includes(`order-${id}`))
          assert.deepStrictEqual(texts, [`Thank you for order-${id}`, `order-${id} is on its way`])
        }
      }).pipe(withWorker(mailer))
    })
  )

  test(
    "leaves to the next process what is not done, and nothing else",
    Effect.gen(function*() {
      // the first worker is ended in the middle of its second mail
      const first = makeMailer((attempt) => attempt === 1 ? Effect.void : Effect.never)
      const process = yield* Effect.forkChild(withWorker(first)(Effect.never))
      yield* settle
      yield* place("7")
      yield* ship("7")
      assert.strictEqual(first.mails.length, 2)
      yield* Fiber.interrupt(process)

      const second = makeMailer()
      yield* withWorker(second)(settle)
      assert.deepStrictEqual(second.mails, first.mails.slice(1))
      const info = Option.getOrThrow(yield* PersistentSubscription.info("order-mails"))
      assert.deepStrictEqual([info.checkpoint, info.lag, info.waiting, info.inFlight], [2, 0, 0, 0])
    })
  )
})
