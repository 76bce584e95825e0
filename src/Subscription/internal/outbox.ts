import { Effect } from "effect"
import { Signal } from "../../Store/Signal.ts"
import type { StoreError } from "../../Store/StoreError.ts"
import type { Settlement } from "../../Store/SubscriptionStorage.ts"
import type { Entry } from "./held.ts"

/** What became of an entry. */
export interface Answer {
  readonly entry: Entry
  readonly settlement: Settlement
}

export interface OutboxOptions {
  readonly settle: (settlements: ReadonlyArray<Settlement>) => Effect.Effect<ReadonlyArray<number>, StoreError>
  /** Told of answers that the storage took notice of, and whether it refused them. */
  readonly onSettled: (answers: ReadonlyArray<Answer>, refused: ReadonlySet<number>) => Effect.Effect<void>
  /** Monotonic, in milliseconds. */
  readonly now: () => number
  /** Acknowledgements gather until there are so many, or for so many milliseconds. */
  readonly every: number
  readonly within: number
  /** Whether waiting for more acknowledgements would hold up the consumer, or be in vain. */
  readonly isIdle: () => boolean
}

/** Brings answers to the storage: what gathers while some are on their way goes together with the next. */
export class Outbox {
  private readonly options: OutboxOptions
  private readonly signal = new Signal()
  private pending: Array<Answer> = []
  private isUrgent = false
  private isClosed = false
  private since = 0
  /** On their way. */
  private sent: ReadonlyArray<Answer> = []

  constructor(options: OutboxOptions) {
    this.options = options
  }

  /** Answers that go together: the storage takes notice of all of them at the same time. */
  add(answers: ReadonlyArray<Answer>): void {
    if (answers.length === 0) return
    if (this.pending.length === 0) this.since = this.options.now()
    for (const answer of answers) {
      answer.entry.phase = "answered"
      this.pending.push(answer)
      if (answer.settlement.outcome !== "done") this.isUrgent = true
    }
    if (this.isDue()) this.signal.raise()
    // somebody has to look at the time
    else if (this.pending.length === answers.length) this.signal.raise()
  }

  /** Something changed that acknowledgements may have waited for. */
  poke(): void {
    if (this.pending.length > 0) this.signal.raise()
  }

  /** What nobody has brought to the storage for certain. */
  takeAll(): ReadonlyArray<Answer> {
    const all = [...this.sent, ...this.pending]
    this.sent = this.pending = []
    return all
  }

  /** Lets what is on its way arrive, and begins nothing more. */
  close(): void {
    this.isClosed = true
    this.signal.raise()
  }

  readonly run: Effect.Effect<void, StoreError> = Effect.gen({ self: this }, function*() {
    const { now, within } = this.options
    while (!this.isClosed) {
      this.signal.take()
      if (this.pending.length === 0) yield* this.signal.wait
      else if (this.isDue()) yield* this.flush
      else if (within === Infinity) yield* this.signal.wait
      else yield* Effect.raceFirst(this.signal.wait, Effect.sleep(Math.max(1, Math.ceil(this.since + within - now()))))
    }
  })

  private isDue(): boolean {
    const { every, isIdle, now, within } = this.options
    return this.isUrgent || this.pending.length >= every || isIdle() || now() >= this.since + within
  }

  private readonly flush: Effect.Effect<void, StoreError> = Effect.suspend(() => {
    const answers = this.pending
    this.sent = answers
    this.pending = []
    this.isUrgent = false
    return Effect.flatMap(this.options.settle(answers.map(({ settlement }) => settlement)), (refused) => {
      this.sent = []
      return this.options.onSettled(answers, new Set(refused))
    })
  })
}
