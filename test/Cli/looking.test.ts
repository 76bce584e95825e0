import { assert, describe, it, layer } from "@effect/vitest"
import { DateTime, Effect, Option, Redacted, Stream } from "effect"
import {
  Category,
  EventData,
  EventStore,
  type Position,
  RawEvent,
  type StreamId,
  type StreamVersion
} from "effect-eventstore"
import { eventBlock, eventColumnsOf, eventLine } from "../../src/Cli/internal/eventLines.ts"
import { targetAt } from "../../src/Cli/internal/frame/pgTarget.ts"
import { inOneLine, tableText } from "../../src/Cli/internal/frame/table.ts"
import { prettyJson } from "../../src/Cli/internal/prettyJson.ts"
import type { Shown } from "../../src/Cli/internal/shownEvent.ts"
import { fulfils, parseCondition } from "../../src/Cli/internal/where.ts"
import { Logs } from "../support/cliShop/logs.ts"
import { run, start } from "../support/commandLine.ts"

const kinds = ["Postgres", "PGlite"] as const

const read = Effect.fnUntraced(function*(kind: typeof kinds[number], ...args: ReadonlyArray<string>) {
  const ended = yield* run([...args, ...(yield* Logs).at(kind)])
  assert.strictEqual(ended.code, 0, ended.stderr)
  return ended
})

const refused = Effect.fnUntraced(function*(code: number, ...args: ReadonlyArray<string>) {
  const ended = yield* run([...args, ...(yield* Logs).at("Postgres")])
  assert.deepStrictEqual([ended.code, ended.stdout], [code, ""])
  assert.notInclude(ended.stderr, "    at ")
  return ended.stderr
})

