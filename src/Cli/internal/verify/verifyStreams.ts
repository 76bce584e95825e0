import { Effect, Option } from "effect"
import * as StreamId from "../../../Stream/StreamId.ts"
import { problemOfJson } from "./verifyEvents.ts"
import { type LogCheck, plural, tell, type Told, walk } from "./verifying.ts"
import { selectStates, type StateRow } from "./verifySql.ts"

const pageRows = 1000

/** What streams have beyond their events makes sense. Most streams have nothing. */
export const checkStreams: LogCheck = ({ tables }, tally) =>
  walk("streams", tally, "", (after) =>
    Effect.map(selectStates(tables, after, pageRows), (states) => {
      tally.looked += states.length
      return {
        found: states.flatMap(problemsOf),
        done: tally.looked,
        next: states.length < pageRows ? Option.none() : Option.some(states.at(-1)!.streamId)
      }
    }))

const problemsOf = ({ metadata, rows, streamId, truncatedBefore, version }: StateRow): ReadonlyArray<Told> => {
  const problems: Array<Told> = []
  const nameProblem = StreamId.problemOf(streamId)
  if (nameProblem !== undefined) {
    problems.push(tell(
      "NameNotAllowed",
      { streamId },
      `There is a state of the stream ${JSON.stringify(streamId)}, whose name ${nameProblem}`
    ))
  }
  if (rows > 1) {
    problems.push(tell("StateDoubled", { streamId }, `Stream ${streamId} has ${plural(rows, "state")}`, {
      expected: 1,
      actual: rows
    }))
  }
  if (truncatedBefore < 0 || truncatedBefore > version + 1) {
    problems.push(tell(
      "TruncationAhead",
      { streamId, streamVersion: version },
      `Stream ${streamId} is truncated before version ${truncatedBefore}, and ` +
        (version === 0 ? "has no event" : `its last one is ${version}`),
      { expected: `0 to ${version + 1}`, actual: truncatedBefore }
    ))
  }
  for (const text of metadata) {
    const problem = problemOfJson(text)
    if (problem !== undefined) {
      problems.push(tell("MetadataUndecodable", { streamId }, `Stream ${streamId} has metadata that ${problem}`))
    }
  }
  return problems
}
