import { Effect } from "effect"
import * as LogFilter from "../../Store/LogFilter.ts"
import { InvalidInput } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import * as Decoding from "../../Stream/Decode.ts"
import type { EventFilter } from "../../Stream/EventFilter.ts"

/** Turns a stored event into those of a source. */
export type Decode = Decoding.Decode<any, any>

/** What a category, or several, want of the log, and how it is decoded; `Category.raw` wants all streams. */
export const sourceOf = (
  source: Category.Any | ReadonlyArray<Category.Any>,
  options: EventFilter
): { readonly decode: Decode; readonly filter: Effect.Effect<LogFilter.LogFilter, InvalidInput> } => {
  const given: ReadonlyArray<unknown> = Array.isArray(source) ? source : [source]
  if (!given.every(Category.isCategory)) {
    const problem = "is neither a category nor a list of categories"
    return { decode: () => undefined, filter: Effect.fail(new InvalidInput({ field: "from", problem })) }
  }
  return {
    decode: Decoding.byCategory(given),
    filter: LogFilter.fromEventFilter(
      given.some(({ name }) => name === Category.raw.name) ? options : { ...options, categories: given }
    )
  }
}
