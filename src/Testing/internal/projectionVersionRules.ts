import { assert } from "@effect/vitest"
import { Effect, Fiber, Latch, Option, Schema } from "effect"
import * as Projection from "../../Projection/Projection.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore, until } from "./consuming.ts"
import { documentsOf, foldByHand, freshTexts, puts, type Texts, textsOf } from "./keyedTexts.ts"
import { freshProjection, otherStore, processed, project, stateOf, untilState } from "./projecting.ts"
import { equal, fails, freshName, has, type Rules, type Store } from "./rule.ts"

/** Money goes from one account to another: all together have none. */
class Sent extends Schema.TaggedClass<Sent>()("Sent", {
  from: Schema.String,
  to: Schema.String,
  amount: Schema.Int
}) {}

const accounts = ["a", "b", "c", "d"]

const freshPayments = () => Category.make(freshName(), { id: Schema.String, events: [Sent] })
type Payments = ReturnType<typeof freshPayments>

/** Says of which version a document is; `amount` is worth as much in each. */
const Balance = Schema.Struct({ version: Schema.Int, amount: Schema.Int })

const balancesOf = (name: string, from: Payments, version: number) =>
  Projection.documents(name, {
    version,
    from,
    state: Balance,
    older: Object.fromEntries(Array.from({ length: version - 1 }, (_, i) => [i + 1, Balance])),
    key: ({ event }) => [event.from, event.to],
    initial: () => ({ version, amount: 0 }),
    evolve: {
      Sent: ({ amount }, { event }, key) => ({
        version,
        amount: amount + (key === event.to ? event.amount : 0) - (key === event.from ? event.amount : 0)
      })
    }
  })

/** Sends money to and fro until it is stopped. */
const send = (store: Store, from: Payments) =>
  Effect.gen(function*() {
    let isOver = false
    const fiber = yield* Effect.forkScoped(Effect.gen(function*() {
      for (let i = 0; !isOver; i++) {
        // slower than a new version, which has to catch up with it
        yield* Effect.sleep(10)
        const events = accounts.map((account, k) =>
          new Sent({ from: account, to: accounts[(k + 1 + i % 3) % accounts.length]!, amount: i * 7 % 11 + k })
        )
        yield* store.append(from.stream(String(i % 3)), events)
      }
    }))
    return Effect.suspend(() => {
      isOver = true
      return Fiber.join(fiber)
    })
  })

/** Reads all the time what the projection says, and keeps what each answer looked like. */
const read = (store: Store, texts: ReturnType<typeof balancesOf>) =>
  Effect.gen(function*() {
    const seen: Array<number> = []
    const problems: Array<string> = []
    let isOver = false
    const fiber = yield* Effect.forkScoped(
      Effect.gen(function*() {
        while (!isOver) {
          const found = [...(yield* inStore(store)(Projection.getMany(texts, accounts))).values()]
          const versions = new Set(found.map(({ version }) => version))
          const sum = found.reduce((sum, { amount }) => sum + amount, 0)
          if (versions.size > 1) problems.push(`an answer of the versions ${[...versions]}`)
          if (sum !== 0) problems.push(`a sum of ${sum} in ${JSON.stringify(found)}`)
          for (const version of versions) if (seen.at(-1) !== version) seen.push(version)
          yield* Effect.sleep(1)
        }
      }).pipe(Effect.tapCause((cause) => Effect.sync(() => problems.push(String(cause)))))
    )
    return {
      /** The versions it saw, in order. */
      seen,
      untilSeen: (version: number) => until(`version ${version}`, () => seen.at(-1) === version || problems.length > 0),
      stop: Effect.suspend(() => {
        isOver = true
        return Effect.map(Fiber.await(fiber), () => equal(problems, []))
      })
    }
  })

const assertFolded = (store: Store, name: string, from: Texts, version: number, mark?: string) =>
  Effect.gen(function*() {
    yield* processed(store, name, version)
    const { id } = yield* stateOf(store, name, version)
    equal(yield* documentsOf(store, id), yield* foldByHand(store, from, { mark: mark ?? "" }))
  })

