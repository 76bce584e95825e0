import { DateTime, Option } from "effect"
import type { RawEvent } from "../../Event/RawEvent.ts"
import type { Recorded } from "../../Stream/Recorded.ts"

/** A stored event, as programs are told of it. */
export const recordedJson = (
  { event, eventId, metadata, position, recordedAt, schemaVersion, streamId, streamVersion, tags, type }: Recorded<
    RawEvent
  >
) => ({
  position,
  streamId,
  streamVersion,
  eventId,
  type,
  schemaVersion,
  data: event.data,
  metadata,
  tags,
  recordedAt: DateTime.formatIso(recordedAt)
})

/** The same of one that may be hidden or gone: `null` then. */
export const recordedJsonOf = (recorded: Option.Option<Recorded<RawEvent>>) =>
  Option.getOrNull(Option.map(recorded, recordedJson))
