import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Latch, Layer, Schema, Stream } from "effect"
import { Category, EventStore, Limits, Snapshot, SnapshotStore } from "effect-eventstore"
import { makeMemoryStorage } from "../../src/Store/internal/memoryStorage.ts"
import { hookedStorage } from "../../src/Testing/internal/hookedStorage.ts"

class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.String }) {}
const Notes = Category.make("notes", { id: Schema.String, events: [Noted] })
const Texts = Schema.Array(Schema.String)
const texts = Snapshot.make({ name: "texts", state: Texts })
const folding = {
  initial: [] as ReadonlyArray<string>,
  evolve: (texts: ReadonlyArray<string>, { event }: { readonly event: Noted }) => [...texts, event.text]
}

const facts: Snapshot.Facts = { events: 10, oldest: 1000, now: 61_000, replayMillis: 5 }

describe("Snapshot", () => {
  it("is due every so many events", () => {
    assert.isTrue(Snapshot.isDue(Snapshot.every(10), facts))
    assert.isFalse(Snapshot.isDue(Snapshot.every(11), facts))
    assert.isTrue(Snapshot.isDue(Snapshot.every(1), { ...facts, events: 1 }))
  })

  it("is due when the oldest event that is not in it is so old", () => {
    assert.isTrue(Snapshot.isDue(Snapshot.age("1 minute"), facts))
    assert.isFalse(Snapshot.isDue(Snapshot.age("1 minute"), { ...facts, now: 60_999 }))
    assert.isFalse(Snapshot.isDue(Snapshot.age(0), { ...facts, oldest: undefined }))
    // a clock that stepped back
    assert.isFalse(Snapshot.isDue(Snapshot.age(1), { ...facts, now: 0 }))
  })

  it("is due when it took so long to do without", () => {
    assert.isTrue(Snapshot.isDue(Snapshot.cost("5 millis"), facts))
    assert.isFalse(Snapshot.isDue(Snapshot.cost("5 millis"), { ...facts, replayMillis: 4.99 }))
  })

  it("is due when one of several policies says so", () => {
    const policy = Snapshot.anyOf(Snapshot.every(100), Snapshot.cost(5), Snapshot.never)
    assert.isTrue(Snapshot.isDue(policy, facts))
    assert.isFalse(Snapshot.isDue(policy, { ...facts, replayMillis: 1 }))
    assert.isTrue(Snapshot.isDue(policy, { ...facts, replayMillis: 1, events: 100 }))
    assert.isFalse(Snapshot.isDue(Snapshot.anyOf(), facts))
  })

  it("is never due on demand, never, or where nothing came since", () => {
    for (const policy of [Snapshot.onDemand, Snapshot.never]) assert.isFalse(Snapshot.isDue(policy, facts))
    for (const policy of [Snapshot.every(1), Snapshot.age(0), Snapshot.cost(0), Snapshot.anyOf(Snapshot.every(1))]) {
      assert.isFalse(Snapshot.isDue(policy, { ...facts, events: 0 }))
      // plain data
      assert.deepStrictEqual(JSON.parse(JSON.stringify(policy)), policy)
    }
  })

  it("throws where a declaration is a mistake", () => {
    for (const events of [0, -1, 0.5, NaN, Infinity]) assert.throws(() => Snapshot.every(events), "whole number from 1")
    for (const name of ["", "a\nb", "x".repeat(129)]) {
      assert.throws(() => Snapshot.make({ name, state: Texts }), "The snapshot")
    }
    const state = Snapshot.oldest(Schema.String).current(Texts, (text) => [text])
    for (const version of [0, 1, 1.5, 32768]) {
      assert.throws(() => Snapshot.make({ name: "a", state, version }), "2 to 32767 are allowed")
    }
    assert.throws(() => Snapshot.make({ name: "a", state: Schema.ObjectKeyword }), "Schema.ObjectKeyword")
    assert.throws(() => SnapshotStore.layerMemoryWith({ capacity: 0 }), "capacity")
  })

  it("has the length of its chain for a version, and the shapes that it reads", () => {
    const state = Snapshot.oldest(Schema.String).next(Schema.Int, Number).current(Texts, (n) => [String(n)])
    assert.strictEqual(texts.schemaVersion, 1)
    assert.deepStrictEqual(texts.policy, Snapshot.every(100))
    const chained = Snapshot.make({ name: "a", state })
    assert.strictEqual(chained.schemaVersion, 3)
    assert.deepStrictEqual(chained.shapes, [Schema.String, Schema.Int, Texts])
    assert.strictEqual(Snapshot.make({ name: "a", state, version: 3 }).shapes.length, 3)
    // what was saved before it was raised means something else
    const raised = Snapshot.make({ name: "a", state, version: 9 })
    assert.deepStrictEqual([raised.schemaVersion, raised.shapes], [9, [Texts]])
  })

  it.effect("never reads with a raised version what an older program saved, whatever shape it has", () =>
    Effect.gen(function*() {
      const Totals = Schema.Struct({ cents: Schema.Int, last: Schema.optionalKey(Schema.String) })
      const state = Snapshot.oldest(Schema.Struct({ cents: Schema.Int })).current(Totals, ({ cents }) => ({ cents }))
      const decode = (version: number | undefined, schemaVersion: number) =>
        Effect.result(
          Snapshot.make({ name: "a", state, version }).decode({
            name: "a",
            streamId: "s-1",
            streamVersion: 1,
            schemaVersion,
            state: `{"cents":1,"last":"tea"}`
          })
        )
      assert.strictEqual((yield* decode(undefined, 1))._tag, "Success")
      assert.strictEqual((yield* decode(2, 2))._tag, "Success")
      for (const older of [1, 2]) {
        const result = yield* decode(3, older)
        assert.strictEqual(result._tag, "Failure", `version ${older}`)
      }
      assert.strictEqual((yield* decode(3, 3))._tag, "Success")
      assert.strictEqual((yield* decode(3, 4))._tag, "Failure")
    }))

  it.effect("says why one does not decode", () =>
    Effect.gen(function*() {
      const snapshot = Snapshot.make({ name: "a", state: Texts, version: 3 })
      const decode = (schemaVersion: number, state: string) =>
        Effect.flip(snapshot.decode({ name: "a", streamId: "s-1", streamVersion: 1, schemaVersion, state }))
      const unknown = yield* decode(2, "[]")
      assert.deepInclude(unknown, { _tag: "SnapshotDecodeFailed", streamId: "s-1", schemaVersion: 2 })
      assert.include(unknown.message, "only version 3 is known")
      assert.include((yield* decode(3, "[1]")).message, "Expected string")
      assert.include((yield* decode(3, "{")).message, "JSON")
    }))

  it.effect("takes the services and failures of upcasters, and lets them be interrupted", () =>
    Effect.gen(function*() {
      type Named = Effect.Effect<string, { readonly _tag: "Unnamed" }>
      class Names extends Context.Service<Names, { readonly of: (id: string) => Named }>()(
        "test/Names"
      ) {}
      const state = Snapshot.oldest(Schema.String).currentEffect(
        Texts,
        (id) => Effect.map(Names.use((names) => names.of(id)), (name) => [name])
      )
      const { decode } = Snapshot.make({ name: "a", state })
      const stored = { name: "a", streamId: "s-1", streamVersion: 1, schemaVersion: 1, state: "\"42\"" }
      const named = (of: (id: string) => Named) => Effect.provideService(decode(stored), Names, { of })
      assert.deepStrictEqual(yield* named((id) => Effect.succeed(`name of ${id}`)), ["name of 42"])
      const failed = yield* Effect.flip(named(() => Effect.fail({ _tag: "Unnamed" })))
      assert.deepStrictEqual(failed.cause, { _tag: "Unnamed" })
      const died = yield* Effect.flip(named(() => Effect.die(new Error("a mistake"))))
      assert.include(died.message, "a mistake")
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        named(() => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
      )
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    }))
})

