import { Effect } from "effect"
import type { LogFollower } from "../../Store/LogTail.ts"
import type { Offer } from "../../Store/SubscriptionStorage.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"

/** Events that are taken from the log at a time, whatever there is room for: so that the next ones are read ahead. */
const takenAtATime = 1000

/** A piece of the log in which nothing matched is worth a write when it is so long, or so many milliseconds old. */
const worthPositions = 10_000
const worthMillis = 5000

/** What an event is kept in order by. Nothing to run where that took no waiting. */
export type KeyOf<E> = (stored: StoredEvent) => string | null | Effect.Effect<string | null, E, any>

interface Found {
  readonly position: number
  readonly eventId: string
  readonly key: string | null
}

/** Looks for events that match, and offers them to the queue of a subscription. */
export class Filler<E, E2> {
  private follower: LogFollower<E>
  private readonly keyOf: KeyOf<E2>
  private readonly now: () => number
  /** Found between `from` and `to`, and not taken yet. */
  private found: Array<Found> = []
  private from: number
  private to: number
  private eventId: string | null = null
  private isCaughtUp = false
  /** When the position of the subscription last moved. */
  private moved: number

  constructor(follower: LogFollower<E>, keyOf: KeyOf<E2>, position: number, now: () => number) {
    this.follower = follower
    this.keyOf = keyOf
    this.from = this.to = position
    this.now = now
    this.moved = now()
  }

  /** Position up to which nothing is left to offer; `undefined` where it is not at the end of the log. */
  get lookedThrough(): number | undefined {
    return this.isCaughtUp && this.found.length === 0 ? this.to : undefined
  }

  /** Milliseconds until there may be a piece without events that is worth a write. */
  get lookAgainIn(): number {
    const millis = this.moved + worthMillis - this.now()
    return millis > 0 ? Math.max(1, Math.ceil(millis)) : worthMillis
  }

  /** Goes on from a position with another follower: of what was found nothing counts. */
  follow(follower: LogFollower<E>, position: number): void {
    this.follower = follower
    this.from = this.to = position
    this.found = []
    this.eventId = null
    this.isCaughtUp = false
  }

  /** Waits until there may be something to find. */
  get wait(): Effect.Effect<void> {
    return this.follower.wait
  }

  /** What to offer to a subscription that stands at a position and has so many free places. */
  readonly next = (position: number, free: number) =>
    Effect.gen({ self: this }, function*() {
      this.goTo(position)
      while (this.found.length === 0) {
        const { caughtUp, eventId, events, position } = yield* this.follower.take(takenAtATime)
        const found: Array<Found> = []
        for (const stored of events) {
          const key = this.keyOf(stored)
          found.push({
            position: stored.position,
            eventId: stored.eventId,
            key: Effect.isEffect(key) ? yield* key : key
          })
        }
        this.found = found
        this.to = position
        this.eventId = eventId ?? null
        this.isCaughtUp = caughtUp
        if (found.length === 0 && (caughtUp || this.to - this.from >= worthPositions)) break
      }
      return this.offer(free)
    })

  /** A subscription stands elsewhere: what was found is still good as far as it lies behind that. */
  private goTo(position: number): void {
    if (position === this.from) return
    if (position > this.from && position <= this.to) {
      this.found = this.found.filter((found) => found.position > position)
    } else {
      this.found = []
      this.to = position
      this.eventId = null
      this.isCaughtUp = false
      this.follower.seek(position)
    }
    this.from = position
    this.moved = this.now()
  }

  private offer(free: number): Offer | undefined {
    const { from } = this
    if (this.found.length > 0) {
      const events = this.found.slice(0, Math.min(free, takenAtATime))
      const last = events[events.length - 1]!
      return events.length < this.found.length
        ? { from, to: last.position, eventId: last.eventId, events }
        : { from, to: this.to, eventId: this.eventId, events }
    }
    const isWorth = this.to - from >= worthPositions || this.to > from && this.now() - this.moved >= worthMillis
    return isWorth ? { from, to: this.to, eventId: this.eventId, events: [] } : undefined
  }
}
