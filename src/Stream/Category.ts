/**
 * A category ties the events, the ids and the names of like streams together: the only declaration a program needs.
 *
 * @since 0.1.0
 */
import { Option, Schema } from "effect"
import * as Event from "../Event/Event.ts"
import type { RawEvent } from "../Event/RawEvent.ts"
import { type EventCodec, makeCodec, rawCodec } from "./internal/eventCodec.ts"
import * as StreamId from "./StreamId.ts"

const TypeId = "~effect-eventstore/Category"

/**
 * What reading does with a stored event that the category cannot decode: fail the stream (the default), pass over it, or
 * yield it as a `RawEvent`.
 *
 * @category models
 * @since 0.1.0
 */
export type Undecodable = "fail" | "skip" | "raw"

/**
 * The streams of one kind of thing: `Id` names one of them, `In` is what can be appended, `Out` what reading yields, `R`
 * what its upcasters need.
 *
 * @category models
 * @since 0.1.0
 */
export interface Category<out Name extends string, in Id, in In, out Out, out R> {
  readonly [TypeId]: typeof TypeId
  readonly name: Name
  readonly codec: EventCodec<In, Out, R>
  /** The stream of one id. An id that cannot stand in a name makes every operation on the stream fail with `InvalidInput`. */
  readonly stream: (id: Id) => StreamRef<In, Out, R>
  /** The id in the name of a stream of this category: an `Id`, or none where the name is not one that `stream` gives. */
  readonly idOf: (streamId: string) => Option.Option<unknown>
}

/**
 * @category models
 * @since 0.1.0
 */
export type Any = Category<string, never, never, unknown, any>

/**
 * One stream of a category, with the types of its events.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamRef<in In, out Out, out R> {
  readonly streamId: StreamId.StreamId
  /** Why the name is not allowed; `undefined` where it is. */
  readonly problem: string | undefined
  readonly category: Category<string, never, In, Out, R>
}

/**
 * The events that can be appended to a category.
 *
 * @category type-level
 * @since 0.1.0
 */
export type In<C> = C extends Category<any, never, infer I, any, any> ? I : never

/**
 * The events that reading a category yields.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Out<C> = C extends Category<any, never, never, infer O, any> ? O : never

/**
 * The services that reading a category needs.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<C> = C extends Category<any, never, never, any, infer R> ? R : never

/**
 * Declares a category: its name (printable, no hyphen, at most 128 characters), the schema of its ids (their encoded
 * form is a string and stands after the hyphen), and its events, plain classes or chains.
 *
 * **Gotchas** Throws where the name is not allowed or two events share a tag: a mistake in the program, not in its input.
 *
 * **Example**
 * ```ts
 * import { Option, Schema } from "effect"
 * import { Category } from "effect-eventstore"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Schema.Int }) {}
 *
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened, Paid] })
 * export const stream = Cart.stream("42") // names the stream "cart-42"
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  const Name extends string,
  Id,
  const Members extends ReadonlyArray<Event.Member>,
  const Policy extends Undecodable = "fail"
>(name: Name, options: {
  readonly id: Schema.ConstraintCodec<Id, string>
  readonly events: Members
  readonly undecodable?: Policy | undefined
}): Category<
  Name,
  Id,
  Event.In<Members[number]>,
  Event.Out<Members[number]> | ("raw" extends Policy ? RawEvent : never),
  Event.Services<Members[number]>
> => {
  const problem = StreamId.problemOfName(name, 128) ?? (name.includes("-") ? "has a hyphen" : undefined)
  if (problem !== undefined) throw new Error(`The category name ${JSON.stringify(name)} ${problem}`)
  const encodeId = Schema.encodeUnknownSync(options.id)
  const decodeId = Schema.decodeUnknownOption(options.id)
  const category: Category<Name, Id, any, any, any> = {
    [TypeId]: TypeId,
    name,
    codec: makeCodec(name, options.events, options.undecodable ?? "fail"),
    stream: (id) => {
      try {
        return ref(`${name}-${encodeId(id)}`, category)
      } catch (cause) {
        return {
          streamId: `${name}-` as StreamId.StreamId,
          problem: `has an id that does not encode: ${cause}`,
          category
        }
      }
    },
    idOf: (streamId) => streamId.startsWith(`${name}-`) ? decodeId(streamId.slice(name.length + 1)) : Option.none()
  }
  return category
}

/**
 * The same category, where a stored event that does not decode fails the read, whatever the category did with it so far.
 *
 * @category combinators
 * @since 0.1.0
 */
export const strict = <const C extends Any>(category: C): C => {
  const self: C = {
    ...category,
    codec: makeCodec(category.name, category.codec.types, "fail"),
    stream: (id: never) => ({ ...category.stream(id), category: self })
  }
  return self
}

/**
 * Tells whether a value is a category.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCategory = (value: unknown): value is Any =>
  typeof value === "object" && value !== null && TypeId in value

/**
 * A stream by its full name, of whatever category, with its events as they are stored.
 *
 * **Example**
 * ```ts
 * import { Category } from "effect-eventstore"
 *
 * export const stream = Category.rawStream("cart-42")
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const rawStream = (streamId: string): StreamRef<RawEvent, RawEvent, never> => ref(streamId, raw)

/**
 * The name of a stream's category.
 *
 * @category getters
 * @since 0.1.0
 */
export const name = (stream: { readonly streamId: StreamId.StreamId }): string => StreamId.category(stream.streamId)

const ref = <In, Out, R>(
  streamId: string,
  category: Category<string, never, In, Out, R>
): StreamRef<In, Out, R> => ({
  streamId: streamId as StreamId.StreamId,
  problem: StreamId.problemOf(streamId),
  category
})

/**
 * The category of all streams, with their events as they are stored.
 *
 * @category constructors
 * @since 0.1.0
 */
export const raw: Category<"", never, RawEvent, RawEvent, never> = {
  [TypeId]: TypeId,
  name: "",
  codec: rawCodec,
  stream: () => ref("", raw),
  idOf: () => Option.none()
}
