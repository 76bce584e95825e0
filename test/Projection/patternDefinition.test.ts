/** What follows from patterns is the same for the same log, whatever the batches, crashes, owners and versions. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema, Stream } from "effect"
import { Category, Event, EventId, EventStore, LogFilter, Pattern, RawEvent, type Recorded } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { pattern } from "../../src/Projection/internal/patternDefinition.ts"
import { drive } from "../support/driving.ts"
import type { Store } from "../support/Notes.ts"
import { Letters, make, matchesOf, patternOf, Program } from "../support/patterns.ts"

class Found extends Schema.TaggedClass<Found>()("Found", { positions: Schema.Array(Schema.Int) }) {}
const Findings = Category.make("findings", { id: Schema.String, events: [Found] })

const findings = (name: string, of: Pattern.Pattern<typeof Letters, any>, version = 1, inFlight = 100) =>
  pattern(name, {
    version,
    pattern: of,
    inFlight,
    emit: ({ events, key }) =>
      EventStore.entry(Findings.stream(key), [new Found({ positions: events.map(({ position }) => position) })])
  })

const found = (store: Store) =>
  Effect.map(
    Stream.runCollect(store.readCategory(Findings)),
    (all) =>
      all.map(({ event, streamId }) => `${streamId.slice("findings-letters-".length)} ${event.positions.join(" ")}`)
  )

const sizes = Schema.Array(Schema.Literals([1, 2, 3, 7, 50])).check(Schema.isMinLength(1), Schema.isMaxLength(5))
const upTo = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: most }))
const Case = Schema.Struct({
  /** Each key has a history of its own. */
  program: Program,
  other: Program.fields.events,
  /** Which key comes next, as long as both have events. */
  turns: Schema.Array(Schema.Boolean).check(Schema.isMinLength(60), Schema.isMaxLength(60)),
  /** Stored when the first run ends. */
  cut: upTo(60),
  batches: Schema.Tuple([sizes, sizes, sizes]),
  remembers: Schema.Boolean,
  failing: Schema.Array(upTo(20)).check(Schema.isMaxLength(3))
})

