import { Effect, Option } from "effect"
import * as EventId from "../../Event/EventId.ts"
import type { EventStore, ReadError } from "../../Store/EventStore.ts"
import type { Page } from "../../Store/LogStorage.ts"
import { decodeFrom } from "../../Stream/Decode.ts"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import type { Position } from "../../Stream/Position.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import { AnswerHidden } from "../AggregateError.ts"
import type { Decided, Ran } from "../Decider.ts"
import { type Folded, loadAsOf } from "./loading.ts"

type Store = EventStore["Service"]

/**
 * The ids of the events of a command: the same whenever it is run, and of no other command of its owner. Counted from the
 * last one, 0, so that of two decisions with different numbers of events none passes for a part of the other.
 */
export const eventIdOf = (owner: string, commandId: string) => (fromLast: number): EventId.EventId =>
  EventId.fromName("effect-eventstore/command", owner, commandId, String(fromLast))

/**
 * Finds the events that a command led to, the first of them first; `undefined` where none are stored, `AnswerHidden` where some
 * of them are hidden by now. They stand one after the other, wherever that is: `pageBefore` reads backward.
 */
export const findAnswer = <E>(
  store: Store,
  owner: string,
  commandId: string,
  pageBefore: (last: StoredEvent, before: StoredEvent | undefined) => Effect.Effect<Page, E>
) =>
  Effect.gen(function*() {
    const idOf = eventIdOf(owner, commandId)
    const position = (yield* store.storage.positions([idOf(0)])).get(idOf(0))
    if (position === undefined) return undefined
    const hidden = new AnswerHidden({ decider: owner, commandId, position: position as Position })
    const last = Option.getOrUndefined(yield* store.storage.event(idOf(0)))
    if (last === undefined) return yield* hidden
    const found: Array<StoredEvent> = []
    for (;;) {
      const { events } = yield* pageBefore(last, found.at(-1))
      const end = events.findIndex(({ eventId }, i) => eventId !== idOf(found.length + i))
      found.push(...(end < 0 ? events : events.slice(0, end)))
      if (end >= 0 || events.length === 0) break
    }
    const isMore = (yield* store.storage.positions([idOf(found.length)])).size > 0
    return found.length === 0 || isMore ? yield* hidden : found.reverse()
  })

/**
 * What a command answered when its events were stored: the events, and the state up to them. `undefined` where none are
 * stored. Read from the stream, so it does not depend on what would be decided now.
 */
export const answerOf = <S>(
  store: Store,
  folded: Folded<S>,
  commandId: string
): Effect.Effect<Ran<S, any> | undefined, ReadError | AnswerHidden, any> =>
  Effect.gen(function*() {
    const { streamId } = folded.stream
    const stored = yield* findAnswer(store, streamId, commandId, (last, before) =>
      store.storage.streamPage(streamId, {
        direction: "backward",
        from: before === undefined ? last.streamVersion : before.streamVersion - 1,
        to: 1,
        limit: 20,
        bytes: Number.MAX_SAFE_INTEGER
      }))
    if (stored === undefined) return undefined
    const [begin, end] = [stored[0]!.streamVersion, stored.at(-1)!.streamVersion]
    const after = yield* loadAsOf(store, folded, { version: end })
    // hidden between two of these reads
    if (after.version < end || after.truncatedBefore > begin) {
      return yield* new AnswerHidden({ decider: streamId, commandId, position: stored.at(-1)!.position as Position })
    }
    const events = yield* decodeDecided(stored, folded)
    return { state: after.state, events, version: after.version, position: after.position, isRepeated: true }
  })

const decodeDecided = (
  stored: ReadonlyArray<StoredEvent>,
  { stream: { category: { codec } } }: Folded<any>
): Effect.Effect<ReadonlyArray<Decided<any>>, DecodeError, any> =>
  Effect.gen(function*() {
    const events: Array<Recorded<any>> = []
    yield* decodeFrom(codec.decode, stored, 0, events) ?? Effect.void
    return events.map(({ event, eventId, position, streamVersion }) => ({ event, eventId, streamVersion, position }))
  })
