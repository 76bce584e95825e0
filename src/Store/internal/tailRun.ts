import { type Context, Deferred, Effect, Exit, Fiber, type Scope } from "effect"
import type { EventId } from "../../Event/EventId.ts"
import type { Position } from "../../Stream/Position.ts"
import { everything } from "../LogFilter.ts"
import type { LogStorage } from "../LogStorage.ts"
import { LogRewound, StoreError } from "../StoreError.ts"
import { steadySession } from "./steady.ts"
import { TailPages } from "./tailPages.ts"
import { countMissedNews } from "./telemetry.ts"

/** Events that the tail reads at a time, and the bytes after which a page ends. */
const pageEvents = 1000
const pageBytes = 1024 * 1024

/** How much more often the tail looks for itself after it was not told of something. */
const deafFactor = 10

/**
 * The tail of a log from its first follower to its last, or until the log is found to be another one. One fibre listens,
 * looks and reads, one thing at a time.
 */
export class TailRun {
  /** Followers and watchers: the last one to leave stops it. */
  users = 0
  readonly ready = Deferred.makeUnsafe<void, StoreError | LogRewound>()
  readonly pages = new TailPages()
  private readonly storage: LogStorage
  private readonly onChange: (subscription: string | undefined) => void
  private readonly onEnd: (run: TailRun) => void
  private error: StoreError | LogRewound | undefined
  private fiber: Fiber.Fiber<unknown, unknown> | undefined
  private hasBegun = false
  /** Something may have been stored; it is time to look. Both are set before anybody is woken. */
  private hasNews = false
  private isDue = false
  private resume: (() => void) | undefined
  /** Whether the storage said anything since the last look, whether the last look found what it had not said, and whether it never said it. */
  private wasTold = false
  private isUntold = false
  private isDeaf = false

  /** `onChange` hears of subscriptions that changed, of `undefined` where any of them may have. */
  constructor(
    storage: LogStorage,
    onChange: (subscription: string | undefined) => void,
    onEnd: (run: TailRun) => void
  ) {
    this.storage = storage
    this.onChange = onChange
    this.onEnd = onEnd
  }

  /** Why it follows no more. */
  readonly failure = (): StoreError | LogRewound | undefined => this.error

