import { DateTime, Effect } from "effect"
import { Flag } from "effect/cli"
import { barChart } from "../chart.ts"
import { factLines, sizeOf } from "../facts.ts"
import { storeCommand } from "../frame/command.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answer, type Output } from "../frame/output.ts"
import { during } from "../frame/progress.ts"
import { natural } from "../frame/settings.ts"
import { type Column, counted, numberOf, tableText } from "../frame/table.ts"
import { rangeOf, timeFlag } from "../frame/times.ts"
import { type Counted, type Stats, statsOf } from "../stats.ts"
import type { TableSize } from "../statsSql.ts"

export const stats = storeCommand(
  "stats",
  {
    since: timeFlag("since", "Only what was recorded then or later"),
    until: timeFlag("until", "Only what was recorded before"),
    scan: natural("scan", 1).pipe(
      Flag.withDescription(
        "Most events that are looked at: of more, as many are, evenly spread, and the counts are estimates"
      ),
      Flag.withDefault(1_000_000)
    ),
    limit: natural("limit", 1).pipe(Flag.withDescription("Most lines of each list"), Flag.withDefault(10))
  },
  {
    description:
      "Shows what a log consists of: events by category, type and day, its size and growth, the streams with the most events of " +
      "late, and the longest. Hidden events count, as they take their place.",
    examples: [
      { command: "eventstore stats" },
      { command: "eventstore stats --since '7 days' --json | jq .types" },
      { command: "eventstore stats --scan 100000000", description: "Exactly, whatever it takes" }
    ]
  },
  Effect.fnUntraced(function*({ limit, scan, since, until }) {
    const log = yield* OpenLog
    const range = yield* rangeOf({ since, until })
    const times = { since: millisOf(range.since), until: millisOf(range.until) }
    const stats = yield* during(
      { label: "look through the log", isKept: false },
      (report) => statsOf(log, { ...times, scan, limit, report })
    )
    yield* answer(stats, (stats, output) => textOf(stats, limit, output))
  })
)

const millisOf = (time: DateTime.Utc | undefined) => time === undefined ? undefined : DateTime.toEpochMillis(time)

/** Days that a chart shows. */
const chartDays = 30

const textOf = (stats: Stats, limit: number, output: Output["Service"]): string => {
  const { growth, isSample, size } = stats
  const about = isSample ? "about " : ""
  const events = size.tables.find(({ table }) => table === "events")
  const facts = factLines([
    ["events", `${about}${numberOf(stats.events)}`],
    ["positions", stats.events === 0 ? undefined : `${numberOf(stats.after + 1)} to ${numberOf(stats.to)}`],
    [
      "growth",
      growth.eventsPerDay === 0
        ? undefined
        : `${about}${counted(growth.eventsPerDay, "event")} and ${sizeOf(growth.bytesPerDay)} a day, over the last ${
          counted(growth.days, "day")
        }`
    ],
    ["on disk", events && `${sizeOf(events.bytes)} of events, ${sizeOf(events.indexBytes)} of their indexes`],
    ["database", sizeOf(size.database)]
  ], output.paint)
  const sample = isSample
    ? [
      output.paint(
        "yellow",
        `A sample: ${counted(stats.looked, "event")} were looked at, and the counts are estimates.`
      )
    ]
    : []
  const parts: ReadonlyArray<readonly [title: string, text: string]> = [
    ["Categories", tableText(stats.categories.slice(0, limit), columnsOf("category", stats.events), output)],
    ["Types", tableText(stats.types.slice(0, limit), columnsOf("type", stats.events), output)],
    ["Events a day, in UTC", barChart(lastDays(stats.days), output).join("\n")],
    [
      `Streams with the most of the last ${counted(stats.hottestOf, "event")}`,
      tableText(stats.hottest, hottestColumns, output)
    ],
    [
      isSample ? "Longest streams of the sample" : "Longest streams",
      tableText(stats.longest, longestColumns, output)
    ]
  ]
  return [
    ...facts,
    ...sample,
    ...(stats.events === 0 ? [] : parts.flatMap(([title, text]) => ["", output.paint("bold", title), text])),
    "",
    output.paint("bold", "Tables, of all logs in the schema"),
    tableText(size.tables.slice(0, limit), sizeColumns, output)
  ].join("\n")
}

const columnsOf = (title: string, events: number): ReadonlyArray<Column<Counted>> => [
  { title, value: ({ name }) => name, style: () => "cyan" },
  { title: "events", value: ({ events }) => events, align: "right" },
  { title: "share", value: (one) => `${(100 * one.events / events).toFixed(1)} %`, align: "right" },
  { title: "size", value: ({ bytes }) => sizeOf(bytes), align: "right" }
]

const hottestColumns: ReadonlyArray<Column<Stats["hottest"][number]>> = [
  { title: "stream", value: ({ streamId }) => streamId },
  { title: "events", value: ({ events }) => events, align: "right" }
]

const longestColumns: ReadonlyArray<Column<Stats["longest"][number]>> = [
  { title: "stream", value: ({ streamId }) => streamId },
  { title: "version", value: ({ version }) => version, align: "right" }
]

const sizeColumns: ReadonlyArray<Column<TableSize>> = [
  { title: "table", value: ({ table }) => table },
  { title: "size", value: ({ bytes }) => sizeOf(bytes), align: "right" },
  { title: "indexes", value: ({ indexBytes }) => sizeOf(indexBytes), align: "right" },
  { title: "rows, about", value: ({ rows }) => rows, align: "right" }
]

/** The days up to the last one that has events, those without any between them as well. */
const lastDays = (days: ReadonlyArray<Counted>) => {
  const last = days.at(-1)
  if (last === undefined) return []
  const byName = new Map(days.map(({ events, name }) => [name, events]))
  const end = DateTime.makeUnsafe(last.name)
  const shown = Array.from({ length: chartDays }, (_, i) => {
    const name = DateTime.formatIsoDateUtc(DateTime.subtract(end, { days: chartDays - 1 - i }))
    return { name, value: byName.get(name) ?? 0 }
  })
  return shown.filter(({ name }) => name >= days[0]!.name)
}
