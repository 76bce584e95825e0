import { type Array as Arr, Console, Context, Effect, Layer, Option, Sink, Stdio, Stream } from "effect"
import { TerminalCapabilities } from "effect/cli"
import { styleText } from "node:util"
import { ProgramName, typedTo } from "./programName.ts"
import { noDatabase, type Refused } from "./refusal.ts"
import { Color, Json } from "./settings.ts"
import { type Column, tableOf } from "./table.ts"

type Style = Parameters<typeof styleText>[0]

/** How a command answers: results go to the standard output, everything else to the standard error. */
export class Output extends Context.Service<Output, {
  /** Whether a program reads the answer. */
  readonly isJson: boolean
  /** Whether somebody watches the answer come. */
  readonly isWatched: boolean
  /** Width of the terminal, `undefined` where there is none. */
  readonly columns: number | undefined
  /** Puts a text in a colour, where the output has any. */
  readonly paint: (style: Style, text: string) => string
}>()("effect-eventstore/Cli/Output") {
  static readonly layer = Layer.effect(
    Output,
    Effect.gen(function*() {
      const { canAnimate, canColor } = yield* TerminalCapabilities.TerminalCapabilities
      const isJson = yield* Json
      const hasColor = Option.getOrElse(yield* Color, () => canColor) && !isJson
      return Output.of({
        isJson,
        isWatched: canAnimate,
        columns: canAnimate ? process.stdout.columns : undefined,
        paint: (style, text) => hasColor && text !== "" ? styleText(style, text, { validateStream: false }) : text
      })
    })
  )
}

/** Answers with one value: as JSON for a program, else as the text that is made of it. */
export const answer = <A>(
  value: A,
  textOf: (value: A, output: Output["Service"]) => string
): Effect.Effect<void, Refused, Output | Stdio.Stdio> =>
  Effect.flatMap(Output, (output) => write(output.isJson ? jsonOf(value, output.isWatched) : textOf(value, output)))

/** Writes a text and the end of its line to the standard output, and waits until it is written. */
export const write = (text: string) => writeLines(Stream.make(text))

/** Says something beside the answer: on the standard error, and not to programs that read that as JSON. */
export const note = (text: string): Effect.Effect<void, never, Output> =>
  Effect.gen(function*() {
    const { isJson } = yield* Output
    if (!isJson) yield* Console.error(typedTo(yield* ProgramName, text))
  })

/**
 * Answers with many values as they come: a line of JSON for each, or a table. The widths of the columns are those of the first
 * rows; what comes later and is wider pushes its row to the right.
 */
export const answerRows = <A, E, R>(
  rows: Stream.Stream<A, E, R>,
  options: {
    readonly columns: ReadonlyArray<Column<A>>
    /** What is written of a row for programs; the row itself where it is left out. */
    readonly json?: ((row: A) => unknown) | undefined
    /** The JSON text of a row, in one line, where it is not made of a value. */
    readonly line?: ((row: A) => string) | undefined
    /** What is said where there is no row. */
    readonly empty: string
  }
) =>
  Effect.gen(function*() {
    const output = yield* Output
    if (output.isJson) {
      const line = options.line ?? ((row) => JSON.stringify((options.json ?? same)(row)))
      return yield* writeLines(Stream.map(rows, (row) => withoutControls(line(row))))
    }
    const table = tableOf(options.columns, output)
    let count = 0
    // whole pages, as the widths of the columns are those of the first one
    const lines = Stream.mapArray(rows, (rows): Arr.NonEmptyReadonlyArray<string> => {
      count += rows.length
      return [table.lines(rows).join("\n")]
    })
    yield* writeLines(lines)
    if (count === 0) yield* note(options.empty)
  })

/** Writes lines to the standard output as they come, no faster than they are taken. */
export const writeLines = <E, R>(
  lines: Stream.Stream<string, E, R>
): Effect.Effect<void, E | Refused, R | Stdio.Stdio> =>
  Effect.gen(function*() {
    const stdio = yield* Stdio.Stdio
    const written = Sink.mapError(stdio.stdout(), (error) => unwritten(error.reason.cause))
    yield* Stream.run(Stream.mapArray(lines, (lines) => [`${lines.join("\n")}\n`]), written)
  })

/** The answer is there, and nobody gets it. */
export const unwritten = (cause: unknown): Refused =>
  noDatabase(`The output cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`)

/** As JSON: for people to read where they see it, in one line for programs. */
export const jsonOf = (value: unknown, isWatched: boolean): string =>
  withoutControls(JSON.stringify(value, null, isWatched ? 2 : 0))

/** JSON leaves some characters as they are that move the cursor of a terminal; in it they can only stand in texts. */
const withoutControls = (json: string): string =>
  json.replace(/[\u007f-\u009f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)

const same = (row: unknown) => row
