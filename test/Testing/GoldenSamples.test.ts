import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { Category, Event } from "effect-eventstore"
import { GoldenSamples } from "effect-eventstore/Testing"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String, at: Schema.Date }) {}
class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}

class Prices extends Context.Service<Prices, { readonly of: (sku: string) => number }>()("test/Prices") {}
class Priced extends Schema.TaggedClass<Priced>()("Priced", { sku: Schema.String, price: Schema.Int }) {}

const versions = Event
  .oldest(Schema.Struct({ sku: Schema.String }))
  .next(Schema.Struct({ sku: Schema.String, qty: Schema.Number }), (v1) => ({ ...v1, qty: 1 }))
  .current(Added, (v2) => ({ sku: v2.sku, quantity: Math.trunc(v2.qty) }))

const Cart = Category.make("cart", { id: Schema.String, events: [Opened, versions, Event.dropped("Debugged")] })

const priced = Event.oldest(Schema.Struct({ sku: Schema.String })).currentEffect(
  Priced,
  (v1) => Prices.use((prices) => Effect.succeed({ ...v1, price: prices.of(v1.sku) }))
)
const Catalog = Category.make("catalog", { id: Schema.String, events: [priced] })

// the suite as a user would write it, on a file under version control
GoldenSamples.suite([Cart, Catalog], {
  file: Path.join(import.meta.dirname, "../fixtures/golden-samples.json"),
  layer: Layer.succeed(Prices, { of: (sku) => sku.length })
})

const good: ReadonlyArray<GoldenSamples.Sample> = [
  { category: "cart", type: "Opened", schemaVersion: 1, data: { customer: "c", at: "2024-02-29T00:00:00.000Z" } },
  { category: "cart", type: "Added", schemaVersion: 1, data: { sku: "a" } },
  { category: "cart", type: "Added", schemaVersion: 2, data: { sku: "a", qty: 2 } },
  { category: "cart", type: "Added", schemaVersion: 3, data: { sku: "a", quantity: 2 } }
]

const fileOf = (content: unknown) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "golden-"))),
      (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
    ),
    (directory) => {
      const file = Path.join(directory, "samples.json")
      if (content !== undefined) Fs.writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content))
      return file
    }
  )

const problems = (content: unknown, options = { write: false }) =>
  Effect.gen(function*() {
    const file = yield* fileOf(content)
    const error = yield* Effect.flip(GoldenSamples.verify([Cart], { file, ...options }))
    return error.problems
  })

