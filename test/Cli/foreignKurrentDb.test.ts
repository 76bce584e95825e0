/** JSON exports of KurrentDB as a source, in the shapes that its HTTP API, its clients and exporters write. */
import { NodeFileSystem } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Arbitrary, Effect, FileSystem, Schema, Stream } from "effect"
import { EventId } from "effect-eventstore"
import { join } from "node:path"
import * as KurrentDb from "../../src/Cli/internal/foreign/kurrentDb.ts"
import { split } from "../../src/Cli/internal/foreign/kurrentDbDocuments.ts"
import * as Time from "../../src/Cli/internal/foreign/kurrentDbTime.ts"

const fixture = (name: string) => join(import.meta.dirname, "..", "fixtures", name)
const bytesOf = (text: string, chunk = 64) => {
  const bytes = new TextEncoder().encode(text)
  return Stream.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, i) => bytes.slice(i * chunk, (i + 1) * chunk))
  )
}
const id = (n: number) => `0b9d1c55-7a3e-4f1c-9d5a-${n.toString(16).padStart(12, "0")}`

/** An event as a plain exporter writes it. */
const exported = (stream: string, number: number, second: number, more: object = {}) => ({
  streamName: stream,
  eventNumber: number,
  eventType: "Counted",
  eventId: EventId.fromName(stream, String(number)),
  data: { number },
  created: `2026-11-20T09:${String(Math.floor(second / 60)).padStart(2, "0")}:${String(second % 60).padStart(2, "0")}Z`,
  ...more
})

const lines = (events: ReadonlyArray<object>) => events.map((event) => JSON.stringify(event) + "\n").join("")

const read = (text: string, options?: KurrentDb.KurrentDbOptions) =>
  Effect.gen(function*() {
    const source = yield* KurrentDb.make(bytesOf(text), options)
    return { source, events: yield* Stream.runCollect(source.events) }
  }).pipe(Effect.scoped)

const versionsOf = (events: ReadonlyArray<{ readonly streamId: string; readonly streamVersion: number }>) =>
  events.map(({ streamId, streamVersion }) => `${streamVersion}@${streamId}`)

