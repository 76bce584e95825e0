import { Array as Arr, type Cause, Duration, Effect, Fiber, Option, Schedule } from "effect"
import type { LogFollower } from "../../Store/LogTail.ts"
import { type Advance, type OwnedPartition, placeOf } from "../../Store/ProjectionStorage.ts"
import { Signal } from "../../Store/Signal.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Apply } from "../ProjectionMiddleware.ts"
import type { Core } from "./core.ts"
import type { Target } from "./definition.ts"
import { failureOf, messageOf, passingOf } from "./failure.ts"
import { Parking } from "./parking.ts"
import { type Item, type Read, Reader } from "./reader.ts"
import { replayKey } from "./replaying.ts"
import { wholeTarget } from "./setup.ts"
import { Telemetry } from "./telemetry.ts"
import { type Work, type Worked, workThrough } from "./working.ts"

/** Milliseconds after which a checkpoint that only passes over events is written. */
const idleMillis = 250

/** Stored events that are read at a time, at least. */
const leastPage = 500

/** What a transaction of a partition does beside applying events. */
type Step = Pick<Advance, "to" | "eventId" | "park" | "unpark"> & { readonly isCaughtUp: boolean }

/**
 * Works on one partition, as long as it is owned under one epoch. It ends when the storage refuses a transaction, since
 * somebody changed something: the runner asks then what there is to do.
 */
export class Worker {
  readonly core: Core
  readonly owned: OwnedPartition
  readonly parking: Parking
  readonly telemetry: Telemetry
  /** The checkpoint, as the storage has it. */
  private position: number
  private eventId: string | null
  /** Everything of the partition up to here is in the read model, or set aside. */
  private seen: number
  private isCaughtUp: boolean
  private follower: LogFollower<never> | undefined
  private isIdle = false
  private isLeft = false
  private readonly leaving = new Signal()
  /** See `Target.kept`. */
  private kept = new Map<string, unknown>()
  private target: Target | undefined
  private readonly apply: Apply<unknown, any>
  /** When the checkpoint was written that only passes over events. */
  private passedAt = -Infinity
  /** Events handled since `ratedAt`, and a second before. */
  private counted = 0
  private ratedAt: number
  private rate = 0
  /** When the oldest event in hand was recorded. */
  private oldest: number | undefined
  /** Whether it has moved the checkpoint since it began. */
  hasMoved = false

  constructor(core: Core, owned: OwnedPartition) {
    const { context, definition, settings } = core.options
    const { name: projection, version } = definition
    this.core = core
    this.owned = owned
    this.position = this.seen = owned.position
    this.eventId = owned.eventId
    this.isCaughtUp = owned.isCaughtUp
    this.parking = new Parking(definition, owned, core.known!)
    this.telemetry = new Telemetry({ projection, version, partition: owned.partition }, context)
    this.ratedAt = core.millis
    const inner: Apply<unknown, any> = ({ events }) =>
      Arr.isReadonlyArrayNonEmpty(events) ? Effect.asVoid(definition.apply(this.target!, events)) : Effect.void
    this.apply = settings.middleware === undefined ? inner : settings.middleware(inner)
  }

  /** Everything of the partition up to here is in the read model, or set aside. */
  get progress(): number {
    // of what does not match nobody tells it
    return this.isIdle && this.follower !== undefined ? Math.max(this.seen, this.follower.position()) : this.seen
  }

  /** Lets it end after the transaction in hand. */
  leave(): void {
    this.isLeft = true
    this.leaving.raise()
  }

  /** Whether it is to end when the transaction in hand is done. */
  readonly isLeaving = (): boolean => this.isLeft

  /** Works until something changes, or for ever. `"stopped"`: it failed, and said so. */
  readonly run: Effect.Effect<Worked, unknown, any> = Effect.scoped(Effect.gen({ self: this }, function*() {
    const { definition, filter, settings, store } = this.core.options
    const { of, partition } = this.owned
    this.follower = yield* store.tail.follow(filter, placeOf(this.owned))
    // small transactions are no reason to read little
    const limit = Math.max(leastPage, this.isBulk ? settings.bulk : settings.batch)
    const reader = new Reader({ follower: this.follower, definition, partition, of, limit })
    let ahead: Fiber.Fiber<Read, unknown> | undefined
    while (!this.isLeft) {
      const { stopAt } = this.core.known!
      if (stopAt !== null && this.position >= stopAt) return yield* this.waitForChange
      const replayed = yield* this.replay
      // what failed again waits on, and all else goes on
      if (replayed === "refused" || replayed === "left") return replayed
      const read = yield* ahead === undefined ? reader.next : Fiber.join(ahead)
      // decoded while the database works
      ahead = read.isBehind && !read.caughtUp ? yield* Effect.forkChild(reader.next) : undefined
      const worked = yield* this.work(stopAt === null ? read : upTo(read, stopAt), reader)
      if (worked !== "done") return worked
      // timers and other fibres come first
      yield* read.caughtUp ? this.rest : Effect.yieldNow
    }
    return "left" as const
  }))

