import { assert, layer } from "@effect/vitest"
import { Arbitrary, DateTime, Effect, Fiber, Latch, Schema, Stream } from "effect"
import * as Archive from "effect-eventstore/Cli/Archive"
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import {
  contentOf,
  Databases,
  directory,
  eventId,
  filesOf,
  insert,
  type Kind,
  newLog,
  type Row,
  rows,
  setState
} from "../support/archives.ts"

const lines = (path: string, name: string) =>
  gunzipSync(Buffer.from(filesOf(path)[name]!, "base64")).toString().split("\n").slice(0, -1)

/** Texts that a program which parses and writes JSON anew would change. */
const oddTexts = [
  "1.0",
  "1e2",
  "-0",
  "12345678901234567890",
  "0.1000",
  "null",
  "\"\\u0041\"",
  "\"\\ud83d\\ude00\"",
  "\"\\ud800\"",
  "\"\\/\"",
  "\"\u2028\u{1f600}\"",
  "{\"a\":1,\"a\":2}",
  "{\"2\":0,\"1\":0}",
  "{\"b\":1,\"a\":{\"__proto__\":[]}}",
  " { \"a\" :\t1\n}",
  "[[],{},\"\",false]",
  `${"[".repeat(2000)}${"]".repeat(2000)}`,
  // brackets that nest nothing
  JSON.stringify("\u001b[32mok\u001b[0m \\\" {".repeat(3000)),
  `{"large":"${"x".repeat(3000)}"}`,
  `{"larger":"${"x".repeat(9000)}"}`,
  JSON.stringify(Array.from({ length: 400 }, (_, i) => Math.sin(i)))
]

const Text = Schema.Literals(oddTexts)

/** What is in a log: events, by turns of a few streams with odd names, and what the streams have beyond these. */
const Log = Schema.Struct({
  events: Schema.Array(Schema.Struct({
    stream: Schema.Literals(["a-1", "a-2", "b-Ünï\u{1f600}", "b-with-hyphens", "c-\"quoted\\\""]),
    data: Text,
    metadata: Schema.NullOr(Text),
    tags: Schema.NullOr(Schema.Array(Schema.Literals(["x", "a,b", "{}", "\"", "\\", "é", "NULL", " "]))),
    micros: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 999_999 }))
  })),
  states: Schema.Array(Schema.Struct({
    stream: Schema.Literals(["a-1", "a-2", "b-Ünï\u{1f600}", "c-none"]),
    hidden: Schema.Natural,
    tombstoned: Schema.Boolean,
    metadata: Schema.NullOr(Text)
  })),
  floor: Schema.Literals([0, 0, 7])
})

const fill = (log: Archive.LogTables, { events, floor, states }: typeof Log.Type) =>
  Effect.gen(function*() {
    const versions = new Map<string, number>()
    yield* log.sql`UPDATE eventstore.logs SET floor = ${floor} WHERE log_id = ${log.log}`
    yield* insert(
      log,
      events.map(({ data, metadata, micros, stream, tags }, i): Row => {
        const version = (versions.get(stream) ?? 0) + 1
        versions.set(stream, version)
        const at = `2026-03-01T12:00:00.${String(micros).padStart(6, "0")}Z`
        return { position: floor + i + 1, stream, version, data, metadata, tags, at }
      })
    )
    for (
      const { hidden, metadata, stream, tombstoned } of new Map(states.map((state) => [state.stream, state])).values()
    ) {
      const version = versions.get(stream) ?? 0
      yield* setState(log, {
        stream,
        truncatedBefore: version === 0 ? 0 : Math.min(hidden, version + 1),
        tombstoned,
        metadata
      })
    }
  })

