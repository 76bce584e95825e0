import { assert, describe, it } from "@effect/vitest"
import { Effect, flow, Layer, Metric, Option, Ref, Schedule, Schema } from "effect"
import {
  Category,
  EventStore,
  type Position,
  Projection,
  ProjectionMiddleware,
  type ProjectionStorage,
  StoreError
} from "effect-eventstore"
import { partitionOf } from "../../src/Projection/internal/partition.ts"

class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.String }) {}
const Notes = Category.make("notes", { id: Schema.String, events: [Noted] })
const notes = (...texts: ReadonlyArray<string>) => texts.map((text) => new Noted({ text }))

const Texts = Projection.documents("texts", {
  from: Notes,
  state: Schema.Array(Schema.String),
  initial: () => [],
  evolve: { Noted: (texts, { event: { text } }) => text === "gone" ? undefined : [...texts, text] }
})

type Calls = EventStore["Service"]["storage"]["projections"]

/** A store whose storage of projections answers as it is told. */
const withCalls = (change: (calls: Calls) => Partial<Calls>) =>
  Effect.map(EventStore, (store): EventStore["Service"] => {
    const projections = { ...store.storage.projections, ...change(store.storage.projections) }
    return { ...store, storage: { ...store.storage, projections } }
  })

const running = <A, E, R>(
  store: EventStore["Service"],
  options: Projection.RunOptions,
  body: Effect.Effect<A, E, R>
) =>
  Effect.scoped(Effect.andThen(Layer.build(Projection.layer(Texts, options)), body)).pipe(
    Effect.provideService(EventStore, store)
  )

const test = (name: string, body: () => Generator<Effect.Effect<any, any, any>, void, never>) =>
  it.live(name, () => Effect.provide(Effect.gen(body), Layer.fresh(EventStore.layerMemory)) as Effect.Effect<void>)

const appended = (store: EventStore["Service"], id: string, ...texts: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { position } = yield* store.append(Notes.stream(id), notes(...texts))
    yield* Projection.awaitReady(Texts)
    yield* Projection.awaitProcessed(Texts, position)
  })

