import { assert } from "@effect/vitest"
import { Arbitrary, Effect, Metric, Option, Schema, Stream } from "effect"
import * as Snapshot from "../../Snapshot/Snapshot.ts"
import * as SnapshotStore from "../../Snapshot/SnapshotStore.ts"
import { EventStore } from "../../Store/EventStore.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import {
  type Counted,
  equal,
  fails,
  freshCategory,
  freshName,
  has,
  type Noted,
  notes,
  type NotesStream,
  type Rule,
  type Rules,
  type Store,
  textOf,
  texts
} from "./rule.ts"

/** Where snapshots are kept: runs an effect there. */
type Place = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, EventStore>>

const inStore = (store: Store): Effect.Effect<Place> =>
  Effect.succeed((effect) => Effect.provideService(effect, EventStore, store))

const inProcess = (store: Store): Effect.Effect<Place> =>
  SnapshotStore.SnapshotStore.pipe(
    Effect.provide(SnapshotStore.layerMemory, { local: true }),
    Effect.map((kept): Place => (effect) =>
      effect.pipe(
        Effect.provideService(SnapshotStore.SnapshotStore, kept),
        Effect.provideService(EventStore, store)
      ) as never
    )
  )

/** The same rule for a store whose snapshots live in the process. */
export const besides = (declare: Rules): Rules => (rule, options) =>
  declare(
    (name, body) =>
      rule(name, function*(store) {
        const place = yield* inProcess(store)
        const { storage } = store
        const kept =
          (yield* place(SnapshotStore.SnapshotStore) as Effect.Effect<SnapshotStore.SnapshotStore["Service"]>)
            .of(storage)
        const beside = { ...store, storage: { ...storage, snapshots: { ...storage.snapshots, ...kept } } }
        yield* Effect.gen(() => body(beside))
      }),
    options
  )

const Texts = Schema.Array(Schema.String)

const declare = (options: { readonly version?: number; readonly policy?: Snapshot.Policy } = {}) =>
  Snapshot.make({ name: freshName(), state: Texts, ...options })

const folding = {
  initial: [] as ReadonlyArray<string>,
  evolve: (texts: ReadonlyArray<string>, { event }: Recorded<Noted | Counted>) => [...texts, textOf(event)]
}

const foldOf = (snapshot: Snapshot.Snapshot<ReadonlyArray<string>, never>, stream: NotesStream, to?: number) =>
  SnapshotStore.fold(snapshot, stream, { ...folding, to })

/** Folds a stream up to a version and saves that. */
const saveOf = (snapshot: Snapshot.Snapshot<ReadonlyArray<string>, never>, stream: NotesStream, to?: number) =>
  Effect.flatMap(foldOf(snapshot, stream, to), (folded) => SnapshotStore.save(snapshot, stream, folded))

/** What an effect answers, and how often loads of a snapshot came out how. */
const counting = <A, E, R>(snapshot: { readonly name: string }, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const answer = yield* effect
    const counts: Record<string, number> = {}
    for (const { attributes, id, state } of yield* Metric.snapshot) {
      if (id !== "eventstore.snapshot.loads" || attributes?.["snapshot"] !== snapshot.name) continue
      counts[String(attributes["outcome"])] = Number((state as { readonly count: number }).count)
    }
    return [answer, counts] as const
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))

const upTo = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: most }))

/** What happens often stands here often. Numbers are taken modulo what there is. */
const Command = Schema.Union([
  Schema.TaggedStruct("Append", { count: Schema.Literals([1, 1, 2, 5]) }),
  Schema.TaggedStruct("Append", { count: Schema.Literals([1, 1, 2, 5]) }),
  Schema.TaggedStruct("Append", { count: Schema.Literals([1, 1, 2, 5]) }),
  Schema.TaggedStruct("Save", { back: upTo(4) }),
  Schema.TaggedStruct("Save", { back: upTo(4) }),
  Schema.TaggedStruct("Save", { back: upTo(4) }),
  Schema.TaggedStruct("SaveLate", { which: upTo(9) }),
  Schema.TaggedStruct("Truncate", { back: upTo(6) }),
  Schema.TaggedStruct("Delete", {}),
  Schema.TaggedStruct("Drop", {})
])
const histories = Arbitrary.array(Arbitrary.schema(Command), { minLength: 3, maxLength: 25 })