  /** Whether it is caught up for the first time only later. */
  private get isBulk(): boolean {
    return this.core.known!.stage === "building" && !this.isCaughtUp
  }

  private get appends(): boolean {
    const { appends, kind } = this.core.options.definition
    return appends === true || kind === "events"
  }

  private work(read: Read, reader: Reader): Effect.Effect<Worked, unknown, any> {
    return Effect.gen({ self: this }, function*() {
      const { items } = read
      if (items.length > 0) {
        const { settings } = this.core.options
        this.oldest = items[0]!.stored.recordedAt
        const worked = yield* workThrough(items, {
          ...this.retrying(reader),
          isAlone: ({ failure }) => failure !== undefined,
          isLeaving: this.isLeaving,
          limit: () => this.isBulk ? settings.bulk : settings.batch,
          commit: (items, { isEnd, number }) => this.handle(items, read, isEnd, number),
          blame: (item, cause, attempts, isEnd) => this.blame(item, cause, attempts, read, isEnd)
        })
        if (worked !== "done") return worked
        this.oldest = undefined
      }
      return (yield* this.pass(read)) ? "done" : "refused"
    })
  }

  /** Waits before events are tried again, as long as the schedule says. */
  private retrying(reader: Reader): Pick<Work<Item>, "retryIn" | "pause"> {
    const { core } = this
    const { clock, settings } = core.options
    const whatThen = settings.giveUp === "stop" ? "the projection stops" : "the event is set aside"
    let step:
      | ((now: number, input: unknown) => Effect.Effect<readonly [unknown, Duration.Duration], unknown>)
      | undefined
    return {
      retryIn: (cause, failures, items) =>
        Effect.gen({ self: this }, function*() {
          if (failures === 1 || step === undefined) step = (yield* Schedule.toStep(settings.retry)) as never
          const next = yield* Effect.option(step(clock.currentTimeMillisUnsafe(), failureOf(cause)))
          if (Option.isNone(next)) return undefined
          this.telemetry.count("retries")
          const position = items.length === 1 ? items[0]!.stored.position : null
          yield* this.report(messageOf(cause), position, false)
          const log = failures === 1
            ? Effect.logWarning(`A batch failed: it is tried again ${settings.retryTime}, then ${whatThen}`, cause)
            : Effect.logDebug(`Attempt ${failures} at a batch failed and is repeated`, cause)
          const [from, to] = [items[0]!.stored.position, items[items.length - 1]!.stored.position]
          yield* core.annotated(log, position === null ? { from, to } : { position })
          for (const item of items) if (item.failure !== undefined) yield* reader.again(item)
          return next.value[1]
        }),
      pause: (duration) =>
        Effect.raceFirst(
          Effect.as(Effect.sleep(Duration.max(duration, Duration.millis(1))), true),
          Effect.as(this.leaving.wait, false)
        )
    }
  }

  /** Handles events in one transaction. */
  private handle(
    items: ReadonlyArray<Item>,
    read: Read,
    isEnd: boolean,
    attempt: number
  ): Effect.Effect<boolean, unknown, any> {
    const failure = this.parking.failureOf(items)
    if (failure !== undefined) return Effect.failCause(failure)
    const last = items[items.length - 1]!.stored
    const { applied, behind } = this.parking.sort(items)
    return this.advance(
      {
        // with an event that the storage can look for: after a failover it may lack what was read here before
        ...(isEnd && read.eventId !== undefined
          ? { to: read.to, eventId: read.eventId }
          : { to: last.position, eventId: last.eventId }),
        park: behind,
        isCaughtUp: this.isCaughtUpAfter(read, isEnd)
      },
      applied,
      attempt,
      this.parking.owns
    )
  }

  /** Caught up means that it was, and has not fallen behind since: under load there is always something new. */
  private isCaughtUpAfter(read: Read, isEnd: boolean): boolean {
    return isEnd && read.caughtUp || this.isCaughtUp && !read.isBehind
  }

