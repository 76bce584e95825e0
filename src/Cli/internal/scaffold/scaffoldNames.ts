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
