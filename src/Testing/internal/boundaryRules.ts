import { Deferred, Effect, Fiber, Schedule, Schema } from "effect"
import * as Boundary from "../../Aggregate/Boundary.ts"
import * as Decider from "../../Aggregate/Decider.ts"
import { StoreError } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore } from "./consuming.ts"
import { slowly } from "./deciding.ts"
import { otherStore } from "./projecting.ts"
import { collect, equal, fails, freshName, has, type Rules, type Store, together } from "./rule.ts"

/** An amount, and what the stream held when it was decided on. */
class Moved extends Schema.TaggedClass<Moved>()("Moved", { by: Schema.Int, held: Schema.Int }) {}
class Short extends Schema.TaggedError<Short>()("Short", { held: Schema.Int, together: Schema.Int }) {}

interface Move {
  readonly from: string
  readonly to: string
  readonly by: number
}

interface Hooks {
  readonly meanwhile?: (from: number, to: number) => Effect.Effect<void>
  readonly retry?: Schedule.Schedule<unknown>
}

const freshPurses = (store: Store) => {
  const category = Category.make(freshName(), { id: Schema.String, events: [Moved] })
  const purse = Decider.fold(category, { initial: 0, evolve: { Moved: (held, { by }) => held + by } })
  const name = freshName()
  const moves = ({ meanwhile = () => Effect.void, retry }: Hooks = {}) =>
    Boundary.make(name, {
      streams: ({ from, to }: Move) => ({ from: Boundary.on(purse, from), to: Boundary.on(purse, to) }),
      decide: ({ by }, { from, to }) =>
        Effect.flatMap(meanwhile(from, to), () =>
          from < by
            ? Effect.fail(new Short({ held: from, together: from + to }))
            : Effect.succeed(
              by === 0 ? {} : {
                from: [new Moved({ by: -by, held: from })],
                to: [new Moved({ by, held: to })]
              }
            )),
      retry
    })
  const put = (id: string, by: number) => store.append(category.stream(id), [new Moved({ by, held: -1 })])
  const held = (id: string) =>
    Effect.map(
      collect(store.read(category.stream(id))),
      (all) => all.reduce((sum, { event }) => sum + event.by, 0)
    )
  return { category, moves, put, held, purse }
}

const once = { commandId: "once" }

