/**
 * What is known about an event beyond its own data: who, why, in which conversation and trace.
 *
 * @since 0.1.0
 */
import { Context, Effect, Option, Schema, type Tracer } from "effect"
import type { EventId } from "./EventId.ts"

/**
 * Metadata of one event. All parts are optional; `fields` holds what the user adds with a {@link MetadataField}.
 *
 * @category models
 * @since 0.1.0
 */
export const EventMetadata = Schema.Struct({
  /** The conversation: the same for everything that follows from one request. */
  correlationId: Schema.optionalKey(Schema.String),
  /** The command or event that led here. */
  causationId: Schema.optionalKey(Schema.String),
  /** Who did it: a user, a service. */
  actor: Schema.optionalKey(Schema.String),
  /** W3C trace context of the span that appended: `00-<trace id>-<span id>-<flags>`. */
  traceparent: Schema.optionalKey(Schema.String),
  /** Fields of the user's own, in their JSON form. */
  fields: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json))
})

/**
 * @category models
 * @since 0.1.0
 */
export type EventMetadata = typeof EventMetadata.Type

/**
 * Metadata of an event that was stored without any.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: EventMetadata = Object.freeze({})

/**
 * The metadata that appends of the current fibre store with their events; forked children inherit it.
 *
 * @category references
 * @since 0.1.0
 */
export const Current = Context.Reference<EventMetadata>("effect-eventstore/Event/EventMetadata", {
  defaultValue: () => empty
})

/**
 * Joins two sets of metadata; the second one wins, field by field.
 *
 * @category combinators
 * @since 0.1.0
 */
export const merge = (self: EventMetadata, that: EventMetadata): EventMetadata => {
  if (that === empty) return self
  if (self === empty) return that
  const fields = self.fields && that.fields ? { ...self.fields, ...that.fields } : that.fields ?? self.fields
  return { ...self, ...that, ...(fields === undefined ? {} : { fields }) }
}

/**
 * Runs an effect so that everything it appends carries this metadata, on top of what the fibre carries already.
 *
 * **Example**
 * ```ts
 * import { Effect } from "effect"
 * import { EventMetadata } from "effect-eventstore"
 *
 * export const asAnna = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
 *   effect.pipe(EventMetadata.provide({ actor: "anna", correlationId: "request-7" }))
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const provide = (metadata: EventMetadata) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateService(self, Current, (current) => merge(current, metadata))

/**
 * The metadata of what follows from a recorded event: the same conversation, caused by that event. Actor, trace and fields
 * are those of the fibre, not of the event.
 *
 * **Example** (React to an event)
 * ```ts
 * import { Effect } from "effect"
 * import { EventMetadata, type Recorded } from "effect-eventstore"
 *
 * export const reactTo = <A, E, R>(recorded: Recorded.Recorded<unknown>, reaction: Effect.Effect<A, E, R>) =>
 *   reaction.pipe(EventMetadata.provide(EventMetadata.causedBy(recorded)))
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const causedBy = (recorded: {
  readonly eventId: EventId
  readonly metadata: EventMetadata
}): EventMetadata => ({
  correlationId: recorded.metadata.correlationId ?? recorded.eventId,
  causationId: recorded.eventId
})

/**
 * W3C trace context (https://www.w3.org/TR/trace-context/) of a span.
 *
 * @category combinators
 * @since 0.1.0
 */
export const traceparent = (span: Tracer.AnySpan): string =>
  `00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}`

/**
 * A field of the user's own in the metadata of events, with its schema.
 *
 * @category models
 * @since 0.1.0
 */
export interface MetadataField<A> {
  readonly name: string
  /** Runs an effect so that everything it appends carries the value. Fails where the value breaks the schema. */
  readonly provide: (
    value: A
  ) => <B, E, R>(self: Effect.Effect<B, E, R>) => Effect.Effect<B, E | Schema.SchemaError, R>
  /** Reads the field from the metadata of an event; `None` where it was stored without. */
  readonly get: (metadata: EventMetadata) => Effect.Effect<Option.Option<A>, Schema.SchemaError>
}

/**
 * Declares a field of the user's own in the metadata of events.
 *
 * **Example**
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { EventMetadata } from "effect-eventstore"
 *
 * const Tenant = EventMetadata.field("tenant", Schema.NonEmptyString)
 *
 * export const inTenant = <A, E, R>(effect: Effect.Effect<A, E, R>) => effect.pipe(Tenant.provide("acme"))
 * export const tenantOf = Tenant.get({ fields: { tenant: "acme" } }) // => Effect of Some("acme")
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const field = <A, E>(name: string, schema: Schema.Codec<A, E>): MetadataField<A> => {
  const codec = Schema.toCodecJson(schema)
  const encode = Schema.encodeUnknownEffect(codec)
  const decode = Schema.decodeUnknownEffect(codec)
  return {
    name,
    provide: (value) => (self) => Effect.flatMap(encode(value), (json) => provide({ fields: { [name]: json } })(self)),
    get: (metadata) => {
      const fields = metadata.fields
      return fields !== undefined && Object.hasOwn(fields, name)
        ? Effect.map(decode(fields[name]), Option.some)
        : Effect.succeedNone
    }
  }
}