const playHistory = Effect.fnUntraced(
  function*(store: Store, place: Place, commands: ReadonlyArray<typeof Command.Type>) {
    const snapshot = declare()
    const stream = freshCategory().stream("1")
    const taken: Array<SnapshotStore.Folded<ReadonlyArray<string>>> = []
    let held = 0
    let count = 0
    for (const command of commands) {
      const { version } = yield* store.info(stream)
      switch (command._tag) {
        case "Append":
          yield* store.append(stream, notes(...Array.from({ length: command.count }, () => String(++count))))
          break
        case "Save": {
          const folded = yield* place(foldOf(snapshot, stream, Math.max(0, version - command.back)))
          taken.push(folded)
          yield* place(SnapshotStore.save(snapshot, stream, folded))
          break
        }
        // what was folded long ago, perhaps before the stream changed
        case "SaveLate": {
          const folded = taken[command.which % Math.max(1, taken.length)]
          if (folded !== undefined) yield* place(SnapshotStore.save(snapshot, stream, folded))
          break
        }
        case "Truncate":
          yield* store.truncateBefore(stream, Math.max(0, version - command.back))
          break
        case "Delete":
          yield* store.delete(stream)
          break
        case "Drop":
          yield* place(SnapshotStore.drop({ stream }))
      }
      const { mark, snapshotVersion, state, version: at } = yield* place(foldOf(snapshot, stream))
      equal(state, yield* texts(store, stream))
      const info = yield* store.info(stream)
      equal(at, info.version)
      equal(mark === undefined, state.length === 0)
      if (snapshotVersion > 0) held++
      // and what it was at each version
      const past = yield* place(foldOf(snapshot, stream, Math.max(0, at - 1)))
      equal(past.state, yield* texts(store, stream, { to: Math.max(0, at - 1) }))
    }
    return held
  }
)

