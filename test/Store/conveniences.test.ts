import { assert, it, layer } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Category, EventStore, Limits, StoreError } from "effect-eventstore"
import { SqlError } from "effect/sql"

class Counted extends Schema.TaggedClass<Counted>()("Counted", { n: Schema.Int }) {
}
const Counter = Category.make("counter", { id: Schema.String, events: [Counted] })

layer(EventStore.layerMemory)("EventStore", (it) => {
  it.effect("takes Infinity where no bound is meant", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const stream = Counter.stream("infinite")
      yield* store.append(stream, [new Counted({ n: 1 }), new Counted({ n: 2 })])
      const numbers = (options: Parameters<typeof store.read>[1]) =>
        Effect.map(Stream.runCollect(store.read(stream, options)), (events) => events.map(({ event }) => event))
      assert.lengthOf(yield* numbers({ to: Infinity, limit: Infinity }), 2)
      assert.lengthOf(yield* numbers({ direction: "backward", from: Infinity }), 2)
      const refused = yield* Effect.flip(numbers({ from: Infinity }))
      assert.isTrue(refused instanceof StoreError.InvalidInput && refused.field === "from")
    }))

  it.effect("retries a conflict with a fresh look, and gives up after so many times", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const stream = Counter.stream("contended")
      let tries = 0
      const increment = Effect.gen(function*() {
        const version = yield* store.head(stream)
        tries++
        // another writer is faster than the first two tries
        if (tries <= 2) yield* store.append(stream, [new Counted({ n: -tries })])
        return yield* store.append(stream, [new Counted({ n: 1 })], { expected: version })
      })
      assert.strictEqual((yield* increment.pipe(EventStore.retryConflicts(2))).version, 3)
      tries = 0
      const conflict = yield* Effect.flip(increment.pipe(EventStore.retryConflicts(1)))
      assert.strictEqual(conflict._tag, "WrongExpectedVersion")
    }))

  it.effect("takes one entry for a conditional append", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const entry = EventStore.entry(Counter.stream("conditional"), [new Counted({ n: 1 })])
      const condition = { items: [{ tags: ["nobody-has-this"] }], after: 0 }
      const [appended] = yield* store.appendIf(condition, entry)
      assert.strictEqual(appended!.version, 1)
    }))
})

it("says why a database refused, whatever the driver wrapped it in", () => {
  const error = (cause: unknown) =>
    new StoreError.StoreError({ operation: "append", isRetryable: false, outcome: "not-stored", cause }).message
  const words = new Error("permission denied for function append_event")
  const denied = new SqlError.SqlError({
    reason: new SqlError.UnknownError({ cause: words, message: "PgConnection: Query failed", operation: "query" })
  })
  assert.strictEqual(error(denied), "append failed: permission denied for function append_event")
  // what a program says of itself is worth reading, too, and once
  assert.strictEqual(
    error(new Error("no totals", { cause: denied })),
    "append failed: no totals: permission denied for function append_event"
  )
  assert.strictEqual(
    error(new Error(`no totals (${words.message})`, { cause: words })),
    `append failed: no totals (${words.message})`
  )
  const round = new Error("round")
  round.cause = round
  assert.strictEqual(error(round), "append failed: round")
  assert.include(error(Object.assign(Object.create(null), { code: "57P01" })), "57P01")
  assert.strictEqual(error("gone"), "append failed: gone")
})

it("refuses limits that let nothing pass", () => {
  for (const limit of [0, -1, 1.5, NaN]) {
    assert.throws(() => Limits.withDefaults({ eventBytes: limit }), /eventBytes/)
  }
  assert.strictEqual(Limits.withDefaults({ tags: undefined as never }).tags, Limits.defaults.tags)
})

it("refuses to declare an event that keeps nothing of a Map", () => {
  class Held extends Schema.TaggedClass<Held>()("Held", { value: Schema.ObjectKeyword }) {}
  assert.throws(() => Category.make("held", { id: Schema.String, events: [Held] }), /ObjectKeyword/)
})
