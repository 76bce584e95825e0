import { Effect, Option } from "effect"
import type { Core } from "./core.ts"
import type { Filler } from "./filler.ts"

/** Looks from time to time how far a subscription is behind the log. */
export const measureLag = (core: Core, filler: Filler<never, unknown>): Effect.Effect<never> =>
  Effect.forever(Effect.andThen(Effect.ignore(measure(core, filler)), Effect.sleep("5 seconds")))

const measure = (
  { now, options: { clock, state: { name }, store }, telemetry }: Core,
  filler: Filler<never, unknown>
) =>
  Effect.gen(function*() {
    const { storage, tail } = store
    const state = Option.getOrUndefined(yield* storage.subscriptions.state(name, now))
    if (state === undefined) return
    const isEmpty = state.waiting + state.inFlight === 0
    // what was looked through needs no write to be known
    const finished = isEmpty ? Math.max(state.position, filler.lookedThrough ?? 0) : state.checkpoint
    const events = Math.max(0, tail.position() - finished)
    telemetry.gauge("lagEvents", events)
    if (events === 0) return telemetry.gauge("lagSeconds", 0)
    const { events: [oldest] } = yield* storage.logPage(state.filter, {
      direction: "forward",
      from: finished + 1,
      to: isEmpty ? finished + scannedAtATime : finished + 1,
      limit: 1,
      bytes: 1
    })
    const age = oldest === undefined ? 0 : (clock.currentTimeMillisUnsafe() - oldest.recordedAt) / 1000
    telemetry.gauge("lagSeconds", Math.max(0, age))
  })

/** Positions in which the oldest event is looked for. */
const scannedAtATime = 10_000
