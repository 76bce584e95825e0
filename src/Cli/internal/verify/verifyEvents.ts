import { Cause, Effect, Option, Schema, Stream } from "effect"
import { maxTypeLength } from "../../../Event/Event.ts"
import type { EventId } from "../../../Event/EventId.ts"
import { EventMetadata } from "../../../Event/EventMetadata.ts"
import { hasForbiddenEscape } from "../../../Event/JsonText.ts"
import * as Category from "../../../Stream/Category.ts"
import * as StreamId from "../../../Stream/StreamId.ts"
import { type LogCheck, tell, type Told, type Verifying, walk } from "./verifying.ts"
import {
  type EventRow,
  type IdPlace,
  selectEvents,
  selectIds,
  selectLargeEvent,
  selectNext,
  selectWithId
} from "./verifySql.ts"

const idsAtATime = 20_000
const positionsAtATime = 1000

/** Each event is one that the store could have written, and decodes where its category is known: hidden ones, too. */
export const checkEvents = (categories: ReadonlyArray<Category.Any>): LogCheck<any> => (verifying, tally) => {
  const { log: { head, now }, tables } = verifying
  const decode = decoding(categories)
  return Stream.concat(
    checkIds(verifying, tally),
    walk("events", tally, 1, (from) =>
      Effect.gen(function*() {
        const to = Math.min(from - 1 + positionsAtATime, head)
        const events = to < from ? [] : yield* selectEvents(tables, { from, to })
        const found: Array<Told> = []
        for (const row of events) {
          const event = row.isLarge ? yield* selectLargeEvent(tables, row) : row
          if (event === undefined) continue
          tally.looked++
          const problems = problemsOf(event, now)
          found.push(...problems)
          // what has no readable text has nothing to decode
          if (problems.length > 0) continue
          const problem = decode(event, (reason) => tally.skip(reason))
          const told = problem === undefined ? undefined : yield* problem
          if (told !== undefined) found.push(told)
        }
        // what follows on nothing may be far away
        const next = events.length > 0 ? to + 1 : (yield* selectNext(tables, to)).position ?? head + 1
        const isEnd = next > head
        return {
          found,
          done: head + (isEnd ? head : next - 1),
          total: 2 * head,
          next: isEnd ? Option.none() : Option.some(next)
        }
      }))
  )
}

/** No id stands twice. The key of the table says so as well, as long as it is there. */
const checkIds = ({ log: { head }, tables }: Verifying, tally: Parameters<LogCheck>[1]) => {
  let seen = 0
  return walk("events", tally, undefined as IdPlace | undefined, (last) =>
    Effect.gen(function*() {
      const places = yield* selectIds(tables, last, head, idsAtATime)
      const found: Array<Told> = []
      let before = last
      let isKnown = false
      for (const place of places) {
        const isSame = before?.eventId === place.eventId
        before = place
        if (!isSame) isKnown = false
        else if (!isKnown) {
          const positions = yield* selectWithId(tables, place, head)
          isKnown = true
          if (positions.length > 1) {
            found.push(tell(
              "EventIdDoubled",
              { eventId: place.eventId, position: positions[1] },
              `The event id ${place.eventId} stands at several positions: ${positions.join(", ")}`,
              { expected: 1, actual: positions.length }
            ))
          }
        }
      }
      seen += places.length
      return {
        found,
        done: Math.min(seen, head),
        total: 2 * head,
        next: places.length < idsAtATime ? Option.none() : Option.some(before)
      }
    }))
}

const nameOf = ({ position, streamId, streamVersion }: EventRow): string =>
  `Event ${streamVersion} of stream ${streamId} (position ${position})`

const aboutOf = ({ eventId, position, streamId, streamVersion }: EventRow) => ({
  streamId,
  streamVersion,
  position,
  eventId
})

const isMetadata = Schema.is(EventMetadata)

const dayMillis = 24 * 60 * 60 * 1000

/** Most UTF-16 code units of a tag. */
const maxTagLength = 256

