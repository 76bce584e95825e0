/**
 * Which events a reader wants; the store evaluates it where the events are.
 *
 * @since 0.1.0
 */
import type { DateTime } from "effect"
import type { Any as AnyCategory } from "./Category.ts"

/**
 * Which events a reader wants. The parts are joined by "and"; a part left out lets everything pass, an empty list
 * nothing, but for tags, of which an event has to have all.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventFilter {
  /** Stored under one of these type names. */
  readonly types?: ReadonlyArray<string> | undefined
  /** Of one of these categories. */
  readonly categories?: ReadonlyArray<AnyCategory | string> | undefined
  /** Of a stream whose id begins so. */
  readonly streamPrefix?: string | undefined
  /** With all of these tags. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** Recorded at this time or later. */
  readonly recordedFrom?: DateTime.Utc | undefined
  /** Recorded before this time. */
  readonly recordedUntil?: DateTime.Utc | undefined
}
