/** What is mapped to what, whatever the store: versions, names, numbers. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema, Stream } from "effect"
import { EventId, EventMetadata } from "effect-eventstore"
import * as Json from "../../src/Cli/internal/archive/exactJson.ts"
import type { ForeignEvent } from "../../src/Cli/internal/foreign/foreignEvent.ts"
import { toMetadata } from "../../src/Cli/internal/foreign/foreignMetadata.ts"
import { emmettNames, fromRules, sameNames } from "../../src/Cli/internal/foreign/foreignRename.ts"
import * as ForeignSource from "../../src/Cli/internal/foreign/foreignSource.ts"

const event = (stream: string, version: number | undefined): ForeignEvent => ({
  place: `version ${version}`,
  stream,
  source: stream,
  version,
  id: "",
  type: "Counted",
  schemaVersion: undefined,
  data: {},
  metadata: undefined,
  recordedAt: "2026-11-20T09:00:00.000000Z"
})

const sourceOf = (events: ReadonlyArray<ForeignEvent>, options: ForeignSource.MovingOptions = {}) =>
  ForeignSource.make("message-db", sameNames, options, {
    total: events.length,
    passedOver: [],
    hasUniqueIds: false,
    // chunks of three: a chunk must not begin anew
    events: Stream.rechunk(Stream.fromIterable(events), 3),
    streams: Stream.empty
  })

/** Which stream each event is of. */
const streams = Arbitrary.array(
  Arbitrary.map(Arbitrary.schema(Schema.Natural), (n) => `counter-${n % 5}`),
  { minLength: 2, maxLength: 40 }
)

describe("A source", () => {
  it.effect("gives the second event with an id another one, the same each time, and keeps the original", () =>
    Effect.gen(function*() {
      const id = "0B9D1C55-7a3e-4f1c-9d5a-000000000001"
      const twice = [{ ...event("a-1", 1), id }, { ...event("b-1", 1), id: id.toLowerCase() }, event("a-1", 2)]
      const source = sourceOf(twice)
      const events = yield* Stream.runCollect(source.events)
      assert.deepStrictEqual(yield* Stream.runCollect(source.events), events)
      assert.strictEqual(events[0]!.eventId, id.toLowerCase())
      assert.strictEqual(events[0]!.metadata, null)
      assert.strictEqual(events[1]!.eventId, EventId.fromName("message-db", "b-1", "1"))
      assert.deepStrictEqual(JSON.parse(events[1]!.metadata!).fields.importedFrom.eventId, id.toLowerCase())
      assert.strictEqual(new Set(events.map(({ eventId }) => eventId)).size, 3)

      const unnumbered = sourceOf(twice.map((event) => ({ ...event, version: undefined })))
      const error = yield* Effect.flip(Stream.runDrain(unnumbered.events))
      assert.include(error.message, "as an event before it has")
    }))

  it.effect("refuses what an import would refuse", () =>
    Effect.gen(function*() {
      const named = yield* Effect.flip(ForeignSource.check(
        sourceOf([event("a-1", 1), { ...event("a-1", 2), recordedAt: "2026-02-30T09:00:00.000000Z" }]),
        () => Effect.void
      ))
      assert.strictEqual(named._tag, "ForeignEventRefused")
      assert.include(named.message, "version 2 of message-db cannot be stored")
    }))

  it.effect.prop("numbers the events of each stream from 1 without holes, in their order, each time it is read", {
    streams,
    gap: Arbitrary.map(Arbitrary.schema(Schema.Natural), (n) => 1 + n % 3)
  }, ({ gap, streams }) =>
    Effect.gen(function*() {
      const counts = new Map<string, number>()
      const numbered = streams.map((stream) => {
        counts.set(stream, (counts.get(stream) ?? 0) + 1)
        return { stream, version: counts.get(stream)! }
      })
      const expected = numbered.map(({ stream, version }, i) => `${i + 1}: ${version}@${stream}`)
      const sources = [
        sourceOf(numbered.map(({ stream, version }) => event(stream, version))),
        sourceOf(numbered.map(({ stream, version }) => event(stream, version * gap)), { renumber: true }),
        sourceOf(numbered.map(({ stream }) => event(stream, undefined)))
      ]
      for (const source of [...sources, ...sources]) {
        const events = yield* Stream.runCollect(source.events)
        assert.deepStrictEqual(
          events.map(({ position, streamId, streamVersion }) => `${position}: ${streamVersion}@${streamId}`),
          expected
        )
      }
    }), { arbitrary: { runs: 100 } })

  it.effect.prop("refuses a hole wherever it is", {
    streams,
    at: Arbitrary.schema(Schema.Natural)
  }, ({ at, streams }) =>
    Effect.gen(function*() {
      const counts = new Map<string, number>()
      const events = streams.map((stream) => {
        counts.set(stream, (counts.get(stream) ?? 0) + 1)
        return event(stream, counts.get(stream))
      })
      const [gone] = events.splice(at % events.length, 1)
      const next = events.find(({ stream, version }) => stream === gone!.stream && version === gone!.version! + 1)
      const result = yield* Effect.result(Stream.runDrain(sourceOf(events).events))
      if (next === undefined) assert.strictEqual(result._tag, "Success")
      else {
        assert.strictEqual(result._tag, "Failure")
        if (result._tag === "Failure") {
          assert.deepInclude(result.failure, { _tag: "VersionsBroken", stream: next.stream, actual: next.version! })
        }
      }
    }), { arbitrary: { runs: 100 } })

  it.effect("refuses events of a stream that do not come in order, renumbered or not", () =>
    Effect.gen(function*() {
      for (const renumber of [false, true]) {
        const events = [event("counter-1", 1), event("counter-1", 2), event("counter-1", 2)]
        const error = yield* Effect.flip(Stream.runDrain(sourceOf(events, { renumber }).events))
        assert.deepInclude(error, { _tag: "VersionsBroken", expected: 3, actual: 2 })
      }
    }))
})

