/**
 * A fraud pattern: a card is added, and within five minutes it pays three times in other countries, without a confirmation.
 *
 * The pattern is looked for in the time of the events, so the history below, which is stored before anybody looks, leads to the same
 * alerts as if somebody had watched. A new version of the projection finds them stored, and raises none of them twice.
 */
import { Clock, Console, Effect, Layer, Option, References, Schema, Stream } from "effect"
import { Category, type EventId, EventStore, Pattern, Projection } from "effect-eventstore"
import { TestClock } from "effect/testing"

class CardAdded extends Schema.TaggedClass<CardAdded>()("CardAdded", { card: Schema.String, country: Schema.String }) {}
class Confirmed extends Schema.TaggedClass<Confirmed>()("Confirmed", { card: Schema.String }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", {
  card: Schema.String,
  cents: Schema.Int,
  country: Schema.String
}) {}
const Customer = Category.make("customer", { id: Schema.String, events: [CardAdded, Confirmed] })
const Payment = Category.make("payment", { id: Schema.String, events: [Paid] })

class Suspected extends Schema.TaggedClass<Suspected>()("Suspected", {
  cents: Schema.Int,
  countries: Schema.Array(Schema.String)
}) {}
const Alert = Category.make("alert", { id: Schema.String, events: [Suspected] })

const Spree = Pattern
  .start([Customer, Payment], "CardAdded")
  .followedBy("Paid", {
    times: 3,
    within: "5 minutes",
    where: ({ event }, [[added]]) => event.country !== added.event.country
  })
  .without("Confirmed")

/** The events of a card are those of a customer and of payments: the key brings them together. */
const Fraud = (version: number) =>
  Projection.pattern("fraud", {
    version,
    pattern: Spree,
    key: ({ event }) => event.card,
    emit: ({ key, steps: [, payments] }) =>
      EventStore.entry(Alert.stream(key), [
        new Suspected({
          cents: payments.reduce((sum, { event }) => sum + event.cents, 0),
          countries: [...new Set(payments.map(({ event }) => event.country))]
        })
      ])
  })

/** What happened, and at which minute and second of a day. */
const history = [
  ["12:00:00", Customer.stream("anna"), new CardAdded({ card: "a-1", country: "DE" })],
  ["12:01:00", Payment.stream("1"), new Paid({ card: "a-1", cents: 90_000, country: "BR" })],
  ["12:02:00", Customer.stream("ben"), new CardAdded({ card: "b-1", country: "FR" })],
  ["12:02:30", Payment.stream("2"), new Paid({ card: "b-1", cents: 2_000, country: "ES" })],
  ["12:03:00", Payment.stream("3"), new Paid({ card: "a-1", cents: 80_000, country: "US" })],
  // at home: that is nothing to count
  ["12:03:10", Payment.stream("4"), new Paid({ card: "a-1", cents: 1_500, country: "DE" })],
  // Ben says that it is him, in Spain
  ["12:03:30", Customer.stream("ben"), new Confirmed({ card: "b-1" })],
  ["12:04:00", Payment.stream("5"), new Paid({ card: "b-1", cents: 3_000, country: "ES" })],
  ["12:04:10", Payment.stream("6"), new Paid({ card: "b-1", cents: 4_000, country: "ES" })],
  ["12:04:20", Payment.stream("7"), new Paid({ card: "b-1", cents: 5_000, country: "ES" })],
  ["12:05:00", Payment.stream("8"), new Paid({ card: "a-1", cents: 70_000, country: "BR" })],
  // Carl's card is used abroad as well, and slowly
  ["12:10:00", Customer.stream("carl"), new CardAdded({ card: "c-1", country: "IT" })],
  ["12:12:00", Payment.stream("9"), new Paid({ card: "c-1", cents: 500, country: "CH" })],
  ["12:14:00", Payment.stream("10"), new Paid({ card: "c-1", cents: 600, country: "CH" })],
  ["12:16:00", Payment.stream("11"), new Paid({ card: "c-1", cents: 700, country: "CH" })]
] as const

/**
 * Stores the history under a clock of its own: in memory the time of an event is that of the clock it was stored under. In a
 * database it is the time of the database, whatever clock the program has.
 */
const happen = Effect.gen(function*() {
  const store = yield* EventStore
  const clock = yield* TestClock.make()
  for (const [time, stream, event] of history) {
    yield* clock.setTime(Date.parse(`2024-05-01T${time}Z`))
    yield* store.append(stream as Category.StreamRef<typeof event, unknown, never>, [event]).pipe(
      Effect.provideService(Clock.Clock, clock)
    )
  }
})

const alerts = Effect.gen(function*() {
  const store = yield* EventStore
  const all = yield* Stream.runCollect(store.readCategory(Alert))
  for (const { event, metadata, streamId } of all) {
    const cause = yield* store.readEvent(metadata.causationId as EventId.EventId)
    const place = Option.match(cause, { onNone: () => "nothing", onSome: ({ streamId }) => streamId })
    yield* Console.log(`${streamId}: ${event.cents / 100} in ${event.countries.join(", ")}, because of ${place}`)
  }
})

const program = Effect.gen(function*() {
  const store = yield* EventStore
  yield* happen
  const head = yield* store.head()
  yield* Layer.build(Projection.layer(Fraud(1)))
  yield* Projection.awaitProcessed("fraud", head)
  yield* alerts

  yield* Layer.build(Projection.layer(Fraud(2)))
  yield* Projection.awaitReady(Fraud(2))
  const { handled, version } = yield* Projection.status("fraud")
  yield* Console.log(`version ${version} is live, and has looked at ${handled} events`)
  const all = yield* Stream.runCollect(store.readCategory(Alert))
  yield* Console.log(`alerts, looked for twice: ${all.length}`)
})

await Effect.runPromise(program.pipe(
  Effect.scoped,
  Effect.provide(EventStore.layerMemory),
  // runners tell what they do
  Effect.provideService(References.MinimumLogLevel, "Warn")
))