layer(Databases.layer, { excludeTestServices: true, timeout: "1 minute" })("Archive", (it) => {
  const routes: ReadonlyArray<readonly [Kind, Kind]> = [["pglite", "pglite"], ["postgres", "postgres"], [
    "pglite",
    "postgres"
  ], ["postgres", "pglite"]]
  for (const [from, to] of routes) {
    it.effect.prop(
      `of a ${from} log gives the same archive, byte by byte, once it was imported to ${to}`,
      [Arbitrary.schema(Log)],
      ([content]) =>
        Effect.scoped(Effect.gen(function*() {
          const [source, target, path] = [yield* newLog(from), yield* newLog(to), yield* directory]
          yield* fill(source, content)
          yield* Archive.exportLog(source, join(path, "first"))
          const imported = yield* Archive.importArchive(join(path, "first"), target)
          assert.deepInclude(imported, { stored: content.events.length, present: 0, arePositionsKept: true })
          assert.deepStrictEqual(yield* contentOf(target), yield* contentOf(source))
          yield* Archive.exportLog(target, join(path, "second"))
          assert.deepStrictEqual(filesOf(join(path, "second")), filesOf(join(path, "first")))
          // and once more changes nothing
          const again = yield* Archive.importArchive(join(path, "first"), target)
          assert.deepStrictEqual(again, {
            stored: 0,
            present: content.events.length,
            streamsChanged: 0,
            arePositionsKept: true
          })
        })),
      { timeout: 60_000, arbitrary: { runs: 12, size: 30, maxShrinks: 100 } }
    )
    it.effect.prop(
      `copies a ${from} log to ${to} without an archive`,
      [Arbitrary.schema(Log)],
      ([content]) =>
        Effect.gen(function*() {
          const [source, target] = [yield* newLog(from), yield* newLog(to)]
          yield* fill(source, content)
          assert.deepInclude(yield* Archive.copyLog(source, target), { stored: content.events.length })
          assert.deepStrictEqual(yield* contentOf(target), yield* contentOf(source))
        }),
      { timeout: 60_000, arbitrary: { runs: 6, size: 30, maxShrinks: 100 } }
    )
  }

  it.effect("keeps data as JSON where that has the same bytes, and as a text elsewhere", () =>
    Effect.scoped(Effect.gen(function*() {
      const [log, path] = [yield* newLog("pglite"), yield* directory]
      yield* insert(log, [
        { position: 1, stream: "a-1", version: 1, data: `{"n":1.5}`, metadata: "null", tags: ["t"] },
        { position: 2, stream: "a-1", version: 2, data: `{"n": 1.50}`, metadata: "{}x".slice(0, 2) }
      ])
      yield* Archive.exportLog(log, join(path, "x"))
      const head = (n: number) =>
        `{"position":${n},"streamId":"a-1","streamVersion":${n},"eventId":"${eventId(n)}","type":"Noted",` +
        `"schemaVersion":1,"recordedAt":"2026-01-01T00:00:00.000001Z",`
      assert.deepStrictEqual(lines(join(path, "x"), "events-00001.jsonl.gz"), [
        `${head(1)}"tags":["t"],"data":{"n":1.5},"metadata":null}`,
        `${head(2)}"dataText":"{\\"n\\": 1.50}","metadata":{}}`
      ])
    })))

  it.effect("is read in small parts, also where a database keeps large texts in few bytes", () =>
    Effect.gen(function*() {
      for (const kind of ["pglite", "postgres"] as const) {
        const log = yield* newLog(kind)
        // mostly 100 KB that are stored in some 1200 bytes
        yield* log.sql`
          INSERT INTO eventstore.events (
            log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, recorded_at
          )
          SELECT ${log.log}, n, 'a-1', n, gen_random_uuid(), 'Noted', 1, to_json(CASE n % 30
            WHEN 1 THEN (SELECT string_agg(md5(n || '-' || i), '') FROM generate_series(1, 32768) i)
            WHEN 2 THEN 'small'
            ELSE repeat('x', 100000)
          END), '{"small":true}', now() FROM generate_series(1, 90) n`
        const { events } = yield* Archive.fromLog(log)
        const parts = yield* Stream.runCollect(Stream.mapArray(events, (part) => [part] as const))
        const lengths = parts.map((part) => part.reduce((sum, { data }) => sum + data.length, 0))
        assert.strictEqual(parts.flat().length, 90)
        assert.isAbove(lengths.reduce((sum, length) => sum + length, 0), 11_000_000)
        assert.isBelow(Math.max(...lengths), 4.1 * 2 ** 20)
        assert.isBelow(parts.length, 6)
        assert.isTrue(parts.flat().every(({ metadata }) => metadata === `{"small":true}`))
      }
    }))

  it.effect("begins a new file after ten thousand events, and reads them all in order", () =>
    Effect.scoped(Effect.gen(function*() {
      const [log, path] = [yield* newLog("postgres"), yield* directory]
      yield* log.sql`
        INSERT INTO eventstore.events (
          log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, recorded_at
        )
        SELECT ${log.log}, n, 'a-1', n, gen_random_uuid(), 'Noted', 1, '{}', now() FROM generate_series(1, 20001) n`
      const told: Array<Archive.Progress> = []
      const { manifest } = yield* Archive.exportLog(log, join(path, "x"), {
        onProgress: (progress) => Effect.sync(() => told.push(progress))
      })
      assert.deepStrictEqual(
        manifest.eventsFiles.map(({ events, firstPosition, lastPosition, name }) => [
          name,
          events,
          firstPosition,
          lastPosition
        ]),
        [
          ["events-00001.jsonl.gz", 10_000, 1, 10_000],
          ["events-00002.jsonl.gz", 10_000, 10_001, 20_000],
          ["events-00003.jsonl.gz", 1, 20_001, 20_001]
        ]
      )
      assert.deepStrictEqual(told.at(-1), { phase: "exporting", events: 20_001, total: 20_001 })
      const archive = yield* Archive.open(join(path, "x"))
      const positions = yield* Stream.runCollect(Stream.map(Archive.events(archive), ({ position }) => position))
      assert.deepStrictEqual(positions, Array.from({ length: 20_001 }, (_, i) => i + 1))
    })))

  it.effect("of a category holds its events and streams only", () =>
    Effect.scoped(Effect.gen(function*() {
      const [log, target, path] = [yield* newLog("pglite"), yield* newLog("pglite"), yield* directory]
      yield* insert(log, [
        { position: 1, stream: "a-1", version: 1 },
        { position: 2, stream: "b-1", version: 1 },
        { position: 3, stream: "a-1", version: 2 },
        { position: 4, stream: "c-1", version: 1 }
      ])
      yield* setState(log, { stream: "a-1", metadata: "{}" })
      yield* setState(log, { stream: "b-1", metadata: "{}" })
      const of = (...categories: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const { emptyCategories, manifest } = yield* Archive.exportLog(log, join(path, categories.join()), {
            categories
          })
          const archive = yield* Archive.open(join(path, categories.join()))
          return {
            isWhole: manifest.isWhole,
            emptyCategories,
            positions: (yield* Stream.runCollect(Archive.events(archive))).map(({ position }) => position),
            streams: (yield* Stream.runCollect(Archive.streams(archive))).map(({ streamId }) => streamId)
          }
        })
      assert.deepStrictEqual(yield* of("a"), {
        isWhole: false,
        emptyCategories: [],
        positions: [1, 3],
        streams: ["a-1"]
      })
      assert.deepStrictEqual(yield* of("c", "x", "b"), {
        isWhole: false,
        emptyCategories: ["x"],
        positions: [2, 4],
        streams: ["b-1"]
      })
      assert.deepStrictEqual(yield* of("none"), {
        isWhole: false,
        emptyCategories: ["none"],
        positions: [],
        streams: []
      })
      yield* Archive.importArchive(join(path, "a"), target)
      assert.deepStrictEqual((yield* contentOf(target)).events.map(({ position }) => position), ["1", "2"])
    })))

  it.effect("of a range of time has one range of positions, also where the clock stepped back", () =>
    Effect.scoped(Effect.gen(function*() {
      const [log, path] = [yield* newLog("pglite"), yield* directory]
      const at = (hour: number) => `2026-01-01T${String(hour).padStart(2, "0")}:00:00.000000Z`
      yield* insert(
        log,
        [1, 3, 2, 4, 6, 5, 7].map((hour, i) => ({
          position: i + 1,
          stream: "a-1",
          version: i + 1,
          at: at(hour)
        }))
      )
      yield* setState(log, { stream: "a-1", truncatedBefore: 8 })
      const between = (from: number | undefined, until: number | undefined) =>
        Effect.gen(function*() {
          const name = join(path, `${from}-${until}`)
          yield* Archive.exportLog(log, name, {
            recordedFrom: from === undefined ? undefined : DateTime.makeUnsafe(at(from)),
            recordedUntil: until === undefined ? undefined : DateTime.makeUnsafe(at(until))
          })
          const archive = yield* Archive.open(name)
          return [
            (yield* Stream.runCollect(Archive.events(archive))).map(({ position }) => position),
            // no more is hidden than there is
            (yield* Stream.runCollect(Archive.streams(archive))).map(({ truncatedBefore }) => truncatedBefore)
          ]
        })
      assert.deepStrictEqual(yield* between(3, 6), [[2, 3, 4], [5]])
      assert.deepStrictEqual(yield* between(undefined, 3), [[1], [2]])
      assert.deepStrictEqual(yield* between(7, undefined), [[7], [8]])
      assert.deepStrictEqual(yield* between(8, undefined), [[], []])
      assert.deepInclude(yield* Effect.flip(between(2, 2)), { _tag: "InvalidInput", field: "recordedUntil" })
    })))

  it.effect("has what is hidden, or leaves it out where that is asked for", () =>
    Effect.scoped(Effect.gen(function*() {
      const [log, target, path] = [yield* newLog("pglite"), yield* newLog("pglite"), yield* directory]
      yield* insert(log, rows(9))
      yield* setState(log, { stream: "a-0", truncatedBefore: 3 })
      yield* setState(log, { stream: "a-1", tombstoned: true })
      yield* setState(log, { stream: "a-2", truncatedBefore: 4, metadata: "1.0" })
      const all = yield* Archive.exportLog(log, join(path, "all"))
      const visible = yield* Archive.exportLog(log, join(path, "visible"), { visibleOnly: true })
      assert.deepInclude(all.manifest, { events: 9, isWhole: true })
      assert.deepInclude(visible.manifest, { events: 1, isWhole: false, firstPosition: 7 })
      yield* Archive.importArchive(join(path, "visible"), target)
      const { events, states } = yield* contentOf(target)
      assert.deepStrictEqual(events.map(({ position, stream_version }) => [position, stream_version]), [["1", "3"]])
      assert.deepStrictEqual(states, [
        { stream_id: "a-0", truncated_before: "3", tombstoned: false, metadata: null },
        { stream_id: "a-1", truncated_before: "0", tombstoned: true, metadata: null },
        { stream_id: "a-2", truncated_before: "0", tombstoned: false, metadata: "1.0" }
      ])
    })))

  it.effect("tells of positions that have no event", () =>
    Effect.scoped(Effect.gen(function*() {
      const [log, target, path] = [yield* newLog("pglite"), yield* newLog("pglite"), yield* directory]
      yield* insert(log, [2, 3, 6].map((position, i) => ({ position, stream: "a-1", version: i + 1 })))
      const { holes, manifest, missing } = yield* Archive.exportLog(log, join(path, "x"))
      assert.deepStrictEqual(holes, [{ after: 0, before: 2 }, { after: 3, before: 6 }])
      assert.strictEqual(missing, 3)
      assert.isFalse(manifest.isWhole)
      const imported = yield* Archive.importArchive(join(path, "x"), target)
      assert.deepInclude(imported, { stored: 3, arePositionsKept: false })
    })))

  it.effect("ends with the newest event of its beginning, while the log is in use", () =>
    Effect.scoped(Effect.gen(function*() {
      const [log, path] = [yield* newLog("pglite"), yield* directory]
      yield* insert(log, rows(3))
      // appended, and hidden, while the events are written
      const meanwhile = yield* Latch.make()
      const { manifest } = yield* Archive.exportLog(log, join(path, "x"), {
        onProgress: () =>
          Effect.orDie(
            meanwhile.whenOpen(Effect.void).pipe(Effect.raceFirst(Effect.gen(function*() {
              yield* insert(log, [{ position: 4, stream: "a-0", version: 2 }])
              yield* setState(log, { stream: "a-0", truncatedBefore: 3 })
              yield* meanwhile.open
            })))
          )
      })
      assert.deepInclude(manifest, { events: 3, isWhole: true, lastPosition: 3 })
      const [state] = yield* Stream.runCollect(Archive.streams(yield* Archive.open(join(path, "x"))))
      assert.deepInclude(state, { streamId: "a-0", truncatedBefore: 2 })
    })))

  it.effect("leaves nothing where it is interrupted or fails, and never writes over anything", () =>
    Effect.scoped(Effect.gen(function*() {
      const [log, path] = [yield* newLog("pglite"), yield* directory]
      yield* insert(log, rows(5))
      const reached = yield* Latch.make()
      const fiber = yield* Effect.forkChild(Archive.exportLog(log, join(path, "x"), {
        onProgress: () => Effect.andThen(reached.open, Effect.never)
      }))
      yield* reached.await
      assert.strictEqual(readdirSync(path).length, 1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(readdirSync(path), [])

      yield* insert(log, [{ position: 6, stream: "a-9", version: 1, at: "-infinity" }])
      const odd = yield* Effect.flip(Archive.exportLog(log, join(path, "x")))
      assert.deepInclude(odd, { _tag: "NotExportable" })
      assert.deepStrictEqual(readdirSync(path), [])

      const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`
      const nested = yield* newLog("pglite")
      yield* insert(nested, [{ position: 1, stream: "a-1", version: 1, data: deep(5000) }])
      yield* Archive.exportLog(nested, join(path, "deep"))
      yield* Archive.importArchive(join(path, "deep"), yield* newLog("pglite"))
      yield* insert(nested, [{ position: 2, stream: "a-1", version: 2, data: deep(5001) }])
      const tooDeep = yield* Effect.flip(Archive.exportLog(nested, join(path, "x")))
      assert.deepInclude(tooDeep, { _tag: "NotExportable", row: "position 2" })
      assert.include(tooDeep.message, "nested deeper than the 5000")
      rmSync(join(path, "deep"), { recursive: true })

      writeFileSync(join(path, "file"), "mine")
      const taken = yield* Effect.flip(Archive.exportLog(log, join(path, "file")))
      assert.deepInclude(taken, { _tag: "ArchiveExists", message: `${join(path, "file")} exists already` })
      const nowhere = yield* Effect.flip(Archive.exportLog(log, join(path, "none", "x")))
      assert.deepInclude(nowhere, { _tag: "ArchiveFileFailed" })
      const noLog = yield* Effect.flip(Archive.exportLog({ ...log, log: 4711 }, join(path, "x")))
      assert.deepInclude(noLog, { _tag: "InvalidInput", message: "log is 4711, and there is no such log" })
      const badName = yield* Effect.flip(Archive.exportLog(log, join(path, "x"), { categories: ["\0"] }))
      assert.deepInclude(badName, { _tag: "InvalidInput" })
      assert.isFalse(existsSync(join(path, "x")))
    })))
})
