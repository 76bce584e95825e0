import type { Difference, DifferencePart, DifferenceRows } from "../../../Projection/Rehearsal.ts"
import type { Output } from "../frame/output.ts"
import { counted, numberOf, printable } from "../frame/table.ts"

type Paint = Output["Service"]["paint"]

/** In what a rehearsal differs from the live version, for people. */
export const differenceText = (difference: Difference, paint: Paint): string => {
  const { isEqual, isSamePosition, live, parts, position, projection, version } = difference
  const places = isSamePosition
    ? `both at position ${numberOf(position)}`
    : `at position ${numberOf(position)}, and ${numberOf(live.position)} the live one`
  return [
    `${projection}: version ${version} built anew, against version ${live.version} that is live, ${places}: ${
      isEqual ? paint("green", "they are equal") : paint("red", "they differ")
    }`,
    ...parts.flatMap((part) => partLines(part, paint)),
    ...(isEqual || live.parkedEvents === 0
      ? []
      : [
        `  The live one lacks ${counted(live.parkedEvents, "event")} that ${
          live.parkedEvents === 1 ? "is" : "are"
        } parked.`
      ]),
    ...(isEqual || isSamePosition
      ? []
      : ["  They do not stand at the same position: what lies between is a difference."])
  ].join("\n")
}

const partLines = ({ changed, columns, fresh, live, name, onlyFresh, onlyLive }: DifferencePart, paint: Paint) => {
  const count = (rows: number | null) => rows === null ? "none" : numberOf(rows)
  const found = [
    ...(onlyLive.count === 0 ? [] : [`${numberOf(onlyLive.count)} only live`]),
    ...(onlyFresh.count === 0 ? [] : [`${numberOf(onlyFresh.count)} only anew`]),
    ...(changed.count === 0 ? [] : [`${numberOf(changed.count)} changed`])
  ]
  return [
    `  ${paint("bold", printable(name))}  live ${count(live)}, anew ${count(fresh)}${
      found.length === 0 ? "" : `: ${found.join(", ")}`
    }`,
    ...(columns.onlyLive.length === 0 ? [] : [`    columns only live: ${columns.onlyLive.join(", ")}`]),
    ...(columns.onlyFresh.length === 0 ? [] : [`    columns only anew: ${columns.onlyFresh.join(", ")}`]),
    ...(columns.ignored.length === 0 ? [] : [paint("dim", `    not compared: ${columns.ignored.join(", ")}`)]),
    ...rowLines("-", onlyLive, (text) => paint("red", text), paint),
    ...rowLines("+", onlyFresh, (text) => paint("green", text), paint),
    ...changed.rows.flatMap((row) => {
      const { fresh, key, live } = row as { readonly key: unknown; readonly live: unknown; readonly fresh: unknown }
      return [
        `    ~ ${printable(JSON.stringify(key))}`,
        paint("red", `      - ${printable(JSON.stringify(live))}`),
        paint("green", `      + ${printable(JSON.stringify(fresh))}`)
      ]
    }),
    ...moreOf(changed, paint)
  ]
}

const rowLines = (sign: string, rows: DifferenceRows, painted: (text: string) => string, paint: Paint) => [
  ...rows.rows.map((row) => painted(`    ${sign} ${printable(JSON.stringify(row))}`)),
  ...moreOf(rows, paint)
]

const moreOf = ({ count, rows }: DifferenceRows, paint: Paint): ReadonlyArray<string> =>
  count > rows.length ? [paint("dim", `    ... and ${numberOf(count - rows.length)} more`)] : []
