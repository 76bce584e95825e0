import { Deferred, Effect, Exit, Fiber, Schedule } from "effect"
import * as Decider from "../../Aggregate/Decider.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore } from "./consuming.ts"
import { freshTexts, Full, old, on, sharing, slowly, type TextsAggregate, Write, write, Written } from "./deciding.ts"
import { collect, equal, fails, has, raw, refused, type Rules, together } from "./rule.ts"

export const deciderRules: Rules = (rule) => {
  rule("decides on the state of a stream, and appends what follows", function*(store) {
    const texts = on(store, freshTexts())
    const first = yield* texts.run(write("a", "b"))
    has(first, { state: ["a", "b"], version: 2, isRepeated: false })
    const second = yield* texts.run(write("c"))
    has(second, { state: ["a", "b", "c"], version: 3 })
    const stored = yield* collect(store.read(texts.stream))
    equal(
      stored.map(({ event, eventId, position, streamVersion }) => ({ event, eventId, streamVersion, position })),
      [...first.events, ...second.events]
    )
    equal(second.position, stored.at(-1)!.position)
    equal(stored.map(({ event }) => event._tag === "Written" && event.seen), [0, 1, 2])
  })

  rule("appends nothing where there is nothing to do, and tells the version that there is", function*(store) {
    const texts = on(store, freshTexts())
    const head = yield* store.head()
    equal(yield* texts.run(write()), { state: [], events: [], version: 0, position: 0, isRepeated: false })
    equal(yield* store.head(), head)
    const { position } = yield* texts.run(write("a"))
    equal(yield* texts.run(write()), { state: ["a"], events: [], version: 1, position, isRepeated: false })
    equal((yield* store.info(texts.stream)).version, 1)
  })

  rule("fails with what the decision fails with, and leaves nothing", function*(store) {
    const texts = on(store, freshTexts())
    yield* texts.run(write("a"))
    const full = yield* refused(
      store,
      texts.stream,
      texts.run(new Write({ texts: ["b", "c"], most: 2 })),
      "Full"
    )
    equal(full, new Full({ size: 1 }))
  })

  rule("goes on with the versions of a stream that was deleted, from the state in the beginning", function*(store) {
    const texts = on(store, freshTexts())
    yield* texts.run(write("a", "b"))
    yield* store.delete(texts.stream)
    equal(yield* texts.query(), { state: [], version: 2, position: 0 })
    has(yield* texts.run(write()), { state: [], version: 2 })
    has(yield* texts.run(write("c")), { state: ["c"], version: 3 })
    has(yield* texts.run(write("d")), { state: ["c", "d"], version: 4 })
  })

  rule("decides on what is left of a stream that was truncated", function*(store) {
    const texts = on(store, freshTexts())
    yield* texts.run(write("a", "b", "c"))
    yield* store.truncateBefore(texts.stream, 3)
    has(yield* texts.run(write("d")), { state: ["c", "d"], version: 4 })
  })

  rule("counts stored events that read as none, or as several, as the stream does", function*(store) {
    const texts = on(store, freshTexts())
    yield* old(store, texts.stream, "Debugged")
    has(yield* texts.run(write("a")), { state: ["a"], version: 2 })
    yield* old(store, texts.stream, "WrittenTwice", { text: "b" })
    yield* old(store, texts.stream, "Debugged")
    has(yield* texts.query(), { state: ["a", "b", "b"], version: 4 })
    has(yield* texts.run(write("c")), { state: ["a", "b", "b", "c"], version: 5 })
  })

  rule("decides again, on what is new as well, when another writer was faster", function*(store) {
    const aggregate = freshTexts()
    const others = on(store, aggregate)
    const seen: Array<ReadonlyArray<string>> = []
    const mine = on(
      store,
      sharing(aggregate, {
        meanwhile: (texts) => {
          seen.push(texts)
          return seen.length <= 2 ? Effect.orDie(Effect.asVoid(others.run(write(`other ${seen.length}`)))) : Effect.void
        }
      })
    )
    has(yield* mine.run(write("mine")), { state: ["other 1", "other 2", "mine"], version: 3 })
    equal(seen, [[], ["other 1"], ["other 1", "other 2"]])
    equal(yield* others.texts, ["other 1", "other 2", "mine"])
  })

  rule("answers with the decision on the newer state, where that one fails", function*(store) {
    const aggregate = freshTexts()
    const others = on(store, aggregate)
    const mine = on(
      store,
      sharing(aggregate, {
        meanwhile: (texts) => texts.length > 0 ? Effect.void : Effect.orDie(Effect.asVoid(others.run(write("other"))))
      })
    )
    equal(yield* fails(mine.run(new Write({ texts: ["mine"], most: 1 })), "Full"), new Full({ size: 1 }))
    equal(yield* others.texts, ["other"])
  })

  rule("sees what was hidden while it decided, when it decides again", function*(store) {
    for (const change of ["delete", "truncate"] as const) {
      const aggregate = freshTexts()
      const others = on(store, aggregate)
      yield* others.run(write("a", "b"))
      let times = 0
      const meanwhile = () =>
        Effect.gen(function*() {
          if (times++ > 0) return
          yield* change === "delete" ? store.delete(others.stream) : store.truncateBefore(others.stream, 2)
          yield* others.run(write("c"))
        }).pipe(Effect.orDie)
      const mine = on(store, sharing(aggregate, { meanwhile }))
      has(yield* mine.run(write("d")), { state: change === "delete" ? ["c", "d"] : ["b", "c", "d"], version: 4 })
      equal(times, 2)
    }
  })

  rule("gives up with the last conflict when its schedule ends", function*(store) {
    const aggregate = freshTexts()
    const others = on(store, aggregate)
    let times = 0
    const mine = on(
      store,
      sharing(aggregate, {
        meanwhile: () => Effect.orDie(Effect.asVoid(others.run(write(`other ${++times}`)))),
        retry: Schedule.recurs(3)
      })
    )
    has(yield* fails(mine.run(write("mine")), "WrongExpectedVersion"), { expected: 3, actual: 4 })
    equal(yield* others.texts, ["other 1", "other 2", "other 3", "other 4"])
  })

  rule("tries nothing again but its own conflicts", function*(store) {
    const aggregate = freshTexts()
    const others = on(store, aggregate)
    yield* others.run(write("a"))
    let times = 0
    const conflict = yield* fails(store.append(others.stream, [], { expected: 0 }), "WrongExpectedVersion")
    const mine = on(
      store,
      sharing(aggregate, {
        meanwhile: () => {
          times++
          return Effect.fail(conflict) as never
        }
      })
    )
    equal(yield* fails(mine.run(write("b")), "WrongExpectedVersion"), conflict)
    equal(times, 1)
  })

  rule("does not decide where the caller's expectation does not hold", function*(store) {
    const aggregate = freshTexts()
    const texts = on(store, aggregate)
    yield* texts.run(write("a"), { expected: "no-stream" })
    const before = yield* texts.run(write("b"), { expected: 1 })
    for (const expected of [1, 3, "no-stream"] as const) {
      const silent = on(store, sharing(aggregate, { meanwhile: () => Effect.die("decided") }))
      has(yield* fails(silent.run(write("c"), { expected }), "WrongExpectedVersion"), { expected, actual: 2 })
    }
    has(yield* texts.run(write("c"), { expected: before.version }), { version: 3 })
    has(yield* texts.run(write("d"), { expected: "stream-exists" }), { version: 4 })
    // nor where it did, and does not any more
    let times = 0
    const late = on(
      store,
      sharing(aggregate, {
        meanwhile: () => {
          times++
          return Effect.orDie(Effect.asVoid(texts.run(write("faster"))))
        }
      })
    )
    has(yield* fails(late.run(write("late"), { expected: 4 }), "WrongExpectedVersion"), { expected: 4, actual: 5 })
    equal(times, 1)
    equal(yield* texts.texts, ["a", "b", "c", "d", "faster"])
  })

  rule("decides each of many commands at once exactly once, on the state it saw", function*(store) {
    const texts = on(store, freshTexts(slowly))
    const results = yield* together(64, (i) => texts.run(write(String(i))))
    const stored = yield* collect(store.read(texts.stream))
    equal(stored.map(({ event }) => event._tag === "Written" && event.seen), Array.from({ length: 64 }, (_, i) => i))
    const all = stored.map(({ event }) => event._tag === "Written" ? event.text : "")
    equal([...all].sort(), Array.from({ length: 64 }, (_, i) => String(i)).sort())
    for (const [i, { events, position, state, version }] of results.entries()) {
      equal(state, all.slice(0, version))
      equal(state.at(-1), String(i))
      has(events[0]!, { streamVersion: version, position })
      equal(stored[version - 1]!.eventId, events[0]!.eventId)
    }
  })

  rule("keeps a limit among many commands at once", function*(store) {
    const texts = on(store, freshTexts(slowly))
    const results = yield* together(64, (i) => Effect.result(texts.run(new Write({ texts: [String(i)], most: 40 }))))
    equal(results.filter(({ _tag }) => _tag === "Success").length, 40)
    for (const result of results) if (result._tag === "Failure") equal(result.failure, new Full({ size: 40 }))
    equal((yield* texts.texts).length, 40)
  })

  rule("leaves nothing when it is interrupted while it decides", function*(store) {
    const aggregate = freshTexts()
    const begun = yield* Deferred.make<void>()
    const texts = on(store, aggregate)
    const stuck = on(
      store,
      sharing(aggregate, { meanwhile: () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never) })
    )
    const head = yield* store.head()
    const fiber = yield* Effect.forkScoped(stuck.run(write("a"), { commandId: "1" }))
    yield* Deferred.await(begun)
    yield* Fiber.interrupt(fiber)
    equal(yield* store.head(), head)
    has(yield* texts.run(write("b"), { commandId: "1" }), { state: ["b"], version: 1, isRepeated: false })
  })

  rule("stores the events of an interrupted command whole, or not at all", function*(store) {
    const aggregate = freshTexts()
    for (let i = 0; i < 20; i++) {
      const texts = on(store, aggregate, String(i))
      const fiber = yield* Effect.forkScoped(texts.run(write("a", "b", "c"), { commandId: "1" }))
      yield* Effect.sleep(i / 4)
      yield* Fiber.interrupt(fiber)
      const { version } = yield* texts.query()
      equal(version === 0 || version === 3, true)
      has(yield* texts.run(write("a", "b", "c"), { commandId: "1" }), { state: ["a", "b", "c"], version: 3 })
    }
  })

  rule("stores no event that cannot be folded", function*(store) {
    const aggregate = freshTexts()
    const texts = on(store, aggregate)
    yield* texts.run(write("a"))
    const exit = yield* Effect.exit(inStore(store)(throwing(aggregate).run("1", "anything")))
    equal(Exit.hasDies(exit), true)
    equal((yield* store.info(texts.stream)).version, 1)
  })

  rule("gives events the metadata of the fibre and of the command", function*(store) {
    const texts = on(store, freshTexts())
    yield* texts.run(write("a"), { commandId: "c-1", metadata: { actor: "anna" } })
    yield* EventMetadata.provide({ correlationId: "request", causationId: "event" })(
      texts.run(write("b"), { commandId: "c-2" })
    )
    yield* EventMetadata.provide({ correlationId: "request", causationId: "event" })(texts.run(write("c")))
    const [a, b, c] = (yield* collect(store.read(texts.stream))).map(({ metadata }) => metadata)
    has(a!, { correlationId: "c-1", causationId: "c-1", actor: "anna" })
    has(b!, { correlationId: "request", causationId: "c-2" })
    has(c!, { correlationId: "request", causationId: "event" })
  })

  rule("stages its events in a transaction that is open, and sees what is staged", function*(store) {
    const texts = on(store, freshTexts())
    yield* store.transaction(Effect.gen(function*() {
      has(yield* texts.run(write("a")), { state: ["a"], version: 1, position: 0 })
      const { events } = yield* texts.run(write("b"))
      equal(events.map(({ position, streamVersion }) => [position, streamVersion]), [[0, 2]])
    }))
    has(yield* texts.query(), { state: ["a", "b"], version: 2 })
    yield* fails(
      store.transaction(Effect.andThen(texts.run(write("c")), Effect.fail(new Full({ size: 0 })))),
      "Full"
    )
    has(yield* texts.query(), { state: ["a", "b"], version: 2 })
  })

  rule("fails for a stream that has ended, and for an id that cannot name one", function*(store) {
    const aggregate = freshTexts()
    const texts = on(store, aggregate)
    yield* texts.run(write("a"))
    yield* store.tombstone(texts.stream)
    yield* fails(texts.run(write("b")), "StreamTombstoned")
    yield* fails(texts.query(), "StreamTombstoned")
    for (const id of ["", "\0", "x".repeat(600)]) {
      const nameless = on(store, aggregate, id)
      has(yield* fails(nameless.run(write("a")), "InvalidInput"), { field: "id" })
      has(yield* fails(nameless.query(), "InvalidInput"), { field: "id" })
    }
    for (const commandId of ["", "\uD800"]) {
      has(yield* fails(on(store, aggregate, "2").run(write("a"), { commandId }), "InvalidInput"), {
        field: "commandId"
      })
    }
  })

  rule("fails where an event of the stream does not decode", function*(store) {
    const texts = on(store, freshTexts())
    yield* texts.run(write("a"))
    yield* store.append(Category.rawStream(texts.stream.streamId), [raw("Written", {})])
    has(yield* fails(texts.run(write("b")), "EventDecodeFailed"), { streamVersion: 2 })
    equal((yield* texts.query({ version: 1 })).state, ["a"])
  })

  rule("runs what comes from outside, and names the field of what is no command", function*(store) {
    const texts = on(store, freshTexts())
    has(yield* texts.runUnknown({ _tag: "Write", texts: ["a"] }), { state: ["a"] })
    const wrong: ReadonlyArray<readonly [unknown, object]> = [
      [null, { command: undefined, field: "" }],
      ["Write", { command: undefined, field: "" }],
      [{}, { command: undefined, field: "_tag" }],
      [{ _tag: "Burn" }, { command: undefined, field: "_tag" }],
      [{ _tag: "Write" }, { command: "Write", field: "texts" }],
      [{ _tag: "Write", texts: ["a", 1] }, { command: "Write", field: "texts[1]" }],
      [{ _tag: "Write", texts: [], most: 0.5 }, { command: "Write", field: "most" }]
    ]
    for (const [input, part] of wrong) {
      has(yield* refused(store, texts.stream, texts.runUnknown(input), "CommandDecodeFailed"), part)
    }
  })
}

/** A decider that cannot fold what it decides. */
const throwing = (aggregate: TextsAggregate) =>
  Decider.make(aggregate.category, {
    initial: 0,
    evolve: (count: number, event: any) => {
      if (event.text === "bad") throw new Error("cannot be folded")
      return count + 1
    },
    decide: (_: string, seen) => [new Written({ text: "fine", seen }), new Written({ text: "bad", seen })]
  })
