import { Effect, type Option } from "effect"
import { Flag } from "effect/cli"
import type * as Archive from "../Archive.ts"
import type { OpenLog } from "./frame/logSql.ts"
import { note } from "./frame/output.ts"
import { during } from "./frame/progress.ts"
import { counted, numberOf } from "./frame/table.ts"
import { rangeOf, timeFlag } from "./frame/times.ts"

/** The flags that say which events are moved. */
export const filterFlags = {
  category: Flag.String("category").pipe(
    Flag.withDescription("Only events of this category; may be given several times"),
    Flag.atLeast(0)
  ),
  since: timeFlag("since", "From the first event of this time or later"),
  until: timeFlag("until", "Up to the first event of this time or later, without it"),
  visibleOnly: Flag.Boolean("visible-only").pipe(
    Flag.withDescription("Without events that are hidden: truncated, deleted or tombstoned"),
    Flag.withDefault(false)
  )
}

interface FilterInput {
  readonly category: ReadonlyArray<string>
  readonly since: Option.Option<string>
  readonly until: Option.Option<string>
  readonly visibleOnly: boolean
}

/** What the flags ask for. */
export const filterOf = (input: FilterInput) =>
  Effect.gen(function*() {
    const times = yield* rangeOf(input)
    const filter: Archive.ExportFilter = {
      categories: input.category.length === 0 ? undefined : input.category,
      recordedFrom: times.since,
      recordedUntil: times.until,
      visibleOnly: input.visibleOnly
    }
    return filter
  })

/** Tells of categories that were asked for and have no event: their names may be wrong. */
export const noteEmpty = (categories: ReadonlyArray<string>) =>
  categories.length === 0
    ? Effect.void
    : note(
      `There are no events of the ${categories.length === 1 ? "category" : "categories"} ${categories.join(", ")}.`
    )

/**
 * Runs what moves events, and shows how far it is. Who interrupts it is told how far it came, and what is left.
 *
 * @param left What is said of what was done until then
 */
export const moving = <A, E, R>(
  label: string,
  left: string,
  work: (options: Archive.Options) => Effect.Effect<A, E, R>
) =>
  Effect.suspend(() => {
    let reached = 0
    return during({ label }, (report) =>
      work({
        onProgress: ({ events, total }) => {
          reached = events
          return report(events, total)
        }
      })).pipe(Effect.onInterrupt(() => noteStopped(label, reached, left)))
  })

/** Says how far something came that was interrupted. */
export const noteStopped = (label: string, events: number, left: string) =>
  note(`${label}: stopped after ${counted(events, "event")}; ${left}`)

/** What is left of an interrupted import or copy. */
export const goesOn = "the same command goes on from there"

/** Says what an import of an archive or of a log came to. */
export const importedText = (imported: Archive.Imported, to: OpenLog["Service"]) =>
  textOf(
    imported,
    to,
    imported.arePositionsKept
      ? imported.stored === 1 ? "at the position it had" : "at the positions they had"
      : "at new positions in the same order"
  )

/** Says what an import from another kind of store came to, which has no positions that could be kept. */
export const foreignText = (imported: Archive.Imported, to: OpenLog["Service"]) =>
  textOf(
    imported,
    to,
    imported.arePositionsKept ? "in the same order, at positions counted from 1" : "in the same order, at new positions"
  )

const textOf = (
  { present, stored, streamsChanged }: Archive.Imported,
  to: OpenLog["Service"],
  where: string
) => {
  const events = (count: number) => `${counted(count, "event")} ${count === 1 ? "is" : "are"}`
  if (stored === 0 && streamsChanged === 0) {
    return present === 0
      ? "Nothing to do: there are no events."
      : `Nothing to do: ${present === 1 ? "" : "all "}${events(present)} in ${to.name} already.`
  }
  const before = present === 0 ? "" : `, ${numberOf(present)} ${present === 1 ? "was" : "were"} there already`
  const changed = streamsChanged === 0 || stored > 0 ? "" : `; ${counted(streamsChanged, "stream")} changed`
  return `${events(stored)} stored in ${to.name}${before}${stored === 0 ? changed : `, ${where}`}.`
}
