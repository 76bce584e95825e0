/**
 * Why events of another store cannot be taken over. Each says in a sentence what is wrong and where, and in `hint`, where
 * there is something to do, what.
 */
import { Schema } from "effect"
import { reasonOf } from "../../../Store/StoreError.ts"

/** An event of another store that cannot be taken over as it is. `place` says where it is in the source. */
export class ForeignEventRefused extends Schema.TaggedError<ForeignEventRefused>()("ForeignEventRefused", {
  store: Schema.String,
  place: Schema.String,
  problem: Schema.String,
  hint: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return `The event at ${this.place} of ${this.store} ${this.problem}`
  }
}

/** A stream of another store whose name, renamed as asked for, is none here. */
export class StreamNameRefused extends Schema.TaggedError<StreamNameRefused>()("StreamNameRefused", {
  store: Schema.String,
  place: Schema.String,
  stream: Schema.String,
  renamed: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    const renamed = this.renamed === this.stream ? "" : ` becomes ${JSON.stringify(this.renamed)}, which`
    return `The stream ${
      JSON.stringify(this.stream)
    } of ${this.store}${renamed} ${this.problem} (first at ${this.place})`
  }

  get hint(): string {
    return `A name is a category, a hyphen and an id, as in "cart-42". Rename the stream, for example by '^cart_(.+)$=cart-$1'.`
  }
}

/** Two streams of another store that would have the same name here. */
export class StreamsCollide extends Schema.TaggedError<StreamsCollide>()("StreamsCollide", {
  store: Schema.String,
  place: Schema.String,
  streamId: Schema.String,
  first: Schema.String,
  second: Schema.String
}) {
  override get message(): string {
    return `The streams ${JSON.stringify(this.first)} and ${
      JSON.stringify(this.second)
    } of ${this.store} would both be ${JSON.stringify(this.streamId)} (seen at ${this.place})`
  }

  get hint(): string {
    return "Rename one of them to another name."
  }
}

/** The versions of a stream in another store do not follow each other. `actual` is counted from 1. */
export class VersionsBroken extends Schema.TaggedError<VersionsBroken>()("VersionsBroken", {
  store: Schema.String,
  place: Schema.String,
  stream: Schema.String,
  expected: Schema.Int,
  actual: Schema.Int
}) {
  override get message(): string {
    return `The stream ${
      JSON.stringify(this.stream)
    } of ${this.store} has its event ${this.actual} at ${this.place}, ` +
      `where its event ${this.expected} should be`
  }

  get hint(): string {
    return this.actual > this.expected
      ? "What is before it was deleted or is no event: with renumber, what is there is counted from 1."
      : "The events of a stream have to come in the order of their versions, each once."
  }
}

/** The source is not what it is said to be: no such tables, no JSON. */
export class NoForeignSource extends Schema.TaggedError<NoForeignSource>()("NoForeignSource", {
  store: Schema.String,
  problem: Schema.String,
  hint: Schema.String
}) {
  override get message(): string {
    return this.problem
  }
}

/** The source got or lost events since it was opened, so that one pass over it does not see what another one saw. */
export class ForeignSourceChanged extends Schema.TaggedError<ForeignSourceChanged>()("ForeignSourceChanged", {
  store: Schema.String,
  expected: Schema.Int,
  actual: Schema.Int
}) {
  override get message(): string {
    return `${this.store} had ${this.expected} events when it was opened, and ${this.actual} when they were read`
  }

  get hint(): string {
    return "Stop what writes to it, then start again: what is stored already is passed over."
  }
}

/** The source could not be read: a database that went away, a file without permission. */
export class ForeignReadFailed extends Schema.TaggedError<ForeignReadFailed>()("ForeignReadFailed", {
  store: Schema.String,
  operation: Schema.String,
  isRetryable: Schema.Boolean,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.store}: ${this.operation} failed: ${reasonOf(this.cause)}`
  }

  get hint(): string {
    return this.isRetryable
      ? "Start again: what is stored already is passed over."
      : "Check the source and who may read it."
  }
}

/** A rule for the names of streams that is none. */
export class RenameRefused extends Schema.TaggedError<RenameRefused>()("RenameRefused", {
  rule: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The renaming ${JSON.stringify(this.rule)} ${this.problem}`
  }

  get hint(): string {
    return "A rule is REGEX=REPLACEMENT, for example '^cart:(.+)$=cart-$1'."
  }
}

/** Why reading a source ends early. */
export type ForeignError =
  | ForeignEventRefused
  | StreamNameRefused
  | StreamsCollide
  | VersionsBroken
  | NoForeignSource
  | ForeignSourceChanged
  | ForeignReadFailed