layer(Logs.layer({ postgres: 4, pglite: 2 }), { excludeTestServices: true })("looking at a log", (it) => {
  for (const kind of kinds) {
    it.effect(`reads a stream, a category and all, filtered, from ${kind}`, () =>
      Effect.gen(function*() {
        const stream = yield* read(kind, "read", "cart-1", "--json")
        assert.deepStrictEqual(stream.json.map(({ streamVersion, type }) => [streamVersion, type]), [
          [1, "Opened"],
          [2, "Added"],
          [3, "Added"],
          [4, "Added"],
          [5, "CheckedOut"]
        ])
        assert.deepInclude(stream.json[2], {
          position: 3,
          streamId: "cart-1",
          schemaVersion: 2,
          data: { sku: "cup", quantity: 2, price: 2.5 },
          metadata: { correlationId: "request-1", actor: "anna" },
          tags: ["sku:cup"]
        })
        const category = yield* read(kind, "read", "payment", "--backward", "--limit", "1", "--json")
        assert.deepStrictEqual(category.json.map(({ data }) => data), [{
          cart: kind === "Postgres" ? "4" : "2",
          cents: 1850
        }])
        const conditions = ["--where", "data.price<3", "--where", "metadata.correlationId~-[12]$"]
        const filters = ["--type", "Added", "--tag", "sku:cup", "--since", "1h", "--to", "9", ...conditions]
        const filtered = yield* read(kind, "read", ...filters)
        assert.match(filtered.lines[0]!, /^position +recorded +stream +version +type +data$/)
        assert.deepStrictEqual(filtered.lines.slice(1).map((line) => line.trim().split(/ +/)[2]), ["cart-1", "cart-2"])
      }))
  }

  it.effect("reads as the application does, through its chains", () =>
    Effect.gen(function*() {
      const { json } = yield* read("Postgres", "read", "cart-1", "--typed", "--type", "Added", "--json")
      assert.deepStrictEqual(json.map(({ data, schemaVersion }) => [schemaVersion, data]), [
        [3, { sku: "tea", quantity: 1, cents: 100 }],
        [3, { sku: "cup", quantity: 2, cents: 250 }],
        [3, { sku: "pot", quantity: 1, cents: 1250 }]
      ])
    }))

  it.effect("says what is wrong with what it is asked, and shows nothing", () =>
    Effect.gen(function*() {
      assert.include(yield* refused(2, "read", "--where", "cents=1"), "its path begins with neither data nor metadata")
      assert.include(yield* refused(2, "read", "--since", "yesterday"), "is no time")
      assert.include(yield* refused(2, "read", "cart-1", "--category", "cart"), "cart-1 is one stream")
      assert.match(yield* refused(1, "read", "crat-99"), /There is no stream crat-99[^]*did you mean cart\?/)
      const none = yield* read("Postgres", "read", "crat", "--type", "Opend")
      assert.include(none.stderr, "declares no category crat; did you mean cart?")
      assert.include(none.stderr, "declares no type Opend; did you mean Opened?")
    }))

  it.effect("shows an event with what led to it and what followed", () =>
    Effect.gen(function*() {
      const store = yield* Logs
      const [, , , , checkedOut, paid] = yield* store.inPostgres(
        EventStore.use((store) => Stream.runCollect(store.readAll({ limit: 6 })))
      )
      const text = yield* read("Postgres", "event", paid!.eventId)
      assert.include(text.stdout, `causation    ${checkedOut!.eventId}`)
      assert.match(
        text.stdout,
        /5 {2}cart-1 version 5 {2}CheckedOut\n└─ 6 {2}payment-1 version 1 {2}Paid {2}\(this one\)/
      )
      const { json: [answer] } = yield* read("PGlite", "event", "5", "--json")
      assert.deepStrictEqual([answer.event.position, answer.causes, answer.followed.length], [5, [], 1])
      assert.deepInclude(answer.followed[0], { position: 6, streamId: "payment-1", followed: [] })
      assert.strictEqual(answer.searched.whole, true)
      assert.include(yield* refused(1, "event", "4711"), "There is no event at position 4711")
    }))

  it.effect("finds what followed over generations and pages, and what is no event", () =>
    Effect.gen(function*() {
      const { inPostgres } = yield* Logs
      const first = yield* inPostgres(Effect.gen(function*() {
        const store = yield* EventStore
        const append = (stream: string, causationId: string) =>
          Effect.gen(function*() {
            const followed = RawEvent.make({ type: "Followed", schemaVersion: 1, data: {} })
            const event = EventData.make(followed, { metadata: { causationId } })
            const { position } = yield* store.append(Category.rawStream(stream), [event])
            return (yield* Stream.runCollect(store.readAll({ from: position, limit: 1 })))[0]!.eventId
          })
        const root = yield* append("chain-1", "command-7")
        const child = yield* append("chain-2", root)
        yield* append("chain-3", child)
        yield* append("chain-3", root)
        return root
      }))
      const { json: [answer] } = yield* read("Postgres", "event", first, "--json")
      assert.deepStrictEqual(answer.causes, [{ causationId: "command-7", event: null }])
      const tree = (events: ReadonlyArray<any>): unknown =>
        events.map(({ followed, streamId }) => [streamId, tree(followed)])
      assert.deepStrictEqual(tree(answer.followed), [["chain-2", [["chain-3", []]]], ["chain-3", []]])
    }))

  it.effect("shows, truncates, deletes and tombstones streams", () =>
    Effect.gen(function*() {
      const { json: [shown] } = yield* read("PGlite", "streams", "show", "cart-2", "--json")
      assert.deepInclude(shown, { version: 5, status: "active", events: 5, hidden: 0 })
      assert.deepStrictEqual(shown.types[0], { type: "Added", schemaVersion: 1, events: 1 })
      assert.include(yield* refused(2, "streams", "delete", "cart-3"), "nobody can be asked here")
      assert.include(yield* refused(1, "streams", "delete", "cart-3", "--yes", "--expected", "4"), "is at version 5")
      yield* read("Postgres", "streams", "truncate", "cart-3", "--before", "4", "--yes")
      const truncated = yield* read("Postgres", "streams", "show", "cart-3")
      assert.match(truncated.stdout, /events +2\n +hidden +3, below version 4/)
      yield* read("Postgres", "streams", "delete", "cart-3", "--yes", "--expected", "5")
      const { json: [ended] } = yield* read("Postgres", "streams", "tombstone", "cart-3", "--yes", "--json")
      assert.deepInclude(ended, { streamId: "cart-3", status: "tombstoned" })
      assert.include(yield* refused(1, "read", "cart-3"), "tombstoned")
    }))

  it.effect("follows a log as it grows, and says how to go on", () =>
    Effect.gen(function*() {
      const { at, inPostgres } = yield* Logs
      const tail = yield* start(["tail", "parcel", "--last", "2", "--where", "data.n!=3", ...at("Postgres")])
      const append = (n: number) =>
        inPostgres(EventStore.use((store) =>
          store.append(Category.rawStream("parcel-1"), [
            RawEvent.make({ type: "Moved", schemaVersion: 1, data: { n } })
          ])
        ))
      for (const n of [1, 2, 3, 4]) {
        yield* append(n)
      }
      yield* tail.says("{\"n\":4}")
      const { position } = yield* append(5)
      yield* tail.says("{\"n\":5}")
      yield* tail.signal("SIGINT")
      assert.strictEqual(yield* tail.ended, 130)
      assert.notInclude(tail.stdout(), "{\"n\":3}")
      assert.include(tail.stderr(), `--after ${position}`)
      const next = yield* start(["tail", "parcel-1", "--after", "3", "--limit", "2", "--json", ...at("Postgres")])
      assert.strictEqual(yield* next.ended, 0)
      assert.deepStrictEqual(next.stdout().trim().split("\n").map((line) => JSON.parse(line).data.n), [4, 5])
      assert.include(yield* refused(1, "tail", "--after", "100000"), "it was restored, or it is another log")
    }).pipe(Effect.scoped))

  it.effect("ends with what is in a directory, as nobody else can write to it", () =>
    Effect.gen(function*() {
      const one = yield* read("PGlite", "tail", "--last", "3", "--limit", "1")
      assert.include(one.stderr, "--after 10")
      const ended = yield* read("PGlite", "tail", "--last", "1")
      assert.include(ended.stderr, "this ends with what is in it")
      assert.include(ended.stderr, "--after 12")
      assert.match(ended.lines[1]!, /^ +12 .*payment-2/)
    }))
})

