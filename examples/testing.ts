/**
 * The program asks for an `EventStore` and does not know which: a test swaps one line. The layers keep the same promises,
 * so what passes on memory passes on Postgres.
 */
import { Console, Effect, Schema, Stream } from "effect"
import { Category, EventStore, PgliteEventStore } from "effect-eventstore"

class Voted extends Schema.TaggedClass<Voted>()("Voted", { for: Schema.String }) {}
const Ballot = Category.make("ballot", { id: Schema.String, events: [Voted] })

const vote = Effect.fn("vote")(function*(voter: string, candidate: string) {
  const store = yield* EventStore
  yield* store.append(Ballot.stream(voter), [new Voted({ for: candidate })], { expected: "no-stream" })
})

const count = Effect.gen(function*() {
  const store = yield* EventStore
  return yield* Stream.runFold(
    store.readCategory(Ballot),
    (): Record<string, number> => ({}),
    (votes, { event }) => ({ ...votes, [event.for]: (votes[event.for] ?? 0) + 1 })
  )
})

const program = Effect.gen(function*() {
  yield* vote("anna", "tea")
  yield* vote("ben", "tea")
  yield* vote("anna", "coffee").pipe(Effect.catchTag("WrongExpectedVersion", () => Console.log("voted already")))
  yield* Console.log(yield* count)
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
await Effect.runPromise(program.pipe(Effect.provide(PgliteEventStore.layer())))
