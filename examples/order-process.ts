/**
 * A process manager at work (see `order-process/process.ts`): an order that is paid in time, one that is paid too late, one
 * that its customer cancels; and one whose program is gone when its time is up. Time is played with a test clock.
 */
import { Console, Effect, Layer, Queue, References, Stream } from "effect"
import { EventStore, PgliteEventStore, ProcessManager, Subscription } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  describe,
  Fulfilment,
  FulfilmentLive,
  Letters,
  Order,
  OrderCancelled,
  OrderPlaced,
  Payment,
  PaymentReceived
} from "./order-process/process.ts"

const place = (id: string, total: number) =>
  EventStore.use((store) => store.append(Order.stream(id), [new OrderPlaced({ total })]))
const cancel = (id: string) =>
  EventStore.use((store) => store.append(Order.stream(id), [new OrderCancelled({ why: "changed my mind" })]))
const pay = (order: string, cents: number) =>
  EventStore.use((store) => store.append(Payment.stream(`of-${order}`), [new PaymentReceived({ order, cents })]))

const sent = Effect.runSync(Queue.unbounded<string>())
const FakeLetters = Layer.succeed(Letters, { send: ({ text }) => Queue.offer(sent, text) })

/** Waits for the next letter. */
const letter = Effect.flatMap(Queue.take(sent), Console.log)

/** Waits until a process has moved so many times. */
const moved = (id: string, times: number) =>
  Subscription.catchUp(Fulfilment.categories.processes.stream(id)).pipe(Stream.take(times), Stream.runDrain)

const show = (id: string) =>
  Effect.gen(function*() {
    const moves = yield* Stream.runCollect(ProcessManager.history(Fulfilment, id))
    yield* Console.log(`${id}\n${describe(moves)}`)
  })

const program = Effect.gen(function*() {
  yield* place("in-time", 500)
  yield* letter
  yield* TestClock.adjust("10 minutes")
  yield* pay("in-time", 500)
  yield* moved("in-time", 3)
  yield* show("in-time")

  yield* place("too-late", 700)
  yield* letter
  yield* TestClock.adjust("15 minutes")
  yield* moved("too-late", 2)
  yield* pay("too-late", 700)
  yield* letter
  yield* show("too-late")

  yield* place("cancelled", 900)
  yield* letter
  yield* pay("cancelled", 400)
  yield* cancel("cancelled")
  yield* letter
  for (const { id, name } of yield* ProcessManager.timers(Fulfilment)) {
    yield* Console.log(`a timer of ${id}: ${name}`)
  }
  yield* TestClock.adjust("10 minutes")
  yield* moved("cancelled", 4)
  yield* show("cancelled")
})

/** The program at work, for as long as an effect runs. */
const during = (store: Layer.Layer<EventStore, unknown>) =>
  Effect.provide(FulfilmentLive.pipe(Layer.provide(FakeLetters), Layer.provideMerge(store)), { local: true })

const play = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.runPromise(effect.pipe(
    Effect.provide(TestClock.layer()),
    Effect.provideService(References.MinimumLogLevel, "Error")
  ))

await play(during(EventStore.layerMemory)(program))

const dataDir = mkdtempSync(join(tmpdir(), "order-process-"))
const inDirectory = during(PgliteEventStore.layer({ dataDir }))
await play(Effect.gen(function*() {
  yield* inDirectory(Effect.andThen(place("restarted", 300), letter))
  yield* Console.log("the program has ended, the time goes on")
  yield* TestClock.adjust("20 minutes")
  yield* inDirectory(Effect.andThen(moved("restarted", 2), show("restarted")))
})).finally(() => rmSync(dataDir, { recursive: true }))
