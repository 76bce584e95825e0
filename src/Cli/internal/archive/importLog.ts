import { Effect, Result, Stream } from "effect"
import { InvalidInput } from "../../../Store/StoreError.ts"
import { NotImportable } from "../../ArchiveError.ts"
import type { LogTables } from "../frame/logSql.ts"
import type { ArchivedEvent, ArchivedStream } from "./archivedEvent.ts"
import { sayOf, toEvent, toStream } from "./archiveLine.ts"
import { makeAdvance, type ProgressOptions } from "./archiveProgress.ts"
import { appliesInline, type BatchError, makeBatches } from "./importBatch.ts"
import { isChecked, type Source } from "./importSource.ts"
import * as Sql from "./importSql.ts"

/** What an import answers. */
export interface Imported {
  /** Events that were stored now. */
  readonly stored: number
  /** Events that an earlier import had stored. */
  readonly present: number
  /** Streams of which something beyond their events was changed. */
  readonly streamsChanged: number
  /** Whether each event stands at the position that it has in the source. */
  readonly arePositionsKept: boolean
}

export type ImportError = BatchError | InvalidInput

const batchEvents = 1000

/** Characters of data after which a batch is large enough. */
const batchLength = 4 * 1024 * 1024

const batchStreams = 500

export const importFrom = <E, R>(
  source: Source<E, R>,
  log: LogTables,
  options?: ProgressOptions
): Effect.Effect<Imported, ImportError | E, R> =>
  Effect.gen(function*() {
    if (yield* Sql.isInTransaction(log)) {
      return yield* new InvalidInput({ field: "transaction", problem: "is open: an import makes its own, one a batch" })
    }
    yield* Sql.prepare(log)
    const { inline } = yield* Sql.state(log)
    if (inline !== null) return yield* appliesInline(inline)

    const advance = makeAdvance("importing", source.total, options)
    const { run, tally } = makeBatches(log, source)
    let batch: Array<ArchivedEvent> = []
    let length = 0
    const flush = Effect.suspend(() => {
      const events = batch
      batch = []
      length = 0
      return events.length === 0 ? Effect.void : Effect.andThen(run(events), advance(events.length))
    })
    yield* Stream.runForEachArray(Stream.bufferArray(source.events, { capacity: 2 }), (page) =>
      Effect.gen(function*() {
        for (const given of page) {
          batch.push(isChecked(source) ? given : yield* checkedEvent(given))
          length += given.data.length + (given.metadata?.length ?? 0)
          if (batch.length >= batchEvents || length >= batchLength) yield* flush
        }
      }))
    yield* flush
    const streamsChanged = yield* importStreams(source, log, tally.ranges)
    if (source.isWhole && source.head !== undefined && tally.arePositionsKept) {
      yield* keepHead(log, tally.last, source.head)
    }
    yield* advance(0)
    return { stored: tally.stored, present: tally.present, streamsChanged, arePositionsKept: tally.arePositionsKept }
  })

const checkedEvent = (event: ArchivedEvent): Effect.Effect<ArchivedEvent, NotImportable> => {
  const checked = toEvent(event)
  return Result.isSuccess(checked)
    ? Effect.succeed(checked.success)
    : new NotImportable({ row: `position ${event.position}`, problem: sayOf(checked.failure) })
}

const importStreams = <E, R>(source: Source<E, R>, log: LogTables, stored: ReadonlyArray<Sql.Range>) =>
  Effect.gen(function*() {
    let changed = 0
    yield* Stream.runForEach(Stream.grouped(source.streams, batchStreams), (streams) =>
      Effect.gen(function*() {
        const checked = isChecked(source) ? streams : yield* Effect.forEach(streams, checkedStream)
        const names = new Set(checked.map(({ streamId }) => streamId))
        if (names.size < checked.length) {
          const twice = checked.find(({ streamId }) => !names.delete(streamId))!
          return yield* new NotImportable({ row: `stream ${twice.streamId}`, problem: "it comes twice" })
        }
        changed += yield* Sql.locked(
          log,
          Effect.tap(
            Sql.setStates(log, checked, stored),
            (count): Effect.Effect<unknown, ImportError> => count === 0 ? Effect.void : Sql.notify(log)
          )
        )
      }))
    return changed
  })

const checkedStream = (stream: ArchivedStream): Effect.Effect<ArchivedStream, NotImportable> => {
  const checked = toStream(stream)
  return Result.isSuccess(checked)
    ? Effect.succeed(checked.success)
    : new NotImportable({ row: `stream ${stream.streamId}`, problem: sayOf(checked.failure) })
}

/** Positions after the last event were used in the source: nothing takes them here, unless something has already. */
const keepHead = (log: LogTables, last: number, head: number) =>
  Sql.locked(
    log,
    Effect.flatMap(
      Sql.state(log),
      (state): Effect.Effect<unknown, ImportError> =>
        state.head === last || state.isEmpty ? Sql.raiseFloor(log, head) : Effect.void
    )
  )
