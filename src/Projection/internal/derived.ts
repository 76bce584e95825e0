import { Effect, Result } from "effect"
import { EventData } from "../../Event/EventData.ts"
import type { EventId } from "../../Event/EventId.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import type { AppendError, Entry, EventStore } from "../../Store/EventStore.ts"
import { InvalidInput, type WrongExpectedVersion } from "../../Store/StoreError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"

/** What follows from an event: events for one stream, for several, or none. */
export type Emitted = Entry | ReadonlyArray<Entry> | undefined

/** A derived event on its way to its stream. */
interface Derived {
  readonly stream: Entry["stream"]
  readonly event: EventData<unknown>
}

/** Derived events, in the order in which they are to be stored. */
export class Derivation {
  private readonly derived: Array<Derived> = []

  /** Adds what follows from an event, named by its place in the answer. */
  add(emitted: Emitted, cause: Recorded<unknown>, idOf: (ordinal: number) => EventId): InvalidInput | undefined {
    if (emitted === undefined) return undefined
    const metadata = EventMetadata.causedBy(cause)
    let ordinal = 0
    for (
      const { events, expected, stream } of Array.isArray(emitted)
        ? emitted as ReadonlyArray<Entry>
        : [emitted as Entry]
    ) {
      if (expected !== "any") {
        // what a stream was when an event came first, it is not when it is looked at once more
        return new InvalidInput({ field: "emit", problem: `expects ${stream.streamId} to be at ${expected}` })
      }
      for (const given of events) {
        const own = given instanceof EventData ? given : undefined
        if (own?.id !== undefined) {
          return new InvalidInput({ field: "emit", problem: "gives an event an id, which is to follow from its cause" })
        }
        const event = new EventData(own === undefined ? given : own.event, {
          id: idOf(ordinal++),
          tags: own?.tags,
          metadata: own?.metadata === undefined ? metadata : EventMetadata.merge(metadata, own.metadata)
        })
        this.derived.push({ stream, event })
      }
    }
    return undefined
  }

  /** Stages them in the transaction that is open. Those that are stored already are left where they are. */
  append(store: EventStore["Service"]): Effect.Effect<void, AppendError | WrongExpectedVersion> {
    return Effect.forEach(inOrder(this.derived), (derived) => appendOrHalve(store, derived), { discard: true })
  }
}

/** Most events, and streams, of an append: well below what a store takes where nobody asked for less. */
const mostEvents = 1000
const mostStreams = 500

/**
 * Parts them into appends, each of which takes a stream once, so that they are stored in their order: a stream that comes again
 * after another one begins a new append.
 */
const inOrder = (derived: ReadonlyArray<Derived>): ReadonlyArray<ReadonlyArray<Derived>> => {
  const appends: Array<Array<Derived>> = []
  let current: Array<Derived> = []
  let last: string | undefined
  const streams = new Set<string>()
  for (const one of derived) {
    const { streamId } = one.stream
    const isNew = !streams.has(streamId)
    if (
      current.length === 0 || !isNew && streamId !== last || current.length === mostEvents ||
      isNew && streams.size === mostStreams
    ) {
      appends.push(current = [])
      streams.clear()
    }
    current.push(one)
    streams.add(streamId)
    last = streamId
  }
  return appends
}

/**
 * Appends events at once. Where that is refused, in halves: of some that are stored already the store takes only all as a
 * repetition, and of too many it takes fewer. What is left of it is the one event to blame.
 */
const appendOrHalve = (
  store: EventStore["Service"],
  derived: ReadonlyArray<Derived>
): Effect.Effect<void, AppendError | WrongExpectedVersion> =>
  Effect.flatMap(Effect.result(store.appendAll(toEntries(derived))), (appended) => {
    if (Result.isSuccess(appended)) return Effect.void
    const { _tag } = appended.failure
    if (derived.length === 1 || _tag !== "EventIdConflict" && _tag !== "InvalidInput") {
      return Effect.fail(appended.failure)
    }
    const half = derived.length >>> 1
    return Effect.andThen(
      appendOrHalve(store, derived.slice(0, half)),
      appendOrHalve(store, derived.slice(half))
    )
  })

const toEntries = (derived: ReadonlyArray<Derived>): ReadonlyArray<Entry> => {
  const entries: Array<
    { readonly stream: Entry["stream"]; readonly events: Array<unknown>; readonly expected: "any" }
  > = []
  for (const { event, stream } of derived) {
    const last = entries.at(-1)
    if (last?.stream.streamId === stream.streamId) last.events.push(event)
    else entries.push({ stream, events: [event], expected: "any" })
  }
  return entries
}
