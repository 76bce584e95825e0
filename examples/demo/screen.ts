/**
 * Small output: colours and a progress line on a terminal, plain lines anywhere else.
 */
import { Console, Effect } from "effect"
import { printable } from "./escape.ts"

const isTerminal = process.stdout.isTTY === true
const colours = isTerminal && process.env["NO_COLOR"] === undefined

const paint = (code: number) => (text: string): string => colours ? `\u001b[${code}m${text}\u001b[0m` : text

export const bold = paint(1)
export const faint = paint(2)
export const red = paint(31)
export const green = paint(32)

export const count = (n: number): string => n.toLocaleString("en-US")

/** A number of things: of one of them, or of several. */
export const counted = (n: number, one: string, several = `${one}s`): string => `${count(n)} ${n === 1 ? one : several}`

export const seconds = (millis: number): string => `${(millis / 1000).toFixed(millis < 10_000 ? 2 : 1)} s`

export const heading = (text: string): Effect.Effect<void> => Console.log(`\n${bold(text)}`)

/** Cuts and cleans a name of unknown origin, so that it fits into a column. */
export const column = (text: string, width: number): string => {
  const characters = Array.from(printable(text))
  const cut = characters.length > width ? [...characters.slice(0, width - 1), "…"] : characters
  return cut.join("").padEnd(width)
}

/** A claim, whether it holds, and the value it is about. */
export const verdict = (holds: boolean, what: string, value: string, command = ""): Effect.Effect<void> =>
  Console.log(
    `  ${holds ? green("ok") : red("no")}  ${column(what, 40)}${value.padEnd(10)}  ${faint(command)}`.trimEnd()
  )

/** A bar that is drawn anew on a terminal; elsewhere one line for each quarter of the way. */
export const makeProgress = (total: number) => {
  let quarters = 0
  return (done: number, text: string): Effect.Effect<void> => {
    const percent = `${String(Math.floor((done / total) * 100)).padStart(3)} %`
    if (isTerminal) {
      const filled = Math.floor((done / total) * barWidth)
      const bar = "█".repeat(filled) + faint("░".repeat(barWidth - filled))
      return Effect.sync(() =>
        void process.stdout.write(`\r\u001b[K  ${bar} ${percent}  ${text}${done < total ? "" : "\n"}`)
      )
    }
    const line = `  ${percent}  ${text}`
    const reached = Math.floor((done / total) * 4)
    if (reached === quarters) return Effect.void
    quarters = reached
    return Console.log(line)
  }
}

const barWidth = 20
