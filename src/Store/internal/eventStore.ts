import { Effect, Metric, Option, Schema, Stream } from "effect"
import { isEventId } from "../../Event/EventId.ts"
import { hasForbiddenEscape } from "../../Event/JsonText.ts"
import type { RawEvent } from "../../Event/RawEvent.ts"
import * as Category from "../../Stream/Category.ts"
import { byCategory } from "../../Stream/Decode.ts"
import type { EventFilter } from "../../Stream/EventFilter.ts"
import { type ExpectedVersion, isExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { Position } from "../../Stream/Position.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import * as StreamId from "../../Stream/StreamId.ts"
import type { StreamVersion } from "../../Stream/StreamVersion.ts"
import type { Appended, Entry, EventStore, StreamInfo } from "../EventStore.ts"
import type { Limits } from "../Limits.ts"
import * as LogFilter from "../LogFilter.ts"
import * as LogRange from "../LogRange.ts"
import type { AppendCondition, AppendedEntry, LogStorage, Page, StreamChange, StreamState } from "../LogStorage.ts"
import { InvalidInput, StreamTombstoned } from "../StoreError.ts"
import * as StreamChanges from "../StreamChanges.ts"
import type { OwnBackground } from "./background.ts"
import type { InlineAppends } from "./inline.ts"
import { type OwnLogTail } from "./logTail.ts"
import { byteLength, prepareAppend, tooLarge } from "./prepareAppend.ts"
import { readPages } from "./readPages.ts"
import { makeTelemetry } from "./telemetry.ts"

type AnyStream = Category.StreamRef<never, unknown, any>

/** The typed, checked, observed store on top of a storage: what all layers have in common. */
export const makeStore = (
  storage: LogStorage,
  { background, inline, tail }: {
    readonly tail: OwnLogTail
    readonly inline: InlineAppends
    readonly background: OwnBackground
  },
  limits: Limits
): EventStore["Service"] => {
  const { appended: eventsAppended, observe, read: eventsRead } = makeTelemetry(storage.system)

  const appendEntries = <A>(
    operation: string,
    entries: ReadonlyArray<Entry>,
    condition: AppendCondition | undefined,
    fieldOf: (index: number) => string,
    answer: (appended: ReadonlyArray<AppendedEntry>) => A
  ): Effect.Effect<A, any> =>
    observe(operation, entries.length === 1 ? Category.name(entries[0]!.stream) : undefined)(
      Effect.withFiber((fiber) =>
        Effect.flatMap(prepareAppend(fiber, limits, entries, condition, fieldOf), (command) =>
          Effect.map(inline.append(command), (appended) => {
            let count = 0
            for (const { events } of command.entries) {
              count += events.length
            }
            eventsAppended.updateUnsafe(count, fiber.context)
            const last = lastPosition(appended)
            // what is staged has no position yet
            if (last > 0) {
              tail.stored(last)
            }
            return answer(appended)
          }))
      )
    )

  const appendAll = (
    operation: string,
    entries: ReadonlyArray<Entry>,
    condition: AppendCondition | undefined
  ): Effect.Effect<ReadonlyArray<Appended>, any> =>
    entries.length === 0
      ? Effect.fail(new InvalidInput({ field: "entries", problem: "are empty" }))
      : appendEntries(operation, entries, condition, (index) =>
        `entries[${index}].`, (appended) =>
        appended.map((entry, i) =>
          toAppended(entries[i]!.stream.streamId, entry)
        ))

  const countPage = ({ events }: Page) => Metric.update(eventsRead, events.length)

  const checked = <A, E, R>(stream: AnyStream, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | InvalidInput, R> =>
    stream.problem === undefined ? effect : Effect.fail(new InvalidInput({ field: "stream", problem: stream.problem }))

  const change = (
    operation: string,
    stream: AnyStream,
    change: StreamChange,
    expected: ExpectedVersion = "any"
  ): Effect.Effect<void, any> =>
    isExpectedVersion(expected)
      ? observe(operation, Category.name(stream))(checked(
        stream,
        change._tag === "SetMetadata"
          ? storage.change(stream.streamId, change, expected)
          // also where nobody knows whether it was made
          : Effect.ensuring(
            storage.change(stream.streamId, change, expected),
            Effect.sync(() => StreamChanges.of(storage).add(stream.streamId))
          )
      ))
      : Effect.fail(new InvalidInput({ field: "expected", problem: `is ${String(expected)}` }))

  const readLog = <Out, R>(
    filter: EventFilter | undefined,
    options: Parameters<typeof LogRange.fromReadOptions>[0],
    decode: Parameters<typeof readPages<Out, any, R>>[0]["decode"],
    operation: string
  ): Stream.Stream<Recorded<Out>, any, R> =>
    Stream.unwrap(
      Effect.map(
        Effect.all([LogRange.fromReadOptions(options), LogFilter.fromEventFilter(filter)]),
        ([range, logFilter]) => {
          const target = logFilter.categories?.length === 1 ? logFilter.categories[0] : undefined
          return readPages({
            range,
            cursor: (stored) => stored.position,
            page: (range) => observe(operation, target)(Effect.tap(storage.logPage(logFilter, range), countPage)),
            decode
          })
        }
      )
    )

  const head = (stream?: AnyStream): Effect.Effect<any, any> =>
    stream === undefined
      ? observe("head")(storage.head) as Effect.Effect<Position>
      : observe("head", Category.name(stream))(checked(
        stream,
        Effect.flatMap(
          storage.stream(stream.streamId),
          (state) =>
            state.tombstoned
              ? new StreamTombstoned({ streamId: stream.streamId })
              : Effect.succeed(state.version as StreamVersion)
        )
      ))

  return {
    append: (stream, events, options) =>
      appendEntries(
        "append",
        [{ stream: stream as AnyStream, events, expected: options?.expected === undefined ? "any" : options.expected }],
        undefined,
        noPrefix,
        ([entry]) => toAppended(stream.streamId, entry!)
      ),

    appendAll: (entries) => appendAll("appendAll", entries, undefined),

    appendIf: (condition, entries) => appendAll("appendIf", "stream" in entries ? [entries] : entries, condition),

    read: (stream, options) =>
      Stream.unwrap(Effect.map(checked(stream, LogRange.fromReadOptions(options)), (range) =>
        readPages({
          range,
          cursor: (stored) => stored.streamVersion,
          page: (range) =>
            observe("read", Category.name(stream))(Effect.tap(storage.streamPage(stream.streamId, range), countPage)),
          decode: stream.category.codec.decode
        }))),

    readAll: (options) => readLog<RawEvent, never>(options, options, Category.raw.codec.decode, "readAll"),

    readCategory: (category, options) => {
      const categories: ReadonlyArray<Category.Any> = Array.isArray(category) ? category : [category]
      const isAll = categories.some(({ name }) => name === Category.raw.name)
      const filter = isAll ? options : { ...options, categories }
      return readLog<any, any>(filter, options, byCategory(categories), "readCategory")
    },

    readEvent: (eventId) =>
      isEventId(eventId)
        ? observe("readEvent")(Effect.map(
          storage.event(eventId),
          Option.map((stored) => {
            const events: Array<Recorded<RawEvent>> = []
            Category.raw.codec.decode(stored, events)
            return events[0]!
          })
        ))
        : Effect.fail(new InvalidInput({ field: "eventId", problem: "is not a lower-case UUID" })),

    head,

    info: (stream) =>
      observe("info", Category.name(stream))(checked(stream, Effect.map(storage.stream(stream.streamId), toInfo))),

    streams: (options) =>
      Stream.unwrap(Effect.gen(function*() {
        const { limit } = yield* LogRange.fromReadOptions({ limit: options?.limit })
        const category = options?.category
        const name = category === undefined ? undefined : `${typeof category === "string" ? category : category.name}-`
        const prefix = yield* LogFilter.textField("prefix", options?.prefix ?? name ?? "")
        if (name !== undefined && !prefix.startsWith(name)) {
          return yield* new InvalidInput({ field: "prefix", problem: `does not begin with ${name}` })
        }
        const after = yield* LogFilter.textField("after", options?.after ?? "")
        const infos = Stream.paginate(after, (after) =>
          Effect.map(
            observe("streams", name?.slice(0, -1))(storage.streams({ prefix, after, limit: namesPage })),
            (states) => {
              const last = states[states.length - 1]
              const next = last === undefined || states.length < namesPage ? Option.none() : Option.some(last.streamId)
              return [states.map(toInfo), next] as const
            }
          ))
        const listed = options?.deleted === true ? infos : Stream.filter(infos, ({ status }) => status === "active")
        return Stream.take(listed, limit)
      })),

    setMetadata: (stream, metadata, options) => {
      const text = isJson(metadata) ? JSON.stringify(metadata) : undefined
      if (text === undefined || hasForbiddenEscape(text)) {
        return Effect.fail(
          new InvalidInput({ field: "metadata", problem: "is not JSON without NUL and lone surrogates" })
        )
      }
      const size = byteLength(text, limits.eventBytes)
      if (size > limits.eventBytes) return Effect.fail(tooLarge("metadata", size, limits.eventBytes))
      const value = metadata === null ? null : text
      return change("setMetadata", stream, { _tag: "SetMetadata", metadata: value }, options?.expected)
    },

    truncateBefore: (stream, version, options) =>
      Number.isSafeInteger(version) && version >= 0
        ? change("truncateBefore", stream, { _tag: "TruncateBefore", version }, options?.expected)
        : Effect.fail(new InvalidInput({ field: "version", problem: `is ${String(version)}, which is not a version` })),

    delete: (stream, options) => change("delete", stream, { _tag: "Delete" }, options?.expected),

    tombstone: (stream, options) => change("tombstone", stream, { _tag: "Tombstone" }, options?.expected),

    transaction: (effect) =>
      observe("transaction")(Effect.mapError(storage.transaction(effect), inline.explain)).pipe(
        Effect.tap(() => Effect.sync(() => tail.stored(0)))
      ),

    limits,
    storage,
    tail,
    inline: { register: inline.register },
    background: { add: background.add }
  }
}

/** Streams that a list asks for at a time. */
const namesPage = 500

const noPrefix = () => ""

const lastPosition = (appended: ReadonlyArray<AppendedEntry>): number => {
  let last = 0
  for (const { position } of appended) last = Math.max(last, position)
  return last
}

const isJson = Schema.is(Schema.Json)

const toAppended = (streamId: StreamId.StreamId, entry: AppendedEntry): Appended => ({
  streamId,
  firstVersion: entry.firstVersion as StreamVersion,
  version: entry.version as StreamVersion,
  firstPosition: entry.firstPosition as Position,
  position: entry.position as Position
})

const toInfo = (state: StreamState): StreamInfo => ({
  streamId: state.streamId as StreamId.StreamId,
  version: state.version as StreamVersion,
  truncatedBefore: state.truncatedBefore as StreamVersion,
  status: state.tombstoned ?
    "tombstoned" :
    state.version === 0 ?
    "new" :
    state.version < state.truncatedBefore ?
    "deleted" :
    "active",
  metadata: state.metadata === null ? Option.none() : Option.some(JSON.parse(state.metadata))
})
