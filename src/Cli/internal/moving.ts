import { Effect, type Option } from "effect"
import { Flag } from "effect/cli"
import type * as Archive from "../Archive.ts"
import type { OpenLog } from "./logSql.ts"
import { during } from "./progress.ts"
import { numberOf } from "./table.ts"
import { timeFlag, timeOf } from "./times.ts"

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
    const filter: Archive.ExportFilter = {
      categories: input.category.length === 0 ? undefined : input.category,
      recordedFrom: yield* timeOf("since", input.since),
      recordedUntil: yield* timeOf("until", input.until),
      visibleOnly: input.visibleOnly
    }
    return filter
  })

/** Runs what moves events, and shows how far it is. */
export const moving = <A, E, R>(label: string, work: (options: Archive.Options) => Effect.Effect<A, E, R>) =>
  during({ label }, (report) => work({ onProgress: ({ events, total }) => report(events, total) }))

/** Says what an import came to. */
export const importedText = (
  { arePositionsKept, present, stored, streamsChanged }: Archive.Imported,
  to: OpenLog["Service"]
) =>
  stored === 0 && streamsChanged === 0
    ? `Nothing to do: all ${numberOf(present)} events are in ${to.name} already.`
    : [
      `${numberOf(stored)} events are stored in ${to.name}`,
      ...(present > 0 ? [`, ${numberOf(present)} were there already`] : []),
      arePositionsKept ? ", at the positions they had." : ", at new positions in the same order."
    ].join("")
