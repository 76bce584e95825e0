import { assert } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import * as EventId from "../../Event/EventId.ts"
import type { ExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import {
  collect,
  equal,
  fails,
  freshCategory,
  freshStream,
  has,
  notes,
  type NotesStream,
  refused,
  type Rule,
  type Rules,
  someNotes,
  type Store,
  texts
} from "./rule.ts"

export const appendRules: Rules = (rule) => {
  rule("numbers the events of a stream from 1 without gaps", function*(store) {
    const stream = freshStream()
    for (const count of [1, 3, 2]) yield* store.append(stream, someNotes(count))
    const recorded = yield* collect(store.read(stream))
    equal(recorded.map((event) => event.streamVersion), [1, 2, 3, 4, 5, 6])
  })

  rule("answers with the first and last version of what it stored", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    const { firstVersion, streamId, version } = yield* store.append(stream, someNotes(3))
    equal({ firstVersion, streamId, version }, {
      firstVersion: 3,
      streamId: stream.streamId,
      version: 5
    })
  })

  rule("gives the events of an append positions that follow one another", function*(store) {
    const stream = freshStream()
    const { firstPosition, position } = yield* store.append(stream, someNotes(5))
    equal(position, firstPosition + 4)
    const recorded = yield* collect(store.read(stream))
    equal(
      recorded.map((event) => event.position),
      [0, 1, 2, 3, 4].map((i) => firstPosition + i)
    )
  })

  rule("leaves no hole in the positions between one append and the next", function*(store) {
    const [a, b] = [freshStream(), freshStream()]
    const first = yield* store.append(a, someNotes(2))
    const second = yield* store.append(b, someNotes(1))
    const third = yield* store.append(a, someNotes(2))
    equal([second.position - first.position, third.position - second.position], [1, 2])
  })

  rule("leaves no hole in the positions where an append was refused", function*(store) {
    const stream = freshStream()
    const first = yield* store.append(stream, someNotes(1))
    yield* fails(store.append(stream, someNotes(3), { expected: 7 }), "WrongExpectedVersion")
    const second = yield* store.append(stream, someNotes(1))
    equal(second.position, first.position + 1)
  })

  rule("starts positions at 1 or above, never at 0", function*(store) {
    const { firstPosition } = yield* store.append(freshStream(), someNotes(1))
    assert.isAtLeast(firstPosition, 1)
  })

  rule("keeps the order of the events of an append", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("c", "a", "b", "a"))
    equal(yield* texts(store, stream), ["c", "a", "b", "a"])
  })

  rule("keeps the streams of a category apart", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("one"))
    yield* store.append(category.stream("11"), notes("eleven"))
    equal(yield* texts(store, category.stream("1")), ["one"])
    equal(yield* texts(store, category.stream("11")), ["eleven"])
  })

  rule("tells upper case from lower case in stream ids", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("a"), notes("small"), { expected: "no-stream" })
    yield* store.append(category.stream("A"), notes("large"), { expected: "no-stream" })
    equal(yield* texts(store, category.stream("a")), ["small"])
  })

  rule("tells composed from decomposed characters in stream ids", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("\u00e9"), notes("composed"), { expected: "no-stream" })
    yield* store.append(category.stream("e\u0301"), notes("decomposed"), { expected: "no-stream" })
    equal(yield* texts(store, category.stream("\u00e9")), ["composed"])
  })

  rule("keeps trailing spaces in stream ids", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("a"), notes("without"), { expected: "no-stream" })
    yield* store.append(category.stream("a "), notes("with"), { expected: "no-stream" })
    equal(yield* texts(store, category.stream("a ")), ["with"])
  })

  rule("gives each event an id of its own, a UUID of version 7", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(100))
    const given = (yield* collect(store.read(stream))).map((event) => event.eventId)
    equal(new Set(given).size, 100)
    for (const id of given) assert.isTrue(EventId.isEventId(id) && id[14] === "7", id)
  })

  rule("notes when an event was recorded", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(1))
    const [recorded] = yield* collect(store.read(stream))
    const age = DateTime.toEpochMillis(yield* DateTime.now) - DateTime.toEpochMillis(recorded!.recordedAt)
    // the store's clock need not be ours
    assert.isBelow(Math.abs(age), 24 * 3600 * 1000)
  })

  rule("stores an append of 5,000 events whole", function*(store) {
    const stream = freshStream()
    const { firstVersion, version } = yield* store.append(stream, someNotes(5000), { expected: "no-stream" })
    equal([firstVersion, version], [1, 5000])
    equal(yield* texts(store, stream), someNotes(5000).map(({ text }) => text))
  })

  rule("names stream, expected and actual version in a conflict", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(3))
    const error = yield* refused(
      store,
      stream,
      store.append(stream, notes("x"), { expected: 1 }),
      "WrongExpectedVersion"
    )
    const violation = { streamId: stream.streamId, expected: 1, actual: 3 }
    has(error, violation)
    equal(error.violations, [violation])
    assert.include(error.message, `${stream.streamId} is at version 3, expected 1`)
  })

  rule("stores nothing of an append of which one event is not allowed", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notes("good", "bad \u0000", "good"))
    const error = yield* refused(store, stream, append, "InvalidInput")
    equal(error.field, "events[1]")
  })

  rule("answers an append without events with the heads of stream and log", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    const { position } = yield* store.append(freshStream(), someNotes(1))
    equal(yield* store.append(stream, [], { expected: 2 }), {
      streamId: stream.streamId,
      firstVersion: 2,
      version: 2,
      firstPosition: position,
      position
    })
  })

  rule("answers an append without events to a new stream with version 0", function*(store) {
    const { firstVersion, version } = yield* store.append(freshStream(), [], { expected: "no-stream" })
    equal([firstVersion, version], [0, 0])
  })

  rule("refuses an append without events whose expectation is wrong", function*(store) {
    const stream = freshStream()
    yield* refused(store, stream, store.append(stream, [], { expected: "stream-exists" }), "WrongExpectedVersion")
    yield* refused(store, stream, store.append(stream, [], { expected: 1 }), "WrongExpectedVersion")
  })

  rule("does not create a stream by an append without events", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), [])
    equal((yield* store.info(category.stream("1"))).status, "new")
    equal(yield* collect(store.streams({ category, deleted: true })), [])
  })

  for (const state of states) {
    for (const expected of expectations(state)) expectationRule(rule, state, expected)
  }
}

