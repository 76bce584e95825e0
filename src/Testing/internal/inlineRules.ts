import { assert } from "@effect/vitest"
import { Array as Arr, Effect, Exit, Fiber, Latch, Option, Scope } from "effect"
import * as EventData from "../../Event/EventData.ts"
import { type AppendError, EventStore } from "../../Store/EventStore.ts"
import {
  type AppendConditionFailed,
  InlineProjectionFailed,
  InlineProjectionMissing,
  StoreError,
  type WrongExpectedVersion
} from "../../Store/StoreError.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import { until } from "./consuming.ts"
import { hookedStorage } from "./hookedStorage.ts"
import { makeJournal } from "./inlining.ts"
import {
  collect,
  Counted,
  equal,
  fails,
  freshCategory,
  has,
  ids,
  noteAs,
  Noted,
  notes,
  notesAs,
  type NotesStream,
  refused,
  type Rules,
  skip,
  someNotes,
  type Store,
  textOf,
  texts,
  together
} from "./rule.ts"

const { entry } = EventStore

/** Nothing of an event with this text can be put into a read model. */
const poison = "poison"
const refusePoison = (events: ReadonlyArray<StoredEvent>) =>
  events.some(({ data }) => data.includes(poison)) ? Effect.fail("it is poisoned") : Effect.void

/** A transaction that has run an effect, and waits to be ended. */
const openTransaction = <E>(store: Store, effect: Effect.Effect<unknown, E>) =>
  Effect.gen(function*() {
    const [begun, go] = [yield* Latch.make(), yield* Latch.make()]
    const transaction = store.transaction(Effect.tap(Effect.ensuring(effect, begun.open), () => go.await))
    const fiber = yield* Effect.forkChild(Effect.exit(transaction))
    yield* begun.await
    return Effect.andThen(go.open, Effect.flatten(Fiber.join(fiber)))
  })

/** Every way to append a note with this text. */
const everyWay = (
  store: Store,
  stream: NotesStream,
  another: NotesStream,
  text: string
): ReadonlyArray<Effect.Effect<unknown, AppendError | AppendConditionFailed | WrongExpectedVersion>> => [
  store.append(stream, notes("a", text)),
  store.appendAll([entry(another, notes("a")), entry(stream, notes(text))]),
  store.appendIf({ items: [{ types: ["Never"] }], after: 0 }, entry(stream, notes(text))),
  store.transaction(Effect.andThen(store.append(stream, notes("a")), store.append(stream, notes(text))))
]

