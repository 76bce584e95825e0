import { Array as Arr, type Cause, Effect, Option, type Pull, Stream } from "effect"
import { type Decode, decodeFrom } from "../../Stream/Decode.ts"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { Page, PageRange } from "../LogStorage.ts"

/** Events that a page holds at most, and the bytes after which it ends: what a reader keeps in memory is a few of these. */
const pageEvents = 2000
const firstPageEvents = 200
const pageBytes = 2 * 1024 * 1024

interface State {
  readonly from: number
  readonly left: number
  readonly size: number
}

/**
 * Reads page by page as it is pulled; a page ends where it has enough bytes, so that memory stays flat whatever the events
 * hold. From the second page on the next one is under way while one is decoded.
 */
export const readPages = <Out, E, R>(options: {
  readonly range: Omit<PageRange, "bytes">
  readonly cursor: (stored: StoredEvent) => number
  readonly page: (range: PageRange) => Effect.Effect<Page, E>
  readonly decode: Decode<Out, R>
}): Stream.Stream<Recorded<Out>, E | DecodeError, R> => {
  const { cursor, decode, page, range } = options
  const step = range.direction === "forward" ? 1 : -1
  const load = ({ from, left, size }: State) =>
    Effect.map(
      page({ ...range, from, limit: Math.min(size, left), bytes: pageBytes }),
      ({ events, more }): readonly [ReadonlyArray<StoredEvent>, Option.Option<State>] => {
        const last = events[events.length - 1]
        return events.length >= left || last === undefined || !more
          ? [events.slice(0, left), Option.none()]
          : [
            events,
            Option.some({
              from: cursor(last) + step,
              left: left - events.length,
              size: Math.min(pageEvents, Math.max(firstPageEvents, events.length * 4))
            })
          ]
      }
    )
  const first = load({ from: range.from, left: range.limit, size: firstPageEvents })
  const pages = Stream.unwrap(Effect.map(first, ([events, next]) => {
    const begin = Stream.fromArray(events)
    // most reads end here: only the long ones pay for a fibre that reads ahead
    return Option.isNone(next)
      ? begin
      : Stream.concat(begin, Stream.bufferArray(Stream.paginate(next.value, load), { capacity: 1 }))
  }))
  return Stream.transformPull(pages, (pull) => Effect.sync(() => decodePages(pull, decode)))
}

/** Decodes pages as they come. What comes before an event that does not decode is handed out before the stream fails. */
const decodePages = <Out, E, R>(
  pull: Pull.Pull<Arr.NonEmptyReadonlyArray<StoredEvent>, E>,
  decode: Decode<Out, R>
): Pull.Pull<Arr.NonEmptyReadonlyArray<Recorded<Out>>, E | DecodeError, void, R> => {
  let failure: Cause.Cause<DecodeError> | undefined
  const decodePage = (rows: ReadonlyArray<StoredEvent>): Effect.Effect<Array<Recorded<Out>>, DecodeError, R> => {
    const events: Array<Recorded<Out>> = []
    const waiting = decodeFrom(decode, rows, 0, events)
    return waiting === undefined ? Effect.succeed(events) : Effect.matchCauseEffect(waiting, {
      onSuccess: () => Effect.succeed(events),
      onFailure: (cause) => {
        if (events.length === 0) return Effect.failCause(cause)
        failure = cause
        return Effect.succeed(events)
      }
    })
  }
  const next: Pull.Pull<Arr.NonEmptyReadonlyArray<Recorded<Out>>, E | DecodeError, void, R> = Effect.suspend(() =>
    failure === undefined
      ? Effect.flatMap(pull, (rows) =>
        Effect.flatMap(decodePage(rows), (events) =>
          // upcasters may drop all of a page
          Arr.isReadonlyArrayNonEmpty(events) ? Effect.succeed(events) : next))
      : Effect.failCause(failure)
  )
  return next
}