describe("what follows from patterns", () => {
  it.effect("is what a naive specification says, whatever the batches, crashes, owners and versions", () =>
    Effect.gen(function*() {
      let all = 0
      const result = yield* Arbitrary.checkEffect(
        Arbitrary.schema(Case),
        ({ batches: [first, second, third], cut, failing, other, program, remembers, turns }) =>
          Effect.gen(function*() {
            const store = yield* EventStore
            const histories = { x: [...program.events], y: [...other] }
            const clocks = { x: 100_000_000, y: 100_000_000 }
            const positions: Record<"x" | "y", Array<number>> = { x: [], y: [] }
            const def = (version: number) => findings("p", patternOf(program), version, program.inFlight)
            let after = 0
            const append = Effect.fnUntraced(function*(key: "x" | "y") {
              const { n, seconds, tag } = histories[key].shift()!
              yield* TestClock.setTime(clocks[key] += seconds * 1000)
              const { position } = yield* store.append(Letters.stream(key), [make[tag](n)])
              positions[key].push(position)
            })
            for (let i = 0; histories.x.length + histories.y.length > 0; i++) {
              if (i === cut) {
                const options = { batches: first, remembers, failing: new Set(failing) }
                after = (yield* drive(store, def(1), options)).position
              }
              const wanted = turns[i % turns.length]! ? "x" : "y"
              yield* append(histories[wanted].length > 0 ? wanted : wanted === "x" ? "y" : "x")
            }
            yield* drive(store, def(1), { batches: second, failing: new Set(failing) }, after)
            const expected = (["x", "y"] as const).flatMap((key) => {
              const events = key === "x" ? program.events : other
              return matchesOf({ ...program, events }).map((match) => ({
                key,
                match: match.map((at) => positions[key][at]!)
              }))
            }).sort((a, b) => a.match.at(-1)! - b.match.at(-1)! || a.match[0]! - b.match[0]!)
            all += expected.length
            const texts = expected.map(({ key, match }) => `${key} ${match.join(" ")}`)
            assert.deepStrictEqual(yield* found(store), texts)
            // a rebuild finds the same, and stores nothing
            const head = yield* store.head()
            yield* drive(store, def(2), { batches: third, remembers: !remembers })
            assert.strictEqual(yield* store.head(), head)
            return true
          }).pipe(Effect.provide(EventStore.layerMemory), Effect.sandbox),
        { runs: 400, size: 40 }
      )
      const failure = Arbitrary.formatCheckFailure(result)
      if (failure !== undefined) assert.fail(failure)
      assert.isAbove(all, 200)
    }))

  const append = Effect.fnUntraced(function*(store: Store, letters: string, key = "1") {
    for (const letter of letters) {
      yield* store.append(Letters.stream(key), [make[letter.toUpperCase() as "A" | "B" | "C"](0)])
    }
  })

  it.effect("has the event that completed it for its cause, and an id made of key, first and last event", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      yield* append(store, "aabc")
      const events = yield* Stream.runCollect(store.read(Letters.stream("1")))
      yield* drive(store, findings("p", Pattern.start(Letters, "A").followedBy("C")), { batches: [2] })
      const derived = yield* Stream.runCollect(store.readCategory(Findings))
      const [first, second, , last] = events.map(({ eventId }) => eventId)
      assert.deepStrictEqual(derived.map(({ eventId }) => eventId), [
        EventId.fromName("p", "letters-1", first!, "0", last!, "0", "0"),
        EventId.fromName("p", "letters-1", second!, "0", last!, "0", "0")
      ])
      for (const { metadata } of derived) {
        assert.deepStrictEqual(metadata, { correlationId: last!, causationId: last! })
      }
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("keeps nothing of a key that waits for nothing, and each event in the making once", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const { documents } = store.storage.projections
      const kept = (id: number) => documents.page(id, { prefix: "", after: "", limit: 9 })
      const pattern = findings("p", Pattern.start(Letters, "A").followedBy("B", { times: 2 }).without("C"))
      yield* append(store, "aab", "1")
      yield* append(store, "bc", "2")
      const { id, position } = yield* drive(store, pattern, { batches: [2] })
      const [document, ...others] = yield* kept(id)
      assert.strictEqual(document!.key, "letters-1")
      assert.strictEqual(JSON.parse(document!.state).events.length, 3)
      assert.deepStrictEqual(others, [])
      yield* append(store, "b", "1")
      yield* drive(store, pattern, { batches: [2] }, position)
      assert.deepStrictEqual(yield* kept(id), [])
      assert.strictEqual((yield* found(store)).length, 2)
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("keeps the time of a match in the making, which does not step back with a clock", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const of = Pattern.start(Letters, "A").followedBy("B").followedBy("B", { within: "15 seconds" })
      for (const [letter, seconds] of [["a", 100], ["c", 150], ["b", 120], ["b", 140]] as const) {
        yield* TestClock.setTime(seconds * 1000)
        yield* append(store, letter)
      }
      yield* drive(store, findings("p", of), { batches: [1] })
      assert.deepStrictEqual(yield* found(store), ["1 1 3 4"])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("does not take an event for seen that it failed to handle, whoever tries again", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      yield* append(store, "abb")
      const definition = findings("p", Pattern.start(Letters, "A").followedBy("B", { times: 2 }))
      const { id } = yield* drive(store, definition, { batches: [1] })
      const again = findings("again", Pattern.start(Letters, "A").followedBy("B", { times: 2 }))
      const events: Array<Recorded.Recorded<any>> = []
      const { storage } = store
      for (const position of [1, 2, 3]) {
        const page = { direction: "forward", from: position, to: position, limit: 1, bytes: 1 } as const
        const stored = yield* storage.logPage(LogFilter.everything, page)
        yield* again.decode(stored.events[0]!, events) ?? Effect.void
      }
      const [first, ...others] = events
      let isBroken = true
      const broken: Store = {
        ...store,
        appendAll: (entries) => isBroken ? Effect.die("broken") : store.appendAll(entries)
      }
      const target = { store: broken, id, owns: () => true, isRebuild: false, isInline: false, kept: new Map() }
      yield* store.transaction(again.apply(target, [first!]))
      yield* store.transaction(Effect.gen(function*() {
        const apply = again.apply(target, others as any)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(apply)))
        isBroken = false
        yield* apply
      }))
      assert.deepStrictEqual(yield* found(store), ["1 1 2 3", "1 1 2 3"])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it.effect("keeps events as they are stored: older ones, parts of one, and of several categories", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      class One extends Schema.TaggedClass<One>()("One", { n: Schema.Int }) {}
      class Two extends Schema.TaggedClass<Two>()("Two", { text: Schema.String }) {}
      const Ones = Category.make("ones", {
        id: Schema.String,
        events: [
          Event.oldest(Schema.Struct({ old: Schema.Int })).current(One, ({ old }) => ({ n: old })),
          // its parts are nothing that can be stored
          Event.oldest(Schema.Struct({ count: Schema.Int })).retired(
            "Many",
            ({ count }) => Array.from({ length: count }, (_, n) => ({ _tag: "Part" as const, n }))
          )
        ]
      })
      const Twos = Category.make("twos", { id: Schema.String, events: [Two] })
      const seen: Array<unknown> = []
      const definition = pattern("p", {
        pattern: Pattern.start([Ones, Twos], "One")
          .followedBy("Part", { where: ({ event }, [[one]]) => event.n === one.event.n })
          .followedBy("Two"),
        key: () => "all",
        emit: ({ key, steps: [[one], [part], [two]] }) => {
          seen.push([key, one.event, part.event, part.part, part.parts, two.event])
          return undefined
        }
      })
      const raw = (type: string, data: Schema.Json) => RawEvent.make({ type, schemaVersion: 1, data })
      yield* store.append(Category.rawStream("ones-1"), [raw("One", { old: 1 }), raw("Many", { count: 3 })])
      const { position } = yield* drive(store, definition, { batches: [1] })
      yield* store.append(Twos.stream("1"), [new Two({ text: "2" })])
      yield* drive(store, definition, { batches: [1] }, position)
      assert.deepStrictEqual(seen, [["all", new One({ n: 1 }), { _tag: "Part", n: 1 }, 1, 3, new Two({ text: "2" })]])
    }).pipe(Effect.provide(EventStore.layerMemory)))

  it("is refused where inFlight is no number", () => {
    const of = Pattern.start(Letters, "A").followedBy("B")
    assert.throws(() => findings("p", of, 1, 0), "inFlight of the projection p is 0")
    assert.throws(() => findings("P", of), "The name \"P\" of a projection is not")
    assert.throws(() => findings("p", of, 0), "The version of the projection p is 0")
  })
})
