import { type Clock, DateTime, Duration, Effect } from "effect"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import type { EventStore } from "../../Store/EventStore.ts"
import type { Timer } from "../../Store/ProjectionStorage.ts"
import { Signal } from "../../Store/Signal.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { retryPassing, StreamTombstoned } from "../../Store/StoreError.ts"
import type { ProcessDefinition } from "./processDefinition.ts"
import { TimerFired } from "./processEvents.ts"
import { loadLast } from "./processStore.ts"
import type { ProcessTelemetry } from "./processTelemetry.ts"

/** Milliseconds after which timers are looked for that another program may have set, and not lived to fire. */
const othersMillis = 1000

/** Milliseconds to wait where they cannot be looked for, or one cannot be fired; then twice as long each time. */
const troubleMillis = 1000
const mostTroubleMillis = 30_000

/** Timers that are looked at together, beside those that cannot be fired for now, and those of them that are fired at a time. */
const timersAtATime = 100
const concurrency = 4

/** The timers of a manager, seen by one program: it fires those that are due, and sleeps until the next one is. */
export class ProcessTimers {
  private readonly store: EventStore["Service"]
  private readonly definition: ProcessDefinition
  private readonly telemetry: ProcessTelemetry
  private readonly clock: Clock.Clock
  private readonly signal = new Signal()
  private readonly pollMillis: number
  /** Under which name the programs of this process tell each other that timers were set. */
  private readonly news: string
  /** It looks again at this time at the latest, in milliseconds since 1970. */
  private looksAt = 0
  private isTelling = false
  /** Timers that could not be fired, by id: when they are tried again. They stand before all others. */
  private readonly failing = new Map<number, { readonly at: number; readonly after: number }>()

  constructor(
    store: EventStore["Service"],
    definition: ProcessDefinition,
    telemetry: ProcessTelemetry,
    clock: Clock.Clock
  ) {
    this.store = store
    this.definition = definition
    this.telemetry = telemetry
    this.clock = clock
    this.news = `process/${definition.name}`
    // where nobody can be heard, the storage knows how soon to look
    this.pollMillis = store.storage.listen === undefined ? Duration.toMillis(store.tail.poll) : othersMillis
  }

  /** Timers were set in this program. */
  onSet(times: ReadonlyArray<DateTime.Utc>): void {
    if (times.length === 0) return
    if (times.some((at) => DateTime.toEpochMillis(at) < this.looksAt)) this.signal.raise()
    this.isTelling = true
    this.store.tail.changed(this.news)
    this.isTelling = false
  }

  private readonly onNews = (): void => {
    if (!this.isTelling) this.signal.raise()
  }

  /** Fires timers for ever. */
  get run(): Effect.Effect<never> {
    return Effect.scoped(Effect.andThen(this.store.tail.watch(this.news, this.onNews), this.work))
  }

  private readonly work: Effect.Effect<never> = Effect.gen({ self: this }, function*() {
    const { clock, definition, failing, signal, store: { storage: { projections } } } = this
    let asked = 0
    let limit = timersAtATime
    const due = Effect.suspend(() => {
      // before the call: better to be early than late
      asked = clock.currentTimeMillisUnsafe()
      limit = timersAtATime + failing.size
      return projections.timers.due(definition.name, limit, StorageTime.of(clock))
    })
    while (true) {
      signal.take()
      // what is set from now on is compared with the time to which it then sleeps, or is seen
      this.looksAt = Infinity
      const { nextIn = Infinity, timers } = yield* retryPassing(due, (error) => this.warn(error))
      const isAll = timers.length < limit
      if (isAll && failing.size > 0) this.forgetOthers(timers)
      const ready = timers.filter(({ id }) => (failing.get(id)?.at ?? 0) <= asked)
      const fired = yield* Effect.forEach(ready, (timer) => this.tryToFire(timer), { concurrency })
      // there may be more of them, behind those that cannot be fired as well; but these must not keep this busy
      if (fired.includes(true) || !isAll && ready.length > 0) continue
      let most = this.pollMillis
      for (const { at } of failing.values()) most = Math.min(most, at - asked)
      this.looksAt = asked + Math.min(nextIn, most)
      const millis = Math.ceil(this.looksAt - clock.currentTimeMillisUnsafe())
      yield* Effect.raceFirst(signal.wait, Effect.sleep(Math.max(1, millis)))
    }
  }).pipe(
    // nothing that is tried again helps, but the time may come when it does
    Effect.tapCause((cause) => Effect.logError(`The timers of ${this.definition.name} cannot be looked for`, cause)),
    Effect.catchCause(() => Effect.sleep(troubleMillis)),
    Effect.forever
  )

  /** Fires a timer, or leaves it for later. */
  private tryToFire(timer: Timer): Effect.Effect<boolean> {
    return Effect.map(this.fire(timer), (isGone) => {
      const { id } = timer
      if (isGone) this.failing.delete(id)
      else {
        const after = Math.min(mostTroubleMillis, (this.failing.get(id)?.after ?? troubleMillis / 2) * 2)
        this.failing.set(id, { after, at: this.clock.currentTimeMillisUnsafe() + after })
      }
      return isGone
    })
  }

  /** Forgets timers that could not be fired and are not due any more: fired elsewhere, cancelled or replaced. */
  private forgetOthers(timers: ReadonlyArray<Timer>): void {
    const ids = new Set(timers.map(({ id }) => id))
    for (const id of this.failing.keys()) if (!ids.has(id)) this.failing.delete(id)
  }

  /** Lets its process know of a timer, once. Answers whether it is gone. */
  private fire(timer: Timer): Effect.Effect<boolean> {
    const { definition, store, telemetry } = this
    const { categories, name } = definition
    const { timers } = store.storage.projections
    return Effect.gen({ self: this }, function*() {
      const last = yield* loadLast(store, definition, timer.key).pipe(
        Effect.map((loaded) => loaded.last),
        Effect.catchTag("StreamTombstoned", () => Effect.succeed(undefined))
      )
      const pending = last?.event.isEnd === false ? last.event.timers[timer.name] : undefined
      const stream = categories.timers.stream(timer.key)
      const isFired = yield* store.transaction(Effect.gen(function*() {
        // whoever takes it fires it; nobody does whose process is gone
        if (!(yield* timers.take(name, timer)) || pending === undefined) return false
        const fired = new TimerFired({ name: timer.name, at: DateTime.makeUnsafe(timer.at) })
        yield* store.append(stream, [fired])
        return true
      })).pipe(
        // an operator ended its timers for ever
        Effect.catchIf(
          (error) => error instanceof StreamTombstoned && error.streamId === stream.streamId,
          () => Effect.as(store.transaction(timers.take(name, timer)), false)
        ),
        EventMetadata.provide({
          ...(last?.metadata.correlationId === undefined ? {} : { correlationId: last.metadata.correlationId }),
          ...(pending === undefined ? {} : { causationId: pending.setBy })
        })
      )
      if (isFired) telemetry.fired((this.clock.currentTimeMillisUnsafe() - timer.at) / 1000)
      return true
    }).pipe(
      Effect.catchCause((cause) =>
        Effect.as(
          Effect.annotateLogs(Effect.logWarning("A timer cannot be fired for now", cause), {
            manager: name,
            process: timer.key,
            timer: timer.name
          }),
          false
        )
      )
    )
  }

  private warn(error: { readonly message: string }): Effect.Effect<void> {
    return Effect.logWarning(`Timers of ${this.definition.name} cannot be looked for, for now`, error.message)
  }
}
