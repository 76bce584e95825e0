import { Effect, Option, Stream } from "effect"
import * as Event from "../../Event/Event.ts"
import { EventData } from "../../Event/EventData.ts"
import * as EventId from "../../Event/EventId.ts"
import { type Entry, EventStore } from "../../Store/EventStore.ts"
import { type AnyConflict, AppendConditionFailed, InvalidInput, type StoreError } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import type { Position } from "../../Stream/Position.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import * as StreamId from "../../Stream/StreamId.ts"
import type { Dynamic, DynamicRan, Entries, Item, RunOptions } from "../Boundary.ts"
import { eventIdOf } from "./answering.ts"
import { findInLog, ownerOf, toDecided } from "./boundary.ts"
import { evolveBy, tagsOf } from "./byTag.ts"
import { readBack } from "./readingBack.ts"
import { conflicting, defaultRetry, type Retry, retrying } from "./retrying.ts"
import { appendOrAnswer, checkCommandId, decidedOf } from "./running.ts"
import { makeTelemetry } from "./telemetry.ts"

type Store = EventStore["Service"]

interface AnyOptions {
  readonly from: Category.Any | ReadonlyArray<Category.Any>
  readonly query: (command: any) => ReadonlyArray<Item>
  readonly initial: unknown
  readonly evolve: any
  readonly decide: (command: any, state: any) => unknown
  readonly retry?: Retry | undefined
}

/** What a state is made of. */
interface Source {
  readonly from: ReadonlyArray<Category.Any>
  readonly initial: unknown
  readonly evolve: (state: any, event: any) => any
}

export const make = (name: string, options: AnyOptions): Dynamic<any, any, any, any, any> => {
  const { decide, initial, query, retry = defaultRetry } = options
  const from: ReadonlyArray<Category.Any> = Array.isArray(options.from) ? options.from : [options.from]
  const source = { from, initial, evolve: evolveBy(name, options.evolve, from.flatMap(tagsOf)) }
  const telemetry = makeTelemetry(name)
  const itemsOf = (command: unknown) => Effect.suspend(() => checkItems(from, query(command)))
  return {
    name,

    run: (command, options: RunOptions = {}) =>
      telemetry.run(undefined, command)(Effect.gen(function*() {
        const store = yield* EventStore
        const { commandId } = options
        yield* checkCommandId(commandId)
        const items = yield* itemsOf(command)
        const known = commandId === undefined
          ? Effect.succeed(undefined)
          : answerOf(store, name, source, items, commandId)

        const attempt = Effect.gen(function*() {
          // anew each time: what was hidden meanwhile is not part of it any more
          const after = yield* store.head()
          const state = yield* foldUpTo(store, source, items, after)
          const before = yield* known
          if (before !== undefined) return before
          const answer = decide(command, state)
          const decided: Entries = Effect.isEffect(answer) ? yield* answer as Effect.Effect<Entries> : answer as Entries
          const given: ReadonlyArray<Entry> = "stream" in decided ? [decided] : decided
          if (given.every(({ events }) => events.length === 0)) {
            return { state, events: [], position: after, isRepeated: false }
          }
          const read = yield* Effect.forEach(given, ({ events, stream }) => readBack(stream, events.map(eventOf)))
          const next = given.reduce((state, entry, i) => foldEntry(source, items, state, entry, read[i]!), state)
          const ids = commandId === undefined ? undefined : eventIdOf(ownerOf(name), commandId)
          const entries = yield* withIds(given, ids)
          const append = store.appendIf({ items, after }, entries)
          const appended = yield* appendOrAnswer(
            conflicting(append, (conflict) => canPass(store, items, after, conflict)),
            options,
            known
          )
          if ("isRepeated" in appended) {
            return appended
          }
          const events = entries.flatMap((entry, i) =>
            decidedOf(entry.events as ReadonlyArray<EventData<any>>, appended[i]!, read[i]!).map((event) => ({
              ...event,
              streamId: appended[i]!.streamId
            }))
          )
          const position = appended.reduce((last, entry) => Math.max(last, entry.position), 0) as Position
          return { state: next, events, position, isRepeated: false }
        })
        return yield* retrying(attempt, retry, telemetry.retried)
      })),

    query: (command) =>
      telemetry.span("query")(Effect.gen(function*() {
        const store = yield* EventStore
        const items = yield* itemsOf(command)
        const position = yield* store.head()
        return { state: yield* foldUpTo(store, source, items, position), position }
      }))
  }
}

/** An empty list names nothing. What is of no type that there is would guard nothing, and nobody would notice. */
const checkItems = (
  from: ReadonlyArray<Category.Any>,
  items: ReadonlyArray<Item>
): Effect.Effect<ReadonlyArray<Item>, InvalidInput> => {
  if (items.length === 0) return new InvalidInput({ field: "query", problem: "has no items" })
  const isRaw = from.some(({ name }) => name === Category.raw.name)
  const known = new Set(from.flatMap(({ codec }) => codec.types.map(({ tag }) => tag)))
  for (const [i, { tags = [], types = [] }] of items.entries()) {
    if (tags.length === 0 && types.length === 0) {
      return new InvalidInput({ field: `query[${i}]`, problem: "names neither types nor tags" })
    }
    const unknown = isRaw ? undefined : types.find((type) => !known.has(type))
    if (unknown !== undefined) {
      return new InvalidInput({ field: `query[${i}].types`, problem: `name ${unknown}, which no category of it has` })
    }
  }
  return Effect.succeed(items)
}