describe("conditions on what an event holds", () => {
  const event = {
    data: JSON.stringify({
      cents: 1250,
      zip: "01234",
      note: null,
      items: [{ sku: "tea", n: 1 }, { sku: "cup", n: 2 }],
      "a name": { deep: true }
    }),
    metadata: "{\"actor\":\"anna\"}"
  }
  const holds = (text: string) => {
    const condition = parseCondition(text)
    return typeof condition === "string" ? condition : fulfils([condition], event)
  }

  it("compares numbers, texts, lists and what is missing", () => {
    const yes = [
      "data.cents=1250",
      "data.cents>=1250",
      "data.cents>99",
      "data.cents != 1",
      "data.zip=01234",
      "data.zip=\"01234\"",
      "data.zip>01233",
      "data.note=null",
      "data.note exists",
      "data.nothing absent",
      "data.items[0].sku=tea",
      "data.items[*].sku=cup",
      "data.items[*].sku!=pot",
      "data.items[1]={\"n\":2,\"sku\":\"cup\"}",
      "data[\"a name\"].deep=true",
      "metadata.actor~^AN?|^an",
      "data.items~\"tea\"",
      "data.nothing!=1"
    ]
    const no = [
      "data.cents<1250",
      "data.cents=\"1250\"",
      "data.items[*].sku!=tea",
      "data.items[2] exists",
      "data.cents absent",
      "data.zip=1234",
      "data.note>0",
      "metadata.actor=Anna",
      "data.constructor exists",
      "data.zip>z"
    ]
    assert.deepStrictEqual(yes.map(holds), yes.map(() => true))
    assert.deepStrictEqual(no.map(holds), no.map(() => false))
  })

  it("says what is wrong with one", () => {
    for (
      const text of [
        "cents=1",
        "data.cents",
        "data.cents is 1",
        "data.a~(",
        "data.a=>900",
        "data.a==1",
        "data.a>",
        "data.a=",
        "dataset.a=1",
        ""
      ]
    ) {
      assert.strictEqual(typeof holds(text), "string", text)
    }
  })
})

