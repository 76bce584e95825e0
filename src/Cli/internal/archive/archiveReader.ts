import { Effect, FileSystem, Option, Path, Result, Stream } from "effect"
import * as StreamId from "../../../Stream/StreamId.ts"
import { ArchiveDamaged, ArchiveFileFailed, NotAnArchive } from "../../ArchiveError.ts"
import type { ArchivedEvent, ArchivedStream } from "./archivedEvent.ts"
import { makeGunzip, makeSummer, type Sum } from "./archiveGzip.ts"
import { decodeEvent, decodeStream, maxLine } from "./archiveLine.ts"
import * as Manifest from "./archiveManifest.ts"
import { makeAdvance, type ProgressOptions } from "./archiveProgress.ts"

/** An archive that was opened: its manifest was read, its files were not. */
export interface Archive {
  readonly path: string
  readonly manifest: Manifest.Manifest
}

type ReadError = ArchiveDamaged | ArchiveFileFailed

type Platform = FileSystem.FileSystem | Path.Path

export const open = (path: string): Effect.Effect<Archive, NotAnArchive | ReadError, Platform> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const file = (yield* Path.Path).join(path, Manifest.fileName)
    const kindOf = (path: string) => Effect.option(Effect.map(fs.stat(path), ({ type }) => type))
    const kind = yield* kindOf(path)
    if (Option.isSome(kind) && kind.value !== "Directory") {
      return yield* new NotAnArchive({ path, problem: "it is a file, and an archive is a directory" })
    }
    if (Option.contains(yield* kindOf(file), "Directory")) {
      return yield* new NotAnArchive({ path, problem: `${Manifest.fileName} in it is a directory` })
    }
    const text = yield* Effect.mapError(
      fs.readFileString(file),
      (cause) =>
        cause.reason._tag === "NotFound"
          ? new NotAnArchive({ path, problem: `there is no ${Manifest.fileName} in it` })
          : new ArchiveFileFailed({ path: file, cause })
    )
    const manifest = Manifest.decode(text)
    if (Result.isSuccess(manifest)) return { path, manifest: manifest.success }
    const { isForeign, problem } = manifest.failure
    return yield* isForeign
      ? new NotAnArchive({ path, problem })
      : new ArchiveDamaged({ path, file: Manifest.fileName, problem })
  })

/** The events, in the order of positions. Fails where a file is not what the manifest says, at the latest at its end. */
export const events = (archive: Archive): Stream.Stream<ArchivedEvent, ReadError, Platform> =>
  Stream.fromArray(archive.manifest.eventsFiles).pipe(
    Stream.flatMap((file) =>
      Stream.suspend(() => {
        let position = 0
        return decoded(archive, file, file.events, decodeEvent, (event) => {
          const last = position
          position = event.position
          if (last === 0 && position !== file.firstPosition) {
            return `begins at position ${position}, not ${file.firstPosition}`
          }
          if (position <= last) return `has position ${position} after ${last}`
          return position > file.lastPosition ? `goes beyond position ${file.lastPosition}` : undefined
        })
      })
    )
  )

/** What the streams have beyond their events, in the order of their names. */
export const streams = (archive: Archive): Stream.Stream<ArchivedStream, ReadError, Platform> =>
  Stream.suspend(() => {
    const file = archive.manifest.streamsFile
    let last = ""
    return decoded(archive, file, file.streams, decodeStream, ({ streamId }) => {
      const before = last
      last = streamId
      return StreamId.compare(before, streamId) < 0 ? undefined : `has stream ${streamId} after ${before}`
    })
  })

/** Reads all of an archive, and does nothing with it but look whether it is whole. */
export const check = (archive: Archive, options?: ProgressOptions): Effect.Effect<void, ReadError, Platform> =>
  Effect.gen(function*() {
    const advance = makeAdvance("checking", archive.manifest.events, options)
    yield* checkSizes(archive)
    yield* Stream.runDrain(streams(archive))
    yield* Stream.runForEachArray(events(archive), (page) => advance(page.length))
    yield* advance(0)
  })

/** A file that is missing or cut off shows at once. */
const checkSizes = ({ manifest, path }: Archive) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { join } = yield* Path.Path
    for (const file of [...manifest.eventsFiles, manifest.streamsFile]) {
      const { size } = yield* Effect.mapError(fs.stat(join(path, file.name)), toReadError(path, file.name))
      if (Number(size) !== file.compressedBytes) {
        return yield* new ArchiveDamaged({
          path,
          file: file.name,
          problem: `has ${size} bytes, and ${file.compressedBytes} bytes were written`
        })
      }
    }
  })

