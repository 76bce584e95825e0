import { assert } from "@effect/vitest"
import { Effect, Fiber, Latch, References, Schedule, Schema, Stream } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import * as Projection from "../../Projection/Projection.ts"
import { EventStore, type ReadOptions } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore } from "./consuming.ts"
import { textsOf } from "./keyedTexts.ts"
import { freshProjection, processed, processedBy, project, stateOf, untilState } from "./projecting.ts"
import {
  collect,
  equal,
  fails,
  freshCategory,
  freshName,
  freshStream,
  has,
  notes,
  raw,
  type Rules,
  type Store
} from "./rule.ts"

class Sent extends Schema.TaggedClass<Sent>()("Sent", { to: Schema.Array(Schema.String), text: Schema.String }) {}

class OnlyFirst extends Schema.TaggedClass<OnlyFirst>()("Sent", { text: Schema.Literal("1") }) {}

/** Letters to some, that are found under each of them. */
const freshLetters = () => Category.make(freshName(), { id: Schema.String, events: [Sent] })
type Letters = ReturnType<typeof freshLetters>

const sent = (text: string, ...to: ReadonlyArray<string>) => new Sent({ text, to })

const lettersTo = (name: string, from: Letters, version = 1, mark = "") =>
  Projection.links(name, { version, from, key: ({ event }) => event.to.map((to) => `${mark}${to}`) })

const events = <E>(store: Store, links: Projection.Links<E, never>, key: string, options?: ReadOptions) =>
  Stream.provideService(Projection.events(links, key, options), EventStore, store)

const keys = (store: Store, links: Projection.Links<unknown, never>, prefix?: string) =>
  Effect.map(
    collect(Stream.provideService(Projection.keys(links, { prefix }), EventStore, store)),
    (all) => all.map(({ count, key }) => `${key} ${count}`)
  )

const textsUnder = (store: Store, links: Projection.Links<Sent, never>, key: string, options?: ReadOptions) =>
  Effect.map(collect(events(store, links, key, options)), (all) => all.map(({ event }) => event.text))

/** Nobody has to read what is meant to go wrong. */
const quietly = Effect.provideService(References.MinimumLogLevel, "None")

