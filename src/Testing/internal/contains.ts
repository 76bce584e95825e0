/**
 * The path in a part whose value the whole lacks or has otherwise, or `undefined` where the whole contains the part.
 * Objects may have more keys, arrays are as long.
 */
export const contains = (whole: unknown, part: unknown, path = "data"): string | undefined => {
  if (typeof part !== "object" || part === null) return Object.is(whole, part) ? undefined : path
  if (typeof whole !== "object" || whole === null || Array.isArray(whole) !== Array.isArray(part)) return path
  if (Array.isArray(part) && part.length !== (whole as ReadonlyArray<unknown>).length) return path
  for (const [key, value] of Object.entries(part)) {
    const at = `${path}[${JSON.stringify(key)}]`
    if (!Object.hasOwn(whole, key)) return at
    const missing = contains((whole as Record<string, unknown>)[key], value, at)
    if (missing !== undefined) return missing
  }
  return undefined
}
