import { Schema, SchemaAST } from "effect"

/** What is stored of a schema: plain JSON, the same in each run, and without what only people read. */
export type Shape =
  | string
  | { readonly literal: unknown }
  | ObjectShape
  | {
    readonly elements: ReadonlyArray<Shape>
    readonly optionalElements?: number
    readonly rest?: ReadonlyArray<Shape>
  }
  | { readonly anyOf: ReadonlyArray<Shape> }
  | { readonly template: ReadonlyArray<Shape> }
  | Refined

interface ObjectShape {
  readonly fields: { readonly [name: string]: Shape }
  readonly optional?: { readonly [name: string]: Shape }
  readonly rest?: ReadonlyArray<readonly [key: Shape, value: Shape]>
}

interface Refined {
  readonly of: Shape
  /** What it is read as, where that is not what is stored. */
  readonly as?: string
  readonly checks?: ReadonlyArray<unknown>
}

/** The shape of the JSON form of a schema. `_tag` is no part of it where the type has a column of its own. */
export const shapeOf = (
  schema: Schema.Constraint,
  options: { readonly isEvent?: boolean | undefined } = {}
): Shape => {
  const shape = walk(Schema.toCodecJson(schema as Schema.Top).ast, [])
  return options.isEvent === true ? withoutTag(shape) : shape
}

/** One text for each shape, whatever the order of keys. */
export const textOf = (shape: unknown): string => JSON.stringify(sorted(shape))

/** The same value with its keys in order. */
export const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([key, inner]) => [key, sorted(inner)])
  )
}

const withoutTag = (shape: Shape): Shape => {
  if (typeof shape === "string") return shape
  if ("of" in shape) return { ...shape, of: withoutTag(shape.of) }
  if (!("fields" in shape)) return shape
  const { _tag, ...fields } = shape.fields
  return { ...shape, fields }
}

const walk = (ast: SchemaAST.AST, above: ReadonlyArray<SchemaAST.AST>): Shape => {
  const stored = ast.encoding === undefined ? undefined : walk(encodedOf(ast.encoding), above)
  const as = stored === undefined ? undefined : nameOf(ast)
  const checks = checksOf(ast)
  const of = stored ?? plain(ast, above)
  const isAs = as !== undefined && as !== "unknown" && !membersOf(of).some((member) => refined(member).of === as)
  if (!isAs && checks.length === 0) return of
  return { of, ...(isAs ? { as } : {}), ...(checks.length === 0 ? {} : { checks }) }
}

/** What a transformation ends with on the side that is stored. */
const encodedOf = (encoding: SchemaAST.Encoding): SchemaAST.AST => encoding[encoding.length - 1]!.to

const plain = (ast: SchemaAST.AST, outer: ReadonlyArray<SchemaAST.AST>): Shape => {
  // only what has parts can be a part of itself
  const up = outer.lastIndexOf(ast)
  if (up >= 0) return `the same as ${outer.length - up} above`
  const above = [...outer, ast]
  switch (ast._tag) {
    case "Literal":
      return { literal: typeof ast.literal === "bigint" ? `${ast.literal}n` : ast.literal }
    case "UniqueSymbol":
      return { literal: String(ast.symbol) }
    case "Enum":
      return anyOf(ast.enums.map(([, literal]) => ({ literal })))
    case "TemplateLiteral":
      return { template: ast.parts.map((part) => walk(part, above)) }
    case "Arrays":
      return {
        elements: ast.elements.map((element) => walk(element, above)),
        ...countOf("optionalElements", ast.elements.filter(isOptional).length),
        ...listOf("rest", ast.rest.map((rest) => walk(rest, above)))
      }
    case "Objects": {
      const signatures = ast.propertySignatures.map(({ name, type }) =>
        [String(name), isOptional(type), walk(type, above)] as const
      )
      const optional = signatures.filter(([, isOptional]) => isOptional)
      return {
        fields: fieldsOf(signatures.filter(([, isOptional]) => !isOptional)),
        ...(optional.length === 0 ? {} : { optional: fieldsOf(optional) }),
        ...listOf(
          "rest",
          ast.indexSignatures.map(({ parameter, type }) => [walk(parameter, above), walk(type, above)] as const)
        )
      }
    }
    case "Union":
      return anyOf(ast.types.map((type) => walk(type, above)))
    case "Suspend":
      // what it stands for, and not that it waits
      return walk(ast.thunk(), outer)
    case "Declaration":
      return nameOf(ast) ?? "declaration"
    case "Any":
    case "BigInt":
    case "Boolean":
    case "Never":
    case "Null":
    case "Number":
    case "ObjectKeyword":
    case "String":
    case "Symbol":
    case "Undefined":
    case "Unknown":
    case "Void":
      return ast._tag.toLowerCase()
  }
}

