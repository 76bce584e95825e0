import { Option, Schema } from "effect"
import * as Json from "../archive/exactJson.ts"
import { ForeignEventRefused } from "./foreignError.ts"
import type { ForeignEvent } from "./foreignEvent.ts"
import * as Time from "./kurrentDbTime.ts"

const store = "KurrentDB"

/** What stands in an export besides events that are the users' own. */
export type Leaving = "system events" | "links"

/** An event with what decides its order among those of other streams. */
export interface KurrentEvent extends ForeignEvent {
  readonly micros: number
  /** The commit position, where the export has it. */
  readonly commit: number | undefined
}

/** What an event is given where the export does not say it. */
export interface Defaults {
  /** The stream of events that name none: a file of one stream. */
  readonly stream?: string | undefined
  /** The time of events without one, ISO 8601. */
  readonly recordedAt?: string | undefined
  /** Whether events may do without a number. */
  readonly renumber?: boolean | undefined
}

/** The names under which the HTTP API, the clients and exporters write one thing; the first that is there is taken. */
const names = {
  stream: ["eventStreamId", "streamId", "streamName", "stream_id", "stream_name", "stream"],
  number: ["eventNumber", "streamRevision", "revision", "streamPosition", "event_number", "stream_position"],
  type: ["eventType", "event_type", "type"],
  id: ["eventId", "event_id", "id"],
  data: ["data"],
  metadata: ["metaData", "metadata", "customMetadata", "userMetadata", "custom_metadata"],
  time: ["updated", "created", "createdEpoch", "createdAt", "recordedAt", "recorded_at", "timestamp"],
  commit: ["commitPosition", "commit_position"]
} as const

const Envelope = Schema.Struct({
  stream: Schema.NonEmptyString,
  number: Schema.optionalKey(Schema.NumberFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(0))),
  type: Schema.NonEmptyString,
  id: Schema.optionalKey(Schema.String),
  time: Schema.String,
  commit: Schema.optionalKey(Schema.NumberFromString)
})

const decode = Schema.decodeUnknownOption(Envelope)

/** The entries of a document: those of a feed, else itself. */
export const entriesOf = (document: unknown): ReadonlyArray<unknown> =>
  Json.isObject(document) && Array.isArray(document["entries"]) ? document["entries"] : [document]

/**
 * Reads one entry: an event, what is left out, or why it cannot be taken over. An event that a link was resolved to is taken as
 * the event it is.
 */
export const read = (
  entry: unknown,
  line: number,
  defaults: Defaults
): KurrentEvent | Leaving | ForeignEventRefused => {
  const refusedAt = (place: string) => (problem: string, hint?: string) =>
    new ForeignEventRefused({ store, place, problem, ...(hint === undefined ? {} : { hint }) })

  if (!Json.isObject(entry)) return refusedAt(`line ${line}`)("is no JSON object")
  // the clients put the event beside the link that led to it; one that led nowhere has only the link
  if (entry["event"] === null || entry["event"] === undefined && Json.isObject(entry["link"])) return "links"
  const fields = {
    ...entry,
    ...(Json.isObject(entry["event"]) ? entry["event"] : {}),
    ...(Json.isObject(entry["content"]) ? entry["content"] : {})
  }
  const type = scalarOf(fields, "type")
  const stream = scalarOf(fields, "stream") ?? defaults.stream
  // an entry of a feed that was read without the events says this of a link
  if (type === "$>" || type === undefined && fields["summary"] === "$>") return "links"
  if (type?.startsWith("$") === true || stream?.startsWith("$") === true) return "system events"

  const number = scalarOf(fields, "number")
  const place = stream === undefined
    ? `line ${line}`
    : number === undefined
    ? `line ${line}, stream ${stream}`
    : `line ${line}, ${number}@${stream}`
  const refused = refusedAt(place)
  if (type === undefined) return refused("has no type", "Read feeds of the HTTP API with embed=body.")
  if (stream === undefined) return refused("names no stream", "Say which stream the file is of.")
  if (number === undefined && defaults.renumber !== true) {
    return refused("has no event number", "With renumber, events are counted in the order of the file.")
  }
  const written = scalarOf(fields, "time") ?? defaults.recordedAt
  if (written === undefined) return refused("has no time", "Say when events without a time were recorded.")
  const time = Time.parse(written)
  if (time === undefined) return refused(`has the time ${JSON.stringify(written)}, which is none`)

  const id = scalarOf(fields, "id")
  const commit = commitOf(fields)
  const envelope = decode({
    stream,
    type,
    time: time.text,
    ...(number === undefined ? {} : { number }),
    ...(id === undefined ? {} : { id }),
    ...(commit === undefined ? {} : { commit })
  })
  if (Option.isNone(envelope)) return refused("has a number, an id or a position that is none")

  const data = contentOf(valueOf(fields, "data"))
  if (data === undefined && fields["isJson"] !== false) {
    return refused("has no data", "Read feeds of the HTTP API with embed=body.")
  }
  if (data === notJson || fields["isJson"] === false) {
    return refused(
      "has data that are no JSON that can be read",
      "Only events whose data are JSON can be taken over: leave it out."
    )
  }
  const metadata = contentOf(valueOf(fields, "metadata"))
  return {
    place,
    stream,
    source: stream,
    version: envelope.value.number === undefined ? undefined : envelope.value.number + 1,
    id: envelope.value.id ?? "",
    type,
    schemaVersion: undefined,
    data: data ?? {},
    // what is no JSON is kept as the text that it is
    metadata: metadata === notJson ? valueOf(fields, "metadata") : metadata,
    recordedAt: time.text,
    micros: time.micros,
    commit: envelope.value.commit
  }
}

const valueOf = (fields: Record<string, unknown>, part: keyof typeof names): unknown => {
  const name = names[part].find((name) => fields[name] !== undefined && fields[name] !== null)
  return name === undefined ? names[part].some((name) => fields[name] === null) ? null : undefined : fields[name]
}

const scalarOf = (fields: Record<string, unknown>, part: keyof typeof names): string | undefined => {
  const text = Json.scalarText(valueOf(fields, part))
  return text === "" ? undefined : text
}

const commitOf = (fields: Record<string, unknown>): string | undefined => {
  const position = fields["position"]
  return (Json.isObject(position) ? Json.scalarText(position["commit"]) : undefined) ?? scalarOf(fields, "commit")
}

const notJson = Symbol("notJson")

/** Data or metadata, which are written as JSON or as a text of it: `null` where there are none, `undefined` where nothing is said. */
const contentOf = (value: unknown): unknown => {
  if (typeof value !== "string") return value
  if (value.trim() === "") return null
  try {
    return Json.parse(value)
  } catch {
    return notJson
  }
}
