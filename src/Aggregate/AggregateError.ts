/**
 * What running a command can answer instead of a result, besides the errors of its decider and of the store.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { Position } from "../Stream/Position.ts"

/**
 * What came in is not a command: it fits no schema of a command, or not that of its tag. Nothing was read or written.
 * `field` is the path of what is wrong, `"lines[0].sku"`, or empty for the whole, and `problem` says why.
 *
 * @category errors
 * @since 0.1.0
 */
export class CommandDecodeFailed extends Schema.TaggedError<CommandDecodeFailed>()("CommandDecodeFailed", {
  /** The category whose decider was to decide. */
  decider: Schema.String,
  /** The tag of the command, where it has one that is known. */
  command: Schema.UndefinedOr(Schema.String),
  field: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    const what = this.command === undefined ? "A command" : `The command ${this.command}`
    const field = this.field === "" ? "" : `${this.field}: `
    return `${what} for ${this.decider} does not decode: ${field}${this.problem}`
  }
}

/**
 * The command was run before, and its answer cannot be given again: events that it led to were deleted or truncated since. The
 * last of them stands at `position`. Nothing was written.
 *
 * @category errors
 * @since 0.1.0
 */
export class AnswerHidden extends Schema.TaggedError<AnswerHidden>()("AnswerHidden", {
  /** The stream, or the name of the boundary. */
  decider: Schema.String,
  commandId: Schema.String,
  position: Position
}) {
  override get message(): string {
    return `The command ${this.commandId} for ${this.decider} was run before, and events of it (up to ` +
      `position ${this.position}) are hidden since`
  }
}
