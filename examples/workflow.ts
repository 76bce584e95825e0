/**
 * A long workflow with compensation, started by an event: book the flight, then the hotel, then charge the card; where a step
 * fails, what was done before is undone. `effect/workflow` remembers which steps are done, a persistent subscription starts a
 * workflow for each event, and the event id keeps it from being started twice.
 *
 * Take this where a procedure is best written from top to bottom, and a process manager where it is best seen as a state that
 * reacts to events.
 *
 * In memory a workflow ends with its program. To let it survive, put it on the same Postgres:
 *
 * ```ts
 * import { NodeCrypto } from "@effect/platform-node"
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import { ClusterWorkflowEngine, SingleRunner } from "effect/cluster"
 * import { PgEventStore } from "effect-eventstore"
 *
 * const Durable = ClusterWorkflowEngine.layer.pipe(
 *   Layer.provide(SingleRunner.layer()), // for several programs: NodeClusterSocket.layer
 *   Layer.provideMerge(PgEventStore.layer()),
 *   Layer.provide([PgClient.layer({ url }), NodeCrypto.layerDigest])
 * )
 * const Live = Bookings.pipe(Layer.provideMerge(BookTripLive), Layer.provideMerge(Durable))
 * ```
 */
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { Category, EventData, EventId, EventStore, PersistentSubscription, Subscription } from "effect-eventstore"
import { Activity, Workflow, WorkflowEngine } from "effect/workflow"

class TripRequested extends Schema.TaggedClass<TripRequested>()("TripRequested", {
  flight: Schema.String,
  hotel: Schema.String,
  cents: Schema.Int
}) {}
class TripBooked extends Schema.TaggedClass<TripBooked>()("TripBooked", { ticket: Schema.String }) {}
class TripRefused extends Schema.TaggedClass<TripRefused>()("TripRefused", { why: Schema.String }) {}
const Trip = Category.make("trip", { id: Schema.String, events: [TripRequested, TripBooked, TripRefused] })

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { cents: Schema.Int }) {
  override get message(): string {
    return `the card was declined for ${this.cents}`
  }
}

const BookTrip = Workflow.make("BookTrip", {
  payload: { requestId: EventId.EventId, trip: Schema.String, request: TripRequested },
  error: CardDeclined,
  idempotencyKey: ({ requestId }) => requestId
})

/** Under an id that only this request leads to: an activity may run again after a crash, its event is stored once. */
const answer = (requestId: EventId.EventId, trip: string, event: TripBooked | TripRefused) =>
  EventStore.use((store) =>
    store.append(Trip.stream(trip), [EventData.make(event, { id: EventId.fromName("BookTrip", requestId) })])
  ).pipe(Effect.orDie)

/** A call to another system, which is made once: its result is remembered. */
const call = (name: string, text: string) =>
  Activity.make({ name, success: Schema.String, execute: Effect.as(Console.log(`  ${text}`), `${name} of ${text}`) })

const charge = (cents: number) =>
  Activity.make({
    name: "charge",
    error: CardDeclined,
    execute: cents > 1000 ? Effect.fail(new CardDeclined({ cents })) : Console.log(`  charge ${cents}`)
  })

const BookTripLive = BookTrip.toLayer(
  Effect.fnUntraced(function*({ request: { cents, flight, hotel }, requestId, trip }) {
    // what is undone is undone in the opposite order: this comes last
    yield* Effect.void.pipe(
      BookTrip.withCompensation(() => answer(requestId, trip, new TripRefused({ why: "the card was declined" })))
    )
    const ticket = yield* call("ticket", `book flight ${flight}`).pipe(
      BookTrip.withCompensation(() => call("no ticket", `cancel flight ${flight}`))
    )
    yield* call("room", `book hotel ${hotel}`).pipe(
      BookTrip.withCompensation(() => call("no room", `cancel hotel ${hotel}`))
    )
    yield* charge(cents)
    yield* Activity.make({ name: "answer", execute: answer(requestId, trip, new TripBooked({ ticket })) })
  })
)

/** Starts a workflow for each request: the event is finished when the workflow is known to its engine. */
const Bookings = PersistentSubscription.layer("bookings", {
  from: Trip,
  types: ["TripRequested"],
  handle: ({ event, eventId, streamId }) =>
    event._tag === "TripRequested"
      ? BookTrip.execute({ request: event, requestId: eventId, trip: streamId.slice("trip-".length) }, {
        discard: true
      })
      : Effect.void
})

/** Waits for the answer to a request. */
const answered = (trip: string) =>
  Subscription.catchUp(Trip.stream(trip)).pipe(
    Stream.map(({ event }) =>
      event._tag === "TripBooked"
        ? `booked: ${event.ticket}`
        : event._tag === "TripRefused"
        ? `refused: ${event.why}`
        : ""
    ),
    Stream.filter((text) => text !== ""),
    Stream.take(1),
    Stream.runForEach(Console.log)
  )

const request = (trip: string, cents: number) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    yield* Console.log(trip)
    yield* store.append(Trip.stream(trip), [new TripRequested({ flight: "EF-4", hotel: "Layer", cents })])
    yield* answered(trip)
  })

const program = Effect.gen(function*() {
  const store = yield* EventStore
  yield* request("short", 400)
  yield* request("long", 4000)

  // every request comes again, and none is booked again
  yield* PersistentSubscription.update("bookings", { start: "start" })
  yield* request("last", 100)
  yield* Console.log(`events: ${yield* store.head()}`)
})

await Effect.runPromise(
  program.pipe(
    Effect.provide(Bookings.pipe(
      Layer.provide(BookTripLive),
      Layer.provide(WorkflowEngine.layerMemory),
      Layer.provideMerge(EventStore.layerMemory)
    ))
  )
)
