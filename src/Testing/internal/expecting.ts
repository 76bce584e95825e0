import { assert } from "@effect/vitest"
import { Cause, DateTime, Effect, TextDiff } from "effect"

/**
 * A value as a text that people read: `Withdrawn { cents: 300 }`. Two values are the same to a test where their texts are, so
 * an instance is the same as a plain object with its `_tag` and fields, and what is `undefined` is not there.
 */
export const textOf = (value: unknown): string => write(value, "", new Set())

/** The most that stands on a line. */
const width = 100

const write = (value: unknown, indent: string, above: ReadonlySet<object>): string => {
  if (typeof value === "string") return JSON.stringify(value)
  if (typeof value === "bigint") return `${value}n`
  if (typeof value === "function") return `[function ${value.name}]`
  if (typeof value !== "object" || value === null) return String(value)
  if (above.has(value)) return "[itself]"
  const inner = new Set([...above, value])
  const list = (open: string, items: ReadonlyArray<string>, close: string) => {
    if (items.length === 0) return `${open}${close}`
    const line = `${open} ${items.join(", ")} ${close}`
    if (line.length + indent.length <= width && !line.includes("\n")) return line
    return `${open}\n${items.map((item) => `${indent}  ${item}`).join(",\n")}\n${indent}${close}`
  }
  const each = (item: unknown) => write(item, `${indent}  `, inner)
  const record = (open: string, fields: object, keys = Object.keys(fields)) =>
    list(
      `${open}{`,
      keys.sort().flatMap((key) => {
        const field = (fields as Record<string, unknown>)[key]
        return field === undefined ? [] : [`${/^[\w$]+$/.test(key) ? key : JSON.stringify(key)}: ${each(field)}`]
      }),
      "}"
    )
  if (Array.isArray(value)) return list("[", value.map(each), "]")
  if (value instanceof Date) return `Date ${JSON.stringify(value)}`
  if (DateTime.isDateTime(value)) return `DateTime ${JSON.stringify(value)}`
  if (value instanceof Map) {
    return list("Map {", [...value].map(([key, item]) => `${each(key)} => ${each(item)}`).sort(), "}")
  }
  if (value instanceof Set) return list("Set {", [...value].map(each).sort(), "}")
  if (ArrayBuffer.isView(value)) {
    return `${value.constructor.name} ${list("[", Array.from(value as Uint8Array, String), "]")}`
  }
  const tag = (value as { readonly _tag?: unknown })._tag
  const name = typeof tag === "string" ? `${tag} ` : ""
  if (value instanceof Error) {
    const keys = Object.keys(value).filter((key) => key !== "_tag" && key !== "name" && key !== "stack")
    // a message that is made of the fields says nothing more
    const isOwn = Object.hasOwn(value, "message") && value.message !== ""
    return record(name || `${value.name} `, value, [...new Set([...keys, ...(isOwn ? ["message"] : [])])])
  }
  const toJSON = (value as { readonly toJSON?: () => unknown }).toJSON
  if (typeof toJSON === "function") {
    const json = toJSON.call(value)
    if (typeof json !== "object" || json === null) return each(json)
    const { _id, _tag, values, ...fields } = json as Record<string, unknown>
    // a collection has its own order, which is nobody's business
    const isUnordered = _id === "HashMap" || _id === "HashSet"
    if (isUnordered && Array.isArray(values)) return list(`${_id} [`, values.map(each).sort(), "]")
    const open = [_id, _tag].filter((part) => typeof part === "string").join(".")
    return record(open === "" ? "" : `${open} `, { ...fields, ...(values === undefined ? {} : { values }) })
  }
  return record(name, value, Object.keys(value).filter((key) => name === "" || key !== "_tag"))
}

/** The lines of a list: an element each, or more. */
const linesOf = (value: unknown): ReadonlyArray<string> => {
  if (!Array.isArray(value)) return textOf(value).split("\n")
  return value.length === 0
    ? ["[]"]
    : ["[", ...value.flatMap((item) => `  ${write(item, "  ", new Set())}`.split("\n")), "]"]
}

/** Fails where the two are not the same, and shows in what they differ. */
export const expectSame = (what: string, actual: unknown, expected: unknown): void => {
  if (textOf(actual) === textOf(expected)) return
  const lines = TextDiff.diff(linesOf(expected), linesOf(actual)).flatMap((edit) => {
    const sign = { Equal: "  ", Delete: "- ", Insert: "+ " }[edit._tag]
    return edit.items.map((line) => `${sign}${line}`)
  })
  assert.fail(`${what} (- expected, + actual)\n${lines.join("\n")}`)
}

/** What an effect has to fail with: the error, its tag, or what has to hold of it. */
export type Failure<E> =
  | E
  | (E extends { readonly _tag: infer Tag extends string } ? Tag : never)
  | ((error: E) => boolean)

/** Fails where an error is not the expected one. */
export const expectError = (what: string, error: unknown, expected: unknown): void => {
  if (typeof expected === "function") {
    if ((expected as (error: unknown) => unknown)(error) !== true) {
      assert.fail(`${what}: it is not so of the error\n  ${textOf(error).replaceAll("\n", "\n  ")}`)
    }
  } else if (typeof expected === "string" && typeof error !== "string") {
    const tag = (error as { readonly _tag?: unknown } | null)?._tag
    if (tag !== expected) {
      assert.fail(`${what}: expected ${expected}, and it failed with\n  ${textOf(error).replaceAll("\n", "\n  ")}`)
    }
  } else expectSame(`${what}, it failed with another error`, error, expected)
}

/** An effect that must not fail; a defect stays one. */
export const orFail = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, never, R> =>
  Effect.catchCause(effect, (cause) => {
    const failure = cause.reasons.find((reason) => reason._tag === "Fail")
    return failure === undefined
      ? Effect.failCause(cause as Cause.Cause<never>)
      : Effect.sync(() => assert.fail(`${what}: it failed with\n  ${textOf(failure.error).replaceAll("\n", "\n  ")}`))
  })

/** An effect that has to fail, and with what. */
export const mustFail = <A, E, R>(
  what: string,
  effect: Effect.Effect<A, E, R>,
  expected: unknown,
  say: (answer: A) => string
): Effect.Effect<void, never, R> =>
  Effect.matchEffect(effect, {
    onFailure: (error) => Effect.sync(() => expectError(what, error, expected)),
    onSuccess: (answer) =>
      Effect.sync(() => assert.fail(`${what}: expected it to fail, and it did not. ${say(answer)}`))
  })
