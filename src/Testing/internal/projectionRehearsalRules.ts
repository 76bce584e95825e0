import { assert } from "@effect/vitest"
import { DateTime, Effect, Exit, Fiber, Latch, Option, Schema, Scope, Stream } from "effect"
import * as EventId from "../../Event/EventId.ts"
import * as Projection from "../../Projection/Projection.ts"
import * as Rehearsal from "../../Projection/Rehearsal.ts"
import { EventStore } from "../../Store/EventStore.ts"
import type { ProjectionState } from "../../Store/ProjectionStorage.ts"
import { inStore } from "./consuming.ts"
import { hookedStorage } from "./hookedStorage.ts"
import { type Documents, foldByHand, freshTexts, put, puts, type Texts, textsOf } from "./keyedTexts.ts"
import { freshProjection, mortalStore, otherStore, processed, project, stateOf, untilState } from "./projecting.ts"
import { collect, equal, fails, freshName, freshStream, has, notes, type Rules, type Store } from "./rule.ts"

const freshRehearsal = (): string => `r${freshName()}`

/** The documents of what was built, by the functions that read those of projections. */
const documentsOf = (
  store: Store,
  { projection }: Rehearsal.Rehearsal<Projection.Documents<ReadonlyArray<string>, never>>
): Effect.Effect<Documents, any> =>
  Effect.map(
    collect(Stream.provideService(Projection.list(projection), EventStore, store)),
    (all) => Object.fromEntries(all.map(({ key, state }) => [key, state]))
  )

const listed = (store: Store, name: string) =>
  Effect.map(inStore(store)(Rehearsal.list), (all) => all.find((one) => one.name === name))

/** What is there of the rehearsals of a projection. */
const rehearsalsOf = (store: Store, projection: string) =>
  Effect.map(inStore(store)(Rehearsal.list), (all) => all.filter((one) => one.projection === projection))

/** What the live version has of a key becomes something else. */
const corrupt = (store: Store, name: string, changes: Readonly<Record<string, ReadonlyArray<string> | null>>) =>
  Effect.flatMap(stateOf(store, name), ({ id }) =>
    store.storage.projections.documents.save(
      id,
      Object.entries(changes).map(([key, state]) => ({ key, state: state && JSON.stringify(state) }))
    ))

/** Writes until its scope closes. */
const keepWriting = (store: Store, from: Texts, keys: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    let written = 0
    yield* Effect.forkScoped(Effect.gen(function*() {
      while (true) {
        const key = keys[written % keys.length]!
        yield* store.append(from.stream(key), puts(key, `${++written}`))
        yield* Effect.sleep(1)
      }
    }))
    return () => written
  })

/** The same store, where the states of a projection are others. */
const withStates = (store: Store, name: string, change: (state: ProjectionState) => ProjectionState): Store => {
  const { projections } = store.storage
  const states: typeof projections.states = (asked, now) =>
    Effect.map(projections.states(asked, now), (all) => all.map((state) => state.name === name ? change(state) : state))
  return { ...store, storage: { ...store.storage, projections: { ...projections, states } } }
}

/** The same store, where a partition has not come further than a position. */
const heldBack = (store: Store, name: string, held: number, position: number): Store =>
  withStates(store, name, (state) => ({
    ...state,
    partitions: state.partitions.map((one) => one.partition === held ? { ...one, position } : one)
  }))

const first = <A>(all: ReadonlyArray<A>): A => {
  assert.lengthOf(all, 1)
  return all[0]!
}

