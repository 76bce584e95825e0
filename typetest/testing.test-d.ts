// @effect-diagnostics missingEffectContext:off floatingEffect:off
/** What the types of the testing kit promise; checked by the compiler, never run. */
import { type Arbitrary, Context, Effect, Layer, Schema } from "effect"
import { Category, Decider, EventStore, ProcessManager, Projection } from "effect-eventstore"
import { Arbitraries, DeciderLaws, Given, Story } from "effect-eventstore/Testing"
import { describe, expectTypeOf, it } from "vitest"

class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
class Closed extends Schema.TaggedClass<Closed>()("Closed", {}) {}
class Deposit extends Schema.TaggedClass<Deposit>()("Deposit", { cents: Schema.Int }) {}
class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {}
class Rates extends Context.Service<Rates, { readonly of: number }>()("test/Rates") {}
const Account = Category.make("account", { id: Schema.String, events: [Deposited] })

const Accounts = Decider.make(Account, {
  commands: [Deposit],
  initial: { balance: 0 },
  evolve: { Deposited: ({ balance }, { cents }) => ({ balance: balance + cents }) },
  decide: {
    Deposit: ({ cents }) =>
      Rates.use(({ of }) =>
        of === 0 ? Effect.fail(new Refused({ why: "" })) : Effect.succeed([new Deposited({ cents })])
      )
  }
})
const given = Given.decider(Accounts, new Deposited({ cents: 1 }))
const when = given.when(new Deposit({ cents: 1 }))

describe("Given.decider", () => {
  it("takes the events of the decider, one by one or as a list", () => {
    Given.decider(Accounts)
    Given.decider(Accounts, [])
    Given.decider(Accounts, [new Deposited({ cents: 1 })])
    // @ts-expect-error an event of another kind
    Given.decider(Accounts, new Closed())
    // @ts-expect-error an event of another kind
    Given.decider(Accounts.decider("1"), [new Closed()])
  })

  it("takes the commands, events, states and errors of the decider, and needs what it needs", () => {
    expectTypeOf(when.then(new Deposited({ cents: 1 }))).toEqualTypeOf<Effect.Effect<void, never, Rates>>()
    expectTypeOf(when.thenFails("Refused")).toEqualTypeOf<Effect.Effect<void, never, Rates>>()
    expectTypeOf(given.thenState({ balance: 1 })).toEqualTypeOf<Effect.Effect<void>>()
    when.thenFails(new Refused({ why: "no" }))
    when.thenFails(({ why }) => why === "no")
    // @ts-expect-error a command of another kind
    given.when(new Closed())
    // @ts-expect-error an event of another kind
    when.then(new Closed())
    // @ts-expect-error a state of another kind
    when.thenState({ balance: "1" })
    // @ts-expect-error no such error
    when.thenFails("Overdrawn")
  })
})

const Manager = ProcessManager.make("manager", {
  from: Account,
  correlate: ProcessManager.byStreamId,
  state: Schema.Int,
  initial: () => 0,
  commands: [Deposit],
  timers: ["soon"]
}, { handle: { Deposited: () => undefined }, onTimer: { soon: () => undefined } })

describe("Given.process", () => {
  it("takes the events, timers, states and commands of the manager", () => {
    const test = Given.process(Manager, "1", new Deposited({ cents: 1 }), Given.fired("soon"), Given.passed("1 hour"))
    const step = test.whenTimer("soon")
    step.then({ state: 1, send: [new Deposit({ cents: 1 })], timers: { soon: "1 hour" }, ended: false })
    // @ts-expect-error no such timer
    test.whenTimer("later")
    // @ts-expect-error no such timer in its history
    Given.process(Manager, "1", Given.fired("later"))
    // @ts-expect-error an event of another kind
    test.when(new Closed())
    // @ts-expect-error a state of another kind
    step.then({ state: "1" })
    // @ts-expect-error no such timer
    step.then({ timers: { later: "1 hour" } })
    // @ts-expect-error a command of another kind
    step.then({ send: [new Closed()] })
  })
})

describe("Given.documents", () => {
  it("takes documents of the projection", () => {
    const Sums = Projection.documents("sums", {
      from: Account,
      state: Schema.Int,
      initial: () => 0,
      evolve: { Deposited: (sum) => sum }
    })
    expectTypeOf(Given.documents(Sums).then({ a: 1 })).toEqualTypeOf<Effect.Effect<void>>()
    // @ts-expect-error a document of another kind
    Given.documents(Sums).then({ a: "1" })
  })
})

describe("DeciderLaws", () => {
  it("asks for a layer of what deciding needs", () => {
    DeciderLaws.suite("accounts", Accounts, { layer: Layer.succeed(Rates, { of: 1 }) })
    // @ts-expect-error the rates are missing
    DeciderLaws.suite("accounts", Accounts)
    expectTypeOf(DeciderLaws.verify(Accounts)).toEqualTypeOf<Effect.Effect<number, DeciderLaws.LawBroken, Rates>>()
    // @ts-expect-error commands of another kind
    DeciderLaws.verify(Accounts, { commands: [Closed] })
  })
})

describe("Arbitraries", () => {
  it("make up the events of a category, and values of classes", () => {
    expectTypeOf(Arbitraries.events(Account)).toEqualTypeOf<Arbitrary.Arbitrary<Deposited>>()
    expectTypeOf(Arbitraries.of([Deposit, Closed])).toEqualTypeOf<Arbitrary.Arbitrary<Deposit | Closed>>()
  })
})

describe("Story", () => {
  it("needs what the story and its work need, without the store", () => {
    class Offered extends Context.Service<Offered, string>()("test/Offered") {}
    const work = Layer.effect(Offered, Effect.andThen(EventStore, Effect.map(Rates, () => "")))
    const story = Effect.andThen(Offered, Accounts.query("1"))
    type Needs<F> = F extends Effect.Effect<any, any, infer R> ? R : never
    const played = Story.play(work, story)
    expectTypeOf<Needs<typeof played>>().toEqualTypeOf<Rates>()
    // @ts-expect-error another answer
    Story.expect(Effect.succeed(1), "1")
  })
})