/** What the store would never have written, whatever the event is. */
const problemsOf = (event: EventRow, now: number): ReadonlyArray<Told> => {
  const { data, metadata, recordedAt, schemaVersion, streamId, tags, type } = event
  const problems: Array<Told> = []
  const add = (kind: Told["kind"], problem: string, actual?: string | number) =>
    problems.push(tell(kind, aboutOf(event), `${nameOf(event)} ${problem}`, actual === undefined ? {} : { actual }))
  const nameProblem = StreamId.problemOf(streamId)
  if (nameProblem !== undefined) add("NameNotAllowed", `stands in a stream whose name ${nameProblem}`, streamId)
  const typeProblem = StreamId.problemOfName(type, maxTypeLength)
  if (typeProblem !== undefined) add("TypeNotAllowed", `has a type whose name ${typeProblem}`, type)
  if (schemaVersion < 1) add("TypeNotAllowed", `has the schema version ${schemaVersion}`, schemaVersion)
  for (const tag of tags ?? []) {
    const problem = typeof tag === "string" ? StreamId.problemOfName(tag, maxTagLength) : "is no text"
    if (problem !== undefined) add("TagNotAllowed", `has the tag ${JSON.stringify(tag)}, which ${problem}`, tag)
  }
  const dataProblem = problemOfJson(data)
  if (dataProblem !== undefined) add("DataNotAllowed", `has data that ${dataProblem}`)
  if (metadata !== null) {
    const problem = problemOfJson(metadata) ??
      (isMetadata(JSON.parse(metadata)) ? undefined : "does not fit its schema")
    if (problem !== undefined) add("MetadataUndecodable", `has metadata that ${problem}`, metadata.slice(0, 200))
  }
  if (!(recordedAt >= 0 && recordedAt <= now + dayMillis)) {
    add(
      "TimeAbsurd",
      Number.isFinite(recordedAt)
        ? `was recorded at ${timeText(recordedAt)}, ${recordedAt < 0 ? "before 1970" : "which is yet to come"}`
        : "was recorded at no time",
      timeText(recordedAt)
    )
  }
  return problems
}

const timeText = (millis: number): string => {
  const time = new Date(millis)
  return Number.isNaN(time.getTime()) ? String(millis) : time.toISOString()
}

/** Why a JSON text is none that the store can have written, whatever way it is spelled. */
export const problemOfJson = (text: string): string | undefined => {
  try {
    const value = JSON.parse(text)
    return text.includes("\\u") && hasForbiddenEscape(JSON.stringify(value))
      ? "has a NUL character or a lone surrogate in a text"
      : undefined
  } catch {
    return "is no JSON"
  }
}

/** Decodes as reads do, but fails where these would pass over what a known type does not decode to. */
const decoding = (categories: ReadonlyArray<Category.Any>) => {
  const byName = new Map(
    categories.map((category) => [category.name, { category, codec: Category.strict(category).codec }])
  )
  const isRaw = byName.has(Category.raw.name)
  const into = { push: () => undefined }
  return (event: EventRow, skip: (reason: string) => void): Effect.Effect<Told | undefined, never, any> | undefined => {
    const known = byName.get(StreamId.category(event.streamId))
    if (known === undefined) {
      if (!isRaw) {
        skip(
          categories.length === 0
            ? "no categories were given: the data of events was not decoded"
            : `category ${StreamId.category(event.streamId)} was not given: the data of its events was not decoded`
        )
      }
      return undefined
    }
    const { category, codec } = known
    let waiting: Effect.Effect<void, { readonly _tag: string; readonly message: string }, any> | undefined
    try {
      waiting = codec.decode({ ...event, eventId: event.eventId as EventId }, into)
    } catch (cause) {
      waiting = Effect.die(cause)
    }
    if (waiting === undefined) return undefined
    return waiting.pipe(
      Effect.as(undefined),
      Effect.catchCause((cause): Effect.Effect<Told | undefined> => {
        if (Cause.hasInterrupts(cause)) return Effect.failCause(cause as Cause.Cause<never>)
        const error = Option.getOrUndefined(Cause.findErrorOption(cause))
        const about = { ...aboutOf(event), type: event.type }
        if (error?._tag === "UnknownEventType") {
          if (category.codec.undecodable !== "fail") {
            skip(`types that category ${category.name} does not declare, and passes over`)
            return Effect.succeed(undefined)
          }
          return Effect.succeed(tell("TypeUnknown", about, error.message, { actual: event.type }))
        }
        return Effect.succeed(tell(
          "DataUndecodable",
          about,
          error === undefined
            ? `${nameOf(event)}, type ${event.type}, does not decode: ${Cause.squash(cause)}`
            : error.message,
          { actual: event.data.slice(0, 200) }
        ))
      })
    )
  }
}
