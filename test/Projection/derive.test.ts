/** Derived events are stored once, in order, whatever was stored before and however it came there. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema, Stream } from "effect"
import { Category, EventData, EventId, EventStore, RawEvent } from "effect-eventstore"
import { derive } from "../../src/Projection/internal/derive.ts"
import { drive } from "../support/driving.ts"
import { note, noteAs, Notes, recorded, type Store } from "../support/Notes.ts"

class Copied extends Schema.TaggedClass<Copied>()("Copied", { text: Schema.String, at: Schema.Int }) {}
const Copies = Category.make("copies", { id: Schema.String, events: [Copied] })

/** Each character of a text is the name of a stream that gets a copy. */
const copies = (version = 1, change = (text: string) => text) =>
  derive("copies", {
    version,
    from: Notes,
    emit: ({ event, position }) =>
      Array.from(event.text).map((letter) =>
        EventStore.entry(Copies.stream(letter), [new Copied({ text: change(event.text), at: position })])
      )
  })

const copied = (store: Store) =>
  Effect.map(
    Stream.runCollect(store.readCategory(Copies)),
    (all) => all.map(({ event, streamId }) => `${event.at}${streamId.slice(-1)}`)
  )

const expected = (texts: ReadonlyArray<string>) =>
  texts.flatMap((text, i) => Array.from(text).map((letter) => `${i + 1}${letter}`))

const upTo = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: most }))
const sizes = Schema.Array(Schema.Literals([1, 2, 3, 7, 50])).check(Schema.isMinLength(1), Schema.isMaxLength(5))
const Program = Schema.Struct({
  texts: Schema.Array(Schema.Literals(["", "a", "b", "ab", "ba", "abc", "aab", "aba"])).check(
    Schema.isMinLength(1),
    Schema.isMaxLength(25)
  ),
  first: sizes,
  second: sizes,
  /** How many of the events the first version has seen, when the second begins. */
  known: upTo(25),
  failing: Schema.Array(upTo(10)).check(Schema.isMaxLength(3)),
  /** Streams in which somebody else writes as well. */
  disturbed: Schema.Array(Schema.Literals(["a", "b", "c"])).check(Schema.isMaxLength(2))
})

