import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, DateTime, Effect, Exit, HashMap, Option, References, Schema } from "effect"
import {
  Category,
  Decider,
  EventData,
  EventStore,
  PgliteEventStore,
  ProcessManager,
  Projection,
  View
} from "effect-eventstore"
import { Given } from "effect-eventstore/Testing"

/** What a test that has to go wrong says. */
const says = <A, R>(test: Effect.Effect<A, never, R>): Effect.Effect<string, never, R> =>
  Effect.map(Effect.exit(test), (exit) => {
    if (Exit.isSuccess(exit)) throw new Error("the test passed")
    return (Cause.squash(exit.cause) as Error).message
  })

class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
class Deposit extends Schema.TaggedClass<Deposit>()("Deposit", { cents: Schema.Int }) {}
class Withdraw extends Schema.TaggedClass<Withdraw>()("Withdraw", { cents: Schema.Int }) {}
class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { balance: Schema.Int }) {
  override get message() {
    return `only ${this.balance} left`
  }
}
class Limits extends Context.Service<Limits, { readonly most: number }>()("test/Limits") {}
class TooMuch extends Schema.TaggedError<TooMuch>()("TooMuch", { most: Schema.Int }) {}

const account = Decider.of({
  events: [Deposited, Withdrawn],
  commands: [Deposit, Withdraw],
  initial: { balance: 0 },
  evolve: {
    Deposited: ({ balance }, { cents }) => ({ balance: balance + cents }),
    Withdrawn: ({ balance }, { cents }) => ({ balance: balance - cents })
  },
  decide: {
    Deposit: ({ cents }) => cents === 0 ? [] : [new Deposited({ cents })],
    Withdraw: Effect.fnUntraced(function*({ cents }: Withdraw, { balance }) {
      const { most } = yield* Limits
      if (cents > most) return yield* new TooMuch({ most })
      if (cents > balance) return yield* new Overdrawn({ balance })
      return [new Withdrawn({ cents })]
    })
  }
})
const Account = Category.make("account", { id: Schema.String, events: [Deposited, Withdrawn] })
const Accounts = Decider.make(Account, account)

const limited = Effect.provideService(Limits, { most: 1000 })
const given = () => Given.decider(account, new Deposited({ cents: 500 }))