export const boundaryRules: Rules = (rule) => {
  rule("decides on the states of several streams, and appends to all at once", function*(store) {
    const { category, moves, put } = freshPurses(store)
    const run = inStore(store)
    yield* put("a", 10)
    const moved = yield* run(moves().run({ from: "a", to: "b", by: 3 }))
    has(moved, { states: { from: 7, to: 3 }, versions: { from: 2, to: 1 }, isRepeated: false })
    const [out, into] = moved.events
    has(out!, { event: new Moved({ by: -3, held: 10 }), streamId: category.stream("a").streamId, streamVersion: 2 })
    has(into!, { event: new Moved({ by: 3, held: 0 }), streamId: category.stream("b").streamId, streamVersion: 1 })
    equal(into!.position, out!.position + 1)
    equal(moved.position, into!.position)
    const [stored] = yield* collect(store.read(category.stream("b")))
    has(stored!, { eventId: into!.eventId, position: into!.position })
    equal(yield* run(moves().query({ from: "a", to: "b", by: 1 })), {
      states: { from: 7, to: 3 },
      versions: { from: 2, to: 1 },
      position: into!.position
    })
  })

  rule("fails with what the decision fails with, and leaves nothing", function*(store) {
    const { held, moves, put } = freshPurses(store)
    yield* put("a", 2)
    const head = yield* store.head()
    has(yield* fails(inStore(store)(moves().run({ from: "a", to: "b", by: 3 })), "Short"), { held: 2 })
    has(yield* inStore(store)(moves().run({ from: "a", to: "b", by: 0 })), { events: [], states: { from: 2, to: 0 } })
    equal(yield* store.head(), head)
    equal(yield* held("b"), 0)
  })

  rule("decides again when any of the streams moved on", function*(store) {
    for (const faster of ["a", "b"]) {
      const { held, moves, put } = freshPurses(store)
      yield* put("a", 10)
      let times = 0
      const meanwhile = () => times++ === 0 ? Effect.orDie(Effect.asVoid(put(faster, 5))) : Effect.void
      const { events } = yield* inStore(store)(moves({ meanwhile }).run({ from: "a", to: "b", by: 3 }))
      equal(times, 2)
      equal(events.map(({ event }) => event.held), faster === "a" ? [15, 0] : [10, 5])
      equal((yield* held("a")) + (yield* held("b")), 15)
    }
  })

  rule("decides again when a stream moved on that gets no event", function*(store) {
    const { category, purse, put } = freshPurses(store)
    let times = 0
    const guarded = Boundary.make(freshName(), {
      streams: (guard: string) => ({ guard: Boundary.on(purse, guard), other: Boundary.on(purse, "other") }),
      decide: (_, { guard }) =>
        Effect.as(
          times++ === 0 ? Effect.orDie(put("guard", 1)) : Effect.void,
          { other: [new Moved({ by: guard, held: 0 })] }
        )
    })
    has(yield* inStore(store)(guarded.run("guard")), {
      states: { guard: 1, other: 1 },
      versions: { guard: 1, other: 1 }
    })
    equal((yield* store.info(category.stream("guard"))).version, 1)
  })

  rule("answers nothing that was decided on states which were never there together", function*(store) {
    const { moves, put, purse } = freshPurses(store)
    yield* put("a", 5)
    yield* put("b", 5)
    // what both have is ten at any time; a decision that is slow to look sees otherwise, unless it is checked
    let times = 0
    const meanwhile = (from: number) =>
      times++ === 0
        ? Effect.orDie(Effect.asVoid(Effect.andThen(put("a", -from), put("b", from))))
        : Effect.void
    const short = yield* fails(inStore(store)(moves({ meanwhile }).run({ from: "a", to: "b", by: 20 })), "Short")
    equal([short.held, short.together, times], [0, 10, 2])
    const one = Boundary.make(freshName(), {
      streams: (id: string) => ({ one: Boundary.on(purse, id) }),
      decide: (_, { one }) => Effect.fail(new Short({ held: one, together: one }))
    })
    has(yield* fails(inStore(store)(one.run("a")), "Short"), { held: 0 })
  })

  rule("moves each amount once, among many at once in all directions", function*(store) {
    const { category, held, moves, put } = freshPurses(store)
    const ids = ["a", "b", "c", "d"]
    for (const id of ids) yield* put(id, 20)
    const run = inStore(store)
    const moving = moves(slowly)
    const results = yield* together(
      48,
      (i) => Effect.result(run(moving.run({ from: ids[i % 4]!, to: ids[(i + 1 + i % 3) % 4]!, by: 1 + i % 7 })))
    )
    const holds = yield* Effect.forEach(ids, held)
    equal(holds.reduce((sum, one) => sum + one, 0), 80)
    equal(holds.every((one) => one >= 0), true)
    let events = 0
    for (const id of ids) {
      let sum = 0
      for (const { event } of yield* collect(store.read(category.stream(id)))) {
        if (event.held >= 0) {
          equal(event.held, sum)
          events++
        }
        sum += event.by
      }
    }
    equal(events, 2 * results.filter(({ _tag }) => _tag === "Success").length)
  })

  rule("gives up with the last conflict when its schedule ends", function*(store) {
    const { held, moves, put } = freshPurses(store)
    yield* put("a", 10)
    const meanwhile = () => Effect.orDie(Effect.asVoid(put("b", 1)))
    const moving = moves({ meanwhile, retry: Schedule.recurs(2) })
    has(yield* fails(inStore(store)(moving.run({ from: "a", to: "b", by: 3 })), "WrongExpectedVersion"), { actual: 3 })
    equal([yield* held("a"), yield* held("b")], [10, 3])
  })

  rule("gives the first answer to a command that comes again, also at once, also where it was lost", function*(store) {
    const { held, moves, put } = freshPurses(store)
    const run = inStore(store)
    yield* put("a", 10)
    const command = { from: "a", to: "b", by: 6 }
    const answers = yield* together(8, () => run(moves(slowly).run(command, once)))
    for (const { isRepeated: _, ...answer } of answers) {
      const { isRepeated: __, ...first } = answers[0]!
      equal(answer, first)
    }
    yield* put("a", 100)
    yield* put("b", 100)
    equal(yield* run(moves().run(command, once)), { ...answers[0]!, isRepeated: true })
    equal([yield* held("a"), yield* held("b")], [104, 106])
    const lost = new StoreError({
      operation: "append",
      isRetryable: true,
      outcome: "unknown",
      cause: new Error("lost")
    })
    const lossy = yield* otherStore(
      store,
      ({ at, call }) => call === "append" && at === "after" ? Effect.fail(lost) : Effect.void
    )
    yield* fails(inStore(lossy)(moves().run(command, { commandId: "lost" })), "StoreError")
    has(yield* run(moves().run(command, { commandId: "lost" })), { states: { from: 98, to: 112 }, isRepeated: true })
    yield* fails(run(moves().run({ ...command, to: "c" }, once)), "InvalidInput")
  })

  rule("leaves nothing when it is interrupted while it decides", function*(store) {
    const { moves, put } = freshPurses(store)
    yield* put("a", 10)
    const head = yield* store.head()
    const begun = yield* Deferred.make<void>()
    const meanwhile = () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
    const fiber = yield* Effect.forkScoped(inStore(store)(moves({ meanwhile }).run({ from: "a", to: "b", by: 1 })))
    yield* Deferred.await(begun)
    yield* Fiber.interrupt(fiber)
    equal(yield* store.head(), head)
  })

  rule("refuses a stream that takes part twice, and an id that cannot name one", function*(store) {
    const { moves } = freshPurses(store)
    const run = inStore(store)
    has(yield* fails(run(moves().run({ from: "a", to: "a", by: 1 })), "InvalidInput"), { field: "streams" })
    has(yield* fails(run(moves().run({ from: "", to: "a", by: 1 })), "InvalidInput"), { field: "id" })
  })

  rule("goes on with the versions of a stream that was deleted, and fails for one that has ended", function*(store) {
    const { category, moves, put } = freshPurses(store)
    yield* put("a", 10)
    yield* put("b", 10)
    yield* store.delete(category.stream("b"))
    has(yield* inStore(store)(moves().run({ from: "a", to: "b", by: 4 })), {
      states: { from: 6, to: 4 },
      versions: { from: 2, to: 2 }
    })
    yield* store.tombstone(category.stream("b"))
    yield* fails(inStore(store)(moves().run({ from: "a", to: "b", by: 4 })), "StreamTombstoned")
  })
}
