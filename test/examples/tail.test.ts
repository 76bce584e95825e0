import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Category } from "effect-eventstore"
import * as Child from "../support/child.ts"
import { open } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int, by: Schema.String }) {}
const Cart = Category.make("cart", { id: Schema.String, events: [Paid] })
const Other = Category.make("other", { id: Schema.String, events: [Paid] })

const tail = (...args: ReadonlyArray<string>) => Child.start("../../examples/tail.ts", ...args)
const hasWritten = (child: Child.Child, lines: number) => Effect.promise(() => child.hasWritten(lines))

describe("examples/tail", { timeout: 60_000 }, () => {
  it.live("follows a log that others write to, until it is told to stop", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { store } = yield* open(url)
      yield* store.append(Cart.stream("1"), [new Paid({ cents: 5, by: "anna" })])
      yield* store.append(Other.stream("1"), [new Paid({ cents: 6, by: "ben" })])
      const child = yield* tail("--url", url, "--category", "cart")
      yield* hasWritten(child, 2)
      yield* store.append(Other.stream("2"), [new Paid({ cents: 7, by: "ben" })])
      // what is stored is data: it does not colour the screen
      const odd = new Paid({ cents: 8, by: "\u001b[31m\u009b\u202e" })
      yield* store.append(Cart.stream("2"), [odd])
      yield* hasWritten(child, 3)
      process.kill(child.pid, "SIGINT")
      assert.strictEqual(yield* Effect.promise(() => child.ended), 130)
      assert.strictEqual(child.errors(), "")
      assert.deepStrictEqual(child.lines, [
        `     1  cart-1 1  Paid  {"cents":5,"by":"anna"}`,
        "-- caught up at position 2 --",
        `     4  cart-2 1  Paid  {"cents":8,"by":"\\u001b[31m\ufffd\ufffd"}`
      ])
    }))

  it.live("says what is wrong in a sentence", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const says = (...args: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const child = yield* tail(...args)
          assert.strictEqual(yield* Effect.promise(() => child.ended), 1)
          assert.deepStrictEqual(child.lines, [])
          return child.errors()
        })
      const [url_, dir, category, after] = yield* Effect.all([
        says("--url", url),
        says("--dir", "/nowhere/at/all"),
        says("--category", "a-b"),
        says("--after", "99")
      ], { concurrency: "unbounded" })
      assert.match(url_, /^[^\n]*no event store[^\n]*\n$/)
      assert.strictEqual(dir, "/nowhere/at/all has no store\n")
      assert.strictEqual(category, "The category name \"a-b\" has a hyphen\n")
      assert.strictEqual(
        after,
        "The log was read up to position 99, but ends at position 3: it was restored, or it is another log\n"
      )
    }))
})
