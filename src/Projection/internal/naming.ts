import { Effect } from "effect"
import { InvalidInput } from "../../Store/StoreError.ts"

const names = /^[a-z][a-z0-9_-]{0,39}$/

/** Why a text cannot be the name of a projection: it stands in names of tables and channels. */
export const problemOfName = (name: unknown): string | undefined =>
  typeof name === "string" && names.test(name)
    ? undefined
    : "is not 1 to 40 lower-case letters, digits, hyphens and underscores, beginning with a letter"

export const checkName = (name: string): Effect.Effect<string, InvalidInput> => {
  const problem = problemOfName(name)
  return problem === undefined ? Effect.succeed(name) : Effect.fail(new InvalidInput({ field: "name", problem }))
}

/** Names of database schemas are this long at most, in bytes. */
export const schemaOf = (name: string, version: number): string => `${name.replaceAll("-", "_")}_v${version}`
