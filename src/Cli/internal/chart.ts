import type { Output } from "./frame/output.ts"
import { numberOf } from "./frame/table.ts"

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** Bars of different lengths, a line for each: the longest takes the room there is. */
export const barChart = (
  bars: ReadonlyArray<{ readonly name: string; readonly value: number }>,
  { columns, paint }: Pick<Output["Service"], "columns" | "paint">
): ReadonlyArray<string> => {
  const most = Math.max(1, ...bars.map(({ value }) => value))
  const nameWidth = Math.max(0, ...bars.map(({ name }) => name.length))
  const room = Math.max(10, Math.min(columns ?? 80, 120) - nameWidth - numberOf(most).length - 4)
  return bars.map(({ name, value }) => {
    const length = Math.ceil(value / most * room * 8)
    const bar = "█".repeat(Math.floor(length / 8)) + eighths[length % 8]!
    return `${paint("dim", name.padEnd(nameWidth))}  ${paint("cyan", bar)} ${numberOf(value)}`
  })
}
