import { type Clock, type Context, Deferred, Duration, Effect, Exit, type Scope } from "effect"
import type { EventStore } from "../../Store/EventStore.ts"
import type { LogFollower } from "../../Store/LogTail.ts"
import { Signal } from "../../Store/Signal.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { retryPassing, type StoreError } from "../../Store/StoreError.ts"
import type { Settlement, SubscriptionState } from "../../Store/SubscriptionStorage.ts"
import type { ConsumerSettings } from "./declaration.ts"
import type { KeyOf } from "./filler.ts"
import type { HandlePart } from "./handling.ts"
import { type Entry, Holdings } from "./held.ts"
import { type Answer, Outbox } from "./outbox.ts"
import type { Decode } from "./source.ts"
import { Telemetry } from "./telemetry.ts"
import type { RetryPolicy } from "./verdict.ts"

export interface CoreOptions {
  readonly store: EventStore["Service"]
  readonly state: SubscriptionState
  readonly follower: LogFollower<never>
  /** That of the consumer. */
  readonly scope: Scope.Scope
  readonly clock: Clock.Clock
  readonly settings: ConsumerSettings
  readonly retry: RetryPolicy["schedule"]
  readonly decode: Decode
  readonly keyOf: KeyOf<unknown>
  readonly handle: HandlePart
  /** Most runs that are worked on at a time. */
  readonly concurrency: number
  /** Most deliveries in hand. */
  readonly window: number
}

/**
 * What the parts of a consumer share: what is held, and what becomes of it. Every step here is synchronous, so no part sees
 * another one half done.
 */
export class Core {
  readonly options: CoreOptions
  readonly lease: number
  readonly telemetry: Telemetry
  readonly holdings: Holdings
  readonly outbox: Outbox
  /** Raised when claiming, or waiting to claim, may have become another thing. */
  readonly signal = new Signal()
  /** Whether the queue in the storage may have changed since it was asked. */
  hasNews = false
  /** Whether what is in hand may be what killed other consumers: nothing else is claimed beside it. */
  isAlone = false
  /** From then on nothing is begun. */
  isEnding = false
  readonly failure = Deferred.makeUnsafe<never, unknown>()
  private isTelling = false

  constructor(options: CoreOptions, context: Context.Context<never>) {
    const { clock, concurrency, settings, state, window } = options
    this.options = options
    this.lease = Duration.toMillis(settings.lease)
    this.telemetry = new Telemetry(state.name, context)
    this.holdings = new Holdings(clock)
    this.outbox = new Outbox({
      settle: (settlements) => this.steadily("settled", this.settle(settlements)),
      onSettled: (answers, refused) => this.onSettled(answers, refused),
      now: () => this.holdings.now(),
      every: settings.every,
      within: settings.within,
      // nothing gathers while a hand is free: what is answered may be what others wait for
      isIdle: () => this.holdings.isWithoutWork(concurrency) || this.holdings.size >= window
    })
  }

  /** Time for the storage to go by. */
  get now(): number | undefined {
    return StorageTime.of(this.options.clock)
  }

  fail(exit: Exit.Exit<never, unknown>): void {
    this.isEnding = true
    this.signal.raise()
    Deferred.doneUnsafe(this.failure, exit)
  }

  /** Somebody changed the queue in the storage. */
  readonly onChange = (): void => {
    if (this.isTelling) return
    this.hasNews = true
    this.signal.raise()
  }

  /** Goes on trying while the storage does not answer. */
  steadily<A, E>(what: string, effect: Effect.Effect<A, StoreError | E>): Effect.Effect<A, StoreError | E> {
    return retryPassing(effect, (error) => {
      this.telemetry.count("storeRetries")
      const { name } = this.options.state
      return Effect.logWarning(`Deliveries of the subscription ${name} cannot be ${what} for now`, error.message)
    })
  }

  settle(settlements: ReadonlyArray<Settlement>): Effect.Effect<ReadonlyArray<number>, StoreError> {
    const { state, store } = this.options
    return Effect.suspend(() => store.storage.subscriptions.settle(state.id, settlements, this.now))
  }

  /** The storage took notice of answers, or refused them. */
  onSettled(answers: ReadonlyArray<Answer>, refused: ReadonlySet<number>): Effect.Effect<void> {
    const { holdings, options, telemetry } = this
    const counts = { done: 0, retry: 0, park: 0, release: 0 }
    let mayFree = false
    for (const { entry, settlement } of answers) {
      const isRefused = refused.has(settlement.position)
      holdings.remove(entry)
      if (!isRefused) {
        counts[settlement.outcome]++
        if (settlement.outcome === "release" || entry.claimed.key !== null) mayFree = true
      }
      entry.settled(isRefused)
    }
    telemetry.count("handled", counts.done)
    telemetry.count("retries", counts.retry)
    telemetry.count("parked", counts.park)
    this.onFreed(mayFree)
    if (refused.size === 0) return Effect.void
    telemetry.count("lostLeases", refused.size)
    return Effect.logWarning("The store refused answers: somebody else has these events by now, or finished them").pipe(
      Effect.annotateLogs({ subscription: options.state.name, positions: [...refused] })
    )
  }

  /** A transaction finished an entry. */
  readonly onFinished = (entry: Entry): void => {
    entry.isFinished = true
    this.holdings.remove(entry)
    this.telemetry.count("handled")
    // what the transaction appended went past the store
    this.options.store.tail.stored(0)
    this.onFreed(entry.claimed.key !== null)
    entry.settled(false)
  }

  /** An entry is somebody else's by now, or will be. */
  readonly onLost = (entry: Entry, why: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (entry.isLost || entry.isFinished || entry.phase === "answered") return Effect.void
      entry.isLost = true
      this.holdings.remove(entry)
      this.telemetry.count("lostLeases")
      this.onFreed(false)
      entry.settled(true)
      if (entry.run.current === entry) entry.run.fiber?.interruptUnsafe()
      return this.annotated(entry, Effect.logWarning(`The lease of an event ${why}`))
    })

  annotated<A, E>(entry: Entry, effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const { event, position } = entry.claimed
    return Effect.annotateLogs(effect, { subscription: this.options.state.name, position, stream: event?.streamId })
  }

  /** Something is held no longer. Others of this process may have what waited for it. */
  private onFreed(mayFree: boolean): void {
    if (this.holdings.size === 0) this.isAlone = false
    this.telemetry.gauge("inFlight", this.holdings.size)
    if (mayFree) {
      this.isTelling = true
      this.options.store.tail.changed(this.options.state.name)
      this.isTelling = false
    }
    this.hasNews = true
    this.signal.raise()
  }
}
