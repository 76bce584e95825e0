import { Deferred, Effect, Fiber, Option } from "effect"
import { catchUp, makeVersion, movedTo, storageOf, tracesOf } from "./projectionStorageVersion.ts"
import { begin } from "./queue.ts"
import { equal, fails, freshStream, has, notes, type Rules, skip, texts, together } from "./rule.ts"

/** Setting a version up once, and making it ready once it has caught up. */
export const projectionStorageCompleteRules: Rules = (rule, { transactions }) => {
  rule("sets a version up once, together with what that leaves", function*(store) {
    const version = yield* makeVersion(store)
    const { setUpWith } = storageOf(store)
    const traces = yield* tracesOf(store, version)
    equal((yield* version.claim("a")).isSetUp, false)
    equal(yield* setUpWith(version.id, traces.leave), true)
    equal(yield* traces.left, "all")
    equal((yield* version.claim("a")).isSetUp, true)
    has(yield* version.state(), { isSetUp: true, stage: "building" })
    equal(yield* setUpWith(version.id, Effect.die("it was run")), false)
  })

  rule("sets a version up once where several do at the same time", function*(store) {
    const version = yield* makeVersion(store)
    const stream = freshStream()
    const answers = yield* together(
      8,
      (i) =>
        storageOf(store).setUpWith(version.id, Effect.andThen(store.append(stream, notes(String(i))), Effect.yieldNow))
    )
    equal(answers.filter((answer) => answer).length, 1)
    equal(yield* texts(store, stream), [String(answers.indexOf(true))])
  })

  rule("leaves nothing of a version's setup that fails, and lets another one try", function*(store) {
    const version = yield* makeVersion(store)
    const { setUpWith } = storageOf(store)
    const traces = yield* tracesOf(store, version)
    const failing = Effect.andThen(traces.leave, Effect.fail({ _tag: "OnPurpose" } as const))
    yield* fails(setUpWith(version.id, failing), "OnPurpose")
    equal(yield* traces.left, "nothing")
    has(yield* version.state(), { isSetUp: false })
    const first = setUpWith(version.id, Effect.andThen(Effect.yieldNow, failing))
    const [, second] = yield* Effect.all([Effect.exit(first), setUpWith(version.id, traces.leave)], { concurrency: 2 })
    equal(second, true)
    equal(yield* traces.left, "all")
  })

  rule("sets a version up that is reset", function*(store) {
    const version = yield* makeVersion(store)
    const { reset, setUpWith } = storageOf(store)
    equal(yield* setUpWith(version.id, Effect.void), true)
    yield* reset(version.id)
    has(yield* version.state(), { isSetUp: false })
    equal(yield* setUpWith(version.id, Effect.void), true)
  })

  rule("makes a version ready that has caught up with all partitions, once", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const { completeWith } = storageOf(store)
    const traces = yield* tracesOf(store, version)
    const completing = completeWith(version.id, { isSwitching: false }, () => traces.leave)
    const [first, second] = yield* version.own("a")
    equal(yield* completing, false)
    yield* version.move(first!, 5, { isCaughtUp: true })
    equal(yield* completing, false)
    equal(yield* traces.left, "nothing")
    has(yield* version.state(), { stage: "building" })
    yield* version.move(second!, 4, { isCaughtUp: true })
    equal(yield* completing, true)
    equal(yield* traces.left, "all")
    has(yield* version.state(), { stage: "ready", isLive: true })
    equal((yield* version.claim("a")).stage, "ready")
    const again = completeWith(version.id, { isSwitching: true }, () => Effect.die("it was run"))
    equal(yield* again, true)
    equal(yield* version.move(movedTo(first!, 5), 9), true)
    equal(yield* again, true)
  })

  rule("makes the indexes of a version once, when it has caught up, and again after a reset", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const { indexWith, reset } = storageOf(store)
    const traces = yield* tracesOf(store, version)
    const [first, second] = yield* version.own("a")
    yield* version.move(first!, 5, { isCaughtUp: true })
    equal(yield* indexWith(version.id, Effect.die("it was run")), false)
    yield* version.move(second!, 5, { isCaughtUp: true })
    yield* fails(indexWith(version.id, Effect.andThen(traces.leave, Effect.fail({ _tag: "No" } as const))), "No")
    equal(yield* traces.left, "nothing")
    equal(yield* indexWith(version.id, traces.leave), true)
    equal(yield* traces.left, "all")
    equal(yield* indexWith(version.id, Effect.die("it was run")), true)
    has(yield* version.state(), { stage: "building" })
    yield* reset(version.id)
    equal(yield* indexWith(version.id, Effect.die("it was run")), false)
    yield* catchUp(version, "a")
    let isRun = false
    equal(yield* indexWith(version.id, Effect.sync(() => isRun = true)), true)
    equal(isRun, true)
  })

  rule("hands no events to what completes a version that is not inline", function*(store) {
    yield* store.append(freshStream(), notes("a"))
    const version = yield* makeVersion(store)
    yield* catchUp(version, "a")
    let missing: number | undefined
    yield* storageOf(store).completeWith(version.id, { isSwitching: true }, (events) =>
      Effect.sync(() => {
        missing = events.length
      }))
    equal(missing, 0)
  })

  rule("leaves nothing of a completion that fails, and lets another one try", function*(store) {
    const version = yield* makeVersion(store)
    const { completeWith } = storageOf(store)
    const traces = yield* tracesOf(store, version)
    yield* catchUp(version, "a")
    const failing = Effect.andThen(traces.leave, Effect.fail({ _tag: "OnPurpose" } as const))
    yield* fails(completeWith(version.id, { isSwitching: true }, () => failing), "OnPurpose")
    equal(yield* traces.left, "nothing")
    has(yield* version.state(), { stage: "building" })
    equal(yield* completeWith(version.id, { isSwitching: true }, () => traces.leave), true)
    equal(yield* traces.left, "all")
  })

  rule("runs the completion of a version once where several complete it at the same time", function*(store) {
    const live = yield* makeVersion(store)
    const version = yield* makeVersion(store, { name: live.name, version: 2 })
    yield* catchUp(version, "a")
    const stream = freshStream()
    const answers = yield* together(
      6,
      (i) =>
        storageOf(store).completeWith(
          version.id,
          { isSwitching: true },
          () => Effect.andThen(store.append(stream, notes(String(i))), Effect.yieldNow)
        )
    )
    equal(answers, Array.from({ length: 6 }, () => true))
    equal((yield* texts(store, stream)).length, 1)
  })

  rule("switches to a version with its completion, and not to one that is behind the live one", function*(store) {
    const live = yield* makeVersion(store)
    const next = yield* makeVersion(store, { name: live.name, version: 2 })
    const { completeWith, progress } = storageOf(store)
    const traces = yield* tracesOf(store, next)
    const switching = completeWith(next.id, { isSwitching: true }, () => traces.leave)
    yield* live.move(yield* live.ownFirst("a"), 10)
    const owned = yield* next.ownFirst("b")
    yield* next.move(owned, 9, { isCaughtUp: true })
    equal(yield* switching, false)
    equal(yield* traces.left, "nothing")
    has(yield* next.state(), { stage: "building", isLive: false })
    equal(yield* next.move(movedTo(owned, 9), 10, { isCaughtUp: true }), true)
    equal(yield* switching, true)
    equal(yield* traces.left, "all")
    has(yield* next.state(), { isLive: true })
    has(yield* live.state(), { isLive: false, stage: "building", status: "running" })
    equal(yield* progress(live.name), { version: 2, position: 10 })
    equal((yield* next.claim("b")).isLive, true)
    equal(yield* storageOf(store).rollBack(live.name), 1)
  })

  rule("makes nothing live that was ready before, unless that was asked for", function*(store) {
    const live = yield* makeVersion(store)
    const next = yield* makeVersion(store, { name: live.name, version: 2 })
    const { completeWith, rollBack } = storageOf(store)
    yield* catchUp(next, "a")
    equal(yield* completeWith(next.id, { isSwitching: false }, () => Effect.void), true)
    // a runner that is late, as it may not know what an operator did since
    const late = completeWith(next.id, { isSwitching: true }, () => Effect.die("it was run"))
    equal(yield* late, true)
    has(yield* next.state(), { stage: "ready", isLive: false })
    equal(yield* storageOf(store).switchTo(next.id), "switched")
    equal(yield* late, true)
    equal(yield* rollBack(live.name), 1)
    equal(yield* late, true)
    has(yield* next.state(), { stage: "ready", isLive: false })
    has(yield* live.state(), { isLive: true })
  })

  const openRule = transactions === "concurrent" ? rule : skip
  openRule("lets others wait while a version is set up", function*(store) {
    const version = yield* makeVersion(store)
    const { setUpWith } = storageOf(store)
    const [opened, seen] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const order: Array<string> = []
    const effect = Effect.andThen(Deferred.succeed(opened, undefined), Deferred.await(seen))
    const first = yield* Effect.forkChild(setUpWith(version.id, effect))
    yield* Deferred.await(opened)
    const waiting = yield* Effect.forkChild(
      Effect.tap(setUpWith(version.id, Effect.die("it was run")), () => Effect.sync(() => order.push("second")))
    )
    // what else goes on meanwhile
    yield* version.claim("a", begin)
    yield* store.append(freshStream(), notes("a"))
    equal(order, [])
    order.push("first")
    yield* Deferred.succeed(seen, undefined)
    equal([yield* Fiber.join(first), yield* Fiber.join(waiting)], [true, false])
    equal(order, ["first", "second"])
  })

  openRule("lets who waits to set a version up be interrupted", function*(store) {
    const version = yield* makeVersion(store)
    const { setUpWith } = storageOf(store)
    const [opened, seen] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const effect = Effect.andThen(Deferred.succeed(opened, undefined), Deferred.await(seen))
    const first = yield* Effect.forkChild(setUpWith(version.id, effect))
    yield* Deferred.await(opened)
    const waiting = yield* Effect.forkChild(setUpWith(version.id, Effect.die("it was run")))
    yield* version.claim("a", begin)
    yield* Fiber.interrupt(waiting)
    equal(Option.isSome(Option.fromNullishOr(waiting.pollUnsafe())), true)
    yield* Deferred.succeed(seen, undefined)
    equal(yield* Fiber.join(first), true)
    equal(yield* setUpWith(version.id, Effect.die("it was run")), false)
  })
}