  start(context: Context.Context<never>): void {
    this.fiber = Effect.runForkWith(context)(
      steadySession(Effect.scoped(this.session), "The log cannot be followed for now, this is repeated")
    )
    this.fiber.addObserver((exit) => {
      if (Exit.isFailure(exit)) this.end(exit as Exit.Failure<unknown, StoreError | LogRewound>)
    })
  }

  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    this.onEnd(this)
    return this.fiber === undefined ? Effect.void : Fiber.interrupt(this.fiber)
  })

  /** Ends it under its followers: the store is closed. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.fail(endedWith(new Error("the event store is closed")))
    return this.stop
  })

  readonly wake = (): void => {
    this.hasNews = true
    this.goOn()
  }

  private goOn(): void {
    const { resume } = this
    this.resume = undefined
    resume?.()
  }

  private end(exit: Exit.Failure<unknown, StoreError | LogRewound>): void {
    this.onEnd(this)
    const failure = exit.cause.reasons.find((reason) => reason._tag !== "Interrupt")
    // nobody may wait for one that died
    if (failure !== undefined) this.fail(failure._tag === "Fail" ? failure.error : endedWith(failure.defect))
    Deferred.doneUnsafe(this.ready, Exit.failCause(exit.cause))
  }

  private fail(error: StoreError | LogRewound): void {
    this.error ??= error
    Deferred.doneUnsafe(this.ready, Exit.fail(error))
    this.pages.wakeAll()
  }

  /** Listens on one connection, and reads on. */
  private readonly session: Effect.Effect<never, StoreError | LogRewound, Scope.Scope> = Effect.gen(
    { self: this },
    function*() {
      const { listen } = this.storage
      const lost = listen === undefined ? Effect.never : yield* listen((subscription) => {
        if (subscription !== undefined) return this.onChange(subscription)
        this.wasTold = true
        this.isUntold = this.isDeaf = false
        this.wake()
      })
      this.isUntold = false
      yield* this.hasBegun ? this.look : this.begin
      // what was said while nobody listened is lost, but no notification was missed
      this.isUntold = false
      this.onChange(undefined)
      Deferred.doneUnsafe(this.ready, Exit.void)
      return yield* Effect.raceFirst(lost, Effect.raceFirst(this.poll, this.readOn))
    }
  )

  /** Begins at the end: what is older, followers read for themselves. */
  private readonly begin: Effect.Effect<void, StoreError> = Effect.suspend(() =>
    Effect.flatMap(this.storage.identity(0), ({ head }) =>
      Effect.map(this.storage.identity(head), ({ eventId }) => {
        this.pages.begin(head, eventId)
        this.hasBegun = true
      }))
  )

  private readonly poll: Effect.Effect<never> = Effect.forever(Effect.suspend(() => {
    const { pollMillis } = this.storage
    return Effect.map(Effect.sleep(this.isDeaf ? Math.ceil(pollMillis / deafFactor) : pollMillis), () => {
      this.isDue = true
      this.goOn()
    })
  }))

  private readonly readOn: Effect.Effect<never, StoreError | LogRewound> = Effect.forever(
    Effect.suspend((): Effect.Effect<void, StoreError | LogRewound> => {
      if (this.isDue) {
        this.isDue = this.hasNews = false
        return this.look
      }
      if (this.hasNews) {
        this.hasNews = false
        return this.readPages(Number.MAX_SAFE_INTEGER)
      }
      return Effect.callback((resume) => {
        // the scheduler may have let somebody in since the look above
        if (this.isDue || this.hasNews) return resume(Effect.void)
        this.resume = () => resume(Effect.void)
        return Effect.sync(() => {
          this.resume = undefined
        })
      })
    })
  )

  /**
   * Reads on, from the last event that is known: where another one stands in its place by now, nothing behind it may be
   * handed out. Statements can reach a server that took over before the lost connection of the listener is noticed.
   */
  private readPages(to: number, isChecked = false): Effect.Effect<void, StoreError | LogRewound> {
    const { eventId, position } = this.pages
    const known = eventId === undefined || isChecked ? 0 : 1
    return Effect.flatMap(
      this.storage.logPage(everything, {
        direction: "forward",
        from: position + 1 - known,
        to,
        limit: pageEvents + known,
        bytes: pageBytes
      }),
      ({ events, more }): Effect.Effect<void, StoreError | LogRewound> => {
        const follows = known === 0 || events[0]?.eventId === eventId
        const page = events[0]?.position === position ? events.slice(1) : events
        const publish = Effect.suspend(() => {
          if (page.length > 0) this.pages.publish(page)
          // where the known event fills a page, it is left out of the next
          return more ? this.readPages(to, page.length === 0) : Effect.void
        })
        // hidden by now, or another one
        return follows ? publish : Effect.andThen(this.check, publish)
      }
    )
  }

  /** What the log is, after a look whether it still holds what was read of it. */
  private readonly check = Effect.suspend(() => {
    const { eventId, position } = this.pages
    return holding(this.storage.identity(position), position, eventId)
  })

  /** Compares the log with what was read of it, and reads on: finds also what nobody told. */
  private readonly look: Effect.Effect<void, StoreError | LogRewound> = Effect.suspend(() => {
    const { position } = this.pages
    const wasTold = this.wasTold
    this.wasTold = false
    return Effect.flatMap(this.check, (found): Effect.Effect<void, StoreError | LogRewound> => {
      // news may be on its way for a moment; what was not told by the next look was missed
      const isMissed = this.isUntold && !wasTold
      this.isUntold = found.head > position && !wasTold && this.storage.listen !== undefined
      const read = found.head === position ? Effect.void : Effect.map(this.readPages(found.head), () => {
        // what is hidden by now is passed over
        if (this.pages.position < found.head) this.pages.passOver(found.head)
      })
      return isMissed ? Effect.andThen(this.noteMissed, read) : read
    })
  })

  private readonly noteMissed: Effect.Effect<void> = Effect.suspend(() => {
    if (this.isDeaf) return countMissedNews
    this.isDeaf = true
    return Effect.andThen(
      countMissedNews,
      Effect.logWarning("A notification of the event store did not come: it is asked more often until one does")
    )
  })
}

const endedWith = (cause: unknown) =>
  new StoreError({ operation: "follow", isRetryable: false, outcome: "not-stored", cause })

/** What a look at the log found; fails where it is not the one that was read up to a position. */
export const holding = <E>(
  look: Effect.Effect<Found, E>,
  position: number,
  eventId: string | undefined
): Effect.Effect<Found, E | LogRewound> =>
  Effect.flatMap(
    look,
    (found) =>
      found.head < position || eventId !== undefined && found.eventId !== undefined && found.eventId !== eventId
        ? Effect.fail(
          new LogRewound({
            position: position as Position,
            head: found.head as Position,
            eventId: eventId as EventId | undefined
          })
        )
        : Effect.succeed(found)
  )

/** The head of the log, and the event at a position. */
interface Found {
  readonly head: number
  readonly eventId: EventId | undefined
}
