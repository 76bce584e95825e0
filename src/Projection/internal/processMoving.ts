import { DateTime, Effect } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import { EventIdConflict, InvalidInput, StreamTombstoned } from "../../Store/StoreError.ts"
import { type Delivery, Park } from "../../Subscription/Delivery.ts"
import { correlationOf } from "./processCorrelation.ts"
import type { ProcessDefinition } from "./processDefinition.ts"
import { StateDecodeFailed } from "./processState.ts"
import { decide, InvalidStep } from "./processStep.ts"
import { load, toWrite } from "./processStore.ts"
import type { ProcessTelemetry } from "./processTelemetry.ts"
import type { ProcessTimers } from "./processTimers.ts"

/** How often a move is decided anew at once, where another one of the same process came between. */
const conflictsInARow = 5

/** Handles the events that a manager reacts to: each moves its process once. */
export const makeMoving = (
  store: EventStore["Service"],
  definition: ProcessDefinition,
  telemetry: ProcessTelemetry,
  timers: ProcessTimers
): (delivery: Delivery<any>) => Effect.Effect<void, unknown, any> => {
  const ignore = Effect.sync(() => telemetry.count("ignored"))

  /** What handlers ask elsewhere may take its time, so the transaction begins when all is decided. */
  const move = (delivery: Delivery<any>, id: string) =>
    Effect.gen(function*() {
      const loaded = yield* load(store, definition, id)
      const now = yield* DateTime.now
      const decision = yield* decide(definition, loaded.process, delivery, now)
      if (decision === undefined) return yield* ignore
      const write = yield* toWrite(store, definition, loaded, delivery, decision)
      yield* delivery.transaction(write)
      telemetry.count("moved")
      telemetry.count("sent", decision.sent.length)
      if (decision.isEnd) telemetry.count("ended")
      timers.onSet([...decision.timers.values()].filter((at) => at !== null))
    })

  return (delivery) =>
    Effect.suspend(() => {
      const correlation = correlationOf(definition, delivery)
      if (correlation === undefined) return Effect.void
      if ("problem" in correlation) return Effect.fail(new Park({ reason: correlation.problem }))
      const { streamId } = definition.categories.processes.stream(correlation.id)
      return move(delivery, correlation.id).pipe(
        EventStore.retryConflicts(conflictsInARow),
        // it was handled before: the subscription was moved back, or a part of a split event after it failed; or the process
        // was ended for ever by an operator
        Effect.catchIf(
          (error) =>
            (error instanceof EventIdConflict || error instanceof StreamTombstoned) && error.streamId === streamId,
          () => ignore
        ),
        Effect.catchIf(isHopeless, (error) => Effect.fail(new Park({ reason: error.message })))
      )
    })
}

/** What trying again does not change. A state of a newer program is another matter: that one may be next to have the event. */
const isHopeless = (error: unknown): error is InvalidInput | InvalidStep | StateDecodeFailed =>
  error instanceof InvalidInput || error instanceof InvalidStep ||
  error instanceof StateDecodeFailed && error.stateVersion <= error.known
