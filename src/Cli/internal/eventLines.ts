import { DateTime, Effect } from "effect"
import { factLines, type Facts } from "./facts.ts"
import { Output } from "./frame/output.ts"
import { type Column, printable } from "./frame/table.ts"
import { prettyJson } from "./prettyJson.ts"
import type { Shown } from "./shownEvent.ts"

/** Events as a table: a line for each. In a narrow terminal their data have the room that the whole time would take. */
export const eventColumns = Effect.gen(function*() {
  const { columns } = yield* Output
  return eventColumnsOf(columns, yield* DateTime.now)
})

/** The columns for a terminal of this width, on the day of `now`. */
export const eventColumnsOf = (width: number | undefined, now: DateTime.Utc): ReadonlyArray<Column<Shown>> => [
  { title: "position", value: ({ position }) => String(position), align: "right" },
  ...(width !== undefined && width < 90 ? [] : [{
    title: "recorded",
    value: ({ recordedAt }: Shown) => timeText(recordedAt, width, now),
    style: () => "dim" as const
  }]),
  { title: "stream", value: ({ streamId }) => streamId },
  { title: "version", value: ({ streamVersion }) => String(streamVersion), align: "right" },
  { title: "type", value: typeOf, style: () => "cyan" },
  { title: "data", value: ({ event }) => event.data, isRest: true }
]

/** To the second where there is little room, and of today without the date. */
const timeText = (time: DateTime.Utc, width: number | undefined, now: DateTime.Utc): string => {
  const iso = DateTime.formatIso(time)
  if (width === undefined || width >= 120) return iso
  const [date, clock] = iso.split("T")
  const seconds = clock!.slice(0, 8)
  return date === DateTime.formatIsoDateUtc(now) ? seconds : `${date} ${seconds}`
}

/** An event as one line of JSON, with data and metadata to the last digit as they are stored. */
export const eventLine = (shown: Shown): string =>
  `{"position":${shown.position},"streamId":${JSON.stringify(shown.streamId)},"streamVersion":${shown.streamVersion}` +
  `,"eventId":"${shown.eventId}","type":${JSON.stringify(shown.event.type)}` +
  `,"schemaVersion":${shown.event.schemaVersion},"data":${oneLine(shown.event.data)}` +
  `,"metadata":${oneLine(shown.event.metadata ?? "{}")},"tags":${JSON.stringify(shown.tags)}` +
  `,"recordedAt":"${DateTime.formatIso(shown.recordedAt)}"}`

/** All that the log knows of an event, as a few lines. */
export const eventBlock = (shown: Shown, { paint }: Pick<Output["Service"], "paint">): string => {
  const { event, metadata, tags } = shown
  const { actor, causationId, correlationId, fields, traceparent } = metadata
  const facts: Facts = [
    ["id", shown.eventId],
    ["recorded", DateTime.formatIso(shown.recordedAt)],
    ["correlation", correlationId],
    ["causation", causationId],
    ["actor", actor],
    ["trace", traceparent],
    ["fields", fields === undefined ? undefined : JSON.stringify(fields)],
    ["tags", tags.length === 0 ? undefined : tags.join(", ")]
  ]
  return [
    headOf(shown, paint),
    ...factLines(facts, paint, "  "),
    `  ${paint("dim", "data")}`,
    ...prettyJson(event.data, paint).split("\n").map((line) => `    ${line}`)
  ].join("\n")
}

/** An event in a few words: where it stands, and its type. */
export const headOf = (shown: Shown, paint: Output["Service"]["paint"]): string =>
  `${paint("bold", String(shown.position))}  ${printable(shown.streamId)} version ${shown.streamVersion}  ${
    paint("cyan", printable(typeOf(shown)))
  }`

function typeOf({ event: { schemaVersion, type }, part, parts }: Shown): string {
  return `${type}${schemaVersion === 1 ? "" : ` v${schemaVersion}`}${parts === 1 ? "" : ` (${part + 1} of ${parts})`}`
}

/** JSON allows line breaks between what it consists of, and nowhere else. */
const oneLine = (text: string): string => text.replace(/[\n\r]/g, " ")
