import { Effect, Option, Stream } from "effect"
import { type LogCheck, plural, tell, type Told, walk } from "./verifying.ts"
import { selectDoubled, selectImpossible, selectIslands, selectNext } from "./verifySql.ts"

/** Positions that are looked at in one statement. The database counts, so few rows come back. */
const positionsAtATime = 50_000

/** Most of the events that are named whose position is none. */
const mostImpossible = 1000

/**
 * Positions follow one another without a hole up to the head. What is missing up to the floor is gone on purpose: the floor
 * says that these positions were used.
 */
export const checkPositions: LogCheck = ({ log, tables }, tally) => {
  const { floor, head, newest } = log
  const beforehand: Array<Told> = []
  if (floor === undefined) {
    beforehand.push(tell(
      "LogUnknown",
      { object: "logs" },
      `The log ${tables.log} has no row in the table logs: nothing can be appended to it`
    ))
  } else if (floor > newest) {
    const gone = floor - newest
    beforehand.push(tell(
      "FloorAhead",
      { position: floor },
      newest === 0
        ? `The floor of the log says that positions up to ${floor} were used, and there is no event`
        : `The floor of the log says that positions up to ${floor} were used, and the newest event is at ${newest}: ` +
          `the last ${plural(gone, "event")} are gone`,
      { expected: newest, actual: floor }
    ))
  }
  const impossible = Effect.map(
    selectImpossible(tables, Number.MAX_SAFE_INTEGER, mostImpossible),
    (events) =>
      events.map(({ position, ...event }) =>
        tell(
          "PositionImpossible",
          event,
          `Event ${event.streamVersion} of stream ${event.streamId} has the position ${position}, which no event can have`,
          { actual: position }
        )
      )
  )

  /** `expected` is the next position that there has to be. */
  const page = (expected: number) =>
    Effect.gen(function*() {
      if (expected > head) return { found: [], done: head, total: head, next: Option.none() }
      const to = Math.min(expected - 1 + positionsAtATime, head)
      const islands = yield* selectIslands(tables, { after: expected - 1, to })
      const found: Array<Told> = []
      let next = expected
      for (const island of islands) {
        if (island.from > next) yield* missing(next, island.from - 1, found)
        tally.looked += island.events
        if (island.events > island.to - island.from + 1) {
          for (const { events, names, position } of yield* selectDoubled(tables, island)) {
            found.push(tell(
              "PositionDoubled",
              { position },
              `${plural(events, "event")} have the position ${position}: ${names.join(", ")}`,
              { expected: 1, actual: events }
            ))
          }
        }
        next = island.to + 1
      }
      if (next <= to) {
        // nothing up to the end of the range: what follows may be far away
        const beyond = Math.min((yield* selectNext(tables, next - 1)).position ?? head + 1, head + 1)
        yield* missing(next, beyond - 1, found)
        next = beyond
      }
      return { found, done: next - 1, total: head, next: next > head ? Option.none() : Option.some(next) }
    })

  const missing = (from: number, to: number, found: Array<Told>) =>
    Effect.map(selectNext(tables, from - 1), ({ floor }) => {
      if (to <= floor) return
      const first = Math.max(from, floor + 1)
      found.push(tell(
        "PositionMissing",
        { position: first, ...(to > first ? { positionTo: to } : {}) },
        to > first
          ? `The log has no events at the positions ${first} to ${to}`
          : `The log has no event at position ${first}`
      ))
    })

  return Stream.concat(
    walk("positions", tally, 0, () =>
      Effect.map(impossible, (found) => ({
        found: [...beforehand, ...found],
        done: 0,
        total: head,
        next: Option.none()
      }))),
    walk("positions", tally, 1, page)
  )
}