/** Where snapshots are kept must not matter. */
export const snapshotRulesIn = (where: "store" | "process"): Rules => (given) => {
  const rule = (name: string, body: (store: Store, place: Place) => ReturnType<Parameters<Rule>[1]>) =>
    given(name, function*(store) {
      const place = yield* (where === "store" ? inStore(store) : inProcess(store))
      yield* Effect.gen(() => body(store, place))
    })

  rule(
    "folds snapshot and tail into what a fold of all events says, whatever became of the stream",
    function*(store, place) {
      let held = 0
      const result = yield* Arbitrary.checkEffect(
        histories,
        (commands) =>
          Effect.sandbox(Effect.map(playHistory(store, place, commands), (times) => {
            held += times
            return true
          })),
        { runs: 25, size: 60, maxShrinks: 100 }
      )
      const failure = Arbitrary.formatCheckFailure(result)
      if (failure !== undefined) {
        assert.fail(failure)
      }
      assert.isAbove(held, 10, "snapshots were of no use in all of these histories")
    }
  )

  rule("says what was folded, from where, and where it can be saved", function*(store, place) {
    const snapshot = declare()
    const stream = freshCategory().stream("1")
    const empty = yield* place(foldOf(snapshot, stream))
    has(empty, {
      state: [],
      version: 0,
      position: 0,
      mark: undefined,
      snapshotVersion: 0,
      events: 0,
      oldest: undefined
    })
    equal(yield* place(SnapshotStore.save(snapshot, stream, empty)), false)
    const { position } = yield* store.append(stream, notes("1", "2", "3"))
    const folded = yield* place(foldOf(snapshot, stream))
    has(folded, { state: ["1", "2", "3"], version: 3, position, snapshotVersion: 0, events: 3 })
    assert.isAbove(folded.oldest!, 0)
    assert.isAtLeast(folded.replayMillis, 0)
    equal(yield* place(SnapshotStore.save(snapshot, stream, folded)), true)
    has(yield* place(foldOf(snapshot, stream)), {
      state: ["1", "2", "3"],
      version: 3,
      position,
      snapshotVersion: 3,
      events: 0
    })
    yield* store.append(stream, notes("4"))
    has(yield* place(foldOf(snapshot, stream)), {
      state: ["1", "2", "3", "4"],
      version: 4,
      snapshotVersion: 3,
      events: 1
    })
    yield* store.delete(stream)
    has(yield* place(foldOf(snapshot, stream)), { state: [], version: 4, mark: undefined, snapshotVersion: 0 })
  })

  rule("folds more than a page of events behind a snapshot", function*(store, place) {
    const snapshot = declare()
    const stream = freshCategory().stream("1")
    const all = Array.from({ length: 3200 }, (_, i) => String(i))
    yield* store.append(stream, notes(...all))
    equal(yield* place(saveOf(snapshot, stream, 7)), true)
    const { events, mark, snapshotVersion, state, version } = yield* place(foldOf(snapshot, stream))
    equal([state.length, version, mark!.streamVersion, snapshotVersion, events], [3200, 3200, 3200, 7, 3193])
    equal(state, all)
    equal((yield* place(foldOf(snapshot, stream, 2600))).state, all.slice(0, 2600))
  })

  rule("counts what becomes of snapshots", function*(store, place) {
    const snapshot = declare()
    const stream = freshCategory().stream("1")
    yield* store.append(stream, notes("1", "2"))
    const [, none] = yield* place(counting(snapshot, saveOf(snapshot, stream)))
    equal(none, { none: 1 })
    const [, held] = yield* place(counting(snapshot, foldOf(snapshot, stream)))
    equal(held, { held: 1 })
    yield* store.truncateBefore(stream, 2)
    const [, stale] = yield* place(counting(snapshot, foldOf(snapshot, stream)))
    equal(stale, { stale: 1 })
  })

  const V1 = Schema.Struct({ joined: Schema.String })
  const V2 = Schema.Struct({ list: Schema.Array(Schema.String), count: Schema.FiniteFromString })
  class Today extends Schema.Class<Today>("Today")({ texts: Texts, since: Schema.DateTimeUtcFromString }) {}
  const chain = Snapshot
    .oldest(V1)
    .next(V2, ({ joined }) => {
      const list = joined.split(",")
      if (list.includes("throws")) throw new Error("on purpose")
      return { list, count: list.length }
    })
    .current(Today, ({ count, list }, { streamVersion }) => {
      equal(count, streamVersion)
      return new Today({
        texts: list,
        since: Schema.decodeSync(Schema.DateTimeUtcFromString)("2020-01-01T00:00:00.000Z")
      })
    })

  rule("reads each older shape that was ever stored as the state of today", function*(store, place) {
    const stored = {
      1: `{"joined":"1,2"}`,
      2: `{"list":["1","2"],"count":"2"}`,
      3: `{"texts":["1","2"],"since":"2020-01-01T00:00:00.000Z"}`
    }
    for (const [schemaVersion, state] of Object.entries(stored)) {
      const snapshot = Snapshot.make({ name: freshName(), state: chain })
      const stream = freshCategory().stream("1")
      yield* store.append(stream, notes("1", "2"))
      yield* place(putAsIs(store, snapshot.name, stream, Number(schemaVersion), state))
      const [loaded, counts] = yield* place(counting(snapshot, SnapshotStore.load(snapshot, stream)))
      equal(counts, { held: 1 })
      const today = Option.getOrThrow(loaded.state)
      assert.instanceOf(today, Today)
      equal(today.texts, ["1", "2"])
      equal([loaded.mark!.streamVersion, loaded.page.events], [2, []])
      // saved again it has the shape of today, and the same words
      equal(yield* place(SnapshotStore.save(snapshot, stream, { state: today, mark: loaded.mark })), true)
      has(yield* place(kept(store, snapshot.name, stream)), { schemaVersion: 3, state: stored[3] })
    }
  })

  rule("ignores and counts what does not decode, and folds the events", function*(store, place) {
    const broken = [
      [3, `{"texts":"1,2"}`],
      [3, `null`],
      [3, `{"texts":["1"],"since":"no time"}`],
      [1, `{"joined":"throws"}`],
      [2, `{"list":["1","2"],"count":"9"}`],
      [4, `{"texts":["1","2"],"since":"2020-01-01T00:00:00.000Z"}`]
    ] as const
    for (const [schemaVersion, state] of broken) {
      const snapshot = Snapshot.make({ name: freshName(), state: chain })
      const stream = freshCategory().stream("1")
      yield* store.append(stream, notes("1", "2"))
      yield* place(putAsIs(store, snapshot.name, stream, schemaVersion, state))
      const [loaded, counts] = yield* place(counting(snapshot, SnapshotStore.load(snapshot, stream)))
      equal(counts, { undecodable: 1 })
      equal([loaded.state, loaded.mark], [Option.none(), undefined])
      equal(loaded.page.events.map(({ streamVersion }) => streamVersion), [1, 2])
    }
  })

  rule("ignores whatever was saved before the version was raised", function*(store, place) {
    const before = Snapshot.make({ name: freshName(), state: chain })
    const raised = Snapshot.make({ name: before.name, state: chain, version: 4 })
    for (
      const [schemaVersion, state] of [[1, `{"joined":"1,2"}`], [
        3,
        `{"texts":[],"since":"2020-01-01T00:00:00.000Z"}`
      ]] as const
    ) {
      const stream = freshCategory().stream("1")
      yield* store.append(stream, notes("1", "2"))
      yield* place(putAsIs(store, before.name, stream, schemaVersion, state))
      equal((yield* place(counting(before, SnapshotStore.load(before, stream))))[1], { held: 1 })
      equal((yield* place(counting(raised, SnapshotStore.load(raised, stream))))[1], { undecodable: 1 })
    }
  })

  rule("saves what was folded instead of what does not decode", function*(store, place) {
    const snapshot = declare({ version: 2 })
    const stream = freshCategory().stream("1")
    yield* store.append(stream, notes("1", "2"))
    yield* place(putAsIs(store, snapshot.name, stream, 2, `"broken"`))
    equal(yield* place(saveOf(snapshot, stream)), true)
    has(yield* place(foldOf(snapshot, stream)), { state: ["1", "2"], snapshotVersion: 2, events: 0 })
  })

  rule("refuses a state that does not fit its schema, cannot be kept, or is too large", function*(store, place) {
    const snapshot = declare()
    const stream = freshCategory().stream("1")
    yield* store.append(stream, notes("1"))
    const { mark } = yield* place(foldOf(snapshot, stream))
    const save = (state: any) => place(SnapshotStore.save(snapshot, stream, { state, mark }))
    const { eventBytes } = store.limits
    for (
      const state of [null, [1], "text", ["\0"], ["\ud800"], ["x".repeat(eventBytes)], [
        "\u{e9}".repeat(eventBytes / 2)
      ]]
    ) {
      equal((yield* fails(save(state), "InvalidInput")).field, "state")
    }
    equal(yield* save(["x".repeat(eventBytes - 4)]), true)
    const nowhere = freshCategory().stream("")
    equal((yield* fails(place(SnapshotStore.load(snapshot, nowhere)), "InvalidInput")).field, "stream")
    equal(
      (yield* fails(place(SnapshotStore.save(snapshot, nowhere, { state: [], mark })), "InvalidInput")).field,
      "stream"
    )
    equal((yield* fails(place(SnapshotStore.drop({ stream: nowhere })), "InvalidInput")).field, "stream")
    equal((yield* fails(place(SnapshotStore.drop({ category: "\0" })), "InvalidInput")).field, "category")
    for (const to of [-1, 0.5, NaN]) {
      equal((yield* fails(place(foldOf(snapshot, stream, to)), "InvalidInput")).field, "to")
    }
  })

  rule("neither saves nor looks for what is never to be saved", function*(store, place) {
    const snapshot = declare({ policy: Snapshot.onDemand })
    const never = { ...snapshot, policy: Snapshot.never }
    const stream = freshCategory().stream("1")
    yield* store.append(stream, notes("1", "2"))
    equal(yield* place(saveOf(never, stream)), false)
    has(yield* place(foldOf(snapshot, stream)), { snapshotVersion: 0 })
    equal(yield* place(saveOf(snapshot, stream)), true)
    has(yield* place(foldOf(never, stream)), { snapshotVersion: 0, state: ["1", "2"] })
    has(yield* place(foldOf(snapshot, stream)), { snapshotVersion: 2, state: ["1", "2"] })
  })

  rule("lists, drops and rebuilds the snapshots of a category", function*(store, place) {
    const snapshot = declare()
    const other = declare()
    const category = freshCategory()
    for (let i = 0; i < 7; i++) yield* store.append(category.stream(String(i)), notes("a", "b", String(i)))
    yield* store.tombstone(category.stream("5"))
    yield* store.delete(category.stream("6"))
    yield* place(saveOf(other, category.stream("1")))
    yield* place(putAsIs(store, snapshot.name, category.stream("2"), 1, `["wrong"]`))
    has(yield* place(foldOf(snapshot, category.stream("2"))), { state: ["wrong"] })
    const options = { initial: () => folding.initial, evolve: folding.evolve }
    equal(yield* place(SnapshotStore.rebuild(snapshot, category, options)), { kept: 5, refused: 0 })
    has(yield* place(foldOf(snapshot, category.stream("2"))), { state: ["a", "b", "2"], snapshotVersion: 3 })
    const list = (filter: SnapshotStore.Filter) =>
      Effect.map(
        place(Stream.runCollect(SnapshotStore.list(filter))),
        (infos) => infos.map(({ holds, name, streamId }) => [streamId.split("-")[1], name === snapshot.name, holds])
      )
    equal(yield* list({ category, snapshot }), ["0", "1", "2", "3", "4"].map((id) => [id, true, true]))
    equal((yield* list({ category })).length, 6)
    equal((yield* list({ stream: category.stream("1") })).length, 2)
    equal(yield* place(SnapshotStore.drop({ category, snapshot: other })), 1)
    equal(yield* place(SnapshotStore.drop({ stream: category.stream("0") })), 1)
    equal(yield* place(SnapshotStore.drop({ category: category.name })), 4)
    equal(yield* list({ category }), [])
  })
}

