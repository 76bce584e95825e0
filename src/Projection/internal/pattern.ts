import { DateTime } from "effect"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Match } from "../Pattern.ts"

/** Whether an event fits: `steps` are those that are complete, `soFar` the events of the one under way. */
export type Fits = (
  recorded: Recorded<any>,
  steps: ReadonlyArray<ReadonlyArray<Recorded<any>>>,
  soFar: ReadonlyArray<Recorded<any>>
) => boolean

/** A part of a pattern: so many events that fit, in a time after the step before, and none that rules it out. */
export interface Step {
  readonly fits: Fits
  readonly times: number
  /** Milliseconds. */
  readonly within: number
  readonly without: ReadonlyArray<Fits>
}

/** A match in the making. */
export interface Candidate {
  /** Events by step; the last list is that of the step under way. */
  readonly steps: Array<Array<Recorded<any>>>
  /** When the last complete step ended, in milliseconds since 1970. */
  since: number
  /** The latest time among the events since it began: its clock does not step back. */
  clock: number
}

/** Begins with an event that fits the first step. */
const begin = (recorded: Recorded<any>): Candidate => {
  const millis = DateTime.toEpochMillis(recorded.recordedAt)
  return { steps: [[recorded], []], since: millis, clock: millis }
}

/** What an event makes of a candidate. */
const move = (
  steps: ReadonlyArray<Step>,
  candidate: Candidate,
  recorded: Recorded<any>
): "matched" | "open" | "over" => {
  candidate.clock = Math.max(candidate.clock, DateTime.toEpochMillis(recorded.recordedAt))
  const step = steps[candidate.steps.length - 1]!
  if (candidate.clock - candidate.since > step.within) return "over"
  const complete = candidate.steps.slice(0, -1)
  const soFar = candidate.steps.at(-1)!
  // what completes a step does not stand between it and the one before
  if (!step.fits(recorded, complete, soFar)) {
    return step.without.some((fits) => fits(recorded, complete, soFar)) ? "over" : "open"
  }
  soFar.push(recorded)
  if (soFar.length < step.times) return "open"
  if (candidate.steps.length === steps.length) return "matched"
  candidate.steps.push([])
  candidate.since = candidate.clock
  return "open"
}

/** Most candidates of a key where nothing else is asked for. */
export const defaultInFlight = 100

/** What became of the candidates of one key. */
export interface Moved {
  /** Those that are open, the oldest first. */
  readonly open: ReadonlyArray<Candidate>
  /** Those that are complete, the oldest first. */
  readonly matched: ReadonlyArray<Candidate>
  /** How many were given up because there were too many. */
  readonly dropped: number
}

/**
 * Moves the candidates of one key by its next event, which may begin another one: of more than `inFlight` the oldest are
 * given up. Changes the candidates it is handed.
 */
export const next = (
  steps: ReadonlyArray<Step>,
  inFlight: number,
  candidates: ReadonlyArray<Candidate>,
  recorded: Recorded<any>
): Moved => {
  const open: Array<Candidate> = []
  const matched: Array<Candidate> = []
  for (const candidate of candidates) {
    const outcome = move(steps, candidate, recorded)
    if (outcome === "open") open.push(candidate)
    else if (outcome === "matched") matched.push(candidate)
  }
  if (steps[0]!.fits(recorded, [], [])) open.push(begin(recorded))
  const dropped = Math.max(0, open.length - inFlight)
  return { open: dropped === 0 ? open : open.slice(dropped), matched, dropped }
}

/** What a candidate is when it is complete. */
export const toMatch = ({ steps }: Candidate): Match<any> => ({ steps, events: steps.flat() as any })
