import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Context, Effect, HashMap, Layer, Option, Schema, SchemaGetter } from "effect"
import { Category, Decider, Event, Snapshot } from "effect-eventstore"
import { Arbitraries, DeciderLaws, GoldenSamples } from "effect-eventstore/Testing"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
class Emptied extends Schema.TaggedClass<Emptied>()("Emptied", {}) {}
class Add extends Schema.TaggedClass<Add>()("Add", { sku: Schema.String, quantity: Schema.Int }) {}
class Empty extends Schema.TaggedClass<Empty>()("Empty", {}) {}
class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

const Cart = Category.make("cart", { id: Schema.String, events: [Added, Emptied] })
const State = Schema.Struct({
  items: Schema.HashMap(Schema.String, Schema.Int),
  note: Schema.optionalKey(Schema.String)
})
type State = typeof State.Type

const right = {
  initial: { items: HashMap.empty() } as State,
  evolve: {
    Added: (state: State, { quantity, sku }: Added): State => ({
      items: HashMap.set(state.items, sku, Option.getOrElse(HashMap.get(state.items, sku), () => 0) + quantity)
    }),
    Emptied: (): State => ({ items: HashMap.empty() })
  },
  decide: {
    Add: ({ quantity, sku }: Add): Effect.Effect<ReadonlyArray<Added | Emptied>, Refused> =>
      quantity > 0 ? Effect.succeed([new Added({ sku, quantity })]) : Effect.fail(new Refused()),
    Empty: (_: Empty, { items }: State): Effect.Effect<ReadonlyArray<Added | Emptied>> =>
      Effect.succeed(HashMap.isEmpty(items) ? [] : [new Emptied()])
  }
}
const commands = [Add, Empty] as const
const make = (changes: Partial<typeof right>, category = Cart) =>
  Decider.make(category, { ...right, ...changes, commands, state: State })

// the suite as a user would write it
DeciderLaws.suite("carts", make({}))

class Bonus extends Context.Service<Bonus, { readonly cents: number }>()("test/Bonus") {}
const counter = Decider.of({
  initial: 0,
  evolve: (sum: number, by: number) => sum + by,
  decide: (by: number) => Bonus.use(({ cents }) => Effect.succeed([by, cents]))
})
DeciderLaws.suite("a pure decider with a service", counter, {
  commands: Schema.Int,
  events: Schema.Int,
  state: Schema.Int,
  layer: Layer.succeed(Bonus, { cents: 3 })
})

const broken = (
  changes: Partial<typeof right>,
  options: Parameters<typeof DeciderLaws.verify<any, any, any, any, any>>[1] = {}
) => Effect.flip(DeciderLaws.verify(make(changes), { seed: 1, ...options }))

