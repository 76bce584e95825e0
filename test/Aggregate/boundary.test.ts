import { assert, it as plainIt, layer as sharedLayer } from "@effect/vitest"
import { Deferred, Effect, Exit, Schema } from "effect"
import { Boundary, Category, Decider, Event, EventStore, PgliteEventStore } from "effect-eventstore"

class Put extends Schema.TaggedClass<Put>()("Put", { by: Schema.Int }) {}
class Refused extends Schema.TaggedError<Refused>()("Refused", { sum: Schema.Int }) {}

let made = 0

/** One stream that gets an event, and one that is only looked at. */
const fresh = () => {
  const name = `pots${++made}`
  const category = Category.make(name, { id: Schema.String, events: [Put] })
  const fold = Decider.fold(category, { initial: 0, evolve: { Put: (sum, { by }) => sum + by } })
  const put = (id: string, by: number) =>
    Effect.flatMap(EventStore, (store) => Effect.orDie(store.append(category.stream(id), [new Put({ by })])))
  const guarded = <E, R>(
    decide: (states: { readonly into: number; readonly guard: number }) => Effect.Effect<{ into?: Array<Put> }, E, R>
  ) =>
    Boundary.make(name, {
      streams: (suffix: string) => ({
        into: Boundary.on(fold, `into${suffix}`),
        guard: Boundary.on(fold, `guard${suffix}`)
      }),
      decide: (_, states) => decide(states)
    })
  return { category, put, guarded, plain: guarded(() => Effect.succeed({ into: [new Put({ by: 1 })] })) }
}

const once = { commandId: "once" }

class Taken extends Schema.TaggedClass<Taken>()("Taken", { name: Schema.String }) {
  get [Event.tags]() {
    return [`name:${this.name}`]
  }
}

/** Takes names; `expected` is what it believes of the stream that it appends to. */
const names = (decide: (isTaken: boolean) => Effect.Effect<void, Refused, EventStore>, expected?: "no-stream" | 5) => {
  const category = Category.make(`names${++made}`, { id: Schema.String, events: [Taken] })
  return {
    category,
    boundary: Boundary.dynamic(category.name, {
      from: category,
      query: (name: string) => [{ types: ["Taken"], tags: [`name:${category.name}${name}`] }],
      initial: false,
      evolve: { Taken: () => true },
      decide: (name, isTaken) =>
        Effect.as(
          decide(isTaken),
          EventStore.entry(
            category.stream(name),
            [new Taken({ name: `${category.name}${name}` })],
            expected === undefined ? {} : { expected }
          )
        )
    })
  }
}

for (const [name, layer] of [["memory", EventStore.layerMemory], ["pglite", PgliteEventStore.layer()]] as const) {
  sharedLayer(layer, { excludeTestServices: true, timeout: "1 minute" })(`Boundary (${name})`, (it) => {
    it.effect("answers a twin of a command with the states that the command was decided on", () =>
      Effect.gen(function*() {
        const { guarded, plain, put } = fresh()
        let first: any
        const slow = guarded(() =>
          Effect.gen(function*() {
            yield* put("guard", 5)
            first = yield* Effect.orDie(plain.run("", once))
            yield* put("guard", 7)
            return { into: [new Put({ by: 1 })] }
          })
        )
        const second = yield* slow.run("", once)
        assert.deepStrictEqual([first.states, first.versions], [{ into: 1, guard: 5 }, { into: 1, guard: 1 }])
        assert.deepStrictEqual(second, { ...first, isRepeated: true })
      }))

    it.effect("says so where a stream that took part was deleted or truncated since", () =>
      Effect.gen(function*() {
        const store = yield* EventStore
        for (const how of ["delete", "truncate", "go on"] as const) {
          const { category, plain, put } = fresh()
          yield* put("guard", 5)
          const { position } = yield* plain.run("", once)
          yield* how === "truncate"
            ? store.truncateBefore(category.stream("guard"), 2)
            : store.delete(category.stream("guard"))
          if (how === "go on") yield* put("guard", 3)
          const error = yield* Effect.flip(plain.run("", once))
          assert.deepInclude(error, { _tag: "AnswerHidden", decider: category.name, commandId: "once", position })
        }
      }))

    it.effect("gives the first answer where a stream had no events then", () =>
      Effect.gen(function*() {
        const { plain, put } = fresh()
        const first = yield* plain.run("", once)
        yield* put("guard", 5)
        assert.deepStrictEqual(yield* plain.run("", once), { ...first, isRepeated: true })
      }))

    it.effect("tells nobody of a defect on states that were never there together", () =>
      Effect.gen(function*() {
        const { guarded, put } = fresh()
        let times = 0
        const torn = guarded(() =>
          Effect.suspend(() => times++ === 0 ? Effect.andThen(put("guard", 1), Effect.die("torn")) : Effect.succeed({}))
        )
        assert.deepStrictEqual((yield* torn.run("")).states, { into: 0, guard: 1 })
        assert.strictEqual(times, 2)
        const dying = guarded(() => Effect.die("always"))
        assert.isTrue(Exit.hasDies(yield* Effect.exit(dying.run(""))))
      }))

    it.effect("does not decide again against what its own transaction staged", () =>
      Effect.gen(function*() {
        const store = yield* EventStore
        let times = 0
        const { boundary } = names(() => Effect.sync(() => void times++))
        const error = yield* Effect.flip(
          store.transaction(Effect.andThen(boundary.run("a"), boundary.run("a")))
        )
        assert.strictEqual(error._tag, "AppendConditionFailed")
        assert.strictEqual(times, 2)
      }))

    it.effect("does not decide again where the decision itself expects what is not so", () =>
      Effect.gen(function*() {
        let times = 0
        const { boundary } = names(() => Effect.sync(() => void times++), 5)
        assert.strictEqual((yield* Effect.flip(boundary.run("a")))._tag, "WrongExpectedVersion")
        assert.strictEqual(times, 1)
      }))

    it.effect("decides again where an expectation fails because of what the decision asks for", () =>
      Effect.gen(function*() {
        const store = yield* EventStore
        let times = 0
        const { boundary, category } = names(
          (isTaken) =>
            isTaken ? Effect.fail(new Refused({ sum: 0 })) : times++ > 0 ? Effect.void : Effect.orDie(Effect.asVoid(
              store.append(category.stream("a"), [new Taken({ name: `${category.name}a` })])
            )),
          "no-stream"
        )
        assert.strictEqual((yield* Effect.flip(boundary.run("a")))._tag, "Refused")
      }))
  })
}

plainIt.live(
  "A boundary in a transaction decides again where somebody else stored what it asks for",
  () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const [go, done] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      let times = 0
      const { boundary, category } = names((isTaken) =>
        isTaken
          ? Effect.fail(new Refused({ sum: 0 }))
          : Effect.suspend(() =>
            times++ === 0 ? Effect.andThen(Deferred.succeed(go, undefined), Deferred.await(done)) : Effect.void
          )
      )
      yield* Effect.forkScoped(Effect.gen(function*() {
        yield* Deferred.await(go)
        yield* store.append(category.stream("a"), [new Taken({ name: `${category.name}a` })])
        yield* Deferred.succeed(done, undefined)
      }))
      assert.strictEqual((yield* Effect.flip(store.transaction(boundary.run("a"))))._tag, "Refused")
      assert.strictEqual(times, 1)
    }).pipe(Effect.scoped, Effect.provide(EventStore.layerMemory))
)
