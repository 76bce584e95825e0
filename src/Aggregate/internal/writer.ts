import { Cause, Context, Deferred, Effect, Exit, Fiber, Metric, Queue, type Scope, Semaphore, Tracer } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import type { EventStore } from "../../Store/EventStore.ts"
import {
  EventIdConflict,
  InlineProjectionFailed,
  InvalidInput,
  StoreError,
  wrongExpectedVersion
} from "../../Store/StoreError.ts"
import { type ExpectedVersion, isMetBy } from "../../Stream/ExpectedVersion.ts"
import type { Position } from "../../Stream/Position.ts"
import type { StreamVersion } from "../../Stream/StreamVersion.ts"
import type { Ran } from "../Decider.ts"
import { answerOf, eventIdOf } from "./answering.ts"
import { type Folded, load, type Loaded, markOf, pickUp } from "./loading.ts"
import { readBack } from "./readingBack.ts"
import { Conflicted, conflicting, type Retry, retrying } from "./retrying.ts"
import { decidedOf } from "./running.ts"
import { advance, saveIfDue } from "./saving.ts"
import type { Telemetry } from "./telemetry.ts"

type Store = EventStore["Service"]

/** A command that waits for its turn. */
interface Waiting<S> {
  readonly command: unknown
  readonly commandId: string
  readonly expected: ExpectedVersion | undefined
  readonly metadata: EventMetadata.EventMetadata
  /** Of the one who asks: his services, his span. */
  readonly context: Context.Context<never>
  readonly answer: Deferred.Deferred<Effect.Effect<Ran<S, any>, any, any>>
  /** Whether nobody waits for the answer any more. */
  isGone: boolean
  /** Ends what is decided for him. */
  leave: () => void
}

export interface WriterOptions<S> {
  readonly store: Store
  readonly folded: Folded<S>
  readonly decide: (command: any, state: S) => Effect.Effect<ReadonlyArray<any>, any, any>
  readonly retry: Retry
  readonly telemetry: Telemetry
  /** Commands that are stored together, at most. */
  readonly batch: number
}

/** Runs the commands of one stream, in the order in which they come. */
export interface Writer<S> {
  readonly run: (options: {
    readonly command: unknown
    readonly commandId: string
    readonly expected: ExpectedVersion | undefined
    readonly metadata: EventMetadata.EventMetadata
  }) => Effect.Effect<Ran<S, any>, any, any>
  /** How many wait that are not in hand: none of them left. */
  readonly waiting: () => number
}

/**
 * The one writer of a stream. It keeps the state; what waits is decided one after the other, each on the state that those
 * before it lead to, and stored by one append at exactly the version of the state. Nothing is answered before that.
 *
 * It is not alone for certain: others may write past it. Then it reads what is new, and decides all anew.
 */
