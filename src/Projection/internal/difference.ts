import { Effect } from "effect"
import type { ProjectionState } from "../../Store/ProjectionStorage.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { InvalidInput } from "../../Store/StoreError.ts"
import { ProjectionFailed, ProjectionNotFound } from "../ProjectionError.ts"
import type { Difference, DifferenceError, DifferenceOptions, DifferencePart } from "../Rehearsal.ts"
import { documentsDifference, linksDifference } from "./differenceByKey.ts"
import { failureOf, passingOf } from "./failure.ts"
import { logPages } from "./logPages.ts"
import { Parking } from "./parking.ts"
import { Reader } from "./reader.ts"
import { positionOf } from "./rehearsalRange.ts"
import { applyTo, type Held, type Scratch, stateOf, steadily } from "./scratch.ts"
import { catchUp } from "./scratchBuilding.ts"
import { asOfOneTime } from "./snapshotSql.ts"
import { tablesDifference } from "./tablesDifferenceSql.ts"

/** How far a live version may be ahead when the two are compared: what is missing is applied in that transaction. */
const near = 500

/** How often it is tried to come so near. */
const mostRounds = 5

/** What is compared, and how. */
export interface Comparison {
  readonly scratch: Scratch
  readonly live: ProjectionState
  readonly limit: number
  readonly ignore: ReadonlyArray<string>
  /** Whether the live version is where it was. */
  readonly isUnchanged: Effect.Effect<boolean, any, any>
}

/**
 * Compares a rehearsal with a version that is followed on.
 *
 * **Details** It is built up to where that version is, in transactions of its own, until it is near. Then one transaction sees
 * both as of one time: it applies the few events that are still missing, for each partition of the other version up to the
 * checkpoint of that one, compares, and is rolled back. So nobody waits for it, and it ends however many events are
 * stored meanwhile.
 */
export const differenceOf = (
  scratch: Scratch,
  isFixed: boolean,
  options: DifferenceOptions = {}
): Effect.Effect<Difference, DifferenceError, any> =>
  Effect.gen(function*() {
    const { clock, definition: { name: projection }, name, store } = scratch
    const { ignore = [], limit = 20, onProgress = () => Effect.void } = options
    if (!Number.isSafeInteger(limit) || limit < 0 || limit > mostRows) {
      return yield* new InvalidInput({
        field: "limit",
        problem: `is ${String(limit)}, not a whole number from 0 to ${mostRows}`
      })
    }
    if (yield* store.storage.inTransaction) {
      return yield* new InvalidInput({ field: "transaction", problem: "is open: compare before or after it" })
    }

    const other = Effect.gen(function*() {
      const states = yield* store.storage.projections.states(projection, StorageTime.of(clock))
      const { version } = options
      const live = states.find((state) => version === undefined ? state.isLive : state.version === version)
      if (live === undefined) {
        return yield* new ProjectionNotFound(version === undefined ? { projection } : { projection, version })
      }
      if (live.kind !== scratch.definition.kind) {
        return yield* new InvalidInput({
          field: "version",
          problem: `${live.version} keeps ${live.kind}, and not ${scratch.definition.kind}`
        })
      }
      return live
    })

    let failed: unknown
    while (true) {
      let held: Held = yield* catchUp(scratch, 0, () => Effect.void)
      for (let round = 0; round < mostRounds && !isFixed; round++) {
        const to = positionOf(yield* steadily(name, other))
        if (round > 0 && to - held.position <= near) break
        if (to > held.position) held = yield* catchUp(scratch, to, onProgress)
      }
      const comparing = compare(scratch, held, isFixed, other, { ignore, limit })
      const compared = yield* Effect.result(steadily(name, asOfOneTime(store.storage, comparing)))
      if (compared._tag === "Success") {
        if (compared.success !== undefined) return compared.success
        continue
      }
      const error = compared.failure
      // an event that cannot be handled is found, and perhaps set aside, where it is built
      if (!(error instanceof ApplyFailed) || failed !== undefined) {
        return yield* Effect.fail(error instanceof ApplyFailed ? error.toFailed(scratch) : error as DifferenceError)
      }
      failed = error
    }
  }) as Effect.Effect<Difference, DifferenceError, any>

