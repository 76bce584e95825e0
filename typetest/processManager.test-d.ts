/** What the types of process managers promise; checked by the compiler, never run. */
import { Context, DateTime, Effect, type Layer, type Option, Schema, type Stream } from "effect"
import { Category, Delivery, Event, EventStore, type PersistentSubscription, ProcessManager } from "effect-eventstore"
import { expectTypeOf } from "vitest"

class Placed extends Schema.TaggedClass<Placed>()("Placed", { total: Schema.Int }) {}
class Cancelled extends Schema.TaggedClass<Cancelled>()("Cancelled", {}) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", { order: Schema.String, cents: Schema.Int }) {}
class RequestPayment extends Schema.TaggedClass<RequestPayment>()("RequestPayment", { total: Schema.Int }) {}
class CancelOrder extends Schema.TaggedClass<CancelOrder>()("CancelOrder", { why: Schema.String }) {}
class Foreign extends Schema.TaggedClass<Foreign>()("Foreign", { text: Schema.Date }) {}
class Prices extends Context.Service<Prices, { readonly of: Effect.Effect<number, "no price"> }>()("test/Prices") {}
class Bank extends Context.Service<Bank, { readonly ask: Effect.Effect<void, "bank is closed"> }>()("test/Bank") {}

const Order = Category.make("order", { id: Schema.String, events: [Placed, Cancelled] })
const Payment = Category.make("payment", { id: Schema.String, events: [Paid] })

interface State {
  readonly total: number
  readonly mode: "fast" | "slow"
}

const Fulfilment = ProcessManager.make("fulfilment", {
  from: [Order, Payment],
  correlate: ({ event, streamId }) => event._tag === "Paid" ? event.order : streamId,
  starts: ["Placed"],
  state: Schema.Struct({ total: Schema.Int, mode: Schema.Literals(["fast", "slow"]) }),
  initial: () => ({ total: 0, mode: "fast" }),
  commands: [RequestPayment, CancelOrder],
  timers: ["payment", "reminder"]
}, {
  handle: {
    Placed: (state, event, context) => {
      expectTypeOf(state).toEqualTypeOf<State>()
      expectTypeOf(event).toEqualTypeOf<Placed>()
      expectTypeOf(context.recorded.event).toEqualTypeOf<Placed>()
      expectTypeOf(context.timers.payment).toEqualTypeOf<DateTime.Utc | undefined>()
      return {
        state: { ...state, total: event.total, mode: "slow" },
        send: [new RequestPayment({ total: event.total })],
        timers: { payment: "15 minutes" }
      }
    },
    Cancelled: () => ({ timers: { reminder: null }, end: true }),
    Paid: (state, event, { now }) =>
      event.cents < state.total
        ? { timers: { reminder: DateTime.addDuration(now, "1 day") } }
        : undefined
  },
  onTimer: {
    payment: (state, timer) => {
      expectTypeOf(timer.name).toEqualTypeOf<"payment">()
      return Effect.map(
        Prices.use((prices) => prices.of),
        (why) => ({ state, send: [new CancelOrder({ why: String(why) })], end: true })
      )
    },
    reminder: () => {}
  }
})

expectTypeOf(Fulfilment).toEqualTypeOf<
  ProcessManager.ProcessManager<
    "fulfilment",
    Placed | Cancelled | Paid,
    State,
    RequestPayment | CancelOrder,
    "payment" | "reminder",
    "no price",
    Prices
  >
>()

// what a program has to provide, and what can go wrong
const Live = ProcessManager.layer(Fulfilment, {
  perform: {
    RequestPayment: (command, { id, idempotencyKey, recorded, transaction }) => {
      expectTypeOf(command).toEqualTypeOf<RequestPayment>()
      expectTypeOf(recorded.event).toEqualTypeOf<RequestPayment>()
      return transaction(Effect.log(id, idempotencyKey))
    },
    CancelOrder: () => Bank.use((bank) => bank.ask)
  }
})
expectTypeOf(Live).toEqualTypeOf<
  Layer.Layer<never, PersistentSubscription.StartError, EventStore | Prices | Bank>
>()
const running = ProcessManager.run(Fulfilment, {
  perform: {
    RequestPayment: () => Effect.fail(new Delivery.Stop({})),
    CancelOrder: () => Effect.fail(new Delivery.Park({ reason: "no" }))
  }
})
expectTypeOf(running).toEqualTypeOf<
  Effect.Effect<never, PersistentSubscription.RunError | Delivery.Stop, EventStore | Prices>
>()
// @ts-expect-error CancelOrder is missing
void ProcessManager.layer(Fulfilment, { perform: { RequestPayment: () => Effect.void } })
// @ts-expect-error nobody carries out the commands
void ProcessManager.layer(Fulfilment, {})

// the operations
expectTypeOf(ProcessManager.state(Fulfilment, "1")).toEqualTypeOf<
  Effect.Effect<Option.Option<State>, ProcessManager.ReadError, EventStore | Prices>
