import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, HashMap, Metric, Option, Schema, Tracer } from "effect"
import { Boundary, Category, Decider, EventStore, StoreError } from "effect-eventstore"

class Added extends Schema.TaggedClass<Added>()("Added", { by: Schema.Int }) {}
class Multiplied extends Schema.TaggedClass<Multiplied>()("Multiplied", { by: Schema.Int }) {}

/** Order matters here. */
const number = Decider.of({
  events: [Added, Multiplied],
  initial: 1,
  evolve: { Added: (n, { by }) => (n + by) % 1009, Multiplied: (n, { by }) => (n * by) % 1009 },
  decide: (by: number, n: number) => n < 0 ? [] : [new Added({ by }), new Multiplied({ by })]
})

const events = Arbitrary.array(Arbitrary.schema(Schema.Union([Added, Multiplied])))

describe("Decider", () => {
  it.effect.prop("folds in two parts as at once", [events, events], ([first, second]) =>
    Effect.sync(() => {
      const half = { ...number, initial: Decider.replay(number, first) }
      assert.strictEqual(Decider.replay(half, second), Decider.replay(number, [...first, ...second]))
    }))

  it.effect.prop(
    "keeps the sides of a pair apart, in whatever order they come",
    [events, events],
    ([left, right]) =>
      Effect.sync(() => {
        const both = Decider.pair(number, number)
        const [lefts, rights] = [left.map(Decider.left), right.map(Decider.right)]
        const expected = [Decider.replay(number, left), Decider.replay(number, right)]
        assert.deepStrictEqual([...Decider.replay(both, [...lefts, ...rights])], expected)
        const mixed = Array.from({ length: Math.max(left.length, right.length) }, (_, i) => [rights[i], lefts[i]])
          .flat().filter((one) => one !== undefined)
        assert.deepStrictEqual([...Decider.replay(both, mixed)], expected)
      })
  )

  it.effect.prop("keeps many apart by their keys", [Arbitrary.array(Arbitrary.schema(Schema.Literals(["a", "b"])))], ([
    keys
  ]) =>
    Effect.gen(function*() {
      const many = Decider.many<string>()(number)
      const all = keys.map((key, i) => ({ key, value: new Added({ by: i + 1 }) }))
      const states = Decider.replay(many, all)
      for (const key of ["a", "b"]) {
        const own = all.filter((one) => one.key === key).map(({ value }) => value)
        const expected = own.length === 0 ? Option.none() : Option.some(Decider.replay(number, own))
        assert.deepStrictEqual(HashMap.get(states, key), expected)
        const decided = yield* many.decide({ key, value: 2 }, states)
        assert.deepStrictEqual(decided.map((one) => one.key), [key, key])
      }
    }))

  it.effect.prop(
    "decides under other names as under its own",
    [events, Arbitrary.schema(Schema.Int)],
    ([history, by]) =>
      Effect.gen(function*() {
        const adapted = Decider.adaptState(
          Decider.mapEvents(
            Decider.mapCommands(number, ({ by }: { readonly by: number }) => by),
            {
              to: (event) => ({ wrapped: event }),
              from: (other: { readonly wrapped: Added | Multiplied } | "other") =>
                other === "other" ? undefined : other.wrapped
            }
          ),
          { initial: { n: 1, kept: "yes" }, get: ({ n }) => n, set: (state, n) => ({ ...state, n }) }
        )
        const state = Decider.replay(number, history)
        const wrapped = Decider.replay(adapted, ["other" as const, ...history.map((event) => ({ wrapped: event }))])
        assert.deepStrictEqual(wrapped, { n: state, kept: "yes" })
        const [own, other] = [yield* number.decide(by, state), yield* adapted.decide({ by }, wrapped)]
        assert.deepStrictEqual(other, own.map((event) => ({ wrapped: event })))
      })
  )

  it("throws where a function by tag is missing", () => {
    const category = Category.make("numbers", { id: Schema.String, events: [Added] })
    const complete = { initial: 0, evolve: { Added: () => 1 }, commands: [Added], decide: { Added: () => [] } }
    Decider.make(category, complete)
    assert.throws(() => Decider.make(category, { ...complete, evolve: {} as typeof complete.evolve }), /Added/)
    assert.throws(() => Decider.make(category, { ...complete, decide: {} as typeof complete.decide }), /Added/)
    assert.throws(() => Decider.make(category, { ...complete, commands: [Added, Added] }), /twice/)
  })

  it.effect("shows commands as spans, and counts what became of them", () =>
    Effect.gen(function*() {
      const category = Category.make("numbers", { id: Schema.String, events: [Added] })
      const Numbers = Decider.make(category, {
        initial: 0,
        evolve: { Added: (n, { by }) => n + by },
        decide: (by: number, n) => n + by < 0 ? Effect.fail("negative" as const) : by === 0 ? [] : [new Added({ by })]
      })
      const Both = Boundary.make("both", {
        streams: (id: string) => ({ one: Boundary.on(Numbers, id) }),
        decide: () => ({ one: [new Added({ by: 1 })] })
      })
      yield* Numbers.run("1", 5, { commandId: "a" })
      yield* Numbers.run("1", 5, { commandId: "a" })
      yield* Numbers.run("1", 0)
      yield* Effect.flip(Numbers.run("1", -9))
      const conflict = yield* Effect.flip(Numbers.run("1", 1, { expected: 7 }))
      assert.instanceOf(conflict, StoreError.WrongExpectedVersion)
      yield* Both.run("1")
      const counted = (yield* Metric.snapshot).flatMap(({ attributes, id, state }) =>
        id === "eventstore.decider.commands" && Number((state as { count: number }).count) > 0
          ? [`${attributes?.["decider"]} ${attributes?.["outcome"]} ${(state as { count: number }).count}`]
          : []
      )
      assert.deepStrictEqual(counted.sort(), [
        "both stored 1",
        "numbers conflict 1",
        "numbers nothing 1",
        "numbers refused 1",
        "numbers repeated 1",
        "numbers stored 1"
      ])
      const spans: Array<string> = []
      const tracer = Tracer.make({
        span: (options) => {
          spans.push(options.name)
          return new Tracer.NativeSpan(options)
        }
      })
      yield* Effect.withTracer(Numbers.run("2", 1), tracer)
      assert.deepStrictEqual(spans, ["eventstore.decider.run", "eventstore.append"])
    }).pipe(Effect.provide(EventStore.layerMemory), Effect.provideService(Metric.MetricRegistry, new Map())))
})
