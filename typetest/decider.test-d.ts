// @effect-diagnostics missingEffectContext:off floatingEffect:off
/** What the types of deciders promise; checked by the compiler, never run. */
import { Context, Effect, type HashMap, Schedule, Schema } from "effect"
import { type AggregateError, Boundary, Category, Decider, Event, EventStore, Snapshot } from "effect-eventstore"
import { describe, expectTypeOf, it } from "vitest"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { owner: Schema.String }) {}
class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
class Deposit extends Schema.TaggedClass<Deposit>()("Deposit", { cents: Schema.Int }) {}
class Open extends Schema.TaggedClass<Open>()("Open", { owner: Schema.String }) {}
class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", {}) {}
class Blocked extends Schema.TaggedError<Blocked>()("Blocked", {}) {}
class Rates extends Context.Service<Rates, { readonly of: (currency: string) => number }>()("test/Rates") {}
class Tenants extends Context.Service<Tenants, { readonly id: string }>()("test/Tenants") {}

const AccountId = Schema.String.pipe(Schema.brand("AccountId"))
type AccountId = typeof AccountId.Type
const Account = Category.make("account", { id: AccountId, events: [Opened, Deposited] })
const id = AccountId.make("1")

const evolve = {
  Opened: (state: { readonly balance: number }) => state,
  Deposited: (state: { readonly balance: number }, { cents }: Deposited) => ({ balance: state.balance + cents })
}

