import { Effect } from "effect"
import type * as Category from "../../Stream/Category.ts"

type AnyEvolve = ((state: any, event: any) => any) | Readonly<Record<string, (state: any, event: any) => any>>
type AnyDecide =
  | ((command: any, state: any) => unknown)
  | Readonly<Record<string, (command: any, state: any) => unknown>>

/** One function of those by tag. Throws at once where one that is needed is missing, and later where an event has none. */
export const evolveBy = (
  name: string,
  evolve: AnyEvolve,
  tags: ReadonlyArray<string>
): (state: any, event: any) => any => {
  if (typeof evolve === "function") return evolve
  for (const tag of tags) {
    if (!hasFunction(evolve, tag)) throw new Error(`evolve of ${name} has no function for ${tag}`)
  }
  return (state, event) => {
    const tag: string = event._tag
    if (!hasFunction(evolve, tag)) throw new Error(`evolve of ${name} has no function for ${tag}`)
    return evolve[tag]!(state, event)
  }
}

/** The same for decisions, whose answer becomes an effect. */
export const decideBy = (
  name: string,
  decide: AnyDecide,
  tags: ReadonlyArray<string>
): (command: any, state: any) => Effect.Effect<ReadonlyArray<any>, any, any> => {
  if (typeof decide !== "function") {
    for (const tag of tags) {
      if (!hasFunction(decide, tag)) throw new Error(`decide of ${name} has no function for ${tag}`)
    }
  }
  return (command, state) =>
    Effect.suspend(() => {
      if (typeof decide === "function") return toEffect(decide(command, state))
      const tag: string = command._tag
      if (!hasFunction(decide, tag)) throw new Error(`decide of ${name} has no function for ${tag}`)
      return toEffect(decide[tag]!(command, state))
    })
}

const hasFunction = (functions: Readonly<Record<string, unknown>>, tag: string): boolean =>
  Object.hasOwn(functions, tag) && typeof functions[tag] === "function"

const toEffect = (answer: unknown): Effect.Effect<ReadonlyArray<any>, any, any> =>
  Effect.isEffect(answer) ? answer as Effect.Effect<ReadonlyArray<any>> : Effect.succeed(answer as ReadonlyArray<any>)

/** The tags of the events that a category writes today. */
export const tagsOf = (category: Category.Any): ReadonlyArray<string> =>
  category.codec.types.flatMap((type) => type.current === undefined ? [] : [type.tag])
