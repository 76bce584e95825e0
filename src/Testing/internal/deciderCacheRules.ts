import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schedule } from "effect"
import type * as Decider from "../../Aggregate/Decider.ts"
import * as Snapshot from "../../Snapshot/Snapshot.ts"
import { StoreError } from "../../Store/StoreError.ts"
import { inStore, until } from "./consuming.ts"
import { answersAsPlain, counting, freshSnapshot, readsOf, savedOf } from "./deciderSnapshotRules.ts"
import { Erase, freshTexts, Full, type Hooks, old, on, sharing, Write, write } from "./deciding.ts"
import { otherStore } from "./projecting.ts"
import { collect, equal, fails, has, type Rules, type Store, together } from "./rule.ts"

const capacity = 100
const modes = ["checked", "trusted"] as const
const lookups = "eventstore.decider.cache.lookups"

/** A decider that keeps states, one that knows nothing of that, and the round trips of the first. */
const both = Effect.fnUntraced(function*(store: Store, cache: Decider.Cache, hooks: Hooks = {}) {
  const aggregate = freshTexts({ cache, ...hooks })
  const { calls, store: counted } = yield* readsOf(store)
  const name = aggregate.category.name
  return {
    name,
    aggregate,
    counted,
    mine: on(counted, aggregate),
    others: on(store, sharing(aggregate, {})),
    /** The round trips since this was asked last. */
    trips: () => calls.splice(0),
    /** What an effect answers, and what became of looking for states. */
    looking: <A, E, R>(effect: Effect.Effect<A, E, R>) => counting(lookups, name, effect)
  }
})