describe("DeciderLaws", () => {
  it.effect("says how many laws hold", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* DeciderLaws.verify(make({})), 4)
      const { evolve, initial, decide } = make({}).decider("1")
      assert.strictEqual(yield* DeciderLaws.verify({ evolve, initial, decide }, { commands }), 3)
    }))

  it.effect("decodes stored samples of every version, and folds them behind whatever happened", () =>
    Effect.gen(function*() {
      class Renamed extends Context.Service<Renamed, (sku: string) => string>()("test/Renamed") {}
      const chained = Event.oldest(Schema.Struct({ sku: Schema.String })).currentEffect(
        Added,
        ({ sku }) => Renamed.useSync((renamed) => new Added({ sku: renamed(sku), quantity: sku === "many" ? 9 : 1 }))
      )
      const Old = Category.make("cart", { id: Schema.String, events: [chained, Emptied] })
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "laws-"))),
        (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
      )
      const file = Path.join(directory, "samples.json")
      const sample = (type: string, schemaVersion: number, data: object) => ({
        category: "cart",
        type,
        schemaVersion,
        data
      })
      const write = (...samples: ReadonlyArray<object>) => Fs.writeFileSync(file, JSON.stringify({ samples }))
      const all = [
        sample("Added", 1, { sku: "tea" }),
        sample("Added", 2, { sku: "cup", quantity: 2 }),
        sample("Emptied", 1, {})
      ]
      const verify = (changes: Partial<typeof right> = {}) =>
        DeciderLaws.verify(make(changes, Old as unknown as typeof Cart), { samples: file, seed: 1 }).pipe(
          Effect.provideService(Renamed, (sku) => `new ${sku}`)
        )
      write(...all)
      assert.strictEqual(yield* verify(), 5)
      const decoded = yield* GoldenSamples.read(Old, { file }).pipe(
        Effect.provideService(Renamed, (sku) => `new ${sku}`)
      )
      assert.deepStrictEqual(decoded.map(({ events, sample }) => [sample.schemaVersion, events]), [
        [1, [new Added({ sku: "new tea", quantity: 1 })]],
        [2, [new Added({ sku: "cup", quantity: 2 })]],
        [1, [new Emptied()]]
      ])

      write(...all.slice(1))
      const missing = yield* Effect.flip(verify())
      assert.match(missing.law, /decodes the stored samples of every version/)
      assert.match(missing.problem, /cart: Added version 1 has no sample/)
      write(...all, sample("Added", 1, { sku: 7 }))
      assert.match((yield* Effect.flip(verify())).problem, /cart: Added version 1: .*Expected string/s)
      write(...all, sample("Removed", 1, {}))
      assert.match((yield* Effect.flip(verify())).problem, /Removed version 1 is not declared any more/)
      // one that no made up event and no decision comes to
      write(...all, sample("Added", 1, { sku: "many" }))
      const folding = yield* Effect.flip(verify({
        evolve: {
          ...right.evolve,
          Added: (state, event) => {
            if (event.sku === "new many") throw new Error("too many")
            return right.evolve.Added(state, event)
          }
        }
      }))
      assert.match(
        folding.problem,
        /cart: Added version 1 reads as Added .*new many.*, which evolve cannot fold.*too many/s
      )
      assert.match(folding.counterexample, /^{ commands: \[\], events: \[\] }$/)
    }).pipe(Effect.scoped))

  it("takes samples of a category only", () => {
    const { decide, evolve, initial } = make({}).decider("1")
    assert.throws(
      () => DeciderLaws.suite("pure", { decide, evolve, initial }, { commands, samples: "samples.json" }),
      /samples.*category/
    )
  })

  it.effect("finds an event that cannot be folded", () =>
    Effect.gen(function*() {
      const Added = (state: State, event: Added) => {
        if (event.quantity > 1) throw new Error("too many")
        return right.evolve.Added(state, event)
      }
      const decider = { ...make({ evolve: { ...right.evolve, Added } }).decider("1") }
      const error = yield* Effect.flip(DeciderLaws.verify(decider, { commands, seed: 1 }))
      assert.match(error.law, /decides only what it can fold/)
      assert.match(error.problem, /^Add .* leads to Added .*, which evolve cannot fold: Error: too many/)
      // the smallest there is
      assert.match(error.counterexample, /^{ commands: \[ Add { quantity: 2, sku: "" } \], events: \[\] }$/)
    }))

  it.effect("finds an event that the category does not store, or reads otherwise", () =>
    Effect.gen(function*() {
      const Other = Category.make("cart", { id: Schema.String, events: [Added] })
      const other = yield* Effect.flip(
        DeciderLaws.verify(make({}, Other as unknown as typeof Cart), { seed: 1 })
      )
      assert.match(other.problem, /leads to Emptied {}, which cannot be stored: .*does not declare the type Emptied/)

      // a field that is made up anew whenever it is read
      let reads = 0
      class Read extends Schema.TaggedClass<Read>()("Read", {
        times: Schema.Int.pipe(Schema.decodeTo(Schema.Int, {
          decode: SchemaGetter.transform(() => reads++),
          encode: SchemaGetter.transform((times) => times)
        }))
      }) {}
      const Reads = Category.make("reads", { id: Schema.String, events: [Read] })
      const reading = Decider.make(Reads, {
        initial: 0,
        evolve: { Read: (sum, { times }) => sum + times },
        decide: (by: number) => [new Read({ times: by })]
      })
      const otherwise = yield* Effect.flip(DeciderLaws.verify(reading, { commands: Schema.Int, seed: 1 }))
      assert.match(otherwise.problem, /leads to Read { times: .* }, which reads as \[ Read .* when it was stored/)
    }))

  it.effect("finds an evolve that changes the state, the event or remembers something", () =>
    Effect.gen(function*() {
      const onState = yield* broken({
        evolve: {
          ...right.evolve,
          Added: (state, event) => {
            ;(state as { note?: string }).note = event.sku
            return state
          }
        }
      })
      assert.match(onState.law, /^changes neither/)
      assert.match(onState.problem, /^evolve fails on what is frozen, state { items.*note/)

      const onEvent = yield* broken({
        evolve: {
          ...right.evolve,
          Added: (state, event) => {
            ;(event as { quantity: number }).quantity = 1
            return right.evolve.Added(state, event)
          }
        }
      })
      assert.match(onEvent.law, /changes neither/)
      assert.match(onEvent.problem, /^evolve fails on what is frozen, .*event Added .*read only/)

      let times = 0
      const remembers = yield* broken({
        evolve: { ...right.evolve, Added: (state) => ({ ...state, note: `${times++}` }) }
      })
      assert.match(remembers.law, /folds the same events into the same state/)
      assert.match(remembers.problem, /folded at once, and .* in parts of 0 and the rest/)
    }))

  it.effect("finds a decide that changes the state", () =>
    Effect.gen(function*() {
      const error = yield* broken({
        decide: {
          ...right.decide,
          Empty: (_, state) => {
            ;(state as { note?: string }).note = "emptied"
            return Effect.succeed([])
          }
        }
      })
      assert.match(error.message, /decide fails on what is frozen, state .*: .*note/)
    }))

  it.effect("finds a state that does not survive being saved", () =>
    Effect.gen(function*() {
      // a note that the schema of the state forgets
      const Less = Schema.Struct({ items: Schema.HashMap(Schema.String, Schema.Int) })
      const evolve = {
        Added: ({ note = "", ...state }: State, event: Added) => ({
          ...right.evolve.Added(state, event),
          note: `${note}!`
        }),
        Emptied: right.evolve.Emptied
      }
      const error = yield* broken({ evolve }, { state: Less as never })
      assert.match(error.law, /goes on from a state that was saved/)
      assert.match(error.problem, /folded at once, and .* from the state that was saved after 1: {"items"/)
      const saved = Snapshot.make({ name: "carts", state: Less as Schema.Codec<any> })
      assert.match((yield* broken({ evolve }, { state: saved })).law, /saved/)
      const refused = yield* broken({}, {
        state: Schema.Struct({ items: Schema.HashMap(Schema.String, Schema.Int.check(Schema.isLessThan(3))) }) as never
      })
      assert.match(refused.problem, /^the state .* does not fit its schema/)
    }))

  it.effect("prints the seed and what replays a counterexample, and finds it again", () =>
    Effect.gen(function*() {
      const changes = {
        evolve: { ...right.evolve, Emptied: (): State => Effect.runSync(Effect.die(new Error("no"))) }
      }
      const first = yield* broken(changes, { seed: "a" })
      const again = yield* broken(changes, { seed: "a" })
      assert.strictEqual(again.message, first.message)
      assert.match(first.message, /^It is no law that it [^]*\nCounterexample: { [^]* }\nSeed: "a", replay: "/)
      const replayed = yield* broken(changes, { replay: first.replay })
      assert.strictEqual(replayed.counterexample, first.counterexample)
      // mended
      yield* DeciderLaws.verify(make({}), { replay: first.replay })
    }))

  it("asks for commands where none are declared", () => {
    const { decider } = make({})
    assert.throws(() => DeciderLaws.suite("none", decider("1")), /no commands to try/)
  })
})

describe("Arbitraries", () => {
  const versions = Event.oldest(Schema.Struct({ sku: Schema.String })).current(Added, (v1) => ({ ...v1, quantity: 1 }))
  const Texts = Category.make("texts", { id: Schema.String, events: [versions, Emptied, Event.dropped("Old")] })

  it.effect.prop(
    "make up what a category writes today, and can store",
    [Arbitraries.events(Texts)],
    ([event]) =>
      Effect.gen(function*() {
        assert.isTrue(event instanceof Added || event instanceof Emptied)
        yield* Texts.codec.encode(event)
      })
  )

  it.effect("make up every kind of event and command", () =>
    Effect.gen(function*() {
      const tags = <A extends { readonly _tag: string }>(arbitrary: Arbitrary.Arbitrary<A>) =>
        Effect.map(
          Arbitrary.sampleEffect(arbitrary, { count: 100, seed: 1 }),
          (all) => [...new Set(all.map(({ _tag }) => _tag))].sort()
        )
      assert.deepStrictEqual(yield* tags(Arbitraries.events(Texts)), ["Added", "Emptied"])
      assert.deepStrictEqual(yield* tags(Arbitraries.of(commands)), ["Add", "Empty"])
      assert.deepStrictEqual(yield* tags(Arbitraries.of(Add)), ["Add"])
    }))

  it.effect("leave out what no store can keep", () =>
    Effect.gen(function*() {
      class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.Literals(["a\0b", "fine", "\ud800"]) }) {}
      const Notes = Category.make("notes", { id: Schema.String, events: [Noted] })
      const all = yield* Arbitrary.sampleEffect(Arbitraries.events(Notes), { count: 50, seed: 1 })
      assert.deepStrictEqual([...new Set(all.map(({ text }) => text))], ["fine"])
    }))

  it("say that a category writes nothing any more", () => {
    const Gone = Category.make("gone", { id: Schema.String, events: [Event.dropped("Old")] })
    assert.throws(() => Arbitraries.events(Gone), /gone writes no events any more/)
  })
})
