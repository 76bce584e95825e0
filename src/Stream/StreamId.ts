/**
 * Name of a stream: a category, a hyphen, an id.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * Most UTF-16 code units of a stream id: it stays below a third of what a database page's index entry takes.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxLength = 512

/** No control characters, line or paragraph separators, lone surrogates or unassigned code points. */
const printable = /^[^\p{Cc}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]+$/u

/**
 * Says why a text cannot stand in a name, or `undefined` where it can: 1 to `length` UTF-16 code units, all printable.
 *
 * @category guards
 * @since 0.1.0
 */
export const problemOfName = (text: string, length: number): string | undefined => {
  if (text.length === 0) return "is empty"
  if (text.length > length) return `has ${text.length} characters, at most ${length} are allowed`
  if (!printable.test(text)) return "has a character that is not printable"
  return undefined
}

/**
 * Says why a text is not a stream id, or `undefined` where it is one: a category without a hyphen, a hyphen, an id,
 * together at most {@link maxLength} UTF-16 code units, all printable.
 *
 * @category guards
 * @since 0.1.0
 */
export const problemOf = (text: string): string | undefined => {
  const problem = problemOfName(text, maxLength)
  if (problem !== undefined) return problem
  const hyphen = text.indexOf("-")
  if (hyphen <= 0) return "has no category before a hyphen"
  if (hyphen === text.length - 1) return "has no id after the hyphen"
  return undefined
}

/**
 * Name of a stream, `"cart-42"`: the category up to the first hyphen, then the id. Compared character by character,
 * without Unicode normalization; sorted by code point.
 *
 * **Example**
 * ```ts
 * import { StreamId } from "effect-eventstore"
 *
 * export const id = StreamId.make("cart-42") // throws where the text is not a stream id
 * export const category = StreamId.category(id) // => "cart"
 * ```
 * @category models
 * @since 0.1.0
 */
export const StreamId = Schema.String.check(Schema.makeFilter((text) => problemOf(text))).pipe(Schema.brand("StreamId"))

/**
 * @category models
 * @since 0.1.0
 */
export type StreamId = typeof StreamId.Type

/**
 * Makes a stream id; throws where the text is not one. `Schema.decodeEffect(StreamId.StreamId)` fails instead.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (text: string): StreamId => StreamId.make(text)

/**
 * The category of a stream: what stands before the first hyphen.
 *
 * @category getters
 * @since 0.1.0
 */
export const category = (streamId: string): string => {
  const hyphen = streamId.indexOf("-")
  return hyphen < 0 ? streamId : streamId.slice(0, hyphen)
}

/**
 * Orders names by Unicode code points, as `COLLATE "C"` does in a UTF-8 database; `<` on strings orders by UTF-16.
 *
 * @category instances
 * @since 0.1.0
 */
export const compare = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) {
      // a surrogate stands for a code point above every other unit
      const xs = x >= 0xd800 && x <= 0xdfff
      const ys = y >= 0xd800 && y <= 0xdfff
      return xs === ys ? x - y : xs ? 1 : -1
    }
  }
  return a.length - b.length
}
