import { DateTime, Effect, type FileSystem, Option, type Path, Result, type Schema, Stream } from "effect"
import { textField } from "../../../Store/LogFilter.ts"
import { InvalidInput, type StoreError } from "../../../Store/StoreError.ts"
import type * as Category from "../../../Stream/Category.ts"
import { type ArchiveExists, type ArchiveFileFailed, NotExportable } from "../../ArchiveError.ts"
import type { LogTables } from "../frame/logSql.ts"
import type { ArchivedEvent, ArchivedStream } from "./archivedEvent.ts"
import { sayOf, toEvent, toStream } from "./archiveLine.ts"
import type { Manifest } from "./archiveManifest.ts"
import { makeAdvance, type ProgressOptions } from "./archiveProgress.ts"
import { write } from "./archiveWriter.ts"
import * as Sql from "./exportSql.ts"
import * as Source from "./importSource.ts"

/** Which events of a log are taken; all of them where nothing is said. */
export interface ExportFilter {
  /** Of one of these categories. */
  readonly categories?: ReadonlyArray<Category.Any | string> | undefined
  /**
   * From the first event that was recorded at this time or later. All positions between this and `recordedUntil` are taken:
   * clocks step back, and a stream must not have holes.
   */
  readonly recordedFrom?: DateTime.Utc | undefined
  /** Up to the last event before the first that was recorded at this time or later. */
  readonly recordedUntil?: DateTime.Utc | undefined
  /** Without the events that are hidden from reads, since their stream was truncated, deleted or tombstoned. */
  readonly visibleOnly?: boolean | undefined
}

/** No events stand between two positions, both exclusive, though there should be some. */
export interface Hole {
  readonly after: number
  readonly before: number
}

/** A log as it is now, as something to import: what is appended from now on is no part of it. */
export interface LogSource extends Source.Source<NotExportable | StoreError> {
  readonly filter: Manifest["filter"]
  /** The positions before the first event, where all of the log is taken: what it has no events of was used and is gone. */
  readonly floor: number | undefined
  /** Categories that were asked for, and of which the log has no event. */
  readonly emptyCategories: ReadonlyArray<string>
}

type SourceError = InvalidInput | NotExportable | StoreError

/** Most holes that are told one by one. */
const toldHoles = 100

export const logSource = (log: LogTables, filter?: ExportFilter): Effect.Effect<LogSource, SourceError> =>
  Effect.gen(function*() {
    const { categories, recordedFrom, recordedUntil } = filter ?? {}
    const visibleOnly = filter?.visibleOnly ?? false
    const names = categories === undefined ? null : yield* Effect.forEach(
      categories,
      (category) => textField("categories", typeof category === "string" ? category : category.name)
    )
    const selection = {
      categories: names === null ? null : [...new Set(names)].sort(),
      recordedFrom: toMillis(recordedFrom),
      recordedUntil: toMillis(recordedUntil)
    }
    if (
      selection.recordedFrom !== null && selection.recordedUntil !== null &&
      selection.recordedFrom >= selection.recordedUntil
    ) {
      return yield* new InvalidInput({
        field: "recordedUntil",
        problem: `is ${toText(recordedUntil)}, and nothing is before that from ${toText(recordedFrom)} on`
      })
    }
    const top = yield* Sql.head(log)
    if (top === undefined) {
      return yield* new InvalidInput({ field: "log", problem: `is ${log.log}, and there is no such log` })
    }
    const isRange = selection.recordedFrom !== null || selection.recordedUntil !== null
    const isAll = !isRange && selection.categories === null
    const span = { ...yield* Sql.range(log, { head: top.head, ...selection }), categories: selection.categories }
    const { count, first, last } = yield* Sql.count(log, span)
    // newest events that are gone leave a floor above the others: nobody knows what stood before these
    const floor = isAll && first !== null ? top.floor < first ? top.floor : first - 1 : undefined
    const isWhole = isAll && !visibleOnly && (first === null || first === floor! + 1 && last! - first + 1 === count)
    const emptyCategories = selection.categories === null
      ? []
      : yield* Sql.emptyCategories(log, selection.categories, top.head)
    const limits = visibleOnly ? yield* hiddenStreams(log) : undefined
    const all = importable(events(log, span), toEvent, ({ position }) => `position ${position}`)
    return Source.checked({
      total: visibleOnly ? undefined : count,
      isWhole,
      head: isWhole && top.head > (last ?? 0) ? top.head : undefined,
      events: limits === undefined
        ? all
        : Stream.filter(all, ({ streamId, streamVersion }) => {
          const limit = limits.get(streamId)
          return limit === undefined || limit !== null && streamVersion >= limit
        }),
      streams: importable(
        streams(log, { ...span, isPart: isRange }),
        toStream,
        ({ streamId }) => `stream ${JSON.stringify(streamId)}`
      ),
      filter: {
        categories: selection.categories,
        recordedFrom: toText(recordedFrom),
        recordedUntil: toText(recordedUntil),
        visibleOnly
      },
      floor,
      emptyCategories
    })
  })