export const deciderCacheRules: Rules = (rule) => {
  rule("answers with a cache what it answers without, whatever became of the stream", function*(store) {
    yield* answersAsPlain(store, () => ({ snapshot: freshSnapshot(Snapshot.onDemand), cache: { capacity } }))
    yield* answersAsPlain(store, () => ({ snapshot: freshSnapshot(), cache: { capacity: 1 } }))
  })

  rule("answers with a trusted cache what it answers without, where nothing is hidden", function*(store) {
    yield* answersAsPlain(
      store,
      () => ({ snapshot: freshSnapshot(Snapshot.every(4)), cache: { capacity, mode: "trusted" } }),
      { canHide: false }
    )
  })

  rule("asks once whether a state holds and what came since, where it is checked", function*(store) {
    const { looking, mine, others, trips } = yield* both(store, { capacity })
    const [, first] = yield* looking(mine.run(write("a", "b")))
    equal([trips(), first], [["snapshots.resume", "append"], { miss: 1 }])
    const [, second] = yield* looking(mine.run(write("c")))
    equal([trips(), second], [["snapshots.resume", "append"], { hit: 1 }])
    yield* others.run(write("d"))
    const [{ state }, third] = yield* looking(mine.query())
    equal([trips(), third, state], [["snapshots.resume"], { behind: 1 }, ["a", "b", "c", "d"]])
    yield* store.truncateBefore(mine.stream, 3)
    const [queried, fourth] = yield* looking(mine.query())
    equal([trips(), fourth, queried.state], [["snapshots.resume"], { stale: 1 }, ["c", "d"]])
    yield* store.delete(mine.stream)
    const [ran, fifth] = yield* looking(mine.run(write("e")))
    equal([trips(), fifth, ran.state, ran.version], [["snapshots.resume", "append"], { stale: 1 }, ["e"], 5])
    const [, sixth] = yield* looking(mine.run(write("f")))
    equal([trips(), sixth], [["snapshots.resume", "append"], { hit: 1 }])
  })

  rule("decides at once on a state that is trusted, and appends", function*(store) {
    const { looking, mine, trips } = yield* both(store, { capacity, mode: "trusted" })
    yield* mine.run(write("a"))
    trips()
    const [ran, outcome] = yield* looking(mine.run(write("b")))
    equal([ran.state, trips(), outcome], [["a", "b"], ["append"], { hit: 1 }])
    has(yield* mine.run(write("c"), { expected: 2 }), { version: 3 })
    equal(trips(), ["append"])
  })

  rule("decides again where another process was faster than one that trusts", function*(store) {
    for (const retry of [undefined, Schedule.recurs(0)]) {
      const seen: Array<ReadonlyArray<string>> = []
      const { looking, mine, others, trips } = yield* both(store, { capacity, mode: "trusted" }, {
        meanwhile: (texts) => Effect.sync(() => void seen.push(texts)),
        retry
      })
      yield* mine.run(write("a"))
      yield* others.run(write("b"))
      trips()
      const [ran, outcome] = yield* looking(mine.run(write("c")))
      has(ran, { state: ["a", "b", "c"], version: 3 })
      equal(seen, [[], ["a"], ["a", "b"]])
      equal([trips(), outcome], [["append", "snapshots.resume", "append"], { behind: 1 }])
    }
  })

  rule("tells nobody about a trusted state that is over", function*(store) {
    const { mine, others, trips } = yield* both(store, { capacity, mode: "trusted" })
    const limited = new Write({ texts: ["new"], most: 2 })
    yield* mine.run(write("a", "b"))
    // what would fail, and does not any more
    yield* others.run(new Erase())
    trips()
    has(yield* mine.run(limited), { state: ["new"], version: 4 })
    equal(trips(), ["snapshots.resume", "append"])
    // what would have nothing to do, and has
    yield* mine.run(new Erase())
    yield* others.run(write("c"))
    trips()
    has(yield* mine.run(new Erase()), { state: [], version: 7 })
    equal(trips(), ["snapshots.resume", "append"])
    // what the caller expects, and is so by now
    yield* others.run(write("d"))
    has(yield* mine.run(write("e"), { expected: 8 }), { state: ["d", "e"], version: 9 })
    // and where it is as it was, it is decided once
    trips()
    equal(yield* fails(mine.run(limited), "Full"), new Full({ size: 2 }))
    equal(trips(), ["snapshots.resume"])
    has(yield* mine.run(write()), { state: ["d", "e"], version: 9 })
    equal(trips(), ["snapshots.resume"])
    has(yield* fails(mine.run(write("f"), { expected: 8 }), "WrongExpectedVersion"), { expected: 8, actual: 9 })
    // what was hidden shows as well, where nothing is appended
    yield* store.delete(mine.stream)
    has(yield* mine.run(write()), { state: [], version: 9 })
    has(yield* mine.run(limited), { state: ["new"], version: 10 })
    yield* store.tombstone(mine.stream)
    yield* fails(mine.run(write()), "StreamTombstoned")
    yield* fails(mine.run(write("g")), "StreamTombstoned")
  })

  rule("decides once where a decision on a trusted state fails and the state holds", function*(store) {
    let times = 0
    const { mine } = yield* both(store, { capacity, mode: "trusted" }, {
      meanwhile: () => Effect.sync(() => void times++)
    })
    yield* mine.run(write("a"))
    yield* fails(mine.run(new Write({ texts: ["b"], most: 1 })), "Full")
    equal(times, 2)
    yield* mine.run(write("b"))
    equal(times, 3)
  })

  rule("answers a query with what is stored, unless what is known here is enough", function*(store) {
    for (const mode of modes) {
      const { looking, mine, others, trips } = yield* both(store, { capacity, mode })
      const cached = { consistency: "cached" } as const
      equal(yield* mine.query(cached), { state: [], version: 0, position: 0 })
      yield* mine.run(write("a"))
      yield* others.run(write("b"))
      trips()
      const [known, outcome] = yield* looking(mine.query(cached))
      equal([known.state, trips(), outcome], [["a"], [], { hit: 1 }])
      has(yield* mine.query({ ...cached, version: 2 }), { state: ["a", "b"] })
      has(yield* mine.query(), { state: ["a", "b"], version: 2 })
      trips()
      equal([(yield* mine.query(cached)).state, trips()], [["a", "b"], []])
    }
    const plain = on(store, freshTexts())
    yield* plain.run(write("a"))
    has(yield* plain.query({ consistency: "cached" }), { state: ["a"] })
  })

  rule(
    "decides each of many commands at once exactly once, on the state it saw, from one process and from two",
    function*(
      store
    ) {
      for (const mode of modes) {
        const aggregate = freshTexts({
          cache: { capacity, mode },
          snapshot: freshSnapshot(Snapshot.every(10)),
          meanwhile: () => Effect.yieldNow
        })
        const places = [on(store, aggregate), on(yield* otherStore(store), aggregate)]
        const results = yield* together(64, (i) => places[i % 2]!.run(write(String(i))))
        const stored = yield* collect(store.read(places[0]!.stream))
        equal(
          stored.map(({ event }) => event._tag === "Written" && event.seen),
          Array.from({ length: 64 }, (_, i) => i)
        )
        const all = stored.map(({ event }) => event._tag === "Written" ? event.text : "")
        equal([...all].sort(), Array.from({ length: 64 }, (_, i) => String(i)).sort())
        for (const [i, { events, state, version }] of results.entries()) {
          equal([state, state.at(-1)], [all.slice(0, version), String(i)])
          equal(stored[version - 1]!.eventId, events[0]!.eventId)
        }
        for (const place of places) equal(yield* place.texts, all)
      }
    }
  )

  rule("keeps a limit among many commands at once", function*(store) {
    for (const mode of modes) {
      const aggregate = freshTexts({ cache: { capacity, mode }, meanwhile: () => Effect.yieldNow })
      const places = [on(store, aggregate), on(yield* otherStore(store), aggregate)]
      const results = yield* together(
        48,
        (i) => Effect.result(places[i % 2]!.run(new Write({ texts: [String(i)], most: 30 })))
      )
      equal(results.filter(({ _tag }) => _tag === "Success").length, 30)
      for (const result of results) if (result._tag === "Failure") equal(result.failure, new Full({ size: 30 }))
      equal((yield* places[0]!.texts).length, 30)
    }
  })

  rule("gives the first answer to a command that comes again, from whatever cache", function*(store) {
    for (const mode of modes) {
      const aggregate = freshTexts({ cache: { capacity, mode }, meanwhile: () => Effect.yieldNow })
      const places = [on(store, aggregate), on(yield* otherStore(store), aggregate)]
      const answers = yield* together(
        24,
        (i) => places[i % 2]!.run(write(String(i % 6)), { commandId: String(i % 6) })
      )
      equal([...yield* places[0]!.texts].sort(), ["0", "1", "2", "3", "4", "5"])
      for (const [i, { events, state, version }] of answers.entries()) {
        equal([events, state, version], [answers[i % 6]!.events, answers[i % 6]!.state, answers[i % 6]!.version])
      }
      yield* places[1]!.run(write("more"))
      const { isRepeated: _, ...first } = answers[0]!
      for (const place of places) {
        equal(yield* place.run(write("0"), { commandId: "0" }), { ...first, isRepeated: true })
      }
    }
  })

  rule("takes nothing from a transaction that is open, and hands nothing to it", function*(store) {
    for (const mode of modes) {
      const { looking, mine, others } = yield* both(store, { capacity, mode })
      yield* mine.run(write("a"))
      const body = Effect.gen(function*() {
        has(yield* mine.run(write("b")), { state: ["a", "b"], version: 2, position: 0 })
        has(yield* mine.query({ consistency: "cached" }), { state: ["a", "b"], version: 2 })
        has(yield* mine.run(write("c")), { state: ["a", "b", "c"], version: 3 })
      })
      const [, outcome] = yield* looking(
        fails(store.transaction(Effect.andThen(body, Effect.fail(new Full({ size: 0 })))), "Full")
      )
      equal(outcome, {})
      has(yield* mine.query({ consistency: "cached" }), { state: ["a"], version: 1 })
      yield* store.transaction(body)
      has(yield* mine.query({ consistency: "cached" }), { state: ["a"], version: 1 })
      has(yield* mine.run(write("d")), { state: ["a", "b", "c", "d"], version: 4 })
      equal(yield* others.texts, ["a", "b", "c", "d"])
    }
  })

  rule("is right after a command that was interrupted, or whose answer was lost", function*(store) {
    const lost = new StoreError({
      operation: "append",
      isRetryable: true,
      outcome: "unknown",
      cause: new Error("lost")
    })
    for (const mode of modes) {
      const aggregate = freshTexts({ cache: { capacity, mode } })
      const plain = on(store, sharing(aggregate, {}))
      let after: Effect.Effect<void, StoreError> = Effect.void
      const mine = on(
        yield* otherStore(
          store,
          ({ at, call }) => Effect.suspend(() => call === "append" && at === "after" ? after : Effect.void)
        ),
        aggregate
      )
      yield* mine.run(write("a"))
      // stored, and nobody heard of it
      after = Effect.fail(lost)
      equal(yield* fails(mine.run(write("b")), "StoreError"), lost)
      const begun = yield* Deferred.make<void>()
      after = Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
      equal((yield* mine.query({ consistency: "cached" })).state, ["a"])
      yield* plain.run(new Erase())
      yield* mine.query()
      const fiber = yield* Effect.forkScoped(mine.run(write("c")))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      after = Effect.void
      equal((yield* mine.query({ consistency: "cached" })).state, [])
      has(yield* mine.run(write("d")), { state: ["c", "d"], version: 5 })
      equal(yield* plain.texts, ["c", "d"])
    }
  })

  rule("keeps the states that were used last, and as many as it may", function*(store) {
    const { aggregate, counted, looking, name } = yield* both(store, { capacity: 2 })
    const [a, b, c] = [on(counted, aggregate, "a"), on(counted, aggregate, "b"), on(counted, aggregate, "c")]
    const filling = Effect.gen(function*() {
      for (const texts of [a, b, c]) yield* texts.run(write("1"))
    })
    const [, evicted] = yield* counting("eventstore.decider.cache.evictions", name, filling)
    equal(evicted, { all: 1 })
    const [, outcome] = yield* looking(b.query())
    equal(outcome, { hit: 1 })
    const [, again] = yield* looking(a.query())
    equal(again, { miss: 1 })
    const [, later] = yield* looking(Effect.andThen(b.query(), c.query()))
    equal(later, { hit: 1, miss: 1 })
  })

  rule("does not go back to a state that was read before another one was kept", function*(store) {
    const aggregate = freshTexts({ cache: { capacity, mode: "trusted" } })
    const others = on(store, sharing(aggregate, {}))
    const calls: Array<string> = []
    const [read, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    let isSlow = false
    const mine = on(
      yield* otherStore(store, ({ at, call }) =>
        Effect.suspend(() => {
          if (at === "before") calls.push(call)
          if (call !== "snapshots.resume" || at !== "after" || !isSlow) return Effect.void
          isSlow = false
          return Effect.andThen(Deferred.succeed(read, undefined), Deferred.await(gate))
        })),
      aggregate
    )
    yield* mine.run(write("a"))
    yield* others.run(write("b"))
    isSlow = true
    const slow = yield* Effect.forkScoped(mine.query())
    yield* Deferred.await(read)
    yield* mine.run(write("c"))
    yield* Deferred.succeed(gate, undefined)
    equal((yield* Fiber.join(slow)).state, ["a", "b"])
    calls.length = 0
    has(yield* mine.run(write("d")), { state: ["a", "b", "c", "d"] })
    equal(calls, ["append"])
  })

  rule("keeps the states of two stores apart", function*(store) {
    const aggregate = freshTexts({ cache: { capacity, mode: "trusted" } })
    const here = on(store, aggregate)
    const there = on(yield* otherStore(store), aggregate)
    yield* here.run(write("a"))
    yield* there.run(write("b"))
    const cached = { consistency: "cached" } as const
    equal([(yield* here.query(cached)).state, (yield* there.query(cached)).state], [["a"], ["a", "b"]])
  })

  rule("saves what it keeps when the policy says so, and loads what is saved where it keeps nothing", function*(store) {
    for (const mode of modes) {
      const snapshot = freshSnapshot(Snapshot.every(3))
      const { aggregate, counted, mine, trips } = yield* both(store, { capacity, mode }, { snapshot })
      for (const text of ["a", "b", "c", "d"]) yield* mine.run(write(text))
      const untilSaved = (version: number) =>
        until("a snapshot", () => Effect.map(savedOf(store, mine.stream), (info) => info?.streamVersion === version))
      yield* untilSaved(3)
      for (const text of ["e", "f"]) yield* mine.run(write(text))
      yield* untilSaved(6)
      // another program of the same kind begins with what is saved
      const other = on(counted, sharing(aggregate, { cache: { capacity, mode }, snapshot }))
      trips()
      const [{ state }, loads] = yield* counting("eventstore.snapshot.loads", snapshot.name, other.query())
      equal([state, loads, trips()], [["a", "b", "c", "d", "e", "f"], { held: 1 }, ["snapshots.load"]])
      has(yield* other.run(write("g")), { version: 7 })
      equal(trips(), mode === "trusted" ? ["append"] : ["snapshots.resume", "append"])
    }
  })

  rule("counts stored events that read as none, or as several, as the stream does", function*(store) {
    for (const mode of modes) {
      const { mine } = yield* both(store, { capacity, mode })
      yield* mine.run(write("a"))
      yield* old(store, mine.stream, "Debugged")
      has(yield* mine.run(write("b")), { state: ["a", "b"], version: 3 })
      yield* old(store, mine.stream, "WrittenTwice", { text: "c" })
      yield* old(store, mine.stream, "Debugged")
      has(yield* mine.run(write("d")), { state: ["a", "b", "c", "c", "d"], version: 6 })
    }
  })

  rule("passes on what a decision throws, once the state was asked after", function*(store) {
    const isThrowing = { now: false }
    const { mine, trips } = yield* both(store, { capacity, mode: "trusted" }, {
      meanwhile: () => isThrowing.now ? Effect.die("on purpose") : Effect.void
    })
    yield* mine.run(write("a"))
    trips()
    isThrowing.now = true
    equal(Exit.hasDies(yield* Effect.exit(mine.run(write("b")))), true)
    equal(trips(), ["snapshots.resume"])
    isThrowing.now = false
    has(yield* mine.run(write("b")), { state: ["a", "b"] })
  })

  rule("refuses a capacity that is none, and a mode that there is not", function*() {
    for (const capacity of [0, -1, 1.5, NaN]) assert.throws(() => freshTexts({ cache: { capacity } }), /capacity/)
    assert.throws(() => freshTexts({ cache: { capacity, mode: "blind" as never } }), /mode/)
    yield* Effect.void
  })

  rule("fails for a stream that has ended while its state was kept", function*(store) {
    for (const mode of modes) {
      const { mine } = yield* both(store, { capacity, mode })
      yield* mine.run(write("a"))
      yield* store.tombstone(mine.stream)
      yield* fails(mine.run(write("b")), "StreamTombstoned")
      yield* fails(mine.query(), "StreamTombstoned")
      yield* fails(mine.query({ consistency: "cached" }), "StreamTombstoned")
      yield* fails(inStore(store)(mine.run(write())), "StreamTombstoned")
    }
  })
}
