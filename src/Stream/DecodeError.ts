/**
 * Why a stored event could not be turned into one of today's.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { Position } from "./Position.ts"
import type { StoredEvent } from "./StoredEvent.ts"
import { StreamId } from "./StreamId.ts"
import { StreamVersion } from "./StreamVersion.ts"

const place = {
  streamId: StreamId,
  streamVersion: StreamVersion,
  position: Position,
  /** Name of the stored type. */
  type: Schema.String,
  /** Version of the stored shape. */
  schemaVersion: Schema.Int
}

/**
 * A stored event has a type, or a version of its type, that the category does not declare. `known` is the newest version
 * that it does declare, 0 for none: a higher `schemaVersion` was written by a newer program.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownEventType extends Schema.TaggedError<UnknownEventType>()("UnknownEventType", {
  ...place,
  known: Schema.Int
}) {
  override get message(): string {
    return `Event ${this.streamVersion} of stream ${this.streamId} (position ${this.position}) is of the unknown type ` +
      `${this.type} version ${this.schemaVersion}` + (this.known > 0 ? `, known are 1 to ${this.known}` : "")
  }
}

/**
 * The error of a stored event whose type, or version of its type, is not known beyond `known`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unknownEventType = (stored: StoredEvent, known: number): UnknownEventType =>
  new UnknownEventType({
    streamId: stored.streamId as StreamId,
    streamVersion: stored.streamVersion as StreamVersion,
    position: stored.position as Position,
    type: stored.type,
    schemaVersion: stored.schemaVersion,
    known
  })

/**
 * The data of a stored event do not fit the schema of its version, or an upcaster failed. `issue` says where and why.
 *
 * @category errors
 * @since 0.1.0
 */
export class EventDecodeFailed extends Schema.TaggedError<EventDecodeFailed>()("EventDecodeFailed", {
  ...place,
  issue: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `Event ${this.streamVersion} of stream ${this.streamId} (position ${this.position}), type ${this.type} ` +
      `version ${this.schemaVersion}, does not decode: ${this.issue}`
  }
}

/**
 * @category errors
 * @since 0.1.0
 */
export type DecodeError = UnknownEventType | EventDecodeFailed
