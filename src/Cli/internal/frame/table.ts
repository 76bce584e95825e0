import { CliOutput } from "effect/cli"
import type { styleText } from "node:util"

/** A column of a table. */
export interface Column<in A> {
  readonly title: string
  readonly value: (row: A) => string | number | undefined | null
  /** Right for numbers. Left where it is left out. */
  readonly align?: "left" | "right" | undefined
  readonly style?: ((row: A) => Parameters<typeof styleText>[0] | undefined) | undefined
  /** Whether the rest of the line is its own, so that it is cut where the terminal ends. */
  readonly isRest?: boolean | undefined
}

interface Surface {
  readonly columns: number | undefined
  readonly paint: (style: Parameters<typeof styleText>[0], text: string) => string
}

/** Lays rows out: the widths are those of the first rows, and the titles stand above these. */
export const tableOf = <A>(columns: ReadonlyArray<Column<A>>, surface: Surface) => {
  let widths: ReadonlyArray<number> | undefined
  const lineOf = (cells: ReadonlyArray<string>, widths: ReadonlyArray<number>, row: A | undefined) => {
    let used = 0
    const parts = columns.map((column, i) => {
      const width = widths[i]!
      const room = column.isRest && surface.columns !== undefined ? Math.max(8, surface.columns - used) : Infinity
      const cell = cutTo(cells[i]!, room)
      const isLast = i === columns.length - 1
      const padding = " ".repeat(Math.max(0, width - CliOutput.displayWidth(cell)))
      used += Math.max(width, CliOutput.displayWidth(cell)) + 2
      const style = row === undefined ? "dim" : column.style?.(row)
      const painted = style === undefined ? cell : surface.paint(style, cell)
      return column.align === "right" ? padding + painted : isLast ? painted : painted + padding
    })
    return parts.join("  ").trimEnd()
  }
  return {
    lines: (rows: ReadonlyArray<A>): ReadonlyArray<string> => {
      const cells = rows.map((row) => columns.map((column) => textOf(column.value(row))))
      const isFirst = widths === undefined
      const known = widths ??= columns.map((column, i) =>
        Math.max(
          CliOutput.displayWidth(column.title),
          ...(column.isRest ? [] : cells.slice(0, 1000).map((row) => CliOutput.displayWidth(row[i]!)))
        )
      )
      const lines = cells.map((row, i) => lineOf(row, known, rows[i]))
      return isFirst ? [lineOf(columns.map(({ title }) => title), known, undefined), ...lines] : lines
    }
  }
}

/** A whole table as one text. */
export const tableText = <A>(rows: ReadonlyArray<A>, columns: ReadonlyArray<Column<A>>, surface: Surface): string =>
  tableOf(columns, surface).lines(rows).join("\n")

const textOf = (value: string | number | undefined | null): string =>
  value === undefined || value === null ? "" : typeof value === "number" ? numberOf(value) : printable(value)

/** A number with its thousands kept apart. */
export const numberOf = (value: number): string => value.toLocaleString("en-US")

/** So many of something: `1 event`, `2,000 events`. */
export const counted = (count: number, what: string): string => `${numberOf(count)} ${what}${count === 1 ? "" : "s"}`

/** What would move the cursor of a terminal, or break a line, is shown and not done. */
export const printable = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) =>
    character === "\n"
      ? "\\n"
      : character === "\t"
      ? "\\t"
      : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`)

/** A text of several lines as a sentence; schema issues have one for each place. */
export const inOneLine = (text: string): string =>
  text.replace(/\n\s*at (?=\[)/g, ", at ").trim().replace(/\s*\n\s*/g, "; ")

/** The beginning of a text that fits, with a sign that there is more. */
const cutTo = (text: string, width: number): string => {
  if (CliOutput.displayWidth(text) <= width) return text
  let cut = text.slice(0, width - 1)
  while (CliOutput.displayWidth(cut) > width - 1) cut = cut.slice(0, -1)
  return `${cut}…`
}
