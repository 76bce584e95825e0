/** JSON kept to the digit: a number that JavaScript would round or write in another way keeps its text. */
import { isDeeper } from "./jsonNesting.ts"

/** What `JSON.rawJSON` and the reviver's source text are; the types of the language do not know them yet. */
interface SourceJson {
  readonly parse: (
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown
  ) => unknown
  readonly rawJSON: (text: string) => { readonly rawJSON: string }
  readonly isRawJSON: (value: unknown) => value is { readonly rawJSON: string }
}

const json = JSON as unknown as SourceJson

/**
 * A number with a fraction, an exponent, a minus before zero, or more digits than a double holds, where a number stands; or a
 * text that looks so. Parsing with a reviver takes several times as long.
 */
const unsure = /(?:^|"\s*:|[[,])\s*-?(?:\d+[.eE]|\d{16}|(?<=-)0)/

const keepText = (_key: string, value: unknown, { source }: { readonly source?: string }): unknown =>
  typeof value === "number" && source !== undefined && String(value) !== source ? json.rawJSON(source) : value

/** Deeper values overflow the stack of a reviver and of `JSON.stringify`, somewhere above 2000: that depends on the machine. */
const maxNesting = 1000

/**
 * Parses a JSON text so that {@link toText}, and `JSON.stringify`, write every number as it stood. Throws a `SyntaxError`, also
 * where values are nested more than a thousand deep.
 */
export const parse = (text: string): unknown => {
  if (isDeeper(text, maxNesting)) throw new SyntaxError(`it is nested more than ${maxNesting} arrays and objects deep`)
  return unsure.test(text) ? json.parse(text, keepText) : JSON.parse(text)
}

/** The JSON text of a value that {@link parse} gave, without spaces. */
export const toText = (value: unknown): string => JSON.stringify(value)

/** An object that is neither a list nor a number with its text. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !json.isRawJSON(value)

/** The text of a number or of a text, as it stood. */
export const scalarText = (value: unknown): string | undefined =>
  typeof value === "string"
    ? value
    : typeof value === "number"
    ? String(value)
    : json.isRawJSON(value)
    ? value.rawJSON
    : undefined
