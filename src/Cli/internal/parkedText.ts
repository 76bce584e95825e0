import { printable } from "./frame/table.ts"
import type { recordedJson } from "./recordedJson.ts"

interface AnyParked {
  readonly position: number
  readonly key: string | null
  readonly attempts: number
  readonly parkedAt: string
  readonly event: ReturnType<typeof recordedJson> | null
}

/** A parked event in full: what it is, why it was set aside, and its data. */
export const parkedText = (
  { attempts, event, key, parkedAt, position }: AnyParked,
  why: string,
  paint: (style: "dim" | "red" | "bold", text: string) => string
): string => {
  const title = event === null
    ? "(hidden)"
    : `${event.type}  ${event.streamId} version ${event.streamVersion}`
  const line = (title: string, text: string) => `  ${paint("dim", title.padEnd(8))}  ${text}`
  return [
    paint("bold", `position ${position}  ${printable(title)}`),
    ...(key === null ? [] : [line("key", printable(key))]),
    line("parked", `${parkedAt}, after ${attempts} attempt${attempts === 1 ? "" : "s"}`),
    ...why.split("\n").map((text, i) => line(i === 0 ? "why" : "", paint("red", printable(text)))),
    ...(event === null ? [] : [line("event id", event.eventId), line("recorded", event.recordedAt)]),
    ...(event === null
      ? []
      : JSON.stringify(event.data, null, 2).split("\n").map((text, i) => line(i === 0 ? "data" : "", printable(text)))),
    ""
  ].join("\n")
}
