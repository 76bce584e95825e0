import { assert } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import * as Event from "../../Event/Event.ts"
import * as EventData from "../../Event/EventData.ts"
import * as View from "../../Projection/View.ts"
import * as Category from "../../Stream/Category.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { inStore } from "./consuming.ts"
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
  refused,
  type Rules,
  someNotes,
  type Store,
  textOf
} from "./rule.ts"

/** The texts in the order in which they came: what is left out, doubled or out of order shows. */
const textsIn = (from: Notes | ReadonlyArray<Notes>) =>
  View.make(from, {
    initial: [] as ReadonlyArray<string>,
    evolve: {
      Noted: (texts, { event }) => [...texts, event.text],
      Counted: (texts, { event }) => [...texts, String(event.count)]
    }
  })

const foldByHand = (recorded: ReadonlyArray<Recorded<Noted | Counted>>) => recorded.map(({ event }) => textOf(event))

/** The longest beginning in which all hold. */
const beginning = <E>(recorded: ReadonlyArray<E>, holds: (recorded: E) => boolean) => {
  const end = recorded.findIndex((one) => !holds(one))
  return end < 0 ? recorded : recorded.slice(0, end)
}

/** Two streams and a foreign one in turns, at several times. */
const history = Effect.fnUntraced(function*(store: Store) {
  const category = freshCategory()
  const [a, b] = [category.stream("a"), category.stream("b")]
  for (let i = 0; i < 6; i++) {
    yield* store.append(a, [new Noted({ text: `a${i}` }), new Counted({ count: i })])
    if (i % 2 === 0) yield* store.append(b, notes(`b${i}`))
    yield* store.append(freshStream(), notes("foreign"))
    yield* Effect.sleep("2 millis")
  }
  return { category, a, b }
})

