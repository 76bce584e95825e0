import { DateTime, Effect } from "effect"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type { LogStorage } from "../../Store/LogStorage.ts"
import type { ProjectionState, RehearsedProjection } from "../../Store/ProjectionStorage.ts"
import { InvalidInput, type StoreError } from "../../Store/StoreError.ts"
import type { RehearseOptions } from "../Rehearsal.ts"
import type { Definition } from "./definition.ts"
import { logPages } from "./logPages.ts"
import { placeOf } from "./running.ts"

/** What part of the log was asked for. */
export type Asked = Pick<RehearsedProjection, "from" | "to" | "until">

const refuse = (field: string, problem: string) => Effect.fail(new InvalidInput({ field, problem }))

/** Checks what was asked for, as far as that is possible without the log. */
export const toAsked = ({ from, to, until }: RehearseOptions<any>): Effect.Effect<Asked, InvalidInput> =>
  Effect.gen(function*() {
    if (from !== undefined && (!Number.isSafeInteger(from) || from < 1)) {
      return yield* refuse("from", `is ${String(from)}, which is no position: they begin at 1`)
    }
    if (to !== undefined && (!Number.isSafeInteger(to) || to < 0)) {
      return yield* refuse("to", `is ${String(to)}, which is no position: they begin at 1`)
    }
    if (to !== undefined && until !== undefined) return yield* refuse("until", "is given together with to")
    if (until !== undefined && !DateTime.isDateTime(until)) return yield* refuse("until", "is no time")
    return {
      from: from ?? null,
      to: to ?? null,
      until: until === undefined ? null : DateTime.toEpochMillis(until)
    }
  })

/** Position up to which a version has handled everything. */
export const positionOf = ({ partitions }: ProjectionState): number =>
  Math.min(...partitions.map(({ position }) => position))

/** Where it begins, and up to where it is built. */
export const toRange = (
  storage: LogStorage,
  { from, to, until }: Asked,
  { definition, filter, versions }: {
    readonly definition: Definition
    readonly filter: LogFilter
    /** Those of the projection. */
    readonly versions: ReadonlyArray<ProjectionState>
  }
): Effect.Effect<
  { readonly start: { readonly position: number; readonly eventId: string | null }; readonly target: number },
  InvalidInput | StoreError
> =>
  Effect.gen(function*() {
    const head = yield* storage.head
    // where the version is known it began where that says, whatever is declared today
    const known = versions.find(({ version }) => version === definition.version)
    const begin = from === null ? known?.startPosition ?? definition.start : from - 1
    if (from !== null && from - 1 > head) {
      return yield* refuse("from", `is ${from}, but the log ends at position ${head}`)
    }
    const start = yield* placeOf(storage, begin)
    const live = versions.find(({ isLive }) => isLive)
    const target = to ?? (until === null
      ? live && positionOf(live)
      : yield* firstSince(storage, filter, until, { after: start.position, to: head })) ??
      head
    if (target > head) return yield* refuse("to", `is ${target}, but the log ends at position ${head}`)
    if (target >= start.position) return { start, target }
    return from === null && to === null
      ? { start, target: start.position }
      : yield* refuse(from === null ? "to" : "from", `leaves nothing: from ${start.position + 1} to ${target}`)
  })

/**
 * The position before the first event of a part of the log that was recorded at a time or later, `undefined` where there is none.
 * What it does not handle does not count: clocks go wrong, and those of others are no reason to end early.
 */
const firstSince = (
  storage: LogStorage,
  filter: LogFilter,
  until: number,
  range: { readonly after: number; readonly to: number }
): Effect.Effect<number | undefined, StoreError> =>
  Effect.gen(function*() {
    const since = { ...filter, recordedFrom: Math.max(until, filter.recordedFrom ?? until) }
    const pages = logPages(storage, since, range, (page) => page)
    while (true) {
      const { caughtUp, events: [first] } = yield* pages.take(1)
      if (first !== undefined) return first.position - 1
      if (caughtUp) return undefined
    }
  })
