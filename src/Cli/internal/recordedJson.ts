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

/** A parked event of a projection or a subscription, as programs are told of it. */
export const parkedJson = <
  P extends { readonly parkedAt: DateTime.Utc; readonly recorded: Option.Option<Recorded<RawEvent>> }
>(
  { parkedAt, recorded, ...parked }: P
) => ({ ...parked, parkedAt: DateTime.formatIso(parkedAt), event: recordedJsonOf(recorded) })
