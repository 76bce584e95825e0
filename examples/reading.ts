/**
 * Ways to read: a stream, a category, the log; forward, backward, in part, filtered, as it was.
 *
 * Every read is a `Stream` that fetches page after page as it is pulled, so memory stays flat and `take` stops early.
 */
import { Console, Effect, Schema, Stream } from "effect"
import { Category, Event, EventStore } from "effect-eventstore"

class Raised extends Schema.TaggedClass<Raised>()("Raised", { by: Schema.Int }) {
  get [Event.tags]() {
    return this.by > 2 ? ["big"] : []
  }
}
class Lowered extends Schema.TaggedClass<Lowered>()("Lowered", { by: Schema.Int }) {}
const Counter = Category.make("counter", { id: Schema.String, events: [Raised, Lowered] })
const Other = Category.make("other", { id: Schema.String, events: [Raised] })

const show = <A extends { readonly position: number }, E, R>(name: string, stream: Stream.Stream<A, E, R>) =>
  Effect.flatMap(
    Stream.runCollect(stream),
    (events) => Console.log(`${name}: ${events.map(({ position }) => position).join(" ")}`)
  )

const program = Effect.gen(function*() {
  const store = yield* EventStore
  yield* store.append(Counter.stream("a"), [1, 2, 3].map((by) => new Raised({ by }))) // positions 1 to 3
  yield* store.append(Other.stream("x"), [new Raised({ by: 9 })])
  yield* store.append(Counter.stream("b"), [new Raised({ by: 5 })])
  yield* store.append(Counter.stream("a"), [new Lowered({ by: 4 })])

  yield* show("a stream", store.read(Counter.stream("a")))
  yield* show("its last two, newest first", store.read(Counter.stream("a"), { direction: "backward", limit: 2 }))
  yield* show("its versions 2 to 3", store.read(Counter.stream("a"), { from: 2, to: 3 }))
  yield* show("a category", store.readCategory(Counter))
  yield* show("two categories", store.readCategory([Counter, Other], { from: 4 }))
  yield* show("by type", store.readAll({ types: ["Lowered"] }))
  yield* show("by tag", store.readAll({ tags: ["big"] }))
  yield* show("by prefix", store.readAll({ streamPrefix: "counter-b" }))

  // a state as of a version: fold up to there
  const valueAt = (version?: number) =>
    Stream.runFold(
      store.read(Counter.stream("a"), { to: version }),
      () => 0,
      (value, { event }) => event._tag === "Raised" ? value + event.by : value - event.by
    )
  yield* Console.log(`a at version 2: ${yield* valueAt(2)}, today: ${yield* valueAt()}`)
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
