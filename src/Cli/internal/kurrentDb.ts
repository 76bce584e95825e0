import { Array as Arr, Effect, FileSystem, Option, type Scope, Stream } from "effect"
import { type ForeignError, ForeignEventRefused, ForeignReadFailed } from "./foreignError.ts"
import * as Json from "./foreignJson.ts"
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
 * event numbers. A file that is in this order is read as it stands, in flat memory; any other one, a newest-first feed perhaps,
 * by an index of some 70 bytes an event.
 */
export const make = <E = never>(
  input: string | Stream.Stream<Uint8Array, E>,
  options: KurrentDbOptions = {}
): Effect.Effect<ForeignSource.ForeignSource, ForeignError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = typeof input === "string" ? input : yield* keep(fs, input)
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
        events,
        streams: Stream.empty
      })
    if (check.isInOrder) return source(eventsOf(file), total)

    const index = new Index()
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

const keep = <E>(fs: FileSystem.FileSystem, bytes: Stream.Stream<Uint8Array, E>) =>
  Effect.gen(function*() {
    const path = yield* fs.makeTempFileScoped({ prefix: "eventstore-import-" })
    yield* Stream.run(bytes, fs.sink(path))
    return path
  }).pipe(Effect.mapError(failedAt("reading its export")))

const readFile = (
  fs: FileSystem.FileSystem,
  path: string,
  defaults: Defaults
): Stream.Stream<Found, ForeignError> =>
  fs.stream(path, { chunkSize: 256 * 1024 }).pipe(
    Stream.mapError(failedAt(`reading ${path}`)),
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
      problem: `is no JSON: ${error instanceof Error ? error.message : error}`
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

const readExactly = (file: FileSystem.File, offset: number, length: number) =>
  Effect.gen(function*() {
    const bytes = new Uint8Array(length)
    let done = 0
    while (done < length) {
      const read = yield* file.read(bytes.subarray(done), { position: BigInt(offset + done) })
      if (read === 0) return yield* Effect.fail(new Error("it became shorter while it was read"))
      done += read
    }
    return bytes
  })

/** Events read at a time from where they are in the file. */
const pageSize = 256

/** Reads events in an order of their own; those of one page of a feed, which stand together, with one look into the file. */
const inOrder = (
  fs: FileSystem.FileSystem,
  path: string,
  defaults: Defaults,
  index: Index,
  order: Uint32Array
): Stream.Stream<KurrentEvent, ForeignError> =>
  Stream.unwrap(Effect.gen(function*() {
    const file = yield* Effect.mapError(fs.open(path, { flag: "r" }), failedAt(`reading ${path}`))
    let current: { readonly offset: number; readonly entries: ReadonlyArray<unknown> } | undefined

    const entriesAt = (spot: Spot) =>
      Effect.gen(function*() {
        if (current?.offset === spot.offset) return current.entries
        const bytes = yield* Effect.mapError(
          readExactly(file, spot.offset, spot.length),
          failedAt(`reading ${path}`)
        )
        const entries = parse({ bytes, line: spot.line })
        if (entries instanceof ForeignEventRefused) return yield* entries
        current = { offset: spot.offset, entries }
        return entries
      })
    const eventAt = (event: number) =>
      Effect.gen(function*() {
        const spot = index.spot(event)
        const found = read((yield* entriesAt(spot))[spot.entry], spot.line, defaults)
        if (typeof found === "string") return yield* Effect.die(new Error(`${spot.line} is ${found}`))
        return found instanceof ForeignEventRefused ? yield* found : found
      })
    return Stream.paginate(0, (start: number) =>
      Effect.map(
        Effect.forEach(order.subarray(start, start + pageSize), eventAt),
        (events) => [events, start + pageSize < order.length ? Option.some(start + pageSize) : Option.none()] as const
      ))
  }))
