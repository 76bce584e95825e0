/**
 * A bank account with a decider: commands that come as JSON, a refusal, a request that is sent twice, many withdrawals at
 * once, and the balance as it was.
 */
import { Console, Effect, Schema } from "effect"
import { Category, Decider, EventStore } from "effect-eventstore"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { owner: Schema.String }) {}
class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
const Account = Category.make("account", { id: Schema.String, events: [Opened, Deposited, Withdrawn] })

const Cents = Schema.Int.check(Schema.isGreaterThan(0))
class Open extends Schema.TaggedClass<Open>()("Open", { owner: Schema.NonEmptyString }) {}
class Deposit extends Schema.TaggedClass<Deposit>()("Deposit", { cents: Cents }) {}
class Withdraw extends Schema.TaggedClass<Withdraw>()("Withdraw", { cents: Cents }) {}

class NotOpen extends Schema.TaggedError<NotOpen>()("NotOpen", {}) {}
class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { balance: Schema.Int }) {}

const Accounts = Decider.make(Account, {
  commands: [Open, Deposit, Withdraw],
  initial: { isOpen: false, balance: 0 },
  evolve: {
    Opened: (state) => ({ ...state, isOpen: true }),
    Deposited: (state, { cents }) => ({ ...state, balance: state.balance + cents }),
    Withdrawn: (state, { cents }) => ({ ...state, balance: state.balance - cents })
  },
  decide: {
    // to open it once more changes nothing
    Open: ({ owner }, { isOpen }) => isOpen ? [] : [new Opened({ owner })],
    Deposit: ({ cents }, { isOpen }) =>
      isOpen ? Effect.succeed([new Deposited({ cents })]) : Effect.fail(new NotOpen()),
    Withdraw: Effect.fnUntraced(function*({ cents }: Withdraw, { balance }: { readonly balance: number }) {
      if (cents > balance) return yield* new Overdrawn({ balance })
      return [new Withdrawn({ cents })]
    })
  }
})

const program = Effect.gen(function*() {
  yield* Console.log(`not open yet: ${(yield* Effect.flip(Accounts.run("anna", new Deposit({ cents: 1 }))))._tag}`)
  yield* Accounts.run("anna", new Open({ owner: "Anna" }))
  const { position, state } = yield* Accounts.runUnknown("anna", { _tag: "Deposit", cents: 1000 })
  yield* Console.log(`deposited: ${state.balance}`)
  const refused = yield* Effect.flip(Accounts.runUnknown("anna", { _tag: "Withdraw", cents: "all" }))
  if (refused._tag === "CommandDecodeFailed") yield* Console.log(`no command: ${refused.command}, ${refused.field}`)

  const request = Accounts.run("anna", new Withdraw({ cents: 300 }), { commandId: "request-7" })
  const [first, second] = [yield* request, yield* request]
  yield* Console.log(`withdrawn: ${first.state.balance} left, version ${first.version}`)
  yield* Console.log(`sent twice: ${second.state.balance} left, version ${second.version}`)

  const withdrawals = yield* Effect.all(
    Array.from({ length: 10 }, () => Effect.result(Accounts.run("anna", new Withdraw({ cents: 100 })))),
    { concurrency: "unbounded" }
  )
  const done = withdrawals.filter(({ _tag }) => _tag === "Success").length
  yield* Console.log(`of 10 withdrawals at once: ${done} went through`)

  const now = yield* Accounts.query("anna")
  yield* Console.log(`now: ${now.state.balance} at version ${now.version}`)
  yield* Console.log(`at version 2: ${(yield* Accounts.query("anna", { version: 2 })).state.balance}`)
  yield* Console.log(`at position ${position}: ${(yield* Accounts.query("anna", { position })).state.balance}`)
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