const fieldsOf = (signatures: ReadonlyArray<readonly [string, boolean, Shape]>) =>
  Object.fromEntries(signatures.map(([name, , shape]) => [name, shape]))

const countOf = (key: string, count: number) => count === 0 ? {} : { [key]: count }
const listOf = <A>(key: string, list: ReadonlyArray<A>) => list.length === 0 ? {} : { [key]: list }

/** Whether a key may be missing in what is stored. */
const isOptional = (ast: SchemaAST.AST): boolean =>
  ast.encoding === undefined ? SchemaAST.isOptional(ast) : isOptional(encodedOf(ast.encoding))

const anyOf = (shapes: ReadonlyArray<Shape>): Shape => {
  const flat = shapes.flatMap((shape) => typeof shape === "object" && "anyOf" in shape ? shape.anyOf : [shape])
  const byText = new Map(flat.map((shape) => [textOf(shape), shape]))
  const texts = [...byText.keys()].sort()
  return texts.length === 1 ? byText.get(texts[0]!)! : { anyOf: texts.map((text) => byText.get(text)!) }
}

/** What tells one kind of value from another; names of classes and descriptions do not. */
const nameOf = (ast: SchemaAST.AST): string | undefined => {
  if (ast._tag === "Declaration") {
    const representation = ast.annotations?.["representation"] as { readonly id?: string } | undefined
    return representation?.id?.replace("effect/schema/", "").toLowerCase()
  }
  const hasParts = ast._tag === "Objects" || ast._tag === "Arrays" || ast._tag === "Union" || ast._tag === "Suspend"
  return hasParts ? undefined : ast._tag.toLowerCase()
}

/** What a check asks for, where it says so; of one that somebody wrote only that there is one. */
const checksOf = (ast: SchemaAST.AST): ReadonlyArray<unknown> => {
  const shapeOfCheck = (check: any): ReadonlyArray<unknown> => {
    const representation = check.annotations?.representation as
      | { readonly id: string; readonly payload: unknown }
      | undefined
    if (representation === undefined) {
      return check._tag === "FilterGroup" ? check.checks.flatMap(shapeOfCheck) : ["custom"]
    }
    const id = representation.id.replace("effect/schema/", "")
    return [representation.payload === null ? id : { [id]: plainPayload(representation.payload) }]
  }
  // every number of JSON is finite
  const isPlainNumber = ast._tag === "Number" && ast.encoding === undefined
  const checks = (ast.checks ?? []).flatMap(shapeOfCheck).filter((check) => !isPlainNumber || check !== "isFinite")
  return checks.map((check) => [textOf(check), check] as const).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
    .map(([, check]) => check)
}

const plainPayload = (payload: unknown): unknown =>
  JSON.parse(JSON.stringify(payload, (_, value) => typeof value === "bigint" ? `${value}n` : value) ?? "null")

/** A difference between two shapes, as a sentence. Where it is harmless, all that is stored still reads as it did. */
export interface Change {
  readonly text: string
  readonly isHarmless: boolean
}