describe("events as they are shown", () => {
  const shown: Shown = {
    event: {
      type: "Odd",
      schemaVersion: 1,
      data: "{\"n\":12345678901234567890,\n\"t\":\"\\u001b[31m\u009b2J\",\"list\":[],\"o\":{\"b\":[1,2.50]}}",
      metadata: null
    },
    type: "Odd",
    schemaVersion: 1,
    eventId: "01a20025-ed1d-74c9-85d8-4160b1613239" as Shown["eventId"],
    streamId: "odd-1" as StreamId.StreamId,
    streamVersion: 1 as StreamVersion.StreamVersion,
    position: 7 as Position.Position,
    metadata: {},
    tags: [],
    recordedAt: DateTime.makeUnsafe(0),
    part: 0,
    parts: 1
  }

  it("keeps every digit, in one line", () => {
    assert.strictEqual(
      eventLine(shown),
      "{\"position\":7,\"streamId\":\"odd-1\",\"streamVersion\":1,\"eventId\":\"01a20025-ed1d-74c9-85d8-4160b1613239\"," +
        "\"type\":\"Odd\",\"schemaVersion\":1,\"data\":{\"n\":12345678901234567890, \"t\":\"\\u001b[31m\u009b2J\"," +
        "\"list\":[],\"o\":{\"b\":[1,2.50]}},\"metadata\":{},\"tags\":[],\"recordedAt\":\"1970-01-01T00:00:00.000Z\"}"
    )
  })

  it("lays them out without what would move a cursor", () => {
    const plain = (_: unknown, text: string) => text
    assert.strictEqual(
      prettyJson(shown.event.data, plain),
      "{\n  \"n\": 12345678901234567890,\n  \"t\": \"\\u001b[31m\\x9b2J\",\n  \"list\": [],\n" +
        "  \"o\": {\n    \"b\": [\n      1,\n      2.50\n    ]\n  }\n}"
    )
    const block = eventBlock({ ...shown, metadata: { actor: "\u001b[2J" } }, { paint: plain })
    assert.deepStrictEqual(["\u001b", "\u009b"].filter((control) => block.includes(control)), [])
  })

  it("leaves out what the terminal has no room for", () => {
    const table = (columns: number, now: string) =>
      tableText([shown], eventColumnsOf(columns, DateTime.makeUnsafe(now)), { columns, paint: (_, text) => text })
    assert.include(table(120, "1970-01-01"), " 1970-01-01T00:00:00.000Z  odd-1")
    assert.include(table(119, "1970-01-02"), " 1970-01-01 00:00:00  odd-1")
    assert.include(table(119, "1970-01-01"), "  00:00:00  odd-1")
    const narrow = table(80, "1970-01-01").split("\n")
    assert.match(narrow[0]!, /^position +stream +version +type +data$/)
    assert.isAtMost(narrow[1]!.indexOf("{"), 53)
  })

  it("tells the issues of a schema in one line", () => {
    assert.strictEqual(
      inOneLine("Expected string\n  at [\"a\"]\nno\n  at [\"b\"]"),
      "Expected string, at [\"a\"]; no, at [\"b\"]"
    )
  })
})

it.effect("no address of Postgres is one whose host was meant otherwise", () =>
  Effect.gen(function*() {
    const at = (url: string) =>
      targetAt({ from: "", dir: Option.none(), url: Option.some(Redacted.make(url)), schema: "eventstore", log: 1 })
    assert.strictEqual((yield* at("postgres://anna:%23x@host/shop")).name, "postgres://host/shop")
    for (const url of ["postgres:/user", "postgres://anna:1#x@host/shop", "mysql://host/shop", "shop"]) {
      const { code, message } = yield* Effect.flip(at(url))
      assert.strictEqual(code, 2, url)
      assert.match(message, /^This is no URL of a Postgres database .*percent-encoded/)
    }
  }))
