import { Effect } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventId from "../../Event/EventId.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import { EventStore } from "../../Store/EventStore.ts"
import { InvalidInput, WrongExpectedVersion } from "../../Store/StoreError.ts"
import { type ExpectedVersion, isExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { Position } from "../../Stream/Position.ts"
import type { StreamVersion } from "../../Stream/StreamVersion.ts"
import type { AsOf, Decided, Queried, Ran, RunOptions } from "../Decider.ts"
import { answerOf, eventIdOf } from "./answering.ts"
import { type Folded, load, loadAsOf, type Loaded, reload } from "./loading.ts"
import { conflicting, type Retry, retrying } from "./retrying.ts"
import type { Telemetry } from "./telemetry.ts"

/** How commands are run on one stream. */
export interface Running<S> {
  readonly folded: Folded<S>
  readonly decide: (command: any, state: S) => Effect.Effect<ReadonlyArray<any>, any, any>
  readonly retry: Retry
  readonly telemetry: Telemetry
}

export const run = <S>(
  { decide, folded, retry, telemetry }: Running<S>,
  command: unknown,
  options: RunOptions
): Effect.Effect<Ran<S, any>, any, any> =>
  telemetry.run(folded.stream.streamId, command)(Effect.gen(function*() {
    const store = yield* EventStore
    const { streamId } = folded.stream
    const { commandId, expected } = options
    yield* checkStream(folded)
    yield* checkCommandId(commandId)
    if (expected !== undefined && !isExpectedVersion(expected)) {
      return yield* new InvalidInput({ field: "expected", problem: `is ${String(expected)}` })
    }
    const known = commandId === undefined ? Effect.succeed(undefined) : answerOf(store, folded, commandId)
    let loaded: Loaded<S> | undefined

    const attempt = Effect.gen(function*() {
      loaded = yield* loaded === undefined ? load(store, folded) : reload(store, folded, loaded)
      // looked for after the state was read: what this state does not have, nobody had stored by then
      const before = yield* known
      if (before !== undefined) return before
      const { position, state, version } = loaded
      if (expected !== undefined && !isAt(expected, loaded)) {
        const violation = { streamId, expected, actual: version }
        return yield* new WrongExpectedVersion({ ...violation, violations: [violation] })
      }
      const events = yield* decide(command, state)
      if (events.length === 0) return { state, events: [], version, position, isRepeated: false }
      // before they are stored: what cannot be folded must not be
      const next = events.reduce<S>(folded.evolve, state)
      const news = yield* withIds(events, commandId === undefined ? undefined : eventIdOf(streamId, commandId))
      const append = store.append(folded.stream as never, news as ReadonlyArray<never>, { expected: version })
      const appended = yield* conflicting(append).pipe(
        EventMetadata.provide(yield* metadataOf(options)),
        // the same command at the same time, and it was decided otherwise
        Effect.catchTag("EventIdConflict", (conflict) =>
          Effect.flatMap(known, (answer) =>
            answer === undefined ? Effect.fail(conflict) : Effect.succeed(answer)))
      )
      return "isRepeated" in appended ? appended : {
        state: next,
        events: decidedOf(news, appended),
        version: appended.version,
        position: appended.position,
        isRepeated: false
      }
    })
    return yield* retrying(attempt, retry, telemetry.retried)
  }))

export const query = <S>(
  folded: Folded<S>,
  telemetry: Telemetry,
  asOf: AsOf | undefined
): Effect.Effect<Queried<S>, any, any> =>
  telemetry.span("query", folded.stream.streamId)(Effect.gen(function*() {
    const store = yield* EventStore
    yield* checkStream(folded)
    const isNow = asOf === undefined ||
      asOf.version === undefined && asOf.position === undefined && asOf.time === undefined
    const { position, state, version } = yield* isNow ? load(store, folded) : loadAsOf(store, folded, asOf)
    return { state, version, position }
  }))

export const checkStream = ({ stream }: Folded<any>): Effect.Effect<void, InvalidInput> =>
  stream.problem === undefined
    ? Effect.void
    : Effect.fail(new InvalidInput({ field: "id", problem: stream.problem }))

export const checkCommandId = (commandId: string | undefined): Effect.Effect<void, InvalidInput> =>
  commandId === undefined || typeof commandId === "string" && commandId !== "" && commandId.isWellFormed()
    ? Effect.void
    : Effect.fail(new InvalidInput({ field: "commandId", problem: "is empty, or no text without lone surrogates" }))

export const isAt = (expected: ExpectedVersion, { firstVersion, version }: Loaded<unknown>): boolean =>
  expected === "any" ? true : expected === "no-stream" ? firstVersion === 0 : expected === "stream-exists" ?
    firstVersion > 0 :
    version === expected

/** Gives events their ids before they are stored, so that the answer can name them. */
export const withIds = (
  events: ReadonlyArray<any>,
  idOf: ((fromLast: number) => EventId.EventId) | undefined
): Effect.Effect<ReadonlyArray<EventData.EventData<any>>> =>
  idOf === undefined
    ? Effect.forEach(events, (event) => Effect.map(EventId.make, (id) => EventData.make(event, { id })))
    : Effect.succeed(events.map((event, i) => EventData.make(event, { id: idOf(events.length - 1 - i) })))

/** What follows from a command belongs to the conversation of the fibre, or begins one. */
export const metadataOf = (
  { commandId, metadata = EventMetadata.empty }: RunOptions
): Effect.Effect<EventMetadata.EventMetadata> =>
  Effect.map(EventMetadata.Current, (current) =>
    commandId === undefined
      ? metadata
      : EventMetadata.merge(
        { correlationId: current.correlationId ?? commandId, causationId: commandId },
        metadata
      ))

/** Where the events of an append stand. */
export const decidedOf = (
  news: ReadonlyArray<EventData.EventData<any>>,
  { firstPosition, firstVersion }: { readonly firstPosition: number; readonly firstVersion: number }
): ReadonlyArray<Decided<any>> =>
  news.map(({ event, id }, i) => ({
    event,
    eventId: id!,
    streamVersion: firstVersion + i as StreamVersion,
    // what is staged has none yet
    position: (firstPosition === 0 ? 0 : firstPosition + i) as Position
  }))
