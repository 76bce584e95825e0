import { type Cause, Effect } from "effect"
import type { ProjectionState } from "../../Store/ProjectionStorage.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { InvalidInput, type StoreError } from "../../Store/StoreError.ts"
import { ProjectionFailed, ProjectionNotFound } from "../ProjectionError.ts"
import type { Difference, DifferenceError, DifferenceOptions, DifferencePart } from "../Rehearsal.ts"
import { documentsDifference, linksDifference } from "./differenceByKey.ts"
import { failureOf, passingOf } from "./failure.ts"
import { logPages } from "./logPages.ts"
import { Parking } from "./parking.ts"
import { type Item, Reader } from "./reader.ts"
import { positionOf } from "./rehearsalRange.ts"
import { applyTo, type Held, type Scratch, stateOf, steadily } from "./scratch.ts"
import { catchUp } from "./scratchBuilding.ts"
import { asOfOneTime } from "./snapshotSql.ts"
import { tablesDifference } from "./tablesDifferenceSql.ts"
import { workThrough } from "./working.ts"

/** How far a live version may be ahead when the two are compared: what is missing is applied in that transaction. */
const near = 500

/** How far it may be ahead at all: more is not applied in a transaction that is kept open for it. */
const mostMissing = 10 * near

/** How often it is tried to come so near, and to compare the two while nothing moves. */
const mostRounds = 5

/** What is compared, and how. */
export interface Comparison {
  readonly scratch: Scratch
  readonly live: ProjectionState
  readonly limit: number
  readonly ignore: ReadonlyArray<string>
}

/**
 * Compares a rehearsal with a version that is followed on.
 *
 * **Details** It is built up to where that version is, in transactions of its own, until it is near. Then one transaction sees
 * both as of one time: it applies the few events that are still missing, for each partition of the other version up to the
 * checkpoint of that one, compares, and is rolled back. So nobody waits for it, and it ends however many events are
 * stored meanwhile. Where too many are missing, it compares what there is, and says that it is not the same position.
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

    for (let round = 1;; round++) {
      let held: Held = yield* catchUp(scratch, 0, () => Effect.void)
      for (let round = 0; round < mostRounds && !isFixed; round++) {
        const to = positionOf(yield* steadily(name, other))
        if (round > 0 && to - held.position <= near) break
        if (to > held.position) held = yield* catchUp(scratch, to, onProgress)
      }
      const comparing = compare(scratch, held, other, { ignore, limit, isFixed, isLast: round === mostRounds })
      const compared = yield* steadily(name, asOfOneTime(store.storage, comparing))
      if (compared !== undefined) return compared
    }
  }) as Effect.Effect<Difference, DifferenceError, any>

/** Most rows of a difference that are shown. */
const mostRows = 10_000

/**
 * Compares in the transaction that is open. Answers `undefined` where the other version moved on meanwhile, as it may where a
 * storage does not show what is kept as of one time; unless nobody will try again.
 */
const compare = <E, R>(
  scratch: Scratch,
  held: Held,
  other: Effect.Effect<ProjectionState, E, R>,
  { ignore, isFixed, isLast, limit }: {
    readonly limit: number
    readonly ignore: ReadonlyArray<string>
    readonly isFixed: boolean
    readonly isLast: boolean
  }
) =>
  Effect.gen(function*() {
    const live = yield* other
    const position = positionOf(yield* stateOf(scratch))
    const furthest = Math.max(...live.partitions.map(({ position }) => position))
    const isApplied = !isFixed && furthest - position <= mostMissing
    if (isApplied) yield* applyMissing(scratch, held, position, live)
    const parts: ReadonlyArray<DifferencePart> = yield* kinds[scratch.definition.kind as Kind]({
      scratch,
      live,
      limit,
      ignore
    })
    const isStill = isSamePlace(live, yield* other)
    if (!isStill && !isLast) return undefined
    return {
      rehearsal: scratch.name,
      projection: live.name,
      version: scratch.definition.version,
      position: isApplied ? Math.max(position, positionOf(live)) : position,
      live: { version: live.version, position: positionOf(live), parkedEvents: live.parkedEvents },
      isSamePosition: isStill && live.partitions.every((other) =>
        // of what goes on from there, what is missing was applied
        isApplied ? other.position >= position : other.position === position
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

/**
 * Applies what each partition of a version has handled, and the rehearsal has not. What cannot be handled fails or is set aside as
 * where it is built, but only for this transaction.
 */
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
      const apply = (items: ReadonlyArray<Item>, attempt: number) =>
        Effect.gen(function*() {
          const failure = parking.failureOf(items)
          if (failure !== undefined) return yield* Effect.failCause(failure)
          const { applied } = parking.sort(items)
          if (applied.length === 0) return true
          // what fails leaves nothing, and the transaction around it goes on
          yield* store.storage.transaction(applyTo(scratch, applied, { partition: 0, attempt, owns: parking.owns }))
          return true
        })
      const failed = ({ stored: { position } }: Item, cause: Cause.Cause<unknown>) => {
        const { name: projection, version } = definition
        return new ProjectionFailed({ projection, version, position, cause: failureOf(cause) })
      }
      /** Trouble that will pass is nobody's fault: all is done again then. */
      const unlessPassing = <A>(cause: Cause.Cause<unknown>, value: A): Effect.Effect<A, StoreError> => {
        const trouble = passingOf(cause)
        return trouble === undefined ? Effect.succeed(value) : Effect.fail(trouble)
      }
      for (let isEnd = to <= position; !isEnd;) {
        const { caughtUp, items } = yield* reader.next
        isEnd = caughtUp
        yield* workThrough(items, {
          limit: () => settings.bulk,
          isAlone: ({ failure }) => failure !== undefined,
          isLeaving: () => false,
          commit: (items, { number }) => apply(items, number),
          retryIn: (cause) => unlessPassing(cause, undefined),
          pause: () => Effect.succeed(true),
          blame: (item, cause) =>
            Effect.gen(function*() {
              yield* unlessPassing(cause, undefined)
              if (settings.giveUp === "stop") return yield* failed(item, cause)
              parking.park(parking.keysOfItem(item))
              return "passed" as const
            })
        })
      }
    }), { discard: true })
}
