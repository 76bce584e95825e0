/** What the files of a new project call their thing: all of it follows from one word. */
export interface Names {
  /** The category: `order`, `shoppingCart`. */
  readonly name: string
  /** Its constant in the code: `Order`, `ShoppingCart`. */
  readonly constant: string
  /** The projection: `order-summary`, `shopping-cart-summary`. */
  readonly projection: string
}

export const namesOf = (name: string): Names => ({
  name,
  constant: name[0]!.toUpperCase() + name.slice(1),
  projection: `${name.replace(/(?!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase()}-summary`
})

/** What the code of a new project imports or declares under a name of its own: a thing of that name would stand in its way. */
const taken = new Set(
  [
    "addItem",
    "alreadyOpen",
    "app",
    "category",
    "close",
    "closed",
    "decider",
    "effect",
    "event",
    "itemAdded",
    "itemAddedVersions",
    "notOpen",
    "open",
    "opened",
    "positive",
    "projection",
    "schema",
    "state"
  ]
)

/** The longest name of a projection. */
const longest = 40

/** Says why a thing cannot have a name; `undefined` where it can. */
export const problemOfThing = (name: string): string | undefined => {
  if (!/^[a-z][a-zA-Z0-9]*$/.test(name)) {
    return `The name ${JSON.stringify(name)} is not allowed: letters and digits, a lower-case letter first`
  }
  if (namesOf(name).projection.length > longest) return `The name ${name} is too long`
  if (taken.has(name)) return `The name ${name} is taken: the code uses it for something else`
  return undefined
}
