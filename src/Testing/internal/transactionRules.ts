import { assert } from "@effect/vitest"
import { Effect, Fiber, Latch, Result } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import {
  collect,
  equal,
  fails,
  freshCategory,
  freshName,
  freshStream,
  has,
  ids,
  notes,
  notesAs,
  raw,
  refused,
  type Rule,
  type Rules,
  skip,
  someNotes,
  type Store,
  tagged,
  texts,
  together
} from "./rule.ts"

const { entry } = EventStore

/** Runs `inside` in a transaction and, before the transaction ends, `outside`. */
const whileOpen = <A, E, B, E2>(store: Store, inside: Effect.Effect<A, E>, outside: Effect.Effect<B, E2>) =>
  Effect.gen(function*() {
    const [staged, seen] = [yield* Latch.make(), yield* Latch.make()]
    const transaction = Effect.tap(Effect.ensuring(inside, staged.open), () => seen.await)
    const fiber = yield* Effect.forkChild(Effect.result(store.transaction(transaction)))
    yield* staged.await
    const answer = yield* outside
    yield* seen.open
    return [yield* Fiber.join(fiber), answer] as const
  })

export const transactionRules: Rules = (rule, { transactions }) => {
  rule("stores what a transaction appends, at positions that follow one another in its order", function*(store) {
    const category = freshCategory()
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(category.stream("b"), notes("1"))
      yield* store.append(category.stream("a"), notes("2", "3"))
      yield* store.append(category.stream("b"), notes("4"))
    }))
    const recorded = yield* collect(store.readCategory(category))
    equal(recorded.map(({ event }) => event), notes("1", "2", "3", "4"))
    const start = recorded[0]!.position
    equal(recorded.map(({ position }) => position - start), [0, 1, 2, 3])
    equal(recorded.map(({ streamVersion }) => streamVersion), [1, 1, 2, 2])
  })

  rule("answers what a transaction's effect answers", function*(store) {
    equal(yield* store.transaction(Effect.succeed(7)), 7)
    equal(yield* Effect.flip(store.transaction(Effect.fail("no"))), "no")
  })

  rule("stores nothing of a transaction that fails", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("before"))
    const head = yield* store.head()
    yield* Effect.exit(store.transaction(Effect.andThen(store.append(stream, someNotes(3)), Effect.fail("no"))))
    equal(yield* texts(store, stream), ["before"])
    equal(yield* store.head(), head)
  })

  rule("stores nothing of a transaction that dies", function*(store) {
    const stream = freshStream()
    const exit = yield* Effect.exit(
      store.transaction(Effect.andThen(store.append(stream, someNotes(3)), Effect.die(new Error("died on purpose"))))
    )
    equal(exit._tag, "Failure")
    equal(yield* texts(store, stream), [])
  })

  rule("stores nothing of a transaction that is interrupted", function*(store) {
    const stream = freshStream()
    const staged = yield* Latch.make()
    const fiber = yield* Effect.forkChild(store.transaction(
      store.append(stream, someNotes(3)).pipe(Effect.andThen(staged.open), Effect.andThen(Effect.never))
    ))
    yield* staged.await
    yield* Fiber.interrupt(fiber)
    equal(yield* texts(store, stream), [])
    equal((yield* store.append(stream, someNotes(1), { expected: "no-stream" })).version, 1)
  })

  rule("answers a staged append with versions, and with position 0", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(1))
    const answers = yield* store.transaction(Effect.all([
      store.append(stream, someNotes(2)),
      store.append(stream, someNotes(1), { expected: 3 })
    ]))
    has(answers[0], { firstVersion: 2, version: 3, firstPosition: 0, position: 0 })
    has(answers[1], { firstVersion: 4, version: 4, firstPosition: 0, position: 0 })
  })

  rule("shows staged events to the transaction's own reads of a stream", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("a"))
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(stream, notes("b", "c"))
      equal(yield* texts(store, stream), ["a", "b", "c"])
      equal(yield* texts(store, stream, { direction: "backward" }), ["c", "b", "a"])
      equal(yield* texts(store, stream, { from: 2, limit: 1 }), ["b"])
      equal(yield* texts(store, stream, { direction: "backward", limit: 2 }), ["c", "b"])
      equal((yield* collect(store.read(stream))).map(({ position }) => position > 0), [true, false, false])
      equal(yield* store.head(stream), 3)
    }))
    equal(yield* texts(store, stream), ["a", "b", "c"])
  })

  rule("checks expected versions against what the transaction staged", function*(store) {
    const stream = freshStream()
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(stream, someNotes(2), { expected: "no-stream" })
      const error = yield* fails(store.append(stream, someNotes(1), { expected: "no-stream" }), "WrongExpectedVersion")
      equal(error.actual, 2)
      yield* store.append(stream, someNotes(1), { expected: 2 })
    }))
    equal(yield* store.head(stream), 3)
  })

  rule("goes on with a transaction after an append that it caught being refused", function*(store) {
    const stream = freshStream()
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(stream, notes("a"))
      yield* fails(store.append(stream, notes("no"), { expected: 9 }), "WrongExpectedVersion")
      yield* store.append(stream, notes("b"))
    }))
    equal(yield* texts(store, stream), ["a", "b"])
  })

  rule("stores nothing where an append inside of a transaction is refused and nobody catches it", function*(store) {
    const [stream, other] = [freshStream(), freshStream()]
    const transaction = store.transaction(Effect.andThen(
      store.append(other, someNotes(1)),
      store.append(stream, someNotes(1), { expected: 4 })
    ))
    yield* refused(store, other, transaction, "WrongExpectedVersion")
  })

  rule("appends to several streams at once inside of a transaction", function*(store) {
    const category = freshCategory()
    yield* store.transaction(store.appendAll([
      entry(category.stream("a"), notes("1"), { expected: "no-stream" }),
      entry(category.stream("b"), notes("2"), { expected: 0 })
    ]))
    equal((yield* collect(store.readCategory(category))).map(({ event }) => event), notes("1", "2"))
  })

  rule("checks the condition of an appendIf inside of a transaction, staged events included", function*(store) {
    const name = freshName()
    const take = store.appendIf({ items: [{ tags: [name] }], after: 0 }, [
      entry(Category.rawStream(`${name}-1`), [tagged("T", name)])
    ])
    yield* store.transaction(Effect.andThen(take, fails(take, "AppendConditionFailed")))
    equal(yield* store.head(Category.rawStream(`${name}-1`)), 1)
  })

  rule("answers a repeated append inside of a transaction as the first", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notesAs(yield* ids(2)), { expected: "no-stream" })
    const first = yield* append
    equal(yield* store.transaction(append), first)
    equal(yield* store.head(stream), 2)
  })

  rule("stores a repeated transaction once", function*(store) {
    const category = freshCategory()
    const [a, b] = [notesAs(yield* ids(2)), notesAs(yield* ids(1))]
    const transaction = store.transaction(Effect.andThen(
      store.append(category.stream("a"), a, { expected: "no-stream" }),
      store.append(category.stream("b"), b, { expected: "no-stream" })
    ))
    yield* transaction
    yield* transaction
    equal((yield* collect(store.readCategory(category))).length, 3)
  })

  rule("refuses to change a stream inside of a transaction", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(2))
    for (
      const change of [
        store.delete(stream),
        store.tombstone(stream),
        store.truncateBefore(stream, 2),
        store.setMetadata(stream, { a: 1 })
      ]
    ) {
      const error = yield* refused(store, stream, store.transaction(change), "InvalidInput")
      equal(error.field, "transaction")
    }
  })

  rule("takes back a nested transaction that fails, and that one alone", function*(store) {
    const stream = freshStream()
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(stream, notes("a"))
      const nested = store.transaction(Effect.andThen(store.append(stream, notes("no", "no")), Effect.fail("no")))
      equal(yield* Effect.flip(nested), "no")
      equal(yield* texts(store, stream), ["a"])
      yield* store.append(stream, notes("b"), { expected: 1 })
    }))
    equal(yield* texts(store, stream), ["a", "b"])
  })

  rule("stores a nested transaction that succeeds with the one around it", function*(store) {
    const stream = freshStream()
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(stream, notes("a"))
      yield* store.transaction(store.append(stream, notes("b"), { expected: 1 }))
      equal(yield* texts(store, stream), ["a", "b"])
      yield* store.append(stream, notes("c"))
    }))
    equal(yield* texts(store, stream), ["a", "b", "c"])
  })

  rule("keeps what siblings of a nested transaction append at the same time", function*(store) {
    const [one, two] = [freshStream(), freshStream()]
    yield* store.transaction(
      Effect.all([
        store.transaction(Effect.andThen(store.append(one, notes("a")), Effect.sleep(5))),
        Effect.andThen(Effect.sleep(2), store.append(two, notes("b")))
      ], { concurrency: "unbounded" })
    )
    equal([yield* texts(store, one), yield* texts(store, two)], [["a"], ["b"]])
  })

  rule("does not take an append for stored that comes after the end of its transaction", function*(store) {
    const stream = freshStream()
    const late = yield* store.transaction(Effect.gen(function*() {
      const latch = yield* Latch.make()
      const fiber = yield* Effect.forkDetach(Effect.exit(latch.whenOpen(store.append(stream, notes("late")))))
      return { latch, fiber }
    }))
    yield* late.latch.open
    const exit = yield* Fiber.join(late.fiber)
    // stored or refused: what it may not do is answer that it is stored, and lose it
    equal((yield* texts(store, stream)).length, exit._tag === "Success" ? 1 : 0)
  })

  rule("stores nothing of a nested transaction where the one around it fails", function*(store) {
    const stream = freshStream()
    yield* Effect.exit(store.transaction(
      Effect.andThen(store.transaction(store.append(stream, notes("a"))), Effect.fail("no"))
    ))
    equal(yield* texts(store, stream), [])
  })

  rule("appends nothing in a transaction that does not append", function*(store) {
    const head = yield* store.head()
    yield* store.transaction(store.append(freshStream(), []))
    equal(yield* store.head(), head)
  })

  rule("stores many transactions at the same time, each together", function*(store) {
    const category = freshCategory()
    yield* together(16, (i) =>
      store.transaction(Effect.gen(function*() {
        yield* store.append(category.stream("shared"), notes(String(i)))
        yield* Effect.yieldNow
        yield* store.append(category.stream(String(i)), notes(String(i)))
        yield* store.append(category.stream("shared"), notes(String(i)))
      })))
    const recorded = yield* collect(store.readCategory(category))
    equal(recorded.length, 48)
    for (let i = 0; i < 48; i += 3) {
      const group = recorded.slice(i, i + 3)
      equal(new Set(group.map(({ event }) => event._tag === "Noted" && event.text)).size, 1)
      equal(group.map(({ position }) => position - group[0]!.position), [0, 1, 2])
    }
    const versions = (yield* collect(store.read(category.stream("shared")))).map(({ streamVersion }) => streamVersion)
    equal(versions, Array.from({ length: 32 }, (_, i) => i + 1))
  })

  openTransactionRules(transactions === "concurrent" ? rule : skip)
}

