import { DateTime, Duration, HashMap, Option, Redacted, type Schema } from "effect"

/**
 * Any value as JSON that people can read, whatever it is made of: maps are objects where their keys are texts and lists of
 * pairs elsewhere, sets and other collections are lists, times are ISO 8601, large integers are texts, what is optional is its
 * value or `null`. What is secret stays so, and what has no form is named.
 */
export const plainJson = (value: unknown): Schema.Json => toJson(value, [])

const toJson = (value: unknown, above: ReadonlyArray<object>): Schema.Json => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "bigint":
      return String(value)
    case "undefined":
      return null
    case "function":
    case "symbol":
      return `(${typeof value})`
    case "object":
      return value === null ? null : above.includes(value) ? "(circular)" : fromObject(value, [...above, value])
  }
}

const fromObject = (value: object, above: ReadonlyArray<object>): Schema.Json => {
  if (Redacted.isRedacted(value)) return "(redacted)"
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "(no time)" : value.toISOString()
  if (DateTime.isDateTime(value)) return DateTime.formatIso(value)
  if (Duration.isDuration(value)) return Duration.format(value)
  if (Option.isOption(value)) return Option.isNone(value) ? null : toJson(value.value, above)
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64")
  if (value instanceof Map || HashMap.isHashMap(value)) {
    return fromPairs([...value as Iterable<[unknown, unknown]>], above)
  }
  if (Symbol.iterator in value) return [...value as Iterable<unknown>].map((item) => toJson(item, above))
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) =>
      item === undefined || typeof item === "function" ? [] : [[key, toJson(item, above)]]
    )
  )
}

const fromPairs = (pairs: ReadonlyArray<readonly [unknown, unknown]>, above: ReadonlyArray<object>): Schema.Json =>
  pairs.every(([key]) => typeof key === "string")
    ? Object.fromEntries(pairs.map(([key, item]) => [key as string, toJson(item, above)]))
    : pairs.map((pair) => pair.map((part) => toJson(part, above)))
