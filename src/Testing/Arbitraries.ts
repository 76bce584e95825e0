/**
 * Events and commands made up from their schemas, for tests of properties: `it.effect.prop`, `DeciderLaws`.
 *
 * @since 0.1.0
 */
import { Arbitrary, Effect, Exit, Schema } from "effect"
import type * as Event from "../Event/Event.ts"
import { hasForbiddenEscape } from "../Event/JsonText.ts"
import type * as Category from "../Stream/Category.ts"

/**
 * What values are made up from: a schema, classes, or an `Arbitrary` of one's own.
 *
 * @category models
 * @since 0.1.0
 */
export type Source<A> =
  | Arbitrary.Arbitrary<A>
  | Schema.Schema<A>
  | ReadonlyArray<Schema.Schema<A>>

/**
 * Any of the events that a category writes today. What no store can keep, a text with a NUL character for one, is left out.
 *
 * **Example** (Whatever is appended is read)
 * ```ts
 * import { assert, it } from "@effect/vitest"
 * import { Arbitrary, Effect, Schema, Stream } from "effect"
 * import { Category, EventStore } from "effect-eventstore"
 * import { Arbitraries } from "effect-eventstore/Testing"
 *
 * class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.String }) {}
 * const Diary = Category.make("diary", { id: Schema.String, events: [Noted] })
 *
 * it.effect.prop("reads what was appended", [Arbitrary.array(Arbitraries.events(Diary))], ([events]) =>
 *   Effect.gen(function*() {
 *     const store = yield* EventStore
 *     yield* store.append(Diary.stream("1"), events)
 *     const read = yield* Stream.runCollect(store.read(Diary.stream("1")))
 *     assert.deepStrictEqual(read.map(({ event }) => event), events)
 *   }).pipe(Effect.provide(EventStore.layerMemory, { local: true })))
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const events = <In>(
  category: Category.Category<string, never, In, unknown, any>
): Arbitrary.Arbitrary<In> => {
  const classes = category.codec.types.flatMap(({ current }) => current === undefined ? [] : [current])
  if (classes.length === 0) throw new Error(`The category ${category.name} writes no events any more`)
  return Arbitrary.filter(of(classes as ReadonlyArray<Event.EventClass>) as Arbitrary.Arbitrary<any>, (event) => {
    const encoded = Effect.runSyncExit(category.codec.encode(event))
    return Exit.isSuccess(encoded) || !encoded.cause.reasons.some(({ _tag }) => _tag === "Fail")
  })
}

/**
 * Any of the values of a schema or of some classes: of commands, for one. A text that no store can keep is left out, an
 * `Arbitrary` is taken as it is.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Arbitraries } from "effect-eventstore/Testing"
 *
 * class Deposit extends Schema.TaggedClass<Deposit>()("Deposit", { cents: Schema.Int }) {}
 * class Close extends Schema.TaggedClass<Close>()("Close", {}) {}
 *
 * export const commands = Arbitraries.of([Deposit, Close])
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const of: {
  <const Members extends ReadonlyArray<Schema.Constraint>>(
    members: Members
  ): Arbitrary.Arbitrary<Members[number]["Type"]>
  <A>(source: Source<A>): Arbitrary.Arbitrary<A>
} = (source: any): Arbitrary.Arbitrary<any> => {
  if (Arbitrary.isArbitrary(source)) return source
  return Arbitrary.filter(Arbitrary.schema(Array.isArray(source) ? Schema.Union(source) : source), hasStorableTexts)
}

const hasStorableTexts = (value: unknown): boolean =>
  !hasForbiddenEscape(JSON.stringify(value, (_, inner) => typeof inner === "bigint" ? String(inner) : inner) ?? "")
