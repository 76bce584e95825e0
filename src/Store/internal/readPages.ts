import { Effect, Option, Stream } from "effect"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { ReadOptions } from "../EventStore.ts"
import type { PageRange } from "../LogStorage.ts"
import { InvalidInput } from "../StoreError.ts"

/** Stored events a page at most asks for, and the bytes of data it aims at: what a reader holds in memory at a time. */
const pageEvents = 2000
const firstPageEvents = 200
const pageBytes = 2 * 1024 * 1024

type Decode<Out, R> = (
  stored: StoredEvent,
  into: Array<Recorded<Out>>
) => Effect.Effect<void, DecodeError, R> | undefined

/** Reads page by page as it is pulled. Pages grow while events are small, so that memory stays flat whatever they hold. */
export const readPages = <Out, E, R>(options: {
  readonly range: PageRange
  readonly cursor: (stored: StoredEvent) => number
  readonly page: (range: PageRange) => Effect.Effect<ReadonlyArray<StoredEvent>, E>
  readonly decode: Decode<Out, R>
}): Stream.Stream<Recorded<Out>, E | DecodeError, R> => {
  const { cursor, decode, page, range } = options
  const forward = range.direction === "forward"
  interface State {
    readonly from: number
    readonly left: number
    readonly size: number
  }
  const first: State = { from: range.from, left: range.limit, size: firstPageEvents }
  return Stream.paginate(first, ({ from, left, size }) => {
    const limit = Math.min(size, left)
    return Effect.flatMap(page({ ...range, from, limit }), (rows) => {
      const last = rows[rows.length - 1]
      const next: Option.Option<State> = rows.length < limit || rows.length === left || last === undefined
        ? Option.none()
        : Option.some({
          from: forward ? cursor(last) + 1 : cursor(last) - 1,
          left: left - rows.length,
          size: nextSize(rows)
        })
      return Effect.map(decodePage(rows, decode), (events) => [events, next] as const)
    })
  })
}

const nextSize = (rows: ReadonlyArray<StoredEvent>): number => {
  let bytes = 0
  for (const row of rows) bytes += row.data.length + 200
  return Math.max(1, Math.min(rows.length * 4, pageEvents, Math.floor(rows.length * pageBytes / bytes)))
}

const decodePage = <Out, R>(
  rows: ReadonlyArray<StoredEvent>,
  decode: Decode<Out, R>
): Effect.Effect<Array<Recorded<Out>>, DecodeError, R> => {
  const events: Array<Recorded<Out>> = []
  const decodeFrom = (start: number): Effect.Effect<Array<Recorded<Out>>, DecodeError, R> => {
    for (let i = start; i < rows.length; i++) {
      const waiting = decode(rows[i]!, events)
      if (waiting !== undefined) return Effect.flatMap(waiting, () => decodeFrom(i + 1))
    }
    return Effect.succeed(events)
  }
  return Effect.suspend(() => decodeFrom(0))
}

/** Checks a range and fills in what was left out; `start` and `end` are its bounds in forward direction. */
export const toRange = (options: ReadOptions | undefined): Effect.Effect<PageRange, InvalidInput> => {
  const direction = options?.direction ?? "forward"
  if (direction !== "forward" && direction !== "backward") {
    return new InvalidInput({ field: "direction", problem: `is ${String(direction)}, not forward or backward` })
  }
  const [from, to] = direction === "forward" ? [1, Number.MAX_SAFE_INTEGER] : [Number.MAX_SAFE_INTEGER, 1]
  const range = {
    direction,
    from: options?.from ?? from,
    to: options?.to ?? to,
    limit: options?.limit ?? Number.MAX_SAFE_INTEGER
  }
  // no bound at all is what left out means
  if (range.to === Infinity && direction === "forward") range.to = to
  if (range.from === Infinity && direction === "backward") range.from = from
  if (range.limit === Infinity) range.limit = Number.MAX_SAFE_INTEGER
  for (const field of ["from", "to", "limit"] as const) {
    if (!Number.isSafeInteger(range[field]) || range[field] < 0) {
      return new InvalidInput({ field, problem: `is ${String(range[field])}, which is not a whole number from 0` })
    }
  }
  return Effect.succeed(range)
}
