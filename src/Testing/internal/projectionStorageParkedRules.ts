import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { NewParkedEvent } from "../../Store/ProjectionStorage.ts"
import { makeVersion, movedTo, type Owned, storageOf, tracesOf, type Version } from "./projectionStorageVersion.ts"
import { begin } from "./queue.ts"
import { equal, fails, freshStream, has, notes, type Rules, type Store } from "./rule.ts"

const parked = (key: string, position: number, error: string | null = "no"): NewParkedEvent => ({
  key,
  position,
  attempts: error === null ? 0 : 3,
  error
})

/** What is parked, by key and position. */
const named = (store: Store, { id }: Version, options: { key?: string; after?: number; limit?: number } = {}) =>
  Effect.map(
    storageOf(store).parked(id, { key: undefined, after: 0, limit: 1000, ...options }),
    (events) => events.map(({ key, position }) => `${key}${position}`).sort()
  )

/** A version with some events parked: two of a, one of b, one of c. */
const withParked = Effect.fnUntraced(function*(store: Store) {
  const version = yield* makeVersion(store)
  const owned = yield* version.ownFirst("a")
  equal(
    yield* version.move(owned, 10, { park: [parked("a", 3), parked("b", 5), parked("a", 7, null), parked("c", 9)] }),
    true
  )
  return { version, owned: movedTo(owned, 10) }
})

/** Claims again: under the epoch there is now, where it is. */
const again = (version: Version): Effect.Effect<Owned, any> => version.ownFirst("a")