/** Most rows of a difference that are shown. */
const mostRows = 10_000

/** What is missing could not be applied. Nobody else sees it. */
class ApplyFailed {
  readonly cause: unknown

  constructor(cause: unknown) {
    this.cause = cause
  }

  toFailed({ definition: { name: projection, version } }: Scratch): ProjectionFailed {
    return new ProjectionFailed({ projection, version, position: null, cause: this.cause })
  }
}

/** Compares in the transaction that is open; `undefined` where somebody changed what was compared meanwhile. */
const compare = <E, R>(
  scratch: Scratch,
  held: Held,
  isFixed: boolean,
  other: Effect.Effect<ProjectionState, E, R>,
  { ignore, limit }: { readonly limit: number; readonly ignore: ReadonlyArray<string> }
) =>
  Effect.gen(function*() {
    const live = yield* other
    const own = yield* stateOf(scratch)
    const position = positionOf(own)
    if (!isFixed) yield* applyMissing(scratch, held, position, live)
    const parts: ReadonlyArray<DifferencePart> | undefined = yield* kinds[scratch.definition.kind as Kind]({
      scratch,
      live,
      limit,
      ignore,
      isUnchanged: Effect.map(other, (now) => isSamePlace(live, now))
    })
    if (parts === undefined) return undefined
    const reached = isFixed ? position : Math.max(position, positionOf(live))
    return {
      rehearsal: scratch.name,
      projection: live.name,
      version: scratch.definition.version,
      position: reached,
      live: { version: live.version, position: positionOf(live), parkedEvents: live.parkedEvents },
      // of what goes on from there, what is missing was applied
      isSamePosition: live.partitions.every((other) =>
        isFixed ? other.position === position : other.position >= position
      ),
      isEqual: parts.every(isEqualPart),
      parts
    } satisfies Difference
  })

type Kind = "tables" | "documents" | "links"

const kinds = { tables: tablesDifference, documents: documentsDifference, links: linksDifference }

const isSamePlace = (before: ProjectionState, now: ProjectionState): boolean =>
  before.id === now.id && before.partitions.length === now.partitions.length &&
  before.partitions.every(({ handled, position }, i) => {
    const partition = now.partitions[i]!
    return partition.position === position && partition.handled === handled
  })

const isEqualPart = ({ changed, columns, fresh, live, onlyFresh, onlyLive }: DifferencePart): boolean =>
  live === fresh && changed.count === 0 && onlyLive.count === 0 && onlyFresh.count === 0 &&
  columns.onlyLive.length === 0 && columns.onlyFresh.length === 0

/** Applies what each partition of a version has handled, and the rehearsal has not. */
const applyMissing = (
  scratch: Scratch,
  { parkedKeys }: Held,
  position: number,
  live: ProjectionState
): Effect.Effect<void, unknown, any> => {
  const { definition, filter, settings, store } = scratch
  const of = live.partitions.length
  return Effect.forEach(live.partitions, ({ partition, position: to }) =>
    Effect.gen(function*() {
      const follower = logPages(store.storage, filter, { after: position, to }, (page) => page)
      const parking = new Parking(definition, { ...live.partitions[partition]!, of }, { parkedKeys, replays: [] })
      const reader = new Reader({ follower, definition, partition, of, limit: settings.bulk })
      for (let isEnd = to <= position; !isEnd;) {
        const { caughtUp, items } = yield* reader.next
        isEnd = caughtUp
        const failed = items.find((item) => item.failure !== undefined && !parking.isParked(item.stored.streamId))
        if (failed !== undefined) return yield* Effect.fail(new ApplyFailed(failureOf(failed.failure!)))
        const { applied } = parking.sort(items)
        if (applied.length === 0) continue
        yield* Effect.catchCause(
          applyTo(scratch, applied, { partition: 0, attempt: 1, owns: parking.owns }),
          (cause) => Effect.fail(passingOf(cause) ?? new ApplyFailed(failureOf(cause)))
        )
      }
    }), { discard: true })
}
