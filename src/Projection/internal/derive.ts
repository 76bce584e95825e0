import { Effect } from "effect"
import * as EventId from "../../Event/EventId.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Out, Source } from "../View.ts"
import type { Definition } from "./definition.ts"
import { Derivation, type Emitted } from "./derived.ts"
import { type Common, declared } from "./source.ts"

export interface DeriveOptions<C extends Source> extends Common<C> {
  /**
   * What follows from an event: events for one stream or for several, made with `EventStore.entry` and without an expected
   * version, or nothing. Pure: the same event leads to the same events.
   */
  readonly emit: (recorded: Recorded<Out<NoInfer<C>>>) => Emitted
}

/** Appends the events that follow from others. */
export const derive = <C extends Source>(name: string, options: DeriveOptions<C>): Definition => ({
  ...declared(name, options),
  kind: "events",
  appends: true,
  apply: ({ store }, events) =>
    Effect.suspend(() => {
      const derivation = new Derivation()
      for (const recorded of events) {
        const { eventId, part } = recorded
        const problem = derivation.add(
          options.emit(recorded),
          recorded,
          (ordinal) => EventId.fromName(name, eventId, String(part), String(ordinal))
        )
        if (problem !== undefined) return Effect.fail(problem)
      }
      return derivation.append(store)
    })
})
