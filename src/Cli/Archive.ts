/**
 * Archives of a log: a directory of compressed JSON lines with a manifest and checksums, to keep, and to import again. And
 * what goes without one: from one log into another.
 *
 * @since 0.1.0
 */
import { Effect, type FileSystem, type Path, type Stream } from "effect"
import type { InvalidInput, StoreError } from "../Store/StoreError.ts"
import type {
  ArchiveDamaged,
  ArchiveExists,
  ArchiveFileFailed,
  EventDiffers,
  ImportRefused,
  NotAnArchive,
  NotExportable,
  NotImportable,
  StreamDiverges,
  StreamEnded
} from "./ArchiveError.ts"
import type * as Archived from "./internal/archive/archivedEvent.ts"
import type * as Manifests from "./internal/archive/archiveManifest.ts"
import type { ArchiveProgress, ProgressOptions } from "./internal/archive/archiveProgress.ts"
import * as Reader from "./internal/archive/archiveReader.ts"
import * as Exporting from "./internal/archive/exportLog.ts"
import * as Importing from "./internal/archive/importLog.ts"
import * as Sources from "./internal/archive/importSource.ts"
import type * as Tables from "./internal/frame/logSql.ts"

/**
 * Where a log is: a client, the name of the database schema, `"eventstore"` where nothing else was chosen, and which of the
 * logs in it.
 *
 * @category models
 * @since 0.1.0
 */
export type LogTables = Tables.LogTables

/**
 * An event as an archive keeps it, all that the log knows of it: `data` and `metadata` are JSON texts as they are stored,
 * `recordedAt` is in UTC with microseconds, `2026-11-21T18:30:00.123456Z`.
 *
 * @category models
 * @since 0.1.0
 */
export type ArchivedEvent = Archived.ArchivedEvent

/**
 * What a stream has beyond its events: what is hidden of it, whether it was ended, its metadata.
 *
 * @category models
 * @since 0.1.0
 */
export type ArchivedStream = Archived.ArchivedStream

/**
 * What the file `manifest.json` says. There is nothing in it of when and where the archive was made: the same events give the
 * same archive, byte by byte.
 *
 * @category models
 * @since 0.1.0
 */
export type Manifest = Manifests.Manifest

/**
 * An archive that was opened.
 *
 * @category models
 * @since 0.1.0
 */
export type Archive = Reader.Archive

/**
 * Which events an export takes: `categories`, by name or as they are declared; `recordedFrom` and `recordedUntil`, one range of
 * positions between the first events that were recorded at these times or later; `visibleOnly`, without what is truncated,
 * deleted or tombstoned. With nothing said it is all of the log, hidden events too: a backup has to be whole.
 *
 * @category models
 * @since 0.1.0
 */
export type ExportFilter = Exporting.ExportFilter

/**
 * What an export did. `holes` are positions without an event where there should be one, in an export of all of a log: some
 * were removed by hand, and an import closes the holes. `emptyCategories` were asked for, and have no event.
 *
 * @category models
 * @since 0.1.0
 */
export type Exported = Exporting.Exported

/**
 * Where an import takes events from. An archive and a log are sources, and a program may make others.
 *
 * @category models
 * @since 0.1.0
 */
export type Source<E = never, R = never> = Sources.Source<E, R>

/**
 * What an import did: `stored` now, `present` from an import before. Where `stored` and `streamsChanged` are 0, it changed
 * nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type Imported = Importing.Imported

/**
 * How far an export or an import came.
 *
 * @category models
 * @since 0.1.0
 */
export type Progress = ArchiveProgress

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends ProgressOptions {}

/**
 * What an export can answer instead of a result. Then there is no archive.
 *
 * @category errors
 * @since 0.1.0
 */
export type ExportError = ArchiveExists | ArchiveFileFailed | InvalidInput | NotExportable | StoreError

/**
 * What reading an archive can answer instead of a result.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReadError = ArchiveDamaged | ArchiveFileFailed

/**
 * What an import can answer instead of a result. All batches before are stored, and nothing of the one that failed: the same
 * import run again goes on there.
 *
 * @category errors
 * @since 0.1.0
 */
export type ImportError =
  | EventDiffers
  | ImportRefused
  | InvalidInput
  | NotImportable
  | StoreError
  | StreamDiverges
  | StreamEnded

/**
 * Writes an archive to a directory that is not there yet. The log may be in use: the archive ends with the event that is the
 * newest when the export begins. There is a whole archive at the end, or none. It is readable by its owner only.
 *
 * **Gotchas** A process that is killed leaves its unfinished work beside the directory, under a name that begins with a dot.
 *
 * **Example** (A backup)
 * ```ts
 * import { Effect } from "effect"
 * import { SqlClient } from "effect/sql"
 * import { Archive } from "effect-eventstore/Cli"
 *
 * export const backUp = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const { manifest } = yield* Archive.exportLog({ sql, schema: "eventstore", log: 1 }, "./backup")
 *   yield* Effect.log(`${manifest.events} events up to position ${manifest.lastPosition}`)
 * })
 * ```
 * @category exporting
 * @since 0.1.0
 */
