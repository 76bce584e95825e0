import { Deferred, Duration, Effect, Exit, Option, type Scope, Stream, SubscriptionRef } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import type { LogFollower } from "../../Store/LogTail.ts"
import { InvalidInput, type LogRewound, type StoreError } from "../../Store/StoreError.ts"
import type { Decode } from "../../Stream/Decode.ts"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import * as Position from "../../Stream/Position.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { AwaitTimedOut } from "../ProjectionError.ts"
import type { Out, Services, Source } from "../View.ts"
import { decodeAll } from "./decoding.ts"
import { type Evolve, evolveBy } from "./evolve.ts"
import { type Common, sourceOf } from "./source.ts"

export interface InMemoryOptions<C extends Source, S> extends Omit<Common<C>, "version" | "start"> {
  /** Stands for it in errors and logs. Default `"in memory"`. */
  readonly name?: string | undefined
  readonly initial: S
  /** What an event does to the state: a pure function for each tag. */
  readonly evolve: Evolve<NoInfer<S>, Out<NoInfer<C>>>
}

/** Why a state in memory does not follow the log any more. */
export type InMemoryError = DecodeError | LogRewound | StoreError

/** A state in memory that follows the log. */
export interface InMemory<S> {
  /** The state. It is changed once for all events that are read together, and stays as it is when following has ended. */
  readonly state: SubscriptionRef.SubscriptionRef<S>
  /** The state, or why it does not follow the log any more. */
  readonly get: Effect.Effect<S, InMemoryError>
  /** The state and then what becomes of it; who is slow sees the latest. Fails where it does not follow the log any more. */
  readonly changes: Stream.Stream<S, InMemoryError>
  /** Everything up to here is in the state, or not for it. */
  readonly position: Effect.Effect<Position.Position, InMemoryError>
  /** Waits until everything up to a position is in the state, at most for `timeout` (default 30 seconds). */
  readonly awaitProcessed: (
    position: number,
    options?: { readonly timeout?: Duration.Input | undefined }
  ) => Effect.Effect<void, AwaitTimedOut | InvalidInput | InMemoryError>
}

/** Most stored events that are read together. */
const pageEvents = 2000

/** Folds the log in memory: completes when it has caught up, and goes on until the scope closes. */
export const inMemory = <C extends Source, S>(options: InMemoryOptions<C, S>): Effect.Effect<
  InMemory<S>,
  InvalidInput | InMemoryError,
  EventStore | Scope.Scope | Services<C>
> => {
  const { name = "in memory", ...filter } = options
  const source = sourceOf(name, options.from, filter)
  const evolve = evolveBy<S>(options.from, options.evolve)
  return Effect.gen(function*() {
    const fold = new Fold<S>({
      name,
      follower: yield* (yield* EventStore).tail.follow(yield* source.filter, { position: 0 }),
      decode: source.decode,
      evolve,
      state: yield* SubscriptionRef.make(options.initial),
      ended: yield* Deferred.make<void, InMemoryError>()
    })
    yield* fold.catchUp
    // at once: what is interrupted before it began tells nobody that it ended
    yield* Effect.forkScoped(fold.follow, { startImmediately: true })
    return fold
  })
}

interface FoldOptions<S> {
  readonly name: string
  readonly follower: LogFollower<never>
  readonly decode: Decode<any, any>
  readonly evolve: (state: S, recorded: Recorded<any>) => S
  readonly state: SubscriptionRef.SubscriptionRef<S>
  /** Why it follows no longer; succeeds where its scope is closed. */
  readonly ended: Deferred.Deferred<void, InMemoryError>
}

class Fold<S> implements InMemory<S> {
  readonly state: SubscriptionRef.SubscriptionRef<S>
  private readonly options: FoldOptions<S>
  /** Everything up to here is in the state. */
  private processed = 0
  private isIdle = false
  private exit: Exit.Exit<void, InMemoryError> | undefined
  /** Resumes those who wait for it to move. */
  private readonly waiting = new Set<() => void>()

  constructor(options: FoldOptions<S>) {
    this.options = options
    this.state = options.state
  }

  readonly get: InMemory<S>["get"] = Effect.suspend(() =>
    Effect.as(this.exit ?? Effect.void, SubscriptionRef.getUnsafe(this.state))
  )

