import { Cause, Clock, Effect, Equal, Exit, type FileSystem, Path, Stream } from "effect"
import { EventStore } from "../../../Store/EventStore.ts"
import { reasonOf } from "../../../Store/StoreError.ts"
import type * as Category from "../../../Stream/Category.ts"
import { type DecodeError, EventDecodeFailed, UnknownEventType } from "../../../Stream/DecodeError.ts"
import type { Recorded } from "../../../Stream/Recorded.ts"
import { Park, Retry, Skip, Stop } from "../../../Subscription/Delivery.ts"
import type { AnySubscription } from "../../App.ts"
import { lockFile } from "../frame/fileLock.ts"
import { OpenLog } from "../frame/logSql.ts"
import { note, type Output } from "../frame/output.ts"
import { during, type Progress, type Report } from "../frame/progress.ts"
import { answerIsNo } from "../frame/refusal.ts"
import { counted, numberOf, printable } from "../frame/table.ts"
import {
  askedOf,
  type Checkpoint,
  checkSame,
  movedOn,
  readCheckpoint,
  removeCheckpoint,
  writeCheckpoint
} from "./replayCheckpoint.ts"
import { type AskedRange, positionAt, readRange } from "./replayRange.ts"

/** A subscription with a handler, as the application declares it. */
export interface Handled extends AnySubscription {
  readonly handle: NonNullable<AnySubscription["handle"]>
}

export interface HandlerOptions {
  readonly range: AskedRange
  /** The file; one of its own in the working directory where it is left out. */
  readonly checkpoint: string | undefined
  /** How often an event is tried. */
  readonly attempts: number
  /** Whether events that cannot be handled are passed over. */
  readonly isKeepingOn: boolean
}

/** A replay that was prepared: nothing was done yet. */
export interface PreparedHandler {
  readonly name: string
  readonly declared: Handled
  readonly options: HandlerOptions
  readonly path: string
  readonly checkpoint: Checkpoint
  readonly isContinued: boolean
}

/** Most events, and milliseconds, between two checkpoints. */
const checkpointEvery = 100
const checkpointWithin = 1000

/** Finds out what there is to do, and where an earlier run has come to. */
export const prepareHandler = (name: string, declared: Handled, options: HandlerOptions) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const { log, name: place, schema } = yield* OpenLog
    const paths = yield* Path.Path
    const path = paths.resolve(options.checkpoint ?? `replay-${name.replaceAll(/[^\w.-]/g, "_")}.checkpoint.json`)
    const asked = { subscription: name, log: `${place} ${schema} ${log}`, asked: askedOf(options.range) }
    const kept = yield* readCheckpoint(path)
    if (kept !== undefined) {
      yield* checkSame(path, kept, asked)
      const { eventId } = yield* store.storage.identity(kept.position)
      if (kept.eventId !== null && eventId !== kept.eventId) {
        return yield* answerIsNo(
          `The log is not the one that ${path} was begun with: at position ${kept.position} is another event`,
          "it was restored since: remove the file to begin anew"
        )
      }
      return { name, declared, options, path, checkpoint: kept, isContinued: true } satisfies PreparedHandler
    }
    const head = yield* store.head()
    const { from = 1, to, until } = yield* readRange(options.range)
    const last = Math.min(to ?? head, head, until === undefined ? head : (yield* positionAt(until)) - 1)
    const checkpoint: Checkpoint = {
      format: 1,
      ...asked,
      from,
      to: Math.max(last, from - 1),
      position: from - 1,
      eventId: null,
      handled: 0,
      failed: { count: 0, first: [] }
    }
    return { name, declared, options, path, checkpoint, isContinued: false } satisfies PreparedHandler
  })

/** Runs the handler over the events, in order, and keeps how far it is in the file, which is nobody else's meanwhile. */
export const replayHandler = (prepared: PreparedHandler) =>
  Effect.scoped(Effect.andThen(lockFile(prepared.path), replayLocked(prepared)))

