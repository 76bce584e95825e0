/**
 * Event types: today's class and the chain of older stored shapes that leads to it.
 *
 * A plain `Schema.TaggedClass` is an event type of version 1. When its shape changes, the older shapes form a chain,
 * oldest first: `Event.oldest(v1).next(v2, f).current(Class, g)`. The chain's length is the stored version.
 *
 * @since 0.1.0
 */
import { type DateTime, Effect, Schema } from "effect"
import type { EventId } from "./EventId.ts"
import type { EventMetadata } from "./EventMetadata.ts"
import * as ShapeChain from "./ShapeChain.ts"

const TypeId = "~effect-eventstore/Event"

/**
 * Most UTF-16 code units of the name of an event type.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxTypeLength = 256

/**
 * What an upcaster may know about the stored event besides its data.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stored {
  readonly type: string
  /** Version of the stored shape, from 1. */
  readonly schemaVersion: number
  readonly eventId: EventId
  readonly metadata: EventMetadata
  readonly tags: ReadonlyArray<string>
  readonly streamId: string
  readonly streamVersion: number
  readonly position: number
  readonly recordedAt: DateTime.Utc
}

/**
 * A class made with `Schema.TaggedClass`; encoding it needs no services.
 *
 * @category models
 * @since 0.1.0
 */
export type EventClass<A extends { readonly _tag: string } = { readonly _tag: string }, RD = unknown> =
  & Schema.ConstraintCodec<A, unknown, RD, never>
  & { readonly fields: { readonly _tag: Schema.Constraint }; new(...args: any): any }

/**
 * A stored shape of the past. Encoding it is never needed.
 *
 * @category models
 * @since 0.1.0
 */
export type Shape = ShapeChain.Shape

/**
 * An upcaster threw: a mistake in it, or data that its shape allows and it does not expect. Reading reports it as the
 * cause of an `EventDecodeFailed`.
 *
 * @category errors
 * @since 0.1.0
 */
export const UpcastFailed = ShapeChain.UpcastFailed

/**
 * @category errors
 * @since 0.1.0
 */
export type UpcastFailed = ShapeChain.UpcastFailed

/** Turns stored data of one version into what is current; kept together with its version by the position in the chain. */
type Step = ShapeChain.Step<Stored>

/**
 * An event type as a category knows it: `In` is what can be appended, `Out` what reading yields, `R` what its upcasters
 * need.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventType<in out Tag extends string, out In, out Out, out R> {
  readonly [TypeId]: { readonly _In: () => In; readonly _Out: () => Out; readonly _R: () => R }
  /** The name under which the event is stored. */
  readonly tag: Tag
  /** Version of what is stored now, from 1. A retired type is not stored any more. */
  readonly schemaVersion: number
  /** The class of what is stored now; `undefined` for a retired type. */
  readonly current: EventClass | undefined
  /** Stored shapes, oldest first, without the current class. */
  readonly shapes: ReadonlyArray<Shape>
  /** From the shape of version `i + 1` to the next one; the last step yields an array of current events. */
  readonly steps: ReadonlyArray<Step>
  /** Whether reading passes over all of its stored events, unread and of whatever version: see {@link dropped}. */
  readonly isDropped: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export type Any = EventType<any, unknown, unknown, any>

/**
 * What stands in the list of a category's events: a class (version 1) or a chain.
 *
 * @category models
 * @since 0.1.0
 */
export type Member = EventClass<any, any> | Any

/**
 * The events of a member that can be appended.
 *
 * @category type-level
 * @since 0.1.0
 */
export type In<M> = M extends EventType<any, infer I, any, any> ? I : M extends Schema.Constraint ? M["Type"] : never