/**
 * Whether a conflict may be none when it is decided again: where something that the decision asks for was stored since. What its
 * own transaction staged it never sees, and what it expects of a stream by itself it would expect again.
 */
const canPass = (
  store: Store,
  items: ReadonlyArray<Item>,
  after: number,
  conflict: AnyConflict
): Effect.Effect<boolean, InvalidInput | StoreError> =>
  Effect.gen(function*() {
    if (conflict instanceof AppendConditionFailed && !(yield* store.storage.inTransaction)) return true
    for (const item of items) {
      const news = yield* Stream.runHead(store.readAll({ ...matching(item), from: after + 1, limit: 1 }))
      if (Option.isSome(news)) return true
    }
    return false
  })

/** An empty list asks for nothing. */
const matching = ({ tags, types }: Item) => ({
  types: types === undefined || types.length === 0 ? undefined : types,
  tags: tags === undefined || tags.length === 0 ? undefined : tags
})

/** The state of the events that match, up to a position. */
const foldUpTo = (store: Store, { evolve, from, initial }: Source, items: ReadonlyArray<Item>, to: number) =>
  Effect.gen(function*() {
    const isAll = from.some(({ name }) => name === Category.raw.name)
    const read = (item: Item): Stream.Stream<Recorded<any>, any, any> =>
      store.readCategory(isAll ? [...from] : from, { ...matching(item), to })
    if (items.length === 1) {
      return yield* Stream.runFold(read(items[0]!), () => initial, (state, { event }) => evolve(state, event))
    }
    // an event that matches several items is there once, in the order of the log
    const byPosition = new Map<number, Array<Recorded<any>>>()
    for (const item of items) {
      const found = yield* Stream.runCollect(read(item))
      const fresh = found.filter(({ position }) => !byPosition.has(position))
      for (const recorded of fresh) {
        const parts = byPosition.get(recorded.position)
        if (parts === undefined) byPosition.set(recorded.position, [recorded])
        else parts.push(recorded)
      }
    }
    const inOrder = [...byPosition].sort(([a], [b]) => a - b).flatMap(([, parts]) => parts)
    return inOrder.reduce((state, { event }) => evolve(state, event), initial)
  })

/** The state with those of the new events that the decision asks for. */
const foldEntry = (
  { evolve, from }: Source,
  items: ReadonlyArray<Item>,
  before: unknown,
  { events, stream }: Entry,
  read: ReadonlyArray<any>
) =>
  from.some(({ name }) => name === Category.raw.name || name === stream.category.name)
    ? events.reduce<unknown>((state, given, i) => {
      const data = given instanceof EventData ? given : undefined
      const event: any = eventOf(given)
      const tags = new Set<string>([...event[Event.tags] ?? [], ...data?.tags ?? []])
      const matches = items.some((item) =>
        (item.types === undefined || item.types.length === 0 || item.types.includes(event._tag)) &&
        (item.tags ?? []).every((tag) => tags.has(tag))
      )
      return matches ? evolve(state, read[i]) : state
    }, before)
    : before

const eventOf = (given: unknown): unknown => given instanceof EventData ? given.event : given

/** Gives events their ids before they are stored, so that the answer can name them. */
const withIds = (
  entries: ReadonlyArray<Entry>,
  idOf: ((fromLast: number) => EventId.EventId) | undefined
): Effect.Effect<ReadonlyArray<Entry>, InvalidInput> =>
  Effect.gen(function*() {
    let fromLast = entries.reduce((sum, { events }) => sum + events.length, 0)
    const named: Array<Entry> = []
    for (const { events, expected, stream } of entries) {
      const news: Array<EventData<unknown>> = []
      for (const given of events) {
        const data = given instanceof EventData ? given : new EventData(given, {})
        if (data.id !== undefined && idOf !== undefined) {
          return yield* new InvalidInput({
            field: "decide",
            problem: "gives an event an id, which is to follow from its command"
          })
        }
        fromLast--
        const id = idOf?.(fromLast) ?? data.id ?? (yield* EventId.make)
        news.push(new EventData(data.event, { id, tags: data.tags, metadata: data.metadata }))
      }
      named.push({ stream, events: news, expected })
    }
    return named
  })

/** What a command answered when its events were stored; see `answerOf` of one stream. */
const answerOf = (
  store: Store,
  boundary: string,
  source: Source,
  items: ReadonlyArray<Item>,
  commandId: string
): Effect.Effect<DynamicRan<unknown, unknown> | undefined, any, any> =>
  Effect.gen(function*() {
    const stored = yield* findInLog(store, boundary, commandId)
    if (stored === undefined) return undefined
    const byName = new Map(source.from.map((category) => [category.name, category.codec]))
    // a decision may append to streams of any category: what it does not read is shown as it is stored
    const events = yield* toDecided(
      stored,
      (streamId) => byName.get(StreamId.category(streamId)) ?? Category.raw.codec
    )
    const position = stored.at(-1)!.position as Position
    return { state: yield* foldUpTo(store, source, items, position), events, position, isRepeated: true }
  })
