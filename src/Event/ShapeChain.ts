/**
 * Chains of stored shapes, whatever is stored: from the oldest on, each with what makes the next one of it. What the chains of
 * events and of snapshots have in common.
 *
 * @since 0.1.0
 */
import { Data, Effect, Schema } from "effect"

/**
 * A stored shape of the past. Encoding it is never needed.
 *
 * @category models
 * @since 0.1.0
 */
export type Shape = Schema.Constraint

/**
 * Turns stored data of one version into the next; `Context` is what it may know about them besides.
 *
 * @category models
 * @since 0.1.0
 */
export type Step<in Context> = (value: any, context: Context) => Effect.Effect<any, unknown, any>

/**
 * Shapes, oldest first, and the steps between them: `steps[i]` begins with the shape of version `i + 1`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ShapeChain<in Context> {
  readonly shapes: ReadonlyArray<Shape>
  readonly steps: ReadonlyArray<Step<Context>>
}

/**
 * An upcaster threw: a mistake in it, or data that its shape allows and it does not expect.
 *
 * @category errors
 * @since 0.1.0
 */
export class UpcastFailed extends Data.TaggedError("UpcastFailed")<{ readonly cause: unknown }> {
  override get message(): string {
    return `The upcaster threw: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/**
 * A step made of a function that answers at once; what it throws is an {@link UpcastFailed}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const stepOf = <Context>(upcast: (value: any, context: Context) => any): Step<Context> => (value, context) =>
  Effect.try({ try: () => upcast(value, context), catch: (cause) => new UpcastFailed({ cause }) })

/**
 * Adds the next shape; what the step answers is checked against it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const next = <Context>(
  { shapes, steps }: ShapeChain<Context>,
  shape: Shape,
  step: Step<Context>
): ShapeChain<Context> => {
  const check = Schema.decodeUnknownEffect(Schema.toType(shape as Schema.Top))
  return {
    shapes: [...shapes, shape],
    steps: [...steps, (value, context) => Effect.flatMap(step(value, context), check)]
  }
}

/**
 * Takes what was decoded as one version through all steps that follow.
 *
 * @category combinators
 * @since 0.1.0
 */
export const upcast = <Context>(
  steps: ReadonlyArray<Step<Context>>,
  schemaVersion: number,
  decoded: Effect.Effect<unknown, unknown, any>,
  context: Context
): Effect.Effect<any, unknown, any> => {
  let value = decoded
  for (const step of steps.slice(schemaVersion - 1)) value = Effect.flatMap(value, (shape) => step(shape, context))
  return value
}
