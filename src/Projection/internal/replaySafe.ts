/**
 * Marks a service as one that handlers of projections may use, since to use it again, or in a rebuild, changes nothing: a
 * calculation, a table of rates, a cache.
 *
 * @category symbols
 * @since 0.1.0
 */
export const replaySafe: unique symbol = Symbol.for("effect-eventstore/Projection/replaySafe")

/**
 * A service that is marked so.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReplaySafe {
  readonly [replaySafe]: true
}