const range = { to: Number.MAX_SAFE_INTEGER, limit: 1, bytes: 1 }

const place = ({ storage }: Store) =>
  Effect.map(
    Effect.serviceOption(SnapshotStore.SnapshotStore),
    Option.match({ onNone: () => storage.snapshots, onSome: (snapshots) => snapshots.of(storage) })
  )

/** Stores a text as the state of a stream as it is now: what an older program stored, or a broken one. */
const putAsIs = Effect.fnUntraced(function*(
  store: Store,
  name: string,
  { streamId }: NotesStream,
  schemaVersion: number,
  state: string
) {
  const { events: [last] } = yield* store.storage.streamPage(streamId, {
    direction: "backward",
    from: Number.MAX_SAFE_INTEGER,
    to: 1,
    limit: 1,
    bytes: 1
  })
  const { eventId, position, streamVersion } = last!
  const { truncatedBefore } = yield* store.storage.stream(streamId)
  const mark = { eventId, position, streamVersion, truncatedBefore }
  equal(yield* (yield* place(store)).save({ ...mark, name, streamId, schemaVersion, state }), true)
})

const kept = (store: Store, name: string, { streamId }: NotesStream) =>
  Effect.gen(function*() {
    return (yield* (yield* place(store)).load(streamId, name, range)).snapshot!
  })