describe("a runner", () => {
  test("asks no more for documents that it has just written, and loads them anew after a transaction that failed", function*() {
    const loads: Array<ReadonlyArray<string>> = []
    let fails: "inside" | "after" | undefined
    const failing = (at: "inside" | "after") =>
      Effect.suspend(() => {
        if (fails !== at) return Effect.void
        fails = undefined
        const cause = new Error("lost")
        return Effect.fail(
          new StoreError.StoreError({ operation: "advance", isRetryable: true, outcome: "unknown", cause })
        )
      })
    const store = yield* withCalls(({ advanceWith, documents }) => ({
      documents: {
        ...documents,
        load: (id, keys, options) => {
          loads.push(keys)
          return documents.load(id, keys, options)
        }
      },
      advanceWith: <A, E, R>(advance: ProjectionStorage.Advance, effect: Effect.Effect<A, E, R> | undefined) =>
        effect === undefined
          ? advanceWith(advance, effect)
          : Effect.tap(
            advanceWith(advance, Effect.tap(effect, () => failing("inside"))),
            () => failing("after")
          )
    }))
    const found = yield* running(
      store,
      {},
      Effect.gen(function*() {
        yield* appended(store, "1", "a")
        yield* appended(store, "1", "b")
        yield* appended(store, "2", "c")
        assert.deepStrictEqual(loads, [["notes-1"], ["notes-2"]])
        // committed, and nobody is told; rolled back
        for (const [at, text] of [["after", "d"], ["inside", "e"]] as const) {
          fails = at
          loads.length = 0
          yield* appended(store, "1", text)
          yield* appended(store, "1", text)
          assert.deepStrictEqual(loads, [["notes-1"]])
        }
        assert.deepStrictEqual(yield* Projection.get(Texts, "notes-1"), Option.some(["a", "b", "d", "d", "e", "e"]))
        yield* appended(store, "1", "gone")
        yield* appended(store, "1", "f")
        return yield* Projection.getMany(Texts, ["notes-1", "notes-2"])
      })
    )
    assert.deepStrictEqual([...found], [["notes-1", ["f"]], ["notes-2", ["c"]]])
  })

  test("applies through its middleware, the innermost first in the list", function*() {
    const store = yield* EventStore
    const seen: Array<string> = []
    const positions = yield* Ref.make<ReadonlyMap<number, Position.Position>>(new Map())
    const note = (mark: string) => (apply: ProjectionMiddleware.Apply): ProjectionMiddleware.Apply => (batch) => {
      seen.push(`${mark} ${batch.attempt} ${batch.isRebuild} ${batch.events.map(({ event }) => event.text).join()}`)
      return apply(batch)
    }
    let fails = 1
    const failing = (apply: ProjectionMiddleware.Apply): ProjectionMiddleware.Apply => (batch) =>
      fails-- > 0 ? Effect.fail("not yet") : apply(batch)
    yield* store.append(Notes.stream("1"), notes("a", "b", "a"))
    const found = yield* running(
      store,
      {
        onError: { retry: Schedule.recurs(1) },
        middleware: flow(
          note("inner"),
          failing,
          ProjectionMiddleware.dedupe(({ event }) => event.text),
          ProjectionMiddleware.tracking(positions),
          ProjectionMiddleware.timeout("1 minute"),
          ProjectionMiddleware.logging,
          note("outer")
        )
      },
      Effect.andThen(appended(store, "1", "c"), Projection.get(Texts, "notes-1"))
    )
    assert.deepStrictEqual(found, Option.some(["a", "b", "c"]))
    assert.include(seen[0], "outer 1 true")
    assert.isTrue(seen.some((line) => line.startsWith("inner 2 true a,b")))
    assert.deepStrictEqual([...yield* Ref.get(positions)], [[0, 4]])
    const metrics = yield* Metric.snapshot
    assert.isTrue(metrics.some(({ id }) => id === "eventstore.projection.handled"))
  })

  const byFirst = ProjectionMiddleware.dedupe(({ event }) => event.text[0])

  test("lets an event pass that says the same as one that was given up", function*() {
    const store = yield* EventStore
    const Last = Projection.documents("last", {
      from: Notes,
      state: Schema.String,
      initial: () => "",
      key: ({ event }) => event.text,
      evolve: {
        Noted: (_, { event: { text } }) => {
          if (text === "a1") throw new Error("broken")
          return text
        }
      }
    })
    const run = Projection.layer(Last, {
      onError: { retry: Schedule.recurs(0), giveUp: "park" },
      middleware: byFirst
    })
    // in one batch, and in batches of their own
    yield* store.append(Notes.stream("1"), notes("a1", "a2", "a3", "b1"))
    const found = yield* Effect.scoped(Effect.andThen(
      Layer.build(run),
      Effect.gen(function*() {
        const { position } = yield* store.append(Notes.stream("1"), notes("b2", "c1"))
        yield* Projection.awaitReady(Last)
        yield* Projection.awaitProcessed(Last, position)
        return yield* Projection.getMany(Last, ["a1", "a2", "a3", "b1", "b2", "c1"])
      })
    ))
    assert.deepStrictEqual([...found.keys()], ["a2", "b1", "c1"])
  })

  test("refuses to pass over repetitions in the transactions of appends: what they store nobody knows yet", function*() {
    const store = yield* EventStore
    const Inline = Projection.documents("inline", {
      mode: "inline",
      from: Notes,
      state: Schema.Array(Schema.String),
      initial: () => [],
      evolve: { Noted: (texts, { event: { text } }) => [...texts, text] }
    })
    const run = (middleware: Projection.RunOptions["middleware"]) => Projection.run(Inline, { middleware })
    const error = yield* Effect.flip(run(flow(ProjectionMiddleware.logging, byFirst, ProjectionMiddleware.logging)))
    assert.strictEqual(error._tag, "InvalidInput")
    assert.match(error.message, /middleware .*dedupe/)
    // hidden from whoever starts it, it refuses the appends
    const exit = yield* Effect.scoped(Effect.gen(function*() {
      yield* Layer.build(Projection.layer(Inline, { middleware: (apply) => (batch) => byFirst(apply)(batch) }))
      yield* Projection.awaitReady(Inline)
      return yield* Effect.flip(store.append(Notes.stream("1"), notes("a")))
    }))
    assert.strictEqual(exit._tag, "InlineProjectionFailed")
    assert.match(String((exit as { readonly cause?: unknown }).cause), /dedupe/)
  })

  test("refuses tables where there is no database", function*() {
    const Totals = Projection.make("totals", { from: Notes, setup: () => Effect.void, batch: () => Effect.void })
    const running: Effect.Effect<never, Projection.RunError, any> = Projection.run(Totals)
    const error = yield* Effect.flip(running)
    assert.strictEqual(error._tag, "InvalidInput")
  })
})

describe("partitionOf", () => {
  it("is what it was in every release: what is kept of a key stays where it is", () => {
    assert.deepStrictEqual(
      ["", "a", "cart-1", "cart-2", "käse-🧀"].map((key) => [1, 2, 7, 1000].map((of) => partitionOf(key, of))),
      [[0, 1, 4, 923], [0, 1, 3, 55], [0, 0, 3, 952], [0, 0, 6, 98], [0, 1, 3, 721]]
    )
  })

  it("spreads keys that differ in their end only", () => {
    const counts = Array.from({ length: 8 }, () => 0)
    for (let i = 0; i < 8000; i++) counts[partitionOf(`cart-${i}`, 8)]!++
    for (const count of counts) assert.isTrue(count > 850 && count < 1150, String(counts))
  })
})
