/** Keys that begin with a prefix and stand behind another key, by code point. */
export interface KeyRange {
  readonly prefix: string
  readonly after: string
}

/**
 * Such keys as a range of an index: a function of the prefix would be a filter, and read on to the end of the index behind
 * them. `params` are the parameters of the statement before these.
 */
export const inKeyRange = (
  column: string,
  { after, prefix }: KeyRange,
  params: ReadonlyArray<unknown>
): { readonly condition: string; readonly params: ReadonlyArray<unknown> } => {
  const bounds: Array<readonly [operator: string, key: string]> = [[">", after]]
  if (prefix !== "") bounds.push([">=", prefix])
  const behind = firstBehind(prefix)
  if (behind !== undefined) bounds.push(["<", behind])
  return {
    condition: bounds.map(([operator], i) => `${column} ${operator} $${params.length + i + 1}::text`).join(" AND "),
    params: [...params, ...bounds.map(([, key]) => key)]
  }
}

/** The first text that stands behind all that begin with a prefix. */
const firstBehind = (prefix: string): string | undefined => {
  const points = Array.from(prefix, (character) => character.codePointAt(0)!)
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    // surrogates are no characters
    if (last < 0x10ffff) return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
  }
  return undefined
}
