import { Cause, Effect, Exit, Option } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventId from "../../Event/EventId.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import type { Snapshot } from "../../Snapshot/Snapshot.ts"
import * as SnapshotStore from "../../Snapshot/SnapshotStore.ts"
import { EventStore } from "../../Store/EventStore.ts"
import { EventIdConflict, InvalidInput, StoreError, wrongExpectedVersion } from "../../Store/StoreError.ts"
import { isExpectedVersion, isMetBy } from "../../Stream/ExpectedVersion.ts"
import type { Position } from "../../Stream/Position.ts"
import type { StreamVersion } from "../../Stream/StreamVersion.ts"
import type { Decided, Queried, QueryOptions, Ran, RunOptions } from "../Decider.ts"
import { answerOf, eventIdOf } from "./answering.ts"
import type { Cache, States } from "./caching.ts"
import { allSaved, type Folded, load, loadAsOf, type Loaded, pickUp, reload } from "./loading.ts"
import { readBack } from "./readingBack.ts"
import { Conflicted, conflicting, type Retry, retrying } from "./retrying.ts"
import { advance, saveIfDue } from "./saving.ts"
import type { Telemetry } from "./telemetry.ts"

type Store = EventStore["Service"]

/** How commands are run on one stream. */
export interface Running<S> {
  readonly folded: Folded<S>
  readonly decide: (command: any, state: S) => Effect.Effect<ReadonlyArray<any>, any, any>
  readonly retry: Retry
  readonly telemetry: Telemetry
  readonly cache: Cache | undefined
}

export const run = <S>(
  { cache, decide, folded, retry, telemetry }: Running<S>,
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
    const states = yield* statesOf(cache, store)
    let loaded: Loaded<S> | undefined

    const decideOn = Effect.fnUntraced(function*(loaded: Loaded<S>): Effect.fn.Return<Ran<S, any>, any, any> {
      // looked for after the state was read: what this state does not have, nobody had stored by then
      const before = yield* known
      if (before !== undefined) return before
      const { mark, position, state, version } = loaded
      if (expected !== undefined && !isMetBy(expected, { version, exists: mark !== undefined })) {
        return yield* wrongExpectedVersion([{ streamId, expected, actual: version }])
      }
      const events = yield* decide(command, state)
      if (events.length === 0) return { state, events: [], version, position, isRepeated: false }
      // before they are stored: what cannot be folded must not be
      const read = yield* readBack(folded.stream, events)
      const next = read.reduce<S>(folded.evolve, state)
      const news = yield* withIds(events, commandId === undefined ? undefined : eventIdOf(streamId, commandId))
      const append = store.append(folded.stream as never, news as ReadonlyArray<never>, { expected: version })
      const appended = yield* appendOrAnswer(conflicting(append), options, known)
      if ("isRepeated" in appended) {
        return appended
      }
      const after = yield* saveIfDue(store, folded, yield* advance(loaded, next, news, appended))
      if (states !== undefined) {
        yield* states.advance(streamId, after)
      }
      return {
        state: next,
        events: decidedOf(news, appended, read),
        version: appended.version,
        position: appended.position,
        isRepeated: false
      }
    })

    const attempt = Effect.gen(function*() {
      const kept: Loaded<S> | undefined = states?.get(streamId)
      const isNews = kept !== undefined && (loaded === undefined || kept.version > loaded.version)
      if (states === undefined || !isNews) {
        loaded = yield* loaded !== undefined
          ? reload(store, folded, loaded)
          : cache === undefined || states === undefined
          ? load(store, folded)
          : loadInto(store, folded, cache, states)
        if (states !== undefined) {
          yield* states.put(streamId, loaded)
        }
        return yield* decideOn(loaded)
      }
      if (!cache!.isTrusted || (yield* states.isOld(streamId))) {
        loaded = (yield* check(store, folded, cache!, states, kept)).loaded
        return yield* decideOn(loaded)
      }
      const trusted = yield* Effect.exit(decideOn(kept))
      if (isFinal(trusted)) {
        yield* cache!.count("same")
        return yield* trusted
      }
      // an answer without an append, or a conflict: nobody is told about a state that is over
      const checked = yield* check(store, folded, cache!, states, kept)
      loaded = checked.loaded
      return yield* checked.pickedUp === "same" && !isConflicted(trusted) ? trusted : decideOn(loaded)
    })
    return yield* retrying(attempt, retry, telemetry.retried)
  }))

export const query = <S>(
  { cache, folded, telemetry }: Running<S>,
  { consistency, position, time, version }: QueryOptions = {}
): Effect.Effect<Queried<S>, any, any> =>
  telemetry.span("query", folded.stream.streamId)(Effect.gen(function*() {
    const store = yield* EventStore
    yield* checkStream(folded)
    const isNow = version === undefined && position === undefined && time === undefined
    const queried = yield* isNow
      ? current(store, folded, cache, consistency === "cached")
      : loadAsOf(store, folded, { version, position, time })
    return { state: queried.state, version: queried.version, position: queried.position }
  }))

