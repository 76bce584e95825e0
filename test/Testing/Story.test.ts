import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Effect, Exit, Layer, Option, References, Schedule, Schema } from "effect"
import { Category, Decider, EventStore, PersistentSubscription, ProcessManager, Projection } from "effect-eventstore"
import { Story } from "effect-eventstore/Testing"

class Placed extends Schema.TaggedClass<Placed>()("Placed", { cents: Schema.Int }) {}
class Reminded extends Schema.TaggedClass<Reminded>()("Reminded", { day: Schema.Int }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", {}) {}
const Order = Category.make("order", { id: Schema.String, events: [Placed, Reminded, Paid] })

class Place extends Schema.TaggedClass<Place>()("Place", { cents: Schema.Int }) {}
class Remind extends Schema.TaggedClass<Remind>()("Remind", {}) {}
class Pay extends Schema.TaggedClass<Pay>()("Pay", {}) {}
class NotPlaced extends Schema.TaggedError<NotPlaced>()("NotPlaced", {}) {}

const day = 24 * 60 * 60 * 1000
const Orders = Decider.make(Order, {
  commands: [Place, Remind, Pay],
  initial: { status: "none" as "none" | "placed" | "paid" },
  evolve: {
    Placed: () => ({ status: "placed" as const }),
    Reminded: (state) => state,
    Paid: () => ({ status: "paid" as const })
  },
  decide: {
    Place: ({ cents }) => [new Placed({ cents })],
    Remind: () => Effect.map(Clock.currentTimeMillis, (now) => [new Reminded({ day: now / day })]),
    Pay: (_, { status }) => status === "placed" ? Effect.succeed([new Paid()]) : Effect.fail(new NotPlaced())
  }
})

const Reminders = ProcessManager.make("reminders", {
  from: Order,
  correlate: ProcessManager.byStreamId,
  starts: ["Placed"],
  state: Schema.Int,
  initial: () => 0,
  commands: [Remind],
  timers: ["payment"]
}, {
  handle: {
    Placed: () => ({ timers: { payment: "7 days" } }),
    Reminded: () => undefined,
    Paid: () => ({ end: true })
  },
  // each one follows from the one before
  onTimer: { payment: (times) => ({ state: times + 1, send: [new Remind()], timers: { payment: "3 days" } }) }
})

const Open = Projection.documents("open", {
  from: Order,
  state: Schema.Int,
  initial: () => 0,
  evolve: { Placed: (_, { event }) => event.cents, Reminded: (sum) => sum + 1, Paid: () => undefined }
})

const Program = Layer.mergeAll(
  ProcessManager.layer(Reminders, { perform: { Remind: (command, { id }) => Orders.run(id, command) } }),
  Projection.layer(Open)
)

const says = <A, E, R>(test: Effect.Effect<A, E, R>): Effect.Effect<string, never, R> =>
  Effect.map(Effect.exit(test), (exit) => {
    if (Exit.isSuccess(exit)) throw new Error("the test passed")
    return (Cause.squash(exit.cause) as Error).message
  })

const stream = Order.stream("1")

describe("a story", () => {
  it.effect("alternates commands, time and expectations, while projections and process managers work", () =>
    Story.play(
      Program,
      Effect.gen(function*() {
        yield* Story.fails(Orders.run("1", new Pay()), "NotPlaced")
        yield* Orders.run("1", new Place({ cents: 500 }))
        yield* Story.expect(Projection.get(Open, "order-1"), Option.some(500))
        yield* Story.passes("6 days")
        yield* Story.events(stream, new Placed({ cents: 500 }))
        // one timer after the other, each at its time
        yield* Story.passes("8 days")
        yield* Story.events(
          stream,
          new Placed({ cents: 500 }),
          new Reminded({ day: 7 }),
          new Reminded({ day: 10 }),
          new Reminded({ day: 13 })
        )
        yield* Story.expect(Projection.get(Open, "order-1"), Option.some(503))
        yield* Story.expect(ProcessManager.state(Reminders, "1"), Option.some(3))
        yield* Orders.run("1", new Pay())
        yield* Story.expect(Projection.get(Open, "order-1"), Option.none())
        yield* Story.passes("365 days")
        yield* Story.expect(Effect.map(EventStore.use((store) => store.head(stream)), Number), 5)
        yield* Story.expect(Effect.map(Clock.currentTimeMillis, (now) => now / day), 379)
      })
    ))

  it.effect("begins anew, also inside of another store", () =>
    Effect.gen(function*() {
      yield* Orders.run("1", new Place({ cents: 1 }))
      for (let i = 0; i < 2; i++) {
        yield* Story.play(
          Layer.empty,
          Effect.gen(function*() {
            yield* Story.events(stream)
            yield* Orders.run("1", new Place({ cents: 2 }))
            yield* Story.events(stream, new Placed({ cents: 2 }))
            yield* Story.expect(Clock.currentTimeMillis, 0)
            yield* Story.passes("1 second")
          })
        )
      }
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.live("needs no test clock around it", () =>
    Story.play(
      Program,
      Effect.gen(function*() {
        yield* Orders.run("1", new Place({ cents: 500 }))
        yield* Story.passes("7 days")
        yield* Story.events(stream, new Placed({ cents: 500 }), new Reminded({ day: 7 }))
      })
    ))

  it.effect("has what the work needs and offers", () =>
    Effect.gen(function*() {
      class Mails extends Context.Service<Mails, { readonly sent: Array<string> }>()("test/Mails") {}
      const sent: Array<string> = []
      const Mailing = PersistentSubscription.layer("mailing", {
        from: Order,
        handle: ({ streamId }) => Mails.use((mails) => Effect.sync(() => mails.sent.push(streamId)))
      })
      class Offered extends Context.Service<Offered, { readonly answer: number }>()("test/Offered") {}
      const story = Story.play(
        Layer.merge(Mailing, Layer.succeed(Offered, { answer: 42 })),
        Effect.gen(function*() {
          yield* Orders.run("1", new Place({ cents: 1 }))
          yield* Story.expect(Effect.sync(() => sent), ["order-1"])
          return (yield* Offered).answer
        })
      )
      assert.strictEqual(yield* Effect.provideService(story, Mails, { sent }), 42)
    }))

  it.effect("lets what is tried again wait for the time", () =>
    Effect.gen(function*() {
      let attempts = 0
      const Flaky = PersistentSubscription.layer("flaky", {
        from: Order,
        retry: Schedule.spaced("1 minute"),
        handle: () => Effect.suspend(() => ++attempts < 3 ? Effect.fail("not yet") : Effect.void)
      })
      yield* Story.play(
        Flaky,
        Effect.gen(function*() {
          yield* Orders.run("1", new Place({ cents: 1 }))
          yield* Story.expect(Effect.sync(() => attempts), 1)
          yield* Story.passes("1 minute")
          yield* Story.expect(
            Effect.sync(() => attempts),
            2
          )
          yield* Story.passes("1 minute")
          yield* Story.expect(Effect.sync(() => attempts), 3)
        })
      )
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))

  it.effect("says when in it what was not as expected", () =>
    Effect.gen(function*() {
      const told = <A, E>(test: Effect.Effect<A, E, EventStore>) =>
        says(Story.play(
          Program,
          Effect.gen(function*() {
            yield* Orders.run("1", new Place({ cents: 500 }))
            yield* Story.passes("8 days")
            yield* test
          })
        ))
      assert.strictEqual(
        yield* told(Story.events(stream, new Placed({ cents: 500 }))),
        "after 8d, other events of order-1 were expected (- expected, + actual)\n" +
          "  [\n    Placed { cents: 500 }\n+   Reminded { day: 7 }\n  ]"
      )
      assert.match(
        yield* told(Story.expect(Projection.get(Open, "order-1"), Option.some(500))),
        /^after 8d, something else was expected .*\n- Option\.Some { value: 500 }\n\+ Option\.Some { value: 501 }$/
      )
      assert.match(yield* told(Story.fails(Orders.run("1", new Pay()), "NotPlaced")), /^after 8d: expected it to fail/)
      assert.match(
        yield* told(Story.expect(Effect.fail("no"), 1 as never)),
        /something was expected: it failed with\n  "no"/
      )
      assert.match(
        yield* says(Story.play(Layer.empty, Story.fails(Orders.run("1", new Pay()), new Error("other") as never))),
        /^at the beginning, it failed with another error/
      )
    }))

  it.effect("ends where a projection has failed", () =>
    Effect.gen(function*() {
      const Broken = Projection.documents("broken", {
        from: Order,
        state: Schema.Int,
        initial: () => 0,
        evolve: { Placed: () => 0.5, Reminded: (sum) => sum, Paid: (sum) => sum }
      })
      const message = yield* says(Story.play(
        Projection.layer(Broken, { onError: { retry: Schedule.recurs(0) } }),
        Effect.andThen(Orders.run("1", new Place({ cents: 1 })), Story.settled)
      ))
      assert.match(message, /^Version 1 of the projection broken failed at position 1: .*integer/)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))

  it.effect("fails with what the story or its work fails with", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.flip(Story.play(Layer.empty, Effect.fail("story"))), "story")
      assert.strictEqual(
        yield* Effect.flip(Story.play(Layer.effectDiscard(Effect.fail("work")), Effect.void)),
        "work"
      )
    }))
})
