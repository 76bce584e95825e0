import { assert } from "@effect/vitest"
import { Arbitrary, DateTime, Effect, Latch, Metric, Option, References, Schema, Stream } from "effect"
import * as Boundary from "../../Aggregate/Boundary.ts"
import * as Decider from "../../Aggregate/Decider.ts"
import * as Snapshot from "../../Snapshot/Snapshot.ts"
import * as SnapshotStore from "../../Snapshot/SnapshotStore.ts"
import { EventStore } from "../../Store/EventStore.ts"
import { StoreError } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore, until } from "./consuming.ts"
import {
  Erase,
  Erased,
  freshTexts,
  Full,
  type Hooks,
  old,
  on,
  sharing,
  type Texts,
  type TextsAggregate,
  Write,
  write,
  Written
} from "./deciding.ts"
import { otherStore } from "./projecting.ts"
import { collect, equal, fails, freshName, has, type Rules, type Store } from "./rule.ts"

/** How texts are saved, under a name of its own. */
export const freshSnapshot = (policy: Snapshot.Policy = Snapshot.every(1)): Snapshot.Snapshot<Texts, never> =>
  Snapshot.make({ name: freshName(), state: Schema.Array(Schema.String), policy })

/** The snapshot of a stream, whether it holds or not. */
export const savedOf = (store: Store, stream: Category.StreamRef<never, unknown, any>) =>
  Effect.map(inStore(store)(Stream.runCollect(SnapshotStore.list({ stream }))), ([info]) => info)

/** Waits until the state at a version is saved. */
const untilSaved = (store: Store, stream: Category.StreamRef<never, unknown, any>, version: number) =>
  until(
    `a snapshot at ${version}`,
    () => Effect.map(savedOf(store, stream), (info) => info?.streamVersion === version)
  )

/** What is saved of a stream, as it is. */
const rawOf = (store: Store, name: string, stream: Category.StreamRef<never, unknown, any>) =>
  Effect.map(
    store.storage.snapshots.load(stream.streamId, name, { to: Number.MAX_SAFE_INTEGER, limit: 1, bytes: 1 }),
    ({ snapshot }) => snapshot
  )

/** Puts a text in the place of the state that is saved: what an older program stored, or a broken one. */
const replace = Effect.fnUntraced(function*(
  store: Store,
  name: string,
  stream: Category.StreamRef<never, unknown, any>,
  schemaVersion: number,
  state: string
) {
  const kept = yield* rawOf(store, name, stream)
  yield* store.storage.snapshots.drop({ streamId: stream.streamId, name })
  equal(yield* store.storage.snapshots.save({ ...kept!, schemaVersion, state }), true)
})

/** What an effect answers, and what a counter of one decider or snapshot came to meanwhile, by outcome. */
export const counting = <A, E, R>(metric: string, owner: string, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const answer = yield* effect
    const counts: Record<string, number> = {}
    for (const { attributes, id, state } of yield* Metric.snapshot) {
      if (id !== metric || !Object.values(attributes ?? {}).includes(owner)) continue
      const count = Number((state as { readonly count: number }).count)
      if (count > 0) counts[String(attributes?.["outcome"] ?? "all")] = count
    }
    return [answer, counts] as const
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))

/** A store that counts the round trips that read something. */
export const readsOf = Effect.fnUntraced(function*(store: Store) {
  const calls: Array<string> = []
  const counted = yield* otherStore(store, ({ at, call }) =>
    Effect.sync(() => {
      if (at === "before") calls.push(call)
    }))
  return { store: counted, calls }
})

const upTo = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: most }))

