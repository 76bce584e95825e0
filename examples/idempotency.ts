/**
 * A request that is sent twice, because the answer to the first one was lost, must not be stored twice.
 *
 * What is appended again under the same ids is recognized, whatever has happened to the stream since. Here the id comes from
 * the name of the request, so that even another process makes the same one after a restart. Where there is no such name,
 * `EventId.make` makes an id before the first try.
 */
import { Console, Effect, Schema } from "effect"
import { Category, EventData, EventId, EventStore } from "effect-eventstore"

class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int }) {}
const Invoice = Category.make("invoice", { id: Schema.String, events: [Paid] })

const program = Effect.gen(function*() {
  const store = yield* EventStore
  const pay = (request: string, cents: number) => {
    const id = EventId.fromName("payments", request)
    return store.append(Invoice.stream("7"), [EventData.make(new Paid({ cents }), { id })], { expected: 0 })
  }

  const first = yield* pay("request-1", 500)
  yield* store.append(Invoice.stream("7"), [new Paid({ cents: 1 })]) // somebody else
  const second = yield* pay("request-1", 500)
  yield* Console.log(`the same answer: version ${first.version} and ${second.version}`)
  yield* Console.log(`events in the stream: ${yield* store.head(Invoice.stream("7"))}`)

  const other = yield* Effect.flip(pay("request-1", 900))
  yield* Console.log(`other content under the same id: ${other._tag}`)
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
