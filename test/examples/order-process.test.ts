/** How to test what a process decides: events in, plain data out. There is no store here, and nothing waits. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { ProcessManager } from "effect-eventstore"
import {
  CancelOrder,
  Fulfilment,
  OrderCancelled,
  OrderPlaced,
  OrderShipped,
  PaymentReceived,
  Refund,
  RequestPayment,
  ShipOrder
} from "../../examples/order-process/process.ts"

const noon = DateTime.makeUnsafe("2026-01-01T12:00:00Z")
const pay = (cents: number) => new PaymentReceived({ order: "o-1", cents })

/** A process after some events, at noon. */
const given = (...events: ReadonlyArray<OrderPlaced | OrderCancelled | OrderShipped | PaymentReceived>) =>
  Effect.gen(function*() {
    let process = ProcessManager.initial(Fulfilment, "o-1")
    for (const event of events) {
      process = (yield* ProcessManager.step(Fulfilment, process, event, { now: noon })).process
    }
    return process
  })

describe("examples/order-process", () => {
  it.effect("asks for the payment, and waits for a quarter of an hour", () =>
    Effect.gen(function*() {
      const { process, sent } = yield* ProcessManager.step(
        Fulfilment,
        yield* given(),
        new OrderPlaced({ total: 500 }),
        { now: noon }
      )
      assert.deepStrictEqual(sent, [new RequestPayment({ cents: 500 })])
      assert.deepStrictEqual(process.timers, { payment: DateTime.makeUnsafe("2026-01-01T12:15:00Z") })
    }))

  it.effect("ships what is paid, and waits no longer", () =>
    Effect.gen(function*() {
      const placed = yield* given(new OrderPlaced({ total: 500 }), pay(200))
      const { process, sent } = yield* ProcessManager.step(Fulfilment, placed, pay(300))
      assert.deepStrictEqual(sent, [new ShipOrder()])
      assert.deepStrictEqual(process.timers, {})
      const shipped = yield* ProcessManager.step(Fulfilment, process, new OrderShipped())
      assert.strictEqual(shipped.process.status, "ended")
    }))

  it.effect("cancels what is not paid in time, and returns what was", () =>
    Effect.gen(function*() {
      const placed = yield* given(new OrderPlaced({ total: 500 }), pay(200))
      const late = yield* ProcessManager.fire(Fulfilment, placed, "payment")
      assert.deepStrictEqual(late.sent, [new CancelOrder({ why: "not paid in time" }), new Refund({ cents: 200 })])
      const paid = yield* ProcessManager.step(Fulfilment, late.process, pay(300))
      assert.deepStrictEqual(paid.sent, [new Refund({ cents: 300 })])
    }))

  it.effect("takes no notice of a payment without an order, nor of its own cancellation", () =>
    Effect.gen(function*() {
      const unknown = yield* ProcessManager.step(Fulfilment, yield* given(), pay(300))
      assert.isFalse(unknown.hasMoved)
      const placed = yield* given(new OrderPlaced({ total: 500 }))
      const cancelled = (yield* ProcessManager.fire(Fulfilment, placed, "payment")).process
      const again = yield* ProcessManager.step(Fulfilment, cancelled, new OrderCancelled({ why: "not paid in time" }))
      assert.isFalse(again.hasMoved)
    }))
})
