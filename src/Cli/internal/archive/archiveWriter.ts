import { Effect, Exit, FileSystem, Path, type PlatformError, Scope, Stream } from "effect"
import { ArchiveExists, ArchiveFileFailed } from "../../ArchiveError.ts"
import type { ArchivedEvent, ArchivedStream } from "./archivedEvent.ts"
import { makeGzip, makeSummer } from "./archiveGzip.ts"
import { encodeEvent, encodeStream } from "./archiveLine.ts"
import * as Manifest from "./archiveManifest.ts"

const eventsPerFile = 10_000

/** Characters that are gathered before they are compressed. */
const bufferLength = 128 * 1024

/**
 * Writes an archive. It is made in a directory beside the target and gets its name as the last thing of all, so that there is
 * all of it or nothing, also when the power goes.
 */
export const write = <E, R>(target: string, content: {
  readonly events: Stream.Stream<ArchivedEvent, E, R>
  readonly streams: Stream.Stream<ArchivedStream, E, R>
  /** What the manifest says beyond what was written. */
  readonly filter: Manifest.Manifest["filter"]
  readonly isWhole: boolean
  readonly head: number | undefined
}): Effect.Effect<
  Manifest.Manifest,
  ArchiveExists | ArchiveFileFailed | E,
  FileSystem.FileSystem | Path.Path | R
> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const full = path.resolve(target)
    const parent = path.dirname(full)
    const failed = (cause: PlatformError.PlatformError) => new ArchiveFileFailed({ path: target, cause })
    const refuseExisting = Effect.flatMap(
      Effect.mapError(fs.exists(full), failed),
      (exists): Effect.Effect<void, ArchiveExists> =>
        exists ? Effect.fail(new ArchiveExists({ path: target })) : Effect.void
    )
    yield* refuseExisting

    const writeAll = (directory: string) =>
      Effect.scoped(Effect.gen(function*() {
        const eventsFiles = yield* writeEvents(directory, content.events)
        const streamsFile = yield* writeStreams(directory, content.streams)
        const manifest = Manifest.make({
          filter: content.filter,
          isWhole: content.isWhole,
          head: content.head ?? null,
          events: eventsFiles.reduce((sum, file) => sum + file.events, 0),
          firstPosition: eventsFiles[0]?.firstPosition ?? null,
          lastPosition: eventsFiles.at(-1)?.lastPosition ?? null,
          eventsFiles,
          streamsFile
        })
        yield* Effect.mapError(
          Effect.scoped(Effect.gen(function*() {
            const file = yield* fs.open(path.join(directory, Manifest.fileName), { flag: "wx" })
            yield* file.writeAll(new TextEncoder().encode(Manifest.encode(manifest)))
            yield* file.sync
          })),
          failed
        )
        yield* syncDirectory(directory)
        // a rename that is under way when its directory is removed would leave a part of the archive
        yield* Effect.uninterruptible(Effect.gen(function*() {
          yield* refuseExisting
          yield* Effect.mapError(fs.rename(directory, full), failed)
          yield* syncDirectory(parent)
        }))
        return manifest
      }))

    return yield* Effect.acquireUseRelease(
      Effect.mapError(fs.makeTempDirectory({ directory: parent, prefix: `.${path.basename(full)}-` }), failed),
      writeAll,
      // it is not there any more where all went well
      (directory) => Effect.ignore(fs.remove(directory, { recursive: true, force: true }))
    )
  })

/** The names in a directory, on the disk. Not every system can. */
const syncDirectory = (directory: string) =>
  FileSystem.FileSystem.use((fs) =>
    Effect.ignore(Effect.scoped(Effect.flatMap(fs.open(directory), (handle) => handle.sync)))
  )

const writeEvents = <E, R>(directory: string, events: Stream.Stream<ArchivedEvent, E, R>) =>
  Effect.gen(function*() {
    const files: Array<Manifest.EventsFile> = []
    let open: OpenFile | undefined
    let [count, firstPosition, lastPosition] = [0, 0, 0]
    const finish = Effect.gen(function*() {
      if (open === undefined) return
      files.push({ name: open.name, events: count, firstPosition, lastPosition, ...yield* open.finish })
      open = undefined
      count = 0
    })
    yield* Stream.runForEachArray(events, (page) =>
      Effect.gen(function*() {
        for (const event of page) {
          if (count === eventsPerFile) yield* finish
          if (open === undefined) {
            open = yield* openFile(directory, Manifest.eventsFileName(files.length))
            firstPosition = event.position
          }
          count++
          lastPosition = event.position
          if (open.add(encodeEvent(event))) yield* open.flush
        }
      }))
    yield* finish
    return files
  })

const writeStreams = <E, R>(directory: string, streams: Stream.Stream<ArchivedStream, E, R>) =>
  Effect.gen(function*() {
    const open = yield* openFile(directory, Manifest.streamsFileName)
    let count = 0
    yield* Stream.runForEachArray(streams, (page) =>
      Effect.gen(function*() {
        for (const stream of page) {
          count++
          if (open.add(encodeStream(stream))) yield* open.flush
        }
      }))
    return { name: Manifest.streamsFileName, streams: count, ...yield* open.finish } as const
  })

interface OpenFile {
  readonly name: string
  /** Gathers a line; answers whether it is time to flush. */
  readonly add: (line: string) => boolean
  readonly flush: Effect.Effect<void, ArchiveFileFailed>
  /** Closes it, with all of it on the disk. */
  readonly finish: Effect.Effect<
    Pick<Manifest.EventsFile, "bytes" | "sha256" | "compressedBytes" | "compressedSha256">,
    ArchiveFileFailed
  >
}

/** A compressed file of lines; it is closed when it is finished, or with the scope. */
const openFile = (
  directory: string,
  name: string
): Effect.Effect<OpenFile, ArchiveFileFailed, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = (yield* Path.Path).join(directory, name)
    const failed = (cause: Error) => new ArchiveFileFailed({ path, cause })
    const scope = yield* Scope.fork(yield* Scope.Scope)
    const file = yield* Effect.mapError(Scope.provide(fs.open(path, { flag: "wx" }), scope), failed)
    const gzip = yield* Scope.provide(makeGzip, scope)
    const [compressed, plain] = [makeSummer(), makeSummer()]
    const encoder = new TextEncoder()
    let text = ""

    const write = (chunks: ReadonlyArray<Uint8Array>) =>
      Effect.forEach(chunks, (chunk) => {
        compressed.add(chunk)
        return file.writeAll(chunk)
      }, { discard: true })

    const flush = Effect.suspend(() => {
      const bytes = encoder.encode(text)
      text = ""
      plain.add(bytes)
      return Effect.mapError(Effect.flatMap(gzip.write(bytes), write), failed)
    })

    return {
      name,
      add: (line) => {
        text += `${line}\n`
        return text.length >= bufferLength
      },
      flush,
      finish: Effect.gen(function*() {
        yield* flush
        yield* Effect.mapError(Effect.andThen(Effect.flatMap(gzip.end, write), file.sync), failed)
        yield* Scope.close(scope, Exit.void)
        const [{ bytes, sha256 }, packed] = [plain.sum(), compressed.sum()]
        return { bytes, sha256, compressedBytes: packed.bytes, compressedSha256: packed.sha256 }
      })
    }
  })
