/**
 * The process of an order: it asks for the payment, ships what is paid, and gives up after a quarter of an hour. What it
 * decides is plain data; `test/examples/order-process.test.ts` shows how to test that without a store.
 */
import { Context, type Effect, Schema } from "effect"
import { Category, EventStore, ProcessManager } from "effect-eventstore"

export class OrderPlaced extends Schema.TaggedClass<OrderPlaced>()("OrderPlaced", { total: Schema.Int }) {}
export class OrderShipped extends Schema.TaggedClass<OrderShipped>()("OrderShipped", {}) {}
export class OrderCancelled extends Schema.TaggedClass<OrderCancelled>()("OrderCancelled", { why: Schema.String }) {}
export const Order = Category.make("order", { id: Schema.String, events: [OrderPlaced, OrderShipped, OrderCancelled] })

export class PaymentReceived
  extends Schema.TaggedClass<PaymentReceived>()("PaymentReceived", { order: Schema.String, cents: Schema.Int })
{}
export const Payment = Category.make("payment", { id: Schema.String, events: [PaymentReceived] })

export class RequestPayment extends Schema.TaggedClass<RequestPayment>()("RequestPayment", { cents: Schema.Int }) {}
export class ShipOrder extends Schema.TaggedClass<ShipOrder>()("ShipOrder", {}) {}
export class CancelOrder extends Schema.TaggedClass<CancelOrder>()("CancelOrder", { why: Schema.String }) {}
export class Refund extends Schema.TaggedClass<Refund>()("Refund", { cents: Schema.Int }) {}

export const Fulfilment = ProcessManager.make("fulfilment", {
  from: [Order, Payment],
  correlate: (recorded) =>
    recorded.event._tag === "PaymentReceived" ? recorded.event.order : ProcessManager.byStreamId(recorded),
  starts: ["OrderPlaced"],
  state: Schema.Struct({ total: Schema.Int, paid: Schema.Int, isCancelled: Schema.Boolean }),
  initial: () => ({ total: 0, paid: 0, isCancelled: false }),
  commands: [RequestPayment, ShipOrder, CancelOrder, Refund],
  timers: ["payment", "afterwards"]
}, {
  handle: {
    OrderPlaced: (state, { total }) => ({
      state: { ...state, total },
      send: [new RequestPayment({ cents: total })],
      timers: { payment: "15 minutes" }
    }),
    PaymentReceived: (state, { cents }) => {
      const paid = state.paid + cents
      // nobody is to lose money that comes too late
      if (state.isCancelled) return { send: [new Refund({ cents })] }
      return paid < state.total
        ? { state: { ...state, paid }, timers: { payment: "15 minutes" } }
        : { state: { ...state, paid }, send: [new ShipOrder()], timers: { payment: null } }
    },
    OrderShipped: () => ({ end: true }),
    OrderCancelled: (state) => {
      if (state.isCancelled) return
      return {
        state: { ...state, isCancelled: true },
        send: state.paid > 0 ? [new Refund({ cents: state.paid })] : [],
        timers: { payment: null, afterwards: "10 minutes" }
      }
    }
  },
  onTimer: {
    payment: (state) => ({
      state: { ...state, isCancelled: true },
      send: [
        new CancelOrder({ why: "not paid in time" }),
        ...(state.paid > 0 ? [new Refund({ cents: state.paid })] : [])
      ],
      timers: { afterwards: "10 minutes" }
    }),
    afterwards: () => ({ end: true })
  }
})

/** Another system. It may be asked twice; the key tells it that it was. */
export class Letters extends Context.Service<Letters, {
  readonly send: (letter: { readonly key: string; readonly text: string }) => Effect.Effect<void>
}>()("examples/Letters") {}

/** Carries out what the process wants, at least once. */
export const FulfilmentLive = ProcessManager.layer(Fulfilment, {
  perform: {
    RequestPayment: ({ cents }, { id, idempotencyKey }) =>
      Letters.use(({ send }) => send({ key: idempotencyKey, text: `${id}: please pay ${cents}` })),
    Refund: ({ cents }, { id, idempotencyKey }) =>
      Letters.use(({ send }) => send({ key: idempotencyKey, text: `${id}: we return ${cents}` })),
    // the same store: together with the note that it is done, so exactly once
    ShipOrder: (_, { id, transaction }) =>
      transaction(EventStore.use((store) => store.append(Order.stream(id), [new OrderShipped()]))),
    CancelOrder: ({ why }, { id, transaction }) =>
      transaction(EventStore.use((store) => store.append(Order.stream(id), [new OrderCancelled({ why })])))
  }
})

/** What a process has been through, a line for each of its moves. */
export const describe = (moves: ReadonlyArray<ProcessManager.Transition<unknown, any>>): string =>
  moves.map(({ cause, process, sent }) =>
    `  ${cause.type}${sent.length === 0 ? "" : ` -> ${sent.map(({ type }) => type).join(", ")}`}` +
    (process.status === "ended" ? " (the end)" : "")
  ).join("\n")
