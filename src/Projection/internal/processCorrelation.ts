import type { Recorded } from "../../Stream/Recorded.ts"
import * as StreamId from "../../Stream/StreamId.ts"
import type { ProcessDefinition } from "./processDefinition.ts"

/** The process that an event belongs to; or nothing, or why that cannot be said. */
export type Correlation =
  | { readonly id: string }
  | { readonly problem: string }
  | undefined

/** Says which process an event belongs to, and never throws. */
export const correlationOf = (definition: ProcessDefinition, recorded: Recorded<unknown>): Correlation => {
  const { commands, processes, timers } = definition.categories
  switch (StreamId.category(recorded.streamId)) {
    case timers.name:
      return { id: recorded.streamId.slice(timers.name.length + 1) }
    // a manager of the whole log would react to itself
    case processes.name:
    case commands.name:
      return undefined
  }
  let id: unknown
  try {
    id = definition.correlate(recorded)
  } catch (cause) {
    return { problem: `correlate threw: ${cause instanceof Error ? cause.message : String(cause)}` }
  }
  if (id === undefined) return undefined
  if (typeof id !== "string") return { problem: `correlate answered ${typeof id}, which is no id` }
  const problem = problemOfId(definition, id)
  return problem === undefined
    ? { id }
    : { problem: `correlate answered an id that cannot stand in the name of a stream: ${problem}` }
}

/** Why an id cannot be that of a process: the names of its streams are made of it. */
const problemOfId = ({ categories: { commands } }: ProcessDefinition, id: string): string | undefined =>
  // that of its commands is the longest
  id === "" ? "it is empty" : StreamId.problemOf(`${commands.name}-${id}`)

/** What events are kept in order by: their process. Those that belong to none keep nobody waiting but their own stream. */
export const orderingOf = (definition: ProcessDefinition) => (recorded: Recorded<unknown>): string => {
  const correlation = correlationOf(definition, recorded)
  return correlation !== undefined && "id" in correlation ? correlation.id : recorded.streamId
}
