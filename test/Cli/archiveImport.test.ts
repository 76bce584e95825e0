import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Latch, Layer, Queue, Redacted, Stream } from "effect"
import { Category, EventId, EventStore, PgEventStore, PgMigrations, RawEvent } from "effect-eventstore"
import * as Archive from "effect-eventstore/Cli/Archive"
import { createHash } from "node:crypto"
import { inject } from "vitest"
import {
  contentOf,
  Databases,
  eventId,
  insert,
  type Kind,
  newLog,
  placesOf,
  rows,
  setState
} from "../support/archives.ts"

const event = (
  position: number,
  streamId: string,
  streamVersion: number,
  more?: Partial<Archive.ArchivedEvent>
): Archive.ArchivedEvent => ({
  position,
  streamId,
  streamVersion,
  eventId: eventId(position),
  type: "Noted",
  schemaVersion: 1,
  data: `{"n":${position}}`,
  metadata: null,
  tags: null,
  recordedAt: "2026-01-01T00:00:00.000001Z",
  ...more
})

const state = (streamId: string, more?: Partial<Archive.ArchivedStream>): Archive.ArchivedStream => ({
  streamId,
  truncatedBefore: 0,
  tombstoned: false,
  metadata: null,
  ...more
})

/** The events of {@link rows}. */
const events = (count: number, streams = 3) =>
  rows(count, streams).map(({ position, stream, version }) => event(position, stream, version))

const source = (
  events: ReadonlyArray<Archive.ArchivedEvent>,
  more?: Partial<Archive.Source>
): Archive.Source => ({
  total: events.length,
  isWhole: true,
  head: undefined,
  events: Stream.fromArray(events),
  streams: Stream.empty,
  ...more
})

const uuid = (n: number) => EventId.EventId.make(eventId(n))

const floorOf = ({ log, sql }: Archive.LogTables) =>
  Effect.map(
    sql<{ floor: number }>`SELECT floor::int4 FROM eventstore.logs WHERE log_id = ${log}`,
    ([row]) => row?.floor
  )

const storeOf = ({ log, sql }: Archive.LogTables) =>
  Effect.map(
    Layer.build(PgEventStore.layerStore({ log, listen: false })),
    (context) => Context.get(context, EventStore)
  ).pipe(Effect.provideService(PgClient.PgClient, sql as PgClient.PgClient))

const note = (n: number) => RawEvent.make({ type: "Noted", schemaVersion: 1, data: { n } })