describe("Given.decider", () => {
  it.effect("passes where a command leads to the events, the state or the error", () =>
    Effect.gen(function*() {
      const when = given().when(new Withdraw({ cents: 200 }))
      yield* when.then(new Withdrawn({ cents: 200 }))
      yield* when.then([new Withdrawn({ cents: 200 })])
      // a plain object says the same
      yield* when.then({ _tag: "Withdrawn", cents: 200 })
      yield* when.thenState({ balance: 300 })
      yield* given().thenState({ balance: 500 })
      yield* Given.decider(account, []).thenState({ balance: 0 })
      yield* Given.decider(account).when(new Deposit({ cents: 0 })).thenNothing()
      yield* Given.decider(account).when(new Deposit({ cents: 0 })).then()
      const poor = given().when(new Withdraw({ cents: 600 }))
      yield* poor.thenFails("Overdrawn")
      yield* poor.thenFails(new Overdrawn({ balance: 500 }))
      yield* poor.thenFails((error) => error._tag === "Overdrawn" && error.balance === 500)
    }).pipe(limited))

  it.effect("takes the decider of a category, and of one of its streams", () =>
    Effect.gen(function*() {
      yield* Given.decider(Accounts, new Deposited({ cents: 5 })).when(new Withdraw({ cents: 5 })).thenState({
        balance: 0
      })
      const named = Decider.make(Account, { ...account, initial: (id) => ({ balance: id.length }) })
      yield* Given.decider(named.decider("anna"), []).thenState({ balance: 4 })
      yield* Given.decider(named, []).thenState({ balance: 1 })
    }).pipe(limited))

  it.effect("shows in what the events differ", () =>
    Effect.gen(function*() {
      const message = yield* says(
        given().when(new Withdraw({ cents: 200 })).then(
          new Withdrawn({ cents: 200 }),
          new Deposited({ cents: 1 })
        )
      )
      assert.strictEqual(
        message,
        `given Deposited { cents: 500 }, when Withdraw { cents: 200 }, other events were expected (- expected, + actual)
  [
    Withdrawn { cents: 200 }
-   Deposited { cents: 1 }
  ]`
      )
      assert.include(
        yield* says(given().when(new Withdraw({ cents: 200 })).then(new Withdrawn({ cents: 201 }))),
        "-   Withdrawn { cents: 201 }\n+   Withdrawn { cents: 200 }"
      )
      assert.include(
        yield* says(given().when(new Deposit({ cents: 1 })).thenNothing()),
        "- []\n+ [\n+   Deposited { cents: 1 }\n+ ]"
      )
    }).pipe(limited))

  it.effect("shows in what the states differ", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* says(given().thenState({ balance: 1 })),
        "given Deposited { cents: 500 }, another state was expected (- expected, + actual)\n" +
          "- { balance: 1 }\n+ { balance: 500 }"
      )
      const message = yield* says(Given.decider(account).when(new Deposit({ cents: 7 })).thenState({ balance: 1 }))
      assert.match(message, /^given nothing, when Deposit .*another state.*\n- { balance: 1 }\n\+ { balance: 7 }$/)
    }).pipe(limited))

  it.effect("says that it failed where it should not, and how", () =>
    Effect.gen(function*() {
      const poor = given().when(new Withdraw({ cents: 600 }))
      const expected = "given Deposited { cents: 500 }, when Withdraw { cents: 600 }: it failed with\n" +
        "  Overdrawn { balance: 500 }"
      assert.strictEqual(yield* says(poor.then(new Withdrawn({ cents: 600 }))), expected)
      assert.strictEqual(yield* says(poor.thenNothing()), expected)
      assert.strictEqual(yield* says(poor.thenState({ balance: 0 })), expected)
    }).pipe(limited))

  it.effect("says that it failed otherwise, or not at all", () =>
    Effect.gen(function*() {
      const poor = given().when(new Withdraw({ cents: 600 }))
      assert.match(yield* says(poor.thenFails("TooMuch")), /expected TooMuch, and it failed with\n  Overdrawn/)
      assert.match(
        yield* says(poor.thenFails(new Overdrawn({ balance: 1 }))),
        /another error .*\n- Overdrawn { balance: 1 }\n\+ Overdrawn { balance: 500 }/
      )
      assert.match(yield* says(poor.thenFails(() => false)), /it is not so of the error\n  Overdrawn { balance: 500 }/)
      assert.match(
        yield* says(given().when(new Withdraw({ cents: 1 })).thenFails("Overdrawn")),
        /expected it to fail, and it did not\. It leads to \[ Withdrawn { cents: 1 } \]/
      )
    }).pipe(limited))

  it.effect("leaves a defect a defect", () =>
    Effect.gen(function*() {
      const broken = { ...account, evolve: () => Effect.runSync(Effect.die(new Error("evolve is broken"))) }
      const message = yield* says(
        Given.decider(broken).when(new Deposit({ cents: 1 })).then(new Deposited({ cents: 1 }))
      )
      assert.include(message, "evolve is broken")
    }).pipe(limited))

  it("does not wait for ever where somebody awaits it", async () => {
    const when: unknown = given().when(new Deposit({ cents: 1 }))
    const error: unknown = await Promise.resolve(when).catch((error: unknown) => error)
    assert.match(String(error), /awaited before it said what has to follow/)
  })

  it.effect("compares by what values say", () =>
    Effect.gen(function*() {
      const keeping = <S>(state: S) =>
        Given.decider(Decider.of({ initial: state, evolve: (state: S) => state, decide: () => [] }))
      yield* keeping({ a: 1, b: undefined as number | undefined }).thenState({ a: 1 } as never)
      yield* keeping(HashMap.make(["a", 1], ["b", 2])).thenState(HashMap.make(["b", 2], ["a", 1]))
      yield* keeping(new Map([["a", 1], ["b", 2]])).thenState(new Map([["b", 2], ["a", 1]]))
      yield* keeping(new Set([1, 2])).thenState(new Set([2, 1]))
      const differ: ReadonlyArray<readonly [unknown, unknown]> = [
        [1, "1"],
        [1n, 1],
        [null, undefined],
        [Option.some(1), Option.none()],
        [new Date(0), new Date(1)],
        [new Date(0), new Date(0).toISOString()],
        [DateTime.makeUnsafe(0), DateTime.makeUnsafe(1)],
        [new Map([["a", 1]]), new Map([["a", 2]])],
        [new Set([1]), [1]],
        [HashMap.make(["a", 1]), HashMap.make(["a", 2])],
        [new Uint8Array([1]), new Uint8Array([2])],
        [[], {}],
        [{ a: { b: [1] } }, { a: { b: [2] } }],
        [new Error("a"), new Error("b")],
        [Number.NaN, 0]
      ]
      for (const [one, other] of differ) {
        yield* keeping(one).thenState(one)
        assert.match(yield* says(keeping(one).thenState(other)), /another state/)
      }
    }))
})

