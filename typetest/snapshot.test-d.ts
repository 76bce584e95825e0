/** What the types of snapshots promise; checked by the compiler, never run. */
import { Context, Effect, type Option, Schema } from "effect"
import { Category, type EventStore, Snapshot, SnapshotStore, type StoreError } from "effect-eventstore"
import { expectTypeOf } from "vitest"

class Rates extends Context.Service<Rates, { readonly of: (code: string) => Effect.Effect<number> }>()("test/Rates") {}
class Added extends Schema.TaggedClass<Added>()("Added", { cents: Schema.Int }) {}
const Account = Category.make("account", { id: Schema.String, events: [Added] })

class Balance extends Schema.Class<Balance>("Balance")({ cents: Schema.Int }) {}

const plain = Snapshot.make({ name: "plain", state: Balance, policy: Snapshot.never })
expectTypeOf(plain).toEqualTypeOf<Snapshot.Snapshot<Balance, never>>()

const chained = Snapshot.make({
  name: "chained",
  state: Snapshot
    .oldest(Schema.Struct({ euros: Schema.FiniteFromString }))
    .next(Schema.Struct({ cents: Schema.Number }), ({ euros }) => ({ cents: euros * 100 }))
    .currentEffect(
      Balance,
      ({ cents }) => Effect.map(Rates.use((rates) => rates.of("EUR")), (rate) => new Balance({ cents: cents * rate }))
    )
})
expectTypeOf(chained).toEqualTypeOf<Snapshot.Snapshot<Balance, Rates>>()

// @ts-expect-error: the upcast leads to another shape
Snapshot.oldest(Schema.String).next(Schema.Int, (text) => text)
// @ts-expect-error: the upcast leads to another state
Snapshot.oldest(Schema.String).current(Balance, (text) => text)
// @ts-expect-error: a chain without an end is no state
Snapshot.make({ name: "a", state: Snapshot.oldest(Schema.String) })

const stream = Account.stream("1")
expectTypeOf(SnapshotStore.load(chained, stream)).toEqualTypeOf<
  Effect.Effect<
    SnapshotStore.Loaded<Balance>,
    StoreError.InvalidInput | StoreError.StreamTombstoned | StoreError.StoreError,
    EventStore | Rates
  >
>()
expectTypeOf<SnapshotStore.Loaded<Balance>["state"]>().toEqualTypeOf<Option.Option<Balance>>()

const folded = SnapshotStore.fold(plain, stream, {
  initial: new Balance({ cents: 0 }),
  evolve: (balance, { event }) => new Balance({ cents: balance.cents + event.cents })
})
expectTypeOf<Effect.Services<typeof folded>>().toEqualTypeOf<EventStore>()
expectTypeOf<Effect.Success<typeof folded>>().toEqualTypeOf<SnapshotStore.Folded<Balance>>()

// @ts-expect-error: another state
export const wrongFold = SnapshotStore.fold(plain, stream, { initial: 0, evolve: (sum) => sum })
// @ts-expect-error: another state
export const wrongSave = SnapshotStore.save(plain, stream, { state: 0, mark: undefined })
// what a policy is asked is part of what a fold answers
export const isDue = (folded: SnapshotStore.Folded<Balance>, now: number) =>
  Snapshot.isDue(plain.policy, { ...folded, now })
