import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Event from "../../Event/Event.ts"
import * as Pattern from "../../Projection/Pattern.ts"
import * as Projection from "../../Projection/Projection.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore } from "./consuming.ts"
import { freshProjection, otherStore, processed, processedBy, project, stateOf, untilState } from "./projecting.ts"
import { collect, equal, freshName, raw, type Rules, type Store } from "./rule.ts"

/** Somebody comes, looks at something, and goes. */
class Came extends Schema.TaggedClass<Came>()("Came", { who: Schema.String }) {}
class Looked extends Schema.TaggedClass<Looked>()("Looked", { who: Schema.String, at: Schema.Int }) {}
class Went extends Schema.TaggedClass<Went>()("Went", { who: Schema.String }) {}
class Found extends Schema.TaggedClass<Found>()("Found", { positions: Schema.Array(Schema.Int) }) {}

const LookedVersions = Event.oldest(Schema.Struct({ who: Schema.String })).current(Looked, (v1) => ({ ...v1, at: 0 }))

const freshVisits = () => Category.make(freshName(), { id: Schema.String, events: [Came, LookedVersions, Went] })
type Visits = ReturnType<typeof freshVisits>

const freshFindings = () => Category.make(freshName(), { id: Schema.String, events: [Found] })
type Findings = ReturnType<typeof freshFindings>

const lookingAround = (from: Visits) =>
  Pattern.start(from, "Came")
    .followedBy("Looked", { times: 2, where: ({ event }, _, [before]) => event.at !== before?.event.at })
    .without("Went")

const finding = <S extends Pattern.Steps>(
  name: string,
  pattern: Pattern.Pattern<Visits, S>,
  to: Findings,
  options: { readonly version?: number; readonly inFlight?: number } = {}
) =>
  Projection.pattern(name, {
    ...options,
    pattern,
    key: ({ event }) => event.who,
    emit: ({ events, key }) =>
      EventStore.entry(to.stream(key), [new Found({ positions: events.map(({ position }) => position) })])
  })

/** What was found of whom, in the order of the log. */
const foundIn = (store: Store, to: Findings) =>
  Effect.map(
    collect(store.readCategory(to)),
    (all) => all.map(({ event, streamId }) => `${streamId.slice(to.name.length + 1)} ${event.positions.join(" ")}`)
  )

/** What there is to find, key by key; by the event that completes it. */
const expectedOf = <S extends Pattern.Steps>(store: Store, pattern: Pattern.Pattern<Visits, S>) =>
  Effect.map(collect(store.readCategory(pattern.from)), (all) => {
    const people = [...new Set(all.map(({ event }) => event.who))]
    return people.flatMap((who) =>
      Pattern.find(pattern, all.filter(({ event }) => event.who === who) as never).map(({ events }) => ({
        who,
        positions: events.map(({ position }) => position)
      }))
    ).sort((a, b) => a.positions.at(-1)! - b.positions.at(-1)! || a.positions[0]! - b.positions[0]!)
      .map(({ positions, who }) => `${who} ${positions.join(" ")}`)
  })

const people = ["anna", "ben", "carl"]

/** A history that is the same each time, with something to find for everybody. */
const visit = (store: Store, from: Visits, count: number, seed = 1) =>
  Effect.gen(function*() {
    let state = seed
    const below = (most: number) => {
      state = (state * 48271) % 0x7fffffff
      return state % most
    }
    for (let i = 0; i < count; i++) {
      const who = people[below(3)]!
      const kind = below(10)
      const event = kind < 3 ? new Came({ who }) : kind < 9 ? new Looked({ who, at: below(3) }) : new Went({ who })
      yield* store.append(from.stream(String(below(4))), [event])
    }
  })