/** Saves the state of a stream; answers whether it is kept. */
export const saveNow = <S>(
  { cache, folded, telemetry }: Running<S>
): Effect.Effect<boolean, any, any> =>
  telemetry.span("snapshot", folded.stream.streamId)(Effect.gen(function*() {
    const store = yield* EventStore
    yield* checkStream(folded)
    const snapshot = yield* declaredOf(folded.snapshot)
    const loaded = yield* current(store, folded, cache, false)
    const isKept = yield* SnapshotStore.save(snapshot, folded.stream, loaded)
    const states = isKept ? yield* statesOf(cache, store) : undefined
    if (states !== undefined) yield* states.put(folded.stream.streamId, { ...loaded, unsaved: allSaved })
    return isKept
  }))

export const declaredOf = (
  snapshot: Snapshot<any, any> | undefined
): Effect.Effect<Snapshot<any, any>, InvalidInput> =>
  snapshot === undefined
    ? Effect.fail(new InvalidInput({ field: "snapshot", problem: "was not declared" }))
    : Effect.succeed(snapshot)

/** The state of now, from the process where one is kept that holds. */
const current = <S>(store: Store, folded: Folded<S>, cache: Cache | undefined, isTrusted: boolean) =>
  Effect.gen(function*() {
    const states = yield* statesOf(cache, store)
    if (cache === undefined || states === undefined) return yield* load(store, folded)
    const kept: Loaded<S> | undefined = states.get(folded.stream.streamId)
    if (kept === undefined) return yield* loadInto(store, folded, cache, states)
    if (!isTrusted) return (yield* check(store, folded, cache, states, kept)).loaded
    yield* cache.count("same")
    return kept
  })

/** None inside of a transaction: what is read there may rest on staged events, or be older than what is stored. */
const statesOf = (cache: Cache | undefined, { storage }: Store): Effect.Effect<States | undefined> =>
  cache === undefined
    ? Effect.succeed(undefined)
    : Effect.map(storage.inTransaction, (isOpen) => isOpen ? undefined : cache.of(storage))

const loadInto = <S>(store: Store, folded: Folded<S>, cache: Cache, states: States) =>
  Effect.gen(function*() {
    yield* cache.count("miss")
    const loaded = yield* load(store, folded)
    yield* states.put(folded.stream.streamId, loaded)
    return loaded
  })

/** Picks a kept state up again: one round trip, as long as no more than a page of events came since. */
const check = <S>(store: Store, folded: Folded<S>, cache: Cache, states: States, kept: Loaded<S>) =>
  Effect.gen(function*() {
    const { streamId } = folded.stream
    const checked = yield* Effect.tapErrorTag(
      pickUp(store, folded, kept),
      "StreamTombstoned",
      () => Effect.sync(() => states.remove(streamId, kept))
    )
    yield* cache.count(checked.pickedUp)
    if (checked.pickedUp === "stale") states.remove(streamId, kept)
    yield* states.put(streamId, checked.loaded)
    return checked
  })

/** Whether an answer is right whatever became of the state: what was appended was decided on what is there. */
const isFinal = (exit: Exit.Exit<Ran<any, any>, any>): boolean =>
  Exit.isSuccess(exit)
    ? exit.value.isRepeated || exit.value.events.length > 0
    : Cause.hasInterrupts(exit.cause) || errorOf(exit) instanceof StoreError

const isConflicted = (exit: Exit.Exit<unknown, unknown>): boolean => errorOf(exit) instanceof Conflicted

const errorOf = (exit: Exit.Exit<unknown, unknown>): unknown => Option.getOrUndefined(Exit.findErrorOption(exit))

export const checkStream = ({ stream }: Folded<any>): Effect.Effect<void, InvalidInput> =>
  stream.problem === undefined
    ? Effect.void
    : Effect.fail(new InvalidInput({ field: "id", problem: stream.problem }))

export const checkCommandId = (commandId: string | undefined): Effect.Effect<void, InvalidInput> =>
  commandId === undefined || typeof commandId === "string" && commandId !== "" && commandId.isWellFormed()
    ? Effect.void
    : Effect.fail(new InvalidInput({ field: "commandId", problem: "is empty, or no text without lone surrogates" }))

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

/** Appends what a command led to; the same command at the same time may have led to something else, and that is the answer. */
export const appendOrAnswer = <A, E, B, E2, R2>(
  append: Effect.Effect<A, E>,
  options: RunOptions,
  known: Effect.Effect<B | undefined, E2, R2>
): Effect.Effect<A | B, E | E2, R2> =>
  Effect.flatMap(metadataOf(options), (metadata) =>
    append.pipe(
      EventMetadata.provide(metadata),
      Effect.catchIf(
        (error) => error instanceof EventIdConflict,
        (conflict) =>
          Effect.flatMap(known, (answer) => answer === undefined ? Effect.fail(conflict) : Effect.succeed(answer))
      )
    ))

/** Where the events of an append stand, and what they read as. */
export const decidedOf = (
  news: ReadonlyArray<EventData.EventData<any>>,
  { firstPosition, firstVersion }: { readonly firstPosition: number; readonly firstVersion: number },
  read: ReadonlyArray<any>
): ReadonlyArray<Decided<any>> =>
  news.map(({ id }, i) => ({
    event: read[i],
    eventId: id!,
    streamVersion: firstVersion + i as StreamVersion,
    // what is staged has none yet
    position: (firstPosition === 0 ? 0 : firstPosition + i) as Position
  }))
