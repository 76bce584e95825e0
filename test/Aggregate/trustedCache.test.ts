import { assert, it as plainIt, layer as sharedLayer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Category, Decider, EventStore, PgliteEventStore } from "effect-eventstore"
import { TestClock } from "effect/testing"

class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.String, seen: Schema.Int }) {}

let made = 0
const fresh = (meanwhile: (text: string) => Effect.Effect<unknown, any, EventStore> = () => Effect.void) =>
  Decider.make(Category.make(`trusted${++made}`, { id: Schema.String, events: [Noted] }), {
    initial: [] as ReadonlyArray<string>,
    evolve: { Noted: (texts, { text }) => [...texts, text] },
    decide: (text: string, texts) =>
      Effect.as(Effect.orDie(meanwhile(text)), [new Noted({ text, seen: texts.length })]),
    cache: { capacity: 10, mode: "trusted" }
  })

for (const [name, layer] of [["memory", EventStore.layerMemory], ["pglite", PgliteEventStore.layer()]] as const) {
  sharedLayer(layer, { excludeTestServices: true, timeout: "1 minute" })(`A trusted cache (${name})`, (it) => {
    it.effect("sees what its own process deleted, truncated or ended", () =>
      Effect.gen(function*() {
        const store = yield* EventStore
        const notes = fresh()
        const stream = notes.category.stream("1")
        yield* notes.run("1", "a")
        yield* notes.run("1", "b")
        yield* store.truncateBefore(stream, 2)
        assert.deepStrictEqual((yield* notes.run("1", "c")).state, ["b", "c"])
        yield* store.delete(stream)
        const { events, state, version } = yield* notes.run("1", "d")
        assert.deepStrictEqual([state, version, events[0]!.event.seen], [["d"], 4, 0])
        yield* store.delete(stream)
        assert.deepStrictEqual((yield* notes.query("1", { consistency: "cached" })).state, [])
        yield* store.tombstone(stream)
        assert.strictEqual((yield* Effect.flip(notes.run("1", "e")))._tag, "StreamTombstoned")
        assert.strictEqual((yield* Effect.flip(notes.query("1", { consistency: "cached" })))._tag, "StreamTombstoned")
      }))

    it.effect("does not keep a state that was hidden while the command was decided", () =>
      Effect.gen(function*() {
        const store = yield* EventStore
        const notes: ReturnType<typeof fresh> = fresh((text) =>
          text === "c" ? store.delete(notes.category.stream("1")) : Effect.void
        )
        for (const text of ["a", "b", "c"]) yield* notes.run("1", text)
        assert.deepStrictEqual((yield* notes.run("1", "d")).state, ["c", "d"])
      }))
  })
}

plainIt.effect("A trusted cache asks once a minute whether its state holds", () =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const other = yield* EventStore.make({ ...store.storage })
    const notes = fresh()
    yield* notes.run("1", "a")
    yield* TestClock.adjust("59 seconds")
    yield* notes.run("1", "b")
    yield* other.delete(notes.category.stream("1"))
    assert.deepStrictEqual((yield* notes.run("1", "c")).state, ["a", "b", "c"])
    yield* TestClock.adjust("2 seconds")
    assert.deepStrictEqual((yield* notes.run("1", "d")).state, ["c", "d"])
    assert.deepStrictEqual((yield* notes.run("1", "e")).state, ["c", "d", "e"])
  }).pipe(Effect.scoped, Effect.provide(EventStore.layerMemory)))