export const exportLog: (
  log: LogTables,
  directory: string,
  options?: ExportFilter & Options
) => Effect.Effect<Exported, ExportError, FileSystem.FileSystem | Path.Path> = Exporting.exportLog

/**
 * Opens an archive: reads its manifest, and no more.
 *
 * @category reading
 * @since 0.1.0
 */
export const open: (
  directory: string
) => Effect.Effect<Archive, NotAnArchive | ReadError, FileSystem.FileSystem | Path.Path> = Reader.open

/**
 * Reads all of an archive, and looks whether it is what was written: the sizes and checksums of its files, every line, the
 * order of positions. {@link importArchive} does it before it stores anything.
 *
 * @category reading
 * @since 0.1.0
 */
export const check: (
  archive: Archive,
  options?: Options
) => Effect.Effect<void, ReadError, FileSystem.FileSystem | Path.Path> = Reader.check

/**
 * The events of an archive, in the order of positions. Damage fails the stream, at the latest at the end of the file it is in.
 *
 * @category reading
 * @since 0.1.0
 */
export const events: (
  archive: Archive
) => Stream.Stream<ArchivedEvent, ReadError, FileSystem.FileSystem | Path.Path> = Reader.events

/**
 * What the streams of an archive have beyond their events, in the order of their names.
 *
 * @category reading
 * @since 0.1.0
 */
export const streams: (
  archive: Archive
) => Stream.Stream<ArchivedStream, ReadError, FileSystem.FileSystem | Path.Path> = Reader.streams

/**
 * An archive as something to import.
 *
 * **Gotchas** It is not checked as a whole before: {@link importArchive} does that.
 *
 * @category sources
 * @since 0.1.0
 */
export const fromArchive = (archive: Archive): Source<ReadError, FileSystem.FileSystem | Path.Path> =>
  Sources.checked({
    total: archive.manifest.events,
    isWhole: archive.manifest.isWhole,
    head: archive.manifest.head ?? undefined,
    events: events(archive),
    streams: streams(archive)
  })

/**
 * A log as something to import, as it is now: what is appended later is no part of it.
 *
 * @category sources
 * @since 0.1.0
 */
export const fromLog: (
  log: LogTables,
  filter?: ExportFilter
) => Effect.Effect<Source<NotExportable | StoreError>, InvalidInput | NotExportable | StoreError> = Exporting.logSource

/**
 * Imports an archive into a log, after it was checked from the first byte to the last. See {@link importFrom}.
 *
 * **Example** (Bringing a backup back)
 * ```ts
 * import { Effect } from "effect"
 * import { SqlClient } from "effect/sql"
 * import { Archive } from "effect-eventstore/Cli"
 *
 * export const restore = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const { present, stored } = yield* Archive.importArchive("./backup", { sql, schema: "eventstore", log: 1 })
 *   yield* Effect.log(`${stored} events stored, ${present} were there already`)
 * })
 * ```
 * @category importing
 * @since 0.1.0
 */
export const importArchive = (directory: string, log: LogTables, options?: Options): Effect.Effect<
  Imported,
  ImportError | NotAnArchive | ReadError,
  FileSystem.FileSystem | Path.Path
> =>
  Effect.gen(function*() {
    const archive = yield* open(directory)
    yield* check(archive, options)
    return yield* importFrom(fromArchive(archive), log, options)
  })

/**
 * Stores the events of a source in a log, with their ids, versions, times, tags and data as they are, and what streams have
 * beyond them. Needs the privileges of the role that owns the tables.
 *
 * **Details** An empty log takes a whole source at the same positions; otherwise events get the next positions, in the same
 * order. The events of a stream have to continue it exactly. One that begins above version 1 is as if it had been truncated
 * there. Events that are there already, by their ids, are compared and passed over, so an import that was interrupted goes on
 * where it stopped when it is run again, and a complete one changes nothing the second time.
 *
 * **Gotchas** Events that are hidden in the source can be read until the import ends: what hides them is stored last. What was
 * hidden or tombstoned in the log stays so, and events for a stream that ended there alone are refused. Metadata of a stream
 * replace those in the log only where the stream got events: they may have been changed there since the import before. A log that
 * applies inline projections takes no import.
 *
 * @category importing
 * @since 0.1.0
 */
export const importFrom: <E, R>(
  source: Source<E, R>,
  log: LogTables,
  options?: Options
) => Effect.Effect<Imported, ImportError | E, R> = Importing.importFrom

/**
 * Imports one log into another, of another database or of the same, without an archive between them. See {@link importFrom}.
 *
 * @category importing
 * @since 0.1.0
 */
export const copyLog = (
  from: LogTables,
  to: LogTables,
  options?: ExportFilter & Options
): Effect.Effect<Imported, ImportError | NotExportable> =>
  Effect.flatMap(fromLog(from, options), (source) => importFrom(source, to, options))