describe("GoldenSamples", () => {
  it.effect("passes where every version has a sample that decodes", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* GoldenSamples.verify([Cart], { file: yield* fileOf({ samples: good }) }), 4)
    }))

  it.effect("names every missing sample, and how to get it", () =>
    Effect.gen(function*() {
      const [opened, first, second, current] = yield* problems(undefined)
      assert.match(opened!, /^cart: Opened version 1 has no sample in .*GOLDEN_SAMPLES=write/)
      assert.match(first!, /^cart: Added version 1 has no sample .*copy one from your log/)
      assert.match(second!, /^cart: Added version 2 has no sample .*copy one from your log/)
      assert.match(current!, /^cart: Added version 3 has no sample .*GOLDEN_SAMPLES=write/)
    }))

  it.effect("says which sample does not decode, and why", () =>
    Effect.gen(function*() {
      const broken = good.map((sample) => sample.schemaVersion === 2 ? { ...sample, data: { sku: "a" } } : sample)
      const [problem, ...others] = yield* problems({ samples: broken })
      assert.match(problem!, /^cart: Added version 2: .*Missing key[^]*qty/)
      assert.deepStrictEqual(others, [])
    }))

  it.effect("notices a field that today's class loses", () =>
    Effect.gen(function*() {
      const [, , , current] = good
      const data = { sku: "a", quantity: 2, colour: "red" }
      const found = yield* problems({ samples: [...good.slice(0, 3), { ...current!, data }] })
      assert.strictEqual(found.length, 1)
      assert.match(found[0]!, /^cart: Added version 3: data\["colour"\] of the sample is lost or changed/)
    }))

  it.effect("notices an upcaster that makes what today's class does not take", () =>
    Effect.gen(function*() {
      const wrong = Event.oldest(Schema.Struct({ sku: Schema.String })).current(
        Added,
        (v1) => ({ ...v1, quantity: 0.5 })
      )
      const category = Category.make("cart", { id: Schema.String, events: [wrong], undecodable: "skip" })
      const samples = [good[1], { ...good[3], schemaVersion: 2 }]
      const error = yield* Effect.flip(GoldenSamples.verify([category], { file: yield* fileOf({ samples }) }))
      assert.strictEqual(error.problems.length, 1)
      assert.match(error.problems[0]!, /^cart: Added version 1: /)
    }))

  it.effect("notices a type or version that is not declared any more", () =>
    Effect.gen(function*() {
      const gone = [{ ...good[0], type: "Closed" }, { ...good[3], schemaVersion: 4 }]
      const [closed, newer] = yield* problems({ samples: [...good, ...gone] })
      assert.match(closed!, /^cart: Closed version 1 is not declared any more/)
      assert.match(newer!, /^cart: Added version 4 is not declared any more/)
    }))

  it.effect("needs no sample of a dropped type, and minds none, of whatever version", () =>
    Effect.gen(function*() {
      const category = Category.make("cart", { id: Schema.String, events: [Opened, Event.dropped("Added")] })
      const verify = (samples: ReadonlyArray<unknown>) =>
        Effect.flatMap(fileOf({ samples }), (file) => GoldenSamples.verify([category], { file }))
      assert.strictEqual(yield* verify(good), 4)
      assert.strictEqual(yield* verify([good[0]]), 1)
    }))

  it.effect("leaves samples of other categories alone", () =>
    Effect.gen(function*() {
      const other = { category: "other", type: "Any", schemaVersion: 9, data: null }
      assert.strictEqual(yield* GoldenSamples.verify([Cart], { file: yield* fileOf({ samples: [...good, other] }) }), 5)
    }))

  it.effect("writes a sample of each current version where asked, the same each time, and keeps the others", () =>
    Effect.gen(function*() {
      const old = { samples: good.slice(1, 3) }
      const [a, b] = [yield* fileOf(old), yield* fileOf(old)]
      assert.strictEqual(yield* GoldenSamples.verify([Cart], { file: a, write: true }), 4)
      assert.strictEqual(yield* GoldenSamples.verify([Cart], { file: b, write: true }), 4)
      const written = Fs.readFileSync(a, "utf8")
      assert.strictEqual(Fs.readFileSync(b, "utf8"), written)
      const { samples } = JSON.parse(written) as { readonly samples: ReadonlyArray<GoldenSamples.Sample> }
      assert.deepStrictEqual(samples.map(({ schemaVersion, type }) => `${type} ${schemaVersion}`), [
        "Added 1",
        "Added 2",
        "Added 3",
        "Opened 1"
      ])
      assert.deepStrictEqual(samples.slice(0, 2), [...old.samples])
      // and reads them without being asked to write
      assert.strictEqual(yield* GoldenSamples.verify([Cart], { file: a, write: false }), 4)
    }))

  it.effect("makes up no sample of an old version", () =>
    Effect.gen(function*() {
      const found = yield* problems(undefined, { write: true })
      assert.strictEqual(found.length, 2)
      for (const problem of found) assert.include(problem, "copy one from your log")
    }))

  it.effect("says that a file is none of samples", () =>
    Effect.gen(function*() {
      for (const content of ["", "not json", "[]", { samples: [{ category: "cart" }] }]) {
        const file = yield* fileOf(content)
        const error = yield* Effect.flip(GoldenSamples.verify([Cart], { file }))
        assert.match(error.message, /is not a file of samples/)
      }
    }))
})
