import { assert } from "@effect/vitest"
import { Effect, Fiber, Latch, Option, Result } from "effect"
import * as Category from "../../Stream/Category.ts"
import {
  appendInline,
  catchUp,
  complete,
  isMissing,
  makeInline,
  makeInlineOf,
  movedTo,
  storageOf,
  textsOf,
  type Version,
  whileOpen
} from "./projectionStorageVersion.ts"
import { begin, everything } from "./queue.ts"
import {
  equal,
  fails,
  freshCategory,
  freshStream,
  has,
  notes,
  raw,
  type Rules,
  skip,
  type Store,
  together
} from "./rule.ts"

const named = ({ definition: { name, version } }: Version) => ({ name, version })

/** An inline version that is applied. */
const makeApplied = Effect.fnUntraced(function*(store: Store) {
  const inline = yield* makeInline(store)
  equal(yield* complete(store, inline.version), [true, []])
  return inline
})

/** Adds a text to the document of a version, as what it makes of an event. */
const addTo = (store: Store, { id }: Pick<Version, "id">, text: string) =>
  Effect.gen(function*() {
    const { load, save } = storageOf(store).documents
    const texts = JSON.parse((yield* load(id, ["all"], { isLocking: true })).get("all") ?? "[]")
    yield* save(id, [{ key: "all", state: JSON.stringify([...texts, text]) }])
  })

