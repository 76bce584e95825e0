import { DateTime, Effect } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventId from "../../Event/EventId.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import { EventStore } from "../../Store/EventStore.ts"
import type { AppendError, Entry } from "../../Store/EventStore.ts"
import {
  InvalidInput,
  type StoreError,
  type StreamTombstoned,
  type WrongExpectedVersion
} from "../../Store/StoreError.ts"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Process } from "../ProcessManager.ts"
import type { ProcessDefinition } from "./processDefinition.ts"
import { Moved } from "./processEvents.ts"
import type { StateDecodeFailed } from "./processState.ts"
import { changed, type Decision, fresh, InvalidStep, withoutFired } from "./processStep.ts"

type Store = EventStore["Service"]

/** A process, and where it stands in its stream. */
export interface Loaded {
  readonly process: Process<unknown, string>
  /** Version of its stream. */
  readonly version: number
  /** Its last move; `undefined` where there is none to read. */
  readonly last: Recorded<Moved> | undefined
}

/** The last move of a process, and the version of its stream. */
export const loadLast = (
  store: Store,
  definition: ProcessDefinition,
  id: string
): Effect.Effect<
  { readonly last: Recorded<Moved> | undefined; readonly version: number },
  InvalidInput | StreamTombstoned | DecodeError | StoreError
> =>
  Effect.gen(function*() {
    const stream = definition.categories.processes.stream(id)
    if (stream.problem !== undefined) return yield* new InvalidInput({ field: "id", problem: stream.problem })
    const { events: [stored] } = yield* store.storage.streamPage(stream.streamId, lastEvent)
    if (stored === undefined) return { last: undefined, version: yield* store.head(stream) }
    const events: Array<Recorded<Moved>> = []
    yield* stream.category.codec.decode(stored, events) ?? Effect.void
    return { last: events[0]!, version: stored.streamVersion }
  })

const lastEvent = { direction: "backward", from: Number.MAX_SAFE_INTEGER, to: 1, limit: 1, bytes: 1 } as const

export const load = (
  store: Store,
  definition: ProcessDefinition,
  id: string
): Effect.Effect<Loaded, InvalidInput | StreamTombstoned | DecodeError | StateDecodeFailed | StoreError, any> =>
  Effect.gen(function*() {
    const { last, version } = yield* loadLast(store, definition, id)
    if (last === undefined) return { process: fresh(definition, id), version, last }
    return { process: yield* toProcess(definition, id, last), version, last }
  })

/** A process as a move left it. */
export const toProcess = (
  definition: ProcessDefinition,
  id: string,
  moved: Recorded<Moved>
): Effect.Effect<Process<unknown, string>, StateDecodeFailed, any> =>
  Effect.map(definition.state.decode(moved), (state) => ({
    id,
    status: moved.event.isEnd ? "ended" as const : "running" as const,
    state,
    timers: Object.fromEntries(Object.entries(moved.event.timers).map(([name, { at }]) => [name, at]))
  }))

/** Makes what is to be stored of a decision about an event: a part of the transaction in which it is run. */
export const toWrite = (
  store: Store,
  definition: ProcessDefinition,
  loaded: Loaded,
  recorded: Recorded<any>,
  decision: Decision
): Effect.Effect<Effect.Effect<void, AppendError | WrongExpectedVersion>, InvalidStep> =>
  Effect.gen(function*() {
    const { categories, name, state: codec } = definition
    const { process: { id }, version } = loaded
    const state = yield* Effect.mapError(
      codec.encode(decision.state),
      (issue) => new InvalidStep({ manager: name, problem: `answers a state that does not encode: ${issue}` })
    )
    // the same for the same event, whatever the handler answers: an event can move a process only once
    const idOf = (...what: readonly [string, ...ReadonlyArray<number>]) =>
      EventId.fromName(name, id, recorded.eventId, String(recorded.part), ...what.map(String))
    const sent = decision.sent.map((command, i) => EventData.make(command, { id: idOf("command", i) }))
    const moved = new Moved({
      cause: {
        eventId: recorded.eventId,
        type: recorded.type,
        streamId: recorded.streamId,
        position: recorded.position,
        part: recorded.part
      },
      state,
      stateVersion: codec.version,
      timers: decision.isEnd ? {} : changed(
        withoutFired(loaded.last?.event ?? noTimers, recorded.event),
        mapTimes(decision.timers, (at) => ({ at, setBy: recorded.eventId }))
      ),
      sent: sent.map(({ event, id }) => ({ type: (event as { readonly _tag: string })._tag, eventId: id! })),
      isEnd: decision.isEnd
    })
    const entries = [
      EventStore.entry(categories.processes.stream(id), [EventData.make(moved, { id: idOf("moved") })], {
        expected: version
      }),
      ...(sent.length === 0 ? [] : [EventStore.entry(categories.commands.stream(id), sent)]),
      ...decision.appended.map((entry, i) => withIds(entry, (n) => idOf("append", i, n)))
    ]
    const { timers } = store.storage.projections
    const changes = mapTimes(decision.timers, DateTime.toEpochMillis)
    const changeTimers = decision.isEnd
      ? timers.clear(name, id)
      : changes.size > 0
      ? timers.change(name, Array.from(changes, ([timer, at]) => ({ key: id, name: timer, at })))
      : Effect.void
    return Effect.andThen(store.appendAll(entries), changeTimers).pipe(
      EventMetadata.provide(EventMetadata.causedBy(recorded))
    )
  })

const noTimers: Pick<Moved, "timers"> = { timers: {} }

const mapTimes = <A>(
  timers: Decision["timers"],
  f: (at: DateTime.Utc) => A
): ReadonlyMap<string, A | null> => new Map(Array.from(timers, ([name, at]) => [name, at === null ? null : f(at)]))

/** Gives an id to events that have none. */
const withIds = (entry: Entry, idOf: (index: number) => EventId.EventId): Entry => ({
  ...entry,
  events: entry.events.map((given, i) => {
    if (!(given instanceof EventData.EventData)) return EventData.make(given, { id: idOf(i) })
    const { event, id = idOf(i), metadata, tags } = given
    return EventData.make(event, { id, metadata, tags })
  })
})
