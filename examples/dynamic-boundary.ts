/**
 * Rules that span streams: a name is taken once, a seat is sold once. No stream stands for such a rule, so no stream
 * version can guard it. `appendIf` asks instead: has anything been stored since that would have changed my mind?
 *
 * See https://dcb.events for the idea.
 */
import { Console, Effect, Schema, Stream } from "effect"
import { Category, Event, EventStore } from "effect-eventstore"

class Registered extends Schema.TaggedClass<Registered>()("Registered", { name: Schema.String }) {
  get [Event.tags]() {
    return [`name:${this.name.toLowerCase()}`]
  }
}
class SeatSold extends Schema.TaggedClass<SeatSold>()("SeatSold", { flight: Schema.String, seat: Schema.String }) {
  get [Event.tags]() {
    return [`flight:${this.flight}`, `seat:${this.flight}/${this.seat}`]
  }
}

const User = Category.make("user", { id: Schema.String, events: [Registered] })
const Booking = Category.make("booking", { id: Schema.String, events: [SeatSold] })

/** A name that is unique among all users. From the beginning of the log on: nobody may ever have had it. */
const register = Effect.fn("register")(function*(id: string, name: string) {
  const store = yield* EventStore
  const taken = { items: [{ types: ["Registered"], tags: [`name:${name.toLowerCase()}`] }], after: 0 }
  yield* store.appendIf(taken, EventStore.entry(User.stream(id), [new Registered({ name })]))
})

class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", { flight: Schema.String }) {}

/** At most two seats a flight: what is sold by now is counted, and must not have grown when the event is stored. */
const book = Effect.fn("book")(
  function*(id: string, flight: string, seat: string) {
    const store = yield* EventStore
    const after = yield* store.head()
    const tags = [`flight:${flight}`]
    const sold = yield* Stream.runCount(store.readCategory(Booking, { tags, to: after }))
    if (sold >= 2) return yield* new SoldOut({ flight })
    yield* Effect.yieldNow // all the others come in here
    const sale = EventStore.entry(Booking.stream(id), [new SeatSold({ flight, seat })])
    yield* store.appendIf({ items: [{ types: ["SeatSold"], tags }], after }, sale)
  },
  EventStore.retryConflicts(20)
)

const program = Effect.gen(function*() {
  yield* register("1", "Anna")
  const taken = yield* Effect.flip(register("2", "ANNA"))
  yield* Console.log(`a second Anna: ${taken._tag}`)

  const wishes = ["1a", "1b", "1c", "1d"].map((seat) => book(`b-${seat}`, "lx-7", seat))
  const results = yield* Effect.all(wishes.map(Effect.result), { concurrency: "unbounded" })
  yield* Console.log(`booked: ${results.filter((result) => result._tag === "Success").length} of ${wishes.length}`)
  const errors = results.flatMap((result) => result._tag === "Failure" ? [result.failure._tag] : [])
  yield* Console.log(`the others: ${errors.join(", ")}`)
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
