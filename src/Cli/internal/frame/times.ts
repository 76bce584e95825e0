import { Clock, DateTime, Effect, Option } from "effect"
import { Flag } from "effect/cli"
import { type Refused, wrongInput } from "./refusal.ts"

/** A flag that takes a time; {@link timeOf} makes one of it. */
export const timeFlag = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("<time>"),
    Flag.withDescription(
      `${description}: ISO 8601 (in UTC where no offset says otherwise), or a length before now: 2h, 3 days`
    ),
    Flag.optional
  )

/** The time that a flag was given; `undefined` where it was not. */
export const timeOf = (
  name: string,
  given: Option.Option<string>
): Effect.Effect<DateTime.Utc | undefined, Refused> =>
  Option.match(given, {
    onNone: () => Effect.succeed(undefined),
    onSome: (text) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const time = parseTime(text, now)
        return time === undefined
          ? wrongInput(
            `--${name} ${JSON.stringify(text)} is no time`,
            "2026-11-21, 2026-11-21T18:30:00Z, or a length before now: 90s, 15 min, 2h, 3 days, 1 week"
          )
          : Effect.succeed(time)
      })
  })

/** The times of `--since` and `--until`; refuses a range that holds nothing. */
export const rangeOf = (given: {
  readonly since: Option.Option<string>
  readonly until: Option.Option<string>
}): Effect.Effect<{ readonly since: DateTime.Utc | undefined; readonly until: DateTime.Utc | undefined }, Refused> =>
  Effect.gen(function*() {
    const since = yield* timeOf("since", given.since)
    const until = yield* timeOf("until", given.until)
    if (since !== undefined && until !== undefined && !DateTime.isLessThan(since, until)) {
      return yield* wrongInput(
        `--until ${DateTime.formatIso(until)} has to be later than --since ${DateTime.formatIso(since)}`,
        "it is left out of the range, which would hold nothing"
      )
    }
    return { since, until }
  })

/**
 * Reads a time: a date of ISO 8601, with or without a time of day and an offset (`2026-11-21`, `2026-11-21T18:30+01:00`; UTC
 * where there is none), `now`, or a length before `now` in milliseconds since 1970 (`2h`, `1 day 12 hours`). `undefined`
 * where it is none of these, or a day that no calendar has.
 */
export const parseTime = (text: string, now: number): DateTime.Utc | undefined => {
  const trimmed = text.trim()
  const millis = trimmed === "now" ? now : millisOfDate(trimmed) ?? before(now, millisOfLength(trimmed))
  return millis === undefined ? undefined : Option.getOrUndefined(DateTime.make(millis))
}

const before = (now: number, length: number | undefined) => length === undefined ? undefined : now - length

const date =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s?(Z|z|[+-]\d{2}(?::?\d{2})?)?)?$/

const millisOfDate = (text: string): number | undefined => {
  const parts = date.exec(text)
  if (parts === null) return undefined
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map((part) => Number(part ?? 0))
  const millis = Math.floor(Number(`0.${parts[7] ?? 0}`) * 1000 + 1e-6)
  const time = new Date(0)
  time.setUTCFullYear(year!, month! - 1, day)
  time.setUTCHours(hour!, minute, second, millis)
  // what does not exist, the 30th of February, would silently be another day
  const isThere = time.getUTCMonth() === month! - 1 && time.getUTCDate() === day && time.getUTCHours() === hour &&
    time.getUTCMinutes() === minute && time.getUTCSeconds() === second
  const offset = minutesOf(parts[8] ?? "Z")
  return isThere && offset !== undefined ? time.getTime() - offset * 60_000 : undefined
}

/** An offset in minutes. */
const minutesOf = (offset: string): number | undefined => {
  if (offset.toUpperCase() === "Z") return 0
  const digits = offset.slice(1).replace(":", "").padEnd(4, "0")
  const [hours, minutes] = [Number(digits.slice(0, 2)), Number(digits.slice(2))]
  if (hours > 18 || minutes > 59) return undefined
  return (offset.startsWith("-") ? -1 : 1) * (hours * 60 + minutes)
}

const units: { readonly [unit: string]: number | undefined } = (() => {
  const lengths = [
    [1000, ["s", "sec", "secs", "second", "seconds"]],
    [60_000, ["m", "min", "mins", "minute", "minutes"]],
    [3_600_000, ["h", "hour", "hours"]],
    [86_400_000, ["d", "day", "days"]],
    [604_800_000, ["w", "week", "weeks"]]
  ] as const
  return Object.fromEntries(lengths.flatMap(([millis, names]) => names.map((name) => [name, millis])))
})()

/** A length of time in milliseconds: `90s`, `1 day 12 hours`. */
const millisOfLength = (text: string): number | undefined => {
  if (!/^(?:\d+(?:\.\d+)?\s*[a-z]+\s*)+$/i.test(text)) return undefined
  let total = 0
  for (const [, count, name] of text.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)/gi)) {
    const unit = units[name!.toLowerCase()]
    if (unit === undefined) return undefined
    total += Number(count) * unit
  }
  return Math.round(total)
}