  /** Sets an event aside that cannot be handled, or stops at it. */
  private blame(
    item: Item,
    cause: Cause.Cause<unknown>,
    attempts: number,
    read: Read,
    isEnd: boolean
  ): Effect.Effect<"passed" | "refused" | "stopped", unknown, any> {
    return Effect.gen({ self: this }, function*() {
      const { core, parking } = this
      const { position } = item.stored
      const error = messageOf(cause)
      if (core.options.settings.giveUp === "stop") {
        yield* this.report(error, position, true)
        yield* core.annotated(
          Effect.logError(`The projection stops at position ${position}, until it is resumed`, cause),
          { position }
        )
        core.changed()
        return "stopped"
      }
      const { events: park, keys } = parking.aside(item, { attempts, error })
      const isParked = yield* this.advance(
        {
          to: isEnd ? read.to : position,
          eventId: isEnd ? read.eventId ?? null : item.stored.eventId,
          park,
          isCaughtUp: this.isCaughtUpAfter(read, isEnd)
        },
        [],
        attempts,
        parking.owns
      )
      if (!isParked) return "refused"
      parking.park(keys)
      yield* core.annotated(
        Effect.logWarning(`An event cannot be handled: it is set aside with all later ones of its key`, cause),
        { position, keys }
      )
      return "passed"
    })
  }

  /** Notes that nothing more of the partition stands before a position. */
  private pass(read: Read): Effect.Effect<boolean, unknown, any> {
    return Effect.suspend(() => {
      const isCaughtUp = this.isCaughtUpAfter(read, true)
      const isNews = isCaughtUp !== this.isCaughtUp
      const isDue = read.to > this.position && this.core.millis - this.passedAt >= idleMillis
      const passed = isNews || isDue
        ? this.advance({ to: read.to, eventId: read.eventId ?? null, isCaughtUp }, [], 1, this.parking.owns)
        : Effect.succeed(true)
      return Effect.map(passed, (isPassed) => {
        if (isDue) this.passedAt = this.core.millis
        if (isPassed) this.see(Math.max(this.seen, read.to))
        return isPassed
      })
    })
  }

  private see(position: number): void {
    this.seen = position
    this.core.onProgress()
  }

  /** Waits until there may be something to do. */
  private readonly rest: Effect.Effect<void, unknown, any> = Effect.suspend(() => {
    const { core } = this
    const wait = Effect.suspend(() => {
      this.isIdle = true
      core.onProgress()
      return Effect.raceAllFirst([this.follower!.wait, this.leaving.wait, Effect.sleep(idleMillis)])
    })
    const idle = Effect.onExitPrimitive(wait, () => {
      this.isIdle = false
      return undefined
    })
    return core.wantsCompletion ? Effect.andThen(this.complete, idle) : idle
  })

  /** See `Runner.complete`. */
  complete: Effect.Effect<void, unknown, any> = Effect.void

  /** The number of partitions is to change here: somebody has to come as far, first. */
  private readonly waitForChange: Effect.Effect<Worked, unknown, any> = Effect.suspend(() => {
    this.core.signal.raise()
    return Effect.as(this.leaving.wait, "left" as const)
  })

  /** Handles some of what is to be replayed. */
  private readonly replay: Effect.Effect<Worked, unknown, any> = Effect.suspend(() => {
    const key = this.parking.nextReplay()
    return key === undefined ? Effect.succeed<Worked>("done") : replayKey(this, key)
  })

  /** Moves on, with what is applied on the way; answers whether the storage let it. */
  advance(
    step: Step,
    applied: ReadonlyArray<Recorded<any>>,
    attempt: number,
    owns: (key: string) => boolean
  ): Effect.Effect<boolean, unknown, any> {
    return Effect.suspend(() => {
      const { core, owned, telemetry } = this
      const { id, settings, store } = core.options
      const eventId = step.to === this.position ? step.eventId ?? this.eventId : step.eventId
      const advance = (): Advance => ({
        id,
        partition: owned.partition,
        epoch: owned.epoch,
        from: this.position,
        to: step.to,
        eventId,
        handled: applied.length,
        rate: this.rateWith(applied.length),
        isCaughtUp: step.isCaughtUp,
        lease: settings.lease,
        now: core.now,
        park: step.park === undefined || step.park.length === 0 ? undefined : step.park,
        unpark: step.unpark,
        // what it appends others see at once: that may not be lost any more
        isBulk: this.isBulk && !this.appends
      })
      let kept = this.kept
      // it counts again when this is committed
      this.kept = new Map()
      const effect = applied.length === 0
        ? undefined
        : Effect.suspend(() => this.applying(applied, attempt, owns, kept))
      let troubles = 0
      const asked = core.steadily(
        "moved on",
        Effect.suspend(() => store.storage.projections.advanceWith(advance(), effect)),
        (error) => {
          kept = new Map()
          telemetry.count("storeRetries")
          // what goes on for long, operators have to see
          return ++troubles % 5 === 0 ? Effect.ignore(this.reportTrouble(error.message)) : Effect.void
        }
      )
      return Effect.map(asked, (answer) => {
        if (Option.isNone(answer)) {
          telemetry.count("fenced")
          return false
        }
        this.kept = kept
        this.hasMoved = true
        this.position = step.to
        this.eventId = eventId
        this.isCaughtUp = step.isCaughtUp
        this.count(applied.length)
        telemetry.count("parked", step.park?.length ?? 0)
        // what it appended went past the store
        if (applied.length > 0 && this.appends) store.tail.stored(0)
        this.see(Math.max(this.seen, step.to))
        return true
      })
    })
  }

