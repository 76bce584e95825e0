import type { Parked, Status } from "../../Projection/Projection.ts"
import { type Column, numberOf, printable } from "./frame/table.ts"
import type { parkedJson } from "./recordedJson.ts"

/**
 * What is done with a version, in a word: `running` only where somebody runs it, else `idle`; `inline` where appends apply it.
 */
export const activityOf = (
  { isApplied, partitions, status }: Status
): "running" | "idle" | "inline" | "paused" | "failed" =>
  status !== "running"
    ? status
    : isApplied
    ? "inline"
    : partitions.some(({ owner }) => owner !== null)
    ? "running"
    : "idle"

const styleOf = (status: Status) => {
  const activity = activityOf(status)
  return activity === "failed" ? "red" : activity === "running" || activity === "inline" ? "green" : "yellow"
}

/** A version, as programs are told of it. */
export const statusJson = (status: Status) => ({ ...status, activity: activityOf(status) })

export const statusColumns: ReadonlyArray<Column<Status>> = [
  { title: "name", value: ({ name }) => name },
  { title: "version", value: ({ version }) => version, align: "right" },
  { title: "live", value: ({ isLive }) => isLive ? "live" : "" },
  { title: "kind", value: ({ kind }) => kind },
  { title: "stage", value: ({ stage }) => stage, style: ({ stage }) => stage === "ready" ? undefined : "yellow" },
  { title: "status", value: activityOf, style: styleOf },
  { title: "position", value: ({ position }) => position, align: "right" },
  { title: "lag", value: ({ lag }) => lag, align: "right", style: ({ lag }) => lag === 0 ? undefined : "yellow" },
  { title: "rate", value: ({ rate }) => rate === 0 ? "" : `${numberOf(Math.round(rate))}/s`, align: "right" },
  {
    title: "parked",
    value: ({ parkedEvents }) => parkedEvents,
    align: "right",
    style: ({ parkedEvents }) => parkedEvents === 0 ? undefined : "red"
  },
  { title: "error", value: ({ error }) => error ?? "", isRest: true, style: () => "red" }
]

type Partition = Status["partitions"][number]

export const partitionColumns: ReadonlyArray<Column<Partition>> = [
  { title: "partition", value: ({ partition }) => partition, align: "right" },
  { title: "position", value: ({ position }) => position, align: "right" },
  { title: "handled", value: ({ handled }) => handled, align: "right" },
  { title: "rate", value: ({ rate }) => rate === 0 ? "" : `${numberOf(Math.round(rate))}/s`, align: "right" },
  { title: "epoch", value: ({ epoch }) => epoch, align: "right" },
  {
    title: "owner",
    value: ({ owner }) => owner ?? "nobody",
    style: ({ owner }) => owner === null ? "yellow" : undefined
  }
]

/** What a version is, line by line, without its partitions. */
export const statusLines = (
  status: Status,
  others: ReadonlyArray<Status>,
  paint: (style: "dim" | "red", text: string) => string
): ReadonlyArray<string> => {
  const { error, errorPosition, handled, head, isInline, isLive, kind, lag, parkedEvents, parkedKeys, position, rate } =
    status
  const lines: ReadonlyArray<readonly [string, string]> = [
    ["projection", `${status.name} version ${status.version}${isLive ? ", live" : ", not live"}`],
    ["kind", `${kind}${isInline ? ", inline" : ""}`],
    ["stage", status.stage],
    ["status", activityOf(status)],
    ["position", `${numberOf(position)} of ${numberOf(head)}, ${numberOf(lag)} behind`],
    ["handled", `${numberOf(handled)} events${rate === 0 ? "" : `, ${numberOf(Math.round(rate))}/s`}`],
    ["parked", `${numberOf(parkedEvents)} events of ${numberOf(parkedKeys)} keys`],
    ...(status.repartitionTo === null ? [] : [["becomes", `${status.repartitionTo} partitions`] as const]),
    ...(error === null
      ? []
      : [
        [
          "error",
          paint("red", `${errorPosition === null ? "" : `position ${errorPosition}: `}${printable(error)}`)
        ] as const
      ]),
    ...others.map((other) =>
      [
        "beside it",
        `version ${other.version}${other.isLive ? ", live" : ""}, ${other.stage}, ${activityOf(other)}`
      ] as const
    )
  ]
  return lines.map(([title, text]) => `${paint("dim", title.padEnd(10))}  ${text}`)
}

type ParkedRow = ReturnType<typeof parkedJson<Parked>>

export const parkedColumns: ReadonlyArray<Column<ParkedRow>> = [
  { title: "position", value: ({ position }) => position, align: "right" },
  { title: "key", value: ({ key }) => key },
  { title: "type", value: ({ event }) => event?.type ?? "(hidden)" },
  { title: "stream", value: ({ event }) => event?.streamId ?? "" },
  { title: "attempts", value: ({ attempts }) => attempts, align: "right" },
  { title: "parked", value: ({ parkedAt }) => parkedAt },
  {
    title: "error",
    value: ({ error, isReplayWanted }) =>
      `${isReplayWanted ? "(to be replayed) " : ""}${error ?? "waits behind an earlier one of its key"}`,
    isRest: true,
    style: ({ error }) => error === null ? "dim" : "red"
  }
]
