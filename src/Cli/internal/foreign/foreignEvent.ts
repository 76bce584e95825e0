import { Result } from "effect"
import { maxTypeLength } from "../../../Event/Event.ts"
import * as EventId from "../../../Event/EventId.ts"
import { hasForbiddenEscape } from "../../../Event/JsonText.ts"
import { problemOf, problemOfName } from "../../../Stream/StreamId.ts"
import type { ArchivedEvent } from "../archive/archivedEvent.ts"
import { sayOf, toEvent } from "../archive/archiveLine.ts"
import * as Json from "../archive/exactJson.ts"
import { ForeignEventRefused, StreamNameRefused } from "./foreignError.ts"
import { type Origin, toMetadata } from "./foreignMetadata.ts"

/** The stores that events can be taken over from. */
export type Store = "Emmett" | "message-db" | "KurrentDB"

/**
 * An event as a source reads it. `data` is a value of `Json.parse`, `metadata` also `undefined` or `null`; `recordedAt` is in
 * UTC with microseconds.
 */
export interface ForeignEvent {
  /** Where it is in the source, for people: "global position 17". */
  readonly place: string
  /** The stream's name. */
  readonly stream: string
  /** What tells the stream from all others of the source: the name, unless names are not unique there. */
  readonly source: string
  /** The event's own version, from 1, where the source tells it. */
  readonly version: number | undefined
  /** Empty where the source has none. */
  readonly id: string
  readonly type: string
  readonly schemaVersion: string | undefined
  readonly data: unknown
  readonly metadata: unknown
  /** The id of the event that led to this one, where the source found it out by other means than the metadata. */
  readonly causationId?: string
  readonly recordedAt: string
}

const time = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$/
const maxSchemaVersion = 32767

/** The id of an event, where it is a UUID. */
export const uuidOf = ({ id }: ForeignEvent): string | undefined => {
  const lower = id.toLowerCase()
  return EventId.isEventId(lower) ? lower : undefined
}

/**
 * Takes an event over, as the event `streamVersion` of the stream `streamId` at `position`, with the id `eventId` or else one
 * that is made of its place; or says why it cannot.
 */
export const toArchived = (
  store: Store,
  event: ForeignEvent,
  place: { readonly position: number; readonly streamId: string; readonly streamVersion: number },
  eventId: string | undefined
): ArchivedEvent | ForeignEventRefused => {
  const refused = (problem: string, hint?: string) =>
    new ForeignEventRefused({ store, place: event.place, problem, ...(hint === undefined ? {} : { hint }) })

  const problem = problemOfName(event.type, maxTypeLength)
  if (problem !== undefined) return refused(`has the type ${JSON.stringify(event.type)}, which ${problem}`)
  if (!time.test(event.recordedAt)) return refused(`has the time ${JSON.stringify(event.recordedAt)}, which is none`)
  if (!Json.isObject(event.data)) {
    return refused(
      "has data that are no JSON object",
      "The data of an event are an object here: wrap them in one, or leave the event out."
    )
  }

  const origin: Origin = {
    ...(eventId !== undefined || event.id === "" ? {} : { eventId: event.id }),
    ...(event.schemaVersion === undefined || schemaVersionOf(event.schemaVersion) !== undefined
      ? {}
      : { schemaVersion: event.schemaVersion }),
    ...(Object.hasOwn(event.data, "_tag") && event.data["_tag"] !== event.type ? { tag: event.data["_tag"] } : {})
  }
  const data = Json.toText(Object.hasOwn(event.data, "_tag") ? withoutTag(event.data) : event.data)
  const metadata = toMetadata(store, event.metadata, origin, event.causationId)
  for (const [name, text] of [["data", data], ["metadata", metadata ?? ""]] as const) {
    if (hasForbiddenEscape(text)) {
      return refused(
        `has ${name} with a NUL character or a lone surrogate in a text`,
        "Postgres cannot keep these: correct the event, or leave it out."
      )
    }
  }
  const archived: ArchivedEvent = {
    ...place,
    eventId: eventId ?? EventId.fromName(store, event.source, String(event.version ?? place.streamVersion)),
    type: event.type,
    schemaVersion: schemaVersionOf(event.schemaVersion) ?? 1,
    data,
    metadata,
    tags: null,
    recordedAt: event.recordedAt
  }
  const checked = toEvent(archived)
  return Result.isFailure(checked) ? refused(`cannot be stored: ${sayOf(checked.failure)}`) : archived
}

/** The type has a column of its own. */
const withoutTag = ({ _tag, ...rest }: Record<string, unknown>): Record<string, unknown> => rest

const schemaVersionOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^[1-9]\d{0,4}$/.test(text) && Number(text) <= maxSchemaVersion ? Number(text) : undefined

/** The name of a stream here; or why it is none. */
export const toStreamId = (store: Store, event: ForeignEvent, renamed: string): StreamNameRefused | undefined => {
  const problem = problemOf(renamed)
  return problem === undefined
    ? undefined
    : new StreamNameRefused({ store, place: event.place, stream: event.stream, renamed, problem })
}
