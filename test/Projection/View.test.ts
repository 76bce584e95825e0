// @effect-diagnostics floatingEffect:off
/** What views promise beyond the contract: clocks that step back, pages that are not read, and mistakes of the program. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Schema, Stream } from "effect"
import { Category, EventStore, type Recorded, View } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { note, Notes } from "../support/Notes.ts"

const Texts = View.make(Notes, {
  initial: [] as ReadonlyArray<string>,
  evolve: { Noted: (texts, { event }) => [...texts, event.text] }
})

describe("views", () => {
  it.effect("end before the first event that was recorded later, where a clock stepped back", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      for (const [i, millis] of [1000, 2000, 5000, 3000, 4000, 9000].entries()) {
        yield* TestClock.setTime(millis)
        yield* store.append(Notes.stream(i % 2 === 0 ? "a" : "b"), [note(String(i))])
      }
      const shown = (millis: number, from: "a" | "b" | "all") => {
        const time = DateTime.makeUnsafe(millis)
        const viewed = from === "all" ? View.of(Texts, Notes, { time }) : View.of(Texts, Notes.stream(from), { time })
        return Effect.map(viewed as Effect.Effect<View.Viewed<ReadonlyArray<string>>>, ({ state }) => state.join(""))
      }
      assert.strictEqual(yield* shown(999, "all"), "")
      assert.strictEqual(yield* shown(1000, "all"), "0")
      assert.strictEqual(yield* shown(4500, "all"), "01")
      assert.strictEqual(yield* shown(5000, "all"), "01234")
      assert.strictEqual(yield* shown(4500, "a"), "0")
      assert.strictEqual(yield* shown(4500, "b"), "13")
      assert.strictEqual(yield* shown(9000, "b"), "135")
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("read no page behind the one in which they end, and one ahead at most", () =>
    Effect.gen(function*() {
      const { storage } = yield* EventStore
      const pages: Array<string> = []
      const store = yield* EventStore.make({
        ...storage,
        logPage: (filter, range) => {
          pages.push(`${range.from}-${range.to}`)
          return storage.logPage(filter, range)
        },
        streamPage: (streamId, range) => {
          pages.push(`${range.from}-${range.to}`)
          return storage.streamPage(streamId, range)
        }
      })
      const end = Number.MAX_SAFE_INTEGER
      for (let i = 0; i < 10; i++) {
        yield* store.append(Notes.stream("1"), Array.from({ length: 1000 }, () => note("")))
      }
      const count = View.make(Notes, { initial: 0, evolve: { Noted: (count) => count + 1 } })
      const read = Effect.fnUntraced(function*(viewed: Effect.Effect<View.Viewed<number>, unknown, EventStore>) {
        pages.length = 0
        const { state } = yield* Effect.provideService(viewed, EventStore, store)
        return [state, [...pages]] as const
      })
      const stream = Notes.stream("1")
      assert.deepStrictEqual(yield* read(View.of(count, stream, { version: 150 })), [150, ["1-150"]])
      assert.deepStrictEqual(yield* read(View.of(count, Notes, { position: 150 })), [150, ["1-150"]])
      const [state, read_] = yield* read(View.of(count, stream, { position: 900 }))
      assert.strictEqual(state, 900)
      assert.deepStrictEqual(read_.slice(0, 2), [`1-${end}`, `201-${end}`])
      assert.isAtMost(read_.length, 4)
    }).pipe(Effect.scoped, Effect.provide(EventStore.layerMemory)))

  it.effect("begin anew each time they are run", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      yield* store.append(Notes.stream("1"), [note("1")])
      const viewed = View.of(Texts, Notes.stream("1"))
      assert.deepStrictEqual((yield* viewed).state, ["1"])
      yield* store.append(Notes.stream("1"), [note("2")])
      assert.deepStrictEqual((yield* viewed).state, ["1", "2"])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("can be tried on events by hand", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      yield* store.append(Notes.stream("1"), [note("1"), note("2")])
      const all = yield* Stream.runCollect(store.read(Notes.stream("1")))
      assert.deepStrictEqual(all.reduce(Texts.evolve, Texts.initial), ["1", "2"])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it("are refused where an event that can be appended has no function", () => {
    assert.throws(() => View.make(Notes, { initial: 0, evolve: {} as any }), /evolve has no function for Noted/)
    assert.throws(
      () => View.make(Category.raw, { initial: 0, evolve: {} as any }),
      /evolve has no function for RawEvent/
    )
  })

  it.effect("end with a defect that tells the place of an event that is a stranger to them", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      class Other extends Schema.TaggedClass<Other>()("Other", {}) {}
      const Others = Category.make("others", { id: Schema.String, events: [Other] })
      yield* store.append(Others.stream("1"), [new Other()])
      const exit = yield* Effect.exit(View.of(Texts as View.View<ReadonlyArray<string>, any>, Others))
      assert.include(String((exit as any).cause), "no function for Other: event 1 of stream others-1 (position 1)")
    }).pipe(Effect.provide(EventStore.layerMemory)))
})

// a view is exhaustive, and shows only what it knows
class Opened extends Schema.TaggedClass<Opened>()("Opened", { by: Schema.String }) {}
class Closed extends Schema.TaggedClass<Closed>()("Closed", {}) {}
const Door = Category.make("door", { id: Schema.String, events: [Opened, Closed] })
const Hatch = Category.make("hatch", { id: Schema.String, events: [Closed] })

export const types = () => {
  const isOpen = View.make(Door, { initial: false, evolve: { Opened: () => true, Closed: () => false } })
  const closings = View.make(Hatch, { initial: 0, evolve: { Closed: (count) => count + 1 } })
  // @ts-expect-error Closed is missing
  View.make(Door, { initial: false, evolve: { Opened: () => true } })
  // @ts-expect-error a state of another type
  View.make(Door, { initial: false, evolve: { Opened: () => true, Closed: () => "no" } })
  // @ts-expect-error only Opened has somebody
  View.make(Door, { initial: "", evolve: { Opened: (_, { event }) => event.by, Closed: (_, { event }) => event.by } })
  // @ts-expect-error a door opens
  View.of(closings, Door.stream("1"))
  // @ts-expect-error a door opens
  View.of(closings, [Hatch, Door])
  // @ts-expect-error a category has no version
  View.of(isOpen, Door, { version: 1 })
  return [
    View.of(isOpen, Door.stream("1"), { version: 3 }) satisfies Effect.Effect<
      View.StreamViewed<boolean>,
      any,
      EventStore
    >,
    View.of(isOpen, Hatch) satisfies Effect.Effect<View.Viewed<boolean>, any, EventStore>,
    View.of(isOpen, [Door, Hatch], { tags: ["t"] }),
    isOpen.evolve(true, {} as Recorded.Recorded<Opened | Closed>)
  ]
}