describe("Decider.make", () => {
  it("hands functions by tag the state, the event and the command", () => {
    const Accounts = Decider.make(Account, {
      commands: [Open, Deposit],
      initial: { balance: 0 },
      evolve: {
        Opened: (state, event) => {
          expectTypeOf(event).toEqualTypeOf<Opened>()
          expectTypeOf(state).toEqualTypeOf<{ balance: number }>()
          return state
        },
        Deposited: ({ balance }, { cents }) => ({ balance: balance + cents })
      },
      decide: {
        Open: (command, state) => {
          expectTypeOf(command).toEqualTypeOf<Open>()
          expectTypeOf(state).toEqualTypeOf<{ balance: number }>()
          return [new Opened({ owner: command.owner })]
        },
        Deposit: ({ cents }, { balance }) =>
          balance < 0 ? Effect.fail(new Overdrawn()) : Effect.succeed([new Deposited({ cents })])
      }
    })
    const running = Accounts.run(id, new Open({ owner: "anna" }))
    expectTypeOf(running).toEqualTypeOf<
      Effect.Effect<
        Decider.Ran<{ balance: number }, Opened | Deposited>,
        Decider.RunError | Overdrawn,
        EventStore
      >
    >()
    expectTypeOf(Accounts.runUnknown(id, {})).toEqualTypeOf<
      Effect.Effect<
        Decider.Ran<{ balance: number }, Opened | Deposited>,
        Decider.RunError | Overdrawn | AggregateError.CommandDecodeFailed,
        EventStore
      >
    >()
    // a command may be plain data
    Accounts.run(id, { _tag: "Deposit", cents: 1 })
    // @ts-expect-error no such command
    Accounts.run(id, { _tag: "Close" })
    // @ts-expect-error the id has a brand
    Accounts.run("1", new Open({ owner: "anna" }))
  })

  it("takes the state from its schema, and holds what it begins with to it", () => {
    const options = {
      state: Schema.Struct({ balance: Schema.Int, status: Schema.Literals(["open", "closed"]) }),
      decide: () => []
    }
    type State = typeof options.state.Type
    const Accounts = Decider.make(Account, {
      ...options,
      initial: { balance: 0, status: "closed" },
      evolve: {
        Opened: (state) => {
          expectTypeOf(state).toEqualTypeOf<State>()
          return { ...state, status: "open" as const }
        },
        Deposited: (state) => state
      }
    })
    expectTypeOf(Effect.map(Accounts.query(id), ({ state }) => state)).toEqualTypeOf<
      Effect.Effect<State, Effect.Error<ReturnType<typeof Accounts.query>>, EventStore>
    >()
    Decider.make(Account, {
      ...options,
      initial: (id) => {
        expectTypeOf(id).toEqualTypeOf<AccountId>()
        return { balance: 0, status: "closed" as const }
      },
      evolve: { Opened: (state) => state, Deposited: (state) => state }
    })
    Decider.make(Account, {
      ...options,
      // @ts-expect-error no such status
      initial: { balance: 0, status: "new" },
      // @ts-expect-error and so what it begins with is not known
      evolve: { Opened: (state) => state, Deposited: (state) => ({ ...state, status: "new" }) }
    })
  })

  it("takes the state from its snapshot, and needs what that needs", () => {
    const State = Schema.Struct({ balance: Schema.Int, status: Schema.Literals(["open", "closed"]) })
    const Balance = Snapshot.make({
      name: "balance",
      state: Snapshot
        .oldest(Schema.Int)
        .currentEffect(
          State,
          (balance) =>
            Rates.use((rates) => Effect.succeed({ balance: balance * rates.of("EUR"), status: "open" as const }))
        )
    })
    const Accounts = Decider.make(Account, {
      initial: { balance: 0, status: "closed" },
      evolve: {
        Opened: (state) => {
          expectTypeOf(state).toEqualTypeOf<typeof State.Type>()
          return { ...state, status: "open" as const }
        },
        Deposited: (state, { cents }) => ({ ...state, balance: state.balance + cents })
      },
      decide: (_: Open, { status }) => status === "open" ? [] : [new Opened({ owner: "anna" })],
      snapshot: Balance,
      cache: { capacity: 10, mode: "trusted" }
    })
    expectTypeOf(Accounts.run(id, new Open({ owner: "anna" }))).toEqualTypeOf<
      Effect.Effect<Decider.Ran<typeof State.Type, Opened | Deposited>, Decider.RunError, EventStore | Rates>
    >()
    expectTypeOf<Effect.Services<ReturnType<typeof Accounts.query>>>().toEqualTypeOf<EventStore | Rates>()
    expectTypeOf<Effect.Success<ReturnType<typeof Accounts.snapshot>>>().toEqualTypeOf<boolean>()
    Accounts.query(id, { consistency: "cached" })
    const options = {
      evolve: {
        Opened: (state: { readonly sum: number }) => state,
        Deposited: (state: { readonly sum: number }) => state
      },
      decide: ({ owner }: Open) => [new Opened({ owner })]
    }
    // @ts-expect-error another state than the one that is saved
    Decider.make(Account, { ...options, initial: { sum: 0 }, snapshot: Balance })
    const Sum = Schema.Struct({ sum: Schema.Int })
    // @ts-expect-error another state than the one that is declared
    Decider.make(Account, { ...options, state: Sum, initial: { sum: 0 }, snapshot: Balance })
    // @ts-expect-error no such mode
    Decider.make(Account, { ...options, initial: { sum: 0 }, cache: { capacity: 10, mode: "blind" } })
    Boundary.make("both", {
      streams: (name: string) => ({ one: Boundary.on(Accounts, AccountId.make(name)) }),
      decide: (_, { one }) => {
        expectTypeOf(one).toEqualTypeOf<typeof State.Type>()
        return { one: [] }
      }
    })
  })

  it("asks for a function for each event, and for no other", () => {
    Decider.make(Account, {
      initial: { balance: 0 },
      // @ts-expect-error there is no function for Deposited
      evolve: { Opened: (state) => state },
      decide: () => []
    })
    Decider.make(Account, {
      initial: { balance: 0 },
      // @ts-expect-error there is no such event
      evolve: { ...evolve, Closed: (state: { balance: number }) => state },
      decide: () => []
    })
    Decider.make(Account, {
      initial: { balance: 0 },
      // @ts-expect-error not the state
      evolve: { ...evolve, Deposited: () => 1 },
      decide: () => []
    })
  })

  it("asks for a function for each command, and for no other", () => {
    Decider.make(Account, {
      commands: [Open, Deposit],
      initial: { balance: 0 },
      evolve,
      // @ts-expect-error there is no function for Deposit
      decide: { Open: () => [] }
    })
    Decider.make(Account, {
      commands: [Open],
      initial: { balance: 0 },
      evolve,
      decide: {
        Open: () => [],
        // @ts-expect-error there is no such command
        Deposit: () => []
      }
    })
  })

  it("lets decisions lead to events of the category only", () => {
    class Foreign extends Schema.TaggedClass<Foreign>()("Foreign", {}) {}
    Decider.make(Account, {
      commands: [Open],
      initial: { balance: 0 },
      evolve,
      // @ts-expect-error an event of another category
      decide: { Open: () => [new Foreign()] }
    })
    Decider.make(Account, {
      commands: [Open],
      initial: { balance: 0 },
      evolve,
      // @ts-expect-error an event of another category
      decide: { Open: () => Effect.succeed([new Foreign()]) }
    })
  })

  it("takes the types of commands that were not declared from its functions", () => {
    const byTag = Decider.make(Account, {
      initial: { balance: 0 },
      evolve,
      decide: {
        Put: ({ cents }: { readonly _tag: "Put"; readonly cents: number }, state) => {
          expectTypeOf(state).toEqualTypeOf<{ balance: number }>()
          return [new Deposited({ cents })]
        },
        Open: (command: Open) => [new Opened({ owner: command.owner })]
      }
    })
    expectTypeOf(byTag.run).parameter(1).toEqualTypeOf<{ readonly _tag: "Put"; readonly cents: number } | Open>()
    const plain = Decider.make(Account, {
      initial: { balance: 0 },
      evolve,
      decide: (cents: number, { balance }) => balance > 9 ? [] : [new Deposited({ cents })]
    })
    expectTypeOf(plain.run).parameter(1).toEqualTypeOf<number>()
  })

  it("fails with what its functions fail with, and needs what they and its upcasters need", () => {
    const Converted = Event
      .oldest(Schema.Struct({}))
      .currentEffect(Deposited, () => Tenants.use(() => Effect.succeed({ cents: 1 })))
    const Accounts = Decider.make(Category.make("old", { id: Schema.String, events: [Converted] }), {
      commands: [Open, Deposit],
      initial: 0,
      evolve: { Deposited: (sum, { cents }) => sum + cents },
      decide: {
        Open: () => Rates.use(() => Effect.fail(new Blocked())),
        Deposit: ({ cents }, sum) => sum > 9 ? Effect.fail(new Overdrawn()) : Effect.succeed([new Deposited({ cents })])
      },
      retry: Schedule.recurs(3)
    })
    const running = Accounts.run("1", new Open({ owner: "" }))
    expectTypeOf<Effect.Error<typeof running>>().toEqualTypeOf<Decider.RunError | Blocked | Overdrawn>()
    expectTypeOf<Effect.Services<typeof running>>().toEqualTypeOf<EventStore | Rates | Tenants>()
    const asking = Accounts.query("1")
    expectTypeOf<Effect.Services<typeof asking>>().toEqualTypeOf<EventStore | Tenants>()
  })

  it("is a fold for a boundary, and a decider without a store", () => {
    const Accounts = Decider.make(Account, { commands: [Open], initial: { balance: 0 }, evolve, decide: () => [] })
    expectTypeOf(Accounts).toExtend<Decider.Fold<AccountId, Opened | Deposited, Opened | Deposited, any, never>>()
    expectTypeOf(Accounts.decider(id)).toEqualTypeOf<
      Decider.Decider<Open, Opened | Deposited, { balance: number }, never, never>
    >()
  })
})

