import { Clock, Context, Effect, Exit, type Fiber, Option, Random, Schema, Tracer } from "effect"
import * as Event from "../../Event/Event.ts"
import { EventData } from "../../Event/EventData.ts"
import * as EventId from "../../Event/EventId.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import { hasForbiddenEscape } from "../../Event/JsonText.ts"
import { isExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { EncodedEvent } from "../../Stream/StoredEvent.ts"
import { problemOfName } from "../../Stream/StreamId.ts"
import type { Entry } from "../EventStore.ts"
import type { Limits } from "../Limits.ts"
import type { AppendCommand, AppendCondition, AppendEntry, NewEvent } from "../LogStorage.ts"
import { InvalidInput } from "../StoreError.ts"

/** Checks and encodes an append. Most of them need no waiting: then the answer is an `Exit`, and costs no fibre step. */
export const prepareAppend = (
  fiber: Fiber.Fiber<unknown, unknown>,
  limits: Limits,
  entries: ReadonlyArray<Entry>,
  condition: AppendCondition | undefined,
  fieldOf: (index: number) => string
): Effect.Effect<AppendCommand, InvalidInput> => {
  const refuse = (field: string, problem: string) => Exit.fail(new InvalidInput({ field, problem }))
  if (entries.length > limits.appendStreams) {
    return refuse("entries", `are ${entries.length} streams, at most ${limits.appendStreams} are allowed`)
  }
  const conditionProblem = condition === undefined ? undefined : problemOfCondition(condition)
  if (conditionProblem !== undefined) return Exit.fail(conditionProblem)
  const streams = entries.length > 1 ? new Set<string>() : undefined
  let count = 0
  for (let i = 0; i < entries.length; i++) {
    const { events, expected, stream } = entries[i]!
    const field = fieldOf(i)
    if (stream.problem !== undefined) return refuse(`${field}stream`, stream.problem)
    if (!isExpectedVersion(expected)) {
      return refuse(`${field}expected`, `is ${String(expected)}, which is neither a version nor one of the words`)
    }
    if (streams?.has(stream.streamId)) return refuse(`${field}stream`, `${stream.streamId} stands in two entries`)
    streams?.add(stream.streamId)
    count += events.length
  }
  if (count > limits.appendEvents) {
    return refuse(`${fieldOf(0)}events`, `are ${count}, at most ${limits.appendEvents} are allowed`)
  }

  const preparation = new Preparation(fiber, limits)
  const prepared: Array<AppendEntry> = []
  for (let i = 0; i < entries.length; i++) {
    const { events, expected, stream } = entries[i]!
    const news: Array<NewEvent> = []
    prepared.push({ streamId: stream.streamId, expected, events: news })
    for (let n = 0; n < events.length; n++) {
      const given = events[n]
      const event = given instanceof EventData ? given.event : given
      const encoded = exitOf(stream.category.codec.encode(event as never))
      if (encoded === undefined) return prepareSlowly(fiber, limits, entries, condition, fieldOf)
      const problem = Exit.isSuccess(encoded)
        ? preparation.add(news, event, given, encoded.value, () => `${fieldOf(i)}events[${n}]`)
        : new InvalidInput({ field: `${fieldOf(i)}events[${n}]`, problem: failureOf(encoded) })
      if (problem !== undefined) return Exit.fail(problem)
    }
  }
  return Exit.succeed(preparation.command(prepared, condition))
}

/** The same, for a schema that encodes with an effect of its own. */
const prepareSlowly = Effect.fnUntraced(function*(
  fiber: Fiber.Fiber<unknown, unknown>,
  limits: Limits,
  entries: ReadonlyArray<Entry>,
  condition: AppendCondition | undefined,
  fieldOf: (index: number) => string
) {
  const preparation = new Preparation(fiber, limits)
  const prepared: Array<AppendEntry> = []
  for (const [i, { events, expected, stream }] of entries.entries()) {
    const news: Array<NewEvent> = []
    prepared.push({ streamId: stream.streamId, expected, events: news })
    for (const [n, given] of events.entries()) {
      const field = `${fieldOf(i)}events[${n}]`
      const event = given instanceof EventData ? given.event : given
      const encoded = yield* Effect.mapError(
        stream.category.codec.encode(event as never),
        (problem) => new InvalidInput({ field, problem })
      )
      const problem = preparation.add(news, event, given, encoded, () => field)
      if (problem !== undefined) return yield* problem
    }
  }
  return preparation.command(prepared, condition)
})

const exitOf = <A, E>(effect: Effect.Effect<A, E>): Exit.Exit<A, E> | undefined =>
  Exit.isExit(effect) ? effect as Exit.Exit<A, E> : undefined

const failureOf = (exit: Exit.Exit<unknown, string>): string =>
  Option.getOrElse(Exit.findErrorOption(exit), () => "cannot be encoded")

/** What the events of one append share: the fibre's metadata, ids seen, bytes so far. */
class Preparation {
  private readonly limits: Limits
  private readonly clock: Clock.Clock
  private readonly random: Random.Random
  private readonly inherited: EventMetadata.EventMetadata
  private inheritedText: string | null | undefined
  private ids: Set<string> | undefined
  private readonly added: Array<NewEvent> = []
  /** UTF-16 units of all payload; bytes are counted once these may matter. */
  private units = 0
  private bytes: number | undefined

  constructor(fiber: Fiber.Fiber<unknown, unknown>, limits: Limits) {
    this.limits = limits
    this.clock = fiber.getRef(Clock.Clock)
    this.random = fiber.getRef(Random.Random)
    const current = fiber.getRef(EventMetadata.Current)
    const span = Context.getOrUndefined(fiber.context as Context.Context<any>, Tracer.ParentSpan)
    this.inherited = span === undefined || current.traceparent !== undefined
      ? current
      : { ...current, traceparent: EventMetadata.traceparent(span) }
  }

  command(entries: ReadonlyArray<AppendEntry>, condition: AppendCondition | undefined): AppendCommand {
    return {
      entries,
      // a copy of our own: what the caller does to his later is nothing to us
      condition: condition && { after: condition.after, items: condition.items.map(withoutEmptyLists) },
      bytes: this.bytes ?? this.units,
      // with a Random of the caller's own, a seeded one perhaps, the ids that are made here may come again
      repeatable: this.ids !== undefined || this.random !== ownRandom
    }
  }

  add(
    into: Array<NewEvent>,
    event: unknown,
    given: unknown,
    encoded: EncodedEvent,
    field: () => string
  ): InvalidInput | undefined {
    const options = given instanceof EventData ? given : undefined
    const size = byteLength(encoded.data, this.limits.eventBytes)
    if (size > this.limits.eventBytes) return tooLarge(field(), size, this.limits.eventBytes)

    const metadata = options?.metadata === undefined ? this.inheritedMetadata() : this.encodeMetadata(
      EventMetadata.merge(this.inherited, options.metadata)
    )
    if (metadata instanceof InvalidInput) {
      return new InvalidInput({ field: `${field()}.metadata`, problem: metadata.problem })
    }

    const tags = this.tagsOf(event, options?.tags)
    if (typeof tags === "string") return new InvalidInput({ field: `${field()}.tags`, problem: tags })

    let eventId = options?.id
    if (eventId === undefined) eventId = EventId.makeUnsafe(this.clock.currentTimeMillisUnsafe(), this.random)
    else {
      if (!EventId.isEventId(eventId)) {
        return new InvalidInput({ field: `${field()}.id`, problem: "is not a lower-case UUID" })
      }
      this.ids ??= new Set()
      if (this.ids.has(eventId)) {
        return new InvalidInput({ field: `${field()}.id`, problem: `${eventId} stands twice in the append` })
      }
      this.ids.add(eventId)
    }

    const added: NewEvent = {
      eventId,
      type: encoded.type,
      schemaVersion: encoded.schemaVersion,
      data: encoded.data,
      metadata,
      tags
    }
    into.push(added)
    this.added.push(added)
    const bytes = this.count(added)
    return bytes > this.limits.appendBytes ? tooLarge(field(), bytes, this.limits.appendBytes) : undefined
  }

  /** Bytes so far, or fewer where they are far from the limit. */
  private count(added: NewEvent): number {
    this.units += added.data.length + (added.metadata?.length ?? 0)
    if (added.tags !== null) { for (const tag of added.tags) this.units += tag.length }
    if (this.bytes !== undefined) this.bytes += bytesOf(added)
    else if (this.units * 3 > this.limits.appendBytes) {
      this.bytes = this.added.reduce((sum, event) => sum + bytesOf(event), 0)
    }
    return this.bytes ?? this.units
  }

  private inheritedMetadata(): string | null | InvalidInput {
    if (this.inheritedText === undefined) {
      const text = this.encodeMetadata(this.inherited)
      if (text instanceof InvalidInput) return text
      this.inheritedText = text
    }
    return this.inheritedText
  }

  private encodeMetadata(metadata: EventMetadata.EventMetadata): string | null | InvalidInput {
    if (metadata === EventMetadata.empty) return null
    if (!isMetadata(metadata)) return new InvalidInput({ field: "metadata", problem: "does not fit its schema" })
    const text = JSON.stringify(metadata)
    if (text === "{}") return null
    if (hasForbiddenEscape(text)) {
      return new InvalidInput({ field: "metadata", problem: "has a NUL character or a lone surrogate in a text" })
    }
    const size = byteLength(text, this.limits.eventBytes)
    return size > this.limits.eventBytes ? tooLarge("metadata", size, this.limits.eventBytes) : text
  }

  /** The tags of an event, each once; or what is wrong with them. */
  private tagsOf(event: any, given: ReadonlyArray<string> | undefined): ReadonlyArray<string> | null | string {
    const declared: ReadonlyArray<string> | undefined = event?.[Event.tags]
    if (declared === undefined && given === undefined) return null
    if (!Array.isArray(declared ?? []) || !Array.isArray(given ?? [])) return "are not a list of texts"
    const tags = [...new Set([...declared ?? [], ...given ?? []])]
    if (tags.length > this.limits.tags) return `are ${tags.length}, at most ${this.limits.tags} are allowed`
    for (const tag of tags) {
      const problem = problemOfTag(tag)
      if (problem !== undefined) return problem
    }
    return tags.length === 0 ? null : Object.freeze(tags)
  }
}

const ownRandom = Context.get(Context.empty(), Random.Random)

/** An empty list asks for nothing: it is as good as none. */
const withoutEmptyLists = ({ tags, types }: AppendCondition["items"][number]): AppendCondition["items"][number] => ({
  ...(types === undefined || types.length === 0 ? {} : { types: [...types] }),
  ...(tags === undefined || tags.length === 0 ? {} : { tags: [...tags] })
})

const isMetadata = Schema.is(EventMetadata.EventMetadata)

const maxTagLength = 256

const problemOfTag = (tag: unknown): string | undefined => {
  const problem = typeof tag === "string" ? problemOfName(tag, maxTagLength) : "is not a text"
  return problem === undefined ? undefined : `have the tag ${JSON.stringify(tag)}, which ${problem}`
}

const problemOfCondition = ({ after, items }: AppendCondition): InvalidInput | undefined => {
  if (!Number.isSafeInteger(after) || after < 0) {
    return new InvalidInput({ field: "condition.after", problem: `is ${after}, which is not a position` })
  }
  if (items.length === 0) return new InvalidInput({ field: "condition.items", problem: "are empty" })
  for (let i = 0; i < items.length; i++) {
    const { tags, types } = items[i]!
    if ((tags === undefined || tags.length === 0) && (types === undefined || types.length === 0)) {
      return new InvalidInput({ field: `condition.items[${i}]`, problem: "names neither types nor tags" })
    }
    const problem = (tags ?? []).map(problemOfTag).find((problem) => problem !== undefined) ??
      (types ?? []).map((type) => problemOfName(type, Event.maxTypeLength)).find((problem) => problem !== undefined)
    if (problem !== undefined) return new InvalidInput({ field: `condition.items[${i}]`, problem })
  }
  return undefined
}

const encoder = new TextEncoder()

/** Bytes of a text in UTF-8. Counted only where it may matter: a UTF-16 unit takes at most three bytes. */
export const byteLength = (text: string, limit: number): number =>
  text.length * 3 <= limit ? text.length : encoder.encode(text).length

const bytesOf = ({ data, metadata, tags }: NewEvent): number =>
  encoder.encode(data + (metadata ?? "") + (tags ?? []).join("")).length

export const tooLarge = (field: string, size: number, limit: number) =>
  new InvalidInput({ field, problem: `takes ${size} bytes, at most ${limit} are allowed` })
