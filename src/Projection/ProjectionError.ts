/**
 * What an operation on a projection can answer instead of a result.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { reasonOf } from "../Store/StoreError.ts"

const projection = Schema.String
const version = Schema.Int

/**
 * There is no projection of this name, or no such version of it: nobody ran it on this store, or it was dropped.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProjectionNotFound extends Schema.TaggedError<ProjectionNotFound>()("ProjectionNotFound", {
  projection,
  version: Schema.optionalKey(version)
}) {
  override get message(): string {
    return this.version === undefined
      ? `There is no projection ${this.projection}`
      : `There is no version ${this.version} of the projection ${this.projection}`
  }
}

/**
 * The store knows this version of a projection as another one than the program declares; `field` says in what they differ.
 * What was made by the old declaration is not what the new one would make: raise the version.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProjectionChanged extends Schema.TaggedError<ProjectionChanged>()("ProjectionChanged", {
  projection,
  version,
  field: Schema.Literals(["from", "kind", "mode", "schema"])
}) {
  override get message(): string {
    return `Version ${this.version} of the projection ${this.projection} is declared differently than before ` +
      `(${this.field}): raise its version`
  }
}

/**
 * What a projection does failed, and running it again did not help. `position` is that of the event to blame, where there is
 * one.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProjectionFailed extends Schema.TaggedError<ProjectionFailed>()("ProjectionFailed", {
  projection,
  version,
  position: Schema.NullOr(Schema.Int),
  cause: Schema.Defect()
}) {
  override get message(): string {
    const place = this.position === null ? "" : ` at position ${this.position}`
    return `Version ${this.version} of the projection ${this.projection} failed${place}: ${reasonOf(this.cause)}`
  }
}

/**
 * A version of a projection was dropped while it ran.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProjectionDropped extends Schema.TaggedError<ProjectionDropped>()("ProjectionDropped", {
  projection,
  version
}) {
  override get message(): string {
    return `Version ${this.version} of the projection ${this.projection} was dropped`
  }
}

/**
 * A projection did not come as far as a position in time; `reached` is how far the version came that was waited for. `why` says
 * what keeps it, as far as that is known:
 *
 * - `"behind"`: it is worked on, and not as far yet
 * - `"failing"`: what it does fails, and is tried again: `error` says with what
 * - `"paused"`: somebody paused it
 * - `"idle"`: nobody runs it
 *
 * @category errors
 * @since 0.1.0
 */
export class AwaitTimedOut extends Schema.TaggedError<AwaitTimedOut>()("AwaitTimedOut", {
  projection,
  /** Left out where nobody could tell, and of a state in memory, which has none. */
  version: Schema.optionalKey(version),
  position: Schema.Int,
  reached: Schema.Int,
  why: Schema.Literals(["behind", "failing", "paused", "idle"]),
  error: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const subject = this.version === undefined ? "The" : `Version ${this.version} of the`
    const reason = this.why === "paused"
      ? ", and paused"
      : this.why === "idle"
      ? ", and nobody runs it"
      : this.why === "failing"
      ? `, where it fails and is tried again: ${this.error}`
      : ""
    return `${subject} projection ${this.projection} has not come to position ${this.position} in time: ` +
      `it is at position ${this.reached}${reason}`
  }
}

/**
 * A version cannot be made live: it is still building, or has not come as far as the live one. `status` says whether it will:
 * `"running"`, or `"paused"` or `"failed"` and not before it is resumed; `error` is what it failed with.
 *
 * @category errors
 * @since 0.1.0
 */
export class VersionBehind extends Schema.TaggedError<VersionBehind>()("VersionBehind", {
  projection,
  version,
  status: Schema.Literals(["running", "paused", "failed"]),
  error: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const reason = this.status === "running"
      ? ""
      : this.status === "paused"
      ? ", and paused"
      : `, and has failed${this.error === undefined ? "" : `: ${this.error}`}`
    return `Version ${this.version} of the projection ${this.projection} is behind the live one${reason}`
  }
}

/**
 * A version cannot be dropped: it is the live one, and there are others, or it runs.
 *
 * @category errors
 * @since 0.1.0
 */
export class VersionIsLive extends Schema.TaggedError<VersionIsLive>()("VersionIsLive", { projection, version }) {
  override get message(): string {
    return `Version ${this.version} of the projection ${this.projection} is live: switch to another one before, or pause it where it is the only one`
  }
}

/**
 * There is no version to roll back to: none was live before, or it was dropped.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoPreviousVersion extends Schema.TaggedError<NoPreviousVersion>()("NoPreviousVersion", { projection }) {
  override get message(): string {
    return `There is no version of the projection ${this.projection} to roll back to`
  }
}

/**
 * There is no rehearsal of this name: it was never begun, or it was dropped.
 *
 * @category errors
 * @since 0.1.0
 */
export class RehearsalNotFound extends Schema.TaggedError<RehearsalNotFound>()("RehearsalNotFound", {
  rehearsal: Schema.String
}) {
  override get message(): string {
    return `There is no rehearsal ${this.rehearsal}`
  }
}

/**
 * A rehearsal of this name was begun with something else, which `field` names: another projection or version, another
 * declaration of it, or another part of the log. Give the new one another name, or drop the old one first.
 *
 * @category errors
 * @since 0.1.0
 */
export class RehearsalChanged extends Schema.TaggedError<RehearsalChanged>()("RehearsalChanged", {
  rehearsal: Schema.String,
  field: Schema.Literals(["projection", "version", "declaration", "from", "to", "until"]),
  /** What it was begun with, and what was asked for now. */
  begun: Schema.String,
  asked: Schema.String
}) {
  override get message(): string {
    return `The rehearsal ${this.rehearsal} was begun with another ${this.field} (${this.begun}, now ${this.asked}): ` +
      "give this one another name, or drop the other one"
  }
}

/**
 * The live version is one that this program cannot read: it declares another one, and not how documents of the live one read
 * (`older`).
 *
 * @category errors
 * @since 0.1.0
 */
export class VersionUnreadable extends Schema.TaggedError<VersionUnreadable>()("VersionUnreadable", {
  projection,
  /** The live version. */
  version,
  /** The version that the program declares. */
  declared: version
}) {
  override get message(): string {
    return `Version ${this.version} of the projection ${this.projection} is live, which version ${this.declared} ` +
      "cannot read"
  }
}

/**
 * A document does not fit the schema of its version: the schema was changed, and the version was not.
 *
 * @category errors
 * @since 0.1.0
 */
export class DocumentUndecodable extends Schema.TaggedError<DocumentUndecodable>()("DocumentUndecodable", {
  projection,
  version,
  key: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The document ${this.key} of version ${this.version} of the projection ${this.projection} does not decode: ` +
      reasonOf(this.cause)
  }
}