export const projectionVersionRules: Rules = (rule) => {
  rule("builds a new version beside the live one, and makes it live when it has caught up", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const [slow, run] = [yield* Latch.make(), inStore(store)]
    const [old, next] = [textsOf(name, from), textsOf(name, from, { version: 2, mark: "new " })]
    yield* store.append(from.stream("1"), puts("a", "1", "2"))
    const runner = yield* project(store, old)
    yield* processed(store, name)
    const held = yield* otherStore(
      store,
      ({ at, call }) => call === "projections.advanceWith" && at === "before" ? slow.await : Effect.void
    )
    yield* project(held, next, { partitions: 2 })
    yield* untilState(store, name, ({ stage }) => stage === "building", 2)
    yield* store.append(from.stream("1"), puts("a", "3"))
    yield* processed(store, name, 1)
    for (const texts of [old, next]) equal(yield* run(Projection.get(texts, "a")), Option.some(["1", "2", "3"]))
    has(yield* stateOf(store, name), { version: 1, isLive: true })
    yield* slow.open
    yield* untilState(store, name, ({ version }) => version === 2)
    // both go on
    yield* store.append(from.stream("1"), puts("b", "4"))
    yield* assertFolded(store, name, from, 1)
    yield* assertFolded(store, name, from, 2, "new ")
    equal(yield* run(Projection.get(next, "b")), Option.some(["new 4"]))
    // a program that does not know it yet is told so
    has(yield* fails(run(Projection.get(old, "b")), "VersionUnreadable"), { projection: name, version: 2, declared: 1 })
    assert.isTrue(runner.isRunning())
  })

  rule("switches by itself once only: who went back stays there", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    const next = textsOf(name, from, { version: 2 })
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    const runner = yield* project(store, next)
    yield* untilState(store, name, ({ version }) => version === 2)
    equal(yield* run(Projection.rollBack(name)), 1)
    yield* store.append(from.stream("1"), puts("a", "2"))
    yield* processed(store, name, 2)
    yield* runner.stop
    yield* project(yield* otherStore(store), next)
    yield* store.append(from.stream("1"), puts("a", "3"))
    yield* processed(store, name, 2)
    yield* Effect.sleep(50)
    has(yield* stateOf(store, name), { version: 1 })
    // forth again, by hand
    yield* run(Projection.switchTo(name, 2))
    has(yield* stateOf(store, name), { version: 2 })
    // and back, however often somebody asks
    equal(yield* run(Projection.rollBack(name, { from: 2 })), 1)
    equal(yield* run(Projection.rollBack(name, { from: 2 })), 1)
    has(yield* stateOf(store, name), { version: 1 })
  })

  rule("waits for the operator where that is asked for, and refuses a version that is behind", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const [run, slow] = [inStore(store), yield* Latch.make()]
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    const held = yield* otherStore(
      store,
      ({ at, call }) => call === "projections.advanceWith" && at === "before" ? slow.await : Effect.void
    )
    yield* project(held, textsOf(name, from, { version: 2 }), { switch: "manual" })
    yield* untilState(store, name, ({ stage }) => stage === "building", 2)
    has(yield* fails(run(Projection.switchTo(name, 2)), "VersionBehind"), { projection: name, version: 2 })
    has(yield* fails(run(Projection.switchTo(name, 3)), "ProjectionNotFound"), { projection: name })
    yield* slow.open
    yield* untilState(store, name, ({ stage }) => stage === "ready", 2)
    yield* Effect.sleep(50)
    has(yield* stateOf(store, name), { version: 1 })
    yield* run(Projection.switchTo(name, 2))
    has(yield* stateOf(store, name), { version: 2 })
    yield* run(Projection.switchTo(name, 2))
    has(yield* stateOf(store, name), { version: 2 })
  })

  rule("drops a version that is not live, with all it keeps, and ends its runners", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    yield* store.append(from.stream("1"), puts("a", "1"))
    const runner = yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    has(yield* fails(run(Projection.drop(name, 1)), "VersionIsLive"), { projection: name, version: 1 })
    yield* project(store, textsOf(name, from, { version: 2 }))
    yield* untilState(store, name, ({ version }) => version === 2)
    const { id } = yield* stateOf(store, name, 1)
    yield* run(Projection.drop(name, 1))
    equal(yield* documentsOf(store, id), {})
    equal((yield* store.storage.projections.states(name, undefined)).map(({ version }) => version), [2])
    has(yield* fails(run(Projection.drop(name, 1)), "ProjectionNotFound"), { projection: name })
    yield* store.append(from.stream("1"), puts("a", "2"))
    yield* until("the end of its runner", () => !runner.isRunning())
    yield* assertFolded(store, name, from, 2)
  })

  rule("runs an older version than the live one as one of those beside it", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    yield* store.append(from.stream("1"), puts("a", "1"))
    yield* project(store, textsOf(name, from, { version: 2 }))
    yield* processed(store, name)
    yield* project(store, textsOf(name, from), { switch: "manual" })
    yield* assertFolded(store, name, from, 1)
    has(yield* stateOf(store, name), { version: 2 })
  })

  rule(
    "answers readers all the time with one version, whole, while it is built, switched to and left",
    function*(store) {
      const [from, name] = [freshPayments(), freshProjection()]
      const versions = [1, 2, 3].map((version) => balancesOf(name, from, version))
      const run = inStore(store)
      const writer = yield* send(store, from)
      yield* project(store, versions[0]!, { batch: 5 })
      yield* untilState(store, name, ({ stage }) => stage === "ready")
      const readers = [yield* read(store, versions[2]!), yield* read(yield* otherStore(store), versions[2]!)]
      yield* Effect.forEach(readers, ({ untilSeen }) => untilSeen(1))
      for (const version of [2, 3]) {
        yield* project(yield* otherStore(store), versions[version - 1]!, { batch: 5 })
        yield* Effect.forEach(readers, ({ untilSeen }) => untilSeen(version))
        yield* run(Projection.rollBack(name))
        yield* Effect.forEach(readers, ({ untilSeen }) => untilSeen(version - 1))
        yield* until("a switch", () =>
          run(Projection.switchTo(name, version)).pipe(
            Effect.as(true),
            Effect.catchTag("VersionBehind", () => Effect.succeed(false))
          ))
        yield* Effect.forEach(readers, ({ untilSeen }) => untilSeen(version))
        yield* run(Projection.drop(name, version - 1))
      }
      yield* writer
      yield* Effect.forEach(readers, ({ stop }) => stop)
      for (const { seen } of readers) equal(seen, [1, 2, 1, 2, 3, 2, 3])
    }
  )

  rule("waits for the live version, also when that becomes another one", function*(store) {
    const [from, name] = [freshTexts(), freshProjection()]
    const run = inStore(store)
    yield* store.append(from.stream("1"), puts("a", "1"))
    const old = yield* project(store, textsOf(name, from))
    yield* processed(store, name)
    yield* old.stop
    const { position } = yield* store.append(from.stream("1"), puts("a", "2"))
    const waiting = yield* Effect.forkChild(run(Projection.awaitProcessed(name, position)))
    yield* project(store, textsOf(name, from, { version: 2 }))
    yield* Fiber.join(waiting)
    has(yield* stateOf(store, name), { version: 2 })
  })
}
