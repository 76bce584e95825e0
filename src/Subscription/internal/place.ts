import { Effect, Inspectable, Predicate } from "effect"
import { isEventId } from "../../Event/EventId.ts"
import type { LogPlace, StreamPlace } from "../../Store/LogTail.ts"
import { InvalidInput } from "../../Store/StoreError.ts"

/** A place in the log, as it was given: a position, a recorded event, or the end. */
export const checkedPlace = (after: unknown): Effect.Effect<"end" | LogPlace, InvalidInput> => {
  const place = typeof after === "number" ? { position: after } : after
  return place === "end" || isObject(place) && isCount(place["position"]) && isIdAt(place["eventId"], place["position"])
    ? Effect.succeed(place as "end" | LogPlace)
    : refused(after)
}

/** A place in one stream, as it was given: a version, a recorded event, or the end. */
export const checkedStreamPlace = (after: unknown): Effect.Effect<"end" | StreamPlace, InvalidInput> => {
  const place = typeof after === "number" ? { streamVersion: after } : after
  return place === "end" || isObject(place) && isCount(place["streamVersion"]) &&
      (place["position"] === undefined || isCount(place["position"])) &&
      isIdAt(place["eventId"], place["position"])
    ? Effect.succeed(place as "end" | StreamPlace)
    : refused(after)
}

const isObject = (value: unknown): value is Record<string, unknown> => Predicate.isObject(value)

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

/** At position 0 there is no event: an id there is that of one whose transaction is still open. */
const isIdAt = (eventId: unknown, position: unknown): boolean =>
  eventId === undefined || isEventId(eventId) && position !== 0

const refused = (after: unknown) =>
  Effect.fail(
    new InvalidInput({
      field: "after",
      problem: `is ${Inspectable.toStringUnknown(after)}, which is neither "end" nor a place that was read`
    })
  )