/** Projections that appends apply, and that no append can leave out. */
export const projectionStorageInlineRules: Rules = (rule, { transactions }) => {
  rule("applies an inline version once it is complete, and hands over what it has not handled", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("before"))
    const version = yield* makeInlineOf(store, category)
    yield* store.append(category.stream("1"), notes("a", "b"))
    yield* store.append(freshStream(), notes("foreign"))
    yield* store.append(category.stream("2"), notes("c"))
    equal(yield* complete(store, version, false), [true, []])
    has(yield* version.state(), { stage: "ready", isApplied: false, isLive: true })
    equal((yield* version.own(version.name)).length, 1)
    equal(yield* complete(store, version), [true, ["a", "b", "c"]])
    const { isApplied, partitions: [partition], stage } = yield* version.state()
    equal([isApplied, stage], [true, "ready"])
    has(partition!, { position: yield* store.head(), owner: null, isCaughtUp: true, handled: 3 })
    equal(yield* complete(store, version), [true, []])
    const claimed = yield* version.claim(version.name)
    equal([claimed.partitions, claimed.isApplied, claimed.status], [[], true, "running"])
  })

  rule("is as far as the log, while appends apply it", function*(store) {
    const { version } = yield* makeApplied(store)
    yield* store.append(freshStream(), notes("foreign", "more"))
    const head = yield* store.head()
    equal(yield* storageOf(store).progress(version.name), { version: 1, position: head })
    equal(yield* version.positions, [head])
  })

  rule("leaves an inline version that has not caught up, or whose completion fails, as it is", function*(store) {
    const { category, version } = yield* makeInline(store)
    const owned = yield* version.ownFirst(version.name)
    equal(yield* version.move(owned, owned.position, { isCaughtUp: false }), true)
    equal(yield* complete(store, version), [false, []])
    yield* catchUp(version, version.name)
    const failing = storageOf(store).completeWith(
      version.id,
      { isSwitching: true },
      () => Effect.andThen(addTo(store, version, "x"), Effect.fail({ _tag: "OnPurpose" } as const))
    )
    yield* fails(failing, "OnPurpose")
    has(yield* version.state(), { isApplied: false })
    equal(yield* version.documents, {})
    yield* store.append(category.stream("1"), notes("a"))
    equal(yield* complete(store, version), [true, ["a"]])
  })

  rule("hands over a thousand events at most", function*(store) {
    const { category, version } = yield* makeInline(store)
    yield* store.append(category.stream("1"), notes(...Array.from({ length: 1001 }, (_, i) => String(i))))
    equal(yield* complete(store, version), [false, []])
    has(yield* version.state(), { isApplied: false })
    const owned = yield* version.ownFirst(version.name)
    yield* version.move(owned, owned.position + 1, { isCaughtUp: true })
    const [answer, missing] = yield* complete(store, version)
    equal([answer, missing.length, missing[0]], [true, 1000, "1"])
  })

  rule("refuses an append that leaves out what is applied, and leaves nothing of it", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const stream = category.stream("1")
    const head = yield* store.head()
    const { projections } = yield* fails(store.append(stream, notes("a")), "InlineProjectionMissing")
    equal(projections, [named(version)])
    yield* fails(store.transaction(store.append(stream, notes("a"))), "InlineProjectionMissing")
    const other = freshStream()
    const both = store.appendAll([
      { stream: other, events: notes("a"), expected: "any" },
      { stream, events: notes("a"), expected: "any" }
    ])
    yield* fails(both, "InlineProjectionMissing")
    const late = Effect.andThen(store.append(other, notes("a")), store.append(stream, notes("b")))
    yield* fails(store.transaction(late), "InlineProjectionMissing")
    equal(yield* store.head(), head)
    yield* store.append(other, notes("free"))
    equal(yield* textsOf(store, category), [])
  })

  rule("refuses only what an inline version may want, by category and type", function*(store) {
    const category = freshCategory()
    const filter = { ...everything, categories: [category.name], types: ["Wanted", "Noted"] }
    const version = yield* makeInlineOf(store, category, { filter })
    equal(yield* complete(store, version), [true, []])
    const stream = Category.rawStream(category.stream("1").streamId)
    yield* store.append(stream, [raw("Other"), raw("Another")])
    yield* fails(store.append(stream, [raw("Other"), raw("Wanted")]), "InlineProjectionMissing")
    yield* fails(store.append(category.stream("1"), notes("a")), "InlineProjectionMissing")
    // a check stores nothing
    yield* store.append(stream, [], { expected: 2 })
    equal((yield* store.info(stream)).version, 2)
  })

  rule("lets a transaction append that applies what is applied, and says what that is", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const other = yield* makeInlineOf(store, category)
    const stream = category.stream("1")
    const append = (text: string) =>
      appendInline(
        store,
        [version, other],
        stream,
        text,
        (ids) => Effect.forEach(ids, (id) => addTo(store, { id }, text))
      )
    equal(yield* append("a"), { applied: [version.id], version: 1 })
    equal(yield* complete(store, other), [true, ["a"]])
    const answer = yield* append("b")
    equal([[...answer.applied].sort((a, b) => a - b), answer.version], [[version.id, other.id], 2])
    equal([yield* version.documents, yield* other.documents], [{ all: ["a", "b"] }, { all: ["b"] }])
    equal(yield* textsOf(store, category), ["a", "b"])

    const { projections } = yield* fails(appendInline(store, [version], stream, "c"), "InlineProjectionMissing")
    equal(projections, [named(other)])
    const neither = yield* fails(appendInline(store, [], stream, "c"), "InlineProjectionMissing")
    equal(
      [...neither.projections].sort((a, b) => a.name < b.name ? -1 : 1),
      [named(version), named(other)].sort((a, b) => a.name < b.name ? -1 : 1)
    )
    const failing = appendInline(store, [version, other], stream, "c", (ids) =>
      Effect.andThen(
        Effect.forEach(ids, (id) => addTo(store, { id }, "c")),
        Effect.fail({ _tag: "OnPurpose" } as const)
      ))
    yield* fails(failing, "OnPurpose")
    equal([yield* version.documents, yield* textsOf(store, category)], [{ all: ["a", "b"] }, ["a", "b"]])
  })

  rule("lets a part of a transaction apply what it appends", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const stream = category.stream("1")
    const append = (text: string) => appendInline(store, [version], stream, text, () => addTo(store, version, text))
    yield* store.transaction(Effect.gen(function*() {
      yield* append("a")
      const failing = store.transaction(Effect.andThen(append("no"), Effect.fail({ _tag: "OnPurpose" } as const)))
      yield* fails(failing, "OnPurpose")
      equal((yield* append("b")).version, 2)
    }))
    equal([yield* version.documents, yield* textsOf(store, category)], [{ all: ["a", "b"] }, ["a", "b"]])
  })

  rule("lets a repeated append be answered that was stored with what is applied", function*(store) {
    const { category, version } = yield* makeInline(store)
    const stream = category.stream("1")
    const first = yield* store.append(stream, notes("a"))
    const [stored] = (yield* storageOf(store).completeWith(version.id, { isSwitching: true }, () => Effect.void))
      ? (yield* store.storage.logPage(version.definition.filter, {
        direction: "forward",
        from: first.position,
        to: first.position,
        limit: 1,
        bytes: 1000
      })).events
      : []
    assert.isDefined(stored)
    const { data, eventId, metadata, schemaVersion, tags, type } = stored
    const repeated = yield* store.storage.append({
      entries: [{
        streamId: stream.streamId,
        expected: "any",
        events: [{ data, eventId, metadata, schemaVersion, tags, type }]
      }],
      condition: undefined,
      bytes: 100,
      repeatable: true
    })
    equal(repeated[0]!.position, first.position)
  })

  rule("keeps what is begun for a stream from others, so that staged versions are final", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const stream = category.stream("1")
    const answers = yield* together(
      8,
      (i) => appendInline(store, [version], stream, String(i), () => addTo(store, version, String(i)))
    )
    equal(answers.map(({ version }) => version).sort((a, b) => a - b), [1, 2, 3, 4, 5, 6, 7, 8])
    const stored = yield* textsOf(store, category)
    equal(answers.map((answer) => stored[answer.version - 1]), ["0", "1", "2", "3", "4", "5", "6", "7"])
    equal(yield* version.documents, { all: stored })
  })

  rule("begins for streams in any order in several transactions", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const ids = ["a", "b", "c", "d"]
    yield* together(8, (i) =>
      store.transaction(Effect.gen(function*() {
        const streams = (i % 2 === 0 ? ids : [...ids].reverse()).map((id) => category.stream(id))
        yield* storageOf(store).beginInline([version.id], streams.map(({ streamId }) => streamId), { isWaiting: true })
        yield* Effect.yieldNow
        for (const stream of streams) yield* store.append(stream, notes(String(i)))
      })))
    equal((yield* textsOf(store, category)).length, 32)
  })

  rule("refuses to begin outside of a transaction", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const begun = storageOf(store).beginInline([version.id], [category.stream("1").streamId], { isWaiting: true })
    equal((yield* fails(begun, "StoreError")).isRetryable, false)
  })

  rule(
    "applies an inline version no longer that is paused, and hands over the rest when it is resumed",
    function*(store) {
      const { category, version } = yield* makeApplied(store)
      const stream = category.stream("1")
      const { pause, resume } = storageOf(store)
      yield* appendInline(store, [version], stream, "applied")
      yield* store.append(freshStream(), notes("foreign"))
      const head = yield* store.head()
      yield* pause(version.id)
      has(yield* version.state(), { status: "paused", isApplied: false, stage: "ready", isLive: true })
      yield* store.append(stream, notes("paused"))
      equal(yield* version.positions, [head])
      equal((yield* appendInline(store, [version], stream, "more")).applied, [])
      yield* resume(version.id)
      const claimed = yield* version.claim(version.name)
      equal([claimed.isApplied, claimed.isSwitchWanted, claimed.partitions.map(({ position }) => position)], [
        false,
        true,
        [head]
      ])
      yield* version.move(claimed.partitions[0]!, head + 1, { isCaughtUp: true })
      equal(yield* complete(store, version), [true, ["more"]])
      yield* fails(store.append(stream, notes("a")), "InlineProjectionMissing")
      has(yield* version.state(), { isApplied: true })
    }
  )

  rule("applies an inline version no longer that is reset", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const stream = category.stream("1")
    yield* appendInline(store, [version], stream, "a", () => addTo(store, version, "a"))
    yield* storageOf(store).reset(version.id)
    has(yield* version.state(), { status: "running", isApplied: false, stage: "building", isLive: true })
    equal(yield* version.documents, {})
    yield* store.append(stream, notes("b"))
    yield* catchUp(version, version.name)
    equal(yield* complete(store, version), [true, ["a", "b"]])
  })

  rule("replaces an inline version by another one, in one step", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const stream = category.stream("1")
    const next = yield* makeInlineOf(store, category, { name: version.name, version: 2 })
    const { progress, rollBack, switchTo } = storageOf(store)
    equal(yield* switchTo(next.id), "behind")
    equal(yield* complete(store, next, false), [true, []])
    yield* appendInline(store, [version], stream, "a")
    equal((yield* next.claim(version.name)).isSwitchWanted, false)
    equal(yield* switchTo(next.id), "wanted")
    equal((yield* next.claim(version.name)).isSwitchWanted, true)
    has(yield* next.state(), { isLive: false, isApplied: false })
    equal(yield* complete(store, next), [true, ["a"]])
    has(yield* next.state(), { isLive: true, isApplied: true })
    const head = yield* store.head()
    has(yield* version.state(), { isLive: false, isApplied: false, status: "running" })
    equal(yield* version.positions, [head])
    const { projections } = yield* fails(appendInline(store, [version], stream, "b"), "InlineProjectionMissing")
    equal(projections, [named(next)])
    equal((yield* appendInline(store, [version, next], stream, "b")).applied, [next.id])
    equal(yield* progress(version.name), { version: 2, position: head + 1 })
    equal((yield* next.claim(version.name)).isSwitchWanted, false)

    // the one before reads on for itself, and is applied when its runner has caught up
    equal(yield* rollBack(version.name), 1)
    has(yield* next.state(), { isLive: false, isApplied: false })
    const claimed = yield* version.claim(version.name)
    equal([claimed.isLive, claimed.isSwitchWanted, claimed.partitions.map(({ position }) => position)], [
      true,
      true,
      [head]
    ])
    yield* catchUp(version, version.name)
    equal(yield* complete(store, version), [true, ["b"]])
    equal((yield* appendInline(store, [version, next], stream, "c")).applied, [version.id])
  })

  rule("forgets that a version was to be live when somebody decides otherwise", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const [second, third] = [
      yield* makeInlineOf(store, category, { name: version.name, version: 2 }),
      yield* makeInlineOf(store, category, { name: version.name, version: 3 })
    ]
    const { switchTo } = storageOf(store)
    const wanted = Effect.map(
      Effect.all([second.claim("a"), third.claim("b")]),
      (claimed) => claimed.map(({ isSwitchWanted }) => isSwitchWanted)
    )
    for (const next of [second, third]) equal(yield* complete(store, next, false), [true, []])
    equal(yield* switchTo(second.id), "wanted")
    equal(yield* wanted, [true, false])
    equal(yield* switchTo(third.id), "wanted")
    equal(yield* wanted, [false, true])
    equal(yield* switchTo(version.id), "switched")
    equal(yield* wanted, [false, false])
    equal(yield* switchTo(second.id), "wanted")
    equal(yield* switchTo(third.id), "wanted")
    equal(yield* complete(store, third), [true, []])
    equal(yield* wanted, [false, false])
  })

  rule("handles every event once while it becomes applied under load", function*(store) {
    const { category, version } = yield* makeInline(store)
    const { completeWith } = storageOf(store)
    const writers = together(4, (writer) =>
      Effect.gen(function*() {
        for (let i = 0; i < 15; i++) {
          const [stream, text] = [category.stream(String(writer)), `${writer}.${i}`]
          const apply = (ids: ReadonlyArray<number>) => Effect.forEach(ids, (id) => addTo(store, { id }, text))
          yield* Effect.retry(appendInline(store, [version], stream, text, apply), {
            while: (error) => error._tag === "InlineProjectionMissing" || error.isRetryable === true
          })
        }
      }))
    const completing = Effect.forEach([1, 2, 3], () =>
      Effect.gen(function*() {
        yield* completeWith(version.id, { isSwitching: true }, (missing) =>
          Effect.forEach(missing, ({ data }) =>
            addTo(store, version, JSON.parse(data).text)))
        yield* storageOf(store).pause(version.id)
        yield* storageOf(store).resume(version.id)
        yield* catchUp(version, version.name)
      }))
    yield* Effect.all([writers, completing], { concurrency: 2 })
    equal(
      yield* completeWith(
        version.id,
        { isSwitching: true },
        (missing) => Effect.forEach(missing, ({ data }) => addTo(store, version, JSON.parse(data).text))
      ),
      true
    )
    const stored = yield* textsOf(store, category)
    equal(stored.length, 60)
    const { all } = yield* version.documents
    equal(new Set(all), new Set(stored))
    equal(all.length, stored.length)
    for (const writer of ["0.", "1.", "2.", "3."]) {
      equal(
        all.filter((text: string) => text.startsWith(writer)),
        Array.from({ length: 15 }, (_, i) => `${writer}${i}`)
      )
    }
  })

  openInlineRules(transactions === "concurrent" ? rule : skip, { transactions })
}

