import { Effect, Option } from "effect"
import type { StoreError } from "../../../Store/StoreError.ts"
import type { LogTables } from "../frame/logSql.ts"
import { type LogCheck, tell, type Told, walk } from "./verifying.ts"
import { selectAtVersion, selectHidden, selectVersions, type StreamPlace } from "./verifySql.ts"

const pageRows = 10_000

interface Place {
  /** Where the next page begins. */
  readonly last?: StreamPlace | undefined
  /** The event that the next one is compared with: of several of one version the first. */
  readonly before?: StreamPlace | undefined
  /** Whether several of that version are known already. */
  readonly isDoubled?: boolean | undefined
}

/**
 * Versions of each stream go from 1 without a hole, and rise with the positions. A beginning that is missing is gone on
 * purpose where the state of the stream hides it.
 */
export const checkVersions: LogCheck = ({ log: { head }, tables }, tally) =>
  walk<Place, StoreError, never>("versions", tally, {}, ({ before, isDoubled, last }) =>
    Effect.gen(function*() {
      const places = yield* selectVersions(tables, last, head, pageRows)
      const found: Array<Told> = []
      for (const place of places) {
        const { position, streamId, streamVersion } = place
        const previous = before?.streamId === streamId ? before : undefined
        if (previous?.streamVersion === streamVersion) {
          // asked again: who rewrites the table moves its rows, and one may come twice
          const positions = isDoubled === true ? [] : yield* selectAtVersion(tables, place, head)
          isDoubled = true
          if (positions.length > 1) {
            found.push(tell(
              "VersionDoubled",
              { streamId, streamVersion, position },
              `Stream ${streamId} has several events of version ${streamVersion}, at the positions ${
                positions.join(", ")
              }`,
              { expected: 1, actual: positions.length }
            ))
          }
          continue
        }
        before = place
        isDoubled = false
        const next = (previous?.streamVersion ?? 0) + 1
        if (streamVersion < 1) {
          found.push(tell(
            "VersionImpossible",
            { streamId, streamVersion, position },
            `The event at position ${position} has the version ${streamVersion} of stream ${streamId}, which no event can have`
          ))
        } else if (streamVersion > next && !(previous === undefined && (yield* isPurged(tables, place)))) {
          const to = streamVersion - 1
          found.push(tell(
            "VersionMissing",
            { streamId, streamVersion: next, ...(to > next ? { streamVersionTo: to } : {}) },
            `Stream ${streamId} has ${to > next ? `no versions ${next} to ${to}` : `no version ${next}`}` +
              `, but version ${streamVersion} at position ${position}`
          ))
        }
        if (previous !== undefined && previous.position > position) {
          found.push(tell(
            "OrderBroken",
            { streamId, streamVersion, position },
            `Stream ${streamId} has version ${streamVersion} at position ${position}, before version ` +
              `${previous.streamVersion} at position ${previous.position}`,
            { expected: `above ${previous.position}`, actual: position }
          ))
        }
      }
      tally.looked += places.length
      return {
        found,
        done: tally.looked,
        total: Math.max(head, tally.looked),
        next: places.length < pageRows ? Option.none() : Option.some({ before, isDoubled, last: places.at(-1) })
      }
    }))

/** Whether all that comes before an event is hidden, and may be gone. */
const isPurged = (tables: LogTables, { streamId, streamVersion }: StreamPlace) =>
  Effect.map(selectHidden(tables, streamId), (hidden) => streamVersion <= hidden)
