import { Effect, Equal, Stream } from "effect"
import { createHash } from "node:crypto"
import type { StoreError } from "../../../Store/StoreError.ts"
import { ArchiveDamaged } from "../../ArchiveError.ts"
import type { Step } from "../../Verification.ts"
import type { ArchivedEvent, ArchivedStream } from "../archive/archivedEvent.ts"
import type { Source } from "../archive/importSource.ts"
import { type EventSums, selectStatesOf, selectSums } from "./verifyArchiveSql.ts"
import { type Tally, tell, type Told, type Verifying } from "./verifying.ts"

const eventsAtATime = 200
const streamsAtATime = 500

/**
 * All that an archive has is in the log as it is there, byte by byte: the only check that sees an event changed into another
 * one that is as good. What came since is none of its business. An archive that is damaged is a finding, and ends the check.
 */
export const checkArchive =
  <E, R>(source: Source<E, R> | undefined) =>
  ({ tables }: Verifying, tally: Tally): Stream.Stream<Step, StoreError | E, R> => {
    if (source === undefined) {
      tally.skip("no archive was given", 0)
      return Stream.empty
    }
    const steps = (found: ReadonlyArray<Told>): readonly [Step, ...Array<Step>] => {
      tally.found += found.length
      return [
        { _tag: "Progress", check: "archive", done: tally.looked, total: source.total ?? null },
        ...found.map((told): Step => ({ _tag: "Found", finding: { check: "archive", ...told } }))
      ]
    }
    // a log that the events were imported to may have them at other positions, but in the same order
    let isSamePlace: boolean | undefined
    let last = 0
    const events = source.events.pipe(
      Stream.grouped(eventsAtATime),
      Stream.mapEffect((archived) =>
        Effect.map(selectSums(tables, archived.map(({ eventId }) => eventId)), (sums) => {
          const byId = new Map<string, Array<EventSums>>()
          for (const one of sums) byId.set(one.eventId, [...byId.get(one.eventId) ?? [], one])
          const found: Array<Told> = []
          for (const event of archived) {
            tally.looked++
            const stored = byId.get(event.eventId)
            if (stored === undefined) {
              found.push(
                tell("ArchivedMissing", aboutOf(event), `${nameOf(event)} is in the archive, and not in the log`)
              )
              continue
            }
            const [{ position }] = stored as [EventSums]
            isSamePlace ??= position === event.position
            const isInPlace = isSamePlace ? position === event.position : position > last
            last = Math.max(last, position)
            const fields = differing(event, stored)
            if (!isInPlace) fields.push("position")
            if (fields.length > 0) {
              found.push(tell(
                "ArchivedDiffers",
                aboutOf(event),
                `${nameOf(event)} is not what it is in the archive: ${fields.join(", ")}`,
                isInPlace ? {} : { expected: isSamePlace ? event.position : `above ${last}`, actual: position }
              ))
            }
          }
          return steps(found)
        })
      ),
      Stream.flattenArray
    )
    const streams = source.streams.pipe(
      Stream.grouped(streamsAtATime),
      Stream.mapEffect((archived) =>
        Effect.map(
          selectStatesOf(tables, archived.map(({ streamId }) => streamId)),
          (states) => steps(archived.flatMap((stream) => streamProblems(stream, states.get(stream.streamId))))
        )
      ),
      Stream.flattenArray
    )
    return Stream.concat(events, streams).pipe(
      // the log is whole all the same: what the other checks found is to be told
      Stream.catch((error) =>
        error instanceof ArchiveDamaged ? Stream.fromIterable(steps([damaged(error)])) : Stream.fail(error)
      )
    )
  }

const damaged = ({ file, line, message }: ArchiveDamaged): Told =>
  tell(
    "ArchiveDamaged",
    { object: line === undefined ? file : `${file}, line ${line}` },
    `${message}; nothing behind that was compared`
  )

const nameOf = ({ eventId, position, streamId, streamVersion }: ArchivedEvent): string =>
  `Event ${streamVersion} of stream ${streamId} (position ${position}, id ${eventId})`

const aboutOf = ({ eventId, position, streamId, streamVersion }: ArchivedEvent) => ({
  streamId,
  streamVersion,
  position,
  eventId
})

const sha256 = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex")

/** Which fields the log has otherwise: where the event is doubled, in any of its rows. */
const differing = (event: ArchivedEvent, stored: ReadonlyArray<EventSums>): Array<string> => {
  const { data, metadata, recordedAt, schemaVersion, streamId, streamVersion, tags, type } = event
  const archived = {
    streamId,
    streamVersion,
    type,
    schemaVersion,
    recordedAt,
    tags,
    data: sha256(data),
    metadata: metadata === null ? null : sha256(metadata)
  }
  return (Object.keys(archived) as Array<keyof typeof archived>)
    .filter((field) => stored.some((one) => !Equal.equals(one[field], archived[field])))
}

/** What was hidden stays hidden; more may be by now. */
const streamProblems = (
  { streamId, tombstoned, truncatedBefore }: ArchivedStream,
  state: { readonly truncatedBefore: number; readonly tombstoned: boolean } | undefined
): ReadonlyArray<Told> =>
  tombstoned && state?.tombstoned !== true
    ? [tell("ArchivedDiffers", { streamId }, `Stream ${streamId} is tombstoned in the archive, and not in the log`)]
    : truncatedBefore > (state?.truncatedBefore ?? 0)
    ? [tell(
      "ArchivedDiffers",
      { streamId },
      `Stream ${streamId} is truncated before version ${truncatedBefore} in the archive, and not so far in the log`,
      { expected: truncatedBefore, actual: state?.truncatedBefore ?? 0 }
    )]
    : []