export const makeWriter = <S>(
  { batch, decide, folded, retry, store, telemetry }: WriterOptions<S>
): Effect.Effect<Writer<S>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { streamId } = folded.stream
    // in the order in which they came; who leaves is out at once, so there are no more than callers
    const line = new Set<Waiting<S>>()
    const arrived = yield* Queue.sliding<void>(1)
    const repeating = Semaphore.makeUnsafe(2)
    const sizes = Metric.withAttributes(batches, { decider: folded.stream.category.name })
    let current: Loaded<S> | undefined

    const idOf = ({ commandId }: Waiting<S>) => eventIdOf(streamId, commandId)(0)

    /** The state as it is, and which of these commands led to events already: those that are not stored are not in it. */
    const look = (waiting: ReadonlyArray<Waiting<S>>) =>
      Effect.gen(function*() {
        const stored = store.storage.positions(waiting.map(idOf))
        if (current !== undefined) {
          const [{ loaded, pickedUp }, known] = yield* Effect.all([pickUp(store, folded, current), stored], {
            concurrency: 2
          })
          current = loaded
          if (pickedUp === "same") return { loaded, known }
        }
        const loaded: Loaded<S> = current ??= yield* load(store, folded)
        // asked after the state was read
        return { loaded, known: yield* stored }
      })

    /** Decides, stores and answers, and answers how many of them it was: as many as fit into one append. */
    const attempt = (waiting: ReadonlyArray<Waiting<S>>) =>
      Effect.gen(function*() {
        const { known, loaded } = yield* look(waiting)
        const events: Array<EventData.EventData<any>> = []
        const answers: Array<(at: Places) => Effect.Effect<Ran<S, any>, any, any>> = []
        const before = new Map<string, (at: Places) => Effect.Effect<Ran<S, any>, any, any>>()
        let running = loaded
        for (const one of waiting) {
          const { command, commandId, context, expected, metadata } = one
          if (one.isGone) {
            answers.push(() => Effect.interrupt)
            continue
          }
          if (known.has(idOf(one))) {
            answers.push(() => repeating.withPermit(repeated(commandId)))
            continue
          }
          const twin = before.get(commandId)
          if (twin !== undefined) {
            answers.push((at) => Effect.map(twin(at), (ran) => ({ ...ran, isRepeated: true })))
            continue
          }
          const { mark, state, version } = running
          if (expected !== undefined && !isMetBy(expected, { version, exists: mark !== undefined })) {
            answers.push(() => wrongExpectedVersion([{ streamId, expected, actual: version }]))
            continue
          }
          // what it leads to is folded before it is stored: what cannot be folded must not be
          const deciding = Effect.provideContext(
            Effect.flatMap(
              Effect.suspend(() => decide(command, state)),
              (events) =>
                Effect.map(readBack(folded.stream, events), (read) => ({
                  events,
                  read,
                  next: read.reduce<S>(folded.evolve, state)
                }))
            ),
            context as Context.Context<any>
          )
          const decided = yield* untilGone(one, deciding)
          if (Exit.isFailure(decided)) {
            const { cause } = decided
            // an interruption would say that nobody has decided: then it is sent again
            answers.push(() =>
              !one.isGone && Cause.hasInterruptsOnly(cause)
                ? Effect.die(new Error(`The decision on the command ${commandId} for ${streamId} was interrupted`))
                : Effect.failCause(cause)
            )
            continue
          }
          const { events: led, next, read } = decided.value
          const from = events.length
          if (from > 0 && from + led.length > store.limits.appendEvents) break
          const eventId = eventIdOf(streamId, commandId)
          const news = led.map((event, i) => EventData.make(event, { id: eventId(led.length - 1 - i), metadata }))
          events.push(...news)
          const after = version + led.length as StreamVersion
          const last = news.at(-1)
          if (last !== undefined) {
            const at = { eventId: last.id!, position: 0, streamVersion: after }
            running = { ...running, state: next, version: after, mark: markOf(at, loaded.truncatedBefore) }
          }
          const to = events.length
          const answer = ({ firstPosition, position }: Places) =>
            Effect.succeed({
              state: next,
              events: decidedOf(news, { firstPosition: firstPosition + from, firstVersion: version + 1 }, read),
              version: after,
              position: (to === 0 ? position : firstPosition + to - 1) as Position,
              isRepeated: false
            })
          if (led.length > 0) before.set(commandId, answer)
          answers.push(answer)
        }

        const places = { firstPosition: 0, position: loaded.position as number }
        if (events.length > 0) {
          const append = store.append(folded.stream as never, events, {
            expected: loaded.version
          })
          const appended = yield* conflicting(append)
          if (appended.firstVersion !== loaded.version + 1) {
            // stored by somebody else in between, and on another state
            const violation = { streamId, expected: loaded.version, actual: appended.version }
            return yield* Effect.fail(new Conflicted(wrongExpectedVersion([violation])))
          }
          places.firstPosition = appended.firstPosition
          current = yield* saveIfDue(store, folded, yield* advance(loaded, running.state, events, appended))
        }
        yield* Metric.update(sizes, answers.length)
        for (const [i, answer] of answers.entries()) {
          Deferred.doneUnsafe(waiting[i]!.answer, Exit.succeed(answer(places)))
        }
        return answers.length
      })

    const repeated = (commandId: string) =>
      Effect.flatMap(answerOf(store, folded, commandId), (answer) =>
        answer === undefined
          ? Effect.die(new Error(`The events of the command ${commandId} for ${streamId} are gone`))
          : Effect.succeed(answer))

    /** Answers all of them, whatever happens. */
    const work = (waiting: ReadonlyArray<Waiting<S>>, isAgain = false): Effect.Effect<void, never, any> =>
      waiting.length === 0
        ? Effect.void
        : Effect.matchCauseEffect(retrying(attempt(waiting), retry, telemetry.retried), {
          onSuccess: (count) => work(waiting.slice(count)),
          onFailure: (cause) => {
            const reason = cause.reasons.find(({ _tag }) => _tag === "Fail")
            const error = reason?._tag === "Fail" ? reason.error : undefined
            // it may have been stored
            if (error === undefined || error instanceof StoreError) current = undefined
            // decided by somebody else at the same time: then its answer is there now
            if (error instanceof EventIdConflict && !isAgain) return work(waiting, true)
            if (waiting.length > 1 && isOfOne(error)) {
              return Effect.forEach(waiting, (one) => work([one]), { discard: true })
            }
            for (const { answer } of waiting) Deferred.doneUnsafe(answer, Exit.succeed(Effect.failCause(cause)))
            return Effect.void
          }
        })

    const takeBatch = (): ReadonlyArray<Waiting<S>> => {
      const taken: Array<Waiting<S>> = []
      for (const one of line) {
        if (taken.length === batch) break
        line.delete(one)
        taken.push(one)
      }
      return taken
    }
    const workOff: Effect.Effect<void, never, any> = Effect.suspend(() => {
      const taken = takeBatch()
      return taken.length === 0 ? Effect.void : Effect.andThen(work(taken), workOff)
    })
    yield* Queue.take(arrived).pipe(Effect.andThen(workOff), Effect.forever, Effect.forkScoped)

    return {
      run: ({ command, commandId, expected, metadata }) =>
        telemetry.run(streamId, command)(Effect.contextWith((context: Context.Context<never>) => {
          const span = Context.getOrUndefined(context as Context.Context<any>, Tracer.ParentSpan)
          const traced = span === undefined || metadata.traceparent !== undefined
            ? metadata
            : { ...metadata, traceparent: EventMetadata.traceparent(span) }
          const one: Waiting<S> = {
            command,
            commandId,
            expected,
            metadata: traced,
            context: Context.add(context, EventMetadata.Current, metadata),
            answer: Deferred.makeUnsafe(),
            isGone: false,
            leave: () => {}
          }
          line.add(one)
          Queue.offerUnsafe(arrived, undefined)
          return Effect.flatten(Effect.onInterrupt(Deferred.await(one.answer), () =>
            Effect.sync(() => {
              one.isGone = true
              line.delete(one)
              one.leave()
            })))
        })),
      waiting: () => line.size
    }
  })

/** What an effect for somebody ends with; it is interrupted when he leaves. */
const untilGone = <A, E, R>(
  one: Waiting<any>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.flatMap(Effect.forkChild(effect, { startImmediately: true }), (fiber) => {
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return Effect.succeed(exit)
    one.leave = () => fiber.interruptUnsafe()
    // he may have left while it was begun
    if (one.isGone) one.leave()
    return Fiber.await(fiber)
  })

/** Where the events of an append stand: its first one, and the last one before it. */
interface Places {
  readonly firstPosition: number
  readonly position: number
}

/** Whether one command alone may be why an append was refused. */
const isOfOne = (error: unknown): boolean =>
  error instanceof InvalidInput || error instanceof EventIdConflict || error instanceof InlineProjectionFailed ||
  error instanceof StoreError && error.outcome === "not-stored" && !error.isRetryable

const batches = Metric.histogram("eventstore.decider.entity.batch", {
  description: "Commands of an entity that were decided together",
  boundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
})
