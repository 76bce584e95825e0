import { Effect } from "effect"
import type * as Projection from "../../../Projection/Projection.ts"
import type * as Category from "../../../Stream/Category.ts"
import type { AnyDecider, App } from "../../App.ts"
import { didYouMean } from "./nearest.ts"
import { type Refused, wrongInput } from "./refusal.ts"
import { printable } from "./table.ts"

/** All that an application can declare. */
const keys: { readonly [K in Exclude<keyof App, symbol | `~${string}`>]-?: true } = {
  url: true,
  dir: true,
  schema: true,
  log: true,
  categories: true,
  projections: true,
  deciders: true,
  subscriptions: true,
  processManagers: true,
  services: true
}

/**
 * Refuses what the compiler refuses as well, for configurations that nobody compiled, and names that are declared twice: one
 * of the two would be left aside without a word.
 */
export const checkDeclared = (app: App, subject: string): Effect.Effect<void, Refused> =>
  Effect.gen(function*() {
    const other = Object.keys(app).find((key) => !key.startsWith("~") && !Object.hasOwn(keys, key))
    if (other !== undefined) {
      return yield* wrongInput(
        `${subject} declares ${JSON.stringify(other)}, which means nothing`,
        `App.make takes ${Object.keys(keys).join(", ")}`
      )
    }
    const names: { readonly [what: string]: ReadonlyArray<string> } = {
      categories: (app.categories ?? []).map(({ name }) => name),
      projections: (app.projections ?? []).map(({ definition }) => definition.name),
      deciders: (app.deciders ?? []).map(({ category }) => category.name)
    }
    for (const [what, all] of Object.entries(names)) {
      const twice = all.find((name, i) => all.indexOf(name) < i)
      if (twice !== undefined) {
        return yield* wrongInput(
          what === "deciders"
            ? `${subject} declares two deciders of the category ${twice}`
            : `${subject} declares two ${what} of the name ${twice}`,
          "one of them would never be used"
        )
      }
    }
  })

/** The categories of which the application knows the events: those it declares, and those of its deciders and process managers. */
export const categoriesOf = (
  { categories = [], deciders = [], processManagers = [] }: App
): ReadonlyArray<Category.Any> => {
  const all = [
    ...categories,
    ...deciders.map(({ category }) => category as Category.Any),
    ...processManagers.flatMap(({ categories: { commands, processes, timers } }) => [processes, commands, timers])
  ]
  return all.filter(({ name }, i) => all.findIndex((one) => one.name === name) === i)
}

/** What is said of names that find nothing because the application declares others: nothing where it declares none, or these. */
export const undeclaredText = (
  app: App,
  asked: { readonly categories: ReadonlyArray<string>; readonly types: ReadonlyArray<string> }
): string => {
  const declared = categoriesOf(app)
  const sentenceOf = (what: string, names: ReadonlyArray<string>, there: ReadonlyArray<string>) =>
    names.filter((name) => there.length > 0 && !there.includes(name)).map((name) =>
      `The application declares no ${what} ${printable(name)}; ${didYouMean(name, there)}`
    )
  const types = new Set(declared.flatMap(({ codec }) => codec.types.map(({ tag }) => tag)))
  return [
    ...sentenceOf("category", asked.categories, declared.map(({ name }) => name)),
    ...sentenceOf("type", asked.types, [...types])
  ].join("\n")
}

const listOf = (names: ReadonlyArray<string>): string => names.length === 0 ? "none" : names.join(", ")

/** The decider of a category, as the application declares it. */
export const deciderOf = (app: App, category: string): Effect.Effect<AnyDecider, Refused> =>
  Effect.suspend(() => {
    const found = app.deciders?.find((decider) => decider.category.name === category)
    return found !== undefined ? Effect.succeed(found) : wrongInput(
      `The application declares no decider of the category ${category}`,
      `App.make({ deciders: [...] }) in the configuration; declared are ${
        listOf((app.deciders ?? []).map((decider) => decider.category.name))
      }`
    )
  })

/** A projection, as the application declares it. */
export const projectionOf = (app: App, name: string): Effect.Effect<Projection.Any, Refused> =>
  Effect.suspend(() => {
    const found = app.projections?.find(({ definition }) => definition.name === name)
    return found !== undefined ? Effect.succeed(found) : wrongInput(
      `The application declares no projection ${name}`,
      `App.make({ projections: [...] }) in the configuration; declared are ${
        listOf((app.projections ?? []).map(({ definition }) => definition.name))
      }`
    )
  })
