import * as Category from "../../Stream/Category.ts"
import type { Recorded } from "../../Stream/Recorded.ts"

/** What an event does to a state, for the tag of each event there can be. */
export type Evolve<S, E> = {
  readonly [Tag in TagOf<E>]: (state: S, recorded: Recorded<Extract<E, { readonly _tag: Tag }>>) => S
}

/** The tags of events. */
export type TagOf<E> = E extends { readonly _tag: infer Tag extends string } ? Tag : never

/** Folds by tag. Throws where an event that is written today has no function, and when one comes that has none. */
export const evolveBy = <S>(
  from: Category.Any | ReadonlyArray<Category.Any>,
  evolve: { readonly [tag: string]: (state: S, recorded: Recorded<any>) => S }
): (state: S, recorded: Recorded<any>) => S => {
  for (const tag of tagsOf(from)) {
    if (typeof evolve[tag] !== "function") throw new Error(`evolve has no function for ${tag}`)
  }
  return (state, recorded) => {
    const tag: string = recorded.event._tag
    if (!Object.hasOwn(evolve, tag)) {
      throw new Error(
        `evolve has no function for ${tag}: event ${recorded.streamVersion} of stream ${recorded.streamId} ` +
          `(position ${recorded.position})`
      )
    }
    return evolve[tag]!(state, recorded)
  }
}

const tagsOf = (from: Category.Any | ReadonlyArray<Category.Any>): ReadonlyArray<string> => {
  const categories: ReadonlyArray<Category.Any> = Array.isArray(from) ? from : [from]
  if (categories.length === 0 || !categories.every(Category.isCategory)) {
    throw new Error("A view is made of a category, or a list of them")
  }
  return categories.flatMap(({ codec, name }) =>
    name === Category.raw.name
      ? ["RawEvent"]
      : codec.types.flatMap((type) => type.current === undefined ? [] : [type.tag])
  )
}
