import { Duration, Effect, Exit, Option, Scope } from "effect"
import type { EventId } from "../../Event/EventId.ts"
import { LogRewound, type StoreError } from "../../Store/StoreError.ts"
import type { Claimed, Offer } from "../../Store/SubscriptionStorage.ts"
import type { Position } from "../../Stream/Position.ts"
import { SubscriptionRemoved } from "../SubscriptionError.ts"
import type { Core } from "./core.ts"
import { isSameFilter } from "./declaration.ts"
import type { Filler } from "./filler.ts"

/** Claims deliveries as there is room for them, and fills the queue they come from. */
export class Claiming {
  private readonly core: Core
  private readonly filler: Filler<never, unknown>
  private readonly pump: () => void
  /** The declaration it goes by. */
  private revision: number
  /** Whether it can look for events by that declaration: where the keys come from a function of another program, it cannot. */
  private mayFill = true
  /** Whether the storage was asked and has not answered. */
  isAsking = false

  constructor(core: Core, filler: Filler<never, unknown>, pump: () => void) {
    this.core = core
    this.filler = filler
    this.pump = pump
    this.revision = core.options.state.revision
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
      const found = free > 0 && this.mayFill ? yield* filler.next(position, free) : undefined
      const offer = found && { ...found, revision: this.revision }
      if (offer === undefined && !mayFind) {
        mayFind = yield* this.waitForWork(free > 0 && this.mayFill, dueAt)
        continue
      }
      const limit = this.room
      const claimed = yield* core.steadily("claimed", this.ask(limit, offer))
      const isTaken = offer === undefined || claimed.position === offer.to
      // nobody was faster: the log may not be the one that was read
      if (!isTaken && claimed.position === offer.from && claimed.revision === this.revision) {
        yield* this.stillHolds(offer)
      }
      mayFind = claimed.deliveries.length >= limit || !isTaken
      position = claimed.position
      free = claimed.free
      if (claimed.revision !== this.revision) {
        yield* this.goByDeclaration
        mayFind = true
      }
      dueAt = core.holdings.now() + Math.min(claimed.nextIn ?? Infinity, poll)
      if (claimed.deliveries.length > 0) {
        this.pump()
        // timers and other fibres come first
        yield* Effect.yieldNow
      }
    }
  })

  /**
   * Another program declared the subscription to be another one, and this one has to look for events by that: by its own
   * declaration it would pass over what the other one wants.
   */
  private readonly goByDeclaration: Effect.Effect<void, unknown> = Effect.gen({ self: this }, function*() {
    const { core, filler } = this
    const { scope, state: own, store } = core.options
    const read = Effect.suspend(() => store.storage.subscriptions.state(own.name, core.now))
    const state = Option.getOrUndefined(yield* core.steadily("declared", read))
    // the next claim says that it was removed
    if (state === undefined || state.id !== own.id) return
    this.revision = state.revision
    this.mayFill = state.ordering === own.ordering && (own.ordering !== "key" || isSameFilter(state.filter, own.filter))
    yield* Effect.annotateLogs(
      this.mayFill
        ? Effect.logInfo("The subscription was declared anew: this consumer goes by that")
        : Effect.logWarning(
          "The subscription was declared anew: this consumer handles what is queued, and looks for no more"
        ),
      { subscription: own.name }
    )
    if (!this.mayFill) return
    const place = { position: state.position, eventId: state.eventId ?? undefined }
    filler.follow(yield* store.tail.follow(state.filter, place).pipe(Scope.provide(scope)), state.position)
  })

  /** Fails where what was offered is not in the log any more: it was restored, or another server took over. */
  private stillHolds({ eventId, to }: Offer): Effect.Effect<void, unknown> {
    const { core } = this
    if (eventId === null) return Effect.void
    return Effect.flatMap(
      core.steadily("claimed", core.options.store.storage.identity(to)),
      (found) =>
        found.eventId === eventId
          ? Effect.void
          : Effect.fail(
            new LogRewound({ position: to as Position, head: found.head as Position, eventId: eventId as EventId })
          )
    )
  }

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
            ? this.accept(exit.value, validUntil)
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
    { deliveries, isAlone, parked }: Claimed,
    validUntil: number
  ): Effect.Effect<void> | undefined {
    const { core } = this
    const notices: Array<Effect.Effect<void>> = []
    for (const delivery of deliveries) {
      const before = core.holdings.add(delivery, validUntil)
      if (before !== undefined) notices.push(core.onLost(before, "ran out"))
    }
    // an event whose lease ran out twice is handed out to whoever has nothing else in hand, alone
    if (isAlone) core.isAlone = true
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
    const { core: { holdings, signal }, filler } = this
    return Effect.raceAllFirst([
      Effect.as(signal.wait, true),
      Effect.as(Effect.sleep(Math.max(1, Math.ceil(dueAt - holdings.now()))), true),
      // nobody wakes it for what does not match
      ...(hasFree ? [Effect.as(filler.wait, false), Effect.as(Effect.sleep(filler.lookAgainIn), false)] : [])
    ])
  }
}
