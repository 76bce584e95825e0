import { Effect } from "effect"
import { RenameRefused } from "./foreignError.ts"

/** Gives the streams of another store their names here. */
export type Rename = (stream: string) => string

/**
 * `shopping_cart:42` becomes `shopping_cart-42`. A name whose first hyphen stands before the colon stays as it is: Emmett, too,
 * takes what is before the hyphen for the type.
 */
export const emmettNames: Rename = (stream) => stream.replace(/^([^-:]+):/, "$1-")

/** Names that are ours already: a category, a hyphen, an id. */
export const sameNames: Rename = (stream) => stream

/**
 * Makes a renaming from rules `REGEX=REPLACEMENT`, the last `=` being the one between them; the replacement may name groups,
 * `$1`. The first rule that matches a name decides, `otherwise` where none does.
 */
export const fromRules = (rules: ReadonlyArray<string>, otherwise: Rename): Effect.Effect<Rename, RenameRefused> =>
  Effect.gen(function*() {
    const compiled: Array<{ readonly pattern: RegExp; readonly replacement: string }> = []
    for (const rule of rules) {
      const sign = rule.lastIndexOf("=")
      if (sign <= 0) return yield* new RenameRefused({ rule, problem: "has no regular expression before a =" })
      compiled.push({
        pattern: yield* Effect.try({
          try: () => new RegExp(rule.slice(0, sign), "u"),
          catch: (error) =>
            new RenameRefused({
              rule,
              problem: `has no regular expression: ${error instanceof Error ? error.message : error}`
            })
        }),
        replacement: rule.slice(sign + 1)
      })
    }
    return (stream) => {
      const rule = compiled.find(({ pattern }) => pattern.test(stream))
      return rule === undefined ? otherwise(stream) : stream.replace(rule.pattern, rule.replacement)
    }
  })
