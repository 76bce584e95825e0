import { type EventId, isEventId } from "../../../Event/EventId.ts"

/** The id of an event as somebody typed or copied it, in capitals or not; `undefined` where it is none. */
export const eventIdOf = (text: string): EventId | undefined => {
  const id = text.toLowerCase()
  return isEventId(id) ? id : undefined
}
