/** What has to be true of the journal after a storm. */
import type { PgClient } from "@effect/sql-pg"
import { Effect, Option, Stream } from "effect"
import { EventStore, Projection } from "effect-eventstore"
import { Accounts, faultsOf, linesOf } from "./journal.ts"
import type { Store } from "./Notes.ts"
import { mend } from "./projectors.ts"
import { patiently } from "./storm.ts"

export interface JournalFindings {
  readonly violations: ReadonlyArray<string>
  readonly counts: Readonly<Record<"lines" | "setAside", number>>
}

/**
 * Lets the journal catch up and looks at what is set aside: events that fail, and those behind them. Then lets those be
 * handled again, and compares everything with the log.
 */
export const checkJournal = (
  sql: PgClient.PgClient,
  store: Store,
  millis: number
): Effect.Effect<JournalFindings, unknown> =>
  Effect.gen(function*() {
    const violations: Array<string> = []
    const state = Effect.map(
      patiently(store.storage.projections.states("journal", undefined)),
      (states) => states[0]!
    )
    const caughtUp = Effect.fnUntraced(function*(what: string, mayPark: boolean) {
      const head = yield* patiently(store.head())
      const found = yield* Effect.repeat(Effect.andThen(Effect.sleep(100), state), {
        until: ({ parkedEvents, partitions, repartitionTo }) =>
          repartitionTo === null && partitions.every(({ position }) => position >= head) &&
          (mayPark || parkedEvents === 0)
      }).pipe(Effect.timeoutOption(millis))
      if (Option.isNone(found)) violations.push(`the journal has not ${what}: ${JSON.stringify(yield* state)}`)
    })

    // a pause of the operator may have been the last thing that happened
    yield* patiently(Projection.resume("journal"))
    yield* caughtUp("caught up", true)
    const events = yield* Stream.runCollect(store.readCategory(Accounts))
    const failing = new Map<string, number>()
    for (const { event, position, streamId } of events) {
      if (event.kind === "fail" && !failing.has(streamId)) failing.set(streamId, position)
    }
    const wanted = events.filter(({ position, streamId }) => position >= (failing.get(streamId) ?? Infinity))
    const parked = yield* Stream.runCollect(Projection.parked("journal"))
    const isParked = new Set(parked.map(({ position }) => position as number))
    const isWanted = new Set(wanted.map(({ position }) => position as number))
    const wrong = [
      ...[...isWanted].filter((position) => !isParked.has(position)).map((position) => `${position} is not set aside`),
      ...parked.filter(({ position }) => !isWanted.has(position)).map(({ error, position }) =>
        `${position} is set aside: ${error}`
      )
    ]
    if (wrong.length > 0) violations.push(`${wrong.length} events of the journal: ${wrong.slice(0, 5).join("; ")}`)

    yield* mend(sql)
    yield* patiently(Projection.replay("journal"))
    yield* caughtUp("handled what was set aside", false)
    violations.push(...yield* faultsOf(sql, store))
    return { violations, counts: { lines: (yield* linesOf(sql)).length, setAside: parked.length } }
  }).pipe(Effect.provideService(EventStore, store))
