/**
 * Paired comparison. The contenders of a contest take turns in every round, in an order that flips from round to round,
 * so that whatever slows the machine down slows all of them. Only ratios within one round are compared: what a bench
 * reports is the median and the range of these.
 */
import { Effect } from "effect"
import { parseArgs } from "node:util"

/** What one contender did in one round. */
export interface Sample {
  /** Per second: appends, or events, as the contest says. */
  readonly rate: number
  /** Latencies in milliseconds, where there are any. */
  readonly p50?: number
  readonly p99?: number
  /** The same, from the time at which the work was to begin by a fixed schedule. */
  readonly sentP50?: number
  readonly sentP99?: number
  /** Memory in MiB: live objects after a collection, and the most the process had. */
  readonly heap?: number
  readonly rss?: number
  /** What went wrong and was done again. */
  readonly conflicts?: number
  /** Events that never came. */
  readonly lost?: number
}

/** Samples by contender, in the order of rounds. */
export type Results<Name extends string> = Readonly<Record<Name, ReadonlyArray<Sample>>>

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    rounds: { type: "string" },
    seconds: { type: "string" },
    only: { type: "string" }
  }
})

const number = (text: string | undefined, otherwise: number): number => {
  const value = text === undefined ? otherwise : Number(text)
  if (!(value > 0)) throw new Error(`${text} is not a number above 0`)
  return value
}

/**
 * `--quick` for a short run, `--full` for what takes long, `--rounds`, `--seconds` (of one contender in one round), `--only` part
 * of a contest's name.
 */
export const settings = {
  quick: values.quick,
  full: values.full,
  rounds: number(values.rounds, values.quick ? 3 : 9),
  seconds: number(values.seconds, values.quick ? 0.5 : 2),
  only: values.only
}

/** Whether a contest is asked for. */
export const isWanted = (name: string): boolean => settings.only === undefined || name.includes(settings.only)

/** Runs the contenders by turns: once to warm up, then for every round. */
export const contest = Effect.fnUntraced(function*<const Name extends string>(
  name: string,
  contenders: Readonly<Record<Name, Effect.Effect<Sample, unknown>>>,
  rounds = settings.rounds
): Effect.fn.Return<Results<Name>, unknown> {
  const names = Object.keys(contenders) as Array<Name>
  const results = Object.fromEntries(names.map((name) => [name, [] as Array<Sample>])) as Record<Name, Array<Sample>>
  for (let round = 0; round <= rounds; round++) {
    for (const contender of round % 2 === 0 ? names : names.toReversed()) {
      globalThis.gc?.()
      const sample = yield* contenders[contender]
      if (round === 0) continue // warm code, filled plan caches
      results[contender].push(sample)
    }
    console.error(`${name}: ${round === 0 ? "warm" : `round ${round} of ${rounds}`}`)
  }
  return results
})

/** What is counted and not compared. */
type Fault = "conflicts" | "lost"

export type Measure = Exclude<keyof Sample, Fault>

/** What the design asks of a ratio. */
export type Budget = { readonly atLeast: number } | { readonly atMost: number }

/** One line of the table. */
export interface Row {
  readonly work: string
  readonly beside: string
  readonly ratios: ReadonlyArray<number>
  readonly budget: Budget | undefined
  readonly note: string
}

/** Our figure over theirs, round by round. */
export const compare = <Name extends string>(
  results: Results<Name>,
  ours: Name,
  theirs: Name,
  row: { readonly work: string; readonly beside: string; readonly budget?: Budget; readonly measure?: Measure }
): Row => {
  const measure = row.measure ?? "rate"
  const figures = (name: Name) => results[name].map((sample) => sample[measure] ?? Number.NaN)
  const [mine, other] = [figures(ours), figures(theirs)]
  return {
    work: row.work,
    beside: row.beside,
    ratios: mine.map((figure, round) => figure / other[round]!),
    budget: row.budget,
    note: `${show(median(mine), measure)} : ${show(median(other), measure)}${faultsOf(results, ours, theirs)}`
  }
}

/** Latencies over a goal in milliseconds, round by round. */
export const within = <Name extends string>(
  results: Results<Name>,
  name: Name,
  row: { readonly work: string; readonly milliseconds: number; readonly measure: Measure }
): Row => {
  const figures = results[name].map((sample) => sample[row.measure] ?? Number.NaN)
  return {
    work: row.work,
    beside: `${row.milliseconds} ms`,
    ratios: figures.map((figure) => figure / row.milliseconds),
    budget: { atMost: 1 },
    note: show(median(figures), row.measure)
  }
}

const faultsOf = <Name extends string>(results: Results<Name>, ours: Name, theirs: Name): string =>
  (["conflicts", "lost"] as const).map((fault) => {
    const count = (name: Name) => results[name].reduce((sum, sample) => sum + (sample[fault] ?? 0), 0)
    const isCounted = results[ours].concat(results[theirs]).some((sample) => sample[fault] !== undefined)
    return isCounted ? `, ${fault} ${thousands(count(ours))} : ${thousands(count(theirs))}` : ""
  }).join("")

const show = (value: number, measure: Measure): string =>
  measure === "rate"
    ? `${thousands(value)}/s`
    : measure === "heap" || measure === "rss"
    ? `${value.toFixed(0)} MiB`
    : `${value >= 100 ? thousands(value) : value.toPrecision(3)} ms`

/** A number with its thousands marked. */
export const thousands = (value: number): string => Math.round(value).toLocaleString("en")

export const median = (values: ReadonlyArray<number>): number => quantile(values.toSorted((a, b) => a - b), 0.5)

/** Quantile of sorted numbers. */
export const quantile = (sorted: ReadonlyArray<number>, q: number): number => {
  const place = (sorted.length - 1) * q
  const low = sorted[Math.floor(place)] ?? Number.NaN
  const high = sorted[Math.ceil(place)] ?? Number.NaN
  return low + (high - low) * (place - Math.floor(place))
}

const digits = (value: number): string => value >= 100 ? value.toFixed(0) : value.toPrecision(value >= 1 ? 3 : 2)

const reached = ({ budget, ratios }: Row): string => {
  if (budget === undefined) return ""
  const value = median(ratios)
  const [goal, isReached] = "atLeast" in budget
    ? [budget.atLeast, value >= budget.atLeast]
    : [budget.atMost, value <= budget.atMost]
  return isReached ? "yes" : `**no**, ${digits(value / goal)} of it`
}

const budgetOf = ({ budget }: Row): string =>
  budget === undefined
    ? ""
    : "atLeast" in budget
    ? `at least ${digits(budget.atLeast)}`
    : `at most ${digits(budget.atMost)}`

/** The table as markdown, with all it takes to repeat it. */
export const report = (bench: string, about: string, rows: ReadonlyArray<Row>): string => {
  const cells = [
    ["Work", "Beside", "Ratio: median (range)", "Budget", "Reached", "Medians of this run"],
    ...rows.map((row) => {
      const { beside, note, ratios, work } = row
      const range = `${digits(Math.min(...ratios))} to ${digits(Math.max(...ratios))}`
      return [work, beside, `**${digits(median(ratios))}** (${range})`, budgetOf(row), reached(row), note]
    })
  ]
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  const line = (row: ReadonlyArray<string>) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`
  const [head, ...body] = cells.map(line)
  return [
    `Made by \`npm run bench -- ${[bench, ...process.argv.slice(2)].join(" ")}\`: ${about}`,
    "Ratios are ours over theirs, of the same round.",
    "",
    head,
    `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`,
    ...body
  ].join("\n")
}