/**
 * The events that reading a member yields.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Out<M> = M extends EventType<any, any, infer O, any> ? O : M extends Schema.Constraint ? M["Type"] : never

/**
 * The services that decoding and upcasting a member need.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<M> = M extends EventType<any, any, any, infer R> ? R
  : M extends Schema.Constraint ? M["DecodingServices"]
  : never

/**
 * A chain of stored shapes that still lacks its current class; `A` is the type of its newest shape.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chain<A, R> {
  /** The shapes so far, oldest first. */
  readonly shapes: ReadonlyArray<Shape>
  /** From the shape of version `i + 1` to the next one. */
  readonly steps: ReadonlyArray<Step>
  /** Adds the next shape; `upcast` makes it from the one before. What it returns is checked against the shape. */
  readonly next: <S extends Shape>(
    shape: S,
    upcast: (value: A, stored: Stored) => S["Type"]
  ) => Chain<S["Type"], R | S["DecodingServices"]>
  /** As {@link Chain.next}, for an upcast that may fail or needs services. */
  readonly nextEffect: <S extends Shape, E, R2>(
    shape: S,
    upcast: (value: A, stored: Stored) => Effect.Effect<S["Type"], E, R2>
  ) => Chain<S["Type"], R | R2 | S["DecodingServices"]>
  /** Ends the chain with today's class; `upcast` returns the arguments of its constructor. */
  readonly current: <C extends EventClass<any, any>>(
    type: C,
    upcast: (value: A, stored: Stored) => C["~type.make.in"]
  ) => EventType<C["Type"]["_tag"], C["Type"], C["Type"], R | C["DecodingServices"]>
  /** As {@link Chain.current}, for an upcast that may fail or needs services. */
  readonly currentEffect: <C extends EventClass<any, any>, E, R2>(
    type: C,
    upcast: (value: A, stored: Stored) => Effect.Effect<C["~type.make.in"], E, R2>
  ) => EventType<C["Type"]["_tag"], C["Type"], C["Type"], R | R2 | C["DecodingServices"]>
  /** Ends the chain with today's class where one stored event of an older shape reads as none, one or several events. */
  readonly currentSplit: <C extends EventClass<any, any>, B extends { readonly _tag: string }>(
    type: C,
    upcast: (value: A, stored: Stored) => ReadonlyArray<B>
  ) => EventType<C["Type"]["_tag"], C["Type"], C["Type"] | B, R | C["DecodingServices"]>
  /** Ends the chain of a type that is not written any more: each stored one reads as none, one or several events. */
  readonly retired: <const Tag extends string, B extends { readonly _tag: string }>(
    tag: Tag,
    upcast: (value: A, stored: Stored) => ReadonlyArray<B>
  ) => EventType<Tag, never, B, R>
  /** As {@link Chain.retired}, for an upcast that may fail or needs services. */
  readonly retiredEffect: <const Tag extends string, B extends { readonly _tag: string }, E, R2>(
    tag: Tag,
    upcast: (value: A, stored: Stored) => Effect.Effect<ReadonlyArray<B>, E, R2>
  ) => EventType<Tag, never, B, R | R2>
}

