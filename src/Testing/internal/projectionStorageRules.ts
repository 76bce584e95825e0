import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { projectionStorageAdvanceRules } from "./projectionStorageAdvanceRules.ts"
import { projectionStorageClaimRules } from "./projectionStorageClaimRules.ts"
import { projectionStorageCompleteRules } from "./projectionStorageCompleteRules.ts"
import { projectionStorageDocumentRules } from "./projectionStorageDocumentRules.ts"
import { projectionStorageInlineRules } from "./projectionStorageInlineRules.ts"
import { projectionStorageLinkRules } from "./projectionStorageLinkRules.ts"
import { projectionStorageModelRules } from "./projectionStorageModelRules.ts"
import { projectionStorageOperatorRules } from "./projectionStorageOperatorRules.ts"
import { projectionStorageParkedRules } from "./projectionStorageParkedRules.ts"
import { projectionStorageRepartitionRules } from "./projectionStorageRepartitionRules.ts"
import { projectionStorageTimerRules } from "./projectionStorageTimerRules.ts"
import { definitionOf, freshProjection, makeVersion, storageOf } from "./projectionStorageVersion.ts"
import { begin, everything, second } from "./queue.ts"
import { equal, fails, freshName, has, type Rules, together } from "./rule.ts"

/** The seam below projections. The time is handed in, so nothing here waits. */
export const projectionStorageSubjects: Readonly<Record<string, ReadonlyArray<Rules>>> = {
  "versions of projections": [(rule, options) => {
    versionRules(rule, options)
    tablesRules(rule, options)
  }],
  "their partitions": [projectionStorageClaimRules, projectionStorageAdvanceRules, projectionStorageRepartitionRules],
  "their lifecycle": [projectionStorageCompleteRules, projectionStorageOperatorRules, projectionStorageModelRules],
  "their parked events": [projectionStorageParkedRules],
  "their documents and links": [projectionStorageDocumentRules, projectionStorageLinkRules],
  "durable timers": [projectionStorageTimerRules],
  "inline projections": [projectionStorageInlineRules]
}

const eventId = "0190a000-0000-7000-8000-000000000001"

