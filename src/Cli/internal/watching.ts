import { Console, Effect } from "effect"
import { CliOutput, Flag } from "effect/cli"
import { Output } from "./output.ts"
import { natural } from "./settings.ts"

/** The flags of commands that can show something again and again. */
export const watch = {
  watch: Flag.Boolean("watch").pipe(
    Flag.withDescription("Show it again and again, until Ctrl-C"),
    Flag.withDefault(false)
  ),
  every: natural("every", 1).pipe(Flag.withDescription("Seconds between two looks, with --watch"), Flag.withDefault(2))
}

/**
 * Shows something once, or again and again: in a terminal in the place of what was there before.
 *
 * @param show What is written to the standard output, as lines; with `--json` as lines of JSON
 */
export const showing = <E, R>(
  options: { readonly watch: boolean; readonly every: number },
  show: Effect.Effect<ReadonlyArray<string>, E, R>
) =>
  Effect.gen(function*() {
    const { columns, isJson, isWatched } = yield* Output
    if (!options.watch) return yield* print(yield* show)
    let drawn = 0
    while (true) {
      const lines = yield* show
      const isPicture = isWatched && !isJson
      // what scrolled away cannot be drawn over
      const fitting = isPicture ? lines.slice(0, Math.max(1, (process.stdout.rows ?? 24) - 2)) : lines
      yield* print([
        ...fitting.slice(0, 1).map((line) => `${isPicture ? erased(drawn) : ""}${line}`),
        ...fitting.slice(1)
      ])
      drawn = isPicture ? heightOf(fitting, columns) : 0
      yield* Effect.sleep(options.every * 1000)
    }
  })

const print = (lines: ReadonlyArray<string>) => lines.length === 0 ? Effect.void : Console.log(lines.join("\n"))

const erased = (rows: number) => rows === 0 ? "" : `\u001b[${rows}A\u001b[J`

/** Rows of the terminal that lines take: a long one takes several. */
const heightOf = (lines: ReadonlyArray<string>, columns: number | undefined): number =>
  lines.reduce(
    (sum, line) => sum + Math.max(1, columns === undefined ? 1 : Math.ceil(CliOutput.displayWidth(line) / columns)),
    0
  )