export const linkRules: Rules = (rule) => {
  rule("find the events of a key, as they are in the log and in its order", function*(store) {
    const [from, name] = [freshLetters(), freshProjection()]
    const links = lettersTo(name, from)
    yield* store.append(from.stream("1"), [sent("1", "anna"), sent("2", "ben", "anna"), sent("3")])
    const runner = yield* project(store, links)
    yield* processedBy(runner, name)
    yield* store.append(from.stream("2"), [sent("4", "anna", "anna")])
    yield* store.append(freshStream(), notes("foreign"))
    yield* store.append(from.stream("1"), [sent("5", "ben"), sent("6", "anna")])
    yield* processedBy(runner, name)
    const all = yield* collect(store.readCategory(from))
    equal(yield* collect(events(store, links, "anna")), all.filter(({ event }) => event.to.includes("anna")))
    equal(yield* textsUnder(store, links, "ben"), ["2", "5"])
    equal(yield* textsUnder(store, links, "nobody"), [])
    equal(yield* keys(store, links), ["anna 4", "ben 2"])
  })

  rule("find a part of them, by position and number, in both directions", function*(store) {
    const [from, name] = [freshLetters(), freshProjection()]
    const links = lettersTo(name, from)
    for (let i = 1; i <= 6; i++) yield* store.append(from.stream("1"), [sent(String(i), "anna"), sent("other", "ben")])
    yield* processedBy(yield* project(store, links), name)
    const at = (yield* collect(store.readCategory(from))).filter(({ event }) => event.text !== "other")
      .map(({ position }) => position)
    const shown = (options: ReadOptions) => textsUnder(store, links, "anna", options)
    equal(yield* shown({ direction: "backward" }), ["6", "5", "4", "3", "2", "1"])
    equal(yield* shown({ from: at[2]!, to: at[4]! }), ["3", "4", "5"])
    equal(yield* shown({ from: at[2]! + 1, limit: 2 }), ["4", "5"])
    equal(yield* shown({ direction: "backward", from: at[3]!, to: at[1]!, limit: 2 }), ["4", "3"])
    equal(yield* shown({ limit: 0 }), [])
    equal(yield* shown({ from: at[5]! + 1 }), [])
  })

  rule("find all of many events and keys, page by page", function*(store) {
    const [from, name] = [freshLetters(), freshProjection()]
    const links = lettersTo(name, from)
    const many = Array.from({ length: 2100 }, (_, i) => `k${String(i).padStart(4, "0")}`)
    yield* store.append(from.stream("1"), [sent("all", ...many)])
    for (let i = 0; i < 3; i++) {
      yield* store.append(from.stream("2"), Array.from({ length: 800 }, (_, n) => sent(String(i * 800 + n), "anna")))
    }
    yield* processedBy(yield* project(store, links), name)
    equal(yield* textsUnder(store, links, "anna"), Array.from({ length: 2400 }, (_, i) => String(i)))
    equal((yield* textsUnder(store, links, "anna", { direction: "backward", limit: 1500 })).length, 1500)
    equal(yield* keys(store, links, "k"), many.map((key) => `${key} 1`))
    equal(yield* keys(store, links), ["anna 2400", ...many.map((key) => `${key} 1`)])
    equal((yield* keys(store, links, "k000")).length, 10)
  })

  rule("find the whole log by type", function*(store) {
    const name = freshProjection()
    const types = Projection.byType({ name })
    const [one, two] = [freshName(), freshName()]
    const rawEvents = [raw(one, 1), raw(two, 2), raw(one, 3)]
    yield* store.append(Category.rawStream(freshStream().streamId), rawEvents)
    yield* processedBy(yield* project(store, types), name)
    const found = yield* collect(events(store, types, one))
    equal(found, yield* collect(store.readAll({ types: [one] })))
    equal(found.map(({ event }) => event.data), [1, 3])
    equal(yield* keys(store, types, two), [`${two} 1`])
    equal(Projection.byType().definition.name, "by-type")
  })

  rule("find a conversation over all streams by its correlation id, with the event it began with", function*(store) {
    const name = freshProjection()
    const conversations = Projection.byCorrelation({ name })
    const [a, b, request] = [freshStream(), freshStream(), freshName()]
    const inRequest = EventMetadata.provide({ correlationId: request })
    yield* inRequest(store.append(a, notes("asked")))
    yield* store.append(a, notes("began"))
    yield* inRequest(store.append(b, notes("answered")))
    const [, began] = yield* collect(store.read(a))
    yield* store.append(b, notes("followed")).pipe(EventMetadata.provide(EventMetadata.causedBy(began!)))
    // nobody can stop it with an id of his own
    yield* store.append(b, notes("odd")).pipe(EventMetadata.provide({ correlationId: "x".repeat(600) }))
    yield* store.append(b, notes("empty")).pipe(EventMetadata.provide({ correlationId: "" }))
    yield* processedBy(yield* project(store, conversations), name)
    const textsIn = (id: string) =>
      Effect.map(collect(events(store, conversations, id)), (all) => all.map(({ event }) => event.data))
    equal(yield* textsIn(request), [{ text: "asked" }, { text: "answered" }])
    equal(yield* textsIn(began!.eventId), [{ text: "began" }, { text: "followed" }])
    equal(yield* textsIn("x".repeat(600)), [])
    equal(Projection.byCorrelation().definition.name, "by-correlation")
  })

  rule("do not find what is hidden", function*(store) {
    const [from, name] = [freshLetters(), freshProjection()]
    const links = lettersTo(name, from)
    yield* store.append(from.stream("1"), [sent("1", "anna"), sent("2", "anna")])
    yield* store.append(from.stream("2"), [sent("3", "anna")])
    yield* store.append(from.stream("3"), [sent("4", "anna")])
    yield* processedBy(yield* project(store, links), name)
    equal(yield* textsUnder(store, links, "anna"), ["1", "2", "3", "4"])
    yield* store.truncateBefore(from.stream("1"), 2)
    yield* store.delete(from.stream("2"))
    equal(yield* textsUnder(store, links, "anna"), ["2", "4"])
    yield* store.tombstone(from.stream("3"))
    equal(yield* textsUnder(store, links, "anna"), ["2"])
    equal(yield* textsUnder(store, links, "anna", { direction: "backward", limit: 1 }), ["2"])
  })

  rule("are the same after a reset, by several owners, and by key", function*(store) {
    const [from, name] = [freshLetters(), freshProjection()]
    const links = lettersTo(name, from)
    const people = ["anna", "ben", "carl", "dora", "emil"]
    for (let i = 0; i < 60; i++) {
      yield* store.append(from.stream(String(i % 7)), [sent(String(i), people[i % 5]!, people[(i + i % 3) % 5]!)])
    }
    const runner = yield* project(store, links, { partitions: 3, batch: 7 })
    yield* processedBy(runner, name)
    const all = yield* collect(store.readCategory(from))
    const check = Effect.fnUntraced(function*() {
      for (const one of people) {
        equal(yield* collect(events(store, links, one)), all.filter(({ event }) => event.to.includes(one)))
      }
    })
    yield* check()
    yield* inStore(store)(Projection.reset(name))
    yield* untilState(store, name, ({ stage }) => stage === "ready")
    yield* processedBy(runner, name)
    yield* check()
  })

  rule("are read by the live version, while another one is built, and when it took over", function*(store) {
    const [from, name] = [freshLetters(), freshProjection()]
    const [old, young] = [lettersTo(name, from), lettersTo(name, from, 2, "to ")]
    const run = inStore(store)
    yield* store.append(from.stream("1"), [sent("1", "anna")])
    yield* processedBy(yield* project(store, old), name)
    yield* project(store, young, { switch: "manual" })
    yield* processed(store, name, 2)
    yield* untilState(store, name, ({ stage }) => stage === "ready", 2)
    for (const links of [old, young]) {
      equal(yield* textsUnder(store, links, "anna"), ["1"])
      equal(yield* keys(store, links), ["anna 1"])
    }
    yield* run(Projection.switchTo(name, 2))
    for (const links of [old, young]) {
      equal(yield* textsUnder(store, links, "anna"), [])
      equal(yield* textsUnder(store, links, "to anna"), ["1"])
      equal(yield* keys(store, links), ["to anna 1"])
    }
  })

  rule("are read whole by one version, or not: never to an end that is none", function*(store) {
    const [from, name] = [freshLetters(), freshProjection()]
    const [old, young] = [lettersTo(name, from), lettersTo(name, from, 2)]
    for (let i = 0; i < 3; i++) {
      yield* store.append(
        from.stream("1"),
        Array.from({ length: 1000 }, (_, n) => sent(`${i * 1000 + n}`, "anna", `k${i * 1000 + n}`))
      )
    }
    const first = yield* project(store, old)
    yield* processedBy(first, name)
    const here = yield* Latch.make()
    const go = yield* Latch.make()
    let seen = 0
    const reading = yield* Effect.forkChild(Effect.flip(Stream.runForEachArray(
      Stream.rechunk(events(store, old, "anna"), 100),
      (some) => {
        seen += some.length
        return seen === 100 ? Effect.andThen(here.open, go.await) : Effect.void
      }
    )))
    yield* here.await
    const second = yield* project(store, young)
    yield* processedBy(second, name, 2)
    yield* untilState(store, name, ({ isLive }) => isLive, 2)
    yield* first.stop
    yield* inStore(store)(Projection.drop(name, 1))
    yield* go.open
    has(yield* Fiber.join(reading), { _tag: "ProjectionNotFound", projection: name })
    assert.isBelow(seen, 3000)
    equal((yield* textsUnder(store, old, "anna")).length, 3000)
  })

  rule("hand out what comes before an event that does not decode, and then fail", function*(store) {
    const [from, name] = [freshLetters(), freshProjection()]
    const links = lettersTo(name, from)
    yield* store.append(from.stream("1"), [sent("1", "anna"), sent("2", "anna")])
    yield* processedBy(yield* project(store, links), name)
    // one that knows less of the events
    const strict = Projection.links(name, {
      from: Category.make(from.name, { id: Schema.String, events: [] }),
      key: () => undefined
    })
    yield* fails(collect(events(store, strict, "anna")), "UnknownEventType")
    // and one that takes less of them
    const short = Projection.links(name, {
      from: Category.make(from.name, { id: Schema.String, events: [OnlyFirst] }),
      key: () => undefined
    })
    const seen: Array<unknown> = []
    const reading = Stream.runForEach(
      events(store, short, "anna"),
      ({ event }) => Effect.sync(() => void seen.push(event.text))
    )
    yield* fails(reading, "EventDecodeFailed")
    equal(seen, ["1"])
  })

  rule(
    "fail where there are none of this name, where they are no links, and for what is no key or range",
    function*(store) {
      const [from, name] = [freshLetters(), freshProjection()]
      const links = lettersTo(name, from)
      equal((yield* fails(collect(events(store, links, "anna")), "ProjectionNotFound")).projection, name)
      equal((yield* fails(keys(store, links), "ProjectionNotFound")).projection, name)
      const texts = freshProjection()
      const documents = textsOf(texts, freshCategory() as never)
      yield* processedBy(yield* project(store, documents), texts)
      has(yield* fails(collect(events(store, lettersTo(texts, from), "anna")), "VersionUnreadable"), { version: 1 })
      equal((yield* fails(collect(events(store, links, "\0")), "InvalidInput")).field, "key")
      equal((yield* fails(collect(events(store, links, "a", { limit: -1 })), "InvalidInput")).field, "limit")
      equal((yield* fails(keys(store, links, "\ud800"), "InvalidInput")).field, "prefix")
    }
  )

  rule("stop at an event whose key is none", function*(store) {
    const [from, name] = [freshLetters(), freshProjection()]
    const links = lettersTo(name, from)
    yield* store.append(from.stream("1"), [sent("1", "anna"), sent("2", "x".repeat(513))])
    yield* quietly(project(store, links, { onError: { retry: Schedule.recurs(0) } }))
    yield* untilState(store, name, ({ status }) => status === "failed")
    const { error, errorPosition } = yield* stateOf(store, name)
    assert.include(error!, "is no key")
    equal(errorPosition, (yield* collect(store.readCategory(from)))[1]!.position)
    equal(yield* textsUnder(store, links, "anna"), ["1"])
  })

  rule("find the events of their filter", function*(store) {
    const [from, name, tag] = [freshLetters(), freshProjection(), freshName()]
    const links = Projection.links(name, { from, tags: [tag], key: ({ event }) => event.to })
    yield* store.append(from.stream("1"), [sent("1", "anna"), EventData.make(sent("2", "anna"), { tags: [tag] })])
    yield* processedBy(yield* project(store, links), name)
    equal(yield* textsUnder(store, links, "anna"), ["2"])
  })
}
