import { Effect } from "effect"
import type { Apply } from "../ProjectionMiddleware.ts"

let noted = 0

/** A middleware that remembers which events it let pass was put around something. */
export const noteDedupe = (): void => {
  noted++
}

/** Whether a middleware, or one that it is joined of, remembers which events it let pass. */
export const isDeduping = (middleware: (apply: Apply<unknown, any>) => Apply<unknown, any>): boolean => {
  const before = noted
  middleware(() => Effect.void)
  return noted > before
}

/** Why that is refused for inline projections. */
export const dedupesInline =
  "has dedupe, which remembers an event before its append is stored: an inline projection would lose the next one where that is refused"
