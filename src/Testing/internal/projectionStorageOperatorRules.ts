import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { catchUp, complete, makeVersion, movedTo, storageOf, type Version } from "./projectionStorageVersion.ts"
import { begin } from "./queue.ts"
import { equal, freshName, freshStream, has, notes, type Rules, type Store } from "./rule.ts"

/** A live version and a ready one beside it, both at a place. */
const twoVersions = Effect.fnUntraced(function*(store: Store, position = 5) {
  const live = yield* makeVersion(store, { start: position })
  const next = yield* makeVersion(store, { name: live.name, version: 2, start: position })
  for (const version of [live, next]) {
    yield* catchUp(version, "a")
    equal(yield* complete(store, version, false), [true, []])
  }
  return { live, next }
})

/** Those who work on a version are refused, and learn by another claim under which epoch to go on. */
const looksAgain = (version: Version, effect: Effect.Effect<unknown, any>) =>
  Effect.gen(function*() {
    const owned = yield* version.ownFirst("a")
    yield* effect
    equal(yield* version.move(owned, owned.position + 1), false)
    const [again] = yield* version.own("a")
    if (again === undefined) return
    assert.isAbove(again.epoch, owned.epoch)
    equal(yield* version.move(again, again.position + 1), true)
  })

const liveOf = (store: Store, name: string) =>
  Effect.map(
    storageOf(store).states(name, begin),
    (states) => states.filter(({ isLive }) => isLive).map(({ version }) => version)
  )

