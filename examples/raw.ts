/**
 * Events as they are stored, for tools that know no schema: copies, repairs, types nobody declares any more.
 */
import { Console, Effect, Schema, Stream } from "effect"
import { Category, EventData, EventStore, RawEvent } from "effect-eventstore"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { at: Schema.DateTimeUtc, limit: Schema.BigInt }) {}
const Account = Category.make("account", { id: Schema.String, events: [Opened] })
// the same streams, for a reader that has to get through whatever it meets
const Tolerant = Category.make("account", { id: Schema.String, events: [Opened], undecodable: "raw" })

const program = Effect.gen(function*() {
  const store = yield* EventStore
  const imported = RawEvent.make({ type: "Blocked", schemaVersion: 1, data: { why: "fraud" } })
  yield* store.append(Category.rawStream("account-1"), [
    RawEvent.make({ type: "Opened", schemaVersion: 1, data: { at: "2024-05-01T00:00:00.000Z", limit: "5" } }),
    imported
  ])

  const unknown = yield* Effect.flip(Stream.runDrain(store.read(Account.stream("1"))))
  yield* Console.log(unknown.message)
  yield* Stream.runForEach(
    store.read(Tolerant.stream("1")),
    ({ event }) =>
      Console.log(event._tag === "RawEvent" ? `raw ${event.type}` : `typed ${event._tag}, limit ${event.limit}`)
  )

  // a copy under another name keeps everything but the place
  yield* Stream.runForEach(
    store.read(Category.rawStream("account-1")),
    ({ event, metadata, tags }) =>
      store.append(Category.rawStream("archive-1"), [EventData.make(event, { metadata, tags })])
  )
  yield* Stream.runForEach(
    store.readAll({ categories: ["archive"] }),
    ({ event, streamId, streamVersion }) =>
      Console.log(`${streamId} ${streamVersion}: ${event.type} v${event.schemaVersion} ${JSON.stringify(event.data)}`)
  )
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