/** The lines of a file as values; `problemOf` looks at each in its place. */
const decoded = <A>(
  archive: Archive,
  file: Manifest.EventsFile | Manifest.StreamsFile,
  count: number,
  decode: (line: string) => Result.Result<A, string>,
  problemOf: (value: A) => string | undefined
): Stream.Stream<A, ReadError, Platform> =>
  Stream.suspend(() => {
    let line = 0
    const damaged = (problem: string, line?: number) =>
      new ArchiveDamaged({ path: archive.path, file: file.name, problem, ...(line === undefined ? {} : { line }) })
    const values = Stream.mapArrayEffect(lines(archive, file), (page) => {
      const decodedPage: Array<A> = []
      for (const text of page) {
        line++
        const value = decode(text)
        if (Result.isFailure(value)) return damaged(value.failure, line)
        const problem = problemOf(value.success)
        if (problem !== undefined) return damaged(problem, line)
        decodedPage.push(value.success)
      }
      return Effect.succeed(decodedPage as unknown as readonly [A, ...ReadonlyArray<A>])
    })
    const end = Stream.suspend(() =>
      line === count ? Stream.empty : Stream.fail(damaged(`has ${line} lines, and had ${count} when it was written`))
    )
    return Stream.concat(values, end)
  })

const chunkBytes = 64 * 1024

/** The lines of a file; its sums are compared with those of the manifest at its end. */
const lines = (
  { path }: Archive,
  file: Manifest.EventsFile | Manifest.StreamsFile
): Stream.Stream<string, ReadError, Platform> =>
  Stream.unwrap(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { join } = yield* Path.Path
    const damaged = (problem: string) => new ArchiveDamaged({ path, file: file.name, problem })
    const handle = yield* Effect.mapError(fs.open(join(path, file.name)), toReadError(path, file.name))
    const gunzip = yield* makeGunzip
    const [compressed, plain] = [makeSummer(), makeSummer()]
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
    let bytes = 0
    /** The beginning of a line that goes on, in parts: joined anew with each chunk, a long line would take for ever. */
    let rest: Array<string> = []
    let restLength = 0

    const toLines = (chunks: ReadonlyArray<Uint8Array>) =>
      Effect.gen(function*() {
        const found: Array<string> = []
        for (const chunk of chunks) {
          bytes += chunk.length
          // what a few bytes unpack to may be without end
          if (bytes > file.bytes) return yield* damaged(`has more than the ${file.bytes} bytes that were packed`)
          plain.add(chunk)
          const whole = yield* Effect.try({
            try: () => text.decode(chunk, { stream: true }).split("\n"),
            catch: () => damaged("is not UTF-8")
          })
          const next = whole.pop()!
          if (whole.length > 0) {
            whole[0] = rest.join("") + whole[0]
            rest = []
            restLength = 0
            for (const line of whole) found.push(line)
          }
          if (next !== "") rest.push(next)
          restLength += next.length
          if (restLength > maxLine) return yield* damaged(`has a line of more than ${maxLine} characters`)
        }
        return found
      })

    const finish = Effect.gen(function*() {
      if (rest.length > 0) return yield* damaged("ends in the middle of a line")
      const isSame = (sum: Sum, bytes: number, sha256: string) => sum.bytes === bytes && sum.sha256 === sha256
      if (
        !isSame(compressed.sum(), file.compressedBytes, file.compressedSha256) ||
        !isSame(plain.sum(), file.bytes, file.sha256)
      ) return yield* damaged("does not have the checksum that it was written with")
    })

    return Stream.paginate(undefined, () =>
      Effect.gen(function*() {
        const chunk = yield* Effect.mapError(handle.readAlloc(chunkBytes), toReadError(path, file.name))
        if (Option.isSome(chunk)) compressed.add(chunk.value)
        const whole = yield* (Option.isSome(chunk) ? gunzip.write(chunk.value) : gunzip.end).pipe(
          Effect.mapError((error) => damaged(`cannot be decompressed: ${error.message}`)),
          Effect.flatMap(toLines)
        )
        if (Option.isSome(chunk)) return [whole, Option.some(undefined)] as const
        yield* finish
        return [whole, Option.none()] as const
      }))
  }))

const toReadError =
  (path: string, file: string) =>
  (cause: { readonly reason: { readonly _tag: string } }): ArchiveDamaged | ArchiveFileFailed =>
    cause.reason._tag === "NotFound"
      ? new ArchiveDamaged({ path, file, problem: "is missing" })
      : new ArchiveFileFailed({ path: `${path}/${file}`, cause })
