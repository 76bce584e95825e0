import { Cause, Effect, Equal, Option, Stream } from "effect"
import * as Snapshot from "../../../Snapshot/Snapshot.ts"
import * as SnapshotStore from "../../../Snapshot/SnapshotStore.ts"
import { StoreError } from "../../../Store/StoreError.ts"
import * as Category from "../../../Stream/Category.ts"
import type { Recorded } from "../../../Stream/Recorded.ts"
import * as StreamId from "../../../Stream/StreamId.ts"
import { type LogCheck, tell, type Told, type Verifying, walk } from "./verifying.ts"
import { countSnapshots, selectSnapshots, selectState, type SnapshotRow } from "./verifySnapshotsSql.ts"

/** How the state of a snapshot follows from events, for the streams of a category. */
export interface SnapshotFold {
  readonly snapshot: Snapshot.Any
  readonly category: Category.Any
  readonly initial: (streamId: StreamId.StreamId) => unknown
  readonly evolve: (state: any, recorded: Recorded<any>) => unknown
  /** Which streams of the category can have one. */
  readonly isMeant: (streamId: string) => boolean
}

const pageRows = 200

/** Streams that are folded at a time. */
const concurrency = 4

/** Each snapshot was taken at an event that is there, and its state is what a fold of all events up to it says. */
export const checkSnapshots = (folds: ReadonlyArray<SnapshotFold>): LogCheck<any> => (verifying, tally) => {
  const { tables } = verifying
  const check = folding(verifying, folds, (reason) => tally.skip(reason))
  return Stream.unwrap(
    Effect.map(
      countSnapshots(tables),
      (total) =>
        walk("snapshots", tally, undefined as SnapshotRow | undefined, (last) =>
          Effect.gen(function*() {
            const snapshots = yield* selectSnapshots(tables, last, pageRows)
            const told = yield* Effect.forEach(
              snapshots,
              (snapshot) => {
                const problem = problemOf(snapshot)
                return problem === undefined ? check(snapshot) : Effect.succeed(problem)
              },
              { concurrency }
            )
            tally.looked += snapshots.length
            return {
              found: told.filter((one) => one !== undefined),
              done: tally.looked,
              total: Math.max(total, tally.looked),
              next: snapshots.length < pageRows ? Option.none() : Option.some(snapshots.at(-1))
            }
          }))
    )
  )
}

const nameOf = ({ name, streamId, streamVersion }: SnapshotRow): string =>
  `The snapshot ${name} of stream ${streamId} at version ${streamVersion}`

const aboutOf = ({ eventId, name, position, streamId, streamVersion }: SnapshotRow) => ({
  snapshot: name,
  streamId,
  streamVersion,
  position,
  eventId
})

const problemOf = (snapshot: SnapshotRow): Told | undefined => {
  const { eventId, isThat, isThere, hidden, last, position, streamVersion } = snapshot
  if (streamVersion > last) {
    return tell(
      "SnapshotAhead",
      aboutOf(snapshot),
      `${nameOf(snapshot)} is ahead of the stream, which ` + (last === 0 ? "has no event" : `ends at version ${last}`),
      { expected: `at most ${last}`, actual: streamVersion }
    )
  }
  if (isThat) return undefined
  // what is hidden may be gone on purpose, and then nobody uses the snapshot any more
  if (!isThere && (hidden === 0 || streamVersion < hidden)) return undefined
  return tell(
    "SnapshotDangling",
    aboutOf(snapshot),
    `${nameOf(snapshot)} was taken at the event ${eventId} at position ${position}, and ` +
      (isThere ? "another one stands there" : "there is no event of that version")
  )
}

