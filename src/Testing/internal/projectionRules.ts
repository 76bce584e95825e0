import { assert } from "@effect/vitest"
import { Effect, Latch, Option, Schedule, Stream } from "effect"
import * as Projection from "../../Projection/Projection.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore, until } from "./consuming.ts"
import {
  documentsOf,
  foldByHand,
  freshTexts,
  oldDebugged,
  oldPut,
  oldPutBoth,
  put,
  puts,
  Removed,
  textsOf
} from "./keyedTexts.ts"
import {
  freshProjection,
  otherStore,
  ownersOf,
  processed,
  processedBy,
  project,
  stateOf,
  untilState
} from "./projecting.ts"
import { equal, fails, freshCategory, freshStream, has, notes, type Rules } from "./rule.ts"

export const projectionRules: Rules = (rule) => {
  rule("puts what was stored before and what is stored later into documents, by key", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const run = inStore(store)
    yield* store.append(from.stream("1"), [...puts("a", "1", "2"), put("3", "a", "b")])
    const runner = yield* project(store, texts)
    yield* processedBy(runner, name)
    yield* store.append(freshStream(), notes("foreign"))
    yield* store.append(from.stream("2"), [put("4", "c", "a")])
    yield* processedBy(runner, name)
    equal(yield* run(Projection.get(texts, "a")), Option.some(["1", "2", "3", "4"]))
    equal(yield* run(Projection.get(texts, "nobody")), Option.none())
    equal(
      yield* run(Projection.getMany(texts, ["b", "c", "nobody"])),
      new Map([["b", ["3"]], ["c", ["4"]]])
    )
    const listed = yield* run(Stream.runCollect(Projection.list(texts)))
    equal(listed.map(({ key, state }) => [key, state]), [["a", ["1", "2", "3", "4"]], ["b", ["3"]], ["c", ["4"]]])
    equal((yield* run(Stream.runCollect(Projection.list(texts, { prefix: "b" })))).map(({ key }) => key), ["b"])
  })

  rule("removes a document when there is no state any more, and lets it begin anew", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* store.append(from.stream("1"), [...puts("a", "1"), ...puts("b", "2"), new Removed({ key: "a" })])
    const runner = yield* project(store, textsOf(name, from))
    yield* processedBy(runner, name)
    const { id } = yield* stateOf(store, name)
    equal(yield* documentsOf(store, id), { b: ["2"] })
    yield* store.append(from.stream("1"), [...puts("a", "3"), new Removed({ key: "b" }), new Removed({ key: "c" })])
    yield* processedBy(runner, name)
    equal(yield* documentsOf(store, id), { a: ["3"] })
  })

  rule("handles each event that a stored one reads as, and none for one that reads as none", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const raw = Category.rawStream(from.stream("1").streamId)
    yield* store.append(raw, [oldPut("1", "a"), oldDebugged, oldPutBoth("2", "a", "b", "a"), oldPutBoth("3")])
    const runner = yield* project(store, textsOf(name, from), { batch: 2 })
    yield* processedBy(runner, name)
    yield* store.append(from.stream("1"), puts("b", "4"))
    yield* processedBy(runner, name)
    equal(yield* documentsOf(store, (yield* stateOf(store, name)).id), {
      a: ["1", "2/0", "2/2"],
      b: ["2/1", "4"]
    })
  })

  rule("goes on where it stopped", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    const first = yield* project(store, texts)
    yield* processedBy(first, name)
    yield* first.stop
    yield* store.append(from.stream("1"), puts("a", "3"))
    yield* processedBy(yield* project(yield* otherStore(store), texts), name)
    equal(yield* documentsOf(store, (yield* stateOf(store, name)).id), { a: ["1", "2", "3"] })
  })

  rule("begins where its first declaration says, and nowhere else afterwards", function*(store) {
    const from = freshTexts()
    const { position } = yield* store.append(from.stream("1"), puts("a", "1", "2"))
    yield* store.append(from.stream("1"), puts("a", "3"))
    const starts = [["start", ["1", "2", "3"]], ["end", undefined], [position, ["3"]], [position - 1, [
      "2",
      "3"
    ]]] as const
    for (const [start, expected] of starts) {
      const name = freshProjection()
      const runner = yield* project(store, textsOf(name, from, { start }))
      yield* processedBy(runner, name)
      const { id } = yield* stateOf(store, name)
      equal(yield* documentsOf(store, id), expected === undefined ? {} : { a: expected })
      yield* runner.stop
      yield* processedBy(yield* project(store, textsOf(name, from, { start: "start" })), name)
      equal(yield* documentsOf(store, id), expected === undefined ? {} : { a: expected })
    }
  })

  rule("leaves out what its filter leaves out, and moves on over it", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* store.append(from.stream("1"), puts("a", "1"))
    const runner = yield* project(store, textsOf(name, from, { types: ["Put"] }))
    yield* store.append(from.stream("1"), [new Removed({ key: "a" })])
    yield* processedBy(runner, name)
    const { id } = yield* stateOf(store, name)
    equal(yield* documentsOf(store, id), { a: ["1"] })
    yield* store.append(freshStream(), notes("foreign"))
    yield* processedBy(runner, name)
    has((yield* stateOf(store, name)).partitions[0]!, { handled: 1 })
  })

  rule("leaves nothing of a batch whose handling fails in the middle, and moves no checkpoint", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    let attempts = 0
    const broken = { has: (text: string) => text === "3" && ++attempts > 0 } as ReadonlySet<string>
    yield* store.append(from.stream("1"), puts("a", "1", "2", "3", "4"))
    yield* project(store, textsOf(name, from, { broken }), { onError: { retry: Schedule.spaced("1 hour") } })
    yield* until("an attempt", () => attempts > 0)
    yield* untilState(store, name, ({ error }) => error !== null)
    const state = yield* stateOf(store, name)
    has(state, { status: "running" })
    has(state.partitions[0]!, { handled: 0 })
    equal(yield* documentsOf(store, state.id), {})
  })

  rule("lets go of what it owns when it is interrupted, and leaves nothing of the batch in hand", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const [begun, ended] = [yield* Latch.make(), yield* Latch.make()]
    const stuck = yield* otherStore(store, ({ at, call }) =>
      call === "projections.advanceWith" && at === "ending"
        ? Effect.onInterrupt(Effect.andThen(begun.open, Effect.never), () => ended.open)
        : Effect.void)
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    const runner = yield* project(stuck, textsOf(name, from), { lease: "1 hour", partitions: 3 })
    yield* begun.await
    yield* runner.stop
    yield* ended.await
    const state = yield* stateOf(store, name)
    equal(ownersOf(state), [null, null, null])
    equal(yield* documentsOf(store, state.id), {})
    // and another one need not wait
    yield* processedBy(yield* project(store, textsOf(name, from)), name)
    equal(yield* documentsOf(store, state.id), { a: ["1", "2"] })
  })

  rule("keeps to itself what another projection does", function*(store) {
    const [from, bad, good] = [freshTexts(), freshProjection(), freshProjection()]
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    yield* project(store, textsOf(bad, from, { broken: new Set(["1"]) }), { onError: { retry: Schedule.recurs(0) } })
    const runner = yield* project(store, textsOf(good, from))
    yield* processedBy(runner, good)
    yield* untilState(store, bad, ({ status }) => status === "failed")
    yield* store.append(from.stream("1"), puts("a", "3"))
    yield* processedBy(runner, good)
    equal(yield* documentsOf(store, (yield* stateOf(store, good)).id), { a: ["1", "2", "3"] })
    equal(yield* documentsOf(store, (yield* stateOf(store, bad)).id), {})
  })

  rule("handles a long history in many batches", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    for (let i = 0; i < 30; i++) {
      yield* store.append(
        from.stream(String(i % 3)),
        Array.from({ length: 100 }, (_, k) => put(String(100 * i + k), `k${k % 7}`))
      )
    }
    const runner = yield* project(store, textsOf(name, from), { batch: 70 })
    yield* processedBy(runner, name)
    const state = yield* stateOf(store, name)
    equal(yield* documentsOf(store, state.id), yield* foldByHand(store, from))
    has(state.partitions[0]!, { handled: 3000 })
  })

  rule("refuses another definition under the version of one that is known", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* processedBy(yield* project(store, textsOf(name, from)), name)
    for (
      const changed of [
        textsOf(name, freshTexts()),
        textsOf(name, from, { types: ["Put"] }),
        Projection.links(name, { from, key: () => "a" })
      ]
    ) {
      const running: Effect.Effect<never, any, any> = Projection.run(changed)
      has(yield* fails(inStore(store)(running), "ProjectionChanged"), { projection: name, version: 1 })
    }
    // the filter is another one by name only
    yield* processed(store, name)
  })

  rule("is not run inside of a transaction", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const running: Effect.Effect<never, any, any> = Projection.run(textsOf(name, from))
    yield* fails(inStore(store)(store.transaction(running)), "InvalidInput")
    equal(yield* store.storage.projections.states(name, undefined), [])
  })

  rule("refuses bad input, by the name of the field, before anything is written", function*(store) {
    const bad: ReadonlyArray<readonly [string, object, object]> = [
      ["partitions", {}, { partitions: 0 }],
      ["partitions", {}, { partitions: 1001 }],
      ["partitions", {}, { partitions: 1.5 }],
      ["lease", {}, { lease: 0 }],
      ["lease", {}, { lease: "soon" }],
      ["batch", {}, { batch: 0 }],
      ["batch", {}, { batch: NaN }],
      ["switch", {}, { switch: "later" }],
      ["onError.giveUp", {}, { onError: { giveUp: "skip" } }],
      ["start", { start: -1 }, {}],
      ["start", { start: Number.MAX_SAFE_INTEGER }, {}],
      ["start", { start: "begin" }, {}],
      ["tags", { tags: ["\0"] }, {}]
    ]
    for (const [field, definition, options] of bad) {
      const name = freshProjection()
      const running = Effect.suspend((): Effect.Effect<never, any, any> =>
        Projection.run(textsOf(name, freshTexts(), definition), options)
      )
      has(yield* fails(inStore(store)(running), "InvalidInput"), { field })
      equal(yield* store.storage.projections.states(name, undefined), [])
    }
    for (const name of ["", "Upper", "1st", "a b", "x".repeat(41)]) {
      assert.throws(() => textsOf(name, freshTexts()))
    }
    for (const types of [[], ["\0"], ["put"]]) {
      assert.throws(() => textsOf(freshProjection(), freshTexts(), { types }))
    }
    for (const version of [0, -1, 1.5, NaN]) {
      assert.throws(() => textsOf(freshProjection(), freshTexts(), { version }))
    }
    assert.throws(() => Projection.documents("a", { ...({} as any), from: freshCategory() }))
  })
}
