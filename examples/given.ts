/**
 * Tests of a decider, of a process manager and of a whole program, and what they say where something is not as expected. In a test
 * file each of them stands in `it.effect("...", () => ...)`.
 */
import { Cause, Console, Effect, Layer, Option, Schema } from "effect"
import { Category, Decider, ProcessManager, Projection } from "effect-eventstore"
import { DeciderLaws, Given, Story } from "effect-eventstore/Testing"

class Borrowed extends Schema.TaggedClass<Borrowed>()("Borrowed", { reader: Schema.String }) {}
class Reminded extends Schema.TaggedClass<Reminded>()("Reminded", {}) {}
class Returned extends Schema.TaggedClass<Returned>()("Returned", {}) {}
const Book = Category.make("book", { id: Schema.String, events: [Borrowed, Reminded, Returned] })

class Borrow extends Schema.TaggedClass<Borrow>()("Borrow", { reader: Schema.String }) {}
class Remind extends Schema.TaggedClass<Remind>()("Remind", {}) {}
class Return extends Schema.TaggedClass<Return>()("Return", {}) {}
class Lent extends Schema.TaggedError<Lent>()("Lent", { to: Schema.String }) {}

const Books = Decider.make(Book, {
  state: Schema.Struct({ reader: Schema.NullOr(Schema.String) }),
  commands: [Borrow, Remind, Return],
  initial: { reader: null },
  evolve: {
    Borrowed: (_, { reader }) => ({ reader }),
    Reminded: (state) => state,
    Returned: () => ({ reader: null })
  },
  decide: {
    Borrow: ({ reader }, state) =>
      state.reader === null
        ? Effect.succeed([new Borrowed({ reader })])
        : Effect.fail(new Lent({ to: state.reader })),
    Remind: (_, { reader }) => reader === null ? [] : [new Reminded()],
    Return: (_, { reader }) => reader === null ? [] : [new Returned()]
  }
})

const Loans = ProcessManager.make("loans", {
  from: Book,
  correlate: ProcessManager.byStreamId,
  starts: ["Borrowed"],
  state: Schema.Struct({ reminders: Schema.Int }),
  initial: () => ({ reminders: 0 }),
  commands: [Remind],
  timers: ["due"]
}, {
  handle: {
    Borrowed: () => ({ timers: { due: "28 days" } }),
    Reminded: () => undefined,
    Returned: () => ({ timers: { due: null } })
  },
  onTimer: {
    due: ({ reminders }) => ({ state: { reminders: reminders + 1 }, send: [new Remind()], timers: { due: "7 days" } })
  }
})

const Readers = Projection.documents("readers", {
  from: Book,
  state: Schema.String,
  initial: () => "",
  evolve: { Borrowed: (_, { event }) => event.reader, Reminded: (reader) => `${reader}!`, Returned: () => undefined }
})

const Library = Layer.mergeAll(
  Projection.layer(Readers),
  ProcessManager.layer(Loans, { perform: { Remind: (command, { id }) => Books.run(id, command) } })
)

const lent = Given.decider(Books, new Borrowed({ reader: "anna" }))
const moby = Book.stream("moby")

const tests: Record<string, Effect.Effect<unknown, unknown>> = {
  "lends what is there": Given.decider(Books, []).when(new Borrow({ reader: "anna" })).then(
    new Borrowed({ reader: "anna" })
  ),
  "lends nothing twice": lent.when(new Borrow({ reader: "ben" })).thenFails(new Lent({ to: "anna" })),
  "takes it back once": Given.decider(Books, new Borrowed({ reader: "anna" }), new Returned()).when(new Return())
    .thenNothing(),
  "reminds after four weeks, and each week then": Given.process(Loans, "moby", new Borrowed({ reader: "anna" }))
    .whenTimer("due").then({ send: [new Remind()], timers: { due: "7 days" } }),
  "keeps the laws": DeciderLaws.verify(Books),
  "plays a summer": Story.play(
    Library,
    Effect.gen(function*() {
      yield* Books.run("moby", new Borrow({ reader: "anna" }))
      yield* Story.expect(Projection.get(Readers, "book-moby"), Option.some("anna"))
      yield* Story.passes("40 days")
      yield* Story.events(moby, new Borrowed({ reader: "anna" }), new Reminded(), new Reminded())
      yield* Books.run("moby", new Return())
      yield* Story.passes("365 days")
      yield* Story.expect(Projection.get(Readers, "book-moby"), Option.none())
    })
  ),
  "and one that is wrong": lent.when(new Return()).then(new Returned(), new Reminded())
}

for (const [name, test] of Object.entries(tests)) {
  const exit = await Effect.runPromise(Effect.exit(test))
  const said = exit._tag === "Success" ? "passed" : (Cause.squash(exit.cause) as Error).message
  await Effect.runPromise(Console.log(`${name}: ${said}`))
}
