/** Whether a program keeps a number as it is written in JSON: what it writes of it has the same value, digit by digit. */
export const isKept = (source: string, value: number): boolean => {
  const kept = String(value)
  return source === kept || Number.isFinite(value) && decimalOf(source) === decimalOf(kept)
}

/** A decimal number in the one form that all ways to write it share: digits that neither begin nor end with 0, and a power of ten. */
const decimalOf = (text: string): string => {
  const [, sign = "", whole = "", fraction = "", power = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ??
    []
  const digits = whole + fraction
  let begin = 0
  let end = digits.length
  while (begin < end && digits[begin] === "0") begin++
  while (end > begin && digits[end - 1] === "0") end--
  return begin === end
    ? "0"
    : `${sign}${digits.slice(begin, end)}e${Number(power) - fraction.length + digits.length - end}`
}