class Placed extends Schema.TaggedClass<Placed>()("Placed", { customer: Schema.String, cents: Schema.Int }) {}
class Cancelled extends Schema.TaggedClass<Cancelled>()("Cancelled", { customer: Schema.String }) {}
const Order = Category.make("order", { id: Schema.String, events: [Placed, Cancelled] })
const placed = (order: string, customer: string, cents: number) =>
  EventStore.entry(Order.stream(order), [new Placed({ customer, cents })])
const cancelled = (order: string, customer: string) =>
  EventStore.entry(Order.stream(order), [new Cancelled({ customer })])

const Spent = Projection.documents("spent", {
  from: Order,
  types: ["Placed", "Cancelled"],
  key: ({ event }) => event.customer,
  state: Schema.Struct({ cents: Schema.Int, orders: Schema.Array(Schema.String), at: Schema.Date }),
  initial: () => ({ cents: 0, orders: [] as ReadonlyArray<string>, at: new Date(0) }),
  evolve: {
    Placed: ({ cents, orders }, { event, recordedAt, streamId, streamVersion }) => ({
      cents: cents + event.cents,
      orders: [...orders, `${streamId}@${streamVersion}`],
      at: DateTime.toDateUtc(recordedAt)
    }),
    Cancelled: () => undefined
  }
})
const [at] = [new Date(0)]

describe("Given.documents", () => {
  const test = Given.documents(Spent, placed("1", "anna", 5), placed("2", "ben", 9), placed("1", "anna", 7))

  it.effect("has the documents that the events lead to", () =>
    Effect.gen(function*() {
      yield* test.then({
        anna: { cents: 12, orders: ["order-1@1", "order-1@2"], at },
        ben: { cents: 9, orders: ["order-2@1"], at }
      })
      yield* Given.documents(Spent).then({})
      yield* Given.documents(Spent, placed("1", "anna", 5), cancelled("1", "anna")).then({})
      // what is not for it
      const Other = Category.make("other", { id: Schema.String, events: [Deposited] })
      yield* Given.documents(Spent, EventStore.entry(Other.stream("1"), [new Deposited({ cents: 1 })])).then({})
    }))

  it.effect("shows in what they differ", () =>
    Effect.gen(function*() {
      const message = yield* says(test.then({
        anna: { cents: 13, orders: ["order-1@1", "order-1@2"], at },
        ben: { cents: 9, orders: ["order-2@1"], at }
      }))
      assert.match(
        message,
        /^given \[ Placed { cents: 5, customer: "anna" } \] in order-1, .*other documents were expected/
      )
      assert.match(message, /\n- .*cents: 13.*\n\+ .*cents: 12/)
      const more = yield* says(Given.documents(Spent, placed("1", "anna", 5)).then({}))
      assert.match(more, /\n- {}\n\+ .*anna/)
    }))

  it.effect("notices a state that cannot be kept", () =>
    Effect.gen(function*() {
      const Broken = Projection.documents("broken", {
        from: Order,
        state: Schema.Int,
        initial: () => 0,
        evolve: { Placed: () => 0.5, Cancelled: (sum) => sum }
      })
      assert.match(yield* says(Given.documents(Broken, placed("1", "anna", 5)).then({})), /integer/)
    }))
})

