import { Cause, Effect, Exit } from "effect"
import type { EventData } from "../../Event/EventData.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as LogFilter from "../../Store/LogFilter.ts"
import { InvalidInput } from "../../Store/StoreError.ts"
import type { Position } from "../../Stream/Position.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { StreamVersion } from "../../Stream/StreamVersion.ts"
import { AnswerHidden } from "../AggregateError.ts"
import type { Boundary, DecidedOn, Participants, Ran, RunOptions } from "../Boundary.ts"
import { foldedOf } from "./aggregate.ts"
import { eventIdOf, findAnswer } from "./answering.ts"
import { type Folded, load, loadAsOf, type Loaded, reload } from "./loading.ts"
import { readBack } from "./readingBack.ts"
import { conflicting, defaultRetry, type Retry, retrying } from "./retrying.ts"
import { appendOrAnswer, checkCommandId, checkStream, decidedOf, withIds } from "./running.ts"
import { advance, saveIfDue } from "./saving.ts"
import { makeTelemetry } from "./telemetry.ts"

type Store = EventStore["Service"]

interface AnyOptions {
  readonly streams: (command: any) => Participants
  readonly decide: (command: any, states: any) => unknown
  readonly retry?: Retry | undefined
}

/** A stream that takes part, by its name. */
interface Part {
  readonly name: string
  readonly folded: Folded<unknown>
}

export const make = (
  name: string,
  { decide, retry = defaultRetry, streams }: AnyOptions
): Boundary<any, any, any, any> => {
  const telemetry = makeTelemetry(name)
  const partsOf = (command: unknown) =>
    Effect.suspend(() => {
      const parts = Object.entries(streams(command)).map(([name, { fold, id }]): Part => ({
        name,
        folded: foldedOf(fold, id)
      }))
      const ids = new Set(parts.map(({ folded }) => folded.stream.streamId))
      return ids.size < parts.length
        ? Effect.fail(new InvalidInput({ field: "streams", problem: "name one stream twice" }))
        : Effect.as(Effect.forEach(parts, ({ folded }) => checkStream(folded), { discard: true }), parts)
    })
  return {
    name,

    run: (command, options: RunOptions = {}) =>
      telemetry.run(undefined, command)(Effect.gen(function*() {
        const store = yield* EventStore
        const { commandId } = options
        yield* checkCommandId(commandId)
        const parts = yield* partsOf(command)
        const known = commandId === undefined
          ? Effect.succeed(undefined)
          : answerOf(store, name, parts, commandId)
        let loaded: ReadonlyArray<Loaded<unknown>> | undefined

        const attempt = Effect.gen(function*() {
          const states = loaded = yield* loadAll(store, parts, loaded)
          const before = yield* known
          if (before !== undefined) return before
          const decided = yield* Effect.exit(decideOn(decide, command, name, parts, states))
          const events = Exit.isSuccess(decided) ? decided.value : parts.map(() => [])
          if (events.every(({ length }) => length === 0)) {
            // one state was read after the other: were they ever there together?
            const isTold = parts.length === 1 || Exit.isFailure(decided) && Cause.hasInterrupts(decided.cause)
            if (!isTold) yield* conflicting(store.appendAll(entriesOf(parts, states, events)))
            return Exit.isSuccess(decided) ? ranOf(parts, states, [], false) : yield* Effect.failCause(decided.cause)
          }
          // before they are stored: what cannot be folded must not be
          const read = yield* Effect.forEach(parts, ({ folded }, i) => readBack(folded.stream, events[i]!))
          const next = parts.map(({ folded }, i) => read[i]!.reduce(folded.evolve, states[i]!.state))
          const ids = commandId === undefined ? undefined : eventIdOf(ownerOf(name), commandId)
          const news = split(yield* withIds(events.flat(), ids), events)
          const appended = yield* appendOrAnswer(
            conflicting(store.appendAll(entriesOf(parts, states, news))),
            options,
            known
          )
          if ("isRepeated" in appended) {
            return appended
          }
          // the same command at the same time, decided alike, when a stream without an event of it was at another version
          const isOther = parts.some((_, i) => news[i]!.length === 0 && appended[i]!.version !== states[i]!.version)
          const first = isOther ? yield* known : undefined
          if (first !== undefined) return first
          const after = yield* Effect.forEach(parts, ({ folded }, i) =>
            news[i]!.length === 0
              ? Effect.succeed(states[i]!)
              : Effect.flatMap(
                advance(states[i]!, next[i], news[i]!, appended[i]!),
                (loaded) => saveIfDue(store, folded, loaded)
              ))
          const stored = news.flatMap((events, i) =>
            decidedOf(events, appended[i]!, read[i]!).map((event) => ({ ...event, streamId: appended[i]!.streamId }))
          )
          return ranOf(parts, after, stored, false)
        })
        return yield* retrying(attempt, retry, telemetry.retried)
      })),

    query: (command) =>
      telemetry.span("query")(Effect.gen(function*() {
        const store = yield* EventStore
        const parts = yield* partsOf(command)
        const { position, states, versions } = ranOf(parts, yield* loadAll(store, parts, undefined), [], false)
        return { states, versions, position }
      }))
  }
}

/** Apart from the names of streams. */
export const ownerOf = (boundary: string): string => `boundary/${boundary}`

const loadAll = (store: Store, parts: ReadonlyArray<Part>, before: ReadonlyArray<Loaded<unknown>> | undefined) =>
  Effect.forEach(
    parts,
    ({ folded }, i) => before === undefined ? load(store, folded) : reload(store, folded, before[i]!),
    { concurrency: 8 }
  )