/** What others see of a transaction while it is open. */
const openTransactionRules = (rule: Rule) => {
  rule("shows staged events to nobody else", function*(store) {
    const stream = freshStream()
    const head = yield* store.head()
    const [result] = yield* whileOpen(
      store,
      store.append(stream, someNotes(2)),
      Effect.gen(function*() {
        equal(yield* texts(store, stream), [])
        equal(yield* store.head(stream), 0)
        equal(yield* store.head(), head)
        equal(yield* collect(store.readAll({ from: head + 1 })), [])
        equal((yield* store.info(stream)).status, "new")
      })
    )
    assert.isTrue(Result.isSuccess(result))
    equal(yield* store.head(), head + 2)
  })

  rule(
    "shows staged events behind what others store meanwhile, without a hole and without a repetition",
    function*(store) {
      const stream = freshStream()
      yield* store.append(stream, notes("a"))
      const others = (text: string) => Effect.forkDetach(store.append(stream, notes(text)))
      const read = Effect.map(
        collect(store.read(stream)),
        (events) =>
          events.map(({ event, streamVersion }) => `${streamVersion}${event._tag === "Noted" ? event.text : ""}`)
      )
      const [outer, inner] = [yield* Latch.make(), yield* Latch.make()]
      const fiber = yield* Effect.forkChild(store.transaction(Effect.gen(function*() {
        yield* store.append(stream, notes("x", "y"))
        const before = yield* read
        yield* inner.open
        yield* outer.await
        const after = yield* read
        // what was seen is what an expected version means
        const stale = yield* Effect.exit(store.append(stream, notes("z"), { expected: 3 }))
        return { before, after, stale: stale._tag }
      })))
      yield* inner.await
      yield* Fiber.join(yield* others("b"))
      yield* outer.open
      equal(yield* Fiber.join(fiber), { before: ["1a", "2x", "3y"], after: ["1a", "2b", "3x", "4y"], stale: "Failure" })
      equal(yield* texts(store, stream), ["a", "b", "x", "y"])
    }
  )

  rule("does not hold up other appends while a transaction is open", function*(store) {
    const [stream, other] = [freshStream(), freshStream()]
    const [, appended] = yield* whileOpen(
      store,
      store.append(stream, someNotes(2)),
      Effect.all(Array.from({ length: 50 }, () => store.append(other, someNotes(1))), { concurrency: 5 })
    )
    equal(appended.length, 50)
    const [first] = yield* collect(store.read(stream))
    // its place in the log is where it ended, not where it began
    assert.isAbove(first!.position, Math.max(...appended.map(({ position }) => position)))
  })

  rule("does not hold up appends to the streams of an open transaction", function*(store) {
    const stream = freshStream()
    const [result, outside] = yield* whileOpen(
      store,
      store.append(stream, notes("inside")),
      store.append(stream, notes("outside"))
    )
    assert.isTrue(Result.isSuccess(result))
    equal(outside.version, 1)
    equal(yield* texts(store, stream), ["outside", "inside"])
  })

  rule("fails with WrongExpectedVersion at the end where an expectation does not hold any more", function*(store) {
    const [stream, other] = [freshStream(), freshStream()]
    yield* store.append(stream, notes("a"))
    const [result] = yield* whileOpen(
      store,
      Effect.andThen(store.append(other, someNotes(3)), store.append(stream, notes("inside"), { expected: 1 })),
      store.append(stream, notes("outside"))
    )
    const error = Result.isFailure(result) ? result.failure : undefined
    has(error!, { _tag: "WrongExpectedVersion", streamId: stream.streamId, expected: 1, actual: 2 })
    equal(yield* texts(store, stream), ["a", "outside"])
    equal(yield* texts(store, other), [])
  })

  rule("fails with WrongExpectedVersion at the end where somebody else created the stream", function*(store) {
    const stream = freshStream()
    const [result] = yield* whileOpen(
      store,
      store.append(stream, notes("inside"), { expected: "no-stream" }),
      store.append(stream, notes("outside"), { expected: "no-stream" })
    )
    has((result as any).failure, { _tag: "WrongExpectedVersion", expected: "no-stream", actual: 1 })
    equal(yield* texts(store, stream), ["outside"])
  })

  rule("keeps to expectations among its own appends where others come between", function*(store) {
    const stream = freshStream()
    const [result] = yield* whileOpen(
      store,
      Effect.andThen(store.append(stream, notes("a")), store.append(stream, notes("b"), { expected: 1 })),
      store.append(stream, notes("outside"))
    )
    // "b" was to follow on version 1, which is now somebody else's
    has((result as any).failure, { _tag: "WrongExpectedVersion", expected: 1, actual: 2 })
    equal(yield* texts(store, stream), ["outside"])
  })

  rule("leaves no hole in the positions where a transaction fails at its end", function*(store) {
    const stream = freshStream()
    const [, outside] = yield* whileOpen(
      store,
      store.append(stream, someNotes(5), { expected: 0 }),
      store.append(stream, someNotes(1))
    )
    equal((yield* store.append(stream, someNotes(1))).position, outside.position + 1)
  })

  rule("fails with AppendConditionFailed at the end where somebody else broke the condition", function*(store) {
    const name = freshName()
    const [mine, theirs] = [Category.rawStream(`${name}-1`), Category.rawStream(`${name}-2`)]
    const [result] = yield* whileOpen(
      store,
      store.appendIf({ items: [{ tags: [name] }], after: 0 }, [entry(mine, [tagged("T", name)])]),
      store.append(theirs, [tagged("T", name)])
    )
    equal((result as any).failure?._tag, "AppendConditionFailed")
    equal(yield* store.head(mine), 0)
  })

  rule("fails with StreamTombstoned at the end where somebody else ended the stream", function*(store) {
    const stream = freshStream()
    const [result] = yield* whileOpen(store, store.append(stream, someNotes(1)), store.tombstone(stream))
    equal((result as any).failure?._tag, "StreamTombstoned")
    equal((yield* store.info(stream)).version, 0)
  })

  rule("recreates a stream that somebody else deleted while the transaction was open", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("old"))
    const [result] = yield* whileOpen(store, store.append(stream, notes("new")), store.delete(stream))
    assert.isTrue(Result.isSuccess(result))
    equal(yield* texts(store, stream), ["new"])
    equal(yield* store.head(stream), 2)
  })

  rule("stores an event once that a transaction staged and somebody else appended meanwhile", function*(store) {
    const stream = freshStream()
    const append = store.append(stream, notesAs(yield* ids(2)), { expected: "no-stream" })
    yield* whileOpen(store, append, append)
    equal(yield* texts(store, stream), ["1", "2"])
  })

  rule("does not take an append of a fibre outside for one of the transaction", function*(store) {
    const stream = freshStream()
    yield* whileOpen(
      store,
      Effect.andThen(store.append(freshStream(), [...someNotes(1)]), Effect.fail("no")).pipe(Effect.ignore),
      store.append(Category.rawStream(stream.streamId), [raw("Noted", { text: "kept" })])
    )
    equal(yield* texts(store, stream), ["kept"])
  })
}
