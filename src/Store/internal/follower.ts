import { Effect, Fiber, type Scope } from "effect"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { Page } from "../LogStorage.ts"
import type { Followed, LogFollower } from "../LogTail.ts"
import type { LogRewound, StoreError } from "../StoreError.ts"
import type { TailKey, TailListener, TailPages } from "./tailPages.ts"

/** What a follower reads, and how it reads for itself. */
export interface Followable<E> {
  readonly keys: ReadonlyArray<TailKey>
  readonly wants: (event: StoredEvent) => boolean
  /** Notes what was handed out. */
  readonly took: (events: ReadonlyArray<StoredEvent>) => void
  /** What stands behind a position, at most up to `to`; everything up to `end` is stored. */
  readonly page: (after: number, end: number, limit: number) => Effect.Effect<OwnPage, E>
}

/** Without more, everything up to `to` was looked through. */
export interface OwnPage extends Page {
  readonly to: number
}

/** Where a follower begins: `known` is the head of the log at that time. */
export interface FollowFrom {
  readonly position: number
  readonly known: number
  readonly start: LogFollower<never>["start"]
}

/** One reader of the log: from the pages of the tail as far as these reach, else from the storage. */
export class Follower<E> implements LogFollower<E>, TailListener {
  readonly keys: ReadonlyArray<TailKey>
  private readonly source: Followable<E>
  private readonly pages: TailPages
  private readonly failure: () => StoreError | LogRewound | undefined
  private readonly scope: Scope.Scope
  readonly start: LogFollower<E>["start"]
  /** What was stored when it came: it reads that for itself, so that it sees nothing that was hidden by then. */
  private readonly known: number
  private at: number
  /** Whether the tail tells it about new pages: from then on silence means that nothing matched. */
  private joined = false
  /** Whether it was told of something that it has not taken yet. */
  private pending = false
  private resume: (() => void) | undefined
  private ahead: Ahead<E> | undefined

  constructor(
    source: Followable<E>,
    pages: TailPages,
    failure: () => StoreError | LogRewound | undefined,
    at: FollowFrom,
    scope: Scope.Scope
  ) {
    this.source = source
    this.keys = source.keys
    this.pages = pages
    this.failure = failure
    this.start = at.start
    this.known = at.known
    this.at = at.position
    this.scope = scope
  }

  readonly position = (): number => this.joined && !this.pending ? Math.max(this.at, this.pages.position) : this.at

  readonly seek = (position: number): void => {
    this.part()
    this.at = position
  }

  readonly onPage = (after: number): void => {
    if (this.pending) return
    this.pending = true
    // up to here nothing concerned it
    this.at = Math.max(this.at, after)
  }

  readonly wake = (): void => {
    const { resume } = this
    this.resume = undefined
    resume?.()
  }

  readonly wait: Effect.Effect<void> = Effect.callback((resume) => {
    if (!this.joined || this.pending || this.failure() !== undefined) return resume(Effect.void)
    this.resume = () => resume(Effect.void)
    return Effect.sync(() => {
      this.resume = undefined
    })
  })

  readonly take = (limit: number): Effect.Effect<Followed, StoreError | LogRewound | E> =>
    Effect.suspend((): Effect.Effect<Followed, StoreError | LogRewound | E> => {
      const failure = this.failure()
      if (failure !== undefined) return Effect.fail(failure)
      if (this.joined ? this.pending && this.at < this.pages.begins : this.at < this.nearEnd()) {
        // too slow, or not there yet
        if (this.joined) this.part()
        return this.read(limit)
      }
      if (!this.joined) {
        this.drop()
        this.joined = this.pending = true
        this.pages.join(this)
      }
      return Effect.succeed(this.fromPages(limit))
    })

  leave(): void {
    this.part()
  }

  private part(): void {
    if (this.joined) this.pages.leave(this)
    this.joined = this.pending = false
    this.drop()
  }

  private drop(): void {
    // its scope ends the fibre; nobody waits for what it reads
    this.ahead?.fiber.interruptUnsafe()
    this.ahead = undefined
  }

  private fromPages(limit: number): Followed {
    const { pages } = this
    const events: Array<StoredEvent> = []
    if (this.pending) {
      for (const page of pages.after(this.at)) {
        for (const event of page.of(this.keys)) {
          if (event.position <= this.at || !this.source.wants(event)) continue
          if (events.length >= limit) {
            const last = events[events.length - 1]!
            this.at = last.position
            this.source.took(events)
            return { events, position: last.position, eventId: last.eventId, caughtUp: false, isBehind: false }
          }
          events.push(event)
        }
      }
    }
    this.pending = false
    const isAhead = this.at > pages.position
    this.at = Math.max(this.at, pages.position)
    this.source.took(events)
    return {
      events,
      position: this.at,
      eventId: isAhead ? undefined : pages.eventId,
      caughtUp: true,
      isBehind: false
    }
  }

  /** Reads a page, and lets the next one be read while this one is worked on. */
  private read(limit: number): Effect.Effect<Followed, E> {
    const from = this.at
    const { ahead } = this
    this.ahead = undefined
    const page = ahead !== undefined && ahead.from === from && ahead.limit === limit
      ? Fiber.join(ahead.fiber)
      : this.page(from, limit)
    return Effect.flatMap(page, ({ events, more, to }) => {
      const last = events[events.length - 1]
      const position = more ? last?.position ?? from : Math.max(to, last?.position ?? 0)
      this.at = position
      this.source.took(events)
      const followed: Followed = {
        events,
        position,
        eventId: last?.position === position ? last.eventId : undefined,
        caughtUp: false,
        isBehind: true
      }
      if (position >= this.nearEnd()) return Effect.succeed(followed)
      return Effect.map(Effect.forkIn(this.page(position, limit), this.scope), (fiber) => {
        this.ahead = { from: position, limit, fiber }
        return followed
      })
    })
  }

  private page(after: number, limit: number): Effect.Effect<OwnPage, E> {
    return Effect.suspend(() => this.source.page(after, Math.max(this.pages.position, this.known), limit))
  }

  /** From here on the pages of the tail have all that it is to see. */
  private nearEnd(): number {
    return Math.max(this.pages.begins, this.known)
  }
}

/** A page that is read while its predecessor is worked on. */
interface Ahead<E> {
  readonly from: number
  readonly limit: number
  readonly fiber: Fiber.Fiber<OwnPage, E>
}
