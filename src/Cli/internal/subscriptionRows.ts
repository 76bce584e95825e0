import { DateTime } from "effect"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type { Info, Parked } from "../../Subscription/PersistentSubscription.ts"
import { type Column, numberOf } from "./frame/table.ts"
import type { parkedJson } from "./recordedJson.ts"

/** What a filter lets pass, in a few words. */
export const filterText = (
  { categories, recordedFrom, recordedUntil, streamPrefix, tags, types }: LogFilter
): string => {
  const time = (millis: number) => DateTime.formatIso(DateTime.makeUnsafe(millis))
  const parts = [
    ...(categories === null ? [] : [categories.join(", ")]),
    ...(types === null ? [] : [`types ${types.join(", ")}`]),
    ...(streamPrefix === null ? [] : [`streams ${streamPrefix}...`]),
    ...(tags === null ? [] : [`tags ${tags.join(", ")}`]),
    ...(recordedFrom === null ? [] : [`since ${time(recordedFrom)}`]),
    ...(recordedUntil === null ? [] : [`until ${time(recordedUntil)}`])
  ]
  return parts.length === 0 ? "all events" : parts.join("; ")
}

export const subscriptionColumns: ReadonlyArray<Column<Info>> = [
  { title: "name", value: ({ name }) => name },
  { title: "checkpoint", value: ({ checkpoint }) => checkpoint, align: "right" },
  { title: "lag", value: ({ lag }) => lag, align: "right", style: ({ lag }) => lag === 0 ? undefined : "yellow" },
  { title: "waiting", value: ({ waiting }) => waiting, align: "right" },
  { title: "in flight", value: ({ inFlight }) => inFlight, align: "right" },
  {
    title: "parked",
    value: ({ parked }) => parked,
    align: "right",
    style: ({ parked }) => parked === 0 ? undefined : "red"
  },
  { title: "from", value: ({ filter }) => filterText(filter), isRest: true, style: () => "dim" }
]

/** What a subscription is, line by line. */
export const subscriptionLines = (info: Info, paint: (style: "dim", text: string) => string): ReadonlyArray<string> => {
  const { capacity, checkpoint, filter, inFlight, lag, name, ordering, parked, parkedBlocks, position, waiting } = info
  const lines = [
    ["subscription", name],
    ["from", filterText(filter)],
    ["checkpoint", `${numberOf(checkpoint)}: all before it is finished or parked; ${numberOf(lag)} behind the end`],
    ["looked to", `${numberOf(position)}: what matched up to there was handed out, or waits`],
    ["waiting", numberOf(waiting)],
    ["in flight", numberOf(inFlight)],
    ["parked", `${numberOf(parked)}${parkedBlocks ? ", which keep later ones of their keys waiting" : ""}`],
    ["in order by", ordering === "none" ? "nothing" : ordering === "stream" ? "stream" : "a key of the application"],
    ["capacity", numberOf(capacity)]
  ] as const
  return lines.map(([title, text]) => `${paint("dim", title.padEnd(12))}  ${text}`)
}

type ParkedRow = ReturnType<typeof parkedJson<Parked>>

export const parkedColumns: ReadonlyArray<Column<ParkedRow>> = [
  { title: "position", value: ({ position }) => position, align: "right" },
  { title: "type", value: ({ event }) => event?.type ?? "(hidden)" },
  { title: "stream", value: ({ event }) => event?.streamId ?? "" },
  { title: "key", value: ({ event, key }) => key === event?.streamId ? "" : key ?? "" },
  { title: "attempts", value: ({ attempts }) => attempts, align: "right" },
  { title: "parked", value: ({ parkedAt }) => parkedAt },
  {
    title: "reason",
    value: ({ error, reason }) => error === null ? reason : `${reason}: ${error}`,
    isRest: true,
    style: () => "red"
  }
]
