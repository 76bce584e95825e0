import { namesOf } from "./scaffoldNames.ts"
import { sources } from "./scaffoldSources.ts"

/** The longest name of a projection. */
const longest = 40

/** Says why a thing cannot have a name; `undefined` where it can. */
export const problemOfThing = (name: string): string | undefined => {
  if (!/^[a-z][a-zA-Z0-9]*$/.test(name)) {
    return `The name ${JSON.stringify(name)} is not allowed: letters and digits, a lower-case letter first`
  }
  const names = namesOf(name)
  if (names.projection.length > longest) return `The name ${name} is too long`
  // a thing called event would be a second Event in the file that imports one
  const isTaken = Object.values(sources(names)).some((code) => {
    const declared = declaredIn(code)
    return declared.indexOf(names.constant) !== declared.lastIndexOf(names.constant)
  })
  return isTaken ? `The name ${name} is taken: the code uses it for something else` : undefined
}

/** What a file imports, and what it declares at its top, by name. */
const declaredIn = (code: string): ReadonlyArray<string> =>
  Array.from(
    code.matchAll(/^import \{([^}]+)\}|^(?:export )?(?:const|class) (\w+)/gm),
    ([, imported = "", declared = ""]) => [...imported.split(",").map((name) => name.trim()), declared]
  ).flat()
