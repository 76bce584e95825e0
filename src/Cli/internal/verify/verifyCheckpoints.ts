import { Effect, Option, Stream } from "effect"
import type { StoreError } from "../../../Store/StoreError.ts"
import {
  type Checkpoint,
  type PartitionRow,
  type Reference,
  selectDeliveries,
  selectKept,
  selectPartitions,
  selectSubscriptions,
  selectTimers,
  type SubscriptionRow,
  type TimerRow
} from "./verifyCheckpointsSql.ts"
import { type LogCheck, tell, type Told, walk } from "./verifying.ts"

const pageRows = 5000

/** Whoever reads the log stands within it, and what is kept of an event is of one that there is. */
export const checkCheckpoints: LogCheck = ({ tables }, tally) => {
  /** All rows of a table, and what is wrong with each. */
  const all = <Row>(
    select: (last: Row | undefined) => Effect.Effect<ReadonlyArray<Row>, StoreError>,
    problemsOf: (row: Row) => ReadonlyArray<Told>
  ) =>
    walk("checkpoints", tally, undefined as Row | undefined, (last) =>
      Effect.map(select(last), (rows) => {
        tally.looked += rows.length
        return {
          found: rows.flatMap(problemsOf),
          done: tally.looked,
          next: rows.length < pageRows ? Option.none() : Option.some(rows.at(-1))
        }
      }))

  /** What refers to an event that there is not: on purpose where it is not above the floor. */
  const dangling = (problem: (row: Reference) => Told) => (row: Reference): ReadonlyArray<Told> => {
    if (row.isThere) return []
    if (row.position > row.floor) return [problem(row)]
    tally.skip("events up to the floor of the log are gone: what refers to them was passed over")
    return []
  }

  return all<PartitionRow>((last) => selectPartitions(tables, last, pageRows), partitionProblems).pipe(
    Stream.concat(all<SubscriptionRow>(
      (last) => selectSubscriptions(tables, last?.id ?? 0, pageRows),
      subscriptionProblems
    )),
    Stream.concat(all<Reference>(
      (last) => selectDeliveries(tables, "deliveries", last, pageRows),
      dangling(({ name, position }) =>
        tell(
          "DeliveryDangling",
          { subscription: name, position },
          `A delivery of the subscription ${name} is of position ${position}, where there is no event`
        )
      )
    )),
    Stream.concat(all<Reference>(
      (last) => selectDeliveries(tables, "parked_deliveries", last, pageRows),
      dangling(({ name, position }) =>
        tell(
          "ParkedDangling",
          { subscription: name, position },
          `The subscription ${name} has parked position ${position}, where there is no event`
        )
      )
    )),
    Stream.concat(all<Reference>(
      (last) => selectKept(tables, "parked_events", last, pageRows),
      dangling(({ key, name, position, version }) =>
        tell(
          "ParkedDangling",
          { projection: name, projectionVersion: version, key, position },
          `Version ${version} of the projection ${name} has parked position ${position} under the key ${key}, ` +
            "where there is no event"
        )
      )
    )),
    Stream.concat(all<Reference>(
      (last) => selectKept(tables, "links", last, pageRows),
      dangling(({ key, name, position, version }) =>
        tell(
          "LinkDangling",
          { projection: name, projectionVersion: version, key, position },
          `Version ${version} of the projection ${name} links the key ${key} to position ${position}, where there is ` +
            "no event"
        )
      )
    )),
    Stream.concat(all<TimerRow>((last) => selectTimers(tables, last, pageRows), timerProblems))
  )
}

const partitionProblems = (row: PartitionRow): ReadonlyArray<Told> =>
  checkpointProblems(
    row,
    { projection: row.name, projectionVersion: row.version },
    `Partition ${row.partition} of version ${row.version} of the projection ${row.name}`
  )

const subscriptionProblems = (row: SubscriptionRow): ReadonlyArray<Told> => {
  const { first, lowest, name } = row
  const problems = checkpointProblems(row, { subscription: name }, `The subscription ${name}`)
  return first === undefined || first >= lowest ? problems : [
    ...problems,
    tell(
      "DeliveryUnreachable",
      { subscription: name, position: first },
      `The subscription ${name} hands out nothing below position ${lowest}, and a delivery of position ${first} waits`,
      { expected: `at most ${first}`, actual: lowest }
    )
  ]
}

const checkpointProblems = (
  { eventId, head, isThat, isThere, position }: Checkpoint,
  about: Told["about"],
  who: string
): ReadonlyArray<Told> =>
  position > head
    ? [tell(
      "CheckpointAhead",
      { ...about, position },
      `${who} stands at position ${position}, but the log ends at position ${head}`,
      { expected: `at most ${head}`, actual: position }
    )]
    : isThere && eventId !== undefined && !isThat
    ? [tell(
      "CheckpointDiffers",
      { ...about, position, eventId },
      `${who} has noted the event ${eventId} at position ${position}, where there is another one`,
      { expected: eventId }
    )]
    : []

const timerProblems = ({ isThere, key, name, owner }: TimerRow): ReadonlyArray<Told> =>
  isThere ? [] : [tell(
    "TimerDangling",
    { timer: name, key, streamId: `${owner}-${key}` },
    `The timer ${name} is one of process ${key} of ${owner}, which has no event in its stream ${owner}-${key}`
  )]
