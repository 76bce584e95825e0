import { assert } from "@effect/vitest"
import { Duration } from "effect"
import { makeVersion, movedTo, settleShares, storageOf } from "./projectionStorageVersion.ts"
import { begin } from "./queue.ts"
import { equal, freshStream, has, notes, type Rules, together } from "./rule.ts"

/** Who owns the partitions of a version, and for how long. */
export const projectionStorageClaimRules: Rules = (rule) => {
  rule("hands all partitions to the only runner, and keeps them with it", function*(store) {
    const version = yield* makeVersion(store, { partitions: 3, start: 7 })
    const claimed = yield* version.claim("a")
    const expected = { of: 3, epoch: 0, position: 7, eventId: null, isCaughtUp: false, handled: 0 }
    equal(
      claimed.partitions.map((owned) => ({ ...owned, epoch: 0 })),
      [0, 1, 2].map((partition) => ({ partition, ...expected }))
    )
    equal({ ...claimed, partitions: [] }, {
      partitions: [],
      surplus: 0,
      status: "running",
      stage: "building",
      isSetUp: false,
      isLive: true,
      isApplied: false,
      isSwitchWanted: false,
      stopAt: null,
      parkedKeys: [],
      replays: [],
      nextIn: undefined
    })
    equal((yield* version.state()).partitions.map(({ owner }) => owner), ["a", "a", "a"])
    equal((yield* version.state()).partitions.map(({ epoch }) => epoch), claimed.partitions.map(({ epoch }) => epoch))
    // who still has its lease has its epochs, too
    equal(yield* version.claim("a", begin + 900), claimed)
    equal(yield* version.claim("a", begin + 1800), claimed)
  })

  rule(
    "shares partitions evenly among the runners that are alive, once they give back what is too much",
    function*(store) {
      for (const partitions of [1, 2, 3, 4, 7]) {
        for (const runners of [["a"], ["a", "b"], ["a", "b", "c"]]) {
          const version = yield* makeVersion(store, { partitions })
          const shares = yield* settleShares(version, runners, store)
          const owned = shares.flat().map(({ partition }) => partition).sort((a, b) => a - b)
          equal(owned, Array.from({ length: partitions }, (_, i) => i))
          const counts = shares.map(({ length }) => length).sort((a, b) => a - b)
          assert.isAtMost(counts[counts.length - 1]! - counts[0]!, 1, `${partitions} partitions: ${counts.join()}`)
        }
      }
    }
  )

  rule("takes nothing from a runner whose lease holds, and says how much of it is too much", function*(store) {
    const version = yield* makeVersion(store, { partitions: 4 })
    equal((yield* version.own("a")).length, 4)
    const asked = yield* version.claim("b", begin + 100)
    equal([asked.partitions, asked.surplus], [[], 0])
    equal(asked.nextIn, 900)
    const told = yield* version.claim("a", begin + 200)
    equal([told.partitions.length, told.surplus], [4, 2])
    yield* storageOf(store).release(version.id, "a", [1, 3])
    equal((yield* version.own("b", begin + 300)).map(({ partition }) => partition), [1, 3])
    const after = yield* version.claim("a", begin + 400)
    equal([after.partitions.map(({ partition }) => partition), after.surplus], [[0, 2], 0])
    equal(after.nextIn, 900)
    equal((yield* version.state(begin + 400)).partitions.map(({ owner }) => owner), ["a", "b", "a", "b"])
  })

  rule("leaves partitions where they are as long as shares are as even as they can be", function*(store) {
    const [one, three] = [yield* makeVersion(store), yield* makeVersion(store, { partitions: 3 })]
    for (const [version, runners] of [[one, ["b", "a", "c"]], [three, ["c", "a"]], [three, ["a", "b"]]] as const) {
      const shares = yield* settleShares(version, runners, store)
      for (const [i, runner] of runners.entries()) {
        const { partitions, surplus } = yield* version.claim(runner)
        equal([partitions, surplus], [shares[i], 0])
      }
      for (const runner of runners) yield* storageOf(store).release(version.id, runner)
    }
    // one more runner who could have as much changes nothing
    const before = yield* settleShares(three, ["c", "d"], store)
    yield* three.claim("b")
    yield* three.claim("a")
    for (const [i, runner] of ["c", "d"].entries()) {
      const { partitions, surplus } = yield* three.claim(runner)
      equal(partitions, before[i])
      equal(surplus, Math.max(0, before[i]!.length - 1))
    }
  })

  rule("hands partitions over when the lease of their runner has run out, under another epoch", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const before = yield* version.own("a")
    equal(yield* version.own("b", begin + 999), [])
    equal((yield* version.state(begin + 999)).partitions.map(({ owner }) => owner), ["a", "a"])
    equal((yield* version.state(begin + 1000)).partitions.map(({ owner }) => owner), [null, null])
    const after = yield* version.own("b", begin + 1000)
    equal(after.map(({ partition }) => partition), [0, 1])
    for (const [i, { epoch }] of after.entries()) assert.isAbove(epoch, before[i]!.epoch)
    equal(yield* version.move(before[0]!, 5), false)
    equal(yield* version.move(after[0]!, 5, { now: begin + 1000 }), true)
    equal(yield* version.positions, [5, 0])
  })

  rule("shares what a runner had that is gone among the others", function*(store) {
    const version = yield* makeVersion(store, { partitions: 6 })
    yield* settleShares(version, ["a", "b", "c"], store)
    yield* version.claim("a", begin + 600)
    yield* version.claim("b", begin + 600)
    const shares = yield* settleShares(version, ["a", "b"], store, begin + 1100)
    equal(shares.map(({ length }) => length), [3, 3])
    equal(new Set(shares.flat().map(({ partition }) => partition)).size, 6)
  })

  rule("lets a runner go on whose lease has run out where nobody has taken over", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const before = yield* version.own("a")
    equal(yield* version.move(before[0]!, 5, { now: begin + 5000 }), true)
    const after = yield* version.own("a", begin + 9000)
    equal(after.map(({ partition, position }) => [partition, position]), [[0, 5], [1, 0]])
    for (const [i, { epoch }] of after.entries()) assert.isAtLeast(epoch, before[i]!.epoch)
  })

  rule("lets a lease run from an advance on", function*(store) {
    const version = yield* makeVersion(store)
    const owned = yield* version.ownFirst("a")
    equal(yield* version.move(owned, 5, { now: begin + 900, lease: Duration.seconds(3) }), true)
    const asked = yield* version.claim("b", begin + 1400)
    equal([asked.partitions, asked.nextIn], [[], 2500])
    equal((yield* version.state(begin + 3899)).partitions[0]!.owner, "a")
    equal((yield* version.own("b", begin + 3900)).length, 1)
  })

  rule("gives each partition to one of several who claim at the same time", function*(store) {
    const version = yield* makeVersion(store, { partitions: 5 })
    const claims = yield* together(8, (i) => version.own(`r${i}`))
    const owned = claims.flat().map(({ partition }) => partition)
    equal(owned.length, new Set(owned).size)
    const shares = yield* settleShares(version, Array.from({ length: 8 }, (_, i) => `r${i}`), store)
    equal(shares.flat().map(({ partition }) => partition).sort((a, b) => a - b), [0, 1, 2, 3, 4])
    equal(shares.filter(({ length }) => length > 1), [])
  })

  rule("takes back what a runner gives, and forgets a runner that gives all", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const before = yield* version.own("a")
    yield* version.claim("b")
    yield* storageOf(store).release(version.id, "nobody")
    yield* storageOf(store).release(version.id, "b", [0])
    equal((yield* version.state()).partitions.map(({ owner }) => owner), ["a", "a"])
    yield* storageOf(store).release(version.id, "a")
    equal((yield* version.state()).partitions.map(({ owner }) => owner), [null, null])
    const after = yield* version.claim("b")
    equal([after.partitions.length, after.surplus], [2, 0])
    for (const [i, { epoch }] of after.partitions.entries()) assert.isAbove(epoch, before[i]!.epoch)
    equal(yield* version.move(before[0]!, 5), false)
  })

  rule("refuses who gave a partition back, also where nobody has it now", function*(store) {
    const version = yield* makeVersion(store)
    const owned = yield* version.ownFirst("a")
    yield* storageOf(store).release(version.id, "a", [0])
    equal(yield* version.move(owned, 5), false)
    const again = yield* version.ownFirst("a")
    assert.isAbove(again.epoch, owned.epoch)
    equal(yield* version.move(again, 5), true)
  })

  rule("keeps the partitions of versions apart", function*(store) {
    const version = yield* makeVersion(store, { partitions: 2 })
    const other = yield* makeVersion(store, { name: version.name, version: 2, partitions: 2 })
    const owned = yield* version.ownFirst("a")
    equal((yield* other.own("b")).length, 2)
    equal(yield* version.move(owned, 9), true)
    equal([yield* version.positions, yield* other.positions], [[9, 0], [0, 0]])
    equal((yield* version.claim("a")).surplus, 0)
  })

  rule("goes by the time of the storage where none is given", function*(store) {
    const version = yield* makeVersion(store, { partitions: 1 })
    const { claim } = storageOf(store)
    const asked = { id: version.id, lease: Duration.hours(1), now: undefined }
    equal((yield* claim({ ...asked, runner: "a" }))!.partitions.length, 1)
    const other = yield* claim({ ...asked, runner: "b" })
    equal(other!.partitions, [])
    assert.isAbove(other!.nextIn!, 3_500_000)
    assert.isAtMost(other!.nextIn!, 3_600_000)
    equal((yield* version.find(undefined))?.partitions[0]!.owner, "a")
    equal((yield* version.state()).partitions[0]!.owner, null)
    equal((yield* version.own("b")).length, 1)
  })

  rule("tells where partitions are when they change hands", function*(store) {
    const version = yield* makeVersion(store)
    const owned = yield* version.ownFirst("a")
    const { position } = yield* store.append(freshStream(), notes("a", "b"))
    const { eventId } = yield* store.storage.identity(position)
    yield* version.move(owned, position - 1, { handled: 3 })
    yield* version.move(movedTo(owned, position - 1), position, { handled: 2, eventId: eventId!, isCaughtUp: true })
    has(yield* version.ownFirst("b", begin + 2000), { position, eventId, isCaughtUp: true, handled: 5 })
  })
}
