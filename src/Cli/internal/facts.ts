import type { Output } from "./frame/output.ts"
import { numberOf, printable } from "./frame/table.ts"

/** What is known of something: a name and a value each; what is `undefined` is left out. */
export type Facts = ReadonlyArray<readonly [name: string, value: string | number | undefined]>

/** Facts one below the other. */
export const factLines = (facts: Facts, paint: Output["Service"]["paint"], indent = ""): ReadonlyArray<string> => {
  const known = facts.filter(([, value]) => value !== undefined)
  const width = Math.max(0, ...known.map(([name]) => name.length)) + 2
  return known.map(([name, value]) =>
    `${indent}${paint("dim", name.padEnd(width))}${typeof value === "number" ? numberOf(value) : printable(value!)}`
  )
}

/** A number of bytes, for people. */
export const sizeOf = (bytes: number): string => {
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB"]
  let size = bytes
  let unit = 0
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000
    unit++
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`
}
