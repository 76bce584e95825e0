const iso = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:\d\d)?$/
const millis = /^(\d{1,14})(?:\.(\d+))?$/
const ticks = /^\d{17,18}$/

/** 100-nanosecond ticks from the year 1 to 1970. */
const epochTicks = 621_355_968_000_000_000n

/** A time: microseconds since 1970, and as text in UTC. */
export interface Time {
  readonly micros: number
  readonly text: string
}

/**
 * Reads a time as KurrentDB, its clients and exporters write it: ISO 8601 (without a zone it is UTC), milliseconds since 1970,
 * or ticks of 100 nanoseconds, since 1970 or since the year 1. What is below a microsecond is cut.
 */
export const parse = (text: string): Time | undefined => {
  const date = iso.exec(text)
  if (date !== null) {
    const [, day, time, fraction = "", zone = "Z"] = date
    return make(Date.parse(`${day}T${time}${zone}`), Number(fraction.slice(0, 6).padEnd(6, "0")))
  }
  const number = millis.exec(text)
  if (number !== null) {
    const [, whole = "", fraction = ""] = number
    return make(Number(whole), Number(fraction.slice(0, 3).padEnd(3, "0")))
  }
  if (ticks.test(text)) {
    const since1970 = BigInt(text) >= epochTicks ? BigInt(text) - epochTicks : BigInt(text)
    return make(Number(since1970 / 10_000n), Number(since1970 / 10n % 1000n))
  }
  return undefined
}

const lastMillis = Date.parse("9999-12-31T23:59:59.999Z")

const make = (millis: number, micros: number): Time | undefined => {
  if (Number.isNaN(millis) || millis < 0 || millis > lastMillis) return undefined
  const total = millis * 1000 + micros
  const text = `${new Date(millis).toISOString().slice(0, 19)}.${String(total % 1_000_000).padStart(6, "0")}Z`
  return { micros: total, text }
}
