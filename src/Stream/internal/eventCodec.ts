import { DateTime, Effect, Exit, Schema } from "effect"
import * as Event from "../../Event/Event.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import * as JsonCodec from "../../Event/JsonCodec.ts"
import { RawEvent } from "../../Event/RawEvent.ts"
import * as ShapeChain from "../../Event/ShapeChain.ts"
import { type DecodeError, EventDecodeFailed, unknownEventType } from "../DecodeError.ts"
import type { Position } from "../Position.ts"
import type { Recorded } from "../Recorded.ts"
import type { EncodedEvent, StoredEvent } from "../StoredEvent.ts"
import { problemOfName, type StreamId } from "../StreamId.ts"
import type { StreamVersion } from "../StreamVersion.ts"

/** Both directions between the events of one category and what is stored. */
export interface EventCodec<in In, out Out, out R> {
  /** The types that the category declares. */
  readonly types: ReadonlyArray<Event.Any>
  /** What becomes of a stored event that does not decode. */
  readonly undecodable: "fail" | "skip" | "raw"
  /** Fails with the reason why the event cannot be stored. */
  readonly encode: (event: In) => Effect.Effect<EncodedEvent, string>
  /**
   * Pushes what the stored event reads as. Most events decode without waiting: then there is no effect to run and the
   * answer is `undefined`.
   */
  readonly decode: (stored: StoredEvent, into: Sink<Out>) => Effect.Effect<void, DecodeError, R> | undefined
}

/** Where decoded events go: an array, seen from its writing end. */
export interface Sink<in Out> {
  push(event: Recorded<Out>): unknown
}

interface CompiledType {
  readonly type: Event.Any
  readonly encode: ((event: unknown) => Effect.Effect<unknown, Schema.SchemaError>) | undefined
  /** By schema version - 1; the last one is the current class, unless the type is retired. */
  readonly decoders: ReadonlyArray<(data: unknown) => Effect.Effect<unknown, Schema.SchemaError, any>>
}

export const makeCodec = (
  name: string,
  members: ReadonlyArray<Event.Member>,
  undecodable: "fail" | "skip" | "raw"
): EventCodec<any, any, any> => {
  const types = new Map<string, CompiledType>()
  for (const member of members) {
    const type = Event.fromMember(member)
    const problem = problemOfName(type.tag, Event.maxTypeLength)
    if (problem !== undefined) {
      throw new Error(`The event type ${JSON.stringify(type.tag)} of category ${name} ${problem}`)
    }
    if (types.has(type.tag)) throw new Error(`Category ${name} declares the event type ${type.tag} twice`)
    types.set(type.tag, compile(type))
  }
  const giveUp = (stored: StoredEvent, into: Sink<any>, error: DecodeError) => {
    if (undecodable === "fail") return Effect.fail(error)
    if (undecodable === "raw") into.push(toRecorded(stored, rawEvent(stored)))
    return undefined
  }

  return {
    types: [...types.values()].map(({ type }) => type),
    undecodable,
    encode: (event) => {
      const tag = event?._tag
      const compiled = types.get(tag)
      if (compiled === undefined) {
        return Exit.fail(
          `the category ${name} does not declare the type ${typeof tag === "string" ? tag : typeof event}`
        )
      }
      if (compiled.encode === undefined) return Exit.fail(`the type ${compiled.type.tag} is retired`)
      const { schemaVersion } = compiled.type
      const encoded = compiled.encode(event)
      return Exit.isExit(encoded) && Exit.isSuccess(encoded)
        ? toText(tag, schemaVersion, withoutTag(encoded.value))
        : Effect.matchEffect(encoded, {
          onFailure: (error) => Effect.fail(error.message),
          onSuccess: (value) => toText(tag, schemaVersion, withoutTag(value))
        })
    },
    decode: (stored, into) => {
      const compiled = types.get(stored.type)
      if (compiled?.type.isDropped === true) return undefined
      const version = stored.schemaVersion
      const decoder = compiled?.decoders[version - 1]
      if (compiled === undefined || decoder === undefined) {
        const known = compiled === undefined ? 0 : compiled.decoders.length
        return giveUp(stored, into, unknownEventType(stored, known))
      }
      const isCurrent = compiled.type.current !== undefined && version === compiled.decoders.length
      const data = JSON.parse(stored.data)
      if (isCurrent) {
        if (typeof data === "object" && data !== null) data._tag = stored.type
        const decoded = decoder(data)
        if (Exit.isExit(decoded) && Exit.isSuccess(decoded)) {
          into.push(toRecorded(stored, decoded.value))
          return undefined
        }
        return Effect.matchEffect(decoded, {
          onFailure: (error) => giveUp(stored, into, decodeFailed(stored, error)) ?? Effect.void,
          onSuccess: (event) => Effect.sync(() => void into.push(toRecorded(stored, event)))
        })
      }
      return Effect.matchCauseEffect(upcast(compiled, decoder(data), stored), {
        onFailure: (cause) => {
          const failure = cause.reasons.find((reason) => reason._tag === "Fail")
          if (failure === undefined) return Effect.failCause(cause as never)
          return giveUp(stored, into, decodeFailed(stored, failure.error)) ?? Effect.void
        },
        onSuccess: (events) =>
          Effect.sync(() => {
            for (let part = 0; part < events.length; part++) {
              into.push(toRecorded(stored, events[part], part, events.length))
            }
          })
      })
    }
  }
}

