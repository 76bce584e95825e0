import { Effect } from "effect"
import { isEventId } from "../../Event/EventId.ts"
import type { EventStore } from "../../Store/EventStore.ts"
import { type Follower, selectFollowers } from "./causationSql.ts"
import type { LogTables } from "./frame/logSql.ts"
import type { Report } from "./frame/progress.ts"
import { eventById, type Shown } from "./shownEvent.ts"

/** What an event names as its causation, and the event that this is, where it is one that can be read. */
export interface Cause {
  readonly causationId: string
  readonly event: Shown | undefined
}

/** Most events of a chain. Nobody writes a longer one, but whoever appends may name what he likes. */
const longestChain = 1000

/** What led to an event: its cause, what led to that, and so on, the first cause first. */
export const causesOf = (store: EventStore["Service"], shown: Shown) =>
  Effect.gen(function*() {
    const causes: Array<Cause> = []
    const seen = new Set<string>([shown.eventId])
    let causationId = shown.metadata.causationId
    while (causationId !== undefined && !seen.has(causationId) && causes.length < longestChain) {
      seen.add(causationId)
      const event: Shown | undefined = isEventId(causationId) ? yield* eventById(store, causationId) : undefined
      causes.unshift({ causationId, event })
      causationId = event?.metadata.causationId
    }
    return causes
  })

/** An event that followed, with what followed from it. */
export interface Followed extends Follower {
  readonly followed: Array<Followed>
}

/** Positions that are looked at in one statement. */
const pagePositions = 5000

/**
 * What followed from an event, up to a position, at most so many. An event stands behind what it follows from, so one walk
 * through the log finds what followed from followers, too: a page is looked at again where it has any.
 */
export const followersOf = (
  tables: LogTables,
  { eventId, position }: Shown,
  options: { readonly to: number; readonly limit: number; readonly report: Report }
) =>
  Effect.gen(function*() {
    const roots: Array<Followed> = []
    const children = new Map([[eventId as string, roots]])
    let count = 0
    let after = position as number
    while (after < options.to && count < options.limit) {
      const to = Math.min(after + pagePositions, options.to)
      let wanted: ReadonlyArray<string> = [...children.keys()]
      let begin = after
      while (wanted.length > 0) {
        const found: ReadonlyArray<Follower> = yield* selectFollowers(tables, wanted, { after: begin, to })
        const fresh: Array<Followed> = []
        for (const follower of found) {
          if (children.has(follower.eventId) || count >= options.limit) continue
          count++
          const followed = { ...follower, followed: [] }
          children.set(follower.eventId, followed.followed)
          children.get(follower.causationId)!.push(followed)
          fresh.push(followed)
        }
        wanted = fresh.map(({ eventId }) => eventId)
        begin = fresh[0]?.position ?? to
      }
      after = to
      yield* options.report(after - position, options.to - position)
    }
    return { followed: roots, count, to: after }
  })
