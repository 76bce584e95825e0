import { Effect, Metric } from "effect"

/** What became of a load: `held`, `none`, `stale` (it does not hold) or `undecodable`. */
export type LoadOutcome = "held" | "none" | "stale" | "undecodable"

const loads = new Map<string, Metric.Counter<number>>()
const saves = new Map<string, Metric.Counter<number>>()

/** One metric for each name and outcome: attributes given at once, so that an update costs no merging of them. */
const counter = (
  known: Map<string, Metric.Counter<number>>,
  id: string,
  description: string,
  snapshot: string,
  outcome: string
): Metric.Counter<number> => {
  const key = `${snapshot}\0${outcome}`
  let metric = known.get(key)
  if (metric === undefined) {
    metric = Metric.counter(id, { description, incremental: true, attributes: { snapshot, outcome } })
    known.set(key, metric)
  }
  return metric
}

export const countLoad = (snapshot: string, outcome: LoadOutcome): Effect.Effect<void> =>
  Metric.update(
    counter(loads, "eventstore.snapshot.loads", "Loads of states, by what became of the snapshot", snapshot, outcome),
    1
  )

/** What became of a state that was to be saved: `failed` and `dropped` only where nobody waits for it. */
export type SaveOutcome = "kept" | "refused" | "failed" | "dropped"

export const countSave = (snapshot: string, outcome: SaveOutcome): Effect.Effect<void> =>
  Metric.update(
    counter(saves, "eventstore.snapshot.saves", "States to be saved, by what became of them", snapshot, outcome),
    1
  )
