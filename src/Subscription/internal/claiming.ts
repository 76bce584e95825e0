import { Duration, Effect, Exit } from "effect"
import type { StoreError } from "../../Store/StoreError.ts"
import type { Claimed, Offer } from "../../Store/SubscriptionStorage.ts"
import { SubscriptionRemoved } from "../SubscriptionError.ts"
import type { Core } from "./core.ts"
import type { Filler } from "./filler.ts"

/** Claims deliveries as there is room for them, and fills the queue they come from. */
export class Claiming {
  private readonly core: Core
  private readonly filler: Filler<never, unknown>
  private readonly pump: () => void
  /** Whether the storage was asked and has not answered. */
  isAsking = false

  constructor(core: Core, filler: Filler<never, unknown>, pump: () => void) {
    this.core = core
    this.filler = filler
    this.pump = pump
  }

  readonly run: Effect.Effect<void, unknown, any> = Effect.gen({ self: this }, function*() {
    const { core, filler } = this
    const poll = Duration.toMillis(core.options.store.tail.poll)
    let { position } = core.options.state
    let free = 0
    // when something may be due that is not now: a time, since the wait for it may be broken off and begin again
    let dueAt = 0
    // whether the queue may hold something for this consumer
    let mayFind = true
    while (!core.isEnding) {
      core.signal.take()
      if (core.hasNews) {
        core.hasNews = false
        mayFind = true
      }
      if (!this.wantsMore) {
        yield* core.signal.wait
        continue
      }
      const offer = free > 0 ? yield* filler.next(position, free) : undefined
      if (offer === undefined && !mayFind) {
        mayFind = yield* this.waitForWork(free > 0, dueAt)
        continue
      }
      const limit = this.room
      const claimed = yield* core.steadily("claimed", this.ask(limit, offer))
      const isTaken = offer === undefined || claimed.position === offer.to
      mayFind = claimed.deliveries.length >= limit || !isTaken
      position = claimed.position
      free = claimed.free
      dueAt = core.holdings.now() + Math.min(claimed.nextIn ?? Infinity, poll)
      if (claimed.deliveries.length > 0) {
        this.pump()
        // timers and other fibres come first
        yield* Effect.yieldNow
      }
    }
  })

  private get room(): number {
    return this.core.options.window - this.core.holdings.size
  }

  /** Whether to claim: not for every single place that becomes free, unless somebody has nothing to do. */
  private get wantsMore(): boolean {
    const { holdings, isAlone, options: { concurrency, window } } = this.core
    return this.room > 0 && !isAlone &&
      (holdings.active < concurrency || holdings.waiting <= (window - concurrency) / 2)
  }

  private ask(limit: number, offer: Offer | undefined): Effect.Effect<Claimed, StoreError | SubscriptionRemoved> {
    const { core } = this
    const { settings: { attempts, lease }, state: { id, name }, store } = core.options
    return Effect.suspend(() => {
      const idle = core.holdings.size === 0
      // before the call: the storage counts from later
      const validUntil = core.holdings.now() + core.lease
      this.isAsking = true
      return Effect.onExitPrimitive(
        store.storage.subscriptions.claim({ id, now: core.now, limit, lease, attempts, idle, offer }),
        (exit) => {
          this.isAsking = false
          // at once: what was claimed has to be given back, whatever happens next
          return Exit.isSuccess(exit) && exit.value !== undefined
            ? this.accept(exit.value, idle && limit > 1, validUntil)
            : undefined
        }
      )
    }).pipe(
      Effect.flatMap((claimed) =>
        claimed === undefined ? Effect.fail(new SubscriptionRemoved({ subscription: name })) : Effect.succeed(claimed)
      )
    )
  }

  private accept(
    { deliveries, parked }: Claimed,
    mayBeAlone: boolean,
    validUntil: number
  ): Effect.Effect<void> | undefined {
    const { core } = this
    const notices: Array<Effect.Effect<void>> = []
    for (const delivery of deliveries) {
      const before = core.holdings.add(delivery, validUntil)
      if (before !== undefined) notices.push(core.onLost(before, "ran out"))
    }
    // an event whose lease ran out twice is handed out to whoever has nothing else in hand, alone
    core.isAlone = mayBeAlone && deliveries.length === 1 && deliveries[0]!.attempt > 2
    core.telemetry.gauge("inFlight", core.holdings.size)
    if (parked > 0) {
      core.telemetry.count("parked", parked)
      notices.push(
        Effect.annotateLogs(Effect.logWarning(`Parked ${parked} events: they were begun too often without an answer`), {
          subscription: core.options.state.name
        })
      )
    }
    return notices.length === 0 ? undefined : Effect.all(notices, { discard: true })
  }

  /** Waits until there may be work. Says whether it may be in the queue, and not only in the log. */
  private waitForWork(hasFree: boolean, dueAt: number): Effect.Effect<boolean> {
    const { core: { holdings, options: { follower }, signal }, filler } = this
    return Effect.raceAllFirst([
      Effect.as(signal.wait, true),
      Effect.as(Effect.sleep(Math.max(1, Math.ceil(dueAt - holdings.now()))), true),
      // nobody wakes it for what does not match
      ...(hasFree ? [Effect.as(follower.wait, false), Effect.as(Effect.sleep(filler.lookAgainIn), false)] : [])
    ])
  }
}
