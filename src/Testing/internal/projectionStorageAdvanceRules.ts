import { assert } from "@effect/vitest"
import { Duration, Effect, Fiber, Latch, Option, Result } from "effect"
import { makeVersion, movedTo, storageOf, tracesOf, type Version, whileOpen } from "./projectionStorageVersion.ts"
import { begin } from "./queue.ts"
import { equal, fails, freshStream, has, notes, type Rules, skip, type Store, texts, together } from "./rule.ts"

/** A version whose only partition a runner owns, and an effect that leaves everything that it can. */
const ownedOne = Effect.fnUntraced(function*(store: Store) {
  const version = yield* makeVersion(store)
  return { version, owned: yield* version.ownFirst("a"), traces: yield* tracesOf(store, version) }
})

/** A checkpoint and what leads to it, in one transaction. */
export const projectionStorageAdvanceRules: Rules = (rule, { transactions }) => {
  rule("moves a checkpoint together with what an effect leaves", function*(store) {
    const { owned, traces, version } = yield* ownedOne(store)
    const { position } = yield* store.append(freshStream(), notes("a"))
    const { eventId } = yield* store.storage.identity(position)
    const move = version.moveWith(owned, position, Effect.as(traces.leave, "answer"), {
      eventId: eventId!,
      handled: 5,
      rate: 12.5
    })
    const answer = yield* move
    equal(answer, Option.some("answer"))
    equal(yield* traces.left, "all")
    const { partitions: [partition] } = yield* version.state()
    equal(partition, {
      partition: 0,
      position,
      eventId: eventId!,
      epoch: owned.epoch,
      owner: "a",
      isCaughtUp: false,
      handled: 5,
      rate: 12.5
    })
  })

  rule("leaves nothing where the log has another event than the one that was handled, or none", function*(store) {
    const { owned, traces, version } = yield* ownedOne(store)
    const { position } = yield* store.append(freshStream(), notes("a", "b"))
    const { eventId } = yield* store.storage.identity(position - 1)
    for (const to of [position, position + 1_000_000]) {
      equal(yield* version.moveWith(owned, to, traces.leave, { eventId: eventId! }), Option.none())
      equal(yield* version.move(owned, to, { eventId: eventId! }), false)
    }
    equal(yield* traces.left, "nothing")
    equal(yield* version.move(owned, position - 1, { eventId: eventId! }), true)
  })

  rule("moves a checkpoint alone, also to where it is", function*(store) {
    const { owned, version } = yield* ownedOne(store)
    const { advanceWith } = storageOf(store)
    equal(yield* advanceWith<never, never, never>(version.advance(owned, 5), undefined), Option.some(undefined))
    equal(yield* version.move(movedTo(owned, 5), 5, { handled: 0, isCaughtUp: true, isBulk: true }), true)
    has((yield* version.state()).partitions[0]!, { position: 5, handled: 5, isCaughtUp: true })
    equal(yield* version.move(movedTo(owned, 5), 6, { isBulk: true }), true)
    has((yield* version.state()).partitions[0]!, { position: 6, handled: 6, isCaughtUp: false })
  })

  rule("leaves nothing where the epoch, the place or the partition is another one", function*(store) {
    const { owned, traces, version } = yield* ownedOne(store)
    yield* version.move(owned, 10)
    const here = movedTo(owned, 10)
    for (
      const other of [
        { ...here, epoch: here.epoch - 1 },
        { ...here, epoch: here.epoch + 1 },
        { ...here, partition: 1 },
        owned,
        movedTo(owned, 11)
      ]
    ) {
      equal(yield* version.moveWith(other, 20, traces.leave), Option.none())
      equal(yield* version.move(other, 20), false)
    }
    equal(yield* version.moveWith(here, 20, traces.leave, { id: version.id + 1_000_000 }), Option.none())
    equal(yield* traces.left, "nothing")
    has((yield* version.state()).partitions[0]!, { position: 10, handled: 10, epoch: owned.epoch })
  })

  rule("leaves nothing where a checkpoint was moved already", function*(store) {
    const { owned, traces, version } = yield* ownedOne(store)
    const second = yield* tracesOf(store, version)
    assert.isTrue(Option.isSome(yield* version.moveWith(owned, 5, traces.leave)))
    equal(yield* version.moveWith(owned, 5, second.leave), Option.none())
    equal([yield* traces.left, yield* second.left], ["all", "nothing"])
    equal((yield* version.state()).partitions[0]!.handled, 5)
  })

  rule("leaves nothing where the version is paused, failed, reset or dropped", function*(store) {
    const { drop, pause, report, reset } = storageOf(store)
    const ends: ReadonlyArray<(version: Version, epoch: number) => Effect.Effect<unknown, any>> = [
      ({ id }) => pause(id),
      ({ id }) => reset(id),
      ({ id }, epoch) => report({ id, partition: 0, epoch }, { error: "no", position: null, isFatal: true }),
      ({ id }) => drop(id)
    ]
    for (const end of ends) {
      const live = yield* makeVersion(store)
      const version = yield* makeVersion(store, { name: live.name, version: 2 })
      const traces = yield* tracesOf(store, version)
      const owned = yield* version.ownFirst("a")
      yield* end(version, owned.epoch)
      equal(yield* version.moveWith(owned, 5, traces.leave), Option.none())
      equal(yield* traces.left, "nothing")
    }
  })

  rule("leaves nothing where the effect fails, dies or is interrupted", function*(store) {
    const { owned, traces, version } = yield* ownedOne(store)
    equal(yield* Effect.flip(version.moveWith(owned, 5, Effect.andThen(traces.leave, Effect.fail("no")))), "no")
    const died = yield* Effect.exit(version.moveWith(owned, 5, Effect.andThen(traces.leave, Effect.die("on purpose"))))
    equal(died._tag, "Failure")
    const latch = yield* Latch.make()
    const endless = traces.leave.pipe(Effect.andThen(latch.open), Effect.andThen(Effect.never))
    const fiber = yield* Effect.forkChild(version.moveWith(owned, 5, endless))
    yield* latch.await
    yield* Fiber.interrupt(fiber)
    equal(yield* traces.left, "nothing")
    equal(yield* version.positions, [0])
    equal(yield* version.moveWith(owned, 5, traces.leave), Option.some(undefined))
    equal(yield* traces.left, "all")
  })

  rule("leaves nothing where an append of the effect is refused", function*(store) {
    const { owned, traces, version } = yield* ownedOne(store)
    const stream = freshStream()
    yield* store.append(stream, notes("before"))
    const effect = Effect.andThen(traces.leave, store.append(stream, notes("a"), { expected: "no-stream" }))
    yield* fails(version.moveWith(owned, 5, effect), "WrongExpectedVersion")
    equal(yield* traces.left, "nothing")
    equal(yield* version.positions, [0])
  })

  rule("moves a checkpoint once where several move it at the same time", function*(store) {
    const { owned, version } = yield* ownedOne(store)
    const traces = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => tracesOf(store, version))
    const answers = yield* together(
      6,
      (i) => version.moveWith(owned, 5, Effect.as(Effect.andThen(traces[i]!.leave, Effect.yieldNow), i))
    )
    const [won, ...others] = answers.filter(Option.isSome)
    equal(others, [])
    for (const [i, { left }] of traces.entries()) equal(yield* left, i === won!.value ? "all" : "nothing")
    equal((yield* version.state()).partitions[0]!.handled, 5)
  })

  rule("moves several partitions at the same time, each with what leads there", function*(store) {
    const version = yield* makeVersion(store, { partitions: 6 })
    const owned = yield* version.own("a")
    const traces = yield* Effect.forEach(owned, () => tracesOf(store, version))
    const answers = yield* together(6, (i) => version.moveWith(owned[i]!, i + 1, traces[i]!.leave))
    equal(answers.filter(Option.isSome).length, 6)
    for (const { left } of traces) equal(yield* left, "all")
    equal(yield* version.positions, [1, 2, 3, 4, 5, 6])
  })

  rule(
    "shows what an effect leaves inside, and moves on with the transaction around it, or not at all",
    function*(store) {
      const { owned, traces, version } = yield* ownedOne(store)
      const inside = version.moveWith(owned, 5, Effect.tap(traces.leave, () => Effect.map(traces.left, seen)))
      const seen = (left: string) => equal(left, "all")
      equal(yield* Effect.flip(store.transaction(Effect.andThen(inside, Effect.fail("no")))), "no")
      equal(yield* traces.left, "nothing")
      equal(yield* version.positions, [0])
      const [first, second] = yield* store.transaction(Effect.gen(function*() {
        const first = yield* inside
        equal(yield* version.positions, [5])
        // a part that fails leaves what was before it
        const part = version.moveWith(movedTo(owned, 5), 8, Effect.fail("this part"))
        equal(yield* Effect.flip(part), "this part")
        equal(yield* version.positions, [5])
        return [first, yield* version.move(movedTo(owned, 5), 9)] as const
      }))
      equal([first, second], [Option.some(undefined), true])
      equal(yield* traces.left, "all")
      has((yield* version.state()).partitions[0]!, { position: 9, handled: 9 })
    }
  )

  rule("notes a failure, and forgets it when something is handled", function*(store) {
    const { owned, version } = yield* ownedOne(store)
    const { report } = storageOf(store)
    const partition = { ...owned, id: version.id }
    yield* report({ ...partition, epoch: owned.epoch + 1 }, { error: "late", position: 4, isFatal: true })
    has(yield* version.state(), { error: null, errorPosition: null, status: "running" })
    yield* report(partition, { error: "no", position: 3, isFatal: false })
    has(yield* version.state(), { error: "no", errorPosition: 3, status: "running" })
    yield* version.move(owned, 2, { handled: 0 })
    has(yield* version.state(), { error: "no", errorPosition: 3 })
    yield* version.move(movedTo(owned, 2), 5, { handled: 1 })
    has(yield* version.state(), { error: null, errorPosition: null })
  })

  openAdvanceRules(transactions === "concurrent" ? rule : skip, { transactions })
}

