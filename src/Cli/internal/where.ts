/**
 * A condition on what an event holds, as it is written after `--where`: a path, and what is found there.
 *
 * The path begins with `data` or `metadata`; names stand behind dots or as `["a name"]`, elements of lists as `[0]`, all of them
 * as `[*]`. Then comes `=`, `!=`, `<`, `<=`, `>`, `>=` and a value; `~` and a regular expression; or `exists`, `absent`.
 */
export interface Condition {
  readonly root: "data" | "metadata"
  readonly path: ReadonlyArray<string | number | typeof every>
  readonly holds: (found: ReadonlyArray<unknown>) => boolean
}

/** All elements of a list. */
const every = Symbol("[*]")

const step = /^(?:\.?\["((?:[^"\\]|\\.)*)"\]|\.?\[(\d+|\*)\]|\.([^\s.[\]=!<>~]+))/
const operation = /^\s*(!=|>=|<=|=|>|<|~)\s*([^]*)$/

/** Reads a condition; a text says what is wrong with it. */
export const parseCondition = (text: string): Condition | string => {
  const root = /^\s*(data|metadata)(?=[\s.[=!<>~]|$)/.exec(text)
  if (root === null) return "its path begins with neither data nor metadata"
  const path: Array<string | number | typeof every> = []
  let rest = text.slice(root[0].length)
  for (let match = step.exec(rest); match !== null; match = step.exec(rest)) {
    const [whole, quoted, index, name] = match
    if (quoted !== undefined) {
      const key = parsed(`"${quoted}"`)
      if (typeof key !== "string") return `the name "${quoted}" is no JSON text`
      path.push(key)
    } else path.push(name ?? (index === "*" ? every : Number(index)))
    rest = rest.slice(whole.length)
  }
  const condition = { root: root[1] as Condition["root"], path }
  const word = rest.trim()
  if (word === "exists") return { ...condition, holds: (found) => found.length > 0 }
  if (word === "absent") return { ...condition, holds: (found) => found.length === 0 }
  const [, operator, value] = operation.exec(rest) ?? []
  if (operator === undefined) {
    return `behind the path comes = != < <= > >= ~ and a value, or exists or absent, and not ${JSON.stringify(word)}`
  }
  const wanted = value!.trim()
  if (wanted === "") return `behind ${operator} comes a value; the empty text is ""`
  // "=>900" would be the text ">900", which nobody means
  const extra = operator === "~" ? null : /^[=<>~]+/.exec(wanted)
  if (extra !== null) {
    return `there is no ${operator}${extra[0]}: a text that begins with ${extra[0]} is written in quotes`
  }
  const holds = testOf(operator, wanted)
  return typeof holds === "string" ? holds : { ...condition, holds }
}

/** Whether an event with these JSON texts fulfils all conditions. */
export const fulfils = (
  conditions: ReadonlyArray<Condition>,
  event: { readonly data: string; readonly metadata: string | null }
): boolean => {
  const roots: { [root in Condition["root"]]?: unknown } = {}
  return conditions.every(({ holds, path, root }) => {
    const value = roots[root] ??= JSON.parse(event[root] ?? "{}")
    return holds(valuesAt(value, path))
  })
}

const valuesAt = (value: unknown, path: Condition["path"]): ReadonlyArray<unknown> => {
  let values: ReadonlyArray<unknown> = [value]
  for (const key of path) {
    values = values.flatMap((value) => {
      if (key === every) return Array.isArray(value) ? value as ReadonlyArray<unknown> : []
      return typeof value === "object" && value !== null && Object.hasOwn(value, key)
        ? [(value as { readonly [key: string | number]: unknown })[key]]
        : []
    })
  }
  return values
}

const testOf = (operator: string, text: string): Condition["holds"] | string => {
  if (operator === "~") {
    try {
      const pattern = new RegExp(text, "u")
      return (found) => found.some((value) => pattern.test(typeof value === "string" ? value : JSON.stringify(value)))
    } catch (error) {
      return (error as Error).message
    }
  }
  // a value that is no JSON stands for itself
  const value = parsed(text)
  const wanted = value === undefined ? text : value
  const equals = (found: unknown) =>
    typeof found === "string" ? found === text || found === wanted : isSame(found, wanted)
  if (operator === "=") return (found) => found.some(equals)
  if (operator === "!=") return (found) => !found.some(equals)
  const compare = (found: unknown): number => {
    if (typeof found === "number" && typeof wanted === "number") return found - wanted
    if (typeof found !== "string") return NaN
    const other = typeof wanted === "string" ? wanted : text
    return found === other ? 0 : found < other ? -1 : 1
  }
  const isMet: { readonly [operator: string]: (order: number) => boolean } = {
    "<": (order) => order < 0,
    "<=": (order) => order <= 0,
    ">": (order) => order > 0,
    ">=": (order) => order >= 0
  }
  return (found) => found.some((value) => isMet[operator]!(compare(value)))
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isSame = (a: unknown, b: unknown): boolean => {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const [left, right] = [Object.entries(a), Object.entries(b)]
  return left.length === right.length &&
    left.every(([key, value]) => Object.hasOwn(b, key) && isSame(value, (b as { [key: string]: unknown })[key]))
}
