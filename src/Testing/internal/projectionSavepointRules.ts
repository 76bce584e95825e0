import { Effect, flow, Schedule, Schema } from "effect"
import * as Pattern from "../../Projection/Pattern.ts"
import * as Projection from "../../Projection/Projection.ts"
import * as ProjectionMiddleware from "../../Projection/ProjectionMiddleware.ts"
import { EventStore } from "../../Store/EventStore.ts"
import { StoreError } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import { type Documents, documentsOf, freshTexts, puts, type Texts, textsOf } from "./keyedTexts.ts"
import { freshProjection, otherStore, processedBy, project, stateOf } from "./projecting.ts"
import { collect, equal, freshName, type Rules, type Store } from "./rule.ts"

/** Fails when it is told to, once: before the save of documents, after it, or behind all of the batch. */
type Place = "before" | "after" | "behind"

const places: ReadonlyArray<Place> = ["before", "after", "behind"]

const trouble = new StoreError({
  operation: "test",
  isRetryable: false,
  outcome: "not-stored",
  cause: new Error("on purpose")
})

/** A middleware and a store that fail at a place, as often as `times` says. */
const failing = (store: Store, at: Place) =>
  Effect.gen(function*() {
    const left = { times: 0 }
    const failAt = (place: Place) =>
      Effect.suspend(() => place === at && left.times > 0 && left.times-- > 0 ? Effect.fail(trouble) : Effect.void)
    const other = yield* otherStore(store, ({ at, call }) =>
      call === "projections.documents.save" && (at === "before" || at === "after") ? failAt(at) : Effect.void)
    const middleware =
      <E, R>(apply: ProjectionMiddleware.Apply<E, R>): ProjectionMiddleware.Apply<E | StoreError, R> => (batch) =>
        Effect.andThen(apply(batch), failAt("behind"))
    return { left, store: other, middleware }
  })

const repeated = flow(ProjectionMiddleware.transaction, ProjectionMiddleware.retry(Schedule.recurs(1)))

const passedOver = <E, R>(apply: ProjectionMiddleware.Apply<E, R>) => (batch: ProjectionMiddleware.Batch) =>
  Effect.ignore(apply(batch))

/** Only the last text counts: an event that comes twice changes nothing. */
const lastOf = (name: string, from: Texts) =>
  Projection.documents(name, {
    from,
    state: Schema.Array(Schema.String),
    key: () => "a",
    initial: () => [],
    evolve: { Put: (_, { event }) => [event.text], Removed: () => undefined }
  })

class Came extends Schema.TaggedClass<Came>()("Came", {}) {}
class Went extends Schema.TaggedClass<Went>()("Went", {}) {}

/** What the documents are after each of three texts, of which the second is handled by the middleware while it fails. */
const histories = (
  store: Store,
  at: Place,
  make: (name: string, from: Texts) => Projection.Any,
  middleware: typeof repeated
) =>
  Effect.gen(function*() {
    const [from, name] = [freshTexts(), freshProjection()]
    const failure = yield* failing(store, at)
    const runner = yield* project(failure.store, make(name, from), {
      middleware: flow(failure.middleware, middleware) as never
    })
    const seen: Array<Documents[string] | undefined> = []
    for (const text of ["1", "2", "3"]) {
      failure.left.times = text === "2" ? 1 : 0
      yield* failure.store.append(from.stream("1"), puts("a", text))
      yield* processedBy(runner, name)
      const { id } = yield* stateOf(store, name)
      seen.push((yield* documentsOf(store, id))["a"])
    }
    return seen
  })

export const projectionSavepointRules: Rules = (rule) => {
  for (const at of places) {
    rule(`applies a batch once that a middleware repeats in a transaction of its own, failed ${at}`, function*(store) {
      equal(yield* histories(store, at, textsOf, repeated), [["1"], ["1", "2"], ["1", "2", "3"]])
    })

    rule(`saves what a repeated batch changed, though the event changes nothing twice, failed ${at}`, function*(store) {
      equal(yield* histories(store, at, lastOf, repeated), [["1"], ["2"], ["3"]])
    })

    rule(`knows nothing more of a batch that a middleware passed over, failed ${at}`, function*(store) {
      const middleware = flow(ProjectionMiddleware.transaction, passedOver) as never
      equal(yield* histories(store, at, textsOf, middleware), [["1"], ["1"], ["1", "3"]])
    })
  }

  rule("passes over what a pattern had in the making with the batch that a middleware passes over", function*(store) {
    const from = Category.make(freshName(), { id: Schema.String, events: [Came, Went] })
    const to = Category.make(freshName(), { id: Schema.String, events: [Went] })
    const name = freshProjection()
    const failure = yield* failing(store, "behind")
    const visits = Projection.pattern(name, {
      pattern: Pattern.start(from, "Came").followedBy("Went"),
      emit: ({ key }) => EventStore.entry(to.stream(key), [new Went()])
    })
    const runner = yield* project(failure.store, visits, {
      middleware: flow(failure.middleware, ProjectionMiddleware.transaction, passedOver) as never
    })
    const move = (times: number, event: Came | Went) =>
      Effect.gen(function*() {
        failure.left.times = times
        yield* failure.store.append(from.stream("1"), [event])
        yield* processedBy(runner, name)
      })
    yield* move(1, new Came())
    yield* move(0, new Went())
    equal((yield* collect(store.readCategory(to))).length, 0)
    yield* move(0, new Came())
    // what was in the making goes on, though the event was passed over that would have completed it
    yield* move(1, new Went())
    equal((yield* collect(store.readCategory(to))).length, 0)
    yield* move(0, new Went())
    equal((yield* collect(store.readCategory(to))).length, 1)
  })
}
