import { Effect } from "effect"
import * as EventId from "../../Event/EventId.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Match, Pattern, Steps } from "../Pattern.ts"
import type { Out, Source } from "../View.ts"
import { Candidates } from "./candidates.ts"
import type { Definition } from "./definition.ts"
import { Derivation, type Emitted } from "./derived.ts"
import { defaultInFlight, next, toMatch } from "./pattern.ts"
import { type Common, declared, type Keys, keysBy } from "./source.ts"

export interface PatternOptions<C extends Source, S extends Steps> extends Omit<Common<C>, "from"> {
  readonly pattern: Pattern<C, S>
  /** Among whose events the pattern is looked for: those of a stream, where it is left out. */
  readonly key?: ((recorded: Recorded<Out<NoInfer<C>>>) => Keys) | undefined
  /**
   * What follows from a match: events for one stream or for several, made with `EventStore.entry` and without an expected
   * version, or nothing. Pure: the same match leads to the same events.
   */
  readonly emit: (match: Match<NoInfer<S>> & { readonly key: string }) => Emitted
  /** Most matches in the making per key; one that begins beyond them replaces the oldest. Default 100. */
  readonly inFlight?: number | undefined
}

/** Appends what follows from patterns. What is in the making is kept as documents, moved on in the same transaction. */
export const pattern = <C extends Source, S extends Steps>(
  name: string,
  { emit, inFlight = defaultInFlight, key, pattern: { from, steps }, ...options }: PatternOptions<C, S>
): Definition => {
  if (!Number.isSafeInteger(inFlight) || inFlight < 1) {
    throw new Error(`inFlight of the projection ${name} is ${String(inFlight)}, which is not a whole number from 1`)
  }
  const common = declared(name, { ...options, from })
  const candidates = new Candidates(common.decode)
  const keysOf = key === undefined ? undefined : keysBy(key)
  const idOf = (key: string, { events }: Match<any>) => {
    const [first, last] = [events[0], events[events.length - 1]!]
    const places = [first.eventId, String(first.part), last.eventId, String(last.part)]
    return (ordinal: number) => EventId.fromName(name, key, ...places, String(ordinal))
  }
  return {
    ...common,
    kind: "documents",
    appends: true,
    decode: candidates.decode,
    keysOf,
    apply: (target, events) =>
      Effect.gen(function*() {
        const work = events.flatMap((recorded) =>
          (keysOf === undefined ? [recorded.streamId as string] : keysOf(recorded))
            .filter(target.owns).map((key) => ({ key, recorded }))
        )
        const open = yield* candidates.load(target, new Set(work.map(({ key }) => key)))
        const before = new Set([...open].flatMap(([key, { length }]) => length > 0 ? [key] : []))
        const derivation = new Derivation()
        let dropped = 0
        for (const { key, recorded } of work) {
          const moved = next(steps, inFlight, open.get(key)!, recorded)
          open.set(key, moved.open)
          dropped += moved.dropped
          for (const candidate of moved.matched) {
            const match = toMatch(candidate)
            const problem = derivation.add(emit({ ...match, key }), recorded, idOf(key, match))
            if (problem !== undefined) return yield* problem
          }
        }
        if (dropped > 0) {
          yield* Effect.annotateLogs(
            Effect.logWarning(`${dropped} matches in the making were given up, since a key had more than ${inFlight}`),
            { projection: name }
          )
        }
        yield* derivation.append(target.store)
        yield* candidates.save(target, open, before)
      })
  }
}