describe("Decider.of and combinators", () => {
  const account = Decider.of({
    events: [Deposited],
    commands: [Deposit],
    initial: 0,
    evolve: { Deposited: (sum, { cents }) => sum + cents },
    decide: {
      Deposit: ({ cents }, sum) => sum > 9 ? Effect.fail(new Blocked()) : Effect.succeed([new Deposited({ cents })])
    }
  })
  const counter = Decider.of({
    initial: 0,
    evolve: (count: number, by: number) => count + by,
    decide: (command: "up" | "down") => [command === "up" ? 1 : -1]
  })

  it("knows commands, events, state, errors", () => {
    expectTypeOf(account).toEqualTypeOf<Decider.Decider<Deposit, Deposited, number, Blocked, never>>()
    expectTypeOf(counter).toEqualTypeOf<Decider.Decider<"up" | "down", number, number, never, never>>()
  })

  it("combines them", () => {
    expectTypeOf(Decider.pair(account, counter)).toEqualTypeOf<
      Decider.Decider<
        Decider.Left<Deposit> | Decider.Right<"up" | "down">,
        Decider.Left<Deposited> | Decider.Right<number>,
        readonly [number, number],
        Blocked,
        never
      >
    >()
    expectTypeOf(Decider.many<string>()(counter)).toEqualTypeOf<
      Decider.Decider<
        Decider.Keyed<string, "up" | "down">,
        Decider.Keyed<string, number>,
        HashMap.HashMap<string, number>,
        never,
        never
      >
    >()
    expectTypeOf(Decider.mapCommands(counter, (isUp: boolean) => isUp ? "up" : "down")).toEqualTypeOf<
      Decider.Decider<boolean, number, number, never, never>
    >()
    expectTypeOf(Decider.mapEvents(counter, {
      to: (by) => new Deposited({ cents: by }),
      from: (event: Deposited) => event.cents
    })).toEqualTypeOf<Decider.Decider<"up" | "down", Deposited, number, never, never>>()
    expectTypeOf(Decider.adaptState(counter, {
      initial: { clicks: 0 },
      get: ({ clicks }) => clicks,
      set: (state, clicks) => ({ ...state, clicks })
    })).toEqualTypeOf<Decider.Decider<"up" | "down", number, { clicks: number }, never, never>>()
    expectTypeOf(Decider.replay(account, [new Deposited({ cents: 1 })])).toEqualTypeOf<number>()
  })

  it("ties what was combined to a category", () => {
    const Counters = Decider.make(
      Category.make("counter", { id: Schema.String, events: [Deposited] }),
      Decider.mapEvents(counter, {
        to: (cents: number) => new Deposited({ cents }),
        from: ({ cents }: Deposited) => cents
      })
    )
    const running = Counters.run("1", "up")
    expectTypeOf<Effect.Success<typeof running>>().toEqualTypeOf<Decider.Ran<number, Deposited>>()
  })
})