/** A version itself: what it is, and which one is live. */
const versionRules: Rules = (rule) => {
  rule("makes a version known where it is to begin, and says what it is", function*(store) {
    const definition = definitionOf(freshProjection(), {
      version: 3,
      kind: "links",
      filter: {
        types: ["A", "B"],
        categories: ["cart"],
        streamPrefix: "cart-4",
        tags: ["x", "y"],
        recordedFrom: 1_700_000_000_123,
        recordedUntil: 1_800_000_000_456
      }
    })
    const { id, ...state } = yield* storageOf(store).register(definition, 2, { position: 42, eventId })
    assert.isAbove(id, 0)
    const { partitions, ...version } = state
    equal(version, {
      ...definition,
      startPosition: 42,
      isLive: true,
      isSetUp: false,
      stage: "building",
      status: "running",
      isApplied: false,
      error: null,
      errorPosition: null,
      repartitionTo: null,
      parkedKeys: 0,
      parkedEvents: 0
    })
    equal(partitions.length, 2)
    for (const [partition, { epoch, ...part }] of partitions.entries()) {
      assert.isAtLeast(epoch, 0)
      equal(part, { partition, position: 42, eventId, owner: null, isCaughtUp: false, handled: 0, rate: 0 })
    }
    equal(yield* storageOf(store).states(definition.name, begin), [{ id, ...state }])
  })

  rule("knows what a version rehearses", function*(store) {
    const rehearsal = {
      projection: "sums",
      version: 7,
      from: null,
      to: 9,
      until: 1_700_000_000_123,
      target: 9,
      isTemporary: true
    }
    const definition = definitionOf(freshProjection(), { rehearsal })
    const known = yield* storageOf(store).register(definition, 1, { position: 0, eventId: null })
    equal(known.rehearsal, rehearsal)
    equal(known.filter, definition.filter)
    equal(yield* storageOf(store).states(definition.name, undefined), [known])
  })

  rule("leaves a version as it is where it is made known once more, and says what is known", function*(store) {
    const definition = definitionOf(freshProjection(), { filter: { ...everything, types: ["A"] } })
    const { register } = storageOf(store)
    const first = yield* register(definition, 2, { position: 3, eventId })
    const other = definitionOf(definition.name, { kind: "links", filter: everything, isInline: true })
    equal(yield* register(other, 5, { position: 9, eventId: null }), first)
    equal(yield* storageOf(store).states(definition.name, undefined), [first])
  })

  rule("makes a version known once where many do at the same time", function*(store) {
    const definition = definitionOf(freshProjection())
    const states = yield* together(
      8,
      (position) => storageOf(store).register(definition, position + 1, { position, eventId: null })
    )
    for (const state of states) equal(state, states[0])
    equal((yield* storageOf(store).states(definition.name, begin)).length, 1)
  })

  rule("makes the first version of a name live, also of several at the same time", function*(store) {
    const name = freshProjection()
    yield* together(
      6,
      (version) =>
        storageOf(store).register(definitionOf(name, { version: version + 1 }), 1, { position: 0, eventId: null })
    )
    const states = yield* storageOf(store).states(name, begin)
    equal(states.map(({ version }) => version), [1, 2, 3, 4, 5, 6])
    equal(states.filter(({ isLive }) => isLive).length, 1)
    has(yield* makeVersion(store, { name, version: 7 }).pipe(Effect.flatMap((version) => version.state())), {
      isLive: false
    })
  })

  rule("lists versions by name, then by version, each as it is", function*(store) {
    const name = freshName()
    for (const one of [`${name}b`, `${name}_`, `${name}-`, `${name}a`, `${name}b1`]) {
      for (const version of [10, 2, 1]) yield* makeVersion(store, { name: one, version })
    }
    const listed = (yield* storageOf(store).states(undefined, begin)).filter((state) => state.name.startsWith(name))
    equal(
      listed.map((state) => `${state.name.slice(name.length)}${state.version}`),
      ["-", "_", "a", "b", "b1"].flatMap((one) => [1, 2, 10].map((version) => `${one}${version}`))
    )
    equal(listed.filter(({ version }) => version === 2).length, 5)
    equal(
      listed.filter((state) => state.name === `${name}b`),
      [...yield* storageOf(store).states(`${name}b`, begin)]
    )
  })

  rule("answers nothing for a projection that does not exist", function*(store) {
    const projections = storageOf(store)
    const name = freshProjection()
    equal(yield* projections.states(name, begin), [])
    equal(yield* projections.progress(name), undefined)
    equal(yield* projections.documents.read(name, ["a"]), undefined)
    equal(yield* projections.rollBack(name), undefined)
    const { id } = yield* makeVersion(store)
    yield* makeVersion(store, { name, version: 2 })
    const gone = yield* makeVersion(store, { name, version: 1 })
    equal(yield* projections.drop(gone.id), "dropped")
    for (const none of [gone.id, id + 1_000_000]) {
      equal(yield* projections.claim({ id: none, runner: "a", lease: second, now: begin }), undefined)
      equal(yield* projections.pause(none), false)
      equal(yield* projections.resume(none), false)
      equal(yield* projections.reset(none), false)
      equal(yield* projections.repartition(none, 2), false)
      equal(yield* projections.switchTo(none), "unknown")
      equal(yield* projections.drop(none), "unknown")
      equal(yield* projections.parked(none, { key: undefined, after: 0, limit: 10 }), [])
      equal(yield* projections.replay(none, undefined), 0)
      equal(yield* projections.discard(none, undefined), 0)
      equal(yield* projections.setUpWith(none, Effect.die("it was run")), false)
      equal(yield* projections.completeWith(none, { isSwitching: true }, () => Effect.die("it was run")), false)
      yield* projections.release(none, "a")
    }
  })

  rule("says how far the live version is: as far as the last of its partitions", function*(store) {
    const live = yield* makeVersion(store, { partitions: 3, start: 5 })
    const other = yield* makeVersion(store, { name: live.name, version: 2 })
    const progress = storageOf(store).progress(live.name)
    equal(yield* progress, { version: 1, position: 5 })
    const [a, b, c] = yield* live.own("a")
    yield* live.move(a!, 20)
    yield* live.move(b!, 30)
    yield* other.move(yield* other.ownFirst("a"), 3)
    equal(yield* progress, { version: 1, position: 5 })
    yield* live.move(c!, 25)
    equal(yield* progress, { version: 1, position: 20 })
  })
}

/** Where a storage has tables, it keeps those of a projection in a schema of their own. */
const tablesRules: Rules = (rule) => {
  rule("keeps tables where it can, in a schema that no other projection has, or says that it cannot", function*(store) {
    const { hasTables, register, states } = storageOf(store)
    const name = freshProjection()
    const start = { position: 0, eventId: null }
    const tables = definitionOf(name, { kind: "tables", schema: `${name}_v1` })
    if (!hasTables) {
      equal((yield* fails(register(tables, 1, start), "InvalidInput")).problem.includes("EventStore.layer"), true)
      equal(yield* states(name, begin), [])
      return
    }
    const state = yield* register(tables, 1, start)
    has(state, tables)
    const other = definitionOf(freshProjection(), { kind: "tables", schema: `${name}_v1` })
    yield* fails(register(other, 1, start), "InvalidInput")
    equal(yield* states(other.name, begin), [])
    equal(yield* register(tables, 1, start), state)
  })
}