export const viewRules: Rules = (rule) => {
  rule("folds a stream, a category, several, and the log, as a read finds them", function*(store) {
    const { a, category } = yield* history(store)
    const other = freshCategory()
    yield* store.append(other.stream("1"), notes("other"))
    const view = textsIn(category)
    const stream = yield* collect(store.read(a))
    equal(yield* inStore(store)(View.of(view, a)), {
      state: foldByHand(stream),
      version: 12,
      position: stream.at(-1)!.position
    })
    for (const from of [category, [category], [category, other]] as const) {
      const all = yield* collect(store.readCategory(from))
      equal(yield* inStore(store)(View.of(view, from)), {
        state: foldByHand(all),
        position: all.at(-1)!.position
      })
    }
    const count = View.make(Category.raw, { initial: 0, evolve: { RawEvent: (count) => count + 1 } })
    const head = yield* store.head()
    equal(yield* inStore(store)(View.of(count, Category.raw)), {
      state: (yield* collect(store.readAll())).length,
      position: head
    })
  })

  rule("folds nothing where there is nothing: the initial state, at version and position 0", function*(store) {
    const category = freshCategory()
    yield* store.append(freshStream(), notes("foreign"))
    const view = textsIn(category)
    equal(yield* inStore(store)(View.of(view, category.stream("none"))), { state: [], version: 0, position: 0 })
    equal(yield* inStore(store)(View.of(view, category)), { state: [], position: 0 })
    equal(yield* inStore(store)(View.of(view, [])), { state: [], position: 0 })
    const stream = category.stream("1")
    yield* store.append(stream, notes("1"))
    for (const asOf of [{ version: 0 }, { position: 0 }, { time: DateTime.makeUnsafe(0) }]) {
      equal(yield* inStore(store)(View.of(view, stream, asOf)), { state: [], version: 0, position: 0 })
    }
    yield* store.delete(stream)
    equal(yield* inStore(store)(View.of(view, stream)), { state: [], version: 0, position: 0 })
  })

  rule("shows a stream as it was at each of its versions", function*(store) {
    const { a, category } = yield* history(store)
    const all = yield* collect(store.read(a))
    for (let version = 0; version <= all.length + 1; version++) {
      const expected = beginning(all, ({ streamVersion }) => streamVersion <= version)
      equal(yield* inStore(store)(View.of(textsIn(category), a, { version })), {
        state: foldByHand(expected),
        version: expected.at(-1)?.streamVersion ?? 0,
        position: expected.at(-1)?.position ?? 0
      })
    }
  })

  rule("shows a stream, and a category, as they were at each position of the log", function*(store) {
    const start = yield* store.head()
    const { a, category } = yield* history(store)
    const [stream, all] = [yield* collect(store.read(a)), yield* collect(store.readCategory(category))]
    for (let position = start; position <= (yield* store.head()) + 1; position++) {
      const isBefore = (recorded: Recorded<unknown>) => recorded.position <= position
      const [ofStream, ofAll] = [beginning(stream, isBefore), beginning(all, isBefore)]
      const view = textsIn(category)
      equal(yield* inStore(store)(View.of(view, a, { position })), {
        state: foldByHand(ofStream),
        version: ofStream.at(-1)?.streamVersion ?? 0,
        position: ofStream.at(-1)?.position ?? 0
      })
      equal(yield* inStore(store)(View.of(view, category, { position })), {
        state: foldByHand(ofAll),
        position: ofAll.at(-1)?.position ?? 0
      })
    }
  })

  rule("shows a stream, and a category, as they were at any time: what was recorded then is in it", function*(store) {
    const { a, category } = yield* history(store)
    const view = textsIn(category)
    const [stream, all] = [yield* collect(store.read(a)), yield* collect(store.readCategory(category))]
    const times = all.flatMap(({ recordedAt }) =>
      [-1, 0, 1].map((millis) => DateTime.add(recordedAt, { milliseconds: millis }))
    )
    assert.isAbove(new Set(all.map(({ recordedAt }) => DateTime.toEpochMillis(recordedAt))).size, 3)
    for (const time of times) {
      const isBefore = ({ recordedAt }: Recorded<unknown>) =>
        DateTime.toEpochMillis(recordedAt) <= DateTime.toEpochMillis(time)
      equal((yield* inStore(store)(View.of(view, a, { time }))).state, foldByHand(beginning(stream, isBefore)))
      equal((yield* inStore(store)(View.of(view, category, { time }))).state, foldByHand(beginning(all, isBefore)))
    }
  })

  rule("shows the shortest past where several are named", function*(store) {
    const { a, category } = yield* history(store)
    const all = yield* collect(store.read(a))
    const at = (index: number) => all[index]!
    const shown = (asOf: View.StreamAsOf) =>
      Effect.map(inStore(store)(View.of(textsIn(category), a, asOf)), ({ version }) => version)
    const { position } = at(4)
    const time = at(8).recordedAt
    equal(yield* shown({ version: 3, position, time }), 3)
    equal(yield* shown({ version: 9, position, time }), 5)
    equal(yield* shown({ version: 99, position: yield* store.head(), time }), 10)
  })

  rule("folds of a source what a filter lets pass", function*(store) {
    const name = freshName()
    const category = freshCategory()
    const [a, b] = [category.stream("a"), category.stream("b")]
    yield* store.append(a, notes("1"))
    yield* store.append(b, [EventData.make(new Noted({ text: "2" }), { tags: [name] })])
    yield* store.append(b, [new Counted({ count: 3 })])
    const shown = (asOf: View.SourceAsOf) =>
      Effect.map(inStore(store)(View.of(textsIn(category), category, asOf)), ({ state }) => state)
    equal(yield* shown({ tags: [name] }), ["2"])
    equal(yield* shown({ types: ["Counted"] }), ["3"])
    equal(yield* shown({ streamPrefix: b.streamId }), ["2", "3"])
    equal(yield* shown({ streamPrefix: b.streamId, position: (yield* store.head()) - 1 }), ["2"])
  })

  rule("does not change by what is stored later", function*(store) {
    const { a, category } = yield* history(store)
    const view = textsIn(category)
    const { position, state } = yield* inStore(store)(View.of(view, category))
    const { version } = yield* inStore(store)(View.of(view, a))
    const time = (yield* collect(store.read(a))).at(-1)!.recordedAt
    yield* Effect.sleep("2 millis")
    yield* store.append(a, notes("later"))
    equal((yield* inStore(store)(View.of(view, category, { position }))).state, state)
    equal((yield* inStore(store)(View.of(view, a, { version }))).version, version)
    equal((yield* inStore(store)(View.of(view, a, { time }))).version, version)
    // the version it tells is the one that an append expects
    yield* refused(
      store,
      a,
      store.append(a, notes("too late"), { expected: version }),
      "WrongExpectedVersion"
    )
    const now = yield* inStore(store)(View.of(view, a))
    yield* store.append(a, notes("in time"), { expected: now.version })
  })

  rule("folds all parts of a stored event that was split, or none", function*(store) {
    const name = freshName()
    class One extends Schema.TaggedClass<One>()("One", { n: Schema.Int }) {}
    const Many = Event.oldest(Schema.Struct({ count: Schema.Int }))
    const from = Category.make(name, {
      id: Schema.String,
      events: [One, Many.retired("Many", ({ count }) => Array.from({ length: count }, (_, n) => new One({ n })))]
    })
    const view = View.make(from, { initial: "", evolve: { One: (state, { event }) => `${state}${event.n}` } })
    const stream = from.stream("1")
    const { position } = yield* store.append(Category.rawStream(stream.streamId), [
      raw("Many", { count: 3 }),
      raw("Many", { count: 0 }),
      raw("Many", { count: 2 })
    ])
    const shown = (asOf: View.StreamAsOf) => Effect.map(inStore(store)(View.of(view, stream, asOf)), (now) => now.state)
    equal(yield* shown({ version: 1 }), "012")
    equal(yield* shown({ version: 2 }), "012")
    equal(yield* shown({ position: position - 1 }), "012")
    equal(yield* shown({ position }), "01201")
    equal(yield* shown({}), "01201")
  })

  rule("folds a long stream", function*(store) {
    const category = freshCategory()
    const stream = category.stream("long")
    for (let i = 0; i < 5; i++) yield* store.append(stream, someNotes(1000))
    const count = View.make(category, {
      initial: { events: 0, last: 0 },
      evolve: {
        Noted: ({ events }, { streamVersion }) => ({ events: events + 1, last: streamVersion }),
        Counted: (state) => state
      }
    })
    equal((yield* inStore(store)(View.of(count, stream))).state, { events: 5000, last: 5000 })
    equal((yield* inStore(store)(View.of(count, stream, { version: 3333 }))).state, { events: 3333, last: 3333 })
  })

  rule("sees what its transaction staged of a stream, after every position", function*(store) {
    const category = freshCategory()
    const stream = category.stream("1")
    const { position } = yield* store.append(stream, notes("stored"))
    const view = textsIn(category)
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(stream, notes("staged"))
      equal(yield* inStore(store)(View.of(view, stream)), { state: ["stored", "staged"], version: 2, position })
      equal((yield* inStore(store)(View.of(view, stream, { position: position + 9 }))).state, ["stored"])
    }))
  })

  rule("fails where an event does not decode, and only where it is part of the view", function*(store) {
    const category = freshCategory()
    const stream = category.stream("1")
    yield* store.append(stream, notes("1"))
    yield* store.append(Category.rawStream(stream.streamId), [raw("Noted", {})])
    const view = textsIn(category)
    has(yield* fails(inStore(store)(View.of(view, stream)), "EventDecodeFailed"), { streamVersion: 2 })
    has(yield* fails(inStore(store)(View.of(view, category)), "EventDecodeFailed"), { streamVersion: 2 })
    equal((yield* inStore(store)(View.of(view, stream, { version: 1 }))).state, ["1"])
  })

  rule("fails with StreamTombstoned for a stream that has ended, and leaves it out of its category", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("1"))
    yield* store.append(category.stream("2"), notes("2"))
    yield* store.tombstone(category.stream("1"))
    yield* fails(inStore(store)(View.of(textsIn(category), category.stream("1"))), "StreamTombstoned")
    equal((yield* inStore(store)(View.of(textsIn(category), category))).state, ["2"])
  })

  rule("refuses a past that is none", function*(store) {
    const category = freshCategory()
    const view = textsIn(category)
    for (const wrong of [-1, 1.5, NaN, "3"] as ReadonlyArray<any>) {
      const stream = category.stream("1")
      equal((yield* fails(inStore(store)(View.of(view, stream, { version: wrong })), "InvalidInput")).field, "version")
      equal(
        (yield* fails(inStore(store)(View.of(view, stream, { position: wrong })), "InvalidInput")).field,
        "position"
      )
      equal(
        (yield* fails(inStore(store)(View.of(view, category, { position: wrong })), "InvalidInput")).field,
        "position"
      )
      equal((yield* fails(inStore(store)(View.of(view, category, { time: wrong })), "InvalidInput")).field, "time")
    }
  })
}
