/**
 * Work that goes on behind the answers of a store: nobody waits for it, and nobody hears that it failed.
 *
 * @since 0.1.0
 */
import type { Effect } from "effect"

/**
 * What a store does behind its answers until it is closed. Then what was added has a few seconds to end, and is interrupted.
 *
 * **Details** Each owner has a queue of its own, and its work is done one after the other. Nothing is kept anywhere: with the
 * process the work is gone.
 *
 * @category models
 * @since 0.1.0
 */
export interface Background {
  /**
   * Adds work; what the same owner added under the same key and has not begun is left out. Answers whether it was taken: not
   * where a thousand of the owner wait already, nor by a store that is closed.
   *
   * **Gotchas** The work runs in the context of the store, and not in that of the caller. What it fails with has to be dealt
   * with by itself; a defect is logged.
   */
  readonly add: (owner: object, key: string, work: Effect.Effect<void>) => Effect.Effect<boolean>
}