describe("The names of streams", () => {
  it("are Emmett's with a hyphen for the colon", () => {
    assert.deepStrictEqual(
      ["shopping_cart:42", "shopping_cart-42", "cart:2026:7", "cart-2026:7", "cart", ":7"].map(emmettNames),
      ["shopping_cart-42", "shopping_cart-42", "cart-2026:7", "cart-2026:7", "cart", ":7"]
    )
  })

  it.effect("are what the first rule that matches says, else what they would be without rules", () =>
    Effect.gen(function*() {
      const rename = yield* fromRules(["^old_(.+)=legacy-$1", "cart=basket", "(?<=x)=y=z"], emmettNames)
      assert.deepStrictEqual(["old_cart", "cart:1", "order:1", "x=y-1"].map(rename), [
        "legacy-cart",
        "basket:1",
        "order-1",
        "xz-1"
      ])
    }))

  it.effect("are not given by a rule that is none", () =>
    Effect.gen(function*() {
      for (const rule of ["", "cart", "=cart", "(cart=basket"]) {
        const error = yield* Effect.flip(fromRules([rule], sameNames))
        assert.strictEqual(error._tag, "RenameRefused")
        assert.include(error.message, JSON.stringify(rule))
      }
    }))
})

describe("JSON of another store", () => {
  it("keeps every number as it was written", () => {
    for (
      const text of [
        `{"a":1,"b":[1.0,-0,1e2,12345678901234567890,0.1,-1.50],"c":{"d":"1.0"}}`,
        `{"t":"2026-11-20T09:00:02.123Z","n":9007199254740993}`,
        `[]`
      ]
    ) assert.strictEqual(Json.toText(Json.parse(text)), text)
  })

  it.effect.prop("is what it was", { json: Arbitrary.schema(Schema.Json) }, ({ json }) =>
    Effect.sync(() => {
      const text = JSON.stringify(json)
      assert.strictEqual(Json.toText(Json.parse(text)), text)
    }), { arbitrary: { runs: 100 } })
})

describe("Metadata of another store", () => {
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`

  it("stand where ours do, and nothing is lost", () => {
    const kurrent = { $correlationId: "c", correlationId: "own", $causationId: 5, actor: "", traceparent, n: 1 }
    const text = toMetadata("KurrentDB", kurrent, {}, undefined)
    assert.deepStrictEqual(JSON.parse(text!), {
      correlationId: "c",
      traceparent,
      fields: { correlationId: "own", $causationId: 5, actor: "", n: 1 }
    })
    assert.isTrue(Schema.is(EventMetadata.EventMetadata)(JSON.parse(text!)))
    assert.isNull(toMetadata("Emmett", {}, {}, undefined))
    assert.isNull(toMetadata("message-db", null, {}, undefined))
    assert.strictEqual(
      toMetadata("Emmett", { importedFrom: 1 }, { eventId: "x" }, "cause"),
      `{"causationId":"cause","fields":{"importedFrom":1,"importedFrom_":{"store":"Emmett","eventId":"x"}}}`
    )
  })
})