/** What happens often stands here often. Numbers are taken modulo what there is. */
const Step = Schema.Union([
  Schema.TaggedStruct("Write", { count: Schema.Literals([0, 1, 1, 2, 5]), most: upTo(30) }),
  Schema.TaggedStruct("Write", { count: Schema.Literals([0, 1, 1, 2, 5]), most: upTo(30) }),
  Schema.TaggedStruct("Write", { count: Schema.Literals([0, 1, 1, 2, 5]), most: upTo(30) }),
  Schema.TaggedStruct("Erase", {}),
  Schema.TaggedStruct("Foreign", { count: Schema.Literals([1, 3]) }),
  Schema.TaggedStruct("Old", { type: Schema.Literals(["WrittenTwice", "Debugged"]) }),
  Schema.TaggedStruct("Staged", { isKept: Schema.Boolean }),
  Schema.TaggedStruct("Save", {}),
  Schema.TaggedStruct("Break", { state: Schema.Literals([`"broken"`, `[1]`, `null`]), schemaVersion: upTo(3) }),
  Schema.TaggedStruct("Truncate", { back: upTo(6) }),
  Schema.TaggedStruct("Delete", {}),
  Schema.TaggedStruct("Drop", {})
])
const histories = Arbitrary.array(Arbitrary.schema(Step), { minLength: 3, maxLength: 25 })

/** What goes wrong on purpose is not for the report of a test. */
const quietly = Effect.provideService(References.MinimumLogLevel, "None")

/** What a decider answers, whatever it does to come to it. */
const said = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.result(effect)

/**
 * Plays a history with a decider that saves or keeps states, and at each step asks the same of it and of one that folds all
 * events. Answers how often something was of use.
 */
const play = Effect.fnUntraced(
  function*(
    store: Store,
    steps: ReadonlyArray<typeof Step.Type>,
    hooks: Hooks & { readonly snapshot: Snapshot.Snapshot<Texts, never> },
    canHide: boolean
  ) {
    const aggregate = freshTexts()
    const plain = on(store, aggregate)
    const mine = on(store, sharing(aggregate, hooks))
    const { stream } = plain
    let count = 0
    let held = 0
    const texts = (size: number) => Array.from({ length: size }, () => String(++count))
    for (const step of steps) {
      const { version } = yield* store.info(stream)
      switch (step._tag) {
        case "Write": {
          const command = new Write({ texts: texts(step.count), most: step.most })
          const before = yield* plain.query()
          const decided = yield* said(aggregate.decider("1").decide(command, before.state))
          const answer = yield* said(mine.run(command))
          if (decided._tag === "Failure") {
            equal(answer._tag === "Failure" && answer.failure, decided.failure)
          } else {
            const { state, version } = answer._tag === "Success" ? answer.success : assert.fail(String(answer))
            const events = decided.success
            equal(state, Decider.replay({ ...aggregate.decider("1"), initial: before.state }, events))
            equal(version, before.version + events.length)
          }
          break
        }
        case "Erase":
          yield* mine.run(new Erase())
          break
        // another process
        case "Foreign":
          yield* plain.run(write(...texts(step.count)))
          break
        case "Old":
          yield* old(store, stream, step.type, { text: "old" })
          break
        case "Staged":
          yield* said(store.transaction(Effect.gen(function*() {
            yield* mine.run(write(...texts(2)))
            yield* mine.query()
            yield* mine.run(write(...texts(1)))
            yield* mine.snapshot
            if (!step.isKept) return yield* Effect.fail("rolled back" as const)
          })))
          break
        case "Save":
          yield* mine.snapshot
          break
        case "Break":
          if ((yield* rawOf(store, hooks.snapshot.name, stream)) !== undefined) {
            yield* replace(store, hooks.snapshot.name, stream, step.schemaVersion + 1, step.state)
          }
          break
        case "Truncate":
          if (canHide) yield* store.truncateBefore(stream, Math.max(0, version - step.back))
          break
        case "Delete":
          if (canHide) yield* store.delete(stream)
          break
        case "Drop":
          yield* inStore(store)(SnapshotStore.drop({ stream }))
      }
      const [answer, counts] = yield* counting("eventstore.snapshot.loads", hooks.snapshot.name, mine.query())
      equal(answer, yield* plain.query())
      if ((counts["held"] ?? 0) > 0) held++
      const { position, version: now } = answer
      for (
        const past of [{ version: Math.max(0, now - 1) }, { version: now }, { position: Math.max(0, position - 1) }]
      ) {
        equal(yield* mine.query(past), yield* plain.query(past))
      }
    }
    yield* store.tombstone(stream)
    yield* fails(mine.query(), "StreamTombstoned")
    yield* fails(mine.run(write("late")), "StreamTombstoned")
    yield* fails(mine.run(write()), "StreamTombstoned")
    return held
  }
)

