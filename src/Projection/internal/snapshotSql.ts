import { Data, Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { AppendRefused, LogStorage } from "../../Store/LogStorage.ts"
import type { InvalidInput, StoreError } from "../../Store/StoreError.ts"

/**
 * Runs an effect that sees a storage as of one time, and whose changes are thrown away. In memory nobody else is kept from
 * changing what it reads.
 */
export const asOfOneTime = <A, E, R>(
  storage: LogStorage,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | InvalidInput | StoreError, R> =>
  Effect.gen(function*() {
    const begin = yield* SqlClient.BeginTransaction
    // a transaction is only rolled back where it fails
    const seen = new Seen<A>()
    const looking = Effect.flatMap(Effect.provideService(effect, SqlClient.BeginTransaction, begin), (value) => {
      seen.value = value
      return Effect.fail(seen)
    })
    return yield* storage.transaction(looking).pipe(
      Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ"),
      Effect.catch((error): Effect.Effect<A, E | InvalidInput | StoreError> =>
        error === seen
          ? Effect.succeed(seen.value as A)
          // nothing that is rolled back is refused
          : isRefused(error)
          ? Effect.die(error)
          : Effect.fail(error as E)
      )
    )
  })

const isRefused = (error: unknown): boolean =>
  refusals.has((error as { readonly _tag?: unknown } | null)?._tag as never)

const refusals: ReadonlySet<AppendRefused["_tag"]> = new Set([
  "WrongExpectedVersion",
  "StreamTombstoned",
  "EventIdConflict",
  "AppendConditionFailed",
  "InlineProjectionMissing"
])

class Seen<A> extends Data.TaggedError("Seen") {
  declare value: A | undefined
}
