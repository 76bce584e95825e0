import { type Cause, Effect, Exit, Fiber, Option } from "effect"
import type { Advance } from "../../Store/ProjectionStorage.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { LogRewound, type StoreError } from "../../Store/StoreError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { ProjectionFailed, type RehearsalNotFound } from "../ProjectionError.ts"
import type { RehearsalProgress } from "../Rehearsal.ts"
import { failureOf, messageOf } from "./failure.ts"
import { logPages } from "./logPages.ts"
import { Parking } from "./parking.ts"
import { type Item, type Read, Reader } from "./reader.ts"
import { applyTo, claim, type Held, lease, type Scratch, steadily } from "./scratch.ts"
import { type Worked, workThrough } from "./working.ts"

export type BuildError = ProjectionFailed | RehearsalNotFound | LogRewound | StoreError

export type OnProgress = (progress: RehearsalProgress) => Effect.Effect<unknown>

/** Builds it up to a position, from where it is. */
export const catchUp = (
  self: Scratch,
  to: number,
  onProgress: OnProgress
): Effect.Effect<Held, BuildError, any> =>
  Effect.gen(function*() {
    let held = yield* claim(self)
    yield* checkPlace(self, held, to)
    while (held.position < to || !held.isCaughtUp) {
      yield* onProgress({ position: held.position, target: to, handled: held.handled })
      // refused where somebody else builds it as well, and has come further meanwhile
      yield* new Build(self, held, to, onProgress).run
      held = yield* claim(self)
    }
    yield* onProgress({ position: held.position, target: Math.max(to, held.position), handled: held.handled })
    return held
  })

/** A log that was restored from a backup ends sooner, or has another event at the checkpoint than the one that belongs there. */
const checkPlace = ({ name, store }: Scratch, { eventId, position }: Held, to: number) =>
  Effect.gen(function*() {
    const { eventId: found, head } = yield* steadily(name, store.storage.identity(position))
    const isElsewhere = eventId !== null && found !== eventId
    if (head >= Math.max(position, to) && !isElsewhere) return
    return yield* new LogRewound({
      position: (isElsewhere ? position : Math.max(position, to)) as never,
      head: head as never,
      eventId: (isElsewhere ? eventId : undefined) as never
    })
  })

/** One run over what is missing, by one who holds it. */
class Build {
  private readonly self: Scratch
  private readonly held: Held
  private readonly to: number
  private readonly onProgress: OnProgress
  private readonly parking: Parking
  private position: number
  private handled: number
  private ahead: Fiber.Fiber<Read, unknown> | undefined
  /** Why it is not to go on. */
  private end: Cause.Cause<never> | undefined
  /** See `Target.kept`. */
  private kept = new Map<string, unknown>()

  constructor(self: Scratch, held: Held, to: number, onProgress: OnProgress) {
    this.self = self
    this.held = held
    this.to = to
    this.onProgress = onProgress
    this.position = held.position
    this.handled = held.handled
    this.parking = new Parking(self.definition, held, { parkedKeys: held.parkedKeys, replays: [] })
  }

  readonly run: Effect.Effect<Worked, any, any> = Effect.gen({ self: this }, function*() {
    const { definition, filter, name, settings, store } = this.self
    const range = { after: this.position, to: this.to }
    const follower = logPages(store.storage, filter, range, (page) => steadily(name, page))
    const reader = new Reader({ follower, definition, partition: 0, of: 1, limit: settings.bulk })
    while (true) {
      const read: Read = yield* this.ahead === undefined ? reader.next : Fiber.join(this.ahead)
      // decoded while the database works
      this.ahead = read.caughtUp ? undefined : yield* Effect.forkChild(reader.next)
      const worked = yield* this.work(read)
      if (this.end !== undefined) return yield* Effect.failCause(this.end)
      if (worked !== "done" || read.caughtUp) return worked
      // other fibres come first
      yield* Effect.yieldNow
    }
  }).pipe(Effect.ensuring(Effect.suspend(() => this.ahead === undefined ? Effect.void : Fiber.interrupt(this.ahead))))

