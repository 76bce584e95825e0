import { assert, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { EventId } from "effect-eventstore"
import { TestClock } from "effect/testing"

it.effect("makes lower-case UUIDs of version 7 whose first 48 bits are the clock's milliseconds", () =>
  Effect.gen(function*() {
    yield* TestClock.setTime(1_700_000_000_123)
    const ids = yield* Effect.all(Array.from({ length: 1000 }, () => EventId.make))
    for (const id of ids) {
      assert.isTrue(EventId.isEventId(id))
      assert.match(id, /^.{14}7.{4}[89ab]/)
      assert.strictEqual(parseInt(id.slice(0, 8) + id.slice(9, 13), 16), 1_700_000_000_123)
    }
    assert.strictEqual(new Set(ids).size, ids.length)
  }))

it.effect("takes its chance from Random, so that a seed repeats the ids", () =>
  Effect.gen(function*() {
    const three = Effect.all([EventId.make, EventId.make, EventId.make])
    assert.deepStrictEqual(yield* Random.withSeed(three, "seed"), yield* Random.withSeed(three, "seed"))
    assert.notDeepEqual(yield* Random.withSeed(three, "seed"), yield* Random.withSeed(three, "other"))
  }))

it("gives the same name the same id, of version 8, and other names other ids", () => {
  const id = EventId.fromName("orders", "7")
  assert.isTrue(EventId.isEventId(id))
  assert.match(id, /^.{14}8.{4}[89ab]/)
  assert.strictEqual(EventId.fromName("orders", "7"), id)
  const names: ReadonlyArray<readonly [string, ...ReadonlyArray<string>]> = [
    ["orders", "7"],
    ["orders7"],
    ["order", "s7"],
    ["orders", "7", ""],
    ["", "orders", "7"],
    ["1:orders", "7"],
    ["orders", "\u{1F600}"],
    ["orders", "é"],
    ["orders", "e\u0301"]
  ]
  assert.strictEqual(new Set(names.map((parts) => EventId.fromName(...parts))).size, names.length)
})
