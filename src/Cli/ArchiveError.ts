/**
 * What writing an archive, reading one and importing can answer instead of a result. Each says in a sentence what happened,
 * and in `hint` what can be done.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { EventId } from "../Event/EventId.ts"
import { reasonOf } from "../Store/StoreError.ts"

/**
 * There is something already where the archive was to be written. It was not touched.
 *
 * @category errors
 * @since 0.1.0
 */
export class ArchiveExists extends Schema.TaggedError<ArchiveExists>()("ArchiveExists", { path: Schema.String }) {
  override get message(): string {
    return `${this.path} exists already`
  }
  get hint(): string {
    return "An archive is never written over: choose another directory, or remove this one."
  }
}

/**
 * There is no archive at a path, or none that this version of the library reads.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAnArchive extends Schema.TaggedError<NotAnArchive>()("NotAnArchive", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.path} is not an archive: ${this.problem}`
  }
  get hint(): string {
    return "Name the directory that an export wrote, the one with manifest.json in it."
  }
}

/**
 * A file of an archive is not what the manifest says of it, or holds what no export writes. `file` is its name in the
 * directory, `line` counts from 1.
 *
 * @category errors
 * @since 0.1.0
 */
export class ArchiveDamaged extends Schema.TaggedError<ArchiveDamaged>()("ArchiveDamaged", {
  path: Schema.String,
  file: Schema.String,
  line: Schema.optionalKey(Schema.Int),
  problem: Schema.String
}) {
  override get message(): string {
    const line = this.line === undefined ? "" : `, line ${this.line},`
    return `The archive ${this.path} is damaged: ${this.file}${line} ${this.problem}`
  }
  get hint(): string {
    return "Take another copy of the archive: what is in this one cannot be trusted."
  }
}

/**
 * The file system refused something: a disk is full, a directory may not be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class ArchiveFileFailed extends Schema.TaggedError<ArchiveFileFailed>()("ArchiveFileFailed", {
  path: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.path} cannot be used: ${reasonOf(this.cause)}`
  }
  get hint(): string {
    return "Check the path, the permissions and the free space."
  }
}

/**
 * The log has a row that no import would take, so that an archive of it would be of no use: names, times or texts that were
 * written by hand, or JSON that is nested deeper than 5000 arrays and objects, which some databases do not survive.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotExportable extends Schema.TaggedError<NotExportable>()("NotExportable", {
  /** The place of the row: `position 17`, or `stream cart-1`. */
  row: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `What the log has at ${this.row} cannot be kept in an archive: ${this.problem}`
  }
  get hint(): string {
    return "Look at the row, which somebody may have written by hand, and verify the log. An export of other categories " +
      "leaves it out."
  }
}

/**
 * The log takes no import as it is; nothing was stored since the last progress. `hint` says what would help.
 *
 * @category errors
 * @since 0.1.0
 */
export class ImportRefused extends Schema.TaggedError<ImportRefused>()("ImportRefused", {
  problem: Schema.String,
  hint: Schema.String
}) {
  override get message(): string {
    return `The import is refused: ${this.problem}`
  }
}

/**
 * A source gives an event or a stream that no log could have.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotImportable extends Schema.TaggedError<NotImportable>()("NotImportable", {
  /** The place in the source: `position 17`, or `stream cart-1`. */
  row: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `What the source has at ${this.row} cannot be imported: ${this.problem}`
  }
  get hint(): string {
    return "Correct it in the source, or leave it out."
  }
}

/**
 * An event id is in the log already, with other content or at another place: the log is not one that this source was
 * imported to before. `problem` says what is different.
 *
 * @category errors
 * @since 0.1.0
 */
export class EventDiffers extends Schema.TaggedError<EventDiffers>()("EventDiffers", {
  eventId: EventId,
  /** Where the source has it. */
  position: Schema.Int,
  streamId: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `Event ${this.eventId} (position ${this.position} of the source, stream ${this.streamId}) ${this.problem}`
  }
  get hint(): string {
    return "Import into another log, or find out which of the two is right."
  }
}

/**
 * The events of a stream do not continue it: the next version in the log would be `expected`, the source goes on with
 * `actual`. Nothing of their batch was stored.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamDiverges extends Schema.TaggedError<StreamDiverges>()("StreamDiverges", {
  streamId: Schema.String,
  expected: Schema.Int,
  actual: Schema.Int,
  /** Where the source has the event. */
  position: Schema.Int
}) {
  override get message(): string {
    return `Stream ${this.streamId} goes on at version ${this.expected} in the log, the source at position ` +
      `${this.position} has version ${this.actual} of it`
  }
  get hint(): string {
    return this.actual > this.expected
      ? "Import what lies between first, or import into an empty log."
      : "The log has events of this stream that are not in the source: import into another log."
  }
}

/**
 * A stream was tombstoned in the log, and goes on in the source. Nothing of the batch was stored. A stream that is tombstoned in
 * the source, too, is imported.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamEnded extends Schema.TaggedError<StreamEnded>()("StreamEnded", {
  streamId: Schema.String,
  /** Where the source has its next event. */
  position: Schema.Int
}) {
  override get message(): string {
    return `Stream ${this.streamId} is tombstoned in the log, and goes on at position ${this.position} of the source`
  }
  get hint(): string {
    return "Tombstone it in the source as well, or import into another log."
  }
}
