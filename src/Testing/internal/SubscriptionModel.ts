import { Duration } from "effect"
import type { Claim, Held, Settlement } from "../../Store/SubscriptionStorage.ts"

interface Row {
  readonly position: number
  readonly key: string | null
  readonly state: "waiting" | "leased" | "parked"
  readonly attempts: number
  /** Leases that ran out before this one. */
  readonly lost: number
  readonly lease: number
  readonly due: number
  readonly reason: string
  readonly error: string | null
  readonly parkedAt: number
}

/** A persistent subscription as its description says it, without a thought for speed. */
export class SubscriptionModel {
  private rows: ReadonlyArray<Row> = []
  private claims = 0
  position = 0
  eventId: string | null = null
  capacity: number
  parkedBlocks: boolean

  constructor(capacity: number, parkedBlocks: boolean) {
    this.capacity = capacity
    this.parkedBlocks = parkedBlocks
  }

  claim({ attempts, idle, lease, limit, offer }: Claim, now: number) {
    if (offer?.from === this.position) {
      this.position = offer.to
      this.eventId = offer.eventId
      const added = offer.events.filter(({ position }) => !this.rows.some((row) => row.position === position))
      const nothing = {
        state: "waiting",
        attempts: 0,
        lost: 0,
        lease: 0,
        reason: "",
        error: null,
        parkedAt: 0
      } as const
      this.rows = [...this.rows, ...added.map((event) => ({ ...event, ...nothing, due: now }))]
      this.rows = this.rows.toSorted((a, b) => a.position - b.position)
    }

    const exhausted = this.rows.filter((row) => row.state !== "parked" && row.due <= now && row.attempts >= attempts)
    for (const row of exhausted) {
      const reason = `it was begun ${row.attempts} times without an answer`
      this.change({ ...row, state: "parked", reason, parkedAt: now })
    }

    const lostBefore = (row: Row) => row.state === "leased" ? row.lost + 1 : row.lost
    const isSuspect = (row: Row) => lostBefore(row) >= 2
    const earlier = (row: Row) =>
      this.rows.filter((other) => other.state !== "parked" && row.key !== null && other.key === row.key)
        .filter((other) => other.position < row.position)
    const due = this.rows.filter((row) => row.state !== "parked" && row.due <= now && !this.isBlocked(row, now))
    const alone = due.filter((row) => isSuspect(row) && earlier(row).length === 0)
    const together = due.filter((row) => !isSuspect(row) && !earlier(row).some(isSuspect))
    const chosen = (alone.length === 0 ? together : idle ? alone.slice(0, 1) : []).slice(0, limit)

    const claimed = ++this.claims
    for (const row of chosen) {
      this.change({
        ...row,
        state: "leased",
        attempts: row.attempts + 1,
        lost: lostBefore(row),
        lease: claimed,
        due: now + Duration.toMillis(lease)
      })
    }
    const times = this.open().map(({ due }) => due).filter((due) => due > now)
    return {
      deliveries: chosen.map(({ attempts, key, position }) => ({ position, key, attempt: attempts + 1 })),
      position: this.position,
      eventId: this.eventId,
      free: Math.max(0, this.capacity - this.open().length),
      nextIn: times.length === 0 ? undefined : Math.min(...times) - now,
      parked: exhausted.length
    }
  }

  private isBlocked(row: Row, now: number): boolean {
    return row.key !== null && this.rows.some((other) =>
      other !== row && other.key === row.key && (
        (other.state === "leased" && other.due > now) ||
        (other.state === "waiting" && other.due > now && other.position < row.position) ||
        (other.state === "parked" && this.parkedBlocks && other.position < row.position)
      )
    )
  }

  /** Number of the last claim: what the lease of its deliveries is called here. */
  lastClaim = (): number => this.claims

  isHeld = ({ lease, position }: Held, now: number): boolean =>
    this.rows.some((row) => row.position === position && row.state === "leased" && row.lease === lease && row.due > now)

  settle(settlements: ReadonlyArray<Settlement>, now: number): ReadonlyArray<number> {
    const refused = settlements.filter((settlement) => !this.isHeld(settlement, now))
    for (const settlement of settlements) {
      const row = this.rows.find(({ position }) => position === settlement.position)!
      if (refused.includes(settlement)) continue
      switch (settlement.outcome) {
        case "done":
          this.rows = this.rows.filter((other) => other !== row)
          break
        case "release":
          this.change({ ...row, state: "waiting", due: now, attempts: row.attempts - 1 })
          break
        case "retry": {
          const due = now + Duration.toMillis(settlement.after)
          this.change({ ...row, state: "waiting", due, error: settlement.error })
          break
        }
        case "park":
          this.change({ ...row, state: "parked", reason: settlement.reason, error: settlement.error, parkedAt: now })
      }
    }
    return refused.map(({ position }) => position)
  }

  extend(held: ReadonlyArray<Held>, lease: Duration.Duration, now: number): ReadonlyArray<number> {
    const refused = held.filter((one) => !this.isHeld(one, now)).map(({ position }) => position)
    for (const row of this.rows) {
      if (held.some((one) => one.position === row.position) && !refused.includes(row.position)) {
        this.change({ ...row, due: now + Duration.toMillis(lease) })
      }
    }
    return refused
  }

  move(position: number): void {
    this.rows = this.rows.filter(({ state }) => state === "parked")
    this.position = position
    this.eventId = null
  }

  replay(positions: ReadonlyArray<number>): number {
    const replayed = this.rows.filter((row) => row.state === "parked" && positions.includes(row.position))
    // due by the clock of the storage: before any time of a rule
    for (const row of replayed) this.change({ ...row, state: "waiting", due: 0, attempts: 0, lost: 0 })
    return replayed.length
  }

  discard(positions: ReadonlyArray<number>): number {
    const kept = this.rows.filter((row) => row.state !== "parked" || !positions.includes(row.position))
    const count = this.rows.length - kept.length
    this.rows = kept
    return count
  }

  skip(positions: ReadonlyArray<number>): number {
    const kept = this.rows.filter((row) => !positions.includes(row.position))
    const count = this.rows.length - kept.length
    this.rows = kept
    return count
  }

  state(now: number) {
    const inFlight = this.rows.filter((row) => row.state === "leased" && row.due > now).length
    const lowest = this.open()[0]?.position
    return {
      position: this.position,
      eventId: this.eventId,
      capacity: this.capacity,
      parkedBlocks: this.parkedBlocks,
      checkpoint: lowest === undefined || lowest > this.position ? this.position : lowest - 1,
      waiting: this.open().length - inFlight,
      inFlight,
      parked: this.rows.length - this.open().length
    }
  }

  parked = () =>
    this.rows.filter(({ state }) => state === "parked").map(
      ({ attempts, error, key, parkedAt, position, reason }) => ({ position, key, attempts, reason, error, parkedAt })
    )

  private open = () => this.rows.filter(({ state }) => state !== "parked")

  private change(row: Row): void {
    this.rows = this.rows.map((other) => other.position === row.position ? row : other)
  }
}