layer(NodeFileSystem.layer)("An export of KurrentDB", (it) => {
  it.effect("is a newest-first feed of the HTTP API, and comes out oldest first", () =>
    Effect.gen(function*() {
      const source = yield* KurrentDb.make(fixture("kurrentdb-feed.json"))
      assert.strictEqual(source.total, 4)
      assert.deepStrictEqual(source.passedOver, [{ what: "system events", count: 1 }, { what: "links", count: 1 }])
      const events = yield* Stream.runCollect(source.events)
      assert.deepStrictEqual(versionsOf(events), ["1@account-123", "2@account-123", "1@account-456", "3@account-123"])
      assert.deepStrictEqual(events[2], {
        position: 3,
        streamId: "account-456",
        streamVersion: 1,
        eventId: id(4),
        type: "AccountOpened",
        schemaVersion: 1,
        data: `{"customer":"bért","credit":1.50}`,
        metadata: `{"correlationId":"transfer-9","causationId":"${id(2)}","fields":{"clerk":"bo"}}`,
        tags: null,
        recordedAt: "2026-11-20T09:00:03.123456Z"
      })
      assert.deepInclude(events[1]!, {
        data: `{"amount":12345678901234567890}`,
        recordedAt: "2026-11-20T09:00:02.500000Z"
      })
      assert.strictEqual(events[0]!.metadata, null)
      assert.deepStrictEqual(yield* Stream.runCollect(source.events), events)
    }))

  it.effect("is what a client resolved, in the order of the commit positions, though a clock was set back", () =>
    Effect.gen(function*() {
      const source = yield* KurrentDb.make(fixture("kurrentdb-events.json"))
      const events = yield* Stream.runCollect(source.events)
      assert.deepStrictEqual(versionsOf(events), ["1@account-123", "2@account-123", "1@account-456", "3@account-123"])
      assert.deepStrictEqual(source.passedOver, [{ what: "system events", count: 1 }, { what: "links", count: 1 }])
      assert.strictEqual(events[3]!.metadata, `{"causationId":"${id(2)}"}`)
    }))

  it.effect("is one entry of a feed, with the event as its content", () =>
    Effect.gen(function*() {
      const { events } = yield* read(JSON.stringify({
        title: "0@account-1",
        id: "http://127.0.0.1:2113/streams/account-1/0",
        updated: "2015-01-29T10:13:38.564802Z",
        summary: "Opened",
        content: { eventStreamId: "account-1", eventNumber: 0, eventType: "Opened", data: { a: "1" }, metadata: "" }
      }))
      assert.deepInclude(events[0]!, {
        streamId: "account-1",
        eventId: EventId.fromName("KurrentDB", "account-1", "1"),
        recordedAt: "2015-01-29T10:13:38.564802Z"
      })
    }))

  it.effect("is the body of a write, where stream and time are told", () =>
    Effect.gen(function*() {
      const body = JSON.stringify([
        { eventId: id(1), eventType: "Opened", data: {} },
        { eventId: id(2), eventType: "Closed", data: { why: "moved" }, metadata: { actor: "anna" } }
      ])
      const { events } = yield* read(body, { stream: "account-1", recordedAt: "2026-11-20T09:00:00Z", renumber: true })
      assert.deepStrictEqual(versionsOf(events), ["1@account-1", "2@account-1"])
      assert.strictEqual(events[1]!.metadata, `{"actor":"anna"}`)
      for (const options of [{}, { stream: "account-1" }, { stream: "account-1", renumber: true }]) {
        const error = yield* Effect.flip(read(body, options))
        assert.match(error.message, /names no stream|has no event number|has no time/)
      }
    }))

  it.effect("comes in one order, whatever the order of the file, and each event once", () =>
    Effect.gen(function*() {
      const all = [
        exported("a-1", 0, 1),
        exported("b-1", 0, 2),
        exported("a-1", 1, 4),
        // the clock was set back between these
        exported("a-1", 2, 3),
        exported("b-1", 1, 5)
      ]
      const expected = (yield* read(lines(all))).events
      assert.deepStrictEqual(versionsOf(expected), ["1@a-1", "1@b-1", "2@a-1", "3@a-1", "2@b-1"])
      for (const order of [[4, 3, 2, 1, 0], [1, 4, 0, 2, 3], [3, 2, 1, 4, 1, 0, 0]]) {
        const { events, source } = yield* read(lines(order.map((i) => all[i]!)))
        assert.deepStrictEqual(events, expected)
        assert.deepStrictEqual(source.passedOver, order.length === 7 ? [{ what: "repeated events", count: 2 }] : [])
      }
    }))

  it.effect("is refused where two events have one number, or a stream has a hole", () =>
    Effect.gen(function*() {
      const twice = yield* Effect.flip(
        read(lines([exported("a-1", 0, 1), exported("a-1", 0, 2, { eventId: id(7) })]))
      )
      assert.include(twice.message, "line 2")
      const hole = [exported("a-1", 3, 1), exported("a-1", 5, 2)]
      assert.deepInclude(yield* Effect.flip(read(lines(hole))), { _tag: "VersionsBroken", expected: 1, actual: 4 })
      assert.deepStrictEqual(versionsOf((yield* read(lines(hole), { renumber: true })).events), ["1@a-1", "2@a-1"])
    }))

  it.effect("is refused where two events without ids have one number and other content, and not where they are the same", () =>
    Effect.gen(function*() {
      const bare = (more: object) => exported("a-1", 0, 1, { eventId: undefined, ...more })
      for (const other of [{ data: { number: 7 } }, { eventType: "Other" }, { metadata: { clerk: "bo" } }]) {
        const error = yield* Effect.flip(read(lines([bare({}), bare(other)])))
        assert.match(error.message, /line 2 .* so has another one at line 1/)
      }
      const same = yield* read(lines([bare({}), bare({ created: "2026-11-20T09:00:07Z" })]))
      assert.deepStrictEqual(versionsOf(same.events), ["1@a-1"])
    }))

  it.effect("without numbers is in the order of the file, and refused where that is newest first", () =>
    Effect.gen(function*() {
      const bare = (stream: string, second: number, more: object = {}) =>
        exported(stream, second, second, { eventNumber: undefined, ...more })
      const options = { renumber: true }
      const ordered = yield* read(lines([bare("b-1", 2), bare("b-1", 5), bare("a-1", 1), bare("a-1", 3)]), options)
      assert.deepStrictEqual(
        ordered.events.map(({ data, streamId }) => `${streamId} ${data}`),
        [`a-1 {"number":1}`, `b-1 {"number":2}`, `a-1 {"number":3}`, `b-1 {"number":5}`]
      )
      const commits = [bare("a-1", 3, { commitPosition: 9 }), bare("a-1", 2, { commitPosition: 10 })]
      assert.deepStrictEqual(versionsOf((yield* read(lines(commits), options)).events), ["1@a-1", "2@a-1"])
      for (const newestFirst of [[bare("a-1", 3), bare("b-1", 2), bare("a-1", 1)], commits.toReversed()]) {
        const error = yield* Effect.flip(read(lines(newestFirst), options))
        assert.match(error.message, /line [23], stream a-1 .* is older than the one before it/)
      }
    }))

  it.effect("names the line of what it cannot read", () =>
    Effect.gen(function*() {
      const good = JSON.stringify(exported("a-1", 0, 1))
      const bad = (more: object) => `${good}\n${JSON.stringify(exported("a-1", 1, 2, more))}\n`
      const cases: ReadonlyArray<readonly [string, string]> = [
        [`${good}\n{"eventType": oops}`, "line 2"],
        [`${good}\nnonsense`, "no JSON object at line 2"],
        [`[${good},\n${good.slice(0, -9)}`, "ends in the middle of the object that begins at line 2"],
        [`[${good}\n`, "ends before its list does"],
        [
          `${good}\n{"data":${"[".repeat(60_000)}1.0${"]".repeat(60_000)}}`,
          "line 2 of KurrentDB is no JSON that can be read"
        ],
        [
          bad({ data: `{"a":${"[".repeat(60_000)}1.0${"]".repeat(60_000)}}` }),
          "data that are no JSON that can be read"
        ],
        [`[${good}]]`, "closes nothing"],
        [`[[${good}]]`, "list in a list"],
        [bad({ data: "no json" }), "line 2, 1@a-1 of KurrentDB has data that are no JSON"],
        [bad({ data: "AAEC", isJson: false }), "no JSON"],
        [bad({ data: undefined }), "has no data"],
        [bad({ data: [1] }), "no JSON object"],
        [bad({ data: { text: "\u0000" } }), "NUL"],
        [bad({ eventType: undefined }), "has no type"],
        [bad({ eventType: "x".repeat(257) }), "at most 256"],
        [bad({ created: "yesterday" }), "which is none"],
        [bad({ eventNumber: -1 }), "that is none"],
        [bad({ streamName: "all" }), "has no category before a hyphen"]
      ]
      for (const [text, says] of cases) assert.include((yield* Effect.flip(read(text))).message, says)
    }))

  it.effect("leaves no file behind where it came through a pipe", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const made: Array<string> = []
      const watched = FileSystem.FileSystem.of({
        ...fs,
        makeTempFileScoped: (options) =>
          Effect.tap(fs.makeTempFileScoped(options), (path) => Effect.sync(() => made.push(path)))
      })
      yield* Effect.provideService(read(lines([exported("a-1", 0, 1)])), FileSystem.FileSystem, watched)
      assert.strictEqual(made.length, 1)
      assert.isFalse(yield* fs.exists(made[0]!))
    }))

  it.effect("is refused where there is no such file", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(KurrentDb.make(fixture("nowhere.json"))))
      assert.strictEqual(error._tag, "NoForeignSource")
      assert.match(error.message, /^There is no file .*nowhere\.json$/)
      const directory = yield* Effect.flip(Effect.scoped(KurrentDb.make(fixture("."))))
      assert.strictEqual(directory._tag, "NoForeignSource")
      assert.include(directory.message, "is a directory")
    }))

  it.effect("is refused where an object in it is larger than one may be", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Stream.runDrain(split(bytesOf(lines([exported("a-1", 0, 1)])), { maxDocumentBytes: 100 }))
      )
      assert.include(error.message, "more than 100 bytes at line 1")
    }))

  it.effect.prop("is split at the same places however its bytes arrive", {
    texts: Arbitrary.array(Arbitrary.schema(Schema.String), { maxLength: 6 }),
    chunk: Arbitrary.map(Arbitrary.schema(Schema.Natural), (n) => n % 40 + 1)
  }, ({ chunk, texts }) =>
    Effect.gen(function*() {
      const documents = texts.map((text, i) => ({ [text]: [{ text, i }], "}": `\\"{[${text}` }))
      for (const text of [JSON.stringify(documents, null, 2), lines(documents), "\ufeff" + lines(documents)]) {
        const found = yield* Stream.runCollect(split(bytesOf(text, chunk)))
        assert.deepStrictEqual(found.map(({ bytes }) => JSON.parse(new TextDecoder().decode(bytes))), documents)
        const all = new TextEncoder().encode(text)
        for (const { bytes, offset } of found) {
          assert.deepStrictEqual(all.slice(offset, offset + bytes.length), new Uint8Array(bytes))
        }
      }
    }), { arbitrary: { runs: 60 } })

  it.effect("has times of every writing, to the microsecond", () =>
    Effect.sync(() => {
      const expected = "2026-11-20T09:00:02.123456Z"
      const ticks = BigInt(Date.parse("2026-11-20T09:00:02Z")) * 10_000n + 1_234_567n
      for (
        const text of [
          "2026-11-20T09:00:02.1234567Z",
          "2026-11-20T11:00:02.123456+02:00",
          "2026-11-20 09:00:02.123456789",
          `${Date.parse("2026-11-20T09:00:02.123Z")}.456`,
          String(ticks),
          String(ticks + 621_355_968_000_000_000n)
        ]
      ) assert.strictEqual(Time.parse(text)?.text, expected, text)
      assert.strictEqual(Time.parse("1763629202000")?.text, "2025-11-20T09:00:02.000000Z")
      for (const text of ["", "2026-13-20T09:00:02Z", "2026-11-20", "-5", "99999999999999999999"]) {
        assert.isUndefined(Time.parse(text), text)
      }
    }))
})
