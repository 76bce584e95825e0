import { Array as Arr, Effect, FileSystem, Option, type Scope, Stream } from "effect"
import * as Json from "../archive/exactJson.ts"
import { type ForeignError, ForeignEventRefused, ForeignReadFailed, NoForeignSource } from "./foreignError.ts"
import { sameNames } from "./foreignRename.ts"
import * as ForeignSource from "./foreignSource.ts"
import { type Document, split, textOf } from "./kurrentDbDocuments.ts"
import { type Defaults, entriesOf, type KurrentEvent, type Leaving, read } from "./kurrentDbEvent.ts"
import { Index, OrderCheck, type Spot } from "./kurrentDbOrder.ts"

const store = "KurrentDB"

/** What can be asked for with an export of KurrentDB. */
export interface KurrentDbOptions extends ForeignSource.MovingOptions, Omit<Defaults, "renumber"> {}

/**
 * The events in a JSON export of KurrentDB (EventStoreDB): a file, or bytes that are read once and kept in a temporary file, as an
 * import goes over its source more than once. System events and links are passed over.
 *
 * The order is that of the commit positions where every event has one, else that of the times, and within a stream that of the
 * event numbers, or where there are none, that of the file, unless the times in a stream speak against it. A file that is in this
 * order is read as it stands; any other one, a newest-first feed perhaps, by an index of some 100 bytes an event.
 */
export const make = <E = never>(
  input: string | Stream.Stream<Uint8Array, E>,
  options: KurrentDbOptions = {}
): Effect.Effect<ForeignSource.ForeignSource, ForeignError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = typeof input === "string" ? input : yield* keep(fs, input)
    const info = yield* Effect.option(fs.stat(path))
    if (Option.isSome(info) && info.value.type === "Directory") return yield* noDirectory(path)
    const file = readFile(fs, path, options)

    const check = new OrderCheck()
    const left = new Map<string, number>()
    let total = 0
    yield* Stream.runForEachArray(file, (found) =>
      Effect.sync(() => {
        for (const { entry } of found) {
          if (typeof entry === "string") left.set(entry, (left.get(entry) ?? 0) + 1)
          else {
            check.add(entry)
            total++
          }
        }
      }))

    const source = (events: Stream.Stream<KurrentEvent, ForeignError>, total: number) =>
      ForeignSource.make(store, sameNames, options, {
        total,
        passedOver: [...left].map(([what, count]) => ({ what, count })),
        // only in a stream
        hasUniqueIds: false,
        events,
        streams: Stream.empty
      })
    if (check.isInOrder) return source(eventsOf(file), total)
    if (check.refusal !== undefined) return yield* check.refusal

    const index = new Index(check)
    yield* Stream.runForEachArray(file, (found) =>
      Effect.sync(() => {
        for (const { entry, spot } of found) {
          if (typeof entry !== "string") index.add(entry, check.byCommits ? entry.commit! : entry.micros, spot)
        }
      }))
    const sorted = index.sort()
    if (sorted instanceof ForeignEventRefused) return yield* sorted
    if (sorted.repeated > 0) left.set("repeated events", sorted.repeated)
    return source(inOrder(fs, path, options, index, sorted.order), sorted.order.length)
  })

interface Found {
  readonly spot: Spot
  readonly entry: KurrentEvent | Leaving
}

const failedAt = (operation: string) => (cause: unknown) =>
  new ForeignReadFailed({ store, operation, isRetryable: false, cause })

const noFile = (path: string) =>
  new NoForeignSource({ store, problem: `There is no file ${path}`, hint: "Name the file that an exporter wrote." })

const keep = <E>(fs: FileSystem.FileSystem, bytes: Stream.Stream<Uint8Array, E>) =>
  Effect.gen(function*() {
    const path = yield* fs.makeTempFileScoped({ prefix: "eventstore-import-" })
    yield* Stream.run(bytes, fs.sink(path))
    return path
  }).pipe(Effect.mapError(failedAt("reading its export")))

const noDirectory = (path: string) =>
  new NoForeignSource({
    store,
    problem: `${path} is a directory, and an export of KurrentDB is a file`,
    hint: "Name the file that an exporter wrote."
  })

const readFile = (
  fs: FileSystem.FileSystem,
  path: string,
  defaults: Defaults
): Stream.Stream<Found, ForeignError> =>
  fs.stream(path, { chunkSize: 256 * 1024 }).pipe(
    Stream.mapError((error) => error.reason._tag === "NotFound" ? noFile(path) : failedAt(`reading ${path}`)(error)),
    (bytes) => split(bytes),
    Stream.mapArrayEffect((documents) => readAll(documents, defaults)),
    Stream.filter(Arr.isReadonlyArrayNonEmpty),
    Stream.flattenArray
  )