/** What becomes applied, or is no longer, while a transaction is open. */
const openInlineRules: Rules = (rule) => {
  rule("leaves streams to another transaction that has begun for them, where it is not to wait", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const streamIds = ["a", "b", "c", "d"].map((id) => category.stream(id).streamId)
    const begin = (...indexes: ReadonlyArray<number>) =>
      storageOf(store).beginInline([version.id], indexes.map((i) => streamIds[i]!), { isWaiting: false })
    const seen: Array<unknown> = []
    const see = Effect.map(begin(0, 1, 2, 3), ({ applied, held }) => seen.push(applied, [...held].sort()))
    const [, before] = yield* whileOpen(
      (effect: Effect.Effect<unknown, any>) => store.transaction(effect),
      // what it has itself it may take again
      Effect.andThen(begin(1, 3), begin(3, 2, 1)),
      store.transaction(see)
    )
    equal(before, 2)
    yield* store.transaction(see)
    equal(seen, [[version.id], streamIds.slice(1), [version.id], []])
  })

  rule("refuses a transaction at its end that an inline version became applied under", function*(store) {
    const { category, version } = yield* makeInline(store)
    const stream = category.stream("1")
    const [result, completed] = yield* whileOpen(
      (effect: Effect.Effect<unknown, any>) => store.transaction(effect),
      Effect.andThen(
        storageOf(store).beginInline([version.id], [stream.streamId], { isWaiting: true }),
        store.append(stream, notes("a"))
      ),
      complete(store, version)
    )
    equal(completed, [true, []])
    assert.isTrue(isMissing(result))
    equal(yield* textsOf(store, category), [])
    equal((yield* appendInline(store, [version], stream, "a")).applied, [version.id])
  })

  rule("leaves no effect of an inline version twice that is paused while a transaction applies it", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const stream = category.stream("1")
    const { pause, resume } = storageOf(store)
    const opened = yield* Latch.make()
    const apply = Effect.andThen(addTo(store, version, "a"), Effect.andThen(opened.open, Effect.yieldNow))
    // it may wait for the transaction, or make it fail
    const writer = yield* Effect.forkChild(
      Effect.result(appendInline(store, [version], stream, "a", () => apply))
    )
    yield* opened.await
    equal(yield* pause(version.id), true)
    const result = yield* Fiber.join(writer)
    if (Result.isFailure(result)) has(result.failure as object, { _tag: "StoreError", isRetryable: true })
    yield* resume(version.id)
    const owned = yield* version.ownFirst(version.name)
    yield* version.move(owned, owned.position, { isCaughtUp: true })
    const [, missing] = yield* complete(store, version)
    const { all } = { all: [], ...yield* version.documents }
    equal([...all, ...missing], yield* textsOf(store, category))
  })

  rule("stores nothing while it hands over the rest, and everything after that", function*(store) {
    const { category, version } = yield* makeInline(store)
    const stream = category.stream("1")
    yield* store.append(stream, notes("before"))
    const other = freshStream()
    const [opened, seen] = [yield* Latch.make(), yield* Latch.make()]
    const missing: Array<string> = []
    const completing = yield* Effect.forkChild(
      storageOf(store).completeWith(version.id, { isSwitching: true }, (events) =>
        Effect.gen(function*() {
          for (const { data } of events) missing.push(JSON.parse(data).text)
          yield* opened.open
          yield* seen.await
        }))
    )
    yield* opened.await
    const head = yield* store.head()
    const appended = yield* Effect.forkChild(store.append(other, notes("free")))
    const refused = yield* Effect.forkChild(Effect.result(store.append(stream, notes("late"))))
    const begun = yield* Effect.forkChild(
      appendInline(store, [version], category.stream("2"), "applied").pipe(
        Effect.retry({ while: (error) => error._tag === "InlineProjectionMissing" || error.isRetryable === true })
      )
    )
    // reads and projections go on
    equal(yield* textsOf(store, category), ["before"])
    yield* version.claim(version.name, begin)
    equal(yield* store.head(), head)
    yield* seen.open
    equal(yield* Fiber.join(completing), true)
    yield* Fiber.join(appended)
    assert.isTrue(isMissing(yield* Fiber.join(refused)))
    equal((yield* Fiber.join(begun)).applied, [version.id])
    equal(missing, ["before"])
    equal(yield* textsOf(store, category), ["before", "applied"])
  })

  rule("stores no transaction while it hands over the rest, and then refuses what leaves it out", function*(store) {
    const { category, version } = yield* makeInline(store)
    const [opened, begun, go, seen] = yield* Effect.all([Latch.make(), Latch.make(), Latch.make(), Latch.make()])
    const transaction = yield* Effect.forkChild(Effect.result(store.transaction(
      store.append(category.stream("1"), notes("late")).pipe(Effect.andThen(opened.open), Effect.andThen(go.await))
    )))
    yield* opened.await
    const completing = yield* Effect.forkChild(
      storageOf(store).completeWith(
        version.id,
        { isSwitching: true },
        () => Effect.andThen(begun.open, seen.await)
      )
    )
    yield* begun.await
    yield* go.open
    for (let i = 0; i < 5; i++) equal(yield* textsOf(store, category), [])
    yield* seen.open
    equal(yield* Fiber.join(completing), true)
    assert.isTrue(isMissing(yield* Fiber.join(transaction)))
    equal(yield* textsOf(store, category), [])
  })

  rule("lets others wait who begin for a stream, until the transaction ends", function*(store) {
    const { category, version } = yield* makeApplied(store)
    const [stream, other] = [category.stream("1"), category.stream("2")]
    const [opened, seen] = [yield* Latch.make(), yield* Latch.make()]
    const order: Array<string> = []
    const first = yield* Effect.forkChild(
      appendInline(
        store,
        [version],
        stream,
        "first",
        () => opened.open.pipe(Effect.andThen(seen.await), Effect.andThen(Effect.sync(() => order.push("first"))))
      )
    )
    yield* opened.await
    const second = yield* Effect.forkChild(
      appendInline(store, [version], stream, "second", () => Effect.sync(() => order.push("second")))
    )
    const third = yield* Effect.forkChild(appendInline(store, [version], stream, "third"))
    yield* appendInline(store, [version], other, "other")
    yield* Fiber.interrupt(third)
    equal(order, [])
    yield* seen.open
    equal((yield* Fiber.join(first)).version, 1)
    equal((yield* Fiber.join(second)).version, 2)
    equal(order, ["first", "second"])
    equal(yield* textsOf(store, category), ["other", "first", "second"])
  })

  rule("refuses who moves an inline version meanwhile that becomes applied", function*(store) {
    const { version } = yield* makeInline(store)
    const owned = yield* version.ownFirst(version.name)
    const [result] = yield* whileOpen(
      (effect: Effect.Effect<unknown, any>) => version.moveWith(owned, owned.position + 1, effect),
      addTo(store, version, "x"),
      complete(store, version)
    )
    equal(result, Result.succeed(Option.none()))
    equal(yield* version.documents, {})
    equal(yield* version.move(movedTo(owned, yield* store.head()), 1_000_000_000), false)
  })
}
