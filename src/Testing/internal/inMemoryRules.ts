import { assert } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Latch, References, Schema, Scope, Stream, SubscriptionRef } from "effect"
import * as Event from "../../Event/Event.ts"
import * as EventData from "../../Event/EventData.ts"
import * as Projection from "../../Projection/Projection.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore, until } from "./consuming.ts"
import {
  collect,
  Counted,
  equal,
  fails,
  freshCategory,
  freshName,
  freshStream,
  has,
  Noted,
  type Notes,
  notes,
  raw,
  type Rules,
  someNotes,
  type Store,
  textOf,
  together
} from "./rule.ts"
import { gather } from "./subscribing.ts"

/** The texts in the order in which they came. */
const textsIn = (
  store: Store,
  from: Notes,
  options?: Partial<Parameters<typeof Projection.inMemory<Notes, ReadonlyArray<string>>>[0]>
) =>
  inStore(store)(Projection.inMemory({
    initial: [] as ReadonlyArray<string>,
    evolve: {
      Noted: (texts, { event }) => [...texts, event.text],
      Counted: (texts, { event }) => [...texts, String(event.count)]
    },
    ...options,
    from
  }))

/** Nobody has to read what is meant to go wrong. */
const quietly = Effect.provideService(References.MinimumLogLevel, "None")

