/**
 * How a value is kept as a JSON text by a schema of its own.
 *
 * @since 0.1.0
 */
import { Effect, Exit, Schema, SchemaAST } from "effect"
import { hasForbiddenEscape } from "./JsonText.ts"

/**
 * Says why a schema cannot keep its values in JSON, or `undefined` where it can.
 *
 * @category guards
 * @since 0.1.0
 */
export const problemOf = (schema: Schema.Constraint): string | undefined =>
  contains(SchemaAST.toEncoded(schema.ast), SchemaAST.isObjectKeyword)
    ? "uses Schema.ObjectKeyword, which keeps nothing of a Date or a Map; use Schema.Json"
    : undefined

/**
 * From a value to its JSON form.
 *
 * @category constructors
 * @since 0.1.0
 */
export const encoderOf = (
  schema: Schema.Constraint
): (value: unknown) => Effect.Effect<unknown, Schema.SchemaError> => {
  const codec = Schema.toCodecJson(schema as unknown as Schema.Codec<unknown>)
  const encode = Schema.encodeUnknownEffect(codec)
  // Schema.Any lets everything through, and JSON.stringify would turn a Date into a text and a Map into nothing
  return contains(Schema.toEncoded(codec).ast, SchemaAST.isAny)
    ? (value) => Effect.flatMap(encode(value), checkJson)
    : encode
}

/**
 * From a JSON form to the value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decoderOf = (
  schema: Schema.Constraint
): (json: unknown) => Effect.Effect<unknown, Schema.SchemaError, any> =>
  Schema.decodeUnknownEffect(Schema.toCodecJson(schema as Schema.Top)) as never

/**
 * From a JSON form to a text that every storage can keep; fails with what is wrong with it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toText = (json: unknown): Exit.Exit<string, string> => {
  let text: string | undefined
  try {
    text = JSON.stringify(json)
  } catch (cause) {
    return Exit.fail(`has no JSON form: ${cause}`)
  }
  if (text === undefined) return Exit.fail("has no JSON form")
  if (hasForbiddenEscape(text)) return Exit.fail("has a NUL character or a lone surrogate in a text")
  return Exit.succeed(text)
}

/** Tells whether a schema or a part of it is one that `is` looks for. */
const contains = (
  ast: SchemaAST.AST,
  is: (ast: SchemaAST.AST) => boolean,
  seen: Set<SchemaAST.AST> = new Set()
): boolean => {
  if (seen.has(ast)) return false
  seen.add(ast)
  const some = (asts: ReadonlyArray<SchemaAST.AST>) => asts.some((ast) => contains(ast, is, seen))
  if (is(ast)) return true
  if (SchemaAST.isArrays(ast)) return some(ast.elements) || some(ast.rest)
  if (SchemaAST.isObjects(ast)) return some([...ast.propertySignatures, ...ast.indexSignatures].map(({ type }) => type))
  if (SchemaAST.isUnion(ast)) return some(ast.types)
  return SchemaAST.isSuspend(ast) && contains(ast.thunk(), is, seen)
}

const checkJson = Schema.decodeUnknownEffect(Schema.Json)