/** What operators do with a version. */
export const projectionStorageOperatorRules: Rules = (rule) => {
  rule("hands out nothing of a version that is paused, until it is resumed", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const { pause, resume } = storageOf(store)
    const [owned] = yield* version.own("a")
    yield* version.move(owned!, 5)
    equal(yield* pause(version.id), true)
    has(yield* version.state(), { status: "paused", stage: "building", isLive: true })
    const paused = yield* version.claim("a")
    equal([paused.partitions, paused.surplus, paused.status], [[], 0, "paused"])
    equal(yield* version.move(movedTo(owned!, 5), 6), false)
    equal(yield* pause(version.id), true)
    equal(yield* resume(version.id), true)
    has(yield* version.state(), { status: "running" })
    const resumed = yield* version.own("a")
    equal(resumed.map(({ position }) => position), [5, 0])
    assert.isAbove(resumed[0]!.epoch, owned!.epoch)
    equal(yield* version.move(resumed[0]!, 6), true)
    equal(yield* resume(version.id), true)
    equal((yield* version.own("a")).length, 2)
  })

  rule("makes owners look again when something is changed", function*(store) {
    const { pause, rollBack, repartition, resume, switchTo } = storageOf(store)
    const one = yield* makeVersion(store)
    yield* looksAgain(one, pause(one.id))
    yield* resume(one.id)
    yield* looksAgain(one, Effect.andThen(pause(one.id), resume(one.id)))
    yield* looksAgain(one, repartition(one.id, 3))
    for (const which of ["live", "next"] as const) {
      const both = yield* twoVersions(store)
      yield* looksAgain(both[which], switchTo(both.next.id))
      yield* looksAgain(both[which], rollBack(both.live.name))
    }
  })

  rule("hands out nothing of a version that failed, until it is resumed", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const { report, resume } = storageOf(store)
    const [first, second] = yield* version.own("a")
    const failure = { error: "it broke", position: 6, isFatal: true }
    yield* report({ id: version.id, partition: 0, epoch: first!.epoch }, failure)
    has(yield* version.state(), { status: "failed", error: "it broke", errorPosition: 6 })
    const claimed = yield* version.claim("a")
    equal([claimed.partitions, claimed.status], [[], "failed"])
    equal(yield* version.move(first!, 9), false)
    equal(yield* version.move(second!, 9), false)
    yield* report({ id: version.id, partition: 0, epoch: first!.epoch }, { ...failure, error: "late" })
    has(yield* version.state(), { error: "it broke" })
    equal(yield* resume(version.id), true)
    has(yield* version.state(), { status: "running", error: null, errorPosition: null })
    equal((yield* version.own("a")).length, 2)
  })

  rule("resets a version to where it began, with nothing of what it kept", function*(store) {
    const eventId = "0190a000-0000-7000-8000-000000000005"
    const { documents, links, parked, register, reset } = storageOf(store)
    const { position } = yield* store.append(freshStream(), notes("linked"))
    const live = yield* makeVersion(store)
    const other = yield* makeVersion(store, { name: live.name, version: 3 })
    yield* register({ ...live.definition, version: 2 }, 2, { position: 3, eventId })
    const version = yield* makeVersion(store, { name: live.name, version: 2 })
    yield* other.move(yield* other.ownFirst("a"), 4, { park: [{ key: "k", position: 4, attempts: 1, error: "no" }] })
    for (const { id } of [version, other]) {
      yield* documents.save(id, [{ key: "k", state: "1" }])
      yield* links.add(id, [{ key: "k", position }])
    }
    const [first, second] = yield* version.own("a")
    yield* version.move(first!, 9, { isCaughtUp: true, rate: 3 })
    yield* version.move(second!, 8, {
      isCaughtUp: true,
      park: [{ key: "k", position: 8, attempts: 1, error: "no" }]
    })
    equal(yield* complete(store, version, false), [true, []])

    equal(yield* reset(version.id), true)
    const { partitions, ...state } = yield* version.state()
    has(state, { id: version.id, stage: "building", isSetUp: false, status: "running", parkedKeys: 0, parkedEvents: 0 })
    equal(
      partitions.map(({ eventId, handled, isCaughtUp, position, rate }) => ({
        eventId,
        handled,
        isCaughtUp,
        position,
        rate
      })),
      [0, 1].map(() => ({ eventId, handled: 0, isCaughtUp: false, position: 3, rate: 0 }))
    )
    const page = { prefix: "", after: "", limit: 10 }
    equal(yield* documents.page(version.id, page), [])
    equal(yield* links.keys(version.id, page), [])
    equal(yield* parked(version.id, { key: undefined, after: 0, limit: 10 }), [])
    equal(yield* version.move(movedTo(first!, 9), 10), false)
    equal(yield* version.move(movedTo(first!, 3), 10), false)
    equal((yield* version.own("a")).map(({ position }) => position), [3, 3])

    equal(yield* documents.page(other.id, page), [{ key: "k", state: "1" }])
    equal(yield* links.keys(other.id, page), [{ key: "k", count: 1 }])
    has(yield* other.state(), { parkedEvents: 1 })
  })

  rule("keeps a live version live that is reset, and lets one go on that failed", function*(store) {
    const version = yield* makeVersion(store)
    const { report, reset } = storageOf(store)
    const { epoch } = yield* version.ownFirst("a")
    yield* report({ id: version.id, partition: 0, epoch }, { error: "no", position: 1, isFatal: true })
    yield* reset(version.id)
    has(yield* version.state(), { isLive: true, status: "running", error: null, errorPosition: null })
    equal((yield* version.own("a")).length, 1)
  })

  rule("switches to a version that is ready and not behind, and rolls back", function*(store) {
    const { live, next } = yield* twoVersions(store)
    const { documents, progress, rollBack, switchTo } = storageOf(store)
    yield* documents.save(live.id, [{ key: "k", state: "1" }])
    yield* documents.save(next.id, [{ key: "k", state: "2" }])
    const seen = Effect.map(documents.read(live.name, ["k"]), (read) => [read?.id, read?.version, read?.found.get("k")])
    equal(yield* liveOf(store, live.name), [1])
    equal(yield* seen, [live.id, 1, "1"])
    equal(yield* rollBack(live.name), undefined)

    equal(yield* switchTo(next.id), "switched")
    equal(yield* liveOf(store, live.name), [2])
    equal(yield* seen, [next.id, 2, "2"])
    equal(yield* progress(live.name), { version: 2, position: 5 })
    equal(yield* switchTo(next.id), "switched")
    equal(yield* rollBack(live.name), 1)
    equal(yield* seen, [live.id, 1, "1"])
    equal(yield* switchTo(next.id), "switched")
    equal(yield* seen, [next.id, 2, "2"])
  })

  rule("rolls back to a version that is behind by now", function*(store) {
    const { live, next } = yield* twoVersions(store)
    const { rollBack, switchTo } = storageOf(store)
    yield* switchTo(next.id)
    yield* next.move(yield* next.ownFirst("a"), 20)
    equal(yield* switchTo(live.id), "behind")
    equal(yield* rollBack(live.name), 1)
    equal(yield* liveOf(store, live.name), [1])
  })

  rule("does not switch to a version that is building, or behind the live one", function*(store) {
    const live = yield* makeVersion(store)
    const next = yield* makeVersion(store, { name: live.name, version: 2 })
    const { rollBack, switchTo } = storageOf(store)
    equal(yield* switchTo(next.id), "behind")
    yield* catchUp(next, "a")
    equal(yield* switchTo(next.id), "behind")
    equal(yield* complete(store, next, false), [true, []])
    yield* live.move(yield* live.ownFirst("a"), 1)
    equal(yield* switchTo(next.id), "behind")
    equal(yield* liveOf(store, live.name), [1])
    equal(yield* rollBack(live.name), undefined)
    yield* next.move(yield* next.ownFirst("a"), 1)
    equal(yield* switchTo(next.id), "switched")
  })

  rule("keeps one version live while many switch and roll back", function*(store) {
    const { live, next } = yield* twoVersions(store)
    const { rollBack, switchTo } = storageOf(store)
    for (let round = 0; round < 5; round++) {
      yield* Effect.all([
        switchTo(live.id),
        rollBack(live.name),
        switchTo(next.id),
        Effect.map(liveOf(store, live.name), (live) => equal(live.length, 1)),
        rollBack(live.name)
      ], { concurrency: "unbounded" })
      equal((yield* liveOf(store, live.name)).length, 1)
    }
  })

  rule("drops a version with all it kept, unless it is live", function*(store) {
    const { live, next } = yield* twoVersions(store)
    const { documents, drop, links, rollBack, switchTo } = storageOf(store)
    const key = freshName()
    const { position } = yield* store.append(freshStream(), notes("linked"))
    for (const { id } of [live, next]) {
      yield* documents.save(id, [{ key, state: "1" }])
      yield* links.add(id, [{ key, position }])
    }
    equal(yield* drop(live.id), "live")
    equal(yield* switchTo(next.id), "switched")
    equal(yield* drop(next.id), "live")
    equal(yield* drop(live.id), "dropped")
    equal(yield* live.find(begin), undefined)
    equal(yield* drop(live.id), "unknown")
    equal(yield* rollBack(live.name), undefined)
    equal(yield* documents.page(live.id, { prefix: "", after: "", limit: 10 }), [])
    equal(yield* documents.page(next.id, { prefix: "", after: "", limit: 10 }), [{ key, state: "1" }])
    equal(yield* links.keys(next.id, { prefix: "", after: "", limit: 10 }), [{ key, count: 1 }])
  })

  rule("drops the only version of a name, and the name with it, unless it is running", function*(store) {
    const version = yield* makeVersion(store, { version: 3 })
    const { drop, pause, progress, report, states } = storageOf(store)
    equal(yield* drop(version.id), "live")
    yield* pause(version.id)
    equal(yield* drop(version.id), "dropped")
    equal([yield* states(version.name, begin), yield* progress(version.name)], [[], undefined])
    const again = yield* makeVersion(store, { name: version.name })
    has(yield* again.state(), { isLive: true, status: "running", stage: "building" })
    const { epoch } = yield* again.ownFirst("a")
    yield* report({ id: again.id, partition: 0, epoch }, { error: "no", position: null, isFatal: true })
    equal(yield* drop(again.id), "dropped")
    const two = yield* twoVersions(store)
    yield* pause(two.live.id)
    equal(yield* drop(two.live.id), "live")
  })

  rule("makes a version anew under another id after it was dropped", function*(store) {
    const { live, next } = yield* twoVersions(store)
    const { documents, drop } = storageOf(store)
    yield* documents.save(next.id, [{ key: "k", state: "1" }])
    yield* drop(next.id)
    const again = yield* makeVersion(store, { name: live.name, version: 2, start: 1 })
    assert.notEqual(again.id, next.id)
    has(yield* again.state(), { stage: "building", isLive: false })
    equal(yield* again.positions, [1])
    equal(yield* again.documents, {})
  })
}
