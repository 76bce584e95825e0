import { Clock, Effect } from "effect"
import * as Projection from "../../../Projection/Projection.ts"
import * as Rehearsal from "../../../Projection/Rehearsal.ts"
import type { EventStore } from "../../../Store/EventStore.ts"
import { note, Output } from "../frame/output.ts"
import { during, type Progress } from "../frame/progress.ts"
import { counted, numberOf, printable } from "../frame/table.ts"
import { differenceText } from "./differenceText.ts"
import type { Range } from "./replayRange.ts"

export interface RehearsalOptions {
  readonly range: Range
  /** The name under which it is kept. */
  readonly keep: string | undefined
  readonly ignore: ReadonlyArray<string>
  /** Most rows of each kind of difference. */
  readonly rows: number
  /** Most events of a transaction. */
  readonly batch: number | undefined
  readonly isKeepingOn: boolean
}

/** What became of a rehearsal. */
export interface Rehearsed {
  readonly name: string
  readonly kind: "rehearsal"
  readonly version: number
  readonly position: number
  readonly handled: number
  readonly parkedEvents: number
  readonly seconds: number
  /** The name under which it was kept, and the database schema of its tables. */
  readonly kept: string | null
  readonly schema: string | null
  /** `null` where no version is live, or the live one says nothing yet. */
  readonly difference: Rehearsal.Difference | null
  /** The live version, where it was not compared. */
  readonly notCompared: NotCompared | null
}

/** A live version that is not worth a comparison: it has not come to the end of the log, and does not move. */
interface NotCompared {
  readonly version: number
  readonly is: "failed" | "building"
  readonly position: number
  readonly error: string | null
}

const notComparedOf = (live: Projection.Status | undefined): NotCompared | null =>
  live === undefined || live.status !== "failed" && live.stage !== "building" ? null : {
    version: live.version,
    is: live.status === "failed" ? "failed" : "building",
    position: live.status === "failed" ? live.errorPosition ?? live.position : live.position,
    error: live.error
  }

const notComparedText = ({ error, is, position, version }: NotCompared): string =>
  `version ${version}, which is live, ${
    is === "failed"
      ? `has failed at position ${numberOf(position)}`
      : `is still built, at position ${numberOf(position)}`
  }${error === null ? "" : ` (${printable(error)})`}`

/** Builds a projection once more, and compares it with the live one. */
export const rehearse = (
  projection: Projection.Any,
  { batch, ignore, isKeepingOn, keep, range, rows }: RehearsalOptions
): Effect.Effect<Rehearsed, unknown, EventStore | Output | Progress> =>
  Effect.scoped(Effect.gen(function*() {
    const { name, version } = projection.definition
    const clock = yield* Clock.Clock
    const startedAt = clock.currentTimeMillisUnsafe()
    const live = (yield* Projection.statuses(name)).find(({ isLive }) => isLive)
    const isBounded = range.to !== undefined || range.until !== undefined
    const unready = notComparedOf(live)
    // who says up to where compares with whatever the live one has
    const notCompared = isBounded ? null : unready
    if (unready !== null) {
      yield* note(
        `${name}: ${notComparedText(unready)}: ${
          isBounded
            ? "it is compared as it stands"
            : "the dry run is not compared with it, and goes to the end of the log"
        }`
      )
    }
    const before = keep === undefined ? undefined : (yield* Rehearsal.list).find((known) => known.name === keep)
    let reached = before?.position ?? (range.from ?? 1) - 1
    const [rehearsal, difference] = yield* during(
      { label: `${name} version ${version}, dry run`, total: before?.target, done: reached },
      (report) => {
        const onProgress = ({ position, target }: Rehearsal.RehearsalProgress) => {
          reached = position
          return report(position, target)
        }
        return Effect.gen(function*() {
          // what it needs besides the store is what the application declares, and is there
          const rehearsal = yield* Rehearsal.make(projection, {
            name: keep,
            from: range.from,
            // one that was kept goes on to where it was to go
            to: range.to ??
              (before === undefined ? notCompared === null ? undefined : live?.head : before.to ?? undefined),
            until: range.until,
            batch,
            giveUp: isKeepingOn ? "park" : "stop",
            onProgress
          })
          if (notCompared !== null) return [rehearsal, null] as const
          const difference = yield* rehearsal.difference({ ignore, limit: rows, onProgress }).pipe(
            // nobody ran it yet
            Effect.catchTag("ProjectionNotFound", () => Effect.succeed(null))
          )
          return [rehearsal, difference] as const
        })
      }
    ).pipe(
      Effect.onInterrupt(() =>
        note(
          keep === undefined
            ? `${name}: stopped at position ${numberOf(reached)}; nothing of it is left`
            : `${name}: stopped at position ${numberOf(reached)}; the same command goes on from there`
        )
      )
    )
    const { handled, parkedEvents, position } = yield* rehearsal.status
    return {
      name,
      kind: "rehearsal",
      version,
      position,
      handled,
      parkedEvents,
      seconds: (clock.currentTimeMillisUnsafe() - startedAt) / 1000,
      kept: keep ?? null,
      schema: keep === undefined ? null : rehearsal.schema,
      difference,
      notCompared
    } satisfies Rehearsed
  })) as Effect.Effect<Rehearsed, unknown, EventStore | Output | Progress>

export const rehearsedText = (
  { difference, handled, kept, name, notCompared, parkedEvents, position, schema, seconds, version }: Rehearsed,
  paint: Output["Service"]["paint"]
): string =>
  [
    difference === null
      ? `${name}: version ${version} built anew to position ${numberOf(position)}; ${
        notCompared === null
          ? "no version is live to compare it with"
          : `${notComparedText(notCompared)}, and is not compared; --to compares up to a position`
      }`
      : differenceText(difference, paint),
    paint(
      "dim",
      `  ${counted(handled, "event")} handled in ${seconds.toFixed(1)} s${
        parkedEvents === 0 ? "" : `, ${counted(parkedEvents, "event")} set aside`
      }${
        kept === null
          ? "; nothing of it is kept"
          : `; kept as ${kept}${schema === null ? "" : `, tables in the database schema ${schema}`}`
      }`
    )
  ].join("\n")
