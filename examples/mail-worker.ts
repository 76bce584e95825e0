/**
 * A worker for mails (see `mail-worker/worker.ts`): what fails for a while is tried again, what cannot succeed is parked with
 * a reason, until somebody has seen to it and replays it. `test/examples/mail-worker.test.ts` shows how to test such a worker.
 */
import { Console, Effect, Layer, Option, References, Schedule, Stream } from "effect"
import { EventStore, PersistentSubscription } from "effect-eventstore"
import {
  Mailer,
  NoSuchAddress,
  Order,
  OrderMails,
  OrderPlaced,
  OrderShipped,
  ServerBusy
} from "./mail-worker/worker.ts"

/** How often the servers of these addresses are still busy. */
const busy = new Map([["ben@example.org", 2], ["dora@example.org", 9]])
const addresses = new Map([["anna", "anna@example.org"], ["ben", "ben@example.org"], ["dora", "dora@example.org"]])
const sent: Array<string> = []

const FakeMailer = Layer.succeed(Mailer, {
  send: ({ text, to }) =>
    Effect.gen(function*() {
      const address = addresses.get(to)
      if (address === undefined) return yield* new NoSuchAddress()
      const times = busy.get(address) ?? 0
      busy.set(address, times - 1)
      if (times > 0) return yield* new ServerBusy()
      sent.push(`${address}: ${text}`)
    })
})

/** Waits until so many mails were sent, and so many events are parked. */
const until = (mails: number, parked: number) =>
  PersistentSubscription.info("order-mails").pipe(
    Effect.repeat({
      until: Option.exists((info) => sent.length === mails && info.inFlight === 0 && info.parked === parked),
      schedule: Schedule.spaced("10 millis")
    })
  )

const show = Effect.gen(function*() {
  yield* Console.log(sent.sort().join("\n"))
  sent.length = 0
  yield* Stream.runForEach(
    PersistentSubscription.parked("order-mails"),
    ({ attempts, error, key, reason }) =>
      Console.log(`parked: ${key}, ${reason}${error === null ? "" : ` (${error})`}, attempts: ${attempts}`)
  )
})

const program = Effect.gen(function*() {
  const store = yield* EventStore
  for (const [id, customer] of ["anna", "ben", "carl", "dora"].entries()) {
    yield* store.append(Order.stream(String(id)), [new OrderPlaced({ customer }), new OrderShipped({ customer })])
  }
  yield* until(4, 2)
  yield* show

  yield* Console.log("carl tells his address")
  addresses.set("carl", "carl@example.org")
  yield* PersistentSubscription.replay("order-mails", { reason: "no such address" })
  yield* until(2, 1)
  yield* show

  yield* Console.log("the server of dora is well again")
  busy.clear()
  yield* PersistentSubscription.replay("order-mails")
  yield* until(2, 0)
  yield* show
})

const Live = OrderMails.pipe(Layer.provide(FakeMailer), Layer.provideMerge(EventStore.layerMemory))

await Effect.runPromise(program.pipe(
  Effect.provide(Live),
  // what is parked is logged, too
  Effect.provideService(References.MinimumLogLevel, "Error")
))
