import { assert } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as EventData from "../../Event/EventData.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import { collect, equal, fails, freshName, has, ids, raw, refused, type Rules, tagged, together } from "./rule.ts"

const { entry } = EventStore

/** A stream, types and tags that no other rule uses. */
const fresh = () => {
  const name = freshName()
  const tag = (tag: string) => `${name}:${tag}`
  const [stream, other] = [Category.rawStream(`${name}-1`), Category.rawStream(`${name}-2`)]
  return { stream, other, type: `T${name}`, another: `U${name}`, tag }
}

export const appendIfRules: Rules = (rule) => {
  rule("takes an empty list of a condition for none", function*(store) {
    const { stream, tag, type } = fresh()
    yield* store.append(stream, [tagged(type, tag("a")), raw(type)])
    const tagsOnly = { items: [{ types: [], tags: [tag("a")] }], after: 0 }
    yield* refused(store, stream, store.appendIf(tagsOnly, entry(stream, [raw(type)])), "AppendConditionFailed")
    const typesOnly = { items: [{ types: [type], tags: [] }], after: 0 }
    const error = yield* refused(
      store,
      stream,
      store.appendIf(typesOnly, entry(stream, [raw(type)])),
      "AppendConditionFailed"
    )
    // the newest event of the type has no tags
    equal(error.position, (yield* collect(store.read(stream)))[1]!.position)
    yield* refused(
      store,
      stream,
      store.appendIf({ items: [{ types: [], tags: [] }], after: 0 }, entry(stream, [raw(type)])),
      "InvalidInput"
    )
  })

  rule("stores where no event of the condition is there", function*(store) {
    const { stream, tag, type } = fresh()
    const [appended] = yield* store.appendIf({ items: [{ types: [type], tags: [tag("a")] }], after: 0 }, [
      entry(stream, [tagged(type, tag("a"))])
    ])
    equal(appended!.version, 1)
  })

  rule("refuses where an event of the type was stored after the position", function*(store) {
    const { other, stream, type } = fresh()
    const { position } = yield* store.append(stream, [raw(type)])
    const append = store.appendIf({ items: [{ types: [type] }], after: position - 1 }, [entry(other, [raw(type)])])
    const error = yield* refused(store, other, append, "AppendConditionFailed")
    has(error, { after: position - 1, position })
  })

  rule("stores where the events of the condition are not after the position", function*(store) {
    const { stream, type } = fresh()
    const { position } = yield* store.append(stream, [raw(type)])
    const [appended] = yield* store.appendIf({ items: [{ types: [type] }], after: position }, [
      entry(stream, [raw(type)])
    ])
    equal(appended!.version, 2)
  })

  rule("names the newest event that breaks the condition", function*(store) {
    const { other, stream, type } = fresh()
    yield* store.append(stream, [raw(type)])
    const { position } = yield* store.append(stream, [raw(type)])
    yield* store.append(stream, [raw(freshName())])
    const append = store.appendIf({ items: [{ types: [type] }], after: 0 }, [entry(other, [raw(type)])])
    equal((yield* fails(append, "AppendConditionFailed")).position, position)
  })

  rule("asks for any of the types of an item", function*(store) {
    const { another, other, stream, type } = fresh()
    yield* store.append(stream, [raw(another)])
    const append = store.appendIf({ items: [{ types: [type, another] }], after: 0 }, [entry(other, [raw(type)])])
    yield* refused(store, other, append, "AppendConditionFailed")
  })

  rule("asks for all of the tags of an item", function*(store) {
    const { stream, tag, type } = fresh()
    yield* store.append(stream, [tagged(type, tag("a"), tag("b"))])
    const appendIf = (...tags: ReadonlyArray<string>) =>
      store.appendIf({ items: [{ tags }], after: 0 }, [entry(stream, [raw(type)])])
    yield* refused(store, stream, appendIf(tag("a")), "AppendConditionFailed")
    yield* refused(store, stream, appendIf(tag("b"), tag("a")), "AppendConditionFailed")
    yield* appendIf(tag("a"), tag("c"))
  })

  rule("asks for type and tags of an item in one event", function*(store) {
    const { another, other, stream, tag, type } = fresh()
    yield* store.append(stream, [tagged(type, tag("a")), tagged(another, tag("b"))])
    const appendIf = (type: string, name: string) =>
      store.appendIf({ items: [{ types: [type], tags: [tag(name)] }], after: 0 }, [entry(other, [raw(freshName())])])
    yield* refused(store, other, appendIf(type, "a"), "AppendConditionFailed")
    yield* refused(store, other, appendIf(another, "b"), "AppendConditionFailed")
    yield* appendIf(type, "b")
  })

  rule("joins the items of a condition by or", function*(store) {
    const { another, other, stream, tag, type } = fresh()
    yield* store.append(stream, [tagged(type, tag("a"))])
    const items = [{ types: [another] }, { types: [type], tags: [tag("a")] }]
    yield* refused(
      store,
      other,
      store.appendIf({ items, after: 0 }, [entry(other, [raw(type)])]),
      "AppendConditionFailed"
    )
  })

  rule("gives no false alarm for events with other tags", function*(store) {
    const { stream, tag, type } = fresh()
    yield* store.append(stream, [tagged(type, tag("a")), tagged(type, tag("ab")), raw(type)])
    yield* store.appendIf({ items: [{ types: [type], tags: [tag("b")] }], after: 0 }, [
      entry(stream, [tagged(type, tag("b"))])
    ])
  })

  rule("tells tags by case and takes % and _ in them for themselves", function*(store) {
    const { stream, tag, type } = fresh()
    yield* store.append(stream, [tagged(type, tag("Abc"))])
    for (const name of ["abc", "A%", "A_c", "A*"]) {
      yield* store.appendIf({ items: [{ tags: [tag(name)] }], after: 0 }, [entry(stream, [raw(type)])])
    }
  })

  rule("finds odd tags again", function*(store) {
    const { stream, tag, type } = fresh()
    const odd = ["a,b", "{a}", "\"quoted\"", "back\\slash", "it's", "NULL", "  spaces  ", "ü\u{1F600}", "$1", "--"].map(
      tag
    )
    yield* store.append(stream, [tagged(type, ...odd)])
    const [recorded] = yield* collect(store.read(stream))
    equal(recorded!.tags, odd)
    for (const tag of odd) {
      const append = store.appendIf({ items: [{ tags: [tag] }], after: 0 }, [entry(stream, [raw(type)])])
      yield* refused(store, stream, append, "AppendConditionFailed")
    }
  })

  rule("lets exactly one of 32 writers take a seat", function*(store) {
    const { tag, type } = fresh()
    const name = freshName()
    const take = (seat: number, who: number) =>
      Effect.result(store.appendIf({ items: [{ types: [type], tags: [tag(`seat${seat}`)] }], after: 0 }, [
        entry(Category.rawStream(`${name}-${who}`), [tagged(type, tag(`seat${seat}`), tag(`who${who}`))])
      ]))
    for (let seat = 0; seat < 5; seat++) {
      const results = yield* together(32, (who) => take(seat, who))
      equal(results.filter(Result.isSuccess).length, 1)
    }
    const taken = yield* collect(store.readAll({ types: [type] }))
    equal(taken.length, 5)
  })

  rule("lets every writer take a seat of its own at the same time", function*(store) {
    const { tag, type } = fresh()
    const name = freshName()
    const after = yield* store.head()
    const appended = yield* together(
      32,
      (seat) =>
        store.appendIf({ items: [{ types: [type], tags: [tag(`seat${seat}`)] }], after }, [
          entry(Category.rawStream(`${name}-${seat}`), [tagged(type, tag(`seat${seat}`))])
        ])
    )
    equal(appended.length, 32)
  })

  rule("sees plain appends in its condition as well", function*(store) {
    const { other, stream, tag, type } = fresh()
    const condition = { items: [{ tags: [tag("a")] }], after: yield* store.head() }
    const results = yield* together(32, (i) =>
      i === 16
        ? Effect.result(store.appendAll([entry(stream, [tagged(type, tag("a"))])]))
        : Effect.result(store.appendIf(condition, [entry(other, [tagged(type, tag("a"))])])))
    assert.isTrue(Result.isSuccess(results[16]!))
    const won = results.filter(Result.isSuccess).length
    assert.isTrue(won === 1 || won === 2)
    const stored = (yield* collect(store.readAll({ types: [type] }))).map(({ streamId }) => streamId)
    // where an appendIf was stored at all, it came first
    equal(stored, won === 1 ? [stream.streamId] : [other.streamId, stream.streamId])
  })

  rule("answers a repeated appendIf as the first though its own events break the condition", function*(store) {
    const { stream, tag, type } = fresh()
    const [id] = yield* ids(1)
    const append = store.appendIf({ items: [{ tags: [tag("a")] }], after: 0 }, [
      entry(stream, [EventData.make(raw(type), { id: id!, tags: [tag("a")] })])
    ])
    const first = yield* append
    yield* store.append(stream, [raw(type)])
    equal(yield* append, first)
    equal(yield* store.head(stream), 2)
  })

  rule("stores an appendIf once that many fibres repeat at the same time", function*(store) {
    const { stream, tag, type } = fresh()
    const [id] = yield* ids(1)
    const append = store.appendIf({ items: [{ tags: [tag("a")] }], after: 0 }, [
      entry(stream, [EventData.make(raw(type), { id: id!, tags: [tag("a")] })])
    ])
    const answers = yield* together(32, () => append)
    for (const answer of answers) equal(answer, answers[0])
    equal(yield* store.head(stream), 1)
  })

  rule("checks the expected versions of its entries, too", function*(store) {
    const { stream, tag, type } = fresh()
    const condition = { items: [{ tags: [tag("a")] }], after: 0 }
    const append = store.appendIf(condition, [entry(stream, [raw(type)], { expected: 1 })])
    yield* refused(store, stream, append, "WrongExpectedVersion")
    yield* store.append(stream, [tagged(type, tag("b"))])
    yield* append
  })

  rule("appends to several streams under one condition", function*(store) {
    const { other, stream, tag, type } = fresh()
    const append = store.appendIf({ items: [{ tags: [tag("a")] }], after: 0 }, [
      entry(stream, [tagged(type, tag("a"))]),
      entry(other, [tagged(type, tag("a"))])
    ])
    const [a, b] = yield* append
    equal(b!.position, a!.position + 1)
    yield* refused(store, other, append, "AppendConditionFailed")
  })

  rule("asks for nothing with an empty list of types or of tags beside one that is not", function*(store) {
    const { other, stream, tag, type } = fresh()
    yield* store.append(stream, [raw(type), tagged(`${type}-tagged`, tag("a"))])
    for (const item of [{ types: [type], tags: [] }, { types: [], tags: [tag("a")] }]) {
      const append = store.appendIf({ items: [item], after: 0 }, [entry(other, [raw(type)])])
      yield* refused(store, other, append, "AppendConditionFailed")
      yield* refused(store, other, store.transaction(append), "AppendConditionFailed")
    }
    // nor do events of an open transaction escape it
    const twice = store.transaction(Effect.andThen(
      store.append(stream, [raw(`${type}-staged`)]),
      store.appendIf({ items: [{ types: [`${type}-staged`], tags: [] }], after: 0 }, [entry(other, [raw(type)])])
    ))
    yield* refused(store, other, twice, "AppendConditionFailed")
  })

  rule("holds a position beyond the end of the log for one that nothing came after", function*(store) {
    const { stream, type } = fresh()
    yield* store.append(stream, [raw(type)])
    yield* store.appendIf({ items: [{ types: [type] }], after: Number.MAX_SAFE_INTEGER }, [entry(stream, [raw(type)])])
  })

  rule("counts an event as stored though its stream was deleted since", function*(store) {
    const { other, stream, tag, type } = fresh()
    yield* store.append(stream, [tagged(type, tag("a"))])
    yield* store.delete(stream)
    const append = store.appendIf({ items: [{ tags: [tag("a")] }], after: 0 }, [entry(other, [raw(type)])])
    yield* refused(store, other, append, "AppendConditionFailed")
  })

  const bad: ReadonlyArray<[string, Parameters<typeof conditionOf>[0], string]> = [
    ["without items", { items: [] }, "condition.items"],
    ["with an item that names neither types nor tags", { items: [{ types: ["a"] }, {}] }, "condition.items[1]"],
    ["with an item of empty lists", { items: [{ types: [], tags: [] }] }, "condition.items[0]"],
    ["with a NUL in a tag", { items: [{ tags: ["a\0"] }] }, "condition.items[0]"],
    ["with a lone surrogate in a type", { items: [{ types: ["\udc00"] }] }, "condition.items[0]"],
    ["after a negative position", { after: -1 }, "condition.after"],
    ["after half a position", { after: 1.5 }, "condition.after"],
    ["after a position that is not a number", { after: NaN }, "condition.after"],
    ["after a position beyond 2^53", { after: 2 ** 53 }, "condition.after"]
  ]
  for (const [what, part, field] of bad) {
    rule(`refuses a condition ${what}`, function*(store) {
      const { stream, type } = fresh()
      const append = store.appendIf(conditionOf(part), [entry(stream, [raw(type)])])
      equal((yield* refused(store, stream, append, "InvalidInput")).field, field)
    })
  }
}

type Condition = Parameters<EventStore["Service"]["appendIf"]>[0]

const conditionOf = (part: Partial<Condition>): Condition => ({ items: [{ types: ["a"] }], after: 0, ...part })