/** Events that are set aside, key by key. */
export const projectionStorageParkedRules: Rules = (rule) => {
  rule("parks events together with a checkpoint, and says which", function*(store) {
    const { version } = yield* withParked(store)
    has(yield* version.state(), { parkedKeys: 3, parkedEvents: 4, status: "running" })
    const claimed = yield* version.claim("a")
    equal([...claimed.parkedKeys].sort(), ["a", "b", "c"])
    equal(claimed.replays, [])
    const events = yield* storageOf(store).parked(version.id, { key: undefined, after: 0, limit: 1000 })
    equal(events.map((one) => ({ ...one, event: undefined })), [
      { key: "a", position: 3, attempts: 3, error: "no", parkedAt: begin, isReplayWanted: false, event: undefined },
      { key: "b", position: 5, attempts: 3, error: "no", parkedAt: begin, isReplayWanted: false, event: undefined },
      { key: "a", position: 7, attempts: 0, error: null, parkedAt: begin, isReplayWanted: false, event: undefined },
      { key: "c", position: 9, attempts: 3, error: "no", parkedAt: begin, isReplayWanted: false, event: undefined }
    ])
  })

  rule("hands out parked events with what is stored, unless that is hidden", function*(store) {
    const [stream, hidden] = [freshStream(), freshStream()]
    const first = yield* store.append(stream, notes("seen"))
    const second = yield* store.append(hidden, notes("hidden"))
    const version = yield* makeVersion(store, { start: first.position - 1 })
    const owned = yield* version.ownFirst("a")
    yield* version.move(owned, second.position, { park: [parked("a", first.position), parked("b", second.position)] })
    yield* store.delete(hidden)
    const events = yield* storageOf(store).parked(version.id, { key: undefined, after: 0, limit: 1000 })
    equal(events.map(({ event }) => event && JSON.parse(event.data).text), ["seen", undefined])
    equal(events[0]!.event!.streamId, stream.streamId)
  })

  rule("lists parked events page by page, of a key or of all", function*(store) {
    const { version } = yield* withParked(store)
    equal(yield* named(store, version, { limit: 2 }), ["a3", "b5"])
    equal(yield* named(store, version, { after: 5, limit: 1 }), ["a7"])
    equal(yield* named(store, version, { after: 5 }), ["a7", "c9"])
    equal(yield* named(store, version, { key: "a" }), ["a3", "a7"])
    equal(yield* named(store, version, { key: "a", after: 3 }), ["a7"])
    equal(yield* named(store, version, { key: "nobody" }), [])
    equal(yield* named(store, version, { after: 9 }), [])
  })

  rule("keeps an event together that is parked under several keys, whatever the page", function*(store) {
    const version = yield* makeVersion(store)
    const owned = yield* version.ownFirst("a")
    yield* version.move(owned, 9, { park: [parked("x", 4), parked("y", 4), parked("z", 4), parked("x", 6)] })
    equal(yield* named(store, version, { limit: 2 }), ["x4", "y4", "z4"])
    equal(yield* named(store, version, { after: 4, limit: 2 }), ["x6"])
    yield* version.move(movedTo(owned, 9), 9, { handled: 0, unpark: { key: "y", positions: [4] } })
    equal(yield* named(store, version), ["x4", "x6", "z4"])
  })

  rule("parks nothing where the checkpoint is not moved", function*(store) {
    const { owned, version } = yield* withParked(store)
    const park = [parked("d", 11)]
    const unpark = { key: "b", positions: [5] }
    equal(yield* version.move({ ...owned, epoch: owned.epoch + 1 }, 12, { park, unpark }), false)
    yield* fails(
      version.moveWith(owned, 12, Effect.fail({ _tag: "OnPurpose" } as const), { park, unpark }),
      "OnPurpose"
    )
    equal(yield* named(store, version), ["a3", "a7", "b5", "c9"])
  })

  rule("lets a key go on when all of its events are finished", function*(store) {
    const { owned, version } = yield* withParked(store)
    equal(yield* storageOf(store).replay(version.id, ["a"]), 2)
    const wanted = yield* version.claim("a")
    equal([[...wanted.parkedKeys].sort(), wanted.replays], [["a", "b", "c"], ["a"]])
    const at = movedTo(yield* again(version), 10)
    equal(yield* version.move(at, 10, { handled: 1, unpark: { key: "a", positions: [3] } }), true)
    equal((yield* version.claim("a")).replays, ["a"])
    equal(yield* version.move(at, 12, { handled: 1, unpark: { key: "a", positions: [7] } }), true)
    const finished = yield* version.claim("a")
    equal([[...finished.parkedKeys].sort(), finished.replays], [["b", "c"], []])
    equal(yield* named(store, version), ["b5", "c9"])
    has(yield* version.state(), { parkedKeys: 2, parkedEvents: 2 })
    assert.isAtLeast(at.epoch, owned.epoch)
  })

  rule("finishes parked events once, since a replay moves no checkpoint", function*(store) {
    const { version } = yield* withParked(store)
    const traces = yield* tracesOf(store, version)
    const at = yield* again(version)
    const finish = (key: string, ...positions: ReadonlyArray<number>) =>
      version.moveWith(at, at.position, traces.leave, { handled: 1, unpark: { key, positions } })
    for (const [key, ...positions] of [["a", 3, 4], ["b", 3], ["nobody", 3], ["a", 3, 7, 9]] as const) {
      equal(yield* finish(key, ...positions), Option.none())
    }
    equal([yield* traces.left, yield* named(store, version)], ["nothing", ["a3", "a7", "b5", "c9"]])
    equal(yield* finish("a", 3), Option.some(undefined))
    equal(yield* finish("a", 3), Option.none())
    equal(yield* named(store, version), ["a7", "b5", "c9"])
    equal((yield* version.state()).partitions[0]!.handled, 11)
  })

  rule("parks what comes behind what is parked, while a key is handled again, too", function*(store) {
    const { version } = yield* withParked(store)
    yield* storageOf(store).replay(version.id, ["a"])
    const at = yield* again(version)
    yield* version.move(at, 12, {
      handled: 1,
      unpark: { key: "a", positions: [3, 7] },
      park: [parked("a", 11, null)]
    })
    const claimed = yield* version.claim("a")
    equal([...claimed.parkedKeys].sort(), ["a", "b", "c"])
    equal(claimed.replays, ["a"])
    equal(yield* named(store, version, { key: "a" }), ["a11"])
  })

  rule("asks for all keys where none are named, and says how many events that is", function*(store) {
    const { version } = yield* withParked(store)
    const { parked: parkedOf, replay } = storageOf(store)
    equal(yield* replay(version.id, ["nobody"]), 0)
    equal(yield* replay(version.id, []), 0)
    equal((yield* version.claim("a")).replays, [])
    equal(yield* replay(version.id, ["b", "c", "nobody"]), 2)
    equal([...(yield* version.claim("a")).replays].sort(), ["b", "c"])
    equal(yield* replay(version.id, undefined), 4)
    equal([...(yield* version.claim("a")).replays].sort(), ["a", "b", "c"])
    const events = yield* parkedOf(version.id, { key: "a", after: 0, limit: 10 })
    equal(events.map(({ isReplayWanted }) => isReplayWanted), [true, true])
  })

  rule("leaves a key parked whose replay failed, with its failure", function*(store) {
    const { version } = yield* withParked(store)
    const { parked: parkedOf, replay, replayFailed } = storageOf(store)
    yield* replay(version.id, undefined)
    const { epoch } = yield* again(version)
    const partition = { id: version.id, partition: 0, epoch }
    const failure = { key: "a", position: 3, error: "still no" }
    yield* replayFailed({ ...partition, epoch: epoch + 1 }, failure)
    equal([...(yield* version.claim("a")).replays].sort(), ["a", "b", "c"])
    yield* replayFailed(partition, failure)
    equal([...(yield* version.claim("a")).replays].sort(), ["b", "c"])
    const events = yield* parkedOf(version.id, { key: "a", after: 0, limit: 10 })
    equal(
      events.map(({ attempts, error, isReplayWanted, position }) => [position, attempts, error, isReplayWanted]),
      [[3, 4, "still no", false], [7, 0, null, false]]
    )
    equal(yield* replay(version.id, ["a"]), 2)
    equal([...(yield* version.claim("a")).replays].sort(), ["a", "b", "c"])
  })

  rule("gives up parked events of some keys, or of all", function*(store) {
    const { version } = yield* withParked(store)
    const { discard, replay } = storageOf(store)
    yield* replay(version.id, ["a"])
    const owned = yield* again(version)
    equal(yield* discard(version.id, ["nobody"]), 0)
    equal(yield* discard(version.id, ["a", "c"]), 3)
    const claimed = yield* version.claim("a")
    equal([claimed.parkedKeys, claimed.replays], [["b"], []])
    // an owner who takes a key for parked still would park what comes: it is to look again
    equal(yield* version.move(owned, 12, { park: [parked("a", 11, null)] }), false)
    equal(yield* discard(version.id, undefined), 1)
    has(yield* version.state(), { parkedKeys: 0, parkedEvents: 0 })
    equal(yield* discard(version.id, undefined), 0)
    equal(yield* version.move(yield* again(version), 12), true)
  })

  rule("forgets with a reset what was parked, and what was wanted of it", function*(store) {
    const { version } = yield* withParked(store)
    const { replay, reset } = storageOf(store)
    yield* replay(version.id, undefined)
    yield* reset(version.id)
    const owned = yield* again(version)
    yield* version.move(owned, 10, { park: [parked("a", 3)] })
    const claimed = yield* version.claim("a")
    equal([claimed.parkedKeys, claimed.replays], [["a"], []])
    equal(yield* named(store, version), ["a3"])
  })

  rule("keeps what versions park apart", function*(store) {
    const { version } = yield* withParked(store)
    const other = yield* makeVersion(store, { name: version.name, version: 2 })
    yield* other.move(yield* other.ownFirst("a"), 5, { park: [parked("a", 3)] })
    equal(yield* storageOf(store).discard(other.id, undefined), 1)
    equal(yield* named(store, version), ["a3", "a7", "b5", "c9"])
  })
}
