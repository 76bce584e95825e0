import { DateTime, Effect } from "effect"
import * as Decider from "../../Aggregate/Decider.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { freshTexts, old, on, write } from "./deciding.ts"
import { otherStore } from "./projecting.ts"
import { collect, equal, fails, freshStream, has, notes, type Rules, type Store } from "./rule.ts"

/** A stream with events of all kinds, at several times, others between them. */
const history = Effect.fnUntraced(function*(store: Store) {
  const aggregate = freshTexts()
  const texts = on(store, aggregate)
  for (let i = 0; i < 5; i++) {
    yield* texts.run(write(`${i}a`, `${i}b`))
    if (i === 1) yield* old(store, texts.stream, "WrittenTwice", { text: "old" })
    if (i === 2) yield* old(store, texts.stream, "Debugged")
    yield* store.append(freshStream(), notes("foreign"))
    yield* Effect.sleep("2 millis")
  }
  const all = yield* collect(store.read(texts.stream))
  /** What the fold of a beginning of the stream says, made by hand. */
  const foldOf = (holds: (recorded: Recorded<unknown>) => boolean) => {
    const end = all.findIndex((recorded) => !holds(recorded))
    const beginning = end < 0 ? all : all.slice(0, end)
    return Decider.replay(aggregate.decider("1"), beginning.map(({ event }) => event))
  }
  return { texts, all, foldOf, aggregate }
})

export const deciderAsOfRules: Rules = (rule) => {
  rule("answers the state, the version and the position of now", function*(store) {
    const { all, foldOf, texts } = yield* history(store)
    equal(yield* texts.query(), { state: foldOf(() => true), version: 12, position: all.at(-1)!.position })
    equal(yield* on(store, freshTexts()).query(), { state: [], version: 0, position: 0 })
  })

  rule("answers at each version the fold of the events up to it", function*(store) {
    const { foldOf, texts } = yield* history(store)
    for (let version = 0; version <= 13; version++) {
      has(yield* texts.query({ version }), {
        state: foldOf((recorded) => recorded.streamVersion <= version),
        version: Math.min(version, 12)
      })
    }
  })

  rule("answers at each position the fold of the events up to it", function*(store) {
    const { all, foldOf, texts } = yield* history(store)
    for (let position = all[0]!.position - 1; position <= all.at(-1)!.position + 1; position++) {
      const shown = yield* texts.query({ position })
      equal(shown.state, foldOf((recorded) => recorded.position <= position))
      equal(shown.position <= position, true)
    }
  })

  rule("answers at any time the fold of the events up to it", function*(store) {
    const { all, foldOf, texts } = yield* history(store)
    for (const { recordedAt } of all) {
      for (const milliseconds of [-1, 0, 1]) {
        const time = DateTime.add(recordedAt, { milliseconds })
        const isBefore = (recorded: Recorded<unknown>) =>
          DateTime.toEpochMillis(recorded.recordedAt) <= DateTime.toEpochMillis(time)
        equal((yield* texts.query({ time })).state, foldOf(isBefore))
      }
    }
  })

  rule("answers the shortest past where several are named", function*(store) {
    const { all, texts } = yield* history(store)
    const { position } = all[3]!
    equal((yield* texts.query({ version: 2, position })).version, 2)
    equal((yield* texts.query({ version: 9, position })).version, 4)
  })

  rule("is the same folded at once, and in two parts at each version", function*(store) {
    const { aggregate, all, texts } = yield* history(store)
    const { evolve } = aggregate.decider("1")
    const { state } = yield* texts.query()
    for (let version = 0; version <= 12; version++) {
      const first = yield* texts.query({ version })
      const rest = all.filter((recorded) => recorded.streamVersion > version)
      equal(rest.reduce((texts, { event }) => evolve(texts, event), first.state), state)
    }
  })

  rule("folds a stream of many pages, and parts of it", function*(store) {
    const texts = on(store, freshTexts())
    const written = Array.from({ length: 5000 }, (_, i) => String(i))
    for (let i = 0; i < 5; i++) yield* texts.run(write(...written.slice(1000 * i, 1000 * (i + 1))))
    for (const version of [1, 199, 200, 201, 2199, 2200, 2201, 4999]) {
      equal((yield* texts.query({ version })).state, written.slice(0, version))
    }
    equal((yield* texts.query()).state, written)
    has(yield* texts.run(write("last")), { version: 5001 })
  })

  rule("never folds events from before and after a part that was hidden while they were read", function*(store) {
    const aggregate = freshTexts()
    const texts = on(store, aggregate)
    const written = Array.from({ length: 3000 }, (_, i) => String(i + 1))
    yield* texts.run(write(...written))
    let pages = 0
    const slow = yield* otherStore(
      store,
      ({ at, call }) =>
        Effect.suspend(() =>
          call === "snapshots.resume" && at === "after" && ++pages === 1
            ? Effect.orDie(store.truncateBefore(texts.stream, 2500))
            : Effect.void
        )
    )
    equal((yield* on(slow, aggregate).query()).state, written.slice(2499))
  })

  rule("does not change by what is stored later", function*(store) {
    const texts = on(store, freshTexts())
    const { position, version } = yield* texts.run(write("a"))
    yield* texts.run(write("b"))
    for (const asOf of [{ version }, { position }]) {
      equal(yield* texts.query(asOf), { state: ["a"], version, position })
    }
  })

  rule("shows of a stream as it was only what is still to be read", function*(store) {
    const texts = on(store, freshTexts())
    yield* texts.run(write("a", "b", "c"))
    yield* store.truncateBefore(texts.stream, 2)
    has(yield* texts.query({ version: 2 }), { state: ["b"], version: 2 })
    yield* store.delete(texts.stream)
    has(yield* texts.query({ version: 2 }), { state: [], version: 0 })
  })

  rule("refuses a past that is none", function*(store) {
    const texts = on(store, freshTexts())
    for (const wrong of [-1, 1.5, NaN, "3"] as ReadonlyArray<any>) {
      equal((yield* fails(texts.query({ version: wrong }), "InvalidInput")).field, "version")
      equal((yield* fails(texts.query({ position: wrong }), "InvalidInput")).field, "position")
      equal((yield* fails(texts.query({ time: wrong }), "InvalidInput")).field, "time")
    }
  })
}