export const inlineRules: Rules = (rule, { transactions }) => {
  /** A store that applies a journal. */
  const begin = (store: Store, ...rest: Parameters<typeof makeJournal> extends [any, any, ...infer R] ? R : never) =>
    Effect.gen(function*() {
      const category = freshCategory()
      const journal = yield* makeJournal(store, category, ...rest)
      yield* journal.runIn(store)
      yield* journal.activate
      return { category, journal }
    })

  rule("applies a projection to every way to append, in the same transaction", function*(store) {
    const { category, journal } = yield* begin(store)
    const [one, two, three] = [category.stream("1"), category.stream("2"), category.stream("3")]
    yield* store.append(one, someNotes(2))
    equal(Object.keys(yield* journal.read), [one.streamId])
    yield* journal.isExact
    const both = yield* store.appendAll([entry(one, notes("3")), entry(three, []), entry(two, notes("1", "2"))])
    equal(both.map(({ firstVersion, version }) => [firstVersion, version]), [[3, 3], [0, 0], [1, 2]])
    yield* journal.isExact
    yield* store.appendIf({ items: [{ types: ["Noted"] }], after: yield* store.head() }, entry(two, notes("3")))
    yield* journal.isExact
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(one, notes("4"))
      yield* store.append(three, notes("1"))
      yield* store.append(one, notes("5"))
      yield* store.transaction(store.append(two, notes("4")))
    }))
    yield* journal.isExact
    equal((yield* journal.read)[one.streamId]!.length, 5)
  })

  rule("hands events over as they will be stored", function*(store) {
    const handed: Array<StoredEvent> = []
    const { category } = yield* begin(store, {
      before: (events) => Effect.sync(() => handed.push(...events))
    })
    const [first, second] = [category.stream("1"), category.stream("2")]
    yield* store.append(first, someNotes(2))
    yield* store.appendAll([entry(second, notes("a")), entry(first, [new Counted({ count: 3 })])])
    const stored = yield* Effect.map(
      collect(store.readCategory(category)),
      (events) => Effect.forEach(events, ({ eventId }) => Effect.map(store.storage.event(eventId), Option.getOrThrow))
    ).pipe(Effect.flatten)
    const withoutPlace = (events: ReadonlyArray<StoredEvent>) =>
      events.map((event) => ({ ...event, position: 0, recordedAt: 0 }))
    equal(withoutPlace(handed), withoutPlace(stored))
    equal(handed.map(({ position }) => position), [0, 0, 0, 0])
    for (const [i, { recordedAt }] of handed.entries()) {
      assert.isBelow(Math.abs(recordedAt - stored[i]!.recordedAt), 60_000)
    }
  })

  rule("answers where the events stand, whoever they travelled with", function*(store) {
    const { category, journal } = yield* begin(store)
    const answers = yield* together(64, (i) =>
      i % 8 === 0
        ? store.appendAll([
          entry(category.stream(`check ${i}`), []),
          entry(category.stream(`${i}`), notes(`${i} a`)),
          entry(category.stream(`also ${i}`), notes(`${i} b`, `${i} c`)),
          entry(category.stream(`check also ${i}`), [])
        ])
        : Effect.map(store.append(category.stream(`${i % 5}`), notes(`${i} a`, `${i} b`)), Arr.of))
    const recorded = yield* collect(store.readCategory(category))
    for (const [i, answer] of answers.entries()) {
      const own = recorded.filter(({ event }) => textOf(event).startsWith(`${i} `))
      const checked = answer.map(({ firstPosition, firstVersion, position, streamId, version }) => [
        streamId,
        firstVersion,
        version,
        firstPosition,
        position
      ])
      const first = own[0]!.position
      const placeOf = (from: number, to: number) => [
        own[from]!.streamId,
        own[from]!.streamVersion,
        own[to]!.streamVersion,
        first + from,
        first + to
      ]
      equal(own.map(({ position }) => position), own.map((_, n) => first + n))
      equal(
        checked,
        i % 8 === 0
          ? [
            [category.stream(`check ${i}`).streamId, 0, 0, first - 1, first - 1],
            placeOf(0, 0),
            placeOf(1, 2),
            [category.stream(`check also ${i}`).streamId, 0, 0, first + 2, first + 2]
          ]
          : [placeOf(0, 1)]
      )
    }
    yield* journal.isExact
  })

  rule("stores nothing of an append whose projection fails, and says which one failed and why", function*(store) {
    const { category, journal } = yield* begin(store, { before: refusePoison })
    const stream = category.stream("1")
    yield* store.append(stream, notes("before"))
    for (const attempt of everyWay(store, stream, category.stream("2"), poison)) {
      const error = yield* refused(store, stream, attempt, "InlineProjectionFailed")
      assert.instanceOf(error, InlineProjectionFailed)
      has(error, { projection: journal.name, version: 1, cause: "it is poisoned" })
      yield* journal.isExact
    }
    yield* store.append(stream, notes("after"), { expected: 1 })
    yield* journal.isExact
  })

  rule("takes a projection that dies for one that failed", function*(store) {
    const { category, journal } = yield* begin(store, {
      before: (events) =>
        events.some(({ data }) => data.includes(poison)) ? Effect.die(new Error("died on purpose")) : Effect.void
    })
    const error = yield* fails(store.append(category.stream("1"), notes(poison)), "InlineProjectionFailed")
    has(error.cause as Error, { message: "died on purpose" })
    yield* journal.isExact
  })

  rule("never lets one bad append fail those it travels with", function*(store) {
    const { category, journal } = yield* begin(store, { before: refusePoison })
    yield* store.append(category.stream("busy"), notes("0"))
    const results = yield* together(64, (i) =>
      Effect.exit(
        i % 16 === 3
          ? store.append(category.stream(`${i}`), notes(poison))
          : i % 16 === 5
          ? store.append(category.stream(i < 32 ? "busy" : `${i}`), notes("late"), { expected: 7 })
          : i % 16 === 7
          ? Effect.map(store.appendAll([entry(category.stream(`${i}`), notes(`${i}`))]), ([one]) => one!)
          : store.append(category.stream(i % 2 === 0 ? "busy" : `${i}`), notes(`${i}`))
      ))
    const tags = results.map((exit) =>
      Option.match(Exit.findErrorOption(exit), { onNone: () => "stored", onSome: ({ _tag }) => _tag })
    )
    equal(
      tags,
      tags.map((_, i) => i % 16 === 3 ? "InlineProjectionFailed" : i % 16 === 5 ? "WrongExpectedVersion" : "stored")
    )
    equal((yield* collect(store.readCategory(category))).length, 1 + 64 - 8)
    yield* journal.isExact
  })

  rule("says of a broken condition which event breaks it, also where that was stored with it", function*(store) {
    const { category, journal } = yield* begin(store)
    const after = yield* store.head()
    const tag = category.name
    const conditional = (i: number) =>
      store.appendIf(
        { items: [{ tags: [tag] }], after },
        entry(category.stream(`${i}`), [EventData.make(new Noted({ text: `${i}` }), { tags: [tag] })])
      )
    const results = yield* together(12, (i) =>
      i % 3 === 0
        ? Effect.as(store.append(freshCategory().stream("1"), someNotes(3)), undefined)
        : i % 3 === 1
        ? Effect.as(store.append(category.stream(`${i}`), someNotes(3)), undefined)
        : Effect.exit(conditional(i)))
    const tagged = yield* collect(store.readAll({ tags: [tag] }))
    equal(tagged.length, 1)
    for (const exit of results) {
      if (exit === undefined || Exit.isSuccess(exit)) continue
      const error = Option.getOrThrow(Exit.findErrorOption(exit))
      has(error, { _tag: "AppendConditionFailed", after, position: tagged[0]!.position })
    }
    yield* journal.isExact
  })

  rule("ends when nothing applies it any more", function*(store) {
    const [applying, go] = [yield* Latch.make(), yield* Latch.make()]
    const category = freshCategory()
    const journal = yield* makeJournal(store, category, { before: () => Effect.andThen(applying.open, go.await) })
    const scope = yield* Scope.make()
    yield* Scope.provide(journal.runIn(store), scope)
    yield* journal.activate
    const append = yield* Effect.forkChild(store.append(category.stream("1"), notes("1")))
    yield* applying.await
    const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
    yield* Effect.sleep(20)
    equal(closing.pollUnsafe(), undefined)
    yield* go.open
    yield* Fiber.join(append)
    yield* Fiber.join(closing)
    yield* fails(store.append(category.stream("1"), notes("2")), "InlineProjectionMissing")
    yield* journal.isExact
  })

  rule("keeps a read model equal to its log under concurrent writers, conflicts among them", function*(store) {
    const { category, journal } = yield* begin(store)
    const writers = 64
    const won = yield* together(writers, (writer) =>
      Effect.gen(function*() {
        let stored = 0
        for (let n = 0; n < 4; n++) {
          const stream = category.stream(String((writer + n) % 6))
          const version = yield* store.head(stream)
          const exit = yield* Effect.exit(store.append(stream, someNotes(1 + n % 2), { expected: version }))
          if (Exit.isSuccess(exit)) stored += 1 + n % 2
          else equal((Option.getOrThrow(Exit.findErrorOption(exit)) as { _tag: string })._tag, "WrongExpectedVersion")
        }
        return stored
      }))
    const total = won.reduce((sum, count) => sum + count, 0)
    assert.isAbove(total, 0)
    equal((yield* collect(store.readCategory(category))).length, total)
    yield* journal.isExact
  })

  rule("keeps a read model equal to its log where several processes write to the same streams", function*(store) {
    const { category, journal } = yield* begin(store)
    const processes = [store, yield* EventStore.make(store.storage), yield* EventStore.make(store.storage)]
    for (const process of processes.slice(1)) yield* journal.runIn(process)
    yield* together(48, (i) => {
      const process = processes[i % 3]!
      const [one, two] = [category.stream(String(i % 4)), category.stream(String((i + 1) % 4))]
      return i % 5 === 0
        ? Effect.asVoid(process.appendAll([entry(two, notes("a")), entry(one, notes("b"))]))
        : Effect.asVoid(process.append(one, someNotes(2)))
    })
    equal((yield* collect(store.readCategory(category))).length, 96)
    yield* journal.isExact
  })

  rule("applies a repeated append once", function*(store) {
    const { category, journal } = yield* begin(store)
    const other = yield* EventStore.make(store.storage)
    yield* journal.runIn(other)
    const stream = category.stream("1")
    const given = yield* ids(2)
    const first = yield* store.append(stream, notesAs(given), { expected: 0 })
    yield* store.append(stream, notes("3"))
    for (const process of [store, other]) {
      equal(yield* process.append(stream, notesAs(given), { expected: 0 }), first)
      equal(yield* process.appendAll([entry(stream, notesAs(given))]), [first])
      equal((yield* process.transaction(process.append(stream, notesAs(given)))).version, first.version)
    }
    yield* fails(store.append(stream, [noteAs(given[0]!, "another text")]), "EventIdConflict")
    equal(yield* texts(store, stream), ["1", "2", "3"])
    yield* journal.isExact
  })

  rule("applies an append once that several callers repeat at the same time", function*(store) {
    const { category, journal } = yield* begin(store)
    const other = yield* EventStore.make(store.storage)
    yield* journal.runIn(other)
    const given = yield* ids(24)
    const answers = yield* together(24 * 4, (i) => {
      const process = i % 2 === 0 ? store : other
      return process.append(category.stream(String(i % 3)), [noteAs(given[i % 24]!, `${i % 24}`)])
    })
    for (const [i, answer] of answers.entries()) equal(answer, answers[i % 24])
    equal((yield* collect(store.readCategory(category))).length, 24)
    yield* journal.isExact
  })

  rule("lets an append without events pass that only checks", function*(store) {
    const { category, journal } = yield* begin(store)
    const [known, unknown] = [category.stream("1"), category.stream("2")]
    yield* store.append(known, notes("1"))
    has(yield* store.append(known, [], { expected: 1 }), { version: 1 })
    yield* fails(store.append(unknown, [], { expected: "stream-exists" }), "WrongExpectedVersion")
    yield* fails(
      store.appendAll([entry(known, notes("2")), entry(unknown, [], { expected: 7 })]),
      "WrongExpectedVersion"
    )
    yield* store.appendAll([entry(known, notes("2")), entry(unknown, [], { expected: "no-stream" })])
    yield* journal.isExact
  })

  rule("refuses what a process appends that does not run the projection", function*(store) {
    const { category, journal } = yield* begin(store)
    const stream = category.stream("1")
    yield* store.append(stream, notes("before"))
    const other = yield* EventStore.make(store.storage)
    for (const attempt of everyWay(other, stream, category.stream("2"), "a")) {
      const error = yield* refused(store, stream, attempt, "InlineProjectionMissing")
      assert.instanceOf(error, InlineProjectionMissing)
      equal(error.projections, [{ name: journal.name, version: 1 }])
    }
    // what it only checks, and what others want
    has(yield* other.append(stream, [], { expected: 1 }), { version: 1 })
    yield* other.append(freshCategory().stream("1"), notes("a"))
    yield* journal.isExact
  })

  rule("answers a repeated append also in a process that does not run the projection", function*(store) {
    const { category, journal } = yield* begin(store)
    const other = yield* EventStore.make(store.storage)
    const given = yield* ids(2)
    const first = yield* store.append(category.stream("1"), notesAs(given))
    equal(yield* other.append(category.stream("1"), notesAs(given)), first)
    yield* journal.isExact
  })

  rule("goes past a projection in a category of which it wants other types", function*(store) {
    const { category, journal } = yield* begin(store, { types: ["Counted"] })
    const other = yield* EventStore.make(store.storage)
    const stream = category.stream("1")
    yield* other.append(stream, notes("1"))
    yield* store.append(stream, [new Counted({ count: 2 }), new Noted({ text: "3" })])
    yield* fails(other.append(stream, [new Noted({ text: "4" }), new Counted({ count: 5 })]), "InlineProjectionMissing")
    yield* journal.isExact
  })

  const concurrent = transactions === "concurrent" ? rule : skip
  concurrent("hands the final versions over while others write other types to the stream", function*(store) {
    const [applying, go] = [yield* Latch.make(), yield* Latch.make()]
    const { category, journal } = yield* begin(store, {
      types: ["Counted"],
      before: () => Effect.andThen(applying.open, go.await)
    })
    const other = yield* EventStore.make(store.storage)
    const stream = category.stream("1")
    const append = yield* Effect.forkChild(store.append(stream, [new Counted({ count: 1 })]))
    yield* applying.await
    equal((yield* other.append(stream, notes("before it"))).version, 1)
    yield* go.open
    equal((yield* Fiber.join(append)).version, 2)
    yield* journal.isExact
  })

  concurrent("applies a projection, too, that comes into force while an append is under way", function*(store) {
    const [applying, go] = [yield* Latch.make(), yield* Latch.make()]
    const { category, journal: first } = yield* begin(store, {
      before: () => Effect.andThen(applying.open, go.await)
    })
    const second = yield* makeJournal(store, category)
    yield* second.runIn(store)
    const append = yield* Effect.forkChild(store.append(category.stream("1"), notes("1")))
    yield* applying.await
    yield* second.activate
    yield* go.open
    equal((yield* Fiber.join(append)).version, 1)
    yield* first.isExact
    yield* second.isExact
  })

  concurrent("never misses what was staged before a projection came into force", function*(store) {
    const category = freshCategory()
    const journal = yield* makeJournal(store, category)
    const other = yield* EventStore.make(store.storage)
    const open = (process: Store, stream: string) =>
      Effect.gen(function*() {
        const [staged, go] = [yield* Latch.make(), yield* Latch.make()]
        const fiber = yield* Effect.forkChild(Effect.result(process.transaction(
          process.append(category.stream(stream), notes("staged")).pipe(
            Effect.andThen(staged.open),
            Effect.tap(go.await)
          )
        )))
        yield* staged.await
        return Effect.andThen(go.open, Fiber.join(fiber))
      })
    // one of a process that will run it, and one of a process that will not
    const [own, foreign] = [yield* open(store, "own"), yield* open(other, "foreign")]
    yield* journal.runIn(store)
    yield* journal.activate
    const [first, second] = [yield* own, yield* foreign]
    const errors = [first, second].map((result) => result._tag === "Failure" ? result.failure : undefined)
    // what the process runs by now may be tried again; the other one never can
    has(errors[0]!, { _tag: "StoreError", isRetryable: true, outcome: "not-stored" })
    has(errors[1]!, { _tag: "InlineProjectionMissing" })
    yield* store.append(category.stream("own"), notes("after"))
    equal(yield* texts(store, category.stream("own")), ["after"])
    yield* journal.isExact
  })

  rule("misses nothing and doubles nothing while it comes into force and is paused under writers", function*(store) {
    const category = freshCategory()
    const journal = yield* makeJournal(store, category)
    const other = yield* EventStore.make(store.storage)
    yield* journal.runIn(store)
    yield* journal.runIn(other)
    let writing = true
    let stored = 0
    const writers = yield* Effect.forkChild(together(12, (i) =>
      Effect.gen(function*() {
        const process = i % 2 === 0 ? store : other
        for (let n = 0; writing; n++) {
          const stream = category.stream(String((i + n) % 5))
          const append = n % 4 === 3
            ? process.transaction(process.append(stream, notes(`${i} ${n}`)))
            : process.append(stream, notes(`${i} ${n}`))
          const exit = yield* Effect.exit(append)
          if (Exit.isSuccess(exit)) stored++
          else if ((Option.getOrThrow(Exit.findErrorOption(exit)) as StoreError).isRetryable !== true) yield* exit
          yield* Effect.sleep(1)
        }
      })))
    const { projections } = store.storage
    for (let round = 0; round < 3; round++) {
      const before = stored
      yield* until("writers to write", () => stored > before + 20)
      yield* journal.activate
      const applied = stored
      yield* until("writers to write", () => stored > applied + 20)
      equal(yield* projections.pause(journal.id), true)
      const paused = stored
      yield* until("writers to write", () => stored > paused + 20)
      equal(yield* projections.resume(journal.id), true)
    }
    yield* journal.activate
    writing = false
    yield* Fiber.join(writers)
    equal((yield* collect(store.readCategory(category))).length, stored)
    yield* journal.isExact
  })

  rule("is not applied while it is paused, nor asked for", function*(store) {
    const { category, journal } = yield* begin(store)
    const other = yield* EventStore.make(store.storage)
    const stream = category.stream("1")
    yield* store.append(stream, notes("1"))
    const before = yield* journal.read
    yield* store.storage.projections.pause(journal.id)
    yield* store.append(stream, notes("2"))
    yield* other.append(stream, notes("3"))
    equal(yield* journal.read, before)
    yield* store.storage.projections.resume(journal.id)
    yield* journal.activate
    yield* journal.isExact
    yield* fails(other.append(stream, notes("4")), "InlineProjectionMissing")
    yield* store.append(stream, notes("4"))
    yield* journal.isExact
  })

  concurrent("stores nothing that was applied before a pause and would come to stand behind it", function*(store) {
    const { category, journal } = yield* begin(store)
    const other = yield* EventStore.make(store.storage)
    const [one, two] = [category.stream("1"), category.stream("2")]
    const [id] = yield* ids(1)
    const appends = [store.append(one, notes("1")), store.append(two, [noteAs(id!, "1")])]
    const open = yield* Effect.forEach(appends, (append) => openTransaction(store, append))
    // as it is with an operator who does not wait for transactions that are open
    const paused = yield* Effect.forkChild(store.storage.projections.pause(journal.id), { startImmediately: true })
    yield* Effect.sleep(50)
    if (paused.pollUnsafe() !== undefined) {
      const repeated = yield* other.append(two, [noteAs(id!, "1")])
      for (const end of open) has(yield* fails(end, "StoreError"), { isRetryable: true, outcome: "not-stored" })
      equal(yield* store.append(two, [noteAs(id!, "1")]), repeated)
    } else for (const end of open) yield* end
    yield* Fiber.join(paused)
    yield* store.append(one, notes("2"))
    yield* store.storage.projections.resume(journal.id)
    yield* journal.activate
    yield* journal.isExact
  })

  rule("applies another version from the time it is live, and the one before no longer", function*(store) {
    const { category, journal: old } = yield* begin(store)
    const other = yield* EventStore.make(store.storage)
    yield* old.runIn(other)
    const stream = category.stream("1")
    yield* store.append(stream, notes("1"))
    const next = yield* makeJournal(store, category, { name: old.name, version: 2 })
    yield* next.runIn(store)
    yield* store.append(stream, notes("2"))
    yield* old.isExact
    equal(yield* next.read, {})
    const before = yield* old.read
    yield* next.activate
    yield* store.append(stream, notes("3"))
    yield* next.isExact
    equal(yield* old.read, before)
    const error = yield* fails(other.append(stream, notes("4")), "InlineProjectionMissing")
    equal(error.projections, [{ name: old.name, version: 2 }])
    yield* next.isExact
  })

  rule("applies several projections to one append, all or none", function*(store) {
    const category = freshCategory()
    const first = yield* makeJournal(store, category)
    const second = yield* makeJournal(store, category, { before: refusePoison })
    for (const journal of [first, second]) {
      yield* journal.runIn(store)
      yield* journal.activate
    }
    const stream = category.stream("1")
    yield* store.append(stream, notes("1"))
    const error = yield* fails(store.append(stream, notes(poison)), "InlineProjectionFailed")
    equal(error.projection, second.name)
    yield* first.isExact
    yield* second.isExact
    const other = yield* EventStore.make(store.storage)
    yield* first.runIn(other)
    const missing = yield* fails(other.append(stream, notes("2")), "InlineProjectionMissing")
    equal(missing.projections, [{ name: second.name, version: 1 }])
  })

  rule("applies a version once that a process runs twice", function*(store) {
    const { category, journal } = yield* begin(store)
    yield* journal.runIn(store)
    yield* store.append(category.stream("1"), notes("1"))
    yield* journal.isExact
  })

  rule("does not let a projection append", function*(store) {
    let append: Effect.Effect<unknown, unknown> = Effect.void
    const { category, journal } = yield* begin(store, { before: () => append })
    append = store.append(category.stream("2"), notes("by the projection"))
    const error = yield* fails(store.append(category.stream("1"), notes("1")), "InlineProjectionFailed")
    has(error.cause as object, { _tag: "InvalidInput", field: "transaction" })
    yield* journal.isExact
  })

  rule("lets a transaction go on after an append in it that failed", function*(store) {
    const { category, journal } = yield* begin(store, { before: refusePoison })
    const [one, two] = [category.stream("1"), category.stream("2")]
    yield* store.transaction(Effect.gen(function*() {
      yield* store.append(one, notes("1"))
      yield* fails(store.append(two, notes(poison)), "InlineProjectionFailed")
      yield* fails(store.append(one, notes("2"), { expected: 0 }), "WrongExpectedVersion")
      equal(yield* texts(store, two), [])
      yield* store.append(one, notes("2"), { expected: 1 })
      equal(yield* texts(store, one), ["1", "2"])
    }))
    equal(yield* texts(store, one), ["1", "2"])
    equal(yield* texts(store, two), [])
    yield* journal.isExact
  })

  rule("applies what a transaction appends at the same time, one after another", function*(store) {
    const { category, journal } = yield* begin(store)
    yield* store.transaction(together(8, (i) => store.append(category.stream(String(i % 2)), notes(`${i}`))))
    equal((yield* collect(store.readCategory(category))).length, 8)
    yield* journal.isExact
  })

  rule("stores nothing of a transaction that fails after its appends were applied", function*(store) {
    const { category, journal } = yield* begin(store)
    const stream = category.stream("1")
    yield* Effect.exit(store.transaction(Effect.andThen(store.append(stream, notes("1")), Effect.fail("no"))))
    equal(yield* journal.read, {})
    yield* store.append(stream, notes("1"), { expected: 0 })
    yield* journal.isExact
  })

  rule("stores an append of an interrupted caller whole or not at all, and those it travels with", function*(store) {
    const { category, journal } = yield* begin(store)
    yield* together(48, (i) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(store.append(category.stream(`${i}`), someNotes(2)), {
          startImmediately: true
        })
        if (i % 3 === 0) yield* Effect.andThen(Effect.sleep(i % 4), Fiber.interrupt(fiber))
        else yield* Fiber.join(fiber)
      }))
    // what was under way when its caller left is stored by now
    yield* store.append(category.stream("last"), notes("last"))
    const stored = Map.groupBy(yield* collect(store.readCategory(category)), ({ streamId }) => streamId)
    for (let i = 0; i < 48; i++) {
      const { length } = stored.get(category.stream(`${i}`).streamId) ?? []
      assert.include(i % 3 === 0 ? [0, 2] : [2], length)
    }
    yield* journal.isExact
  })

  rule("asks again where the answer to a COMMIT is lost, and applies once", function*(store) {
    const { category, journal } = yield* begin(store)
    let losses = 0
    const lost = new StoreError({ operation: "transaction", isRetryable: false, outcome: "unknown", cause: "lost" })
    const lossy = yield* EventStore.make({
      ...hookedStorage(
        store.storage,
        ({ at, call }) =>
          call === "transaction" && (at === "after" || at === "before") && losses > 0
            ? Effect.suspend(() => losses-- % 2 === 0 ? Effect.fail(lost) : Effect.void)
            : Effect.void
      ),
      patienceMillis: 20_000
    })
    yield* journal.runIn(lossy)
    // also where nobody chose the ids
    for (const [i, count] of [1, 2, 3, 4].entries()) {
      losses = count
      const appended = yield* lossy.append(category.stream("1"), someNotes(2), { expected: i * 2 })
      equal(appended.version, i * 2 + 2)
      yield* journal.isExact
    }
    losses = 3
    yield* together(16, (i) => lossy.append(category.stream(`${i % 3}`), notes(`${i}`)))
    equal((yield* collect(store.readCategory(category))).length, 8 + 16)
    yield* journal.isExact
  })

  rule("says that the outcome is unknown where nobody answers any more", function*(store) {
    const { category, journal } = yield* begin(store)
    const lost = new StoreError({ operation: "transaction", isRetryable: false, outcome: "unknown", cause: "lost" })
    const lossy = yield* EventStore.make({
      ...hookedStorage(
        store.storage,
        ({ at, call }) => call === "transaction" && at === "after" ? Effect.fail(lost) : Effect.void
      ),
      patienceMillis: 30
    })
    yield* journal.runIn(lossy)
    const error = yield* fails(lossy.append(category.stream("1"), notes("1")), "StoreError")
    has(error, { outcome: "unknown", isRetryable: false })
    const [id] = yield* ids(1)
    const repeatable = yield* fails(lossy.append(category.stream("2"), [noteAs(id!, "1")]), "StoreError")
    has(repeatable, { outcome: "unknown", isRetryable: true })
    equal((yield* store.append(category.stream("2"), [noteAs(id!, "1")])).version, 1)
    yield* journal.isExact
  })

  rule("refuses what comes after the store was closed, and answers what was under way", function*(store) {
    const { category, journal } = yield* begin(store)
    const scope = yield* Scope.make()
    const closing = yield* Scope.provide(EventStore.make(store.storage), scope)
    yield* Scope.provide(journal.runIn(closing), scope)
    // a registration ends with the scope, so the last to be made is one that outlives it
    yield* journal.runIn(closing)
    yield* closing.append(category.stream("0"), notes("1"))
    const fibers = yield* Effect.forEach(
      Arr.range(1, 8),
      (i) =>
        Effect.forkChild(Effect.exit(closing.append(category.stream(`${i}`), notes("1"))), { startImmediately: true })
    )
    yield* Scope.close(scope, Exit.void)
    const exits = yield* Effect.forEach(fibers, Fiber.join)
    const stored = new Set((yield* collect(store.readCategory(category))).map(({ streamId }) => streamId))
    for (const [i, exit] of exits.entries()) {
      equal(stored.has(category.stream(`${i + 1}`).streamId), Exit.isSuccess(exit))
    }
    yield* fails(closing.append(category.stream("9"), notes("1")), "StoreError")
    yield* journal.isExact
  })

  rule("costs nothing where no registered projection wants the events", function*(store) {
    const { category, journal } = yield* begin(store)
    const calls: Array<string> = []
    const watched = yield* EventStore.make(
      hookedStorage(store.storage, ({ at, call }) => Effect.sync(() => at === "before" ? calls.push(call) : undefined))
    )
    yield* watched.append(freshCategory().stream("1"), notes("1"))
    equal(calls.splice(0), ["append"])
    yield* journal.runIn(watched)
    yield* watched.append(freshCategory().stream("1"), notes("1"))
    equal(calls.splice(0), ["append"])
    yield* watched.append(category.stream("1"), notes("1"))
    assert.include(calls, "transaction")
    yield* journal.isExact
    // the first one finds out
    yield* store.storage.projections.pause(journal.id)
    yield* watched.append(category.stream("1"), notes("2"))
    calls.length = 0
    yield* watched.append(category.stream("1"), notes("3"))
    equal(calls, ["append"])
  })

  rule("stores what fits into one group with one transaction", function*(store) {
    const { category, journal } = yield* begin(store)
    let transacted = 0
    const watched = yield* EventStore.make(
      hookedStorage(
        store.storage,
        ({ at, call }) => Effect.sync(() => call === "transaction" && at === "begun" ? transacted++ : undefined)
      )
    )
    yield* journal.runIn(watched)
    yield* watched.append(category.stream("first"), notes("1"))
    transacted = 0
    yield* together(64, (i) => watched.append(category.stream(`${i}`), notes("1")))
    assert.isAtMost(transacted, 2)
    yield* journal.isExact
  })

  concurrent("does not keep others waiting while a transaction is open, but those of its streams", function*(store) {
    const { category, journal } = yield* begin(store)
    const other = yield* EventStore.make(store.storage)
    yield* journal.runIn(other)
    const end = yield* openTransaction(store, store.append(category.stream("1"), notes("staged")))
    yield* other.append(category.stream("2"), notes("past it"))
    const waiting = yield* Effect.forkChild(other.append(category.stream("1"), notes("behind it")), {
      startImmediately: true
    })
    yield* Effect.sleep(50)
    equal(waiting.pollUnsafe(), undefined)
    yield* end
    equal((yield* Fiber.join(waiting)).version, 2)
    equal(yield* texts(store, category.stream("1")), ["staged", "behind it"])
    yield* journal.isExact
  })

  concurrent("lets appends to other streams past those that wait for a stream that is held", function*(store) {
    const { category, journal } = yield* begin(store)
    const other = yield* EventStore.make(store.storage)
    yield* journal.runIn(other)
    const [held, beside, free] = [category.stream("1"), category.stream("2"), category.stream("3")]
    // from here on it appends in groups
    yield* other.append(category.stream("0"), notes("1"))
    const end = yield* openTransaction(store, store.append(held, notes("staged")))
    const fork = (append: Effect.Effect<unknown, any>) => Effect.forkChild(append, { startImmediately: true })
    const waiting = [
      yield* fork(other.append(held, notes("a"))),
      yield* fork(other.appendAll([entry(held, notes("b")), entry(beside, notes("b"))])),
      yield* fork(other.append(beside, notes("c"))),
      yield* fork(other.append(held, notes("d")))
    ]
    for (let i = 0; i < 3; i++) {
      yield* other.append(free, notes(`${i}`)).pipe(Effect.timeout("5 seconds"), Effect.orDie)
    }
    waiting.push(yield* fork(other.append(held, notes("e"))), yield* fork(other.append(beside, notes("f"))))
    yield* other.append(free, notes("3")).pipe(Effect.timeout("5 seconds"), Effect.orDie)
    equal(waiting.map((fiber) => fiber.pollUnsafe()), waiting.map(() => undefined))
    yield* end
    yield* Effect.forEach(waiting, Fiber.join)
    equal(yield* texts(store, held), ["staged", "a", "b", "d", "e"])
    equal(yield* texts(store, beside), ["b", "c", "f"])
    equal(yield* texts(store, free), ["0", "1", "2", "3"])
    yield* journal.isExact
  })

  concurrent("stores appends to more held streams than it waits for at a time", function*(store) {
    const { category, journal } = yield* begin(store)
    const other = yield* EventStore.make(store.storage)
    yield* journal.runIn(other)
    yield* other.append(category.stream("0"), notes("1"))
    const held = [1, 2, 3, 4].map((i) => category.stream(`${i}`))
    const ends = yield* Effect.forEach(held, (stream) => openTransaction(store, store.append(stream, notes("staged"))))
    const waiting = yield* Effect.forEach(
      [...held, ...held],
      (stream, i) => Effect.forkChild(other.append(stream, notes(`${i}`)), { startImmediately: true })
    )
    yield* other.append(category.stream("0"), notes("2")).pipe(Effect.timeout("5 seconds"), Effect.orDie)
    // a caller that is gone leaves no append behind
    yield* Fiber.interrupt(waiting.pop()!)
    for (const end of ends) yield* end
    yield* Effect.forEach(waiting, Fiber.join)
    equal(
      yield* Effect.forEach(held, (stream) => texts(store, stream)),
      [["staged", "0", "4"], ["staged", "1", "5"], ["staged", "2", "6"], ["staged", "3"]]
    )
    yield* journal.isExact
  })

  rule("holds no more streams at a time than locks are to be had", function*(store) {
    const { category, journal } = yield* begin(store)
    const { projections } = store.storage
    let most = 0
    const counted = yield* EventStore.make({
      ...store.storage,
      projections: {
        ...projections,
        beginInline: (ids, streams, ...rest) => {
          most = Math.max(most, streams.length)
          return projections.beginInline(ids, streams, ...rest)
        }
      }
    })
    yield* journal.runIn(counted)
    yield* counted.append(category.stream("first"), notes("1"))
    yield* together(400, (i) => counted.append(category.stream(`${i}`), notes("1")))
    assert.isAtMost(most, 256)
    assert.isAbove(most, 100)
    yield* journal.isExact
  })
}
