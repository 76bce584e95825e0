import { assert, layer as sharedLayer } from "@effect/vitest"
import { Effect, Schema, SchemaGetter, Stream } from "effect"
import { Boundary, Category, Decider, EventStore, PgliteEventStore, Snapshot, SnapshotStore } from "effect-eventstore"
import * as DeciderEntity from "effect-eventstore/Aggregate/DeciderEntity"
import { TestRunner } from "effect/cluster"

/** Keeps two digits. */
const Amount = Schema.String.pipe(Schema.decodeTo(Schema.Number, {
  decode: SchemaGetter.transform((text: string) => Number(text)),
  encode: SchemaGetter.transform((amount: number) => amount.toFixed(2))
}))
class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Amount }) {}
class Pay extends Schema.TaggedClass<Pay>()("Pay", { amount: Schema.Number }) {}

/** What cannot be read once it is stored. */
const Broken = Schema.String.pipe(Schema.decodeTo(Schema.Number.check(Schema.isGreaterThan(0)), {
  decode: SchemaGetter.transform(() => -1),
  encode: SchemaGetter.transform((amount: number) => String(amount))
}))
class Broke extends Schema.TaggedClass<Broke>()("Broke", { amount: Broken }) {}

let made = 0
const fresh = (options: { readonly cache?: Decider.Cache; readonly isSaved?: boolean } = {}) => {
  const name = `lossy${++made}`
  const category = Category.make(name, { id: Schema.String, events: [Paid, Broke] })
  const parts = {
    state: Schema.Struct({ sum: Schema.Number }),
    commands: [Pay],
    initial: { sum: 0 },
    evolve: {
      Paid: ({ sum }: { readonly sum: number }, { amount }: Paid) => ({ sum: sum + amount }),
      Broke: (state: { readonly sum: number }) => state
    },
    decide: { Pay: ({ amount }: Pay) => amount < 0 ? [new Broke({ amount: 1 })] : [new Paid({ amount })] }
  } as const
  const snapshot = Snapshot.make({ name, state: parts.state, policy: Snapshot.onDemand })
  return {
    category,
    plain: Decider.make(category, parts),
    payments: Decider.make(category, {
      ...parts,
      ...(options.cache === undefined ? {} : { cache: options.cache }),
      ...(options.isSaved === true ? { snapshot } : {})
    })
  }
}

const pay = (amount: number) => new Pay({ amount })

for (const [name, layer] of [["memory", EventStore.layerMemory], ["pglite", PgliteEventStore.layer()]] as const) {
  sharedLayer(layer, { excludeTestServices: true, timeout: "1 minute" })(`A codec that keeps less (${name})`, (it) => {
    for (const mode of ["checked", "trusted"] as const) {
      it.effect(`is in the states that a ${mode} cache keeps`, () =>
        Effect.gen(function*() {
          const { payments, plain } = fresh({ cache: { capacity: 10, mode } })
          yield* payments.run("1", pay(0.004))
          const { events, state } = yield* payments.run("1", pay(1.004))
          const { state: stored } = yield* plain.query("1")
          assert.deepStrictEqual([state, stored], [{ sum: 1 }, { sum: 1 }])
          assert.deepStrictEqual(events.map(({ event }) => event), [new Paid({ amount: 1 })])
          assert.deepStrictEqual((yield* payments.query("1", { consistency: "cached" })).state, stored)
        }))
    }

    it.effect("is in the states that are saved", () =>
      Effect.gen(function*() {
        const { payments, plain } = fresh({ isSaved: true, cache: { capacity: 10 } })
        yield* payments.run("1", pay(1.004))
        assert.isTrue(yield* payments.snapshot("1"))
        assert.deepStrictEqual((yield* payments.query("1")).state, (yield* plain.query("1")).state)
        assert.strictEqual(
          (yield* Stream.runCollect(SnapshotStore.list({ category: payments.category.name }))).length,
          1
        )
      }))

    it.effect("is in the answer of a command, so that it is the same when the command comes again", () =>
      Effect.gen(function*() {
        const { plain } = fresh()
        const first = yield* plain.run("1", pay(1.004), { commandId: "once" })
        assert.deepStrictEqual(yield* plain.run("1", pay(1.004), { commandId: "once" }), { ...first, isRepeated: true })
      }))

    it.effect("is in the states of a boundary", () =>
      Effect.gen(function*() {
        const { category, plain } = fresh()
        const both = Boundary.make(category.name, {
          streams: (amount: number) => ({
            one: Boundary.on(plain, amount > 0 ? "1" : "none"),
            other: Boundary.on(plain, "2")
          }),
          decide: (amount) => ({ one: [new Paid({ amount })], other: [new Paid({ amount })] })
        })
        const first = yield* both.run(2.005, { commandId: "once" })
        assert.deepStrictEqual(first.states, {
          one: (yield* plain.query("1")).state,
          other: (yield* plain.query("2")).state
        })
        assert.deepStrictEqual(yield* both.run(2.005, { commandId: "once" }), { ...first, isRepeated: true })
      }))

    it.effect("is in the state of a dynamic boundary", () =>
      Effect.gen(function*() {
        const { category } = fresh()
        const sums = Boundary.dynamic(category.name, {
          from: category,
          query: (amount: number) => amount > 0 ? [{ types: ["Paid"] }] : [],
          initial: 0,
          evolve: { Paid: (sum, { amount }) => sum + amount, Broke: (sum) => sum },
          decide: (amount) => EventStore.entry(category.stream("1"), [new Paid({ amount })])
        })
        const first = yield* sums.run(2.004, { commandId: "once" })
        assert.deepStrictEqual(yield* sums.run(2.004, { commandId: "once" }), { ...first, isRepeated: true })
      }))

    it.effect("is in the states that an entity decides on", () =>
      Effect.gen(function*() {
        const { plain } = fresh()
        const entity = DeciderEntity.make(plain)
        yield* Effect.gen(function*() {
          const sums = yield* Effect.forEach([1, 2, 3], () => entity.run("1", pay(1.004)), { concurrency: "unbounded" })
          assert.deepStrictEqual(sums.map(({ state }) => state.sum), [1, 2, 3])
          assert.deepStrictEqual((yield* plain.query("1")).state, { sum: 3 })
        }).pipe(Effect.provide(entity.toLayer()), Effect.provide(TestRunner.layer, { local: true }))
      }))

    it.effect("cannot be read back at all: the event is refused, and nothing stored", () =>
      Effect.gen(function*() {
        const { plain } = fresh()
        const error = yield* Effect.flip(plain.run("1", pay(-1)))
        assert.strictEqual(error._tag, "InvalidInput")
        assert.strictEqual((yield* plain.query("1")).version, 0)
      }))
  })
}