describe("derived events", () => {
  it.effect("are stored once and in the order of the log, whatever the batches, crashes and versions before", () =>
    Effect.gen(function*() {
      const result = yield* Arbitrary.checkEffect(
        Arbitrary.schema(Program),
        ({ disturbed, failing, first, known, second, texts }) =>
          Effect.gen(function*() {
            const store = yield* EventStore
            const disturb = Effect.forEach(disturbed, (letter) =>
              store.append(Category.rawStream(`copies-${letter}`), [
                RawEvent.make({ type: "Copied", schemaVersion: 1, data: { text: "foreign", at: 0 } })
              ]))
            yield* disturb
            for (const text of texts.slice(0, known)) yield* store.append(Notes.stream("1"), [note(text)])
            yield* drive(store, copies(1), { batches: first, failing: new Set(failing) })
            yield* disturb
            // positions are part of what is derived: the texts come first here, so they differ by what stands between
            for (const text of texts.slice(known)) yield* store.append(Notes.stream("1"), [note(text)])
            yield* drive(store, copies(2), { batches: second, failing: new Set(failing) })
            yield* drive(store, copies(3), { batches: first })
            const notes = yield* Stream.runCollect(store.readCategory(Notes))
            const own = (yield* copied(store)).filter((text) => !text.startsWith("0"))
            assert.deepStrictEqual(
              own,
              notes.flatMap(({ event, position }) => Array.from(event.text).map((letter) => `${position}${letter}`))
            )
            return true
          }).pipe(Effect.provide(EventStore.layerMemory), Effect.sandbox),
        { runs: 300, size: 40 }
      )
      const failure = Arbitrary.formatCheckFailure(result)
      if (failure !== undefined) assert.fail(failure)
    }))

  it.effect("know their cause, keep what is given along with them, and have ids that others can tell", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const [a, b] = [yield* EventId.make, yield* EventId.make]
      yield* store.append(Notes.stream("1"), [noteAs(a, "first")])
      yield* store.append(Notes.stream("1"), [
        EventData.make(note("second"), { id: b, metadata: { correlationId: "request-7", actor: "anna" } })
      ])
      yield* drive(
        store,
        derive("tagged", {
          from: Notes,
          emit: ({ event }) =>
            EventStore.entry(Copies.stream("all"), [
              new Copied({ text: event.text, at: 0 }),
              EventData.make(new Copied({ text: event.text, at: 1 }), { tags: ["t"], metadata: { actor: "derived" } })
            ])
        }),
        { batches: [9] }
      )
      const all = yield* Stream.runCollect(store.read(Copies.stream("all")))
      assert.deepStrictEqual(all.map(({ eventId }) => eventId), [
        EventId.fromName("tagged", a, "0", "0"),
        EventId.fromName("tagged", a, "0", "1"),
        EventId.fromName("tagged", b, "0", "0"),
        EventId.fromName("tagged", b, "0", "1")
      ])
      assert.deepStrictEqual(all.map(({ tags }) => tags), [[], ["t"], [], ["t"]])
      assert.deepStrictEqual(all.map(({ metadata }) => metadata), [
        { correlationId: a, causationId: a },
        { correlationId: a, causationId: a, actor: "derived" },
        { correlationId: "request-7", causationId: b },
        { correlationId: "request-7", causationId: b, actor: "derived" }
      ])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("are a conflict where another version makes something else of the same event, and nothing is stored", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      for (const text of ["a", "b", "a", "ab"]) yield* store.append(Notes.stream("1"), [note(text)])
      yield* drive(store, copies(1), { batches: [9] })
      const head = yield* store.head()
      const changed = copies(2, (text) => text === "ab" ? "other" : text)
      const error = yield* Effect.flip(drive(store, changed, { batches: [9] }))
      assert.deepInclude(error as object, { _tag: "EventIdConflict", streamId: "copies-a" })
      assert.strictEqual(yield* store.head(), head)
      // one that follows in addition finds its place behind what is there
      const more = derive("copies", {
        version: 3,
        from: Notes,
        emit: ({ event, position }) =>
          [...Array.from(event.text), "z"].map((letter) =>
            EventStore.entry(Copies.stream(letter), [new Copied({ text: event.text, at: position })])
          )
      })
      yield* drive(store, more, { batches: [9] })
      assert.deepStrictEqual(yield* copied(store), [...expected(["a", "b", "a", "ab"]), "1z", "2z", "3z", "4z"])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("take few appends: one where no stream comes again after another", () =>
    Effect.gen(function*() {
      const memory = yield* EventStore
      let appends = 0
      const store = yield* EventStore.make({
        ...memory.storage,
        append: (command) => {
          appends++
          return memory.storage.append(command)
        }
      })
      const letters = "abcdefghij"
      for (const letter of letters) for (const _ of letters) yield* memory.append(Notes.stream("1"), [note(letter)])
      yield* drive(store, copies(1), { batches: [100] })
      assert.strictEqual(appends, 1)
      yield* drive(store, copies(2), { batches: [100] })
      assert.strictEqual(appends, 2)
      for (const letter of letters) yield* memory.append(Notes.stream("1"), [note(letter)])
      yield* drive(store, copies(3), { batches: [110] })
      assert.isBelow(appends, 30)
      assert.strictEqual((yield* copied(store)).length, 110)
    }).pipe(Effect.scoped, Effect.provide(EventStore.layerMemory)))

  it.effect("are stored in several appends where one would be too large", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      for (const text of ["abc", "cba", "a"]) yield* store.append(Notes.stream("1"), [note(text)])
      yield* drive(store, copies(1), { batches: [9] })
      assert.deepStrictEqual(yield* copied(store), expected(["abc", "cba", "a"]))
    }).pipe(Effect.provide(EventStore.layerMemoryWith({ appendEvents: 2, appendStreams: 1 }))))

  it.effect("are refused with an expected version, or an id of their own", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      yield* store.append(Notes.stream("1"), [note("a")])
      const event = new Copied({ text: "a", at: 1 })
      const given = [
        EventStore.entry(Copies.stream("a"), [event], { expected: "no-stream" }),
        EventStore.entry(Copies.stream("a"), [EventData.make(event, { id: yield* EventId.make })])
      ]
      for (const entry of given) {
        const error = yield* Effect.flip(
          drive(store, derive("d", { from: Notes, emit: () => entry }), { batches: [1] })
        )
        assert.deepInclude(error as object, { _tag: "InvalidInput", field: "emit" })
      }
      assert.strictEqual((yield* recorded(store)).length, 1)
    }).pipe(Effect.provide(EventStore.layerMemory)))
})