/**
 * Starts a chain with the oldest stored shape: the fields of the event without its `_tag`.
 *
 * **Example** (Two older shapes)
 * ```ts
 * import { Schema } from "effect"
 * import { Event } from "effect-eventstore"
 *
 * class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
 *
 * export const AddedVersions = Event
 *   .oldest(Schema.Struct({ sku: Schema.String }))
 *   .next(Schema.Struct({ sku: Schema.String, qty: Schema.Number }), (v1) => ({ ...v1, qty: 1 }))
 *   .current(Added, (v2) => ({ sku: v2.sku, quantity: Math.trunc(v2.qty) }))
 * ```
 *
 * **Example** (One stored event becomes two)
 * ```ts
 * import { Schema } from "effect"
 * import { Event } from "effect-eventstore"
 *
 * class Placed extends Schema.TaggedClass<Placed>()("Placed", { order: Schema.String }) {}
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { order: Schema.String }) {}
 *
 * export const PlacedAndPaid = Event
 *   .oldest(Schema.Struct({ order: Schema.String }))
 *   .retired("PlacedAndPaid", (v1) => [new Placed(v1), new Paid(v1)])
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const oldest = <S extends Shape>(shape: S): Chain<S["Type"], S["DecodingServices"]> =>
  chain({ shapes: [shape], steps: [] })

/**
 * An event type of the past whose stored events are of no use any more: reading passes over them, whatever
 * their version.
 *
 * **Example**
 * ```ts
 * import { Event } from "effect-eventstore"
 *
 * export const DebugNoted = Event.dropped("DebugNoted")
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const dropped = <const Tag extends string>(tag: Tag): EventType<Tag, never, never, never> => ({
  ...make(tag, undefined, [Schema.Unknown], [() => Effect.succeed([])]),
  isDropped: true
})

/**
 * Key of the tags that an event declares: what a dynamic consistency boundary asks for.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Event } from "effect-eventstore"
 *
 * export class SeatTaken extends Schema.TaggedClass<SeatTaken>()("SeatTaken", { flight: Schema.String, seat: Schema.String }) {
 *   get [Event.tags]() {
 *     return [`flight:${this.flight}`, `seat:${this.flight}/${this.seat}`]
 *   }
 * }
 * ```
 * @category symbols
 * @since 0.1.0
 */
export const tags: unique symbol = Symbol.for("effect-eventstore/Event/tags")

/**
 * Tells whether a member is a chain rather than a plain class.
 *
 * @category guards
 * @since 0.1.0
 */
export const isEventType = (member: Member): member is Any => TypeId in member

/**
 * Turns a member into an event type: a plain class is a chain of length 1.
 *
 * **Gotchas** Throws where the class has no literal `_tag`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromMember = (member: Member): Any => isEventType(member) ? member : make(tagOf(member), member, [], [])

const make = <Tag extends string>(
  tag: Tag,
  current: EventClass<any, any> | undefined,
  shapes: ReadonlyArray<Shape>,
  steps: ReadonlyArray<Step>
): EventType<Tag, never, never, never> => ({
  [TypeId]: phantom,
  tag,
  schemaVersion: shapes.length + (current === undefined ? 0 : 1),
  current,
  shapes,
  steps,
  isDropped: false
})

const absent = (): never => {
  throw new Error("a type-level member of EventType was called")
}
const phantom = { _In: absent, _Out: absent, _R: absent }

const chain = (self: ShapeChain.ShapeChain<Stored>): Chain<any, any> => {
  const { shapes, steps } = self
  const next = (shape: Shape, upcast: Step) => chain(ShapeChain.next(self, shape, upcast))
  const current = (type: EventClass<any, any>, upcast: Step) => {
    const construct = (type as unknown as Schema.Top).makeEffect.bind(type)
    const last: Step = (value, stored) =>
      Effect.flatMap(upcast(value, stored), (fields) => Effect.map(construct(fields), (event) => [event]))
    return make(tagOf(type), type, shapes, [...steps, last])
  }
  const { stepOf } = ShapeChain
  return {
    shapes,
    steps,
    next: (shape, upcast) => next(shape, stepOf(upcast)),
    nextEffect: next,
    current: (type, upcast) => current(type, stepOf(upcast)),
    currentEffect: current,
    currentSplit: (type, upcast) => make(tagOf(type), type, shapes, [...steps, stepOf(upcast)]),
    retired: (tag, upcast) => make(tag, undefined, shapes, [...steps, stepOf(upcast)]),
    retiredEffect: (tag, upcast) => make(tag, undefined, shapes, [...steps, upcast])
  }
}

const tagOf = (type: EventClass<any, any>): string => {
  const ast = type.fields?._tag?.ast
  if (ast !== undefined && ast._tag === "Literal" && typeof ast.literal === "string") return ast.literal
  throw new Error("An event type needs a literal _tag: declare it with Schema.TaggedClass")
}