/** The events for each part, in the order of the parts. */
const decideOn = (
  decide: AnyOptions["decide"],
  command: unknown,
  boundary: string,
  parts: ReadonlyArray<Part>,
  states: ReadonlyArray<Loaded<unknown>>
): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, unknown, any> =>
  Effect.suspend(() => {
    const answer = decide(command, byName(parts, (i) => states[i]!.state))
    const toEvents = (events: any): ReadonlyArray<ReadonlyArray<unknown>> => {
      const names = new Set(parts.map(({ name }) => name))
      const unknown = Object.keys(events).find((name) => !names.has(name))
      if (unknown !== undefined) {
        throw new Error(`decide of ${boundary} answers events for ${unknown}, which it has not`)
      }
      return parts.map(({ name }) => events[name] ?? [])
    }
    return Effect.isEffect(answer)
      ? Effect.map(answer as Effect.Effect<unknown, unknown, any>, toEvents)
      : Effect.succeed(toEvents(answer))
  })

const entriesOf = (
  parts: ReadonlyArray<Part>,
  states: ReadonlyArray<Loaded<unknown>>,
  events: ReadonlyArray<ReadonlyArray<unknown>>
) =>
  parts.map(({ folded }, i) => ({ stream: folded.stream, events: events[i]!, expected: states[i]!.version as number }))

const split = (
  news: ReadonlyArray<EventData<any>>,
  like: ReadonlyArray<ReadonlyArray<unknown>>
): ReadonlyArray<ReadonlyArray<EventData<any>>> => {
  let from = 0
  return like.map(({ length }) => news.slice(from, from += length))
}

const byName = <A>(parts: ReadonlyArray<Part>, f: (index: number) => A): Readonly<Record<string, A>> =>
  Object.fromEntries(parts.map(({ name }, i) => [name, f(i)]))

const ranOf = (
  parts: ReadonlyArray<Part>,
  states: ReadonlyArray<{ readonly state: unknown; readonly version: StreamVersion; readonly position: Position }>,
  events: ReadonlyArray<DecidedOn<any>>,
  isRepeated: boolean
): Ran<any> => ({
  states: byName(parts, (i) => states[i]!.state) as never,
  versions: byName(parts, (i) => states[i]!.version),
  events,
  position: states.reduce((last, { position }) => Math.max(last, position), 0) as Position,
  isRepeated
})

/** Finds in the log what a command led to: all of it stands there, one event after the other. */
export const findInLog = (store: Store, boundary: string, commandId: string) =>
  findAnswer(store, ownerOf(boundary), commandId, (last, before) =>
    store.storage.logPage(LogFilter.everything, {
      direction: "backward",
      from: before === undefined ? last.position : before.position - 1,
      to: 1,
      limit: 20,
      bytes: Number.MAX_SAFE_INTEGER
    })).pipe(
      Effect.catchTag(
        "AnswerHidden",
        ({ position }) => Effect.fail(new AnswerHidden({ decider: boundary, commandId, position }))
      )
    )

/** What was decided, as it is stored. */
export const toDecided = (
  stored: ReadonlyArray<StoredEvent>,
  codecOf: (streamId: string) =>
    | {
      readonly decode: (
        stored: StoredEvent,
        into: { push(event: Recorded<any>): unknown }
      ) => Effect.Effect<void, any, any> | undefined
    }
    | undefined
): Effect.Effect<ReadonlyArray<DecidedOn<any>>, any, any> =>
  Effect.gen(function*() {
    const events: Array<DecidedOn<any>> = []
    const sink = {
      push: ({ event, eventId, position, streamId, streamVersion }: Recorded<any>) =>
        events.push({ event, eventId, streamVersion, position, streamId })
    }
    for (const one of stored) {
      const codec = codecOf(one.streamId)
      if (codec === undefined) {
        return yield* new InvalidInput({
          field: "commandId",
          problem: `belongs to another command, which led to an event of ${one.streamId}`
        })
      }
      yield* codec.decode(one, sink) ?? Effect.void
    }
    return events
  })

/** What a command answered when its events were stored; see `answerOf` of one stream. */
const answerOf = (store: Store, boundary: string, parts: ReadonlyArray<Part>, commandId: string) =>
  Effect.gen(function*() {
    const stored = yield* findInLog(store, boundary, commandId)
    if (stored === undefined) return undefined
    const codecs = new Map<string, Folded<unknown>["stream"]["category"]["codec"]>(
      parts.map(({ folded: { stream } }) => [stream.streamId, stream.category.codec])
    )
    const events = yield* toDecided(stored, (streamId) => codecs.get(streamId))
    const position = stored.at(-1)!.position as Position
    const states = yield* Effect.forEach(parts, ({ folded }) => loadAsOf(store, folded, { position }))
    const isHidden = parts.some(({ folded: { stream } }, i) => {
      const { mark, truncatedBefore, version } = states[i]!
      const own = stored.filter(({ streamId }) => streamId === stream.streamId)
      return own.length > 0
        // hidden between two of these reads
        ? version < own.at(-1)!.streamVersion || truncatedBefore > own[0]!.streamVersion
        // nothing is left of then: nobody can tell whether there was something
        : mark === undefined && truncatedBefore > 1
    })
    if (isHidden) return yield* new AnswerHidden({ decider: boundary, commandId, position })
    return ranOf(parts, states, events, true)
  })