const replayLocked = (prepared: PreparedHandler) =>
  Effect.gen(function*() {
    const { checkpoint: begun, declared, isContinued, name, options, path } = prepared
    const kept = yield* readCheckpoint(path)
    if (isContinued ? kept === undefined || !Equal.equals(kept, begun) : kept !== undefined) {
      return yield* answerIsNo(
        `Another process ran this meanwhile: ${path} has changed`,
        "the same command looks at it anew"
      )
    }
    const store = yield* EventStore
    const clock = yield* Clock.Clock
    const startedAt = clock.currentTimeMillisUnsafe()
    if (isContinued) yield* note(`${name}: goes on behind position ${numberOf(begun.position)}, by ${path}`)
    let checkpoint = begun
    // a handler does what cannot be taken back: before, it has to be certain that it can be kept how far it is
    if (begun.position < begun.to) yield* writeCheckpoint(path, begun)
    let written = begun
    let writtenAt = startedAt
    const write = Effect.suspend(() => {
      if (written === checkpoint) return Effect.void
      const reached = checkpoint
      return Effect.map(writeCheckpoint(path, reached), () => {
        written = reached
        writtenAt = clock.currentTimeMillisUnsafe()
      })
    })
    const moveOn = (place: Pick<Recorded<unknown>, "position" | "eventId">, error: string | undefined) =>
      Effect.suspend(() => {
        checkpoint = movedOn(checkpoint, { position: place.position, eventId: place.eventId }, error)
        const events = checkpoint.handled + checkpoint.failed.count - written.handled - written.failed.count
        const isDue = events >= checkpointEvery || clock.currentTimeMillisUnsafe() - writtenAt >= checkpointWithin
        return isDue ? write : Effect.void
      })

    const total = begun.to - begun.from + 1
    const done = () => checkpoint.position - checkpoint.from + 1
    // of an event that was split into several, a failure of one is that of the whole
    let partFailed: string | undefined
    const one = (report: Report) => (recorded: Recorded<unknown>) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          partFailed = (yield* restore(handleOne(name, declared, options, recorded))) ?? partFailed
          if (recorded.part < recorded.parts - 1) return
          const error = partFailed
          partFailed = undefined
          yield* moveOn(recorded, error)
          yield* report(done())
        })
      )
    const events = (report: Report): Effect.Effect<void, unknown, any> =>
      Effect.suspend(() =>
        checkpoint.position >= begun.to ? Effect.void : store.readCategory(declared.from as Category.Any, {
          types: declared.types,
          tags: declared.tags,
          streamPrefix: declared.streamPrefix,
          recordedFrom: declared.recordedFrom,
          recordedUntil: declared.recordedUntil,
          from: checkpoint.position + 1,
          to: begun.to
        }).pipe(
          Stream.runForEach(one(report)),
          Effect.catchIf(
            (error: unknown): error is DecodeError => options.isKeepingOn && isDecodeError(error),
            (error) =>
              Effect.andThen(
                Effect.flatMap(
                  store.storage.identity(error.position),
                  ({ eventId }) => moveOn({ position: error.position, eventId: eventId! }, error.message)
                ),
                events(report)
              )
          )
        )
      )

    yield* during({ label: name, total, done: done() }, (report) =>
      Effect.andThen(events(report), Effect.suspend(() => report(total)))).pipe(
        Effect.onError(() =>
          Effect.matchEffect(write, {
            onSuccess: () =>
              note(
                `${name}: stopped behind position ${
                  numberOf(checkpoint.position)
                }; the same command goes on from there (${path})`
              ),
            onFailure: ({ problem }) =>
              note(
                `${name}: stopped behind position ${
                  numberOf(checkpoint.position)
                }. ${problem}; as it stands, the same command begins behind position ${
                  numberOf(written.position)
                }, and does again what follows`
              )
          })
        )
      )
    yield* removeCheckpoint(path)
    return {
      name,
      kind: "subscription",
      from: checkpoint.from,
      position: checkpoint.to,
      handled: checkpoint.handled,
      failed: checkpoint.failed,
      seconds: (clock.currentTimeMillisUnsafe() - startedAt) / 1000
    } satisfies HandlerReplayed
  }) as Effect.Effect<HandlerReplayed, unknown, EventStore | FileSystem.FileSystem | Output | Progress>

/** What became of the replay of a handler. */
export interface HandlerReplayed {
  readonly name: string
  readonly kind: "subscription"
  readonly from: number
  readonly position: number
  readonly handled: number
  readonly failed: Checkpoint["failed"]
  readonly seconds: number
}

export const handlerText = ({ failed, from, handled, name, position, seconds }: HandlerReplayed): string =>
  [
    `${printable(name)}: ${counted(handled, "event")} of the positions ${numberOf(from)} to ${
      numberOf(position)
    } handled in ${seconds.toFixed(1)} s${
      failed.count === 0 ?
        "" :
        `, ${counted(failed.count, "event")} passed over${
          failed.count > failed.first.length ? `, of which the first ${failed.first.length} are` : ""
        }:`
    }`,
    ...failed.first.map(({ error, position }) => `  position ${numberOf(position)}: ${printable(error)}`)
  ].join("\n")

const isDecodeError = (error: unknown): error is DecodeError =>
  error instanceof EventDecodeFailed || error instanceof UnknownEventType

/** Milliseconds before the second attempt; they double. */
const firstDelay = 200

/** Handles an event, with some attempts. Answers why it was passed over, where it was. */
const handleOne = (
  subscription: string,
  declared: Handled,
  { attempts, isKeepingOn }: HandlerOptions,
  recorded: Recorded<unknown>
) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    for (let attempt = 1;; attempt++) {
      const delivery = {
        ...recorded,
        subscription,
        attempt,
        key: keyOf(declared, recorded),
        // there is none: nobody else has the event in hand
        lease: 0,
        transaction: <A, E, R>(effect: Effect.Effect<A, E, R>) => store.transaction(effect)
      }
      const exit = yield* Effect.exit(Effect.scoped(Effect.suspend(() => declared.handle(delivery))))
      if (Exit.isSuccess(exit)) return undefined
      if (Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.failCause(exit.cause)
      const error = Cause.squash(exit.cause)
      if (error instanceof Skip) return undefined
      const isLast = attempt >= attempts || error instanceof Park || error instanceof Stop
      const problem = reasonOf(error)
      if (isLast && isKeepingOn && !(error instanceof Stop)) return problem
      if (isLast) {
        return yield* answerIsNo(
          `The handler of ${subscription} failed at position ${recorded.position} (${recorded.type} of ${recorded.streamId}): ${problem}`,
          "--keep-going passes over events that cannot be handled"
        )
      }
      const delay = error instanceof Retry && error.after !== undefined ? error.after : firstDelay * 2 ** (attempt - 1)
      yield* Effect.sleep(delay)
    }
  })

const keyOf = ({ ordering }: Handled, recorded: Recorded<any>): string | null =>
  ordering === "none" ? null : typeof ordering === "function" ? String(ordering(recorded)) : recorded.streamId
