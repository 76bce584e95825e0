import { Array as Arr, type Clock, Duration, Effect } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type { OwnedPartition, ProjectionState } from "../../Store/ProjectionStorage.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { retryPassing, type StoreError } from "../../Store/StoreError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { RehearsalNotFound } from "../ProjectionError.ts"
import type { Apply } from "../ProjectionMiddleware.ts"
import type { Definition, Target } from "./definition.ts"
import { passingOf } from "./failure.ts"
import type { Settings } from "./settings.ts"
import { withoutAppends } from "./storeWithoutAppends.ts"

/**
 * A read model that is built for a look, and what it is built with.
 *
 * To its storage it is a projection of a name that no projection can have, with one partition. All who build one of them are the
 * same runner: who goes on after a crash waits for no lease, and two at once keep each other from doing anything twice, since
 * a checkpoint only moves from where its owner saw it.
 */
export interface Scratch {
  readonly store: EventStore["Service"]
  /** Of the projection that is rehearsed, with its tables in the schema of this one. */
  readonly definition: Definition
  readonly filter: LogFilter
  readonly id: number
  readonly name: string
  readonly clock: Clock.Clock
  readonly settings: Pick<Settings, "bulk" | "giveUp" | "middleware">
}

/** What a rehearsal is called in the storage: no projection can be called so. */
export const storedName = (name: string): string => `~${name}`

/** No projection keeps its tables in a schema that ends like this. */
export const scratchSchema = (name: string): string => `${name.replaceAll("-", "_")}_rehearsal`

const runner = "rehearsal"

/** How long it is seen that somebody has one in use who does not live any more. */
export const lease = Duration.seconds(15)

/** Where it is, and the right to move it. */
export interface Held extends OwnedPartition {
  readonly parkedKeys: ReadonlyArray<string>
}

/** Goes on trying while the storage does not answer. */
export const steadily = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  retryPassing(
    effect,
    (error) =>
      Effect.annotateLogs(Effect.logWarning("A rehearsal cannot go on for now", error.message), { rehearsal: name })
  )

export const claim = (self: Scratch): Effect.Effect<Held, RehearsalNotFound | StoreError> =>
  Effect.gen(function*() {
    const { clock, id, name, store } = self
    const asked = { id, runner, lease, now: StorageTime.of(clock) }
    const claimed = yield* steadily(name, store.storage.projections.claim(asked))
    const [owned] = claimed?.partitions ?? []
    // without a partition it is paused, and about to be dropped
    if (claimed === undefined || owned === undefined) return yield* new RehearsalNotFound({ rehearsal: name })
    return { ...owned, parkedKeys: claimed.parkedKeys }
  })

/** Says that nobody uses it any more. */
export const release = ({ id, store }: Scratch): Effect.Effect<void> =>
  Effect.ignore(store.storage.projections.release(id, runner))

/** What the storage keeps of it. */
export const stateOf = (
  { clock, name, store }: Pick<Scratch, "clock" | "name" | "store">
): Effect.Effect<ProjectionState, RehearsalNotFound | StoreError> =>
  Effect.flatMap(
    store.storage.projections.states(storedName(name), StorageTime.of(clock)),
    ([state]) => state === undefined ? Effect.fail(new RehearsalNotFound({ rehearsal: name })) : Effect.succeed(state)
  )

/** Puts events into it, in the transaction that is open. */
export const applyTo = (
  { definition, id, settings: { middleware }, store }: Scratch,
  events: ReadonlyArray<Recorded<any>>,
  options: {
    readonly partition: number
    readonly attempt: number
    readonly owns: (key: string) => boolean
    readonly kept?: Map<string, unknown>
  }
): Effect.Effect<void, unknown, any> => {
  const { attempt, kept, owns, partition } = options
  const { name: projection, version } = definition
  const target: Target = { store, id, owns, isRebuild: true, isInline: false, kept }
  const inner: Apply<unknown, any> = ({ events }) =>
    Arr.isReadonlyArrayNonEmpty(events) ? Effect.asVoid(definition.apply(target, events)) : Effect.void
  const apply = middleware === undefined ? inner : middleware(inner)
  // what a handler acquires is released when the batch is done
  const applied = Effect.scoped(
    Effect.suspend(() => apply({ projection, version, partition, isRebuild: true, attempt, events }))
  ).pipe(Effect.provideService(EventStore, withoutAppends(store)))
  return Effect.catchCause(applied, (cause) => {
    const trouble = passingOf(cause)
    return trouble === undefined ? Effect.failCause(cause) : Effect.fail(trouble)
  })
}
