import { Effect } from "effect"
import type { EventStore } from "../../Store/EventStore.ts"
import type { ExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { Checked, Identified } from "./appendChecking.ts"
import { explain } from "./frame/pgExplaining.ts"
import { Refused } from "./frame/refusal.ts"
import { counted } from "./frame/table.ts"

/** Appends. Where nobody knows what became of it, the error has the ids with which it can be repeated. */
export const stored = (
  store: Pick<EventStore["Service"], "append">,
  { stream }: Pick<Checked, "stream">,
  events: ReadonlyArray<Identified>,
  expected: ExpectedVersion
) =>
  Effect.mapError(store.append(stream, events, { expected }), (error) => {
    const refusal = explain(error)
    if (error._tag !== "StoreError" || error.outcome !== "unknown" || refusal === undefined) return error
    const ids = events.map(({ id }) => id)
    const again = ids.length === 1
      ? `with --id ${ids[0]} it is stored once only`
      : `with these as the "id" of its lines it is stored once only: ${ids.join(" ")}`
    const { code, facts, hint, problem } = refusal
    return new Refused({ problem, code, of: error._tag, hint: `${hint}; ${again}`, facts: { ...facts, ids } })
  })

/** A failure after some batches: programs and people are told what is stored, which the exit code 1 says as well. */
export const partly = <E>(error: E, events: number, version: number): E | Refused => {
  const refusal = explain(error)
  if (refusal === undefined) return error
  const { facts, hint, of = (error as { readonly _tag: string })._tag, problem } = refusal
  return new Refused({
    problem: `${problem}\n${storedText(events, version)}`,
    code: 1,
    of,
    ...(hint === undefined ? {} : { hint }),
    facts: { ...facts, stored: { events, version } }
  })
}

/** What of an input is stored. */
export const storedText = (events: number, version: number) =>
  `Stored before that: ${counted(events, "event")}, up to version ${version}`
