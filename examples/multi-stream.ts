/**
 * One append to several streams: all of it or nothing. An entry without events only checks.
 */
import { Console, Effect, Schema } from "effect"
import { Category, EventStore } from "effect-eventstore"

class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
class Opened extends Schema.TaggedClass<Opened>()("Opened", {}) {}

const Account = Category.make("account", { id: Schema.String, events: [Deposited, Withdrawn] })
const Day = Category.make("day", { id: Schema.String, events: [Opened] })

const program = Effect.gen(function*() {
  const store = yield* EventStore
  const { version: day } = yield* store.append(Day.stream("monday"), [new Opened()])
  const { version: anna } = yield* store.append(Account.stream("anna"), [new Deposited({ cents: 1000 })])

  // the balance that was checked is the one at this version, and the business day must still be the one we saw
  const transfer = store.appendAll([
    EventStore.entry(Account.stream("anna"), [new Withdrawn({ cents: 700 })], { expected: anna }),
    EventStore.entry(Account.stream("ben"), [new Deposited({ cents: 700 })]),
    EventStore.entry(Day.stream("monday"), [], { expected: day })
  ])

  for (const { position, streamId, version } of yield* transfer) {
    yield* Console.log(`${streamId} at version ${version}, position ${position}`)
  }

  yield* store.append(Day.stream("monday"), [new Opened()])
  const refused = yield* Effect.flip(transfer)
  if (refused._tag === "WrongExpectedVersion") {
    // every violated expectation is named, not only the first
    for (const { actual, expected, streamId } of refused.violations) {
      yield* Console.log(`refused: ${streamId} is at ${actual}, expected ${expected}`)
    }
  }
  yield* Console.log(`ben still has ${yield* store.head(Account.stream("ben"))} event`)
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
