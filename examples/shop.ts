/**
 * A shop: an order is placed, a deposit is paid, the order is confirmed once the deposit covers it.
 *
 * Shows typed events, an event with an older shape, a decision that stands on the state it was made from, and what happens
 * when two of them are made at the same time.
 */
import { Console, Effect, Schema, Stream } from "effect"
import { Category, Event, EventStore, RawEvent } from "effect-eventstore"

const OrderId = Schema.NonEmptyString.pipe(Schema.brand("OrderId"))
type OrderId = typeof OrderId.Type

class Placed extends Schema.TaggedClass<Placed>()("Placed", { customer: Schema.String, total: Schema.Int }) {}
class DepositPaid extends Schema.TaggedClass<DepositPaid>()("DepositPaid", { cents: Schema.Int, by: Schema.String }) {}
class Confirmed extends Schema.TaggedClass<Confirmed>()("Confirmed", {}) {}

// the first release stored whole euros and did not say who paid; its events are still in the log
const DepositPaidVersions = Event
  .oldest(Schema.Struct({ euros: Schema.Number }))
  .current(DepositPaid, (v1) => ({ cents: Math.round(v1.euros * 100), by: "unknown" }))

const Order = Category.make("order", { id: OrderId, events: [Placed, DepositPaidVersions, Confirmed] })

interface State {
  readonly total: number
  readonly paid: number
  readonly confirmed: boolean
  readonly version: number
}

const load = Effect.fn("load")(function*(id: OrderId) {
  const store = yield* EventStore
  const none: State = { total: 0, paid: 0, confirmed: false, version: 0 }
  return yield* Stream.runFold(store.read(Order.stream(id)), () => none, (state, { event, streamVersion }): State => {
    switch (event._tag) {
      case "Placed":
        return { ...state, total: event.total, version: streamVersion }
      case "DepositPaid":
        return { ...state, paid: state.paid + event.cents, version: streamVersion }
      case "Confirmed":
        return { ...state, confirmed: true, version: streamVersion }
    }
  })
})

class AlreadyConfirmed extends Schema.TaggedError<AlreadyConfirmed>()("AlreadyConfirmed", { order: OrderId }) {}

/** Loads, decides, appends. Somebody else may append in between: then nothing is stored, and it all begins anew. */
const pay = Effect.fn("pay")(
  function*(id: OrderId, cents: number, by: string) {
    const store = yield* EventStore
    const state = yield* load(id)
    if (state.confirmed) return yield* new AlreadyConfirmed({ order: id })
    const covered = state.paid + cents >= state.total
    const events = [new DepositPaid({ cents, by }), ...(covered ? [new Confirmed()] : [])]
    yield* Effect.yieldNow // the other customer comes in here
    return yield* store.append(Order.stream(id), events, { expected: state.version })
  },
  Effect.tapErrorTag("WrongExpectedVersion", (error) => Console.log(`conflict: ${error.message}`)),
  EventStore.retryConflicts(5)
)

const program = Effect.gen(function*() {
  const store = yield* EventStore
  const id = OrderId.make("7")

  yield* store.append(Order.stream(id), [new Placed({ customer: "c-1", total: 10_000 })], { expected: "no-stream" })
  const again = yield* Effect.flip(
    store.append(Order.stream(id), [new Placed({ customer: "c-2", total: 1 })], { expected: "no-stream" })
  )
  yield* Console.log(`placed twice: ${again.message}`)

  // what the first release would have written
  const old = RawEvent.make({ type: "DepositPaid", schemaVersion: 1, data: { euros: 12.5 } })
  yield* store.append(Category.rawStream("order-7"), [old])

  yield* Effect.all([pay(id, 4_000, "anna"), pay(id, 5_000, "ben")], { concurrency: 2 })
  yield* Console.log(yield* Effect.flip(pay(id, 1, "carl")).pipe(Effect.map((error) => `too late: ${error._tag}`)))

  yield* Stream.runForEach(
    store.read(Order.stream(id)),
    ({ event, schemaVersion, streamVersion }) =>
      Console.log(
        `${streamVersion} ${JSON.stringify(event)}${schemaVersion === 1 && event._tag === "DepositPaid" ? " (v1)" : ""}`
      )
  )
  yield* Console.log(yield* load(id))
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
