import { Clock, Console, Context, Effect, Layer, Stdio } from "effect"
import { TerminalCapabilities } from "effect/cli"
import { Output } from "./output.ts"
import { numberOf } from "./table.ts"

/** Milliseconds between two pictures of what goes on: in a terminal, and where lines are kept. */
const every = { terminal: 100, lines: 10_000 }

interface Bar {
  label: string
  total: number | undefined
  done: number
  begun: number
  doneAtBegin: number
  isEnded: boolean
}

/** What a bar begins with. */
export interface BarOptions {
  readonly label: string
  readonly total?: number | undefined
  /** How much was done before. */
  readonly done?: number | undefined
  /** Whether the last picture stays when the work ends. Default `true`. */
  readonly isKept?: boolean | undefined
}

/** How far a piece of work has come: `done` of `total`, where that is known. Under another label it begins anew. */
export interface Report {
  (done: number, total?: number, label?: string): Effect.Effect<void>
}

/**
 * Shows how far work has come, on the standard error: as bars that move in a terminal, else as a line every ten seconds. Says
 * nothing to programs.
 */
export class Progress extends Context.Service<Progress, {
  /** Runs work that reports how far it has come. `done` is where it begins, where it goes on from an earlier time. */
  readonly during: <A, E, R>(
    options: BarOptions,
    work: (report: Report) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  /** Answers with a line while bars move: it stands above them. */
  readonly say: (line: string) => Effect.Effect<void>
}>()("effect-eventstore/Cli/Progress") {
  static readonly layer = Layer.effect(
    Progress,
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      const { isJson, paint } = yield* Output
      const stdio = yield* Stdio.Stdio
      const { canAnimate } = yield* TerminalCapabilities.TerminalCapabilities
      // bars of their own would tear what is written to the same terminal apart, but a dumb one cannot move the cursor
      const isTerminal = canAnimate && (yield* stdio.stderrIsTerminal)
      const bars = new Set<Bar>()
      let drawn = 0
      let drawnAt = clock.currentTimeMillisUnsafe()
      const write = (text: string) => Effect.sync(() => process.stderr.write(text))
      const erase = () => drawn === 0 ? "" : `\u001b[${drawn}A\u001b[J`

      const draw = (force: boolean) =>
        Effect.suspend(() => {
          const now = clock.currentTimeMillisUnsafe()
          if (!force && now - drawnAt < (isTerminal ? every.terminal : every.lines)) return Effect.void
          drawnAt = now
          const lines = [...bars].map((bar) => lineOf(bar, now, isTerminal ? paint : undefined))
          const text = `${isTerminal ? erase() : ""}${lines.map((line) => `${line}\n`).join("")}`
          drawn = isTerminal ? lines.length : 0
          return write(text)
        })

      return Progress.of({
        say: (line) =>
          Effect.andThen(
            Effect.suspend(() => {
              const text = erase()
              drawn = 0
              return text === "" ? Effect.void : write(text)
            }),
            Console.log(line)
          ),
        during: (options, work) =>
          isJson ? work(() => Effect.void) : Effect.acquireUseRelease(
            Effect.sync((): Bar => {
              const bar: Bar = {
                label: options.label,
                total: options.total,
                done: options.done ?? 0,
                begun: clock.currentTimeMillisUnsafe(),
                doneAtBegin: options.done ?? 0,
                isEnded: false
              }
              bars.add(bar)
              return bar
            }),
            (bar) =>
              work((done, total, label = bar.label) =>
                Effect.suspend(() => {
                  if (label !== bar.label) {
                    Object.assign(bar, { label, total, begun: clock.currentTimeMillisUnsafe(), doneAtBegin: done })
                  }
                  bar.done = done
                  if (total !== undefined) bar.total = total
                  return draw(false)
                })
              ),
            (bar) =>
              Effect.suspend(() => {
                bar.isEnded = true
                // the last picture of a bar stays, above those that still move
                const line = lineOf(bar, clock.currentTimeMillisUnsafe(), isTerminal ? paint : undefined)
                const text = isTerminal ? `${erase()}${options.isKept === false ? "" : `${line}\n`}` : ""
                bars.delete(bar)
                drawn = 0
                return Effect.andThen(write(text), isTerminal && bars.size > 0 ? draw(true) : Effect.void)
              })
          )
      })
    })
  )
}

/** Answers with a line while bars move. */
export const say = (line: string): Effect.Effect<void, never, Progress> =>
  Effect.flatMap(Progress, (progress) => progress.say(line))

/** Runs work that reports how far it has come. */
export const during: <A, E, R>(
  options: BarOptions,
  work: (report: Report) => Effect.Effect<A, E, R>
) => Effect.Effect<A, E, R | Progress> = (options, work) =>
  Effect.flatMap(Progress, (progress) => progress.during(options, work))

const width = 24

const lineOf = (bar: Bar, now: number, paint: Output["Service"]["paint"] | undefined): string => {
  const { begun, done, doneAtBegin, label, total } = bar
  const seconds = (now - begun) / 1000
  const rate = seconds > 0 ? (done - doneAtBegin) / seconds : 0
  const share = total === undefined ? undefined : total === 0 ? 1 : Math.min(1, done / total)
  const filled = share === undefined ? 0 : Math.round(share * width)
  const picture = paint === undefined || share === undefined
    ? ""
    : `${paint("cyan", "█".repeat(filled))}${paint("dim", "░".repeat(width - filled))} `
  const parts = [
    share === undefined ? "" : `${Math.floor(share * 100)} %`,
    `${numberOf(done)}${total === undefined ? "" : ` of ${numberOf(total)}`}`,
    rate > 0 ? `${numberOf(Math.round(rate))}/s` : "",
    bar.isEnded
      ? `in ${timeOf(seconds)}`
      : total !== undefined && rate > 0
      ? `${timeOf((total - done) / rate)} left`
      : ""
  ]
  return `${label}  ${picture}${parts.filter((part) => part !== "").join("  ")}`
}

/** A length of time, for people. */
export const timeOf = (seconds: number): string => {
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