  readonly position: InMemory<S>["position"] = Effect.suspend(() =>
    Effect.as(this.exit ?? Effect.void, Position.make(this.reached))
  )

  get changes(): InMemory<S>["changes"] {
    const latest = Stream.buffer(SubscriptionRef.changes(this.state), { capacity: 1, strategy: "sliding" })
    return Stream.interruptWhen(latest, Deferred.await(this.options.ended))
  }

  readonly awaitProcessed: InMemory<S>["awaitProcessed"] = (position, { timeout = "30 seconds" } = {}) =>
    Effect.gen({ self: this }, function*() {
      if (!Number.isSafeInteger(position) || position < 0) {
        return yield* new InvalidInput({
          field: "position",
          problem: `is ${String(position)}, which is not a position`
        })
      }
      const duration = Option.getOrUndefined(Duration.fromInput(timeout))
      if (duration === undefined) return yield* new InvalidInput({ field: "timeout", problem: "is no time" })
      const timedOut = Effect.suspend(() =>
        Effect.fail(
          new AwaitTimedOut({ projection: this.options.name, position, reached: this.reached, why: "behind" })
        )
      )
      const until = Effect.gen({ self: this }, function*() {
        for (let pause = shortestPause;; pause = Math.min(pause * 2, longestPause)) {
          if (this.exit !== undefined) yield* this.exit
          if (this.reached >= position) return
          // closed before it came there: it never will
          if (this.exit !== undefined) return yield* timedOut
          yield* Effect.raceFirst(this.moved, Effect.sleep(pause))
        }
      })
      return yield* Effect.timeoutOrElse(until, { duration, orElse: () => timedOut })
    })

  /** Takes everything that is stored by now. */
  readonly catchUp: Effect.Effect<void, InMemoryError, any> = Effect.suspend(() =>
    Effect.flatMap(this.step, (caughtUp) => caughtUp ? Effect.void : Effect.andThen(Effect.yieldNow, this.catchUp))
  )

  /** Takes what is stored later. */
  readonly follow: Effect.Effect<never, InMemoryError, any> = Effect.suspend(() => {
    this.isIdle = true
    return this.options.follower.wait
  }).pipe(
    Effect.andThen(Effect.suspend(() => {
      this.isIdle = false
      return this.catchUp
    })),
    Effect.forever,
    Effect.onExit((exit) => this.end(exit))
  )

  /** Folds what comes next. Says whether that was all there is. */
  private readonly step: Effect.Effect<boolean, InMemoryError, any> = Effect.suspend(() =>
    Effect.gen({ self: this }, function*() {
      const { decode, evolve, follower } = this.options
      const { caughtUp, events, position } = yield* follower.take(pageEvents)
      const decoded: Array<Recorded<any>> = []
      const failure = yield* decodeAll(decode, events, decoded)
      if (decoded.length > 0) {
        // once for all of them: a stored event is in the state with all its parts, or not at all
        yield* SubscriptionRef.set(this.state, decoded.reduce(evolve, SubscriptionRef.getUnsafe(this.state)))
        this.processed = decoded.at(-1)!.position
      }
      if (failure !== undefined) return yield* Effect.failCause(failure)
      this.processed = position
      this.tell()
      return caughtUp
    })
  )

  private end(exit: Exit.Exit<never, InMemoryError>): Effect.Effect<void> {
    const { ended, name } = this.options
    const isClosed = Exit.hasInterrupts(exit)
    this.exit = isClosed ? Exit.void : exit
    this.tell()
    const log = isClosed || Exit.isSuccess(exit)
      ? Effect.void
      : Effect.logError(`The projection ${name} does not follow the log any more`, exit.cause)
    return Effect.andThen(log, Deferred.done(ended, this.exit))
  }

  private tell(): void {
    // some go on at once, and wait again
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const resume of waiting) resume()
  }

  private readonly moved: Effect.Effect<void> = Effect.callback((resume) => {
    const onMove = () => resume(Effect.void)
    this.waiting.add(onMove)
    return Effect.sync(() => void this.waiting.delete(onMove))
  })

  private get reached(): number {
    // of what does not match nobody tells it
    return this.isIdle ? Math.max(this.processed, this.options.follower.position()) : this.processed
  }
}

/** Milliseconds between looks whether the log has gone on with what does not match. */
const shortestPause = 2
const longestPause = 50