const readAll = (documents: Arr.NonEmptyReadonlyArray<Document>, defaults: Defaults) => {
  const found: Array<Found> = []
  for (const document of documents) {
    const entries = parse(document)
    if (entries instanceof ForeignEventRefused) return Effect.fail(entries)
    for (let i = 0; i < entries.length; i++) {
      const entry = read(entries[i], document.line, defaults)
      if (entry instanceof ForeignEventRefused) return Effect.fail(entry)
      found.push({
        spot: { offset: document.offset, line: document.line, length: document.bytes.length, entry: i },
        entry
      })
    }
  }
  return Effect.succeed([found as ReadonlyArray<Found>] as const)
}

const parse = ({ bytes, line }: Pick<Document, "bytes" | "line">): ReadonlyArray<unknown> | ForeignEventRefused => {
  try {
    return entriesOf(Json.parse(textOf(bytes)))
  } catch (error) {
    return new ForeignEventRefused({
      store,
      place: `line ${line}`,
      problem: `is no JSON that can be read: ${error instanceof Error ? error.message : error}`
    })
  }
}

const eventsOf = (file: Stream.Stream<Found, ForeignError>): Stream.Stream<KurrentEvent, ForeignError> =>
  file.pipe(
    Stream.mapArray((found) => [eventsAmong(found)] as const),
    Stream.filter(Arr.isReadonlyArrayNonEmpty),
    Stream.flattenArray
  )

const eventsAmong = (found: ReadonlyArray<Found>): ReadonlyArray<KurrentEvent> =>
  found.flatMap(({ entry }) => typeof entry === "string" ? [] : [entry])

/** Events read at a time from where they are in the file. */
const pageSize = 1000

/** Bytes between two objects that are read along with them, and bytes that are read at once. */
const [maxGap, maxRead] = [4096, 8 * 1024 * 1024]

/** Reads events in an order of their own, page by page; objects that stand together with one look into the file. */
const inOrder = (
  fs: FileSystem.FileSystem,
  path: string,
  defaults: Defaults,
  index: Index,
  order: Uint32Array
): Stream.Stream<KurrentEvent, ForeignError> =>
  Stream.unwrap(Effect.gen(function*() {
    const file = yield* Effect.mapError(fs.open(path, { flag: "r" }), failedAt(`reading ${path}`))
    return Stream.paginate(0, (start: number) =>
      Effect.gen(function*() {
        const spots = Array.from(order.subarray(start, start + pageSize), (event) => index.spot(event))
        const entries = new Map<number, ReadonlyArray<unknown>>()
        for (const together of runs(spots)) {
          const [first, last] = [together[0]!, together[together.length - 1]!]
          const bytes = yield* readExactly(file, path, first.offset, last.offset + last.length - first.offset)
          for (const { length, line, offset } of together) {
            const at = offset - first.offset
            const parsed = parse({ bytes: bytes.subarray(at, at + length), line })
            if (parsed instanceof ForeignEventRefused) return yield* parsed
            entries.set(offset, parsed)
          }
        }
        const events: Array<KurrentEvent> = []
        for (const spot of spots) {
          const event = read(entries.get(spot.offset)![spot.entry], spot.line, defaults)
          if (event instanceof ForeignEventRefused) return yield* event
          if (typeof event === "string") return yield* changed(path)
          events.push(event)
        }
        return [events, start + pageSize < order.length ? Option.some(start + pageSize) : Option.none()] as const
      }))
  }))

/** The objects of some events, each once, by their place in the file; those that stand together in one list. */
const runs = (spots: ReadonlyArray<Spot>): ReadonlyArray<ReadonlyArray<Spot>> => {
  const found: Array<Array<Spot>> = []
  for (const spot of spots.toSorted((a, b) => a.offset - b.offset)) {
    const run = found[found.length - 1]
    const last = run?.[run.length - 1]
    if (run === undefined || last === undefined) found.push([spot])
    else if (spot.offset !== last.offset) {
      const gap = spot.offset - last.offset - last.length
      const size = spot.offset + spot.length - run[0]!.offset
      if (gap <= maxGap && size <= maxRead) run.push(spot)
      else found.push([spot])
    }
  }
  return found
}

const readExactly = (file: FileSystem.File, path: string, offset: number, length: number) =>
  Effect.gen(function*() {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const position = BigInt(offset + done)
      const read = yield* Effect.mapError(file.read(bytes.subarray(done), { position }), failedAt(`reading ${path}`))
      if (read === 0) return yield* changed(path)
      done += read
    }
    return bytes
  })

const changed = (path: string) => failedAt(`reading ${path}`)(new Error("it was changed meanwhile"))
