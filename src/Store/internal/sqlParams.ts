import { Duration } from "effect"

/** A parameter in milliseconds since 1970 as a time, NULL for that of the database. */
export const time = (parameter: number): string => `to_timestamp($${parameter}::float8 / 1000)`

export const timeOr = (parameter: number): string => `COALESCE(${time(parameter)}, statement_timestamp())`

/** A duration as Postgres reads one; one that has no end takes a hundred years. */
export const interval = (duration: Duration.Duration): string =>
  `${Math.round(Math.min(Duration.toMillis(duration), century) * 1000)} microseconds`

const century = 100 * 365.25 * 24 * 60 * 60 * 1000

/** A text that Postgres can keep: what an error says may hold anything. */
export const text = (value: string): string => value.replaceAll("\0", "\uFFFD")

/** The driver finds no type for an array of nothing but NULL. */
export const nullable = (values: ReadonlyArray<string | null>): ReadonlyArray<string | null> | null =>
  values.every((value) => value === null) ? null : values
