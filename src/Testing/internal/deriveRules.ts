import { assert } from "@effect/vitest"
import { Effect, References, Schedule, Schema } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventId from "../../Event/EventId.ts"
import * as Projection from "../../Projection/Projection.ts"
import { EventStore } from "../../Store/EventStore.ts"
import { StoreError } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore, until } from "./consuming.ts"
import type { Point } from "./hookedStorage.ts"
import { freshProjection, otherStore, processed, processedBy, project, stateOf, untilState } from "./projecting.ts"
import {
  collect,
  equal,
  freshCategory,
  freshName,
  has,
  Noted,
  type Notes,
  notes,
  type Rules,
  type Store,
  textOf
} from "./rule.ts"

class Copied extends Schema.TaggedClass<Copied>()("Copied", { text: Schema.String, of: Schema.Int }) {}

const freshCopies = () => Category.make(freshName(), { id: Schema.String, events: [Copied] })
type Copies = ReturnType<typeof freshCopies>

/** Each letter of a text names a stream that gets a copy of it. */
const copying = (
  name: string,
  from: Notes,
  to: Copies,
  { change = (text: string) => text, version = 1, more = "" } = {}
) =>
  Projection.derive(name, {
    version,
    from,
    emit: ({ event, position }) =>
      Array.from(`${textOf(event)}${more}`).map((letter) =>
        EventStore.entry(to.stream(letter), [new Copied({ text: change(textOf(event)), of: position })])
      )
  })

/** What was copied from where, in the order of the log. */
const copiesIn = (store: Store, to: Copies) =>
  Effect.map(
    collect(store.readCategory(to)),
    (all) => all.map(({ event, streamId }) => `${event.of} ${streamId.slice(to.name.length + 1)}`)
  )

const expectedOf = (store: Store, from: Notes) =>
  Effect.map(
    collect(store.readCategory(from)),
    (all) => all.flatMap(({ event, position }) => Array.from(textOf(event)).map((letter) => `${position} ${letter}`))
  )

/** Nobody has to read what is meant to go wrong. */
const quietly = Effect.provideService(References.MinimumLogLevel, "None")

const write = (store: Store, from: Notes, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => ["a", "ab", "cab", "", "b", "bca"][i % 6]!),
    (text, i) => store.append(from.stream(String(i % 3)), notes(text)),
    { discard: true }
  )

