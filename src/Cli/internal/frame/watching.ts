import { Effect, Result } from "effect"
import { CliOutput, Flag } from "effect/cli"
import { reasonOf, StoreError } from "../../../Store/StoreError.ts"
import { note, Output, write } from "./output.ts"
import { natural } from "./settings.ts"
import { printable } from "./table.ts"

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
    const { columns, isJson, isWatched, paint } = yield* Output
    if (!options.watch) return yield* print(yield* show)
    let drawn = 0
    let before: ReadonlyArray<string> | undefined
    let isWaiting = false
    const isPicture = isWatched && !isJson
    while (true) {
      const seen = yield* Effect.result(show)
      if (Result.isFailure(seen)) {
        const { failure } = seen
        if (before === undefined || !isPassing(failure)) return yield* Effect.fail(failure)
        if (!isWaiting) {
          const waits = `Waits for the database: ${printable(reasonOf(failure))}`
          if (isPicture) drawn = yield* draw([...before, paint("dim", waits)], drawn, columns)
          else yield* note(waits)
        }
        isWaiting = true
      } else {
        isWaiting = false
        before = isPicture ? fitting(seen.success) : seen.success
        if (isPicture) drawn = yield* draw(before, drawn, columns)
        else yield* print(before)
      }
      yield* Effect.sleep(options.every * 1000)
    }
  })

/** The database may be back soon. */
const isPassing = (error: unknown): error is StoreError => error instanceof StoreError && error.isRetryable

/** What scrolled away cannot be drawn over. Below it there is room for what it waits for. */
const fitting = (lines: ReadonlyArray<string>) => lines.slice(0, Math.max(1, (process.stdout.rows ?? 24) - 4))

/** Draws over the picture that was there before; answers how many rows this one takes. */
const draw = (lines: ReadonlyArray<string>, drawn: number, columns: number | undefined) =>
  Effect.as(
    print([...lines.slice(0, 1).map((line) => `${erased(drawn)}${line}`), ...lines.slice(1)]),
    heightOf(lines, columns)
  )

const print = (lines: ReadonlyArray<string>) => lines.length === 0 ? Effect.void : write(lines.join("\n"))

const erased = (rows: number) => rows === 0 ? "" : `\u001b[${rows}A\u001b[J`

/** Rows of the terminal that lines take: a long one takes several. */
const heightOf = (lines: ReadonlyArray<string>, columns: number | undefined): number =>
  lines.reduce(
    (sum, line) => sum + Math.max(1, columns === undefined ? 1 : Math.ceil(CliOutput.displayWidth(line) / columns)),
    0
  )