/** What happens beside a transaction that is to move a checkpoint. */
const openAdvanceRules: Rules = (rule) => {
  rule("leaves nothing where somebody takes over meanwhile: an owner that stood still", function*(store) {
    const { owned, traces, version } = yield* ownedOne(store)
    const [result, taken] = yield* whileOpen(
      (effect: Effect.Effect<void, any>) => version.moveWith(owned, 5, effect),
      traces.leave,
      version.ownFirst("b", begin + 1000)
    )
    equal(result, Result.succeed(Option.none()))
    equal(yield* traces.left, "nothing")
    assert.isAbove(taken.epoch, owned.epoch)
    equal(yield* version.moveWith(taken, 5, traces.leave), Option.some(undefined))
    equal(yield* traces.left, "all")
    has((yield* version.state()).partitions[0]!, { position: 5, handled: 5 })
  })

  rule("leaves nothing where the version is paused, reset, given back or failed meanwhile", function*(store) {
    const { pause, release, report, reset } = storageOf(store)
    const ends: ReadonlyArray<(version: Version, epoch: number) => Effect.Effect<unknown, any>> = [
      ({ id }) => pause(id),
      ({ id }) => reset(id),
      ({ id }) => release(id, "a"),
      ({ id }, epoch) => report({ id, partition: 0, epoch }, { error: "no", position: null, isFatal: true })
    ]
    for (const end of ends) {
      const { owned, version } = yield* ownedOne(store)
      const stream = freshStream()
      const [result] = yield* whileOpen(
        (effect: Effect.Effect<unknown, any>) => version.moveWith(owned, 5, effect),
        store.append(stream, notes("a")),
        end(version, owned.epoch)
      )
      equal(result, Result.succeed(Option.none()))
      equal(yield* texts(store, stream), [])
      equal(yield* version.positions, [0])
    }
  })

  rule(
    "moves on though its lease was extended, or ran out, or another partition was moved meanwhile",
    function*(store) {
      const version = yield* makeVersion(store, { partitions: 2 })
      const [first, second] = yield* version.own("a")
      const traces = yield* tracesOf(store, version)
      const [result] = yield* whileOpen(
        (effect: Effect.Effect<void, any>) => version.moveWith(first!, 5, effect, { now: begin + 9000 }),
        traces.leave,
        Effect.andThen(version.claim("a", begin + 500, Duration.seconds(2)), version.move(second!, 7))
      )
      equal(result, Result.succeed(Option.some(undefined)))
      equal(yield* traces.left, "all")
      equal(yield* version.positions, [5, 7])
    }
  )

  rule("shows nothing of it to others before it ends", function*(store) {
    const { owned, traces, version } = yield* ownedOne(store)
    const [result, left] = yield* whileOpen(
      (effect: Effect.Effect<void, any>) => version.moveWith(owned, 5, effect),
      traces.leave,
      Effect.zip(traces.left, version.positions)
    )
    equal(left, ["nothing", [0]])
    assert.isTrue(Result.isSuccess(result))
    equal([yield* traces.left, yield* version.positions], ["all", [5]])
  })
}