export const inMemoryRules: Rules = (rule) => {
  rule("has what was stored when it is there, and then what is stored later", function*(store) {
    const from = freshCategory()
    yield* store.append(from.stream("1"), someNotes(2500))
    const { position: before } = yield* store.append(freshStream(), notes("foreign"))
    const texts = yield* textsIn(store, from)
    equal((yield* texts.get).length, 2500)
    assert.isAtLeast(yield* texts.position, before)
    const { position } = yield* store.append(from.stream("2"), [
      new Noted({ text: "later" }),
      new Counted({ count: 7 })
    ])
    yield* texts.awaitProcessed(position)
    const all = yield* collect(store.readCategory(from))
    equal(yield* texts.get, all.map(({ event }) => textOf(event)))
    equal(yield* SubscriptionRef.get(texts.state), yield* texts.get)
    equal(yield* texts.position, position)
  })

  rule("has a state at once where there is nothing to fold", function*(store) {
    const texts = yield* textsIn(store, freshCategory(), { initial: ["initial"] })
    equal(yield* texts.get, ["initial"])
    equal(yield* texts.position, yield* store.head())
  })

  rule("reaches positions of events that are not for it", function*(store) {
    const texts = yield* textsIn(store, freshCategory())
    for (let i = 0; i < 3; i++) {
      const { position } = yield* store.append(freshStream(), notes("foreign"))
      yield* texts.awaitProcessed(position)
      assert.isAtLeast(yield* texts.position, position)
    }
    equal(yield* texts.get, [])
  })

  rule("folds what a filter lets pass", function*(store) {
    const [from, tag] = [freshCategory(), freshName()]
    const texts = yield* textsIn(store, from, { tags: [tag] })
    const counted = yield* textsIn(store, from, { types: ["Counted"] })
    yield* store.append(from.stream("1"), notes("no"))
    yield* store.append(from.stream("1"), [EventData.make(new Noted({ text: "yes" }), { tags: [tag] })])
    const { position } = yield* store.append(from.stream("1"), [new Counted({ count: 1 })])
    yield* texts.awaitProcessed(position)
    yield* counted.awaitProcessed(position)
    equal(yield* texts.get, ["yes"])
    equal(yield* counted.get, ["1"])
  })

  rule("folds every event once and in order while many write, in each process for itself", function*(store) {
    const from = freshCategory()
    const early = yield* textsIn(store, from)
    const writing = yield* Effect.forkChild(
      together(
        4,
        (writer) =>
          Effect.forEach(Array.from({ length: 30 }), (_, n) => store.append(from.stream(String(writer)), notes(`${n}`)))
      )
    )
    const late = yield* textsIn(store, from)
    yield* Effect.yieldNow
    yield* until("all that is written", () => writing.pollUnsafe() !== undefined)
    const head = yield* store.head()
    const all = (yield* collect(store.readCategory(from))).map(({ event }) => textOf(event))
    equal(all.length, 120)
    for (const texts of [early, late]) {
      yield* texts.awaitProcessed(head)
      equal(yield* texts.get, all)
    }
  })

  rule("has all up to its position, also for those who go on as soon as another one is there", function*(store) {
    const from = freshCategory()
    const [one, other] = [yield* textsIn(store, from), yield* textsIn(store, from)]
    for (let count = 1; count <= 10; count++) {
      const [first, second] = count % 2 === 0 ? [one, other] : [other, one]
      const next = (yield* store.head()) + 1
      const waiting = yield* Effect.forkChild(
        Effect.andThen(first.awaitProcessed(next), Effect.zip(second.position, second.get)),
        { startImmediately: true }
      )
      const { position } = yield* store.append(from.stream("1"), notes(String(count)))
      const [reached, texts] = yield* Fiber.join(waiting)
      equal(texts.length, reached < position ? count - 1 : count)
      yield* Effect.all([one.awaitProcessed(position), other.awaitProcessed(position)])
    }
  })

  rule("shows a stored event to those who observe with all its parts, or not at all", function*(store) {
    class One extends Schema.TaggedClass<One>()("One", { n: Schema.Int }) {}
    const Many = Event.oldest(Schema.Struct({ count: Schema.Int }))
    const from = Category.make(freshName(), {
      id: Schema.String,
      events: [One, Many.retired("Many", ({ count }) => Array.from({ length: count }, (_, n) => new One({ n })))]
    })
    const ones = yield* inStore(store)(
      Projection.inMemory({ from, initial: 0, evolve: { One: (count) => count + 1 } })
    )
    const seen = yield* gather(ones.changes)
    const all = yield* gather(SubscriptionRef.changes(ones.state))
    yield* seen.until(1)
    for (let i = 0; i < 20; i++) {
      yield* store.append(Category.rawStream(`${from.name}-1`), [raw("Many", { count: 3 }), raw("Many", { count: 0 })])
    }
    yield* seen.until((counts) => counts.at(-1) === 60)
    yield* all.until((counts) => counts.at(-1) === 60)
    for (const count of [...seen.all, ...all.all]) equal(count % 3, 0)
    for (const counts of [seen.all, all.all]) equal(counts, [...new Set(counts)].sort((a, b) => a - b))
  })

  rule("hands the latest state to those who are slow", function*(store) {
    const from = freshCategory()
    const texts = yield* textsIn(store, from)
    const [here, go] = [yield* Latch.make(), yield* Latch.make()]
    const seen = yield* gather(Stream.tap(texts.changes, () => Effect.andThen(here.open, go.await)))
    yield* here.await
    for (let i = 0; i < 50; i++) {
      const { position } = yield* store.append(from.stream("1"), notes(String(i)))
      yield* texts.awaitProcessed(position)
    }
    yield* go.open
    yield* seen.until((all) => all.at(-1)?.length === 50)
    // what was on its way when it stood still, and the last one
    assert.isBelow(seen.all.length, 6)
  })

  rule("fails where what was stored before does not decode", function*(store) {
    const from = freshCategory()
    yield* store.append(from.stream("1"), notes("1"))
    yield* store.append(Category.rawStream(from.stream("1").streamId), [raw("Noted", {})])
    has(yield* fails(textsIn(store, from), "EventDecodeFailed"), { streamVersion: 2 })
  })

  rule("tells everybody who reads why it ended, when an event does not decode later", function*(store) {
    const from = freshCategory()
    const stream = from.stream("1")
    const texts = yield* quietly(textsIn(store, from))
    const { position } = yield* store.append(stream, notes("good"))
    yield* texts.awaitProcessed(position)
    const changes = yield* Effect.forkChild(Stream.runDrain(texts.changes), { startImmediately: true })
    const waits = yield* Effect.forkChild(texts.awaitProcessed(position + 99), { startImmediately: true })
    yield* store.append(Category.rawStream(stream.streamId), [raw("Noted", { text: "last" }), raw("Noted", {})])
    for (const fiber of [changes, waits]) {
      has(yield* Effect.flip<any, { readonly _tag: string }, never>(Fiber.join(fiber)), {
        _tag: "EventDecodeFailed",
        streamVersion: 3
      })
    }
    yield* store.append(stream, notes("never"))
    const readings: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>> = [
      texts.get,
      texts.position,
      texts.awaitProcessed(0),
      Stream.runDrain(texts.changes)
    ]
    for (const read of readings) has(yield* Effect.flip(read), { _tag: "EventDecodeFailed", streamVersion: 3 })
    // what came before it is there
    equal(yield* SubscriptionRef.get(texts.state), ["good", "last"])
  })

  rule("dies where a function throws, and so does whoever reads", function*(store) {
    const from = freshCategory()
    const texts = yield* quietly(textsIn(store, from, {
      evolve: {
        Noted: () => {
          throw new Error("a mistake")
        },
        Counted: (texts) => texts
      }
    }))
    yield* store.append(from.stream("1"), notes("1"))
    yield* until("its end", () => Effect.map(Effect.exit(texts.get), Exit.isFailure))
    const exit = yield* Effect.exit(texts.get)
    assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
  })

  rule("ends with its scope, and lets nobody wait for what never comes", function*(store) {
    const from = freshCategory()
    const scope = yield* Scope.make()
    const texts = yield* Scope.provide(textsIn(store, from), scope)
    const changes = yield* gather(texts.changes)
    yield* changes.until(1)
    const waits = yield* Effect.forkChild(texts.awaitProcessed((yield* store.head()) + 9), { startImmediately: true })
    yield* Scope.close(scope, Exit.void)
    yield* fails(Fiber.join(waits), "AwaitTimedOut")
    const { position } = yield* store.append(from.stream("1"), notes("later"))
    has(yield* fails(texts.awaitProcessed(position), "AwaitTimedOut"), { position, projection: "in memory" })
    equal(yield* texts.get, [])
    equal(changes.all, [[]])
  })

  rule("waits no longer than it is asked to, and tells how far it is", function*(store) {
    const texts = yield* textsIn(store, freshCategory(), { name: "texts" })
    const head = yield* store.head()
    const error = yield* fails(texts.awaitProcessed(head + 1, { timeout: "20 millis" }), "AwaitTimedOut")
    has(error, { projection: "texts", position: head + 1, reached: head })
  })

  rule("refuses what is no position, no time, no filter, and a transaction that is open", function*(store) {
    const from = freshCategory()
    const texts = yield* textsIn(store, from)
    for (const wrong of [-1, 0.5, NaN, "1"] as ReadonlyArray<any>) {
      equal((yield* fails(texts.awaitProcessed(wrong), "InvalidInput")).field, "position")
    }
    equal((yield* fails(texts.awaitProcessed(0, { timeout: "soon" as any }), "InvalidInput")).field, "timeout")
    equal((yield* fails(textsIn(store, from, { streamPrefix: "\0" }), "InvalidInput")).field, "streamPrefix")
    equal((yield* fails(store.transaction(textsIn(store, from)), "InvalidInput")).field, "transaction")
  })
}