export const projectionRehearsalRules: Rules = (rule) => {
  rule("makes what the live version made, without touching it, and does not follow the log", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const run = inStore(store)
    yield* store.append(from.stream("1"), [...puts("a", "1", "2"), put("3", "a", "b")])
    const runner = yield* project(store, texts)
    yield* processed(store, name)
    yield* runner.stop
    const before = yield* run(Projection.statuses(name))
    const live = yield* run(Projection.status(texts))
    const rehearsal = yield* run(Rehearsal.make(texts))
    equal(yield* documentsOf(store, rehearsal), { a: ["1", "2", "3"], b: ["3"] })
    has(yield* rehearsal.status, { position: live.position, target: live.position, handled: 3, isTemporary: true })
    has(yield* rehearsal.status, { projection: name, version: 1, kind: "documents", isInUse: true })
    equal(yield* run(Projection.statuses(name)), before)
    equal((yield* run(Projection.statuses())).filter((one) => one.name.startsWith("~")), [])
    yield* store.append(from.stream("1"), puts("c", "4"))
    equal(Object.keys(yield* documentsOf(store, rehearsal)), ["a", "b"])
    equal(yield* run(Projection.get(texts, "c")), Option.none())
  })

  rule("shows handlers all that a rebuild shows them, of an inline projection as well", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from, { mode: "inline" })
    const run = inStore(store)
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    yield* project(store, texts)
    yield* untilState(store, name, ({ isApplied }) => isApplied)
    yield* store.append(from.stream("2"), puts("a", "3"))
    const seen: Array<string> = []
    const rehearsal = yield* run(Rehearsal.make(texts, {
      batch: 2,
      middleware: (apply) => (batch) => {
        seen.push(`${batch.projection} ${batch.isRebuild} ${batch.events.length}`)
        return apply(batch)
      }
    }))
    equal(seen, [`${name} true 2`, `${name} true 1`])
    const difference = yield* rehearsal.difference()
    has(difference, { isEqual: true, isSamePosition: true, position: yield* store.head() })
    yield* store.append(from.stream("2"), puts("b", "4"))
    has(yield* rehearsal.difference(), { isEqual: true, isSamePosition: true, position: yield* store.head() })
  })

  rule("stores nothing, whatever a handler tries", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const { position } = yield* store.append(from.stream("1"), puts("a", "1"))
    const stream = freshStream()
    const attempts: ReadonlyArray<(store: Store) => Effect.Effect<unknown, any>> = [
      ({ append }) => append(stream, notes("1")),
      ({ appendAll }) => appendAll([EventStore.entry(stream, notes("1"))]),
      ({ appendIf }) =>
        appendIf({ items: [{ types: ["Noted"], tags: [] }], after: 0 }, EventStore.entry(stream, notes("1"))),
      ({ setMetadata }) => setMetadata(stream, 1),
      ({ truncateBefore }) => truncateBefore(stream, 1),
      (store) => store.delete(stream),
      ({ tombstone }) => tombstone(stream),
      ({ transaction }) => transaction(store.append(stream, notes("1")))
    ]
    for (const attempt of attempts) {
      const rehearsal = Rehearsal.make(textsOf(name, from), {
        middleware: (apply) => (batch) => Effect.andThen(EventStore.use(attempt), apply(batch))
      })
      const failed = yield* fails(Effect.scoped(inStore(store)(rehearsal)), "ProjectionFailed")
      has(failed, { position })
      has(failed.cause as object, { _tag: "InvalidInput" })
    }
    equal(yield* store.head(), position)
    equal((yield* store.info(stream)).status, "new")
  })

  rule("begins and ends at the positions asked for", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const make = (options: Rehearsal.RehearseOptions) =>
      Effect.flatMap(inStore(store)(Rehearsal.make(texts, options)), (made) => documentsOf(store, made))
    const { position } = yield* store.append(from.stream("1"), puts("a", "1", "2", "3", "4"))
    yield* store.append(freshStream(), notes("foreign"))
    equal(yield* make({}), { a: ["1", "2", "3", "4"] })
    equal(yield* make({ to: position - 2 }), { a: ["1", "2"] })
    equal(yield* make({ from: position - 1 }), { a: ["3", "4"] })
    equal(yield* make({ from: position - 2, to: position - 1 }), { a: ["2", "3"] })
    equal(yield* make({ to: 0 }), {})
    const begun = Rehearsal.make(textsOf(name, from, { start: position - 1 }))
    equal(yield* documentsOf(store, yield* inStore(store)(begun)), { a: ["4"] })
  })

  rule("ends before the first event that was recorded at a time or later", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const asOf = (until: DateTime.Utc) =>
      Effect.flatMap(inStore(store)(Rehearsal.make(texts, { until })), (made) => documentsOf(store, made))
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    yield* Effect.sleep(20)
    yield* store.append(from.stream("1"), puts("a", "3"))
    const all = yield* collect(store.readCategory(from))
    const last = all[2]!.recordedAt
    equal(yield* asOf(last), { a: ["1", "2"] })
    equal(yield* asOf(DateTime.add(last, { hours: 1 })), { a: ["1", "2", "3"] })
    equal(yield* asOf(DateTime.makeUnsafe(0)), {})
    // what is before its first position tells nothing
    const { position } = all[1]!
    const behind = yield* inStore(store)(Rehearsal.make(texts, { from: position, until: all[0]!.recordedAt }))
    has(behind, { target: position - 1 })
    const rest = yield* inStore(store)(Rehearsal.make(texts, { from: position, until: last }))
    equal(yield* documentsOf(store, rest), { a: ["2"] })
  })

  rule("goes on where it was interrupted, and handles nothing twice", function*(store) {
    const [from, name, kept] = [freshTexts(), freshProjection(), freshRehearsal()]
    const texts = textsOf(name, from)
    const run = inStore(store)
    const numbers = Array.from({ length: 12 }, (_, i) => `${i}`)
    yield* store.append(from.stream("1"), puts("a", ...numbers))
    const half = yield* Latch.make()
    const building = yield* Effect.forkChild(Effect.scoped(run(Rehearsal.make(texts, {
      name: kept,
      batch: 2,
      onProgress: ({ handled }) => handled >= 6 ? Effect.andThen(half.open, Effect.never) : Effect.void
    }))))
    yield* half.await
    yield* Fiber.interrupt(building)
    has((yield* listed(store, kept))!, { handled: 6, isInUse: false, isTemporary: false })
    const progress: Array<Rehearsal.RehearsalProgress> = []
    const make = Rehearsal.make(texts, {
      name: kept,
      batch: 2,
      onProgress: (one) => Effect.sync(() => progress.push(one))
    })
    equal(yield* documentsOf(store, yield* run(make)), { a: numbers })
    equal([...new Set(progress.map(({ handled }) => handled))], [6, 8, 10, 12])
    const [{ target }] = progress as [Rehearsal.RehearsalProgress]
    has(progress.at(-1)!, { position: target, target })
    // and it is there still, though more was stored
    yield* store.append(from.stream("1"), puts("a", "more"))
    equal(yield* documentsOf(store, yield* run(make)), { a: numbers })
    yield* run(Rehearsal.drop(kept))
    assert.isUndefined(yield* listed(store, kept))
  })

  rule("does not go on over a log that is another one", function*(store) {
    const [from, name, kept] = [freshTexts(), freshProjection(), freshRehearsal()]
    const texts = textsOf(name, from)
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    // it ends at an event that it does not handle
    const { position } = yield* store.append(freshStream(), notes("foreign"))
    const built = yield* inStore(store)(Rehearsal.make(texts, { name: kept }))
    has(yield* built.status, { position })
    const [foreign] = yield* collect(store.readAll({ from: position }))
    const restored = (place: { readonly head?: number; readonly eventId?: EventId.EventId }) => {
      const identity = (at: number) => Effect.map(store.storage.identity(at), (found) => ({ ...found, ...place }))
      return Effect.flatMap(
        EventStore.make({ ...store.storage, identity }),
        (store) => fails(inStore(store)(Rehearsal.make(texts, { name: kept })), "LogRewound")
      )
    }
    has(yield* restored({ eventId: yield* EventId.make }), { position, eventId: foreign!.eventId })
    has(yield* restored({ head: position - 1 }), { position, head: position - 1 })
    yield* inStore(store)(Rehearsal.make(texts, { name: kept }))
    yield* inStore(store)(Rehearsal.drop(kept))
  })

  rule("is built once by two at the same time", function*(store) {
    const [from, name, kept] = [freshTexts(), freshProjection(), freshRehearsal()]
    const texts = textsOf(name, from)
    const numbers = Array.from({ length: 40 }, (_, i) => `${i}`)
    yield* store.append(from.stream("1"), puts("a", ...numbers))
    const stores = [store, yield* otherStore(store), yield* otherStore(store)]
    const made = yield* Effect.forEach(
      stores,
      (one) => inStore(one)(Rehearsal.make(texts, { name: kept, batch: 3 })),
      { concurrency: "unbounded" }
    )
    for (const one of made) equal(yield* documentsOf(store, one), { a: numbers })
    has((yield* listed(store, kept))!, { handled: 40 })
    yield* inStore(store)(Rehearsal.drop(kept))
  })

  rule("refuses to go on with something else", function*(store) {
    const [from, name, kept] = [freshTexts(), freshProjection(), freshRehearsal()]
    const run = inStore(store)
    const { position } = yield* store.append(from.stream("1"), puts("a", "1", "2"))
    yield* run(Rehearsal.make(textsOf(name, from), { name: kept, to: position }))
    const changed = (options: Rehearsal.RehearseOptions, projection = textsOf(name, from)) =>
      fails(run(Rehearsal.make(projection, { name: kept, ...options })), "RehearsalChanged")
    has(yield* changed({ to: position - 1 }), { field: "to", begun: `${position}`, asked: `${position - 1}` })
    has(yield* changed({}), { field: "to", asked: "not given" })
    has(yield* changed({ from: 1, to: position }), { field: "from" })
    has(yield* changed({ until: DateTime.makeUnsafe(0) }), { field: "to" })
    has(yield* changed({ to: position }, textsOf(name, from, { version: 2 })), { field: "version", begun: "1" })
    has(yield* changed({ to: position }, textsOf(freshProjection(), from)), { field: "projection", begun: name })
    has(yield* changed({ to: position }, textsOf(name, freshTexts())), { field: "declaration" })
    has((yield* listed(store, kept))!, { handled: 2, position })
    yield* run(Rehearsal.drop(kept))
    yield* fails(run(Rehearsal.drop(kept)), "RehearsalNotFound")
  })

  rule("leaves nothing of what is temporary, however it ends", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    yield* store.append(from.stream("1"), puts("a", "1", "2", "3"))
    const texts = textsOf(name, from)
    yield* Effect.scoped(Effect.gen(function*() {
      yield* run(Rehearsal.make(texts))
      has(first(yield* rehearsalsOf(store, name)), { isTemporary: true, isInUse: true })
    }))
    equal(yield* rehearsalsOf(store, name), [])
    const begun = yield* Latch.make()
    const interrupted = yield* Effect.forkChild(Effect.scoped(run(
      Rehearsal.make(texts, { batch: 1, onProgress: () => Effect.andThen(begun.open, Effect.sleep(5)) })
    )))
    yield* begun.await
    yield* Fiber.interrupt(interrupted)
    equal(yield* rehearsalsOf(store, name), [])
    const broken = textsOf(name, from, { broken: new Set(["3"]) })
    yield* fails(Effect.scoped(run(Rehearsal.make(broken))), "ProjectionFailed")
    equal(yield* rehearsalsOf(store, name), [])
  })

  rule("shows what a process left over that died, and drops it", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* store.append(from.stream("1"), puts("a", "1", "2", "3"))
    const { kill, store: mortal } = yield* mortalStore(store)
    const scope = yield* Scope.make()
    const made = yield* inStore(mortal)(Rehearsal.make(textsOf(name, from))).pipe(Scope.provide(scope))
    // it is dead, and nobody says good-bye
    yield* kill({ stop: Effect.void } as never)
    yield* Effect.forkDetach(Scope.close(scope, Exit.void))
    has((yield* listed(store, made.name))!, { isTemporary: true, handled: 3 })
    yield* inStore(store)(Rehearsal.drop(made.name))
    equal(yield* rehearsalsOf(store, name), [])
  })

  rule("is dropped though somebody goes on with it again and again", function*(store) {
    const [from, name, kept] = [freshTexts(), freshProjection(), freshRehearsal()]
    yield* inStore(store)(Rehearsal.make(textsOf(name, from), { name: kept }))
    let resumed = 0
    const busy = hookedStorage(
      store.storage,
      ({ at, call }) =>
        call !== "projections.drop" || at !== "before" || resumed++ > 2 ? Effect.void : Effect.asVoid(Effect.orDie(
          Effect.flatMap(stateOf(store, `~${kept}`), ({ id }) => store.storage.projections.resume(id))
        ))
    )
    yield* inStore(yield* EventStore.make(busy))(Rehearsal.drop(kept))
    assert.isAbove(resumed, 3)
    assert.isUndefined(yield* listed(store, kept))
  })

  rule("is none of the projections that a storage lists", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const { projections } = store.storage
    const rehearsal = yield* inStore(store)(Rehearsal.make(textsOf(name, from)))
    const isIt = (state: ProjectionState) => state.name === `~${rehearsal.name}`
    equal((yield* projections.states(undefined, undefined)).filter(isIt), [])
    has(first((yield* projections.rehearsals(undefined)).filter(isIt)), { kind: "documents" })
  })

  rule("ends where it is dropped meanwhile", function*(store) {
    const [from, name, kept] = [freshTexts(), freshProjection(), freshRehearsal()]
    const run = inStore(store)
    yield* store.append(from.stream("1"), puts("a", "1", "2", "3", "4"))
    const rehearsal = Rehearsal.make(textsOf(name, from), {
      name: kept,
      batch: 1,
      onProgress: ({ handled }) => handled === 2 ? Effect.orDie(run(Rehearsal.drop(kept))) : Effect.void
    })
    has(yield* fails(run(rehearsal), "RehearsalNotFound"), { rehearsal: kept })
    assert.isUndefined(yield* listed(store, kept))
  })

  rule("refuses what cannot be rehearsed, and options that are none", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const run = inStore(store)
    const head = (yield* store.append(from.stream("1"), puts("a", "1"))).position
    const emits = Projection.derive(name, { from, emit: () => undefined })
    const refused = <P extends Projection.Any>(projection: P, options: Rehearsal.RehearseOptions, field: string) =>
      Effect.map(
        fails(
          run(Rehearsal.make(projection, options)) as Effect.Effect<unknown, Rehearsal.RehearseError>,
          "InvalidInput"
        ),
        (error) => equal(error.field, field)
      )
    yield* refused(emits, {}, "projection")
    yield* refused(texts, { from: 0 }, "from")
    yield* refused(texts, { from: head + 2 }, "from")
    yield* refused(texts, { from: head, to: head - 2 }, "from")
    yield* refused(texts, { to: head + 1 }, "to")
    yield* refused(texts, { to: 1.5 }, "to")
    yield* refused(texts, { to: 1, until: DateTime.makeUnsafe(0) }, "until")
    yield* refused(texts, { batch: 0 }, "batch")
    yield* refused(texts, { name: "No" }, "name")
    equal(yield* rehearsalsOf(store, name), [])
    const made = yield* run(Rehearsal.make(texts))
    yield* refused(made.projection, {}, "projection")
    has(yield* fails(run(Projection.run(made.projection)), "InvalidInput"), { field: "projection" })
    has(yield* fails(made.difference({ limit: -1 }), "InvalidInput"), { field: "limit" })
    yield* fails(made.difference(), "ProjectionNotFound")
    const inside = store.transaction(Effect.scoped(run(Rehearsal.make(texts))))
    has(yield* fails(inside, "InvalidInput"), { field: "transaction" })
  })

  rule("fails at an event that cannot be handled, or sets it aside with what is behind it", function*(store) {
    const [from, name, kept] = [freshTexts(), freshProjection(), freshRehearsal()]
    const run = inStore(store)
    const texts = textsOf(name, from, { broken: new Set(["2"]) })
    const { position } = yield* store.append(from.stream("1"), [...puts("a", "1", "2", "3"), ...puts("b", "4")])
    has(yield* fails(run(Rehearsal.make(texts, { name: kept })), "ProjectionFailed"), { position: position - 2 })
    has((yield* listed(store, kept))!, { handled: 1 })
    const mended = yield* run(Rehearsal.make(textsOf(name, from), { name: kept }))
    equal(yield* documentsOf(store, mended), { a: ["1", "2", "3"], b: ["4"] })
    yield* run(Rehearsal.drop(kept))
    const parked = yield* run(Rehearsal.make(texts, { giveUp: "park" }))
    equal(yield* documentsOf(store, parked), { a: ["1"], b: ["4"] })
    has(yield* parked.status, { parkedEvents: 2, position })
  })

  rule("tells each document that the live version has otherwise, with the first of them", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const run = inStore(store)
    yield* store.append(from.stream("1"), ["a", "b", "c", "d"].flatMap((key) => puts(key, key)))
    const runner = yield* project(store, texts)
    yield* processed(store, name)
    yield* runner.stop
    const rehearsal = yield* run(Rehearsal.make(texts))
    const equalPart = yield* rehearsal.difference()
    has(equalPart, { isEqual: true, isSamePosition: true, projection: name, version: 1, rehearsal: rehearsal.name })
    has(first(equalPart.parts), { name: "documents", live: 4, fresh: 4 })
    yield* corrupt(store, name, { a: ["wrong"], b: null, c: ["wrong"], z: ["new"] })
    const { isEqual, parts } = yield* rehearsal.difference({ limit: 1 })
    assert.isFalse(isEqual)
    equal(first(parts), {
      name: "documents",
      live: 4,
      fresh: 4,
      columns: { onlyLive: [], onlyFresh: [], ignored: [] },
      onlyLive: { count: 1, rows: [{ key: "z", state: ["new"] }] },
      onlyFresh: { count: 1, rows: [{ key: "b", state: ["b"] }] },
      changed: { count: 2, rows: [{ key: "a", live: ["wrong"], fresh: ["a"] }] }
    })
    // what it compared it did not change
    equal(Object.keys(yield* documentsOf(store, rehearsal)), ["a", "b", "c", "d"])
  })

  rule("tells links that only one of the two has, but for those of hidden events", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    const links = Projection.links(name, {
      from,
      key: ({ event }) => event._tag === "Put" ? event.keys : undefined
    })
    const { position } = yield* store.append(from.stream("1"), [put("1", "a", "b"), put("2", "a")])
    yield* store.append(from.stream("2"), puts("b", "3"))
    yield* project(store, links)
    yield* processed(store, name)
    yield* store.truncateBefore(from.stream("2"), 2)
    const rehearsal = yield* run(Rehearsal.make(links))
    equal(
      (yield* collect(Stream.provideService(Projection.events(rehearsal.projection, "a"), EventStore, store))).length,
      2
    )
    const same = yield* rehearsal.difference()
    has(same, { isEqual: true })
    has(first(same.parts), { name: "links", live: 3, fresh: 3 })
    const { id } = yield* stateOf(store, name)
    yield* store.storage.projections.links.add(id, [{ key: "c", position }])
    has(first((yield* rehearsal.difference()).parts), { onlyLive: { count: 1, rows: [{ key: "c", position }] } })
  })

  rule("stays where it is where an end was asked for, and says that the live version is elsewhere", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const { position } = yield* store.append(from.stream("1"), puts("a", "1", "2"))
    yield* project(store, texts)
    yield* processed(store, name)
    const rehearsal = yield* inStore(store)(Rehearsal.make(texts, { to: position - 1 }))
    const { isEqual, isSamePosition, live, parts, position: reached } = yield* rehearsal.difference()
    equal([isEqual, isSamePosition, reached, live.position], [false, false, position - 1, position])
    equal(first(parts).changed.rows, [{ key: "a", live: ["1", "2"], fresh: ["1"] }])
  })

  rule("compares at one position while events are stored and all partitions move on", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const keys = ["a", "b", "c", "d", "e", "f"]
    for (const key of keys) yield* store.append(from.stream(key), puts(key, "0"))
    yield* project(store, texts, { partitions: 3, batch: 3 })
    yield* untilState(store, name, ({ stage }) => stage === "ready")
    const written = yield* keepWriting(store, from, keys)
    const rehearsal = yield* inStore(store)(Rehearsal.make(texts))
    let last = 0
    for (let i = 0; i < 10; i++) {
      const difference = yield* rehearsal.difference()
      has(difference, { isEqual: true, isSamePosition: true })
      assert.isAtLeast(difference.position, last)
      last = difference.position
      yield* Effect.sleep(10)
    }
    assert.isAbove(written(), 10)
    yield* corrupt(store, name, { zzz: ["wrong"] })
    has(yield* rehearsal.difference(), { isEqual: false, isSamePosition: true })
  })

  rule("compares what partitions have handled that are ahead, but for events that cannot be handled", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const broken = textsOf(name, from, { broken: new Set(["2"]) })
    // of two partitions
    const keys = ["a", "b", "c", "d", "e", "f", "g", "h"]
    yield* store.append(from.stream("1"), keys.flatMap((key) => puts(key, "1")))
    const runner = yield* project(store, texts, { partitions: 2 })
    yield* processed(store, name)
    const before = yield* store.head()
    /** A rehearsal in whose eyes one of the partitions goes no further than this. */
    const make = (giveUp: "park" | "stop", partition: number) =>
      inStore(heldBack(store, name, partition, before))(Rehearsal.make(broken, { giveUp }))
    const parking = [yield* make("park", 0), yield* make("park", 1)]
    const stopping = [yield* make("stop", 0), yield* make("stop", 1)]
    yield* store.append(from.stream("1"), keys.flatMap((key) => puts(key, "2", "3")))
    yield* processed(store, name)
    yield* runner.stop
    for (const rehearsal of parking) {
      const { isSamePosition, parts } = yield* rehearsal.difference()
      equal(isSamePosition, true)
      equal(first(parts).changed.rows, keys.map((key) => ({ key, live: ["1", "2", "3"], fresh: ["1"] })))
    }
    for (const rehearsal of stopping) {
      const { position } = yield* fails(rehearsal.difference(), "ProjectionFailed")
      assert.isAbove(position!, before)
    }
  })

  rule("says that it is not the same position where partitions are far apart", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    const { position } = yield* store.append(from.stream("1"), puts("a", "1"))
    yield* project(store, texts, { partitions: 2 })
    for (let i = 0; i < 6; i++) {
      yield* store.append(
        from.stream("1"),
        puts("b", ...Array.from({ length: 1000 }, () => "2"))
      )
    }
    yield* processed(store, name)
    const held = heldBack(store, name, 0, position)
    const rehearsal = yield* inStore(held)(Rehearsal.make(texts))
    has(yield* rehearsal.difference(), { isSamePosition: false, position })
  })

  rule("compares what moves on as often as it helps, and says that it is not the same position", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    yield* store.append(from.stream("1"), puts("a", "1"))
    const runner = yield* project(store, texts)
    yield* processed(store, name)
    yield* runner.stop
    let looks = 0
    // it seems to handle something between any two looks
    const moving = withStates(store, name, (state) => ({
      ...state,
      partitions: state.partitions.map((partition) => ({ ...partition, handled: ++looks }))
    }))
    const rehearsal = yield* inStore(moving)(Rehearsal.make(texts))
    has(yield* rehearsal.difference(), { isSamePosition: false, isEqual: true })
  })

  rule("compares with another version, and leaves out fields that are named", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    const marked = textsOf(name, from, { version: 2, mark: "!" })
    const rehearsal = yield* run(Rehearsal.make(marked))
    const { live, parts, version } = yield* rehearsal.difference()
    equal([version, live.version], [2, 1])
    equal(first(parts).changed.rows, [{ key: "a", live: ["1"], fresh: ["!1"] }])
    yield* project(store, marked, { switch: "manual" })
    yield* processed(store, name, 2)
    has(yield* rehearsal.difference({ version: 2 }), { isEqual: true })
    yield* fails(rehearsal.difference({ version: 3 }), "ProjectionNotFound")
  })

  rule("neither compares nor shows fields that are to be ignored", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    const sizes = Projection.documents(name, {
      from,
      state: Schema.Struct({ size: Schema.Int, at: Schema.Int }),
      key: () => "all",
      initial: () => ({ size: 0, at: 0 }),
      evolve: { Put: ({ size }, { position }) => ({ size: size + 1, at: position }), Removed: (state) => state }
    })
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    const runner = yield* project(store, sizes)
    yield* processed(store, name)
    yield* runner.stop
    const rehearsal = yield* run(Rehearsal.make(sizes))
    const difference = rehearsal.difference({ ignore: ["none", "at"] })
    const ignored = ["at", "none"]
    const same = yield* difference
    has(same, { isEqual: true })
    equal(first(same.parts).columns.ignored, ignored)
    const { id } = yield* stateOf(store, name)
    const save = (state: object) =>
      store.storage.projections.documents.save(id, [{ key: "all", state: JSON.stringify(state) }])
    yield* save({ size: 2, at: 0 })
    has(yield* difference, { isEqual: true })
    yield* save({ size: 3, at: 0 })
    const part = first((yield* difference).parts)
    equal(part.columns.ignored, ignored)
    equal(part.changed.rows, [{ key: "all", live: { size: 3 }, fresh: { size: 2 } }])
  })

  rule("is what a fold of the log by hand is, whatever the batches", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from)
    for (let i = 0; i < 30; i++) {
      yield* store.append(from.stream(`${i % 4}`), [
        put(`${i}`, `k${i % 5}`, `k${i % 3}`),
        ...puts(`k${i % 2}`, `${i}x`)
      ])
    }
    const expected = yield* foldByHand(store, from)
    for (const batch of [1, 7, 1000]) {
      equal(yield* documentsOf(store, yield* inStore(store)(Rehearsal.make(texts, { batch }))), expected)
    }
  })
}
