import { type Context, Deferred, Duration, Effect, type Scope } from "effect"
import type { Position } from "../../Stream/Position.ts"
import type { LogStorage } from "../LogStorage.ts"
import type { LogPlace, LogTail } from "../LogTail.ts"
import { InvalidInput, LogRewound, type StoreError, StreamTombstoned } from "../StoreError.ts"
import { followLog, followStream } from "./followables.ts"
import { type Followable, Follower, type FollowFrom } from "./follower.ts"
import { steady } from "./steady.ts"
import { holding, TailRun } from "./tailRun.ts"

/** A log tail, and the way in which its store ends it. */
export interface OwnLogTail extends LogTail {
  /** Ends what follows: the store is closed. */
  readonly close: Effect.Effect<void>
}

/** Follows the log as long as somebody listens: the connection and the fibre go with the last follower. */
export const makeLogTail = (storage: LogStorage, context: Context.Context<never>): OwnLogTail => {
  let current: TailRun | undefined
  let isClosed = false
  const watchers = new Map<string, Set<() => void>>()
  const changed = (name: string | undefined) => {
    for (const name_ of name === undefined ? watchers.keys() : [name]) {
      for (const onChange of watchers.get(name_) ?? []) onChange()
    }
  }
  const onEnd = (run: TailRun) => {
    if (current === run) current = undefined
  }

  const acquire: Effect.Effect<TailRun, StoreError | LogRewound, Scope.Scope> = Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => {
        if (current !== undefined) {
          current.users++
          return current
        }
        const run = new TailRun(storage, changed, onEnd)
        run.users++
        current = run
        // it may fail at once, and then is not the current one any more
        if (!isClosed) run.start(context)
        return run
      }),
      (run) => Effect.suspend(() => --run.users === 0 ? run.stop : Effect.void)
    ),
    (run) => Effect.as(Effect.andThen(isClosed ? run.close : Effect.void, Deferred.await(run.ready)), run)
  )

  /** The head of the log, after a look whether it still holds what was read of it. */
  const head = (read: Partial<LogPlace>): Effect.Effect<number, StoreError | LogRewound> => {
    const { eventId, position = 0 } = read
    return Effect.map(holding(steady(storage.identity(position)), position, eventId), (found) => found.head)
  }

  /**
   * The head of the log for who has joined its tail and begins at a place. What was read for all has to be in the log still:
   * after a failover a follower would be handed what was lost with it.
   */
  const headFor = ({ pages }: TailRun, from: "end" | Partial<LogPlace>) => {
    const held = head({ position: pages.position, eventId: pages.eventId })
    if (from === "end") return held
    return pages.position === 0 ? head(from) : Effect.andThen(held, head(from))
  }

  // a snapshot of its own, a rollback, an end before that of the subscription: nothing to follow a log from
  const outside = Effect.flatMap(storage.inTransaction, (isOpen) =>
    isOpen
      ? new InvalidInput({ field: "transaction", problem: "is open: begin a subscription before or after it" })
      : Effect.void)

  const follower = <E>(
    run: TailRun,
    source: Followable<E>,
    from: FollowFrom
  ): Effect.Effect<Follower<E>, never, Scope.Scope> =>
    Effect.flatMap(Effect.scope, (scope) =>
      Effect.acquireRelease(
        Effect.sync(() => new Follower(source, run.pages, run.failure, from, scope)),
        (follower) => Effect.sync(() => follower.leave())
      ))

  return {
    follow: (filter, from) =>
      Effect.gen(function*() {
        yield* outside
        const run = yield* acquire
        const known = yield* headFor(run, from)
        const start = from === "end" ? { position: known } : from
        return yield* follower(run, followLog(storage, filter), { position: start.position, known, start })
      }),
    followStream: (streamId, from) =>
      Effect.gen(function*() {
        yield* outside
        const run = yield* acquire
        const known = yield* headFor(run, from)
        const { tombstoned, version } = yield* steady(storage.stream(streamId))
        if (tombstoned) return yield* new StreamTombstoned({ streamId })
        if (from === "end") {
          const start = { position: known, streamVersion: version }
          return yield* follower(run, followStream(storage, streamId, version), { position: known, known, start })
        }
        if (from.streamVersion > version) {
          return yield* new LogRewound({
            position: from.streamVersion as Position,
            head: version as Position,
            eventId: undefined,
            streamId
          })
        }
        // it reads the stream from its version on, before the tail tells it anything
        const start = { ...from, position: from.position ?? 0 }
        return yield* follower(run, followStream(storage, streamId, from.streamVersion), { position: -1, known, start })
      }),
    position: () => current?.pages.position ?? 0,
    watch: (name, onChange) =>
      Effect.andThen(
        Effect.acquireRelease(
          Effect.sync(() => {
            const set = watchers.get(name) ?? new Set()
            watchers.set(name, set.add(onChange))
          }),
          () =>
            Effect.sync(() => {
              const set = watchers.get(name)
              set?.delete(onChange)
              if (set?.size === 0) watchers.delete(name)
            })
        ),
        // without the tail there is no news from others; where it cannot start, the poll has to do
        Effect.ignore(acquire)
      ),
    changed,
    stored: (position) => {
      if (current !== undefined && (position === 0 || position > current.pages.position)) current.wake()
    },
    close: Effect.suspend(() => {
      isClosed = true
      return current === undefined ? Effect.void : current.close
    }),
    poll: Duration.millis(storage.pollMillis)
  }
}