/** What differs between a shape that was stored and one of today. */
export const changes = (before: Shape, after: Shape, path = ""): ReadonlyArray<Change> => {
  if (textOf(before) === textOf(after)) return []
  const harmless = (text: string): ReadonlyArray<Change> => [{ text: `${at(path)} ${text}`, isHarmless: true }]
  const breaking = (text: string): ReadonlyArray<Change> => [{ text: `${at(path)} ${text}`, isHarmless: false }]
  if (after === "json" || after === "any") return harmless(`may be anything now, and was ${say(before)}`)
  const [was, is] = [refined(before), refined(after)]
  // the members of a union are read each in its own way
  const isUnion = membersOf(before).length > 1 || membersOf(after).length > 1
  if (!isUnion && (was.as !== is.as || textOf(was.checks) !== textOf(is.checks))) {
    const found: Array<Change> = [...changes(was.of, is.of, path)]
    if (was.as !== is.as) {
      found.push(...breaking(`is read ${readAs(is.as)} now, and was read ${readAs(was.as)}`))
    }
    for (const check of without(was.checks, is.checks)) found.push(...harmless(`no longer has to pass ${say(check)}`))
    for (const check of without(is.checks, was.checks)) {
      if (was.checks.some((other) => isLooser(other, check))) continue
      found.push(...breaking(`has to pass ${say(check)} now, which what is stored may not`))
    }
    return found
  }
  const [old, now] = isUnion ? [before, after] : [was.of, is.of]
  if (typeof old === "object" && typeof now === "object") {
    if ("fields" in old && "fields" in now) return changesOfFields(old, now, path)
    if ("elements" in old && "elements" in now) {
      const [oldRest, nowRest] = [old.rest ?? [], now.rest ?? []]
      const isAlike = old.elements.length === now.elements.length && oldRest.length === nowRest.length &&
        (old.optionalElements ?? 0) === (now.optionalElements ?? 0)
      if (isAlike) {
        return [
          ...old.elements.flatMap((element, i) => changes(element, now.elements[i]!, `${path}[${i}]`)),
          ...oldRest.flatMap((element, i) => changes(element, nowRest[i]!, `${path}[]`))
        ]
      }
    }
  }
  const [olds, nows] = [membersOf(old), membersOf(now)]
  const isWidened = (shape: Shape) => olds.length === 1 && isLooserThan(olds[0]!, shape)
  const gone = olds.filter((shape) => !nows.some((other) => fits(shape, other) || isWidened(other)))
  const added = (without(nows, olds) as ReadonlyArray<Shape>).filter((shape) => !isWidened(shape))
  if (gone.length === 0) {
    // of two that are stored alike the first one reads it, and the order of members is no part of a shape
    const rival = added.find((shape) =>
      refined(shape).as !== undefined && olds.some((old) => isStoredAlike(old, shape))
    )
    if (rival !== undefined) {
      const read = olds.filter((old) => isStoredAlike(old, rival)).map((old) => readAs(refined(old).as ?? say(old)))
      return breaking(`may be read ${readAs(refined(rival).as)} now, and what is stored was read ${read.join(" or ")}`)
    }
    return harmless(`may be ${added.map(say).join(" or ")} now as well`)
  }
  // the same member with another inside
  if (olds.length > 1 && gone.length === 1 && added.length === 1) {
    return changes(gone[0]!, added[0]!, path)
  }
  return olds.length === 1 && nows.length === 1
    ? breaking(`is ${say(now)} now, and was ${say(old)}`)
    : breaking(`can no longer be ${gone.map(say).join(" or ")}`)
}

