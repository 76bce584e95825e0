import { assert } from "@effect/vitest"
import { Effect, Latch, Option, Schedule, Schema, Stream } from "effect"
import * as Event from "../../Event/Event.ts"
import * as EventData from "../../Event/EventData.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import * as ProcessManager from "../../Projection/ProcessManager.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import { inStore, makeClock, until } from "./consuming.ts"
import {
  handled,
  heard,
  heardAndSaid,
  historyOf,
  manage,
  managerOf,
  movesOf,
  parkedOf,
  Say,
  sentBy,
  State,
  textsOf,
  untilState
} from "./processing.ts"
import {
  Counted,
  equal,
  freshCategory,
  freshName,
  freshStream,
  has,
  Noted,
  notes,
  type Rules,
  someNotes,
  textOf,
  texts
} from "./rule.ts"

const immediately = Schedule.spaced(0)

class Both extends Schema.TaggedClass<Both>()("Both", { ids: Schema.Array(Schema.String) }) {}

export const processRules: Rules = (rule) => {
  rule("moves a process once for each of its events, in their order", function*(store) {
    const from = freshCategory()
    const manager = managerOf({ from })
    yield* store.append(from.stream("a"), notes("1", "2"))
    yield* manage(store, manager, { concurrency: 8 })
    for (let i = 3; i <= 10; i++) {
      for (const id of ["a", "b", "c"]) yield* store.append(from.stream(id), notes(String(i)))
    }
    yield* handled(store, manager, yield* store.append(from.stream("d"), notes("last")))
    equal(yield* textsOf(store, manager, "a"), someNotes(10).map(textOf))
    equal(yield* textsOf(store, manager, "b"), someNotes(10).slice(2).map(textOf))
    const history = yield* historyOf(store, manager, "a")
    equal(history.map(({ version }) => Number(version)), someNotes(10).map((_, i) => i + 1))
    const events = yield* Stream.runCollect(store.read(from.stream("a")))
    equal(
      history.map(({ cause: { eventId, position, streamId } }) => ({ eventId, position, streamId })),
      events.map(({ eventId, position, streamId }) => ({ eventId, position, streamId }))
    )
    has(history[9]!.process, { id: "a", status: "running", state: { texts: someNotes(10).map(textOf) } })
  })

  rule("moves it once, whoever works for it and however often", function*(store) {
    const from = freshCategory()
    const manager = managerOf({ from, noted: heardAndSaid })
    yield* manage(store, manager)
    const other = yield* manage(store, manager, { concurrency: 8 })
    yield* Effect.forEach(
      someNotes(20),
      (note) => Effect.forEach(["a", "b", "c", "d"], (id) => store.append(from.stream(id), [note]))
    )
    yield* other.stop
    const last = yield* store.append(from.stream("a"), notes("last"))
    yield* handled(store, manager, last)
    // everything comes again
    yield* inStore(store)(PersistentSubscription.update(manager.subscriptions.events, { start: "start" }))
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("end")))
    for (const id of ["b", "c", "d"]) {
      equal(yield* textsOf(store, manager, id), someNotes(20).map(textOf))
      equal(yield* sentBy(store, manager, id), someNotes(20).map(textOf))
    }
    equal((yield* textsOf(store, manager, "a"))?.slice(19), ["20", "last", "end"])
    equal(yield* parkedOf(store, manager), [])
  })

  rule("goes on where it stopped", function*(store) {
    const from = freshCategory()
    const manager = managerOf({ from })
    const first = yield* manage(store, manager)
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("1")))
    yield* first.stop
    yield* store.append(from.stream("a"), notes("2"))
    yield* manage(store, manager)
    yield* untilState(store, manager, "a", ["1", "2"])
    equal(yield* movesOf(store, manager, "a"), ["Noted -> 1", "Noted -> 1 2"])
  })

  rule("takes no notice of what is of no concern, comes before a start or after an end", function*(store) {
    const from = freshCategory()
    const manager = managerOf({
      from,
      starts: ["Noted"],
      correlate: (recorded) =>
        textOf(recorded.event) === "nobody's" ? undefined : ProcessManager.byStreamId(recorded as never),
      noted: (state, event) =>
        event.text === "skip" ? undefined : event.text === "end" ? { end: true } : heard(state, event)
    })
    yield* manage(store, manager)
    const stream = from.stream("a")
    yield* store.append(stream, [new Counted({ count: 1 }), ...notes("skip", "nobody's"), new Counted({ count: 2 })])
    yield* handled(store, manager, yield* store.append(stream, notes("start", "skip", "nobody's")))
    equal(yield* textsOf(store, manager, "a"), ["start"])
    yield* store.append(stream, [new Counted({ count: 3 }), ...notes("end", "late")])
    yield* handled(store, manager, yield* store.append(stream, [new Counted({ count: 4 })]))
    equal(yield* textsOf(store, manager, "a"), undefined)
    equal(yield* movesOf(store, manager, "a"), ["Noted -> start", "Counted -> start 3", "Noted -> start 3"])
    equal(yield* parkedOf(store, manager), [])
  })

  rule("stores state, commands, events and the acknowledgement together, or nothing", function*(store) {
    const [from, target] = [freshCategory(), freshStream()]
    let expected: "no-stream" | "stream-exists" = "stream-exists"
    const manager = managerOf({
      from,
      noted: (state, event) => ({
        ...heard(state, event),
        send: [new Say({ text: `1 ${event.text}` }), new Say({ text: `2 ${event.text}` })],
        append: [EventStore.entry(target, notes("x", "y"), { expected }), EventStore.entry(freshStream(), notes("z"))],
        timers: { first: "1 hour" }
      })
    })
    const running = yield* manage(store, manager, { retry: immediately, attempts: 2 })
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("1")))
    const [parked] = yield* parkedOf(store, manager)
    has(parked!, { id: "a", subscription: manager.subscriptions.events, attempts: 2 })
    assert.include(parked!.error, "stream-exists")
    equal(yield* historyOf(store, manager, "a"), [])
    equal(yield* sentBy(store, manager, "a"), [])
    equal(yield* inStore(store)(ProcessManager.timers(manager)), [])
    equal(yield* texts(store, target), [])

    expected = "no-stream"
    yield* inStore(store)(PersistentSubscription.replay(manager.subscriptions.events))
    yield* until("both commands", () => running.performed.length === 2)
    equal(running.performed, ["a: 1 1", "a: 2 1"])
    equal(yield* textsOf(store, manager, "a"), ["1"])
    equal(yield* sentBy(store, manager, "a"), ["1 1", "2 1"])
    equal((yield* inStore(store)(ProcessManager.timers(manager))).length, 1)
    equal(yield* texts(store, target), ["x", "y"])
    const [move] = yield* historyOf(store, manager, "a")
    equal(move!.sent.map(({ eventId }) => eventId), running.contexts.map(({ idempotencyKey }) => idempotencyKey))
    equal(Object.keys(move!.process.timers), ["first"])
  })

  rule(
    "lets all that it stores carry the conversation and its cause, under ids that an event always leads to",
    function*(
      store
    ) {
      const [from, target] = [freshCategory(), freshStream()]
      const [own, id] = [EventData.make(new Noted({ text: "own" }), { tags: ["t"] }), freshName()]
      const manager = managerOf({
        from,
        noted: (state, event) => ({
          ...heard(state, event),
          send: [new Say({ text: event.text })],
          append: [EventStore.entry(target, [new Noted({ text: "bare" }), own])]
        })
      })
      yield* manage(store, manager)
      yield* handled(
        store,
        manager,
        yield* store.append(from.stream(id), notes("1")).pipe(EventMetadata.provide({ correlationId: "talk" }))
      )
      const [cause] = yield* Stream.runCollect(store.read(from.stream(id)))
      const written = [
        ...(yield* Stream.runCollect(store.read(manager.categories.processes.stream(id)))),
        ...(yield* Stream.runCollect(store.read(manager.categories.commands.stream(id)))),
        ...(yield* Stream.runCollect(store.read(target)))
      ]
      equal(written.length, 4)
      for (const { metadata } of written) has(metadata, { correlationId: "talk", causationId: cause!.eventId })
      equal(written.map(({ tags }) => [...tags]), [[], [], [], ["t"]])
      // version 8: made of names
      for (const { eventId } of written) equal(eventId[14], "8")
      equal(new Set(written.map(({ eventId }) => eventId)).size, 4)
    }
  )

  rule("tries again what fails, and moves once", function*(store) {
    const from = freshCategory()
    let attempts = 0
    const manager = managerOf({
      from,
      noted: (state, event) =>
        Effect.suspend(() => {
          attempts++
          if (attempts === 1) return Effect.fail("busy")
          if (attempts === 2) return Effect.die("a mistake")
          return Effect.succeed({ ...heard(state, event), send: [new Say({ text: event.text })] })
        })
    })
    yield* manage(store, manager, { retry: immediately })
    yield* untilState(store, manager, "a", undefined)
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("1")))
    equal(attempts, 3)
    equal(yield* movesOf(store, manager, "a"), ["Noted -> 1"])
    equal(yield* sentBy(store, manager, "a"), ["1"])
  })

  rule("parks what trying again does not change, and says why", function*(store) {
    const from = freshCategory()
    const manager = managerOf({
      from,
      correlate: ({ event }) => {
        const text = textOf(event)
        if (text === "throw") throw new Error("no idea")
        return text === "long" ? "x".repeat(600) : text === "line" ? "a\nb" : text === "none" ? "" : text
      },
      noted: (state, { text }): any => {
        if (text === "timer") return { timers: { third: "1 second" } }
        if (text === "time") return { timers: { first: "soon" } }
        if (text === "state") return { state: { texts: [1] } }
        if (text === "field") return { ends: true }
        if (text === "number") return 7
        if (text === "own") {
          return { append: [EventStore.entry(manager.categories.processes.stream(text), [])] }
        }
        return heard(state, new Noted({ text }))
      }
    })
    yield* manage(store, manager)
    const problems = ["throw", "long", "line", "none", "timer", "time", "state", "field", "number", "own"]
    yield* store.append(from.stream("a"), notes(...problems))
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("good")))
    equal(yield* textsOf(store, manager, "good"), ["good"])
    const parked = yield* parkedOf(store, manager)
    for (const { attempts } of parked) equal(attempts, 1)
    const reasons = parked.map(({ reason }) => reason)
    for (
      const [i, part] of [
        "no idea",
        "512",
        "not printable",
        "empty",
        "third",
        "first",
        "does not encode",
        "ends",
        "neither a step",
        "two entries"
      ].entries()
    ) assert.include(reasons[i], part)
    equal(parked.length, problems.length)
    equal(
      yield* inStore(store)(Stream.runCollect(ProcessManager.list(manager))).pipe(Effect.map((all) => all.length)),
      1
    )
  })

  rule("reads the states of older programs, and leaves those of newer ones to them", function*(store) {
    const [from, name] = [freshCategory(), freshName()]
    const older = managerOf({ from, name })
    const newer = ProcessManager.make(name, {
      from,
      correlate: ProcessManager.byStreamId,
      state: Event.oldest(State).next(
        Schema.Struct({ count: Schema.Int, last: Schema.String }),
        ({ texts }, { schemaVersion }) => ({ count: texts.length, last: `${texts.at(-1)} of ${schemaVersion}` })
      ),
      initial: () => ({ count: 0, last: "" }),
      commands: [Say],
      timers: ["first", "second"]
    }, {
      handle: {
        Noted: ({ count, last }, { text }) => ({ state: { count: count + 1, last: `${last}, ${text}` } }),
        Counted: () => undefined
      },
      onTimer: { first: () => undefined, second: () => undefined }
    })
    const first = yield* manage(store, older)
    yield* handled(store, older, yield* store.append(from.stream("a"), notes("1", "2")))
    yield* first.stop
    const patient = { attempts: 1_000_000, retry: Schedule.spaced("5 millis") }
    const perform = { Say: () => Effect.void }
    const run = Effect.forkScoped(inStore(store)(ProcessManager.run(newer, { ...patient, perform })))
    const state = inStore(store)(ProcessManager.state(newer, "a"))
    yield* Effect.scoped(Effect.gen(function*() {
      yield* run
      yield* handled(store, older, yield* store.append(from.stream("a"), notes("3")))
    }))
    equal(Option.getOrThrow(yield* state), { count: 3, last: "2 of 1, 3" })

    // the older one has it first, again and again
    yield* manage(store, older, patient)
    const last = yield* store.append(from.stream("a"), notes("4"))
    const info = inStore(store)(PersistentSubscription.info(older.subscriptions.events))
    yield* until("attempts", () => Effect.map(info, (info) => Option.exists(info, ({ waiting }) => waiting === 1)))
    equal(yield* parkedOf(store, older), [])
    yield* run
    yield* handled(store, older, last)
    equal(Option.getOrThrow(yield* state), { count: 4, last: "2 of 1, 3, 4" })
  })

  rule("parks what comes for a process whose state does not decode any more", function*(store) {
    const [from, name] = [freshCategory(), freshName()]
    const older = managerOf({ from, name })
    const first = yield* manage(store, older)
    yield* handled(store, older, yield* store.append(from.stream("a"), notes("1")))
    yield* first.stop
    const broken = ProcessManager.make(name, {
      from,
      correlate: ProcessManager.byStreamId,
      state: Schema.Struct({ count: Schema.Int }),
      initial: () => ({ count: 0 })
    }, {
      handle: { Noted: ({ count }) => ({ state: { count: count + 1 } }), Counted: () => undefined }
    })
    yield* Effect.forkScoped(inStore(store)(ProcessManager.run(broken, {})))
    yield* store.append(from.stream("a"), notes("2"))
    yield* handled(store, older, yield* store.append(from.stream("b"), notes("1")))
    const [parked] = yield* parkedOf(store, older)
    has(parked!, { id: "a", attempts: 1 })
    assert.match(parked!.reason, /state of process \S+-a, version 1 .* does not decode: .*count/s)
    equal(Option.getOrThrow(yield* inStore(store)(ProcessManager.state(broken, "b"))), { count: 1 })
  })

  rule("moves a process once for each part of a split event, though a later part fails", function*(store) {
    const name = freshName()
    const both = Event.oldest(Schema.Struct({ ids: Schema.Array(Schema.String) })).retired(
      "Both",
      ({ ids }) => ids.map((text) => new Noted({ text }))
    )
    const plain = Category.make(name, {
      id: Schema.String,
      events: [Both]
    })
    const from = Category.make(name, { id: Schema.String, events: [Noted, Counted, both] })
    let isWell = false
    const manager = managerOf({
      from,
      correlate: ({ event }) => textOf(event),
      noted: (state, event) =>
        event.text === "b" && !isWell
          ? Effect.fail("not yet")
          : { ...heard(state, event), send: [new Say({ text: event.text })] }
    })
    yield* manage(store, manager, { retry: immediately, attempts: 3 })
    const { position } = yield* store.append(plain.stream("1"), [new Both({ ids: ["a", "b", "a"] })])
    yield* handled(store, manager, { position })
    equal(yield* textsOf(store, manager, "a"), ["a"])
    isWell = true
    yield* inStore(store)(PersistentSubscription.replay(manager.subscriptions.events))
    yield* untilState(store, manager, "a", ["a", "a"])
    equal(yield* textsOf(store, manager, "b"), ["b"])
    equal(yield* sentBy(store, manager, "a"), ["a", "a"])
  })

  rule("decides anew where the process moved meanwhile", function*(store) {
    const from = freshCategory()
    const [begun, open] = [yield* Latch.make(), yield* Latch.make()]
    let count = 0
    const noted = (state: State, event: Noted) =>
      Effect.suspend(() => {
        const decided = Effect.succeed(heard(state, event))
        return event.text === "slow" && ++count === 1
          ? begun.open.pipe(Effect.andThen(open.await), Effect.andThen(decided))
          : decided
      })
    const manager = managerOf({ from, noted })
    yield* manage(store, manager)
    const { position } = yield* store.append(from.stream("a"), notes("slow"))
    yield* begun.await
    // somebody who keeps to no order
    const [cause] = yield* Stream.runCollect(store.read(from.stream("a")))
    yield* store.append(manager.categories.processes.stream("a"), [
      new ProcessManager.Moved({
        cause: { eventId: cause!.eventId, type: "Noted", streamId: cause!.streamId, position, part: 1 },
        state: { texts: ["before"] },
        stateVersion: 1,
        timers: {},
        sent: [],
        isEnd: false
      })
    ])
    yield* open.open
    yield* untilState(store, manager, "a", ["before", "slow"])
    equal(count, 2)
  })

  rule("lets who slept through the lease of an event move nothing", function*(store) {
    const from = freshCategory()
    const [begun, open] = [yield* Latch.make(), yield* Latch.make()]
    const [slow, quick] = [yield* makeClock, yield* makeClock]
    let count = 0
    const manager = managerOf({
      from,
      noted: (state, event) =>
        ++count === 1
          ? begun.open.pipe(
            Effect.andThen(open.await),
            Effect.as({ ...heardAndSaid(state, event), timers: { first: 0 } })
          )
          : heard(state, event)
    })
    yield* manage(store, manager, { clock: slow, lease: "5 seconds" })
    yield* store.append(from.stream("a"), notes("1"))
    yield* begun.await
    yield* quick.adjust("1 minute")
    yield* manage(store, manager, { clock: quick, lease: "5 seconds" })
    yield* untilState(store, manager, "a", ["1"])
    yield* open.open
    yield* Effect.sleep(50)
    yield* handled(store, manager, yield* store.append(from.stream("b"), notes("1")))
    equal(yield* movesOf(store, manager, "a"), ["Noted -> 1"])
    equal(yield* sentBy(store, manager, "a"), [])
    equal(yield* inStore(store)(ProcessManager.timers(manager)), [])
  })

  rule("lets a parked event keep the later ones of its process waiting where that is wanted", function*(store) {
    const from = freshCategory()
    let isWell = false
    const manager = managerOf({
      from,
      noted: (state, event) => event.text === "bad" && !isWell ? Effect.fail("not yet") : heard(state, event)
    })
    yield* manage(store, manager, { parkedBlocks: true, attempts: 1 })
    yield* store.append(from.stream("a"), notes("bad", "next"))
    yield* store.append(from.stream("b"), notes("1"))
    yield* untilState(store, manager, "b", ["1"])
    yield* until("it to be parked", () => Effect.map(parkedOf(store, manager), ({ length }) => length === 1))
    equal(yield* textsOf(store, manager, "a"), undefined)
    isWell = true
    yield* inStore(store)(PersistentSubscription.replay(manager.subscriptions.events))
    yield* untilState(store, manager, "a", ["bad", "next"])
  })

  rule("reacts to a whole log, and not to itself", function*(store) {
    const from = freshCategory()
    const manager = ProcessManager.make(freshName(), {
      from: Category.raw,
      start: yield* store.head(),
      correlate: (recorded) => Category.name(recorded) === from.name ? "log" : undefined,
      state: Schema.Struct({ types: Schema.Array(Schema.String) }),
      initial: () => ({ types: [] }),
      timers: ["again"]
    }, {
      handle: {
        RawEvent: ({ types }, event) => ({ state: { types: [...types, event.type] }, timers: { again: 0 } })
      },
      onTimer: { again: ({ types }) => ({ state: { types: [...types, "timer"] }, end: true }) }
    })
    yield* Effect.forkScoped(inStore(store)(ProcessManager.run(manager, {})))
    yield* store.append(from.stream("a"), notes("1"))
    yield* until("its end", () =>
      Effect.map(
        inStore(store)(Stream.runCollect(ProcessManager.history(manager, "log"))),
        (moves) =>
          moves.at(-1)?.process.status === "ended" && moves.at(-1)?.process.state.types.join() === "Noted,timer"
      ))
    equal(
      (yield* Stream.runCollect(store.readCategory(manager.categories.processes))).length,
      2
    )
  })

  rule("lists the processes that run, by the beginning of their ids", function*(store) {
    const from = freshCategory()
    const manager = managerOf({
      from,
      noted: (state, event) =>
        event.text === "end" ? { end: true } : { ...heard(state, event), timers: { first: "1 hour" } }
    })
    yield* manage(store, manager)
    for (const id of ["de-1", "de-2", "de-3", "fr-1"]) yield* store.append(from.stream(id), notes("1", "2"))
    yield* handled(store, manager, yield* store.append(from.stream("de-2"), notes("end")))
    const list = (options?: Parameters<typeof ProcessManager.list>[1]) =>
      Effect.map(
        inStore(store)(Stream.runCollect(ProcessManager.list(manager, options))),
        (all) => all.map(({ id, status, timers, version }) => `${id} ${status} ${version} ${Object.keys(timers)}`)
      )
    equal(yield* list(), ["de-1 running 2 first", "de-3 running 2 first", "fr-1 running 2 first"])
    equal(yield* list({ prefix: "de" }), ["de-1 running 2 first", "de-3 running 2 first"])
    equal(yield* list({ prefix: "de-2", ended: true }), ["de-2 ended 3 "])
    equal(yield* textsOf(store, manager, "nobody"), undefined)
    equal(yield* historyOf(store, manager, "nobody"), [])
  })
}