  /** Applies events: a span a batch, and no more than that for each. */
  private applying(
    events: ReadonlyArray<Recorded<any>>,
    attempt: number,
    owns: (key: string) => boolean,
    kept: Map<string, unknown>
  ): Effect.Effect<void, unknown, any> {
    const { core, owned, telemetry } = this
    const { clock, definition: { name, version }, id, store } = core.options
    const isRebuild = core.known!.stage === "building"
    const { partition } = owned
    const applied = Effect.suspend(() => {
      this.target = { store, id, owns, isRebuild, isInline: false, kept }
      const begun = clock.monotonicTimeNanosUnsafe()
      // what a handler acquires is released when the batch is done
      const done = Effect.scoped(this.apply({ projection: name, version, partition, isRebuild, attempt, events }))
      return Effect.onExitPrimitive(done, () => {
        telemetry.batch(Number(clock.monotonicTimeNanosUnsafe() - begun) / 1e9)
        return undefined
      })
    })
    const passing = Effect.catchCause(applied, (cause) => {
      const trouble = passingOf(cause)
      return trouble === undefined ? Effect.failCause(cause) : Effect.fail(trouble)
    })
    return Effect.useSpan("eventstore.project", {
      kind: "consumer",
      root: true,
      attributes: {
        "eventstore.projection": name,
        "eventstore.projection.version": version,
        "eventstore.partition": partition,
        "eventstore.attempt": attempt,
        "eventstore.position": events[0]!.position,
        "eventstore.events": events.length
      }
    }, (span) => Effect.withParentSpan(passing, span, { captureStackTrace: false }))
  }

  /** Counts events, and measures how many are handled in a second. */
  private count(handled: number): void {
    this.telemetry.count("handled", handled)
    this.counted += handled
    const now = this.core.millis
    if (now - this.ratedAt < 1000) return
    this.rate = Math.round(this.counted / ((now - this.ratedAt) / 1000))
    this.counted = 0
    this.ratedAt = now
  }

  /** In the first second as far as it can be told. */
  private rateWith(more: number): number {
    return this.rate > 0
      ? this.rate
      : Math.round((this.counted + more) / (Math.max(1, this.core.millis - this.ratedAt) / 1000))
  }

  /** Notes what keeps it from going on, unless the storage does not answer. */
  private reportTrouble(error: string): Effect.Effect<unknown, unknown> {
    const { core, owned: { epoch, partition } } = this
    const { id, store } = core.options
    const failure = { error, position: null, isFatal: false }
    return Effect.timeoutOption(store.storage.projections.report({ id, partition, epoch }, failure), "1 second")
  }

  private report(error: string, position: number | null, isFatal: boolean): Effect.Effect<void, unknown> {
    return this.core.report(this.owned, { error, position, isFatal })
  }

  /** Applies what the version as a whole has not handled, where no partition works on it. */
  applyWhole(events: ReadonlyArray<Recorded<any>>): Effect.Effect<void, unknown, any> {
    const { definition: { name, version } } = this.core.options
    return Effect.suspend(() => {
      this.target = wholeTarget(this.core.options)
      return this.apply({ projection: name, version, partition: 0, isRebuild: true, attempt: 1, events })
    })
  }

  measure(): void {
    const { clock, store } = this.core.options
    const behind = Math.max(0, store.tail.position() - this.progress)
    this.telemetry.gauge("lagEvents", behind)
    const age = this.oldest === undefined ? 0 : (clock.currentTimeMillisUnsafe() - this.oldest) / 1000
    this.telemetry.gauge("lagSeconds", Math.max(0, age))
  }

  /** The checkpoint, for transactions that do not move it. */
  get place(): { readonly to: number; readonly eventId: string | null; readonly isCaughtUp: boolean } {
    return { to: this.position, eventId: this.eventId, isCaughtUp: this.isCaughtUp }
  }
}

/** What of it stands at a position or before. */
const upTo = (read: Read, position: number): Read =>
  read.to <= position ? read : {
    ...read,
    items: read.items.filter(({ stored }) => stored.position <= position),
    to: position,
    eventId: read.items.find(({ stored }) => stored.position === position)?.stored.eventId,
    caughtUp: false
  }
