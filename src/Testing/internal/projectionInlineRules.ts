import { Effect, Exit, Fiber, Option } from "effect"
import * as Projection from "../../Projection/Projection.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore, until } from "./consuming.ts"
import {
  documentsOf,
  foldByHand,
  freshTexts,
  oldDebugged,
  oldPutBoth,
  put,
  puts,
  Removed,
  textsOf,
  unreadable
} from "./keyedTexts.ts"
import { freshProjection, otherStore, project, stateOf, untilState } from "./projecting.ts"
import { equal, fails, has, type Rules, type Store, together } from "./rule.ts"

/** Waits until appends apply a version. */
const applied = (store: Store, name: string, version = 1) =>
  untilState(store, name, ({ isApplied, isLive }) => isApplied && isLive, version)

export const projectionInlineRules: Rules = (rule) => {
  rule("handles what was stored before, and from then on with each append", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    yield* store.append(from.stream("1"), [...puts("a", "1"), ...puts("b", "2")])
    const texts = textsOf(name, from, { mode: "inline" })
    yield* project(store, texts)
    yield* applied(store, name)
    const { position } = yield* store.append(from.stream("2"), [put("3", "a", "b"), new Removed({ key: "b" })])
    equal(yield* run(Projection.get(texts, "a")), Option.some(["1", "3"]))
    equal(yield* run(Projection.get(texts, "b")), Option.none())
    yield* run(Projection.awaitProcessed(texts, position, { timeout: "10 millis" }))
    has(yield* run(Projection.status(texts)), { isApplied: true, position, head: position, lag: 0, stage: "ready" })
  })

  rule("handles each event that a stored one reads as, also with its append", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* project(store, textsOf(name, from, { mode: "inline" }))
    yield* applied(store, name)
    const raw = Category.rawStream(from.stream("1").streamId)
    yield* store.append(raw, [oldDebugged])
    yield* store.append(raw, [oldPutBoth("1", "a", "b", "a"), oldDebugged])
    equal(yield* documentsOf(store, (yield* stateOf(store, name)).id), { a: ["1/0", "1/2"], b: ["1/1"] })
  })

  rule("refuses an append that it cannot handle, and one that does not decode", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* project(store, textsOf(name, from, { mode: "inline", broken: new Set(["broken"]) }))
    yield* applied(store, name)
    yield* store.append(from.stream("1"), puts("a", "1"))
    const error = yield* fails(store.append(from.stream("1"), puts("a", "2", "broken")), "InlineProjectionFailed")
    has(error, { projection: name, version: 1 })
    has(error.cause as Error, { message: "broken is broken" })
    const raw = Category.rawStream(from.stream("1").streamId)
    const undecoded = yield* fails(store.append(raw, [unreadable]), "InlineProjectionFailed")
    has(undecoded.cause as object, { streamId: raw.streamId, streamVersion: 2 })
    yield* store.append(from.stream("1"), puts("a", "2"), { expected: 1 })
    equal(yield* documentsOf(store, (yield* stateOf(store, name)).id), { a: ["1", "2"] })
    equal((yield* stateOf(store, name)).status, "running")
  })

  rule("comes into force under writers, and equals the fold of the log", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const other = yield* otherStore(store)
    const texts = textsOf(name, from, { mode: "inline" })
    let count = 0
    let writing = true
    const writers = yield* Effect.forkChild(together(8, (i) =>
      Effect.gen(function*() {
        for (let n = 0; writing; n++) {
          const process = (i + n) % 2 === 0 ? store : other
          yield* Effect.retry(
            process.append(from.stream(`${n % 3}`), [put(`${i}/${n}`, `${i % 3}`, `${n % 4}`)]),
            // a process may begin to run it a moment after the other one
            { while: ({ _tag }) => _tag === "InlineProjectionMissing" }
          )
          count++
          yield* Effect.sleep(1)
        }
      })))
    yield* until("writers to write", () => count > 50)
    yield* project(store, texts)
    yield* project(other, texts)
    yield* applied(store, name)
    const begun = count
    yield* until("writers to write", () => count > begun + 50)
    writing = false
    yield* Fiber.join(writers)
    equal(yield* documentsOf(store, (yield* stateOf(store, name)).id), yield* foldByHand(store, from))
  })

  rule("is asked for as long as it is live, whether it runs or not", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const texts = textsOf(name, from, { mode: "inline" })
    const runner = yield* project(store, texts)
    yield* applied(store, name)
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* runner.stop
    const error = yield* fails(store.append(from.stream("1"), puts("a", "2")), "InlineProjectionMissing")
    equal(error.projections, [{ name, version: 1 }])
    yield* project(store, texts)
    yield* until(
      "it to run",
      () => Effect.map(Effect.exit(store.append(from.stream("1"), puts("a", "2"))), Exit.isSuccess)
    )
    equal(yield* documentsOf(store, (yield* stateOf(store, name)).id), { a: ["1", "2"] })
  })

  rule("catches up when it is resumed, and is applied again", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const [run, other] = [inStore(store), yield* otherStore(store)]
    yield* project(store, textsOf(name, from, { mode: "inline" }))
    yield* applied(store, name)
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* run(Projection.pause(name))
    yield* store.append(from.stream("1"), puts("a", "2"))
    yield* other.append(from.stream("1"), puts("a", "3"))
    const { id } = yield* stateOf(store, name)
    equal(yield* documentsOf(store, id), { a: ["1"] })
    has(yield* stateOf(store, name), { isApplied: false, status: "paused" })
    yield* run(Projection.resume(name))
    yield* applied(store, name)
    yield* store.append(from.stream("1"), puts("a", "4"))
    equal(yield* documentsOf(store, id), { a: ["1", "2", "3", "4"] })
    yield* fails(other.append(from.stream("1"), puts("a", "5")), "InlineProjectionMissing")
  })

  rule("builds another version beside it, switches to it and back, and drops it", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const [run, other] = [inStore(store), yield* otherStore(store)]
    const versionOf = (version: number) => textsOf(name, from, { mode: "inline", version, mark: `${version}:` })
    const [first, second] = [versionOf(1), versionOf(2)]
    yield* project(other, first)
    yield* project(store, first)
    yield* applied(store, name)
    yield* store.append(from.stream("1"), puts("a", "1"))
    const next = yield* project(store, second, { switch: "manual" })
    yield* untilState(store, name, ({ stage }) => stage === "ready", 2)
    yield* other.append(from.stream("1"), puts("a", "2"))
    equal(yield* run(Projection.get(first, "a")), Option.some(["1:1", "1:2"]))

    equal(yield* run(Projection.switchTo(name, 2)), "wanted")
    yield* applied(store, name, 2)
    yield* store.append(from.stream("1"), puts("a", "3"))
    equal(yield* run(Projection.get(second, "a")), Option.some(["2:1", "2:2", "2:3"]))
    const missing = yield* fails(other.append(from.stream("1"), puts("a", "4")), "InlineProjectionMissing")
    equal(missing.projections, [{ name, version: 2 }])

    equal(yield* run(Projection.rollBack(name)), 1)
    yield* applied(store, name, 1)
    yield* other.append(from.stream("1"), puts("a", "4"))
    equal(yield* run(Projection.get(first, "a")), Option.some(["1:1", "1:2", "1:3", "1:4"]))

    yield* run(Projection.drop(name, 2))
    yield* fails(Effect.flatten(next.end), "ProjectionDropped")
    yield* store.append(from.stream("1"), puts("a", "5"))
    equal(yield* run(Projection.get(first, "a")), Option.some(["1:1", "1:2", "1:3", "1:4", "1:5"]))
  })

  rule("is built anew when it is reset, and applied again", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    yield* project(store, textsOf(name, from, { mode: "inline" }))
    yield* applied(store, name)
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    yield* run(Projection.reset(name))
    yield* store.append(from.stream("1"), puts("a", "3"))
    yield* applied(store, name)
    yield* store.append(from.stream("1"), puts("a", "4"))
    equal(yield* documentsOf(store, (yield* stateOf(store, name)).id), { a: ["1", "2", "3", "4"] })
  })

  rule("has middleware around what an append does to it", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const seen: Array<readonly [boolean, number]> = []
    yield* project(store, textsOf(name, from, { mode: "inline" }), {
      middleware: (apply) => (batch) => {
        seen.push([batch.isRebuild, batch.events.length])
        return apply(batch)
      }
    })
    yield* applied(store, name)
    seen.length = 0
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    equal(seen, [[false, 2]])
  })
}