/** Events as they are stored, of whatever category. */
export const rawCodec: EventCodec<RawEvent, RawEvent, never> = {
  types: [],
  undecodable: "raw",
  encode: (event) => {
    if (!(event instanceof RawEvent)) return Exit.fail("is not a RawEvent")
    const problem = problemOfName(event.type, Event.maxTypeLength)
    if (problem !== undefined) return Exit.fail(`has a type that ${problem}`)
    const { data, schemaVersion, type } = event
    if (!Number.isInteger(schemaVersion) || schemaVersion < 1 || schemaVersion > maxSchemaVersion) {
      return Exit.fail(`has the schema version ${schemaVersion}: 1 to ${maxSchemaVersion} are allowed`)
    }
    return isJson(data) ? toText(type, schemaVersion, data) : Exit.fail("has data that are not JSON")
  },
  decode: (stored, into) => {
    into.push(toRecorded(stored, rawEvent(stored)))
    return undefined
  }
}

const maxSchemaVersion = 32767
const isJson = Schema.is(Schema.Json)

const compile = (type: Event.Any): CompiledType => {
  const { current, shapes } = type
  const problem = current && JsonCodec.problemOf(current)
  if (problem !== undefined) throw new Error(`The event type ${type.tag} ${problem}`)
  return {
    type,
    encode: current && JsonCodec.encoderOf(current),
    decoders: [...shapes, ...(current === undefined ? [] : [current])].map(JsonCodec.decoderOf)
  }
}

const upcast = (
  { type }: CompiledType,
  oldest: Effect.Effect<unknown, unknown, any>,
  stored: StoredEvent
): Effect.Effect<ReadonlyArray<any>, unknown, any> =>
  ShapeChain.upcast<Event.Stored>(type.steps, stored.schemaVersion, oldest, { ...toRecorded(stored, undefined) })

const toRecorded = <E>(stored: StoredEvent, event: E, part = 0, parts = 1): Recorded<E> => ({
  event,
  type: stored.type,
  schemaVersion: stored.schemaVersion,
  eventId: stored.eventId,
  streamId: stored.streamId as StreamId,
  streamVersion: stored.streamVersion as StreamVersion,
  position: stored.position as Position,
  metadata: stored.metadata === null ? EventMetadata.empty : JSON.parse(stored.metadata),
  tags: stored.tags ?? noTags,
  recordedAt: timeOf(stored.recordedAt),
  part,
  parts
})

let lastMillis = 0
let lastTime = DateTime.makeUnsafe(lastMillis)

/** Events that were stored together have the same time, and making one takes as long as decoding a small event. */
const timeOf = (millis: number): DateTime.Utc => {
  if (millis !== lastMillis) {
    lastTime = DateTime.makeUnsafe(millis)
    lastMillis = millis
  }
  return lastTime
}

const noTags: ReadonlyArray<string> = Object.freeze([])

const rawEvent = ({ data, schemaVersion, type }: StoredEvent) =>
  new RawEvent({ type, schemaVersion, data: JSON.parse(data) })

/** The type has a column of its own. Setting the field aside beats copying all others; the encoded value is ours. */
const withoutTag = (encoded: any): unknown => {
  encoded._tag = undefined
  return encoded
}

const toText = (type: string, schemaVersion: number, value: unknown): Exit.Exit<EncodedEvent, string> => {
  const data = JsonCodec.toText(value)
  return Exit.isSuccess(data)
    ? Exit.succeed({ type, schemaVersion, data: data.value })
    : data as Exit.Exit<never, string>
}

const place = (stored: StoredEvent) => ({
  streamId: stored.streamId as StreamId,
  streamVersion: stored.streamVersion as StreamVersion,
  position: stored.position as Position,
  type: stored.type,
  schemaVersion: stored.schemaVersion
})

const decodeFailed = (stored: StoredEvent, cause: unknown) =>
  new EventDecodeFailed({
    ...place(stored),
    issue: cause instanceof Error ? cause.message : String(cause),
    cause
  })
