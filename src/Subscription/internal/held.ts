import { Clock, type Fiber } from "effect"
import type { ClaimedDelivery, Held } from "../../Store/SubscriptionStorage.ts"

/** A delivery in hand. It is held until the storage took notice of its answer, or its lease is lost. */
export class Entry {
  readonly claimed: ClaimedDelivery
  readonly run: Run
  /** By the monotonic clock, in milliseconds. */
  validUntil: number
  phase: "waiting" | "running" | "answered" = "waiting"
  isLost = false
  /** Whether a transaction of its handler finished it. */
  isFinished = false
  /** Told once: whether the storage refused the answer, or there will be none. */
  onSettled: ((isRefused: boolean) => void) | undefined

  constructor(claimed: ClaimedDelivery, run: Run, validUntil: number) {
    this.claimed = claimed
    this.run = run
    this.validUntil = validUntil
  }

  get held(): Held {
    return { position: this.claimed.position, lease: this.claimed.lease }
  }

  settled(isRefused: boolean): void {
    const { onSettled } = this
    this.onSettled = undefined
    onSettled?.(isRefused)
  }
}

/** Deliveries of one key, which are handled in order, one after the other; or one without a key. */
export class Run {
  readonly key: string | null
  readonly entries: Array<Entry> = []
  next = 0
  current: Entry | undefined
  fiber: Fiber.Fiber<unknown, unknown> | undefined

  constructor(key: string | null) {
    this.key = key
  }
}

/** What a consumer has in hand. */
export class Holdings {
  private readonly clock: Clock.Clock
  private readonly byPosition = new Map<number, Entry>()
  private readonly byKey = new Map<string, Run>()
  private readonly ready = new Set<Run>()
  /** Entries that nobody has begun. */
  waiting = 0
  /** Runs that are worked on. */
  active = 0

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  get size(): number {
    return this.byPosition.size
  }

  /** Whether a hand is free, and nothing is there for it. */
  isWithoutWork(hands: number): boolean {
    return this.active < hands && this.ready.size === 0
  }

  /** Monotonic, in milliseconds. */
  now(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  all(): ReadonlyArray<Entry> {
    return [...this.byPosition.values()]
  }

  /** What was held of the same position before: its lease is another one by now. */
  add(claimed: ClaimedDelivery, validUntil: number): Entry | undefined {
    const known = claimed.key === null ? undefined : this.byKey.get(claimed.key)
    const run = known ?? new Run(claimed.key)
    if (known === undefined) {
      if (claimed.key !== null) this.byKey.set(claimed.key, run)
      this.ready.add(run)
    }
    const entry = new Entry(claimed, run, validUntil)
    const before = this.byPosition.get(claimed.position)
    run.entries.push(entry)
    this.byPosition.set(claimed.position, entry)
    this.waiting++
    return before
  }

  /** The next run to work on. */
  takeRun(): Run | undefined {
    for (const run of this.ready) {
      this.ready.delete(run)
      this.active++
      return run
    }
    return undefined
  }

  /** Nobody works on a run any more. */
  endRun(run: Run): void {
    this.active--
    run.fiber = undefined
    if (run.next < run.entries.length) this.ready.add(run)
    else if (run.key !== null && this.byKey.get(run.key) === run) this.byKey.delete(run.key)
  }

  /** The next entry of a run, which counts as begun from now on. */
  begin(run: Run): Entry | undefined {
    const entry = run.entries[run.next]
    if (entry === undefined) return undefined
    run.next++
    if (entry.phase === "waiting") {
      entry.phase = "running"
      this.waiting--
    }
    return entry
  }

  /** What was claimed together with an entry and comes after it in its run: begun, to be given back. */
  takeRest({ claimed: { lease }, run }: Entry): ReadonlyArray<Entry> {
    const rest: Array<Entry> = []
    // what was claimed later has nothing to do with it
    while (run.entries[run.next]?.claimed.lease === lease) {
      const entry = this.begin(run)!
      if (!entry.isLost) rest.push(entry)
    }
    return rest
  }

  isValid(entry: Entry): boolean {
    return !entry.isLost && this.now() < entry.validUntil
  }

  remove(entry: Entry): void {
    const { position } = entry.claimed
    if (this.byPosition.get(position) === entry) this.byPosition.delete(position)
    if (entry.phase === "waiting") {
      entry.phase = "answered"
      this.waiting--
    }
  }
}