const toMillis = (time: DateTime.Utc | undefined) => time === undefined ? null : DateTime.toEpochMillis(time)

const toText = (time: DateTime.Utc | undefined) => time === undefined ? null : DateTime.formatIso(time)

/**
 * What is hidden as the export begins: the first visible version of each stream, `null` where it was tombstoned. It is kept,
 * since a stream that is truncated meanwhile would lose events between two pages, and have a hole in its versions.
 */
const hiddenStreams = (log: LogTables) =>
  Effect.gen(function*() {
    const limits = new Map<string, number | null>()
    for (let after = "";;) {
      const page = yield* Sql.hidden(log, after)
      for (const [streamId, limit] of page) limits.set(streamId, limit)
      if (page.length === 0) return limits
      after = page.at(-1)![0]
    }
  })

/** Fails where an import would refuse a value: what is taken out can be brought back. */
const importable = <A, E>(
  values: Stream.Stream<A, E>,
  check: (value: A) => Result.Result<unknown, Schema.SchemaError>,
  placeOf: (value: A) => string
): Stream.Stream<A, E | NotExportable> =>
  Stream.mapArrayEffect(values, (page) => {
    for (const value of page) {
      const result = check(value)
      if (Result.isFailure(result)) {
        return new NotExportable({ row: placeOf(value), problem: sayOf(result.failure) })
      }
    }
    return Effect.succeed(page)
  })

/** Positions that one statement looks at, at most. */
const maxWindow = 32 * Sql.pageEvents

/** Windows of positions: they grow where there is little of what is wanted, so that none is long where there is much. */
const events = (log: LogTables, span: Sql.Span): Stream.Stream<ArchivedEvent, NotExportable | StoreError> =>
  Stream.paginate(
    { first: span.first, window: Sql.pageEvents },
    ({ first, window }) =>
      Effect.map(Sql.page(log, { ...span, first, last: Math.min(first + window - 1, span.last) }), (events) => {
        const isFull = events.length === Sql.pageEvents
        const next = isFull ? events.at(-1)!.event.position + 1 : first + window
        const nextWindow = isFull
          ? Math.max(window / 2, Sql.pageEvents)
          : events.length < Sql.pageEvents / 4
          ? Math.min(window * 2, maxWindow)
          : window
        return [
          Sql.filled(log, events),
          next > span.last ? Option.none() : Option.some({ first: next, window: nextWindow })
        ] as const
      })
  ).pipe(
    Stream.mapEffect((part) => part),
    Stream.flatMap(Stream.fromArray)
  )

const streams = (
  log: LogTables,
  span: Sql.Span & { readonly isPart: boolean }
): Stream.Stream<ArchivedStream, NotExportable | StoreError> =>
  Stream.paginate("", (after) =>
    Effect.map(Sql.states(log, after, span), (page) =>
      [
        page,
        page.length === 0 ? Option.none() : Option.some(page.at(-1)!.streamId)
      ] as const))

/** What an export answers. */
export interface Exported {
  readonly manifest: Manifest
  /** Positions without an event, where all of the log was asked for: at most a hundred holes are told, from the first on. */
  readonly holes: ReadonlyArray<Hole>
  /** Positions without an event in all holes. */
  readonly missing: number
  /** Categories that were asked for, and of which the log has no event: names that nobody writes to, perhaps. */
  readonly emptyCategories: ReadonlyArray<string>
}

export const exportLog = (
  log: LogTables,
  target: string,
  options?: ExportFilter & ProgressOptions
): Effect.Effect<
  Exported,
  ArchiveExists | ArchiveFileFailed | SourceError,
  FileSystem.FileSystem | Path.Path
> =>
  Effect.gen(function*() {
    const source = yield* logSource(log, options)
    const advance = makeAdvance("exporting", source.total, options)
    const holes: Array<Hole> = []
    let missing = 0
    let last = source.filter.visibleOnly ? undefined : source.floor
    const look = ({ position }: ArchivedEvent) => {
      if (last === undefined) return
      if (position !== last + 1) {
        missing += position - last - 1
        if (holes.length < toldHoles) holes.push({ after: last, before: position })
      }
      last = position
    }
    const manifest = yield* write(target, {
      ...source,
      events: Stream.mapArrayEffect(source.events, (page) => {
        page.forEach(look)
        return Effect.as(advance(page.length), page)
      })
    })
    return { manifest, holes, missing, emptyCategories: source.emptyCategories }
  })
