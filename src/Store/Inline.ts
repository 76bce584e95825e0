/**
 * Inline projections: read models that change in the transactions that append.
 *
 * @since 0.1.0
 */
import type { Array as Arr, Effect, Scope } from "effect"
import type { StoredEvent } from "../Stream/StoredEvent.ts"
import type { LogFilter } from "./LogFilter.ts"

/**
 * A version of a projection that this process can apply to the events of an append.
 *
 * @category models
 * @since 0.1.0
 */
export interface InlineProjection {
  /** What the storage knows it by. */
  readonly id: number
  readonly name: string
  readonly version: number
  readonly filter: LogFilter
  /**
   * Puts events into the read model, those that match the filter, in the order in which they will stand in the log. Runs in
   * the transaction that stores them: they have position 0, and stream versions, ids and data as they are stored.
   *
   * One transaction may hold the events of several appends. It cannot append itself.
   */
  readonly apply: (events: Arr.NonEmptyReadonlyArray<StoredEvent>) => Effect.Effect<unknown, unknown>
}

/**
 * What a store applies to the events that it appends.
 *
 * @category models
 * @since 0.1.0
 */
export interface InlineProjections {
  /**
   * Hands a version to the appends of this process until the scope closes. Which versions are applied is up to the storage
   * (`ProjectionStorage`), for all processes: handing one over changes nothing as long as it is not, and from the time it
   * is, an append of such events by a process that does not have it fails with `InlineProjectionMissing`.
   */
  readonly register: (projection: InlineProjection) => Effect.Effect<void, never, Scope.Scope>
}