const changesOfFields = (before: ObjectShape, after: ObjectShape, path: string): ReadonlyArray<Change> => {
  const found: Array<Change> = []
  const add = (isHarmless: boolean, name: string, text: string) =>
    found.push({ text: `${at(fieldOf(path, name))} ${text}`, isHarmless })
  const [was, is] = [{ ...before.fields, ...before.optional }, { ...after.fields, ...after.optional }]
  for (const [name, shape] of Object.entries(was)) {
    const now = is[name]
    if (now === undefined) {
      add(false, name, "was removed, so what is stored of it would not be read")
      continue
    }
    const [wasRequired, isRequired] = [Object.hasOwn(before.fields, name), Object.hasOwn(after.fields, name)]
    if (wasRequired && !isRequired) add(true, name, "may be missing now")
    if (!wasRequired && isRequired) add(false, name, "has to be there now, and may be missing in what is stored")
    found.push(...changes(shape, now, fieldOf(path, name)))
  }
  for (const name of Object.keys(is)) {
    if (Object.hasOwn(was, name)) continue
    if (Object.hasOwn(after.fields, name)) {
      add(false, name, "was added and has to be there, and is missing in what is stored")
    } else add(true, name, "was added and may be missing")
  }
  const [oldRest, nowRest] = [before.rest ?? [], after.rest ?? []]
  if (oldRest.length === 1 && nowRest.length === 1 && textOf(oldRest[0]![0]) === textOf(nowRest[0]![0])) {
    found.push(...changes(oldRest[0]![1], nowRest[0]![1], fieldOf(path, "*")))
  } else if (textOf(oldRest) !== textOf(nowRest)) {
    const text = `${at(path)} has ${
      oldRest.length === 0 ? "other fields now, of any name" : "no other fields of that kind now"
    }`
    found.push({ text, isHarmless: false })
  }
  return found
}

const at = (path: string): string => path === "" ? "it" : path
const fieldOf = (path: string, name: string): string => path === "" ? name : `${path}.${name}`

const refined = (
  shape: Shape
): { readonly of: Shape; readonly as: string | undefined; readonly checks: ReadonlyArray<unknown> } =>
  typeof shape === "object" && "of" in shape
    ? { of: shape.of, as: shape.as, checks: shape.checks ?? [] }
    : { of: shape, as: undefined, checks: [] }

/** Whether a bound lets everything pass that another one of its kind does. */
const isLooser = (before: unknown, after: unknown): boolean => {
  const [was, is] = [boundOf(before), boundOf(after)]
  if (was === undefined || is === undefined || was.id !== is.id) return false
  return /Min|Greater/.test(is.id) ? is.bound <= was.bound : /Max|Less/.test(is.id) && is.bound >= was.bound
}

const boundOf = (check: unknown): { readonly id: string; readonly bound: number } | undefined => {
  const [[id, payload] = ["", undefined]] = typeof check === "object" && check !== null ? Object.entries(check) : []
  const bounds = typeof payload === "object" && payload !== null ? Object.values(payload) : []
  return bounds.length === 1 && typeof bounds[0] === "number" ? { id, bound: bounds[0] } : undefined
}

const membersOf = (shape: Shape): ReadonlyArray<Shape> =>
  typeof shape === "object" && "anyOf" in shape ? shape.anyOf : [shape]

const fits = (shape: Shape, other: Shape): boolean =>
  textOf(shape) === textOf(other) ||
  (typeof shape === "object" && "literal" in shape && typeof shape.literal === other)

const isStoredAlike = (shape: Shape, other: Shape): boolean => textOf(refined(shape).of) === textOf(refined(other).of)

/** Whether all that one shape allows is read by another as it was. */
const isLooserThan = (before: Shape, after: Shape): boolean => {
  const [was, is] = [refined(before), refined(after)]
  return was.as === is.as && isStoredAlike(before, after) &&
    without(is.checks, was.checks).every((check) => was.checks.some((other) => isLooser(other, check)))
}

const readAs = (as: string | undefined): string => as === undefined ? "as it is stored" : `as ${as}`

const without = (all: ReadonlyArray<unknown>, some: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
  const known = new Set(some.map(textOf))
  return all.filter((one) => !known.has(textOf(one)))
}

/** A shape in a sentence. */
const say = (shape: unknown): string => {
  if (typeof shape === "string") return shape
  const { literal } = shape as { readonly literal?: unknown }
  const text = literal === undefined ? textOf(shape) : JSON.stringify(literal)
  return text.length > 120 ? `${text.slice(0, 117)}...` : text
}
