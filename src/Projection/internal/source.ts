import { Effect } from "effect"
import * as LogFilter from "../../Store/LogFilter.ts"
import type { InvalidInput } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import { byCategory, type Decode } from "../../Stream/Decode.ts"
import type { EventFilter } from "../../Stream/EventFilter.ts"
import type { Source } from "../View.ts"
import type { Definition } from "./definition.ts"
import { problemOfName } from "./naming.ts"

/** The categories of a source. Throws where there are none. */
export const categoriesOf = (what: string, from: Source): ReadonlyArray<Category.Any> => {
  const given: ReadonlyArray<unknown> = Array.isArray(from) ? from : [from]
  if (given.length === 0) throw new Error(`from of ${what} is empty: no event would ever come`)
  if (!given.every(Category.isCategory)) {
    throw new Error(`from of ${what} is neither a category nor a list of categories`)
  }
  return given
}

/** Throws where a filter asks for types that are never stored. */
const checkTypes = (
  what: string,
  given: ReadonlyArray<Category.Any>,
  types: ReadonlyArray<string> | undefined
): void => {
  if (types === undefined) return
  if (types.length === 0) throw new Error(`types of ${what} is empty: no event would ever come`)
  // there anything may come
  if (given.some(({ codec }) => codec.undecodable === "raw")) return
  const known = given.flatMap(({ codec }) => codec.types.map(({ tag }) => tag))
  const stranger = types.find((type) => !known.includes(type))
  if (stranger !== undefined) {
    throw new Error(`types of ${what} has ${stranger}, but there are ${known.join(", ")} in the categories`)
  }
}

/**
 * What a source wants of the log, and how it is decoded; `Category.raw` wants all streams. Throws where nothing can ever come of
 * it.
 */
export const sourceOf = (
  name: string,
  from: Source,
  options: EventFilter
): { readonly decode: Decode<any, any>; readonly filter: Effect.Effect<LogFilter.LogFilter, InvalidInput> } => {
  const what = `the projection ${name}`
  const given = categoriesOf(what, from)
  checkTypes(what, given, options.types)
  return {
    decode: byCategory(given),
    filter: LogFilter.fromEventFilter(
      given.some(({ name }) => name === Category.raw.name) ? options : { ...options, categories: given }
    )
  }
}

/** What projections of all kinds declare. */
export interface Common<C extends Source> extends Omit<EventFilter, "types" | "categories"> {
  /**
   * Only events that are stored under one of these names. Handlers still have to be there for all events of `from`: an older
   * event may be read as one of another name.
   */
  readonly types?: ReadonlyArray<string> | undefined
  /** From 1, the default. What an older version made does not become what a newer one makes: raise it when that changes. */
  readonly version?: number | undefined
  readonly from: C
  /** Counts only when the version is made known. Default `"start"`. */
  readonly start?: "start" | "end" | number | undefined
}

/** A definition, up to what its kind is about. Throws where the name or version is none, or no event can ever come. */
export const declared = (name: string, options: Common<Source>): Omit<Definition, "kind" | "apply"> => {
  const problem = problemOfName(name)
  if (problem !== undefined) throw new Error(`The name ${JSON.stringify(name)} of a projection ${problem}`)
  const version = options.version ?? 1
  if (!Number.isSafeInteger(version) || version < 1 || version > maxVersion) {
    throw new Error(`The version of the projection ${name} is ${String(version)}, not a whole number from 1`)
  }
  return {
    name,
    version,
    isInline: false,
    schema: null,
    start: options.start ?? "start",
    ...sourceOf(name, options.from, options),
    keysOf: undefined,
    setUp: () => Effect.void
  }
}

const maxVersion = 2 ** 31 - 1

/** What a key function may answer. */
export type Keys = string | ReadonlyArray<string> | undefined

/** The keys of an event, each once. Throws where one is no key. */
export const keysBy = <R>(key: (recorded: R) => Keys) => (recorded: R): ReadonlyArray<string> => {
  const given = key(recorded)
  if (given === undefined) return noKeys
  if (typeof given === "string") return [checkedKey(given)]
  return [...new Set(given)].map(checkedKey)
}

const noKeys: ReadonlyArray<string> = []

/** Most UTF-16 code units of a key. */
export const maxKeyLength = 512

const checkedKey = (key: string): string => {
  if (
    typeof key === "string" && key.length > 0 && key.length <= maxKeyLength && key.isWellFormed() && !key.includes("\0")
  ) {
    return key
  }
  throw new Error(
    `${JSON.stringify(key)} is no key: a text of 1 to ${maxKeyLength} characters, without NUL and lone surrogates`
  )
}
