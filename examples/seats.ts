/**
 * A seat is reserved for a customer: one decision over two streams, the flight and the customer. Each is appended to at the
 * version it was decided on, or neither is. And a rule for which there is no stream: a code is good for one seat, on whatever
 * flight.
 */
import { Console, Effect, Schema } from "effect"
import { Boundary, Category, Decider, Event, EventStore } from "effect-eventstore"

class SeatReserved extends Schema.TaggedClass<SeatReserved>()("SeatReserved", {
  seat: Schema.String,
  customer: Schema.String
}) {}
const Flight = Category.make("flight", { id: Schema.String, events: [SeatReserved] })

class CreditGranted extends Schema.TaggedClass<CreditGranted>()("CreditGranted", { cents: Schema.Int }) {}
class CreditUsed extends Schema.TaggedClass<CreditUsed>()("CreditUsed", { cents: Schema.Int }) {}
const Customer = Category.make("customer", { id: Schema.String, events: [CreditGranted, CreditUsed] })

class SeatTaken extends Schema.TaggedError<SeatTaken>()("SeatTaken", { by: Schema.String }) {}
class NoCredit extends Schema.TaggedError<NoCredit>()("NoCredit", { credit: Schema.Int }) {}

const noSeats: ReadonlyMap<string, string> = new Map()
const Seats = Decider.fold(Flight, {
  initial: noSeats,
  evolve: { SeatReserved: (seats, { customer, seat }) => new Map([...seats, [seat, customer]]) }
})
const Credits = Decider.fold(Customer, {
  initial: 0,
  evolve: {
    CreditGranted: (credit, { cents }) => credit + cents,
    CreditUsed: (credit, { cents }) => credit - cents
  }
})

interface Reserve {
  readonly flight: string
  readonly seat: string
  readonly customer: string
}

const Reservations = Boundary.make("reservations", {
  streams: ({ customer, flight }: Reserve) => ({
    seats: Boundary.on(Seats, flight),
    credit: Boundary.on(Credits, customer)
  }),
  decide: Effect.fnUntraced(function*({ customer, seat }: Reserve, { credit, seats }) {
    const by = seats.get(seat)
    if (by !== undefined) return yield* new SeatTaken({ by })
    if (credit < 100) return yield* new NoCredit({ credit })
    return { seats: [new SeatReserved({ seat, customer })], credit: [new CreditUsed({ cents: 100 })] }
  })
})

class CodeRedeemed extends Schema.TaggedClass<CodeRedeemed>()("CodeRedeemed", { code: Schema.String }) {
  get [Event.tags]() {
    return [`code:${this.code}`]
  }
}
const Voucher = Category.make("voucher", { id: Schema.String, events: [CodeRedeemed] })
class CodeUsed extends Schema.TaggedError<CodeUsed>()("CodeUsed", { code: Schema.String }) {}

const Codes = Boundary.dynamic("codes", {
  from: Voucher,
  query: ({ code }: { readonly customer: string; readonly code: string }) => [
    { types: ["CodeRedeemed"], tags: [`code:${code}`] }
  ],
  initial: 0,
  evolve: { CodeRedeemed: (times) => times + 1 },
  decide: ({ code, customer }, times) =>
    times > 0
      ? Effect.fail(new CodeUsed({ code }))
      : Effect.succeed([
        EventStore.entry(Voucher.stream(customer), [new CodeRedeemed({ code })]),
        EventStore.entry(Customer.stream(customer), [new CreditGranted({ cents: 100 })])
      ])
})

const program = Effect.gen(function*() {
  const redeemed = yield* Effect.all(
    ["anna", "ben", "carl"].map((customer) => Effect.result(Codes.run({ customer, code: "SUMMER" }))),
    { concurrency: "unbounded" }
  )
  yield* Console.log(`redeemed the code: ${redeemed.filter(({ _tag }) => _tag === "Success").length} of 3`)

  const store = yield* EventStore
  yield* store.append(Customer.stream("dora"), [new CreditGranted({ cents: 250 })])
  const wishes = ["1a", "1b", "1c"].map((seat) => ({ flight: "lx-7", seat, customer: "dora" }))
  const reserved = yield* Effect.all(wishes.map((wish) => Effect.result(Reservations.run(wish))), {
    concurrency: "unbounded"
  })
  for (const [i, result] of reserved.entries()) {
    yield* Console.log(`${wishes[i]!.seat}: ${result._tag === "Success" ? "reserved" : result.failure._tag}`)
  }
  const { states, versions } = yield* Reservations.query({ flight: "lx-7", seat: "1a", customer: "dora" })
  yield* Console.log(`seats ${[...states.seats.keys()].sort().join(", ")}; ${states.credit} left`)
  yield* Console.log(`the flight is at version ${versions.seats}, the customer at ${versions.credit}`)

  yield* store.append(Customer.stream("emil"), [new CreditGranted({ cents: 100 })])
  const taken = yield* Effect.flip(Reservations.run({ flight: "lx-7", seat: "1a", customer: "emil" }))
  yield* Console.log(`1a for somebody else: ${taken._tag}`)
  const request = Reservations.run({ flight: "lx-7", seat: "2a", customer: "emil" }, { commandId: "request-1" })
  const [first, again] = [yield* request, yield* request]
  yield* Console.log(`asked twice: position ${first.position} and ${again.position}`)
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