  private work(read: Read): Effect.Effect<Worked, unknown, any> {
    return Effect.gen({ self: this }, function*() {
      const worked = yield* workThrough(read.items, {
        limit: () => this.self.settings.bulk,
        isAlone: ({ failure }) => failure !== undefined,
        isLeaving: () => false,
        commit: (items, { isEnd, number }) => this.handle(items, read, isEnd, number),
        // nobody waits for it but who asked for it, and wants to know
        retryIn: () => Effect.succeed(undefined),
        pause: () => Effect.succeed(true),
        blame: (item, cause, attempts, isEnd) => this.blame(item, cause, attempts, read, isEnd)
      })
      if (worked !== "done") return worked
      const isPassed = this.position < read.to || read.caughtUp && read.items.length === 0
        ? yield* this.advance({ to: read.to, eventId: read.eventId ?? null, isCaughtUp: read.caughtUp }, [], 1)
        : true
      return isPassed ? "done" : "refused"
    })
  }

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
        ...(isEnd ? { to: read.to, eventId: read.eventId ?? null } : { to: last.position, eventId: last.eventId }),
        isCaughtUp: isEnd && read.caughtUp,
        park: behind
      },
      applied,
      attempt
    )
  }

  private blame(
    item: Item,
    cause: Cause.Cause<unknown>,
    attempts: number,
    read: Read,
    isEnd: boolean
  ): Effect.Effect<"passed" | "refused", unknown, any> {
    return Effect.gen({ self: this }, function*() {
      const { definition: { name: projection, version }, settings } = this.self
      const { eventId, position } = item.stored
      // what somebody else did meanwhile looks like a failure, too
      const held = yield* claim(this.self)
      if (held.position !== this.position || held.epoch !== this.held.epoch) return "refused"
      if (settings.giveUp === "stop") {
        return yield* new ProjectionFailed({ projection, version, position, cause: failureOf(cause) })
      }
      const { events: park, keys } = this.parking.aside(item, { attempts, error: messageOf(cause) })
      const isParked = yield* this.advance(
        {
          ...(isEnd ? { to: read.to, eventId: read.eventId ?? null } : { to: position, eventId }),
          isCaughtUp: isEnd && read.caughtUp,
          park
        },
        [],
        attempts
      )
      if (!isParked) return "refused"
      this.parking.park(keys)
      return "passed"
    })
  }

  /** Moves on, with what is applied on the way; answers whether the storage let it. */
  private advance(
    step: {
      readonly to: number
      readonly eventId: string | null
      readonly isCaughtUp: boolean
      readonly park?: Advance["park"]
    },
    applied: ReadonlyArray<Recorded<any>>,
    attempt: number
  ): Effect.Effect<boolean, unknown, any> {
    return Effect.gen({ self: this }, function*() {
      const { clock, id, name, store } = this.self
      let kept = this.kept
      // it counts again when this is committed
      this.kept = new Map()
      const { owns } = this.parking
      const effect = applied.length === 0
        ? undefined
        : Effect.suspend(() => applyTo(this.self, applied, { partition: 0, attempt, owns, kept }))
      const moved = yield* steadily(
        name,
        Effect.suspend(() =>
          store.storage.projections.advanceWith({
            id,
            partition: 0,
            epoch: this.held.epoch,
            from: this.position,
            to: step.to,
            eventId: step.eventId,
            handled: applied.length,
            rate: 0,
            isCaughtUp: step.isCaughtUp,
            lease,
            now: StorageTime.of(clock),
            park: step.park === undefined || step.park.length === 0 ? undefined : step.park,
            isBulk: true
          }, effect)
        ).pipe(Effect.tapError(() =>
          Effect.sync(() => {
            kept = new Map()
          })
        ))
      )
      if (Option.isNone(moved)) return false
      this.kept = kept
      this.position = step.to
      this.handled += applied.length
      const progress = { position: this.position, target: this.to, handled: this.handled }
      const told = yield* Effect.exit(this.onProgress(progress))
      // what is committed must not look as if it had failed: it would be done again
      if (Exit.isFailure(told)) this.end = told.cause
      return this.end === undefined
    })
  }
}
