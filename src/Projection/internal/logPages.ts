import { Effect } from "effect"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type { LogStorage } from "../../Store/LogStorage.ts"
import type { Followed, LogFollower } from "../../Store/LogTail.ts"
import type { StoreError } from "../../Store/StoreError.ts"

/** Positions that are looked through at a time, and bytes after which a page ends. */
const window = 50_000
const pageBytes = 4 * 1024 * 1024

/** A follower that can only fail with its storage. */
interface LogPages extends LogFollower<never> {
  readonly take: (limit: number) => Effect.Effect<Followed, StoreError>
}

/**
 * The log behind a position up to another one, as a reader goes through it who does not follow it. What it reads is a part of
 * the transaction that is open, if one is.
 */
export const logPages = (
  storage: LogStorage,
  filter: LogFilter,
  range: { readonly after: number; readonly to: number },
  steadily: <A>(page: Effect.Effect<A, StoreError>) => Effect.Effect<A, StoreError>
): LogPages => {
  let position = range.after
  return {
    start: { position },
    position: () => position,
    seek: (to) => {
      position = to
    },
    take: (limit) =>
      Effect.suspend(() => {
        const to = Math.min(range.to, position + window)
        const page = { direction: "forward", from: position + 1, to, limit, bytes: pageBytes } as const
        return Effect.gen(function*() {
          const { events, more } = position >= range.to
            ? { events: [], more: false }
            : yield* steadily(storage.logPage(filter, page))
          const last = events.at(-1)
          position = Math.max(position, more && last !== undefined ? last.position : to)
          return {
            events,
            position,
            // of an event that is not its own, too: by that it is seen later that the log is another one
            eventId: last?.position === position
              ? last.eventId
              : (yield* steadily(storage.identity(position))).eventId,
            caughtUp: position >= range.to,
            isBehind: true
          }
        })
      }),
    wait: Effect.never
  }
}