/** Whatever becomes of a stream, a decider answers what one says that folds all events. */
export const answersAsPlain = Effect.fnUntraced(function*(
  store: Store,
  hooks: () => Hooks & { readonly snapshot: Snapshot.Snapshot<Texts, never> },
  { canHide = true } = {}
) {
  let held = 0
  const result = yield* Arbitrary.checkEffect(
    histories,
    (steps) =>
      Effect.sandbox(Effect.map(play(store, steps, hooks(), canHide), (times) => {
        held += times
        return true
      })),
    { runs: 15, size: 60, maxShrinks: 60 }
  )
  const failure = Arbitrary.formatCheckFailure(result)
  if (failure !== undefined) {
    assert.fail(failure)
  }
  return held
})

export const deciderSnapshotRules: Rules = (rule) => {
  rule("answers with snapshots what it answers without, whatever became of the stream and of what is saved", function*(
    store
  ) {
    const held = yield* answersAsPlain(store, () => ({ snapshot: freshSnapshot() }))
    assert.isAbove(held, 10, "snapshots were of no use in all of these histories")
  })

  rule("saves a state behind the answer, when the policy says so", function*(store) {
    const snapshot = freshSnapshot(Snapshot.every(3))
    const texts = on(store, freshTexts({ snapshot }))
    yield* texts.run(write("a", "b"))
    yield* texts.run(write("c"))
    yield* untilSaved(store, texts.stream, 3)
    yield* texts.run(write("d"))
    yield* texts.run(write("e"))
    has((yield* savedOf(store, texts.stream))!, { streamVersion: 3, holds: true })
    yield* texts.run(write("f"))
    yield* untilSaved(store, texts.stream, 6)
    equal((yield* rawOf(store, snapshot.name, texts.stream))!.state, `["a","b","c","d","e","f"]`)
    // nothing to decide is no reason
    yield* texts.run(write())
    yield* texts.query()
    has((yield* savedOf(store, texts.stream))!, { streamVersion: 6 })
    // what was hidden before is no hindrance
    yield* store.truncateBefore(texts.stream, 5)
    yield* texts.run(write("g"))
    yield* untilSaved(store, texts.stream, 7)
    equal((yield* rawOf(store, snapshot.name, texts.stream))!.state, `["e","f","g"]`)
  })

  rule("loads what is saved and what came since in one round trip", function*(store) {
    const aggregate = freshTexts({ snapshot: freshSnapshot(Snapshot.onDemand) })
    const texts = on(store, aggregate)
    for (let i = 0; i < 3; i++) yield* texts.run(write(...Array.from({ length: 400 }, (_, k) => `${400 * i + k}`)))
    equal(yield* texts.snapshot, true)
    yield* texts.run(write("new"))
    const { calls, store: counted } = yield* readsOf(store)
    const mine = on(counted, aggregate)
    has(yield* mine.query(), { version: 1201 })
    equal(calls, ["snapshots.load"])
    has(yield* mine.run(write("newer")), { version: 1202 })
    equal(calls, ["snapshots.load", "snapshots.load", "append"])
    has(yield* mine.query({ version: 1200 }), { version: 1200 })
    equal(calls.length, 4)
  })

  rule("reads new, deleted and short streams in one round trip without snapshots as well", function*(store) {
    const aggregate = freshTexts()
    const { calls, store: counted } = yield* readsOf(store)
    const mine = on(counted, aggregate)
    yield* mine.run(write("a"))
    equal(calls, ["snapshots.resume", "append"])
    yield* store.delete(mine.stream)
    yield* mine.run(write("b"))
    equal(calls, ["snapshots.resume", "append", "snapshots.resume", "append"])
  })

  rule("answers a past before the snapshot, at it and behind it", function*(store) {
    const aggregate = freshTexts()
    const texts = on(store, sharing(aggregate, { snapshot: freshSnapshot(Snapshot.onDemand) }))
    const plain = on(store, aggregate)
    for (const text of ["a", "b", "c", "d", "e", "f"]) {
      yield* texts.run(write(text))
      if (text === "c") equal(yield* texts.snapshot, true)
      yield* Effect.sleep("2 millis")
    }
    for (const { position, recordedAt, streamVersion: version } of yield* collect(store.read(texts.stream))) {
      for (const past of [{ version }, { position }, { position: position - 1 }, { time: recordedAt }]) {
        equal(yield* texts.query(past), yield* plain.query(past))
      }
      const time = DateTime.subtract(recordedAt, { milliseconds: 1 })
      equal(yield* texts.query({ time }), yield* plain.query({ time }))
    }
  })

  rule("gives the first answer to a command that comes again, with snapshots before and behind it", function*(store) {
    for (const policy of [Snapshot.every(1), Snapshot.onDemand]) {
      const texts = on(store, freshTexts({ snapshot: freshSnapshot(policy) }))
      yield* texts.run(write("a"))
      const first = yield* texts.run(write("b", "c"), { commandId: "once" })
      if (policy._tag === "Every") yield* untilSaved(store, texts.stream, 3)
      equal(yield* texts.run(write("b", "c"), { commandId: "once" }), { ...first, isRepeated: true })
      yield* texts.run(write("d"))
      equal(yield* texts.snapshot, true)
      equal(yield* texts.run(write("b", "c"), { commandId: "once" }), { ...first, isRepeated: true })
      yield* store.truncateBefore(texts.stream, 3)
      yield* fails(texts.run(write("b", "c"), { commandId: "once" }), "AnswerHidden")
    }
  })

  rule("answers at once, and right, where what is saved later fails or never ends", function*(store) {
    const aggregate = freshTexts({ snapshot: freshSnapshot() })
    const gate = yield* Latch.make()
    const lost = new StoreError({
      operation: "saveSnapshot",
      isRetryable: false,
      outcome: "unknown",
      cause: new Error("on purpose")
    })
    for (const trouble of [Effect.fail(lost), Effect.die("on purpose"), gate.await]) {
      const mine = on(
        yield* otherStore(
          store,
          ({ at, call }) => call === "snapshots.save" && at === "before" ? trouble : Effect.void
        ),
        aggregate
      )
      const before = yield* mine.query()
      for (const i of [1, 2, 3]) {
        has(yield* quietly(mine.run(write("a"))), { version: before.version + i })
      }
    }
    // once it can, the one that was added last is saved
    const { stream, texts } = on(store, aggregate)
    equal((yield* texts).length, 9)
    yield* gate.open
    yield* untilSaved(store, stream, 9)
  })

  rule("saves what waits before its store is closed", function*(store) {
    const aggregate = freshTexts({ snapshot: freshSnapshot() })
    const closing = Effect.gen(function*() {
      const mine = yield* otherStore(
        store,
        ({ at, call }) => call === "snapshots.save" && at === "before" ? Effect.sleep("20 millis") : Effect.void
      )
      for (const id of ["1", "2", "3"]) yield* on(mine, aggregate, id).run(write(id))
    })
    yield* Effect.scoped(closing)
    for (const id of ["1", "2", "3"]) {
      has((yield* savedOf(store, aggregate.category.stream(id)))!, { streamVersion: 1, holds: true })
    }
  })

  rule("counts saves that failed", function*(store) {
    const snapshot = freshSnapshot()
    const mine = on(
      yield* otherStore(
        store,
        ({ at, call }) => call === "snapshots.save" && at === "before" ? Effect.die("on purpose") : Effect.void
      ),
      freshTexts({ snapshot })
    )
    const counts = Effect.map(
      counting("eventstore.snapshot.saves", snapshot.name, Effect.void),
      ([, counts]) => counts
    )
    equal(yield* counts, {})
    const [, saves] = yield* counting(
      "eventstore.snapshot.saves",
      snapshot.name,
      Effect.andThen(quietly(mine.run(write("a"))), Effect.sleep("100 millis"))
    )
    equal(saves, { failed: 1 })
  })

  rule("saves nothing of a transaction that is open", function*(store) {
    const snapshot = freshSnapshot()
    const texts = on(store, freshTexts({ snapshot }))
    yield* texts.run(write("a"))
    yield* untilSaved(store, texts.stream, 1)
    const rolledBack = store.transaction(Effect.gen(function*() {
      const [ran, saves] = yield* counting(
        "eventstore.snapshot.saves",
        snapshot.name,
        Effect.tap(texts.run(write("b")), Effect.sleep("20 millis"))
      )
      has(ran, { state: ["a", "b"], version: 2 })
      equal(saves, {})
      equal(yield* texts.snapshot, false)
      has(yield* texts.query(), { state: ["a", "b"], version: 2 })
      return yield* Effect.fail(new Full({ size: 0 }))
    }))
    yield* fails(rolledBack, "Full")
    yield* Effect.sleep("20 millis")
    has((yield* savedOf(store, texts.stream))!, { streamVersion: 1 })
    equal(yield* texts.texts, ["a"])
  })

  rule("goes on from a snapshot though an event before it does not decode any more", function*(store) {
    const snapshot = freshSnapshot(Snapshot.onDemand)
    const aggregate = freshTexts({ snapshot })
    const texts = on(store, aggregate)
    yield* texts.run(write("a"))
    yield* old(store, texts.stream, "WrittenTwice", { text: "b" })
    equal(yield* texts.snapshot, true)
    yield* texts.run(write("c"))
    // a program that does not know the old event
    const today = Decider.make(
      Category.make(aggregate.category.name, { id: Schema.String, events: [Written, Erased] }),
      {
        initial: [] as Texts,
        evolve: { Written: (texts: Texts, { text }) => [...texts, text], Erased: (): Texts => [] },
        decide: (text: string, texts) => [new Written({ text, seen: texts.length })],
        snapshot
      }
    )
    const run = inStore(store)
    has(yield* run(today.run("1", "d")), { state: ["a", "b", "b", "c", "d"], version: 4 })
    yield* run(SnapshotStore.drop({ stream: texts.stream }))
    yield* fails(run(today.query("1")), "UnknownEventType")
  })

  rule("reads each older shape of a state that was ever stored, and folds where one is broken", function*(store) {
    const name = freshName()
    const State = Schema.Struct({ texts: Schema.Array(Schema.String), count: Schema.Int })
    const state = Snapshot
      .oldest(Schema.Struct({ joined: Schema.String }))
      .next(Schema.Struct({ list: Schema.Array(Schema.String) }), ({ joined }) => ({ list: joined.split(",") }))
      .current(State, ({ list }) => ({ texts: list, count: list.length }))
    const Lists = Decider.make(
      Category.make(freshName(), { id: Schema.String, events: [Written] }),
      {
        initial: { texts: [], count: 0 },
        evolve: {
          Written: ({ count, texts }, { text }) => ({ texts: [...texts, text], count: count + 1 })
        },
        decide: (text: string, { count }) => [new Written({ text, seen: count })],
        snapshot: Snapshot.make({ name, state, policy: Snapshot.onDemand })
      }
    )
    const run = inStore(store)
    const stored = [
      [1, `{"joined":"x,y"}`, ["x", "y"], "held"],
      [2, `{"list":["x","y"]}`, ["x", "y"], "held"],
      [3, `{"texts":["x","y"],"count":2}`, ["x", "y"], "held"],
      [3, `{"texts":["x","y"]}`, ["a", "b"], "undecodable"],
      [2, `"broken"`, ["a", "b"], "undecodable"],
      [4, `{"texts":["x","y"],"count":2}`, ["a", "b"], "undecodable"]
    ] as const
    for (const [schemaVersion, text, expected, outcome] of stored) {
      const id = `${schemaVersion}${text.length}`
      const stream = Lists.category.stream(id)
      yield* run(Lists.run(id, "a"))
      yield* run(Lists.run(id, "b"))
      equal(yield* run(Lists.snapshot(id)), true)
      yield* replace(store, name, stream, schemaVersion, text)
      const [queried, counts] = yield* counting("eventstore.snapshot.loads", name, run(Lists.query(id)))
      equal(queried.state, { texts: expected, count: 2 })
      equal(counts, { [outcome]: 1 })
      equal((yield* run(Lists.run(id, "c"))).state, { texts: [...expected, "c"], count: 3 })
    }
  })

  rule("saves a state when it is asked to, and says whether it is kept", function*(store) {
    const texts = on(store, freshTexts({ snapshot: freshSnapshot(Snapshot.onDemand) }))
    equal(yield* texts.snapshot, false)
    yield* texts.run(write("a"))
    equal(yield* savedOf(store, texts.stream), undefined)
    equal(yield* texts.snapshot, true)
    has((yield* savedOf(store, texts.stream))!, { streamVersion: 1, holds: true })
    yield* store.delete(texts.stream)
    equal(yield* texts.snapshot, false)
    equal((yield* fails(on(store, freshTexts()).snapshot, "InvalidInput")).field, "snapshot")
    equal((yield* fails(inStore(store)(freshTexts().rebuildSnapshots()), "InvalidInput")).field, "snapshot")
    const never = on(store, freshTexts({ snapshot: freshSnapshot(Snapshot.never) }))
    yield* never.run(write("a"))
    equal(yield* never.snapshot, false)
  })

  rule("rebuilds the snapshots of a category", function*(store) {
    const snapshot = freshSnapshot(Snapshot.onDemand)
    const aggregate = freshTexts({ snapshot })
    for (const id of ["1", "2", "3"]) yield* on(store, aggregate, id).run(write(id))
    const { stream } = on(store, aggregate, "2")
    equal(yield* on(store, aggregate, "2").snapshot, true)
    yield* replace(store, snapshot.name, stream, 1, `["wrong"]`)
    equal(yield* on(store, aggregate, "2").texts, ["wrong"])
    equal(yield* inStore(store)(aggregate.rebuildSnapshots({ concurrency: 2 })), { kept: 3, refused: 0 })
    equal(yield* on(store, aggregate, "2").texts, ["2"])
    has((yield* savedOf(store, aggregate.category.stream("3")))!, { streamVersion: 1, holds: true })
  })

  rule("loads and saves the states of streams under a boundary in the same way", function*(store) {
    const snapshot = freshSnapshot(Snapshot.every(2))
    const aggregate = freshTexts({ snapshot })
    const both = Boundary.make(freshName(), {
      streams: (text: string) => ({
        one: Boundary.on(aggregate, "1"),
        two: Boundary.on(aggregate, text === "alone" ? "3" : "2")
      }),
      decide: (text: string, { one }) => ({ one: [new Written({ text, seen: one.length })] })
    })
    const run = inStore(store)
    yield* run(both.run("a"))
    yield* run(both.run("b"))
    yield* untilSaved(store, aggregate.category.stream("1"), 2)
    equal(yield* savedOf(store, aggregate.category.stream("2")), undefined)
    const [{ states }, loads] = yield* counting("eventstore.snapshot.loads", snapshot.name, run(both.run("alone")))
    equal(states, { one: ["a", "b", "alone"], two: [] })
    equal(loads, { held: 1, none: 1 })
  })

  rule("keeps snapshots where the program says", function*(store) {
    const aggregate: TextsAggregate = freshTexts({ snapshot: freshSnapshot() })
    const texts = on(store, aggregate)
    yield* Effect.gen(function*() {
      yield* texts.run(write("a", "b"))
      yield* until("a snapshot in the process", () =>
        Effect.map(
          inStore(store)(Stream.runCollect(SnapshotStore.list({ stream: texts.stream }))),
          ([info]) => info?.streamVersion === 2
        ))
      equal(yield* texts.snapshot, true)
      const [{ state }, counts] = yield* counting(
        "eventstore.snapshot.loads",
        aggregate.savedAs!.name,
        texts.query()
      )
      equal([state, counts], [["a", "b"], { held: 1 }])
    }).pipe(
      Effect.provide(SnapshotStore.layerMemory, { local: true }),
      Effect.provideService(EventStore, store)
    )
    equal(Option.isNone(yield* Effect.serviceOption(SnapshotStore.SnapshotStore)), true)
    equal(yield* savedOf(store, texts.stream), undefined)
  })
}
