import { assert } from "@effect/vitest"
import { Effect, Option, Result } from "effect"
import type { Owned } from "./projectionStorageVersion.ts"
import { makeVersion, movedTo, storageOf, tracesOf, whileOpen } from "./projectionStorageVersion.ts"
import { begin } from "./queue.ts"
import { equal, has, type Rules, skip } from "./rule.ts"

/** Another number of partitions, without an event that is left out or handled twice. */
export const projectionStorageRepartitionRules: Rules = (rule, { transactions }) => {
  rule("changes the number of partitions where all have come as far as the first one", function*(store) {
    const version = yield* makeVersion(store, { partitions: 3, start: 2 })
    const before = yield* version.own("a")
    yield* version.move(before[1]!, 10, { isCaughtUp: true })
    equal(yield* storageOf(store).repartition(version.id, 5), true)
    has(yield* version.state(), { repartitionTo: 5 })
    equal((yield* version.state()).partitions.length, 3)
    // whoever does not know yet is stopped
    equal(yield* version.move(before[0]!, 12), false)
    equal(yield* version.move(movedTo(before[1]!, 10), 12), false)

    const claimed = yield* version.claim("a")
    equal([claimed.stopAt, claimed.partitions.length], [10, 3])
    for (const [i, { epoch }] of claimed.partitions.entries()) assert.isAbove(epoch, before[i]!.epoch)
    const traces = yield* tracesOf(store, version)
    for (const owned of claimed.partitions) equal(yield* version.moveWith(owned, 11, traces.leave), Option.none())
    equal(yield* traces.left, "nothing")
    equal(yield* version.move(claimed.partitions[0]!, 6, { isCaughtUp: true }), true)
    equal(yield* version.move(claimed.partitions[2]!, 10, { isCaughtUp: true }), true)
    equal((yield* version.own("a")).map(({ of, position }) => [of, position]), [[3, 6], [3, 10], [3, 10]])
    equal(yield* version.move(movedTo(claimed.partitions[0]!, 6), 10, { isCaughtUp: true }), true)

    const after = yield* version.claim("a")
    equal(after.stopAt, null)
    equal(
      after.partitions.map(({ of, partition, position }) => [partition, of, position]),
      [0, 1, 2, 3, 4].map((partition) => [partition, 5, 10])
    )
    has(yield* version.state(), { repartitionTo: null, stage: "building", status: "running" })
    for (const owned of after.partitions) equal(yield* version.move(owned, 20), true)
    // an epoch of before is none of a partition of the same number now
    for (const owned of claimed.partitions) equal(yield* version.move(movedTo(owned, 20), 30), false)
    const handled = (yield* version.state()).partitions.reduce((sum, { handled }) => sum + handled, 0)
    equal(handled, 3 * 8 + 5 * 10)
  })

  rule("never uses an epoch twice for a partition, whatever the number of partitions was meanwhile", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const known = new Set<string>()
    const note = (owned: ReadonlyArray<Owned>) => {
      for (const { epoch, partition } of owned) {
        const name = `${partition} ${epoch}`
        assert.isFalse(known.has(name), `epoch ${epoch} of partition ${partition} stands for two owners`)
        known.add(name)
      }
    }
    note(yield* version.own("a"))
    for (const [i, count] of [3, 1, 4, 2, 2, 5].entries()) {
      yield* storageOf(store).repartition(version.id, count)
      const owned = yield* version.own("a")
      equal(owned.length, count)
      note(owned)
      for (const one of owned) yield* version.move(one, i + 1)
      if (i === 3) {
        yield* storageOf(store).reset(version.id)
        const again = yield* version.own("a")
        note(again)
        for (const one of again) yield* version.move(one, i + 1)
      }
    }
  })

  rule("changes it at the next claim where all are at the same place already", function*(store) {
    const version = yield* makeVersion(store, { partitions: 1, start: 4 })
    const owned = yield* version.ownFirst("a")
    yield* version.move(owned, 9, { isCaughtUp: true })
    yield* storageOf(store).repartition(version.id, 3)
    const after = [...yield* version.own("b"), ...yield* version.own("a")]
    equal(after.map(({ isCaughtUp, position }) => [position, isCaughtUp]), [[9, true], [9, true], [9, true]])
    equal(yield* version.move(movedTo(owned, 9), 12), false)
  })

  rule("calls a change off where the number is to be what it is", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const [first] = yield* version.own("a")
    yield* version.move(first!, 5)
    yield* storageOf(store).repartition(version.id, 3)
    equal((yield* version.claim("a")).stopAt, 5)
    yield* storageOf(store).repartition(version.id, 2)
    const claimed = yield* version.claim("a")
    equal([claimed.stopAt, claimed.partitions.length], [null, 2])
    has(yield* version.state(), { repartitionTo: null })
    equal(yield* version.move(claimed.partitions[0]!, 8), true)
  })

  rule("takes the last one of several changes", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const [first, second] = yield* version.own("a")
    yield* version.move(first!, 5)
    yield* storageOf(store).repartition(version.id, 7)
    yield* storageOf(store).repartition(version.id, 4)
    has(yield* version.state(), { repartitionTo: 4 })
    const claimed = yield* version.claim("a")
    equal(claimed.stopAt, 5)
    equal(yield* version.move(second!, 5), false)
    equal(yield* version.move(claimed.partitions[1]!, 5), true)
    equal((yield* version.own("a")).map(({ of, position }) => [of, position]), Array.from({ length: 4 }, () => [4, 5]))
  })

  rule("keeps parked keys, and what version it is, when the number changes", function*(store) {
    const version = yield* makeVersion(store, { partitions: 1 })
    const owned = yield* version.ownFirst("a")
    yield* version.move(owned, 5, { park: [{ key: "k", position: 5, attempts: 2, error: "no" }] })
    yield* storageOf(store).repartition(version.id, 1000)
    const claimed = yield* version.claim("a")
    equal([claimed.partitions.length, claimed.parkedKeys], [1000, ["k"]])
    has(yield* version.state(), { id: version.id, isLive: true, parkedKeys: 1, parkedEvents: 1 })
  })

  const openRule = transactions === "concurrent" ? rule : skip
  openRule("leaves nothing of a batch in hand when the number is to change", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const [first] = yield* version.own("a")
    const traces = yield* tracesOf(store, version)
    const [result] = yield* whileOpen(
      (effect: Effect.Effect<void, any>) => version.moveWith(first!, 5, effect),
      traces.leave,
      Effect.andThen(storageOf(store).repartition(version.id, 3), version.claim("a", begin + 100))
    )
    equal(result, Result.succeed(Option.none()))
    equal(yield* traces.left, "nothing")
    equal((yield* version.own("a")).length, 3)
    equal(yield* version.positions, [0, 0, 0])
  })
}