const live = (limits: Partial<Limits.Limits>, capacity = 10) =>
  SnapshotStore.layerMemoryWith({ capacity }).pipe(Layer.provideMerge(EventStore.layerMemoryWith(limits)))

describe("SnapshotStore", () => {
  it.effect("keeps so many in the process as it may, those that were used last", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const saved = Effect.fnUntraced(function*(id: string) {
        const stream = Notes.stream(id)
        yield* store.append(stream, [new Noted({ text: id })])
        yield* SnapshotStore.save(texts, stream, yield* SnapshotStore.fold(texts, stream, folding))
      })
      const ids = Effect.map(
        Stream.runCollect(SnapshotStore.list()),
        (infos) => infos.map(({ streamId }) => streamId.slice("notes-".length))
      )
      yield* Effect.forEach(["a", "b", "c"], saved)
      assert.deepStrictEqual(yield* ids, ["a", "b", "c"])
      yield* SnapshotStore.load(texts, Notes.stream("a"))
      yield* saved("d")
      assert.deepStrictEqual(yield* ids, ["a", "c", "d"])
      yield* saved("c")
      yield* saved("e")
      assert.deepStrictEqual(yield* ids, ["c", "d", "e"])
    }).pipe(Effect.provide(live({}, 3))))

  it.effect("leaves the storage of the store alone where a layer keeps them in the process", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const stream = Notes.stream("1")
      yield* store.append(stream, [new Noted({ text: "a" })])
      yield* SnapshotStore.save(texts, stream, yield* SnapshotStore.fold(texts, stream, folding))
      assert.deepStrictEqual(yield* store.storage.snapshots.list({}, { after: undefined, limit: 9 }), [])
    }).pipe(Effect.provide(live({}))))

  it.effect("keeps in the process the states of each store apart", () =>
    Effect.gen(function*() {
      const [one, other] = [yield* EventStore.make(makeMemoryStorage()), yield* EventStore.make(makeMemoryStorage())]
      const stream = Notes.stream("1")
      yield* one.append(stream, [new Noted({ text: "a" })])
      yield* other.append(stream, [new Noted({ text: "b" }), new Noted({ text: "c" })])
      const kept = yield* Layer.build(SnapshotStore.layerMemory)
      const saved = Effect.gen(function*() {
        const folded = yield* SnapshotStore.fold(texts, stream, folding)
        yield* SnapshotStore.save(texts, stream, folded)
        return (yield* SnapshotStore.fold(texts, stream, folding)).state
      })
      const on = (store: EventStore["Service"]) =>
        saved.pipe(Effect.provideService(EventStore, store), Effect.provideContext(kept))
      assert.deepStrictEqual(yield* on(one), ["a"])
      assert.deepStrictEqual(yield* on(other), ["b", "c"])
      assert.deepStrictEqual(yield* on(one), ["a"])
      const list = Stream.runCollect(SnapshotStore.list()).pipe(Effect.provideContext(kept))
      const versions = (store: EventStore["Service"]) =>
        Effect.map(Effect.provideService(list, EventStore, store), (infos) =>
          infos.map(({ streamVersion }) => streamVersion))
      assert.deepStrictEqual([yield* versions(one), yield* versions(other)], [[1], [2]])
    }).pipe(Effect.scoped))

  it.effect("does not replace in the process what somebody else saved while the store was asked", () =>
    Effect.gen(function*() {
      const [asked, answer] = [yield* Latch.make(), yield* Latch.make()]
      let questions = 0
      const store = yield* EventStore.make(hookedStorage(makeMemoryStorage(), ({ at, call }) =>
        // the first is about the snapshot itself, the second about the one that is there
        at === "before" && call === "snapshots.resume" && ++questions === 2
          ? Effect.andThen(asked.open, answer.await)
          : Effect.void))
      const stream = Notes.stream("1")
      yield* store.append(stream, ["1", "2", "3", "4", "5"].map((text) => new Noted({ text })))
      const use = Effect.provideService(EventStore, store)
      const kept = (yield* SnapshotStore.SnapshotStore.pipe(Effect.provide(SnapshotStore.layerMemory))).of(
        store.storage
      )
      const at = Effect.fnUntraced(function*(to: number) {
        questions = 9
        const { mark } = yield* SnapshotStore.fold({ ...texts, policy: Snapshot.never }, stream, { ...folding, to })
        return { ...mark!, name: "s", streamId: stream.streamId, schemaVersion: 1, state: String(to) }
      }, use)
      // it does not hold any more, so an older one may take its place
      yield* kept.save(yield* at(4))
      yield* store.truncateBefore(stream, 2)
      const [older, newer] = [yield* at(3), yield* at(5)]
      questions = 0
      const saving = yield* Effect.forkChild(kept.save(older))
      yield* asked.await
      assert.isTrue(yield* kept.save(newer))
      yield* answer.open
      assert.isFalse(yield* Fiber.join(saving))
      const { snapshot } = yield* kept.load(stream.streamId, "s", { to: 9, limit: 9, bytes: 9 })
      assert.strictEqual(snapshot?.state, "5")
    }).pipe(Effect.scoped))

  it.effect("folds anew where events are hidden while it reads pages", () =>
    Effect.gen(function*() {
      let pages = 0
      const memory = makeMemoryStorage()
      const other = yield* EventStore.make(memory)
      const stream = Notes.stream("1")
      const store = yield* EventStore.make(hookedStorage(memory, ({ at, call }) =>
        at === "before" && call === "streamPage" && ++pages === 1
          ? Effect.orDie(other.truncateBefore(stream, 2000))
          : Effect.void))
      yield* store.append(
        stream,
        Array.from({ length: 2600 }, (_, i) =>
          new Noted({ text: String(i + 1) }))
      )
      const folded = yield* Effect.provideService(SnapshotStore.fold(texts, stream, folding), EventStore, store)
      assert.strictEqual(folded.state[0], "2000")
      assert.strictEqual(folded.state.length, 601)
      assert.deepInclude(folded.mark, { streamVersion: 2600, truncatedBefore: 2000 })
    }).pipe(Effect.scoped))

  it.effect("rebuilds where a program that folds otherwise saves a later state meanwhile, and says where it did not", () =>
    Effect.gen(function*() {
      const memory = makeMemoryStorage()
      const other = yield* EventStore.make(memory)
      const stream = Notes.stream("1")
      let times = 0
      let folds = 0
      const wrong = { ...folding, evolve: (texts: ReadonlyArray<string>) => [...texts, "wrong"] }
      // a command that is due: it appends, and saves what it made of the state that it knows
      const command = Effect.gen(function*() {
        yield* other.append(stream, [new Noted({ text: "more" })])
        const folded = yield* SnapshotStore.fold({ ...texts, policy: Snapshot.never }, stream, wrong)
        assert.isTrue(yield* SnapshotStore.save(texts, stream, folded))
      }).pipe(Effect.provideService(EventStore, other), Effect.orDie)
      const store = yield* EventStore.make(
        hookedStorage(
          memory,
          ({ at, call }) => at === "after" && call === "snapshots.resume" && ++folds <= times ? command : Effect.void
        )
      )
      const use = Effect.provideService(EventStore, store)
      const rebuild = use(SnapshotStore.rebuild(texts, Notes, { initial: () => [], evolve: folding.evolve }))
      const state = Effect.map(use(SnapshotStore.fold(texts, stream, folding)), ({ state }) => state)
      yield* store.append(stream, [new Noted({ text: "a" })])
      yield* command
      assert.deepStrictEqual(yield* state, ["wrong", "wrong"])
      times = 2
      assert.deepStrictEqual(yield* rebuild, { kept: 1, refused: 0 })
      assert.deepStrictEqual([folds, yield* state], [3, ["a", "more", "more", "more"]])
      times = Infinity
      assert.deepStrictEqual(yield* rebuild, { kept: 0, refused: 1 })
      assert.isBelow(folds, 20)
      // a stream without events has no state to keep
      times = 0
      yield* store.delete(stream)
      assert.deepStrictEqual(yield* rebuild, { kept: 0, refused: 0 })
    }).pipe(Effect.scoped))

  it.effect("refuses states beyond the limit that the store has for events", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const stream = Notes.stream("1")
      yield* store.append(stream, [new Noted({ text: "a" })])
      const { mark } = yield* SnapshotStore.fold(texts, stream, folding)
      const error = yield* Effect.flip(SnapshotStore.save(texts, stream, { mark, state: ["x".repeat(97)] }))
      assert.strictEqual(error.message, "state takes 101 bytes, at most 100 are allowed")
      assert.isTrue(yield* SnapshotStore.save(texts, stream, { mark, state: ["x".repeat(96)] }))
    }).pipe(Effect.provide(EventStore.layerMemoryWith({ eventBytes: 100 }))))
})