export const patternRules: Rules = (rule) => {
  rule("are found among the events of each key, in the order in which they are complete", function*(store) {
    const [from, to, name] = [freshVisits(), freshFindings(), freshProjection()]
    const pattern = lookingAround(from)
    yield* visit(store, from, 60)
    const runner = yield* project(store, finding(name, pattern, to))
    yield* processedBy(runner, name)
    equal(yield* foundIn(store, to), yield* expectedOf(store, pattern))
    yield* visit(store, from, 60, 2)
    yield* processedBy(runner, name)
    const found = yield* foundIn(store, to)
    equal(found, yield* expectedOf(store, pattern))
    assert.isAbove(found.length, 10)
  })

  rule("are found over batches and owners: what is in the making is kept with the checkpoint", function*(store) {
    const [from, to, name] = [freshVisits(), freshFindings(), freshProjection()]
    const pattern = lookingAround(from)
    for (let i = 1; i <= 6; i++) {
      const runner = yield* project(yield* otherStore(store), finding(name, pattern, to), { batch: 1 + i % 3 })
      yield* visit(store, from, 10, i)
      if (i % 2 === 0) yield* processedBy(runner, name)
      yield* runner.stop
    }
    yield* processedBy(yield* project(store, finding(name, pattern, to)), name)
    equal(yield* foundIn(store, to), yield* expectedOf(store, pattern))
  })

  rule("are found by several owners at a time, each key by one", function*(store) {
    const [from, to, name] = [freshVisits(), freshFindings(), freshProjection()]
    const pattern = lookingAround(from)
    yield* visit(store, from, 40)
    yield* project(store, finding(name, pattern, to), { partitions: 3, batch: 3 })
    yield* project(yield* otherStore(store), finding(name, pattern, to), { partitions: 3, batch: 3 })
    yield* visit(store, from, 40, 2)
    yield* processed(store, name)
    equal([...yield* foundIn(store, to)].sort(), [...yield* expectedOf(store, pattern)].sort())
  })

  rule("are found by another version, and after a reset, and lead to nothing new", function*(store) {
    const [from, to, name] = [freshVisits(), freshFindings(), freshProjection()]
    const pattern = lookingAround(from)
    yield* visit(store, from, 60)
    const first = yield* project(store, finding(name, pattern, to), { batch: 7 })
    yield* processedBy(first, name)
    const found = yield* collect(store.readCategory(to))
    yield* first.stop
    const second = yield* project(store, finding(name, pattern, to, { version: 2 }), { batch: 11 })
    yield* processedBy(second, name, 2)
    yield* untilState(store, name, ({ isLive }) => isLive, 2)
    equal(yield* collect(store.readCategory(to)), found)
    yield* inStore(store)(Projection.reset(name))
    yield* untilState(store, name, ({ stage }) => stage === "ready", 2)
    equal(yield* collect(store.readCategory(to)), found)
    yield* visit(store, from, 30, 2)
    yield* processedBy(second, name, 2)
    equal(yield* foundIn(store, to), yield* expectedOf(store, pattern))
  })

  rule("take the time from the events, however late they are looked for", function*(store) {
    const [from, to, name] = [freshVisits(), freshFindings(), freshProjection()]
    const soon = Pattern.start(from, "Came").followedBy("Went", { within: "50 millis" })
    const stream = from.stream("1")
    yield* store.append(stream, [new Came({ who: "anna" }), new Came({ who: "ben" }), new Went({ who: "anna" })])
    yield* Effect.sleep("70 millis")
    yield* store.append(stream, [new Went({ who: "ben" }), new Came({ who: "ben" }), new Went({ who: "ben" })])
    const [anna, , annaWent, , ben, benWent] = (yield* collect(store.read(stream))).map(({ position }) => position)
    yield* processedBy(yield* project(store, finding(name, soon, to)), name)
    equal(yield* foundIn(store, to), [`anna ${anna} ${annaWent}`, `ben ${ben} ${benWent}`])
  })

  rule("remember older events as they are stored", function*(store) {
    const [from, to, name] = [freshVisits(), freshFindings(), freshProjection()]
    const pattern = lookingAround(from)
    const rawStream = Category.rawStream(from.stream("1").streamId)
    const first = yield* project(store, finding(name, pattern, to), { batch: 1 })
    const { position } = yield* store.append(rawStream, [raw("Came", { who: "anna" }), raw("Looked", { who: "anna" })])
    yield* processedBy(first, name)
    yield* first.stop
    yield* store.append(from.stream("1"), [new Looked({ who: "anna", at: 0 }), new Looked({ who: "anna", at: 1 })])
    yield* processedBy(yield* project(store, finding(name, pattern, to), { batch: 1 }), name)
    equal(yield* foundIn(store, to), [`anna ${position - 1} ${position} ${position + 2}`])
  })

  rule("are given up where too many are in the making, the oldest first", function*(store) {
    const [from, to, name] = [freshVisits(), freshFindings(), freshProjection()]
    const pattern = Pattern.start(from, "Came").followedBy("Went")
    const runner = yield* project(store, finding(name, pattern, to, { inFlight: 2 }), { batch: 1 })
    const { firstPosition: at } = yield* store.append(from.stream("1"), [
      ...Array.from({ length: 4 }, () => new Came({ who: "anna" })),
      new Went({ who: "anna" })
    ])
    yield* processedBy(runner, name)
    equal(yield* foundIn(store, to), [`anna ${at + 2} ${at + 4}`, `anna ${at + 3} ${at + 4}`])
    // nobody waits for anything any more
    const { id } = yield* stateOf(store, name)
    equal(yield* store.storage.projections.documents.page(id, { prefix: "", after: "", limit: 9 }), [])
  })

  rule("are looked for in each stream, where no key is asked for", function*(store) {
    const [from, to, name] = [freshVisits(), freshFindings(), freshProjection()]
    const who = "anna"
    yield* store.append(from.stream("1"), [new Came({ who })])
    yield* store.append(from.stream("2"), [new Came({ who }), new Went({ who })])
    yield* processedBy(
      yield* project(
        store,
        Projection.pattern(name, {
          pattern: Pattern.start(from, "Came").followedBy("Went"),
          emit: ({ events, key }) =>
            EventStore.entry(to.stream(key), [
              new Found({ positions: events.map(({ streamVersion }) => streamVersion) })
            ])
        })
      ),
      name
    )
    equal(yield* foundIn(store, to), [`${from.stream("2").streamId} 1 2`])
  })
}