describe("Given.view and Given.inMemory", () => {
  const evolve = {
    Placed: (sum: number, { event }: { readonly event: Placed }) => sum + event.cents,
    Cancelled: (sum: number) => sum
  }
  const Sum = View.make(Order, { initial: 0, evolve })
  const follow = Projection.inMemory({ from: Order, initial: 0, evolve })
  const entries = [placed("1", "anna", 5), placed("2", "anna", 7), cancelled("1", "anna")]

  it.effect("have the state that the events lead to", () =>
    Effect.gen(function*() {
      yield* Given.view(Sum, ...entries).then(12)
      yield* Given.view(Sum).then(0)
      yield* Given.inMemory(follow, ...entries).then(12)
      yield* Given.inMemory(follow).then(0)
    }))

  it.effect("show in what it differs", () =>
    Effect.gen(function*() {
      assert.match(yield* says(Given.view(Sum, ...entries).then(11)), /another state.*\n- 11\n\+ 12$/)
      assert.match(yield* says(Given.inMemory(follow, ...entries).then(11)), /another state.*\n- 11\n\+ 12$/)
    }))
})

describe("Given.tables", () => {
  const Income = Projection.make("income", {
    from: Order,
    setup: ({ sql, table }) => sql`CREATE TABLE ${table("income")} (customer text, cents int)`,
    handle: {
      Placed: ({ event }, { sql, table }) =>
        sql`INSERT INTO ${table("income")} VALUES (${event.customer}, ${event.cents})`,
      Cancelled: (_, { sql }) => sql`SELECT nothing FROM nowhere`
    }
  })

  it.live(
    "has the rows that the events lead to, shows in what they differ, and why a handler failed",
    () =>
      Effect.gen(function*() {
        const query = ({ sql, table }: Projection.Model) =>
          sql<{ customer: string; cents: number }>`SELECT customer, cents FROM ${table("income")} ORDER BY cents`
        yield* Given.tables(Income, placed("1", "anna", 5), placed("2", "ben", 7)).then(query, [
          { customer: "anna", cents: 5 },
          { customer: "ben", cents: 7 }
        ])
        const message = yield* says(Given.tables(Income).then(query, [{ customer: "anna", cents: 5 }]))
        assert.match(message, /something else .*\n.*\n {4}{ cents: 5, customer: "anna" }/)
        assert.match(message, /\n\+ {3}{ cents: 7, customer: "ben" }/)
        const broken = yield* says(Given.tables(Income, cancelled("1", "anna")).then(query, []))
        assert.match(broken, /^Version 1 of the projection income failed at position 3/)
      }).pipe(Effect.provide(PgliteEventStore.layer()), Effect.provideService(References.MinimumLogLevel, "None")),
    60_000
  )
})

class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int }) {}
class Remind extends Schema.TaggedClass<Remind>()("Remind", { times: Schema.Int }) {}
class Odd extends Schema.TaggedError<Odd>()("Odd", { cents: Schema.Int }) {}
const Bill = Category.make("bill", { id: Schema.String, events: [Placed, Paid] })

const Reminders = ProcessManager.make("reminders", {
  from: Bill,
  correlate: ProcessManager.byStreamId,
  starts: ["Placed"],
  state: Schema.Struct({ times: Schema.Int }),
  initial: () => ({ times: 0 }),
  commands: [Remind],
  timers: ["payment", "never"]
}, {
  handle: {
    Placed: () => ({ timers: { payment: "1 day" } }),
    Paid: (_, { cents }, { id }) =>
      cents % 2 === 1 ? Effect.fail(new Odd({ cents })) : Effect.succeed({
        append: [EventStore.entry(Account.stream(id), [EventData.make(new Deposited({ cents }), { tags: ["t"] })])],
        end: true
      })
  },
  onTimer: {
    payment: ({ times }) => ({
      state: { times: times + 1 },
      send: [new Remind({ times: times + 1 })],
      timers: { payment: "7 days" }
    }),
    never: () => undefined
  }
})