describe("Boundary", () => {
  const balance = Decider.fold(Account, { initial: 0, evolve: { Opened: (sum) => sum, Deposited: (sum) => sum } })
  const Names = Category.make("name", { id: Schema.String, events: [Open] })
  const name = Decider.fold(Names, { initial: "", evolve: { Open: (_, { owner }) => owner } })
  const streams = (command: Deposit) => {
    expectTypeOf(command).toEqualTypeOf<Deposit>()
    return { account: Boundary.on(balance, id), name: Boundary.on(name, "1") }
  }

  it("knows the states and the events of its streams", () => {
    const both = Boundary.make("both", {
      streams,
      decide: (command, { account, name }) => {
        expectTypeOf(command).toEqualTypeOf<Deposit>()
        expectTypeOf(account).toEqualTypeOf<number>()
        expectTypeOf(name).toEqualTypeOf<string>()
        return account > 9 ? Effect.fail(new Blocked()) : Effect.succeed({ account: [new Deposited({ cents: 1 })] })
      }
    })
    const running = both.run(new Deposit({ cents: 1 }))
    expectTypeOf<Effect.Error<typeof running>>().toEqualTypeOf<Boundary.RunError | Blocked>()
    expectTypeOf<Effect.Services<typeof running>>().toEqualTypeOf<EventStore>()
    expectTypeOf<Effect.Success<typeof running>["states"]>().toEqualTypeOf<
      { readonly account: number; readonly name: string }
    >()
    expectTypeOf<Effect.Success<typeof running>["events"][number]["event"]>().toEqualTypeOf<
      Opened | Deposited | Open
    >()
  })

  it("refuses events of another stream, and for streams that take no part", () => {
    Boundary.make("both", {
      streams,
      // @ts-expect-error an event of the other stream
      decide: () => ({ account: [new Open({ owner: "" })] })
    })
    Boundary.make("both", {
      streams,
      // @ts-expect-error no such stream
      decide: () => ({ acount: [new Deposited({ cents: 1 })], name: [] })
    })
    // @ts-expect-error the id has a brand
    Boundary.on(balance, "1")
  })

  it("knows the state and the command of a dynamic one", () => {
    const dynamic = Boundary.dynamic("dynamic", {
      from: [Account, Names],
      query: ({ cents }: Deposit) => [{ tags: [String(cents)] }],
      initial: 0,
      evolve: {
        Opened: (sum) => sum,
        Deposited: (sum, { cents }) => sum + cents,
        Open: (sum) => sum
      },
      decide: (command, sum) => {
        expectTypeOf(command).toEqualTypeOf<Deposit>()
        expectTypeOf(sum).toEqualTypeOf<number>()
        return Rates.use(() => Effect.succeed([]))
      }
    })
    const running = dynamic.run(new Deposit({ cents: 1 }))
    expectTypeOf<Effect.Services<typeof running>>().toEqualTypeOf<EventStore | Rates>()
    expectTypeOf<Effect.Success<typeof running>["state"]>().toEqualTypeOf<number>()
  })
})