const folding = (
  { tables }: Verifying,
  folds: ReadonlyArray<SnapshotFold>,
  skip: (reason: string) => void
) => {
  const keyOf = (snapshot: string, category: string) => `${category}\0${snapshot}`
  const byKey = new Map(folds.map((fold) => [keyOf(fold.snapshot.name, fold.category.name), fold]))
  const skipped = (reason: string) =>
    Effect.sync((): undefined => {
      skip(reason)
    })

  return Effect.fnUntraced(function*(row: SnapshotRow): Effect.fn.Return<Told | undefined, StoreError, any> {
    const { hidden, name, schemaVersion, streamId, streamVersion, truncatedBefore } = row
    if (!row.isThat || hidden !== Math.max(truncatedBefore, 1)) {
      return yield* skipped(
        "snapshots that do not hold, since their streams were truncated, deleted or tombstoned later"
      )
    }
    const fold = byKey.get(keyOf(name, StreamId.category(streamId))) ?? byKey.get(keyOf(name, Category.raw.name))
    if (fold === undefined) {
      return yield* skipped(
        folds.length === 0
          ? "no deciders with a snapshot were given: states were not folded again"
          : `nothing was given that folds the snapshot ${name} of category ${StreamId.category(streamId)}`
      )
    }
    if (!fold.isMeant(streamId)) {
      return yield* skipped(`streams whose name has no id of category ${fold.category.name}`)
    }
    const { category, evolve, initial, snapshot } = fold
    if (schemaVersion > snapshot.schemaVersion || schemaVersion <= snapshot.schemaVersion - snapshot.shapes.length) {
      return yield* skipped(`version ${schemaVersion} of the snapshot ${name}, which is not known here`)
    }
    const text = yield* selectState(tables, row)
    if (text === undefined) return yield* skipped("snapshots that were saved anew meanwhile")
    const tellOf = (kind: Told["kind"], problem: string, values?: Pick<Told, "expected" | "actual">) =>
      tell(kind, aboutOf(row), `${nameOf(row)} ${problem}`, values)

    const kept = yield* Effect.result(snapshot.decode({ name, streamId, streamVersion, schemaVersion, state: text }))
    if (kept._tag === "Failure") {
      return tellOf("SnapshotUndecodable", `does not decode: ${kept.failure.issue}`, { actual: jsonOf(text) })
    }
    const stream: Category.StreamRef<never, any, any> = {
      streamId: streamId as StreamId.StreamId,
      problem: undefined,
      category: category as never
    }
    // with this policy no snapshot is looked for: the fold begins at the first event
    const folded = yield* Effect.exit(
      Effect.suspend(() =>
        SnapshotStore.fold({ ...snapshot, policy: Snapshot.never }, stream, {
          initial: initial(stream.streamId),
          evolve,
          to: streamVersion
        })
      )
    )
    if (folded._tag === "Failure") {
      const { cause } = folded
      if (Cause.hasInterrupts(cause)) return yield* Effect.failCause(cause as Cause.Cause<never>)
      const error = Option.getOrUndefined(Cause.findErrorOption(cause))
      if (error instanceof StoreError) return yield* error
      if (error !== undefined) {
        return yield* skipped("streams that cannot be read, as an event does not decode or they end")
      }
      return tellOf("SnapshotUnfoldable", `cannot be compared, since a fold throws: ${Cause.squash(cause)}`)
    }
    const { mark, state } = folded.value
    if (mark?.streamVersion !== streamVersion || Math.max(mark.truncatedBefore, 1) !== Math.max(truncatedBefore, 1)) {
      return yield* skipped("snapshots whose streams were truncated or deleted meanwhile")
    }
    const fresh = yield* Effect.result(snapshot.encode(state))
    if (fresh._tag === "Failure") {
      return tellOf("SnapshotUnfoldable", `cannot be compared, since the state of a fresh fold ${fresh.failure}`)
    }
    // an older shape is compared as what it reads as today
    const today = schemaVersion === snapshot.schemaVersion
      ? text
      : Option.getOrElse(yield* Effect.option(snapshot.encode(kept.success)), () => text)
    if (Equal.equals(JSON.parse(today), JSON.parse(fresh.success))) return undefined
    // sets and maps may be written in another order each time
    const again = yield* Effect.option(
      snapshot.decode({ name, streamId, streamVersion, schemaVersion: snapshot.schemaVersion, state: fresh.success })
    )
    if (Option.isSome(again) && Equal.equals(again.value, kept.success)) return undefined
    return tellOf("SnapshotDiffers", "is not what a fresh fold of its events says", {
      expected: jsonOf(fresh.success),
      actual: jsonOf(today)
    })
  })
}

/** A JSON text as it stands in a report: as JSON, or the beginning of a long one. */
const jsonOf = (text: string) => text.length > 2000 ? `${text.slice(0, 2000)} ...` : JSON.parse(text)
