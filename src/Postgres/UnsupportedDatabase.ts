/**
 * A database that the event store cannot stand on.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * The database is not one that the event store can stand on, or not ready for it: `problem` says why and what to do.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedDatabase extends Schema.TaggedError<UnsupportedDatabase>()("UnsupportedDatabase", {
  problem: Schema.String
}) {
  override get message(): string {
    return this.problem
  }
}