>()
expectTypeOf(ProcessManager.history(Fulfilment, "1")).toEqualTypeOf<
  Stream.Stream<
    ProcessManager.Transition<State, "payment" | "reminder">,
    ProcessManager.ReadError,
    EventStore | Prices
  >
>()

// without a store
const outcome = ProcessManager.step(Fulfilment, ProcessManager.initial(Fulfilment, "1"), new Cancelled())
expectTypeOf(outcome).toEqualTypeOf<
  Effect.Effect<
    ProcessManager.Outcome<State, RequestPayment | CancelOrder, "payment" | "reminder">,
    "no price" | ProcessManager.InvalidStep,
    Prices
  >
>()
// @ts-expect-error an event of somebody else
void ProcessManager.step(Fulfilment, ProcessManager.initial(Fulfilment, "1"), new Foreign({ text: new Date() }))
// @ts-expect-error no such timer
void ProcessManager.fire(Fulfilment, ProcessManager.initial(Fulfilment, "1"), "paymnet")

// a chain of states, today's last; neither commands nor timers
const Counting = ProcessManager.make("counting", {
  from: Order,
  correlate: ProcessManager.byStreamId,
  state: Event.oldest(Schema.Struct({ n: Schema.Int })).next(Schema.Struct({ count: Schema.Int }), ({ n }) => ({
    count: n
  })),
  initial: () => ({ count: 0 })
}, {
  handle: {
    Placed: ({ count }) => ({ state: { count: count + 1 } }),
    Cancelled: () => ({ end: true })
  }
})
expectTypeOf(Counting).toEqualTypeOf<
  ProcessManager.ProcessManager<"counting", Placed | Cancelled, { readonly count: number }, never, never, never, never>
>()
expectTypeOf(ProcessManager.layer(Counting, {})).toEqualTypeOf<
  Layer.Layer<never, PersistentSubscription.StartError, EventStore>
>()

// mistakes
const given = {
  from: Order,
  correlate: ProcessManager.byStreamId,
  state: Schema.Struct({ n: Schema.Int }),
  initial: () => ({ n: 0 }),
  commands: [RequestPayment],
  timers: ["payment"]
} as const
const nothing = () => undefined
const onTimer = { payment: nothing }

// @ts-expect-error Cancelled is missing
ProcessManager.make("p", given, { handle: { Placed: nothing }, onTimer })
// @ts-expect-error there is no Shipped
ProcessManager.make("p", given, { handle: { Placed: nothing, Cancelled: nothing, Shipped: nothing }, onTimer })
// @ts-expect-error the timer has no handler
ProcessManager.make("p", given, { handle: { Placed: nothing, Cancelled: nothing }, onTimer: {} })
// @ts-expect-error no timer has one
ProcessManager.make("p", given, { handle: { Placed: nothing, Cancelled: nothing } })
// @ts-expect-error no such event starts it
ProcessManager.make("p", { ...given, starts: ["Paid"] }, { handle: { Placed: nothing, Cancelled: nothing }, onTimer })
// @ts-expect-error it starts in another state
ProcessManager.make("p", { ...given, initial: () => ({ n: "0" }) }, {
  handle: { Placed: nothing, Cancelled: nothing },
  onTimer
})
ProcessManager.make("p", given, {
  // @ts-expect-error a command that is not declared
  handle: { Placed: nothing, Cancelled: () => ({ send: [new CancelOrder({ why: "" })] }) },
  onTimer
})
ProcessManager.make("p", given, {
  // @ts-expect-error a timer that is not declared
  handle: { Placed: nothing, Cancelled: () => ({ timers: { payment: null, paymnet: null } }) },
  onTimer
})
ProcessManager.make("p", given, {
  // @ts-expect-error no time
  handle: { Placed: nothing, Cancelled: () => ({ timers: { payment: "soon" } }) },
  onTimer
})
ProcessManager.make("p", given, {
  // @ts-expect-error a field that no step has
  handle: { Placed: nothing, Cancelled: () => ({ ends: true, end: false }) },
  onTimer
})
ProcessManager.make("p", given, {
  // @ts-expect-error the same, in an effect
  handle: { Placed: nothing, Cancelled: () => Effect.succeed({ ends: true, end: false }) },
  onTimer
})
ProcessManager.make("p", given, {
  // @ts-expect-error another state
  handle: { Placed: nothing, Cancelled: () => ({ state: { n: "1" } }) },
  onTimer
})

// a step may be made elsewhere, and in parts
const both = { timers: { payment: "1 day" as const } }
ProcessManager.make("p", given, {
  handle: {
    Placed: () => ({ ...both, timers: { ...both.timers }, end: false }),
    Cancelled: (state) => state.n > 0 ? { timers: { payment: "1 minute" } } : { end: true }
  },
  onTimer: { payment: () => ({ timers: { payment: "2 minutes" } }) }
})
