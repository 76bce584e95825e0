import { Result, Schema } from "effect"
import { maxTypeLength } from "../../../Event/Event.ts"
import { EventId } from "../../../Event/EventId.ts"
import { maxLength } from "../../../Stream/StreamId.ts"
import type { ArchivedEvent, ArchivedStream } from "./archivedEvent.ts"
import { isDeeper } from "./jsonNesting.ts"

/** The line of an event. The order of the keys is fixed, so that the same event has the same bytes. */
export const encodeEvent = (event: ArchivedEvent): string => {
  const head = JSON.stringify({
    position: event.position,
    streamId: event.streamId,
    streamVersion: event.streamVersion,
    eventId: event.eventId,
    type: event.type,
    schemaVersion: event.schemaVersion,
    recordedAt: event.recordedAt,
    tags: event.tags ?? undefined
  })
  return `${head.slice(0, -1)}${json("data", event.data)}${json("metadata", event.metadata)}}`
}

/** The line of what a stream has beyond its events. */
export const encodeStream = ({ metadata, streamId, tombstoned, truncatedBefore }: ArchivedStream): string =>
  `${JSON.stringify({ streamId, truncatedBefore, tombstoned }).slice(0, -1)}${json("metadata", metadata)}}`

/** A JSON text as JSON where that gives the same bytes again, else as a text; nothing where there is none. */
const json = (key: string, text: string | null): string =>
  text === null ? "" : isCanonical(text) ? `,"${key}":${text}` : `,"${key}Text":${JSON.stringify(text)}`

/** Whether a text is what `JSON.stringify` makes of its value. */
const isCanonical = (text: string): boolean =>
  // deeper values overflow the stack of JSON.stringify, and how deep that is depends on the machine
  !isDeeper(text, 500) && JSON.stringify(JSON.parse(text)) === text

/** An event of a line, or what is wrong with the line. */
export const decodeEvent = (line: string): Result.Result<ArchivedEvent, string> => decode(line, eventKeys, toEvent)

/** A stream of a line, or what is wrong with the line. */
export const decodeStream = (line: string): Result.Result<ArchivedStream, string> => decode(line, streamKeys, toStream)

const decode = <A>(
  line: string,
  keys: ReadonlySet<string>,
  toValue: (value: unknown) => Result.Result<A, Schema.SchemaError>
): Result.Result<A, string> => {
  let parsed: any
  try {
    parsed = JSON.parse(line)
  } catch {
    return Result.fail("is not JSON")
  }
  if (typeof parsed !== "object" || parsed === null) return Result.fail("is not a JSON object")
  // dropped in silence, what a later version writes would be lost
  for (const key in parsed) if (!keys.has(key)) return Result.fail(`has ${JSON.stringify(key)}, which nothing knows of`)
  const { dataText, metadataText, ...value } = parsed
  for (const [key, text] of [["data", dataText], ["metadata", metadataText]] as const) {
    if (text === undefined) {
      if (value[key] !== undefined) value[key] = JSON.stringify(value[key])
    } else if (value[key] !== undefined) return Result.fail(`has both ${key} and ${key}Text`)
    else value[key] = text
  }
  value.metadata ??= null
  if (keys === eventKeys) value.tags ??= null
  return Result.mapError(toValue(value), sayOf)
}

/** What a schema says, in one line. */
export const sayOf = (error: Schema.SchemaError): string => error.message.replaceAll(/\s+/g, " ")

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** A text that UTF-8 and Postgres can hold. */
const isText = (text: string): boolean => text.isWellFormed() && !text.includes("\0")

/** The time is one of the calendar: a database refuses others. */
const isTime = (text: string): boolean => {
  const millis = Date.parse(`${text.slice(0, 23)}Z`)
  return !text.startsWith("0000") && !Number.isNaN(millis) &&
    new Date(millis).toISOString().startsWith(text.slice(0, 23))
}

const Text = (length: number) =>
  Schema.String.check(
    Schema.isMinLength(1),
    Schema.isMaxLength(length),
    Schema.makeFilter(isText, { expected: "a text without NUL and lone surrogates" })
  )

/** Deeper values overflow the stack of a database, and PGlite does not survive that: it is lost at 8000. */
const maxNesting = 5000

/** Characters of data or metadata: a line with both of them, even as texts in which all is escaped, is a string that Node can hold. */
const maxText = 100 * 1024 * 1024

/** Characters of the longest line that is written. */
export const maxLine = 4 * maxText + 1024 * 1024

const JsonText = Schema.String.check(
  Schema.isMaxLength(maxText),
  Schema.makeFilter((text: string) =>
    isDeeper(text, maxNesting)
      ? `is nested deeper than the ${maxNesting} arrays and objects that every database takes`
      : isText(text) && isJson(text) || "is no JSON text"
  )
)

/**
 * A name without control characters, line and paragraph separators, as the rules for names have it. Of these rules one is left
 * out: which characters there are changes with the version of Unicode, and a backup has to be read by an older program as well.
 */
const Name = (length: number) =>
  Text(length).check(Schema.isPattern(/^[^\p{Cc}\p{Zl}\p{Zp}]*$/u, { expected: "a text without control characters" }))

const Positive = Schema.Int.check(Schema.isGreaterThan(0))

const StreamName = Name(maxLength).check(Schema.isPattern(/^[^-]+-./u, { expected: "a category, a hyphen and an id" }))

const EventFields = Schema.Struct({
  position: Positive,
  streamId: StreamName,
  streamVersion: Positive,
  eventId: EventId,
  type: Name(maxTypeLength),
  schemaVersion: Positive.check(Schema.isLessThanOrEqualTo(32767)),
  recordedAt: Schema.String.check(
    Schema.isPattern(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, { expected: "a time in UTC with microseconds" }),
    Schema.makeFilter(isTime, { expected: "a time that there is" })
  ),
  tags: Schema.NullOr(Schema.Array(Text(65536))),
  data: JsonText,
  metadata: Schema.NullOr(JsonText)
})

const StreamFields = Schema.Struct({
  streamId: StreamName,
  truncatedBefore: Schema.Natural,
  tombstoned: Schema.Boolean,
  metadata: Schema.NullOr(JsonText)
})

const eventKeys: ReadonlySet<string> = new Set([...Object.keys(EventFields.fields), "dataText", "metadataText"])

const streamKeys: ReadonlySet<string> = new Set([...Object.keys(StreamFields.fields), "metadataText"])

/** An event that a log can take, or what is wrong with it. */
export const toEvent: (value: unknown) => Result.Result<ArchivedEvent, Schema.SchemaError> = Schema.decodeUnknownResult(
  EventFields
)

/** A stream that a log can take, or what is wrong with it. */
export const toStream: (value: unknown) => Result.Result<ArchivedStream, Schema.SchemaError> = Schema
  .decodeUnknownResult(StreamFields)