interface State {
  readonly name: string
  readonly version: number
  /** Whether it has an event to read. */
  readonly exists: boolean
  readonly tombstoned?: boolean
  readonly make: (store: Store, stream: NotesStream) => Generator<Effect.Effect<unknown, unknown>, unknown, never>
}

const states: ReadonlyArray<State> = [
  { name: "a new stream", version: 0, exists: false, make: function*() {} },
  {
    name: "a new stream with metadata",
    version: 0,
    exists: false,
    make: function*(store, stream) {
      yield* store.setMetadata(stream, { owner: "anna" })
    }
  },
  {
    name: "an active stream",
    version: 2,
    exists: true,
    make: function*(store, stream) {
      yield* store.append(stream, someNotes(2))
    }
  },
  {
    name: "a deleted stream",
    version: 2,
    exists: false,
    make: function*(store, stream) {
      yield* store.append(stream, someNotes(2))
      yield* store.delete(stream)
    }
  },
  {
    name: "a recreated stream",
    version: 3,
    exists: true,
    make: function*(store, stream) {
      yield* store.append(stream, someNotes(2))
      yield* store.delete(stream)
      yield* store.append(stream, someNotes(1))
    }
  },
  {
    name: "a stream truncated up to its last event",
    version: 3,
    exists: true,
    make: function*(store, stream) {
      yield* store.append(stream, someNotes(3))
      yield* store.truncateBefore(stream, 3)
    }
  },
  {
    name: "a stream truncated beyond its end",
    version: 3,
    exists: false,
    make: function*(store, stream) {
      yield* store.append(stream, someNotes(3))
      yield* store.truncateBefore(stream, 99)
    }
  },
  {
    name: "a tombstoned stream",
    version: 2,
    exists: false,
    tombstoned: true,
    make: function*(store, stream) {
      yield* store.append(stream, someNotes(2))
      yield* store.tombstone(stream)
    }
  }
]

const expectations = ({ version }: State): ReadonlyArray<ExpectedVersion> => [
  ...new Set<ExpectedVersion>(["any", "no-stream", "stream-exists", 0, Math.max(0, version - 1), version, version + 1])
]

const expectationRule = (rule: Rule, state: State, expected: ExpectedVersion) => {
  const stored = expected === "any" ||
    (expected === "no-stream"
      ? !state.exists
      : expected === "stream-exists"
      ? state.exists
      : expected === state.version)
  const what = typeof expected === "number" ? `version ${expected}` : `"${expected}"`
  const at = typeof expected === "number" ? ` at version ${state.version}` : ""
  if (state.tombstoned === true) {
    return rule(`answers StreamTombstoned to an append that expects ${what} of ${state.name}${at}`, function*(store) {
      const stream = freshStream()
      yield* Effect.gen(() => state.make(store, stream))
      const error = yield* refused(store, stream, store.append(stream, notes("x"), { expected }), "StreamTombstoned")
      equal(error.streamId, stream.streamId)
    })
  }
  if (stored) {
    return rule(`stores an append that expects ${what} of ${state.name}${at}`, function*(store) {
      const stream = freshStream()
      yield* Effect.gen(() => state.make(store, stream))
      const { firstVersion, version } = yield* store.append(stream, notes("x", "y"), { expected })
      equal([firstVersion, version], [state.version + 1, state.version + 2])
      equal(yield* texts(store, stream, { from: state.version + 1 }), ["x", "y"])
    })
  }
  rule(`refuses an append that expects ${what} of ${state.name}${at}`, function*(store) {
    const stream = freshStream()
    yield* Effect.gen(() => state.make(store, stream))
    const error = yield* refused(store, stream, store.append(stream, notes("x"), { expected }), "WrongExpectedVersion")
    has(error, { streamId: stream.streamId, expected, actual: state.version })
  })
}