export const deriveRules: Rules = (rule) => {
  rule("stand in the log in the order of the events they follow from, each once", function*(store) {
    const [from, to, name] = [freshCategory(), freshCopies(), freshProjection()]
    yield* write(store, from, 20)
    const runner = yield* project(store, copying(name, from, to), { batch: 7 })
    yield* processedBy(runner, name)
    equal(yield* copiesIn(store, to), yield* expectedOf(store, from))
    yield* write(store, from, 20)
    yield* processedBy(runner, name)
    equal(yield* copiesIn(store, to), yield* expectedOf(store, from))
  })

  rule("have for their cause what they follow from, and ids that follow from it", function*(store) {
    const [from, to, name] = [freshCategory(), freshCopies(), freshProjection()]
    yield* store.append(from.stream("1"), [
      new Noted({ text: "x" }),
      EventData.make(new Noted({ text: "y" }), { metadata: { correlationId: "request", actor: "anna" } })
    ])
    const twice = Projection.derive(name, {
      from,
      emit: ({ event }) =>
        EventStore.entry(to.stream("all"), [
          new Copied({ text: textOf(event), of: 0 }),
          EventData.make(new Copied({ text: textOf(event), of: 1 }), { tags: ["t"], metadata: { actor: "copier" } })
        ])
    })
    yield* processedBy(yield* project(store, twice), name)
    const [x, y] = yield* collect(store.readCategory(from))
    const all = yield* collect(store.readCategory(to))
    equal(
      all.map(({ eventId }) => eventId),
      [x, y].flatMap((cause) => [0, 1].map((i) => EventId.fromName(name, cause!.eventId, "0", String(i))))
    )
    equal(all.map(({ tags }) => tags), [[], ["t"], [], ["t"]])
    for (const [i, cause] of [x, x, y, y].entries()) {
      has(all[i]!.metadata, {
        causationId: cause!.eventId,
        correlationId: cause!.metadata.correlationId ?? cause!.eventId
      })
      equal(all[i]!.metadata.actor, i % 2 === 0 ? undefined : "copier")
    }
  })

  rule("wake whoever follows them, also another projection that derives from them", function*(store) {
    const [from, to, last] = [freshCategory(), freshCopies(), freshCopies()]
    const [first, second] = [freshProjection(), freshProjection()]
    yield* project(store, copying(first, from, to))
    yield* project(
      store,
      Projection.derive(second, {
        from: to,
        emit: ({ event }) => EventStore.entry(last.stream("all"), [event])
      })
    )
    yield* write(store, from, 6)
    yield* until(
      "what was derived last",
      () => Effect.map(collect(store.readCategory(last)), (all) => all.length === 10)
    )
    equal(
      (yield* collect(store.readCategory(last))).map(({ event }) => event),
      (yield* collect(store.readCategory(to))).map(({ event }) => event)
    )
  })

  rule("are found by another version, and after a reset, and stored no second time", function*(store) {
    const [from, to, name] = [freshCategory(), freshCopies(), freshProjection()]
    yield* write(store, from, 30)
    const first = yield* project(store, copying(name, from, to), { batch: 4 })
    yield* processedBy(first, name)
    const all = yield* collect(store.readCategory(to))
    const second = yield* project(store, copying(name, from, to, { version: 2 }), { batch: 9 })
    yield* processedBy(second, name, 2)
    yield* untilState(store, name, ({ isLive }) => isLive, 2)
    equal(yield* collect(store.readCategory(to)), all)
    yield* inStore(store)(Projection.reset(name))
    yield* untilState(store, name, ({ stage }) => stage === "ready", 2)
    equal(yield* collect(store.readCategory(to)), all)
    // new ones are derived by both, once
    yield* write(store, from, 30)
    yield* processedBy(first, name, 1)
    yield* processedBy(second, name, 2)
    equal(yield* copiesIn(store, to), yield* expectedOf(store, from))
  })

  rule("are stored once, while two versions derive them beside each other", function*(store) {
    const [from, to, name] = [freshCategory(), freshCopies(), freshProjection()]
    const options = { onError: { retry: Schedule.spaced(1) } }
    const first = yield* quietly(project(store, copying(name, from, to), { ...options, batch: 2 }))
    const second = yield* quietly(
      project(yield* otherStore(store), copying(name, from, to, { version: 2 }), { ...options, switch: "manual" })
    )
    for (let i = 0; i < 10; i++) {
      yield* write(store, from, 6)
      yield* Effect.sleep("1 millis")
    }
    yield* processedBy(first, name, 1)
    yield* processedBy(second, name, 2)
    equal(yield* copiesIn(store, to), yield* expectedOf(store, from))
  })

  rule("may become more by a new version, which finds its place behind what is there", function*(store) {
    const [from, to, name] = [freshCategory(), freshCopies(), freshProjection()]
    yield* write(store, from, 6)
    yield* processedBy(yield* project(store, copying(name, from, to)), name)
    const before = yield* copiesIn(store, to)
    const notesStored = yield* collect(store.readCategory(from))
    yield* processedBy(yield* project(store, copying(name, from, to, { version: 2, more: "z" })), name, 2)
    equal(yield* copiesIn(store, to), [...before, ...notesStored.map(({ position }) => `${position} z`)])
  })

  rule(
    "do not change: a version that makes something else of an event fails, and the live one goes on",
    function*(store) {
      const [from, to, name] = [freshCategory(), freshCopies(), freshProjection()]
      yield* write(store, from, 12)
      const first = yield* project(store, copying(name, from, to))
      yield* processedBy(first, name)
      const notesStored = yield* collect(store.readCategory(from))
      const changed = copying(name, from, to, { version: 2, change: (text) => text === "cab" ? "other" : text })
      yield* quietly(project(store, changed, { onError: { retry: Schedule.recurs(0) } }))
      yield* untilState(store, name, ({ status }) => status === "failed", 2)
      const { error, errorPosition, isLive } = yield* stateOf(store, name, 2)
      equal({ errorPosition, isLive }, { errorPosition: notesStored[2]!.position, isLive: false })
      assert.include(error!, "is stored already, by another append")
      yield* write(store, from, 6)
      yield* processedBy(first, name, 1)
      equal(yield* copiesIn(store, to), yield* expectedOf(store, from))
    }
  )

  rule("are stored with the checkpoint, or not at all: each once, wherever a transaction fails", function*(store) {
    const [from, to, name] = [freshCategory(), freshCopies(), freshProjection()]
    yield* write(store, from, 20)
    let failures = 0
    const places: ReadonlyArray<Point["at"]> = ["begun", "ending", "after"]
    const faulty = yield* otherStore(store, ({ at, call }) => {
      if (call !== "projections.advanceWith" || failures >= 9 || at !== places[failures % 3]) return Effect.void
      failures++
      return Effect.fail(
        new StoreError({ operation: call, isRetryable: true, outcome: "unknown", cause: new Error("lost") })
      )
    })
    const runner = yield* quietly(project(faulty, copying(name, from, to), { batch: 3 }))
    yield* processedBy(runner, name)
    equal(failures, 9)
    equal(yield* copiesIn(store, to), yield* expectedOf(store, from))
  })

  rule("come once and in the order of their stream from several owners", function*(store) {
    const [from, to, name] = [freshCategory(), freshCopies(), freshProjection()]
    const options = { partitions: 3, batch: 5, lease: "1 second" } as const
    yield* project(store, copying(name, from, to), options)
    yield* project(yield* otherStore(store), copying(name, from, to), options)
    yield* write(store, from, 60)
    yield* processed(store, name)
    const [copies, expected] = [yield* copiesIn(store, to), yield* expectedOf(store, from)]
    equal([...copies].sort(), [...expected].sort())
    for (const one of ["0", "1", "2"]) {
      const positions = new Set(
        (yield* collect(store.read(from.stream(one)))).map(({ position }) => String(position))
      )
      const ofStream = (all: ReadonlyArray<string>) => all.filter((copy) => positions.has(copy.split(" ")[0]!))
      equal(ofStream(copies), ofStream(expected))
    }
  })

  rule("are refused with an id or an expected version, which would not hold the second time", function*(store) {
    const [from, to] = [freshCategory(), freshCopies()]
    yield* store.append(from.stream("1"), notes("1"))
    const event = new Copied({ text: "", of: 0 })
    const given = [
      EventStore.entry(to.stream("1"), [EventData.make(event, { id: yield* EventId.make })]),
      EventStore.entry(to.stream("1"), [event], { expected: 0 })
    ]
    for (const entry of given) {
      const name = freshProjection()
      const derived = Projection.derive(name, { from, emit: () => entry })
      yield* quietly(project(store, derived, { onError: { retry: Schedule.recurs(0) } }))
      yield* untilState(store, name, ({ status }) => status === "failed")
      assert.match((yield* stateOf(store, name)).error!, /^emit (gives an event an id|expects)/)
    }
    equal(yield* copiesIn(store, to), [])
  })
}