layer(Databases.layer, { excludeTestServices: true, timeout: "1 minute" })("An import", (it) => {
  const kinds: ReadonlyArray<Kind> = ["pglite", "postgres"]
  for (const kind of kinds) {
    it.effect(`goes on where it stopped, also when others appended meanwhile (${kind})`, () =>
      Effect.scoped(Effect.gen(function*() {
        const log = yield* newLog(kind)
        const all = events(3500, 7)
        for (const until of [1200, 2700]) {
          const broken = source(all, {
            events: Stream.concat(Stream.fromArray(all.slice(0, until)), Stream.fail("gone"))
          } as {})
          assert.strictEqual(yield* Effect.flip(Archive.importFrom(broken, log)), "gone" as never)
          yield* (yield* storeOf(log)).append(Category.rawStream("other-1"), [note(until)])
        }
        // whole batches only
        assert.strictEqual((yield* placesOf(log)).length, 1000 + 1 + 1000 + 1)
        const told: Array<Archive.Progress> = []
        const imported = yield* Archive.importFrom(source(all), log, {
          onProgress: (progress) => Effect.sync(() => told.push(progress))
        })
        assert.deepStrictEqual(imported, { stored: 1500, present: 2000, streamsChanged: 0, arePositionsKept: false })
        assert.deepStrictEqual(told.at(-1), { phase: "importing", events: 3500, total: 3500 })
        const places = yield* placesOf(log)
        assert.deepStrictEqual(
          places.filter((place) => !place.includes("other")).map((place) => place.split(" ")[1]),
          all.map(({ streamId, streamVersion }) => `${streamId}@${streamVersion}`)
        )
        assert.deepStrictEqual(places.map((place) => Number(place.split(" ")[0])), places.map((_, i) => i + 1))
        assert.deepInclude(yield* Archive.importFrom(source(all), log), { stored: 0, present: 3500 })
      })))
  }

  it.effect("stores each event once where two run at a time, and appends go on", () =>
    Effect.scoped(Effect.gen(function*() {
      const log = yield* newLog("postgres")
      const store = yield* storeOf(log)
      const all = events(5000, 50)
      const appending = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 60 }, (_, i) => i),
          (i) => store.append(Category.rawStream("other-1"), [note(i)])
        )
      )
      const results = yield* Effect.all([1, 2, 3].map(() => Archive.importFrom(source(all), log)), {
        concurrency: "unbounded"
      })
      yield* Fiber.join(appending)
      assert.strictEqual(results.reduce((sum, { stored }) => sum + stored, 0), 5000)
      for (const { present, stored } of results) assert.strictEqual(present + stored, 5000)
      const places = yield* placesOf(log)
      assert.deepStrictEqual(
        places.filter((place) => !place.includes("other")).map((place) => place.split(" ")[1]),
        all.map(({ streamId, streamVersion }) => `${streamId}@${streamVersion}`)
      )
      assert.strictEqual(places.length, 5060)
    })))

  it.effect("keeps positions in an empty log, and the room before and after them", () =>
    Effect.gen(function*() {
      const log = yield* newLog("pglite")
      const whole = source([event(5, "a-1", 1), event(6, "a-1", 2)], { head: 9 })
      assert.deepInclude(yield* Archive.importFrom(whole, log), { stored: 2, arePositionsKept: true })
      assert.deepStrictEqual(yield* placesOf(log), ["5 a-1@1", "6 a-1@2"])
      assert.strictEqual(yield* floorOf(log), 9)
      assert.deepInclude(yield* Archive.importFrom(whole, log), { stored: 0, arePositionsKept: true })

      const used = yield* newLog("pglite")
      yield* insert(used, [{ position: 1, stream: "b-1", version: 1, id: eventId(99) }])
      assert.deepInclude(yield* Archive.importFrom(whole, used), { stored: 2, arePositionsKept: false })
      assert.deepStrictEqual(yield* placesOf(used), ["1 b-1@1", "2 a-1@1", "3 a-1@2"])
      assert.strictEqual(yield* floorOf(used), 0)

      const part = yield* newLog("pglite")
      const range = source([event(5, "a-1", 1)], { isWhole: false })
      assert.deepInclude(yield* Archive.importFrom(range, part), { stored: 1, arePositionsKept: false })
      assert.deepStrictEqual(yield* placesOf(part), ["1 a-1@1"])

      const empty = yield* newLog("pglite")
      yield* Archive.importFrom(source([], { head: 4 }), empty)
      assert.strictEqual(yield* floorOf(empty), 4)
    }))

  it.effect("names an event that the log has with other content, and stores nothing", () =>
    Effect.gen(function*() {
      const log = yield* newLog("pglite")
      const there = event(1, "a-1", 1, { metadata: "{}", tags: ["x"] })
      yield* Archive.importFrom(source([there]), log)
      const changes: ReadonlyArray<Partial<Archive.ArchivedEvent>> = [
        { streamId: "a-2" },
        { streamVersion: 2 },
        { type: "Other" },
        { schemaVersion: 2 },
        { data: `{"n":1.0}` },
        { metadata: null },
        { metadata: "{ }" },
        { tags: null },
        { tags: ["y"] },
        { recordedAt: "2026-01-01T00:00:00.000002Z" }
      ]
      for (const change of changes) {
        const error = yield* Effect.flip(Archive.importFrom(source([{ ...there, ...change }, event(2, "b-1", 1)]), log))
        assert.deepInclude(error, { _tag: "EventDiffers", eventId: uuid(1) })
      }
      assert.deepStrictEqual(yield* placesOf(log), ["1 a-1@1"])
      // what it has has to be the beginning of the source, in its order
      const before = yield* Effect.flip(Archive.importFrom(source([event(9, "b-1", 1), there]), log))
      assert.deepInclude(before, { _tag: "EventDiffers", eventId: uuid(1) })
      yield* insert(log, [{ position: 2, stream: "b-1", version: 1 }])
      const other = event(2, "b-1", 1)
      assert.deepInclude(yield* Archive.importFrom(source([there, other]), log), { present: 2, stored: 0 })
      const order = yield* Effect.flip(Archive.importFrom(source([other, there]), log))
      assert.deepInclude(order, { _tag: "EventDiffers", eventId: uuid(1) })
      const twice = yield* Effect.flip(
        Archive.importFrom(source([event(3, "c-1", 1), event(4, "c-1", 2, { eventId: eventId(3) })]), log)
      )
      assert.deepInclude(twice, { _tag: "EventDiffers", eventId: uuid(3) })
      assert.deepStrictEqual(yield* placesOf(log), ["1 a-1@1", "2 b-1@1"])
    }))

  it.effect("names a stream that the events do not continue, and stores nothing of the batch", () =>
    Effect.gen(function*() {
      const log = yield* newLog("pglite")
      yield* insert(log, [{ position: 1, stream: "a-1", version: 1 }, { position: 2, stream: "a-1", version: 2 }])
      for (const [version, hint] of [[2, "not in the source"], [4, "lies between"]] as const) {
        const error = yield* Effect.flip(
          Archive.importFrom(source([event(8, "b-1", 1), event(9, "a-1", version)], { isWhole: false }), log)
        )
        assert.deepInclude(error, { _tag: "StreamDiverges", streamId: "a-1", expected: 3, actual: version })
        assert.include((error as { readonly hint: string }).hint, hint)
      }
      const within = yield* Effect.flip(Archive.importFrom(source([event(8, "b-1", 1), event(9, "b-1", 3)]), log))
      assert.deepInclude(within, { _tag: "StreamDiverges", streamId: "b-1", expected: 2, actual: 3 })
      assert.deepStrictEqual(yield* placesOf(log), ["1 a-1@1", "2 a-1@2"])
      yield* Archive.importFrom(source([event(8, "b-1", 1), event(9, "a-1", 3)], { isWhole: false }), log)
      assert.deepStrictEqual(yield* placesOf(log), ["1 a-1@1", "2 a-1@2", "3 b-1@1", "4 a-1@3"])
    }))

  it.effect("of later events of a stream makes it look truncated there, and the stream goes on", () =>
    Effect.scoped(Effect.gen(function*() {
      const log = yield* newLog("postgres")
      const store = yield* storeOf(log)
      yield* Archive.importFrom(source([event(11, "a-1", 4), event(12, "a-1", 5)], { isWhole: false }), log)
      yield* Archive.importFrom(source([event(13, "a-1", 6)], { isWhole: false }), log)
      assert.deepStrictEqual((yield* contentOf(log)).states, [
        { stream_id: "a-1", truncated_before: "4", tombstoned: false, metadata: null }
      ])
      const appended = yield* store.append(Category.rawStream("a-1"), [note(1)], { expected: 6 })
      assert.strictEqual(appended.version, 7)
      const read = yield* Stream.runCollect(store.read(Category.rawStream("a-1")))
      assert.deepStrictEqual(read.map(({ streamVersion }) => Number(streamVersion)), [4, 5, 6, 7])
    })))

  it.effect("sets what streams have beyond their events, and takes nothing back", () =>
    Effect.gen(function*() {
      const log = yield* newLog("pglite")
      const streams = [
        state("a-0", { truncatedBefore: 2, metadata: `{"a":1.0}` }),
        state("a-1", { tombstoned: true }),
        // of one that has no events, and of more than there are
        state("b-1", { truncatedBefore: 9, metadata: "null" }),
        state("a-2", { truncatedBefore: 9 })
      ]
      const given = source(events(6), { streams: Stream.fromArray(streams) })
      assert.deepInclude(yield* Archive.importFrom(given, log), { streamsChanged: 4 })
      const expected = [
        { stream_id: "a-0", truncated_before: "2", tombstoned: false, metadata: `{"a":1.0}` },
        { stream_id: "a-1", truncated_before: "0", tombstoned: true, metadata: null },
        { stream_id: "a-2", truncated_before: "3", tombstoned: false, metadata: null },
        { stream_id: "b-1", truncated_before: "0", tombstoned: false, metadata: "null" }
      ]
      assert.deepStrictEqual((yield* contentOf(log)).states, expected)
      assert.deepInclude(yield* Archive.importFrom(given, log), { streamsChanged: 0, stored: 0 })
      const less = source(events(6), {
        streams: Stream.make(state("a-0", { truncatedBefore: 1 }), state("a-1", { metadata: "{}" }))
      })
      assert.deepInclude(yield* Archive.importFrom(less, log), { streamsChanged: 1 })
      assert.deepStrictEqual((yield* contentOf(log)).states, [
        ...expected.slice(0, 1),
        { stream_id: "a-1", truncated_before: "0", tombstoned: true, metadata: "{}" },
        ...expected.slice(2)
      ])
      // changed here, and then the same import again: only a stream that gets events takes what the source says
      yield* log.sql`UPDATE eventstore.stream_states SET metadata = '"mine"' WHERE log_id = ${log.log}`
      const told = source(events(7), {
        streams: Stream.make(
          state("a-0", { metadata: `"new"` }),
          state("a-1", { metadata: `"new"` }),
          state("a-2", { truncatedBefore: 1, metadata: `"new"` })
        )
      })
      assert.deepInclude(yield* Archive.importFrom(told, log), { stored: 1, streamsChanged: 1 })
      const metadata = (yield* contentOf(log)).states.map(({ metadata }) => metadata)
      assert.deepStrictEqual(metadata, [`"new"`, `"mine"`, `"mine"`, `"mine"`])

      const twice = yield* Effect.flip(
        Archive.importFrom(source([], { streams: Stream.make(state("x-1"), state("x-1")) }), log)
      )
      assert.deepInclude(twice, { _tag: "NotImportable", row: "stream x-1" })
    }))

  it.effect("names a stream that ended in the log and goes on in the source, and stores nothing of the batch", () =>
    Effect.gen(function*() {
      const log = yield* newLog("pglite")
      yield* Archive.importFrom(source(events(2)), log)
      yield* setState(log, { stream: "a-1", tombstoned: true })
      const error = yield* Effect.flip(Archive.importFrom(source(events(5)), log))
      assert.deepInclude(error, { _tag: "StreamEnded", streamId: "a-1", position: 5 })
      assert.deepStrictEqual(yield* placesOf(log), ["1 a-0@1", "2 a-1@1"])
      const ended = source(events(5), { streams: Stream.make(state("a-1", { tombstoned: true })) })
      assert.deepInclude(yield* Archive.importFrom(ended, log), { stored: 3, streamsChanged: 0 })
      assert.deepStrictEqual((yield* placesOf(log)).at(-1), "5 a-1@2")
    }))

  it.effect("refuses what no log could have, before its batch is stored", () =>
    Effect.gen(function*() {
      const log = yield* newLog("pglite")
      const bad: ReadonlyArray<Partial<Archive.ArchivedEvent>> = [
        { streamId: "nohyphen" },
        { streamId: "-x" },
        { streamVersion: 0 },
        { eventId: "x" },
        { type: "" },
        { type: "a\0" },
        { type: "a\u001b[31m" },
        { streamId: "a-1\n" },
        { streamId: "a-\u2028" },
        { schemaVersion: 32768 },
        { data: "{" },
        { data: "\"\ud800\"" },
        { data: "[".repeat(10_000) + "]".repeat(10_000) },
        { metadata: "'" },
        { recordedAt: "2026-02-30T00:00:00.000000Z" },
        { recordedAt: "2026-02-20T00:00:00Z" },
        { tags: ["\0"] }
      ]
      for (const change of bad) {
        const error = yield* Effect.flip(
          Archive.importFrom(source([event(1, "a-1", 1), event(2, "a-1", 2, change)]), log)
        )
        assert.deepInclude(error, { _tag: "NotImportable", row: "position 2" })
      }
      // what only the database knows: a tag that is too large for its index
      const tag = createHash("shake256", { outputLength: 8000 }).update("x").digest("hex")
      const error = yield* Effect.flip(
        Archive.importFrom(source([event(1, "a-1", 1), event(2, "a-1", 2, { tags: [tag] })]), log)
      )
      assert.strictEqual(error._tag, "NotImportable")
      assert.deepStrictEqual(yield* placesOf(log), [])
    }))

  it.effect("is refused where appends apply inline projections", () =>
    Effect.gen(function*() {
      const log = yield* newLog("pglite")
      yield* log
        .sql`UPDATE eventstore.logs SET inline = '[{"mark":"1.1","name":"totals","version":2}]' WHERE log_id = ${log.log}`
      const error = yield* Effect.flip(Archive.importFrom(source(events(1)), log))
      assert.deepInclude(error, { _tag: "ImportRefused" })
      assert.include(error.message, "totals (version 2)")
      assert.deepStrictEqual(yield* placesOf(log), [])
    }))

  it.effect("is refused inside of a transaction, which it could not end", () =>
    Effect.gen(function*() {
      const log = yield* newLog("pglite")
      const error = yield* Effect.flip(log.sql.withTransaction(Archive.importFrom(source(events(1)), log)))
      assert.deepInclude(error, { _tag: "InvalidInput", field: "transaction" })
    }))

  it.effect("is refused to a role that may append and no more, with a hint", () =>
    Effect.scoped(Effect.gen(function*() {
      const log = yield* newLog("postgres")
      const { sql } = log
      const role = `importer_${log.log}`
      yield* sql.unsafe(`CREATE ROLE ${role} LOGIN`)
      for (const grant of PgMigrations.grants({ role }).split(";\n").filter((text) => text !== "")) {
        yield* sql.unsafe(grant)
      }
      const [database] = yield* sql<{ name: string }>`SELECT current_database() AS name`
      const url = new URL(inject("postgresAdminUrl"))
      url.pathname = `/${database!.name}`
      url.username = role
      const client = Context.get(
        yield* Layer.build(PgClient.layer({ url: Redacted.make(url.href) })),
        PgClient.PgClient
      )
      const error = yield* Effect.flip(Archive.importFrom(source(events(1)), { ...log, sql: client }))
      assert.deepInclude(error, { _tag: "ImportRefused" })
      assert.include((error as { readonly hint: string }).hint, "the role that owns them")
      yield* Effect.ignore(sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`))
    })))

  it.effect("wakes who follows the log with each batch, and not where nothing changes", () =>
    Effect.scoped(Effect.gen(function*() {
      const log = yield* newLog("postgres")
      const heard = yield* (log.sql as PgClient.PgClient).listen(`eventstore_${log.log}`)
      yield* Archive.importFrom(source(events(2500)), log)
      yield* Effect.repeat(Effect.sleep(5), { until: () => Queue.sizeUnsafe(heard) === 3 })
      yield* Archive.importFrom(source(events(2500)), log)
      yield* log.sql`SELECT pg_notify(${`eventstore_${log.log}`}, 'end')`
      yield* Queue.takeN(heard, 3)
      assert.strictEqual((yield* Queue.take(heard)).payload, "end")
    })))

  it.effect("leaves whole batches where it is interrupted, and keeps no lock", () =>
    Effect.scoped(Effect.gen(function*() {
      const log = yield* newLog("postgres")
      const store = yield* storeOf(log)
      const inside = yield* Latch.make()
      const fiber = yield* Effect.forkChild(Archive.importFrom(source(events(2500)), log, {
        onProgress: () => Effect.asVoid(inside.open)
      }))
      yield* inside.await
      yield* Fiber.interrupt(fiber)
      const stored = (yield* placesOf(log)).length
      assert.isTrue(stored === 1000 || stored === 2000 || stored === 2500, String(stored))
      yield* store.append(Category.rawStream("other-1"), [note(1)])
      assert.deepInclude(yield* Archive.importFrom(source(events(2500)), log), { stored: 2500 - stored })
    })))
})
