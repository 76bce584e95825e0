/** Projections that are run in this process, for a bench. */
import { Effect, Layer, Schedule, type Scope } from "effect"
import { EventStore, Projection } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import type { Place } from "./arena.ts"
import type { Sample } from "./contest.ts"
import { timed } from "./load.ts"
import { verify } from "./totals.ts"
import type { Keeper } from "./totalsProjections.ts"

/** Gives an effect the store and the client of a place. */
export const inPlace = ({ sql, store }: Place) =>
<A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<Exclude<R, EventStore>, SqlClient.SqlClient>> =>
  Effect.provideService(Effect.provideService(effect, EventStore, store), SqlClient.SqlClient, sql)

/** Runs a projection until the scope closes. */
export const start = (
  place: Place,
  { projection }: Keeper,
  options?: Projection.RunOptions
): Effect.Effect<void, unknown, Scope.Scope> =>
  Effect.asVoid(inPlace(place)(Layer.build(Layer.fresh(Projection.layer(projection, options)))))

/** Waits until it has caught up for the first time: an inline one is applied by appends from then on. */
export const ready = (place: Place, { projection }: Keeper): Effect.Effect<void, unknown> =>
  Projection.status(projection).pipe(
    Effect.repeat({ until: ({ stage }) => stage === "ready", schedule: Schedule.spaced("5 millis") }),
    Effect.asVoid,
    inPlace(place)
  )

/** Events a second, from the start of the runners until each read model has the whole log of `count` events. */
export const build = (
  place: Place,
  keepers: ReadonlyArray<Keeper>,
  count: number,
  options?: Projection.RunOptions
): Effect.Effect<Sample, unknown> =>
  Effect.gen(function*() {
    const sample = yield* timed(
      Effect.scoped(Effect.gen(function*() {
        for (const keeper of keepers) yield* start(place, keeper, options)
        for (const { projection } of keepers) {
          yield* Projection.awaitProcessed(projection, count, { timeout: "1 hour" })
        }
        return count
      })).pipe(inPlace(place))
    )
    for (const { projection, sums } of keepers) {
      yield* verify(yield* sums, count)
      yield* Projection.reset(projection) // what is left would be in the way of those who come next
    }
    return sample
  }).pipe(inPlace(place))