describe("Given.process", () => {
  const bill = new Placed({ customer: "anna", cents: 4 })
  const deposited = EventStore.entry(Account.stream("b-1"), [new Deposited({ cents: 4 })])

  it.effect("has the state, commands, timers and events that a step leads to", () =>
    Effect.gen(function*() {
      yield* Given.process(Reminders, "b-1").when(bill).then({
        state: { times: 0 },
        send: [],
        append: [],
        timers: { payment: "1 day" },
        ended: false
      })
      yield* Given.process(Reminders, "b-1", bill, Given.fired("payment")).whenTimer("payment").then({
        state: { times: 2 },
        send: [new Remind({ times: 2 })],
        timers: { payment: "7 days" }
      })
      yield* Given.process(Reminders, "b-1", bill, Given.passed("2 days"), Given.fired("payment")).when(bill).then({
        timers: { payment: "1 day" }
      })
      // it waits since the timer fired late, and not since its time
      yield* Given.process(Reminders, "b-1", bill, Given.passed("2 days")).whenTimer("payment").then({
        timers: { payment: DateTime.makeUnsafe("1970-01-10T00:00:00Z") }
      })
      yield* Given.process(Reminders, "b-1", bill).when(new Paid({ cents: 4 })).then({
        append: [deposited],
        timers: {},
        ended: true
      })
      yield* Given.process(Reminders, "b-1").when(new Paid({ cents: 4 })).thenNothing()
      yield* Given.process(Reminders, "b-1", bill).when(new Paid({ cents: 3 })).thenFails("Odd")
      yield* Given.process(Reminders, "b-1", bill).when(new Paid({ cents: 3 })).thenFails(new Odd({ cents: 3 }))
    }))

  it.effect("shows in what a step differs, and no more than was asked for", () =>
    Effect.gen(function*() {
      const test = Given.process(Reminders, "b-1", bill).whenTimer("payment")
      const state = yield* says(test.then({ state: { times: 2 } }))
      assert.strictEqual(
        state,
        `given Placed { cents: 4, customer: "anna" }, when the timer payment fires, another step was expected ` +
          `(- expected, + actual)\n  [\n-   { state: { times: 2 } }\n+   { state: { times: 1 } }\n  ]`
      )
      assert.match(yield* says(test.then({ send: [] })), /\n- .*send: \[\].*\n\+ .*Remind { times: 1 }/)
      assert.match(yield* says(test.then({ timers: { payment: "8 days" } })), /\n- .*1970-01-10.*\n\+ .*1970-01-09/)
      assert.match(yield* says(test.then({ timers: {} })), /\n- .*timers: {}.*\n\+ .*payment/)
      assert.match(yield* says(test.then({ ended: true })), /\n- .*ended: true.*\n\+ .*ended: false/)
      assert.match(yield* says(test.then({ append: [deposited] })), /\n- .*account-b-1.*\n\+ .*append: \[\]/)
      assert.match(yield* says(test.thenNothing()), /expected nothing, and it moved\n[^]*Remind/)
      assert.match(yield* says(test.thenFails("Odd")), /expected it to fail, and it did not. It moved to [^]*Remind/)
    }))

  it.effect("says what goes wrong before and in the step", () =>
    Effect.gen(function*() {
      const odd = new Paid({ cents: 3 })
      assert.match(
        yield* says(Given.process(Reminders, "b-1", bill, odd).when(bill).thenNothing()),
        /^given Placed .*, Paid { cents: 3 }: it failed with\n  Odd { cents: 3 }/
      )
      assert.match(
        yield* says(Given.process(Reminders, "b-1", bill).when(odd).thenNothing()),
        /when Paid .*failed with\n  Odd/
      )
      assert.match(
        yield* says(Given.process(Reminders, "b-1", bill).whenTimer("never").thenNothing()),
        /the timer never does not wait, only payment/
      )
      assert.match(
        yield* says(Given.process(Reminders, "b-1", Given.fired("payment")).when(bill).thenNothing()),
        /the timer payment does not wait, and no other does/
      )
    }))
})
