import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Result, Stream } from "effect"
import { Category, EventData, EventId, EventStore, StoreError } from "effect-eventstore"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { partly, stored as storedBy } from "../../src/Cli/internal/appendStoring.ts"
import { isKept } from "../../src/Cli/internal/archive/decimals.ts"
import { byteLines } from "../../src/Cli/internal/frame/byteLines.ts"
import { explain } from "../../src/Cli/internal/frame/pgExplaining.ts"
import { Logs } from "../support/cliShop/logs.ts"
import { directory, run } from "../support/commandLine.ts"

const append = Effect.fnUntraced(
  function*(kind: "Postgres" | "PGlite", args: ReadonlyArray<string>, ...lines: ReadonlyArray<unknown>) {
    const stdin = lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join("")
    return yield* run(["append", ...args, ...(yield* Logs).at(kind)], { stdin })
  }
)

const stored = Effect.fnUntraced(function*(streamId: string) {
  const { inPostgres } = yield* Logs
  const events = yield* inPostgres(
    EventStore.use((store) => Stream.runCollect(store.read(Category.rawStream(streamId))))
  )
  return events.map(({ event: { data, schemaVersion, type }, eventId, metadata, tags }) => ({
    type,
    schemaVersion,
    data,
    eventId,
    metadata,
    tags
  }))
})

layer(Logs.layer({ postgres: 1, pglite: 1 }), { excludeTestServices: true })("appending to a log", (it) => {
  it.effect("stores an event in today's shape, with its tags and metadata, and says where", () =>
    Effect.gen(function*() {
      const args = ["cart-10", "--type", "Added", "--data", "{\"sku\":\"tea\",\"quantity\":1,\"cents\":100}"]
      const id = "01a20025-ed1d-74c9-85d8-4160b1613239"
      const flags = ["--tag", "gift", "--actor", "anna", "--correlation", "c-1", "--causation", "m-1", "--id", id]
      const first = yield* append("Postgres", [...args, ...flags, "--expected", "no-stream", "--json"])
      assert.deepStrictEqual([first.code, first.stderr], [0, ""])
      assert.deepInclude(first.json[0], { streamId: "cart-10", events: 1, version: 1, checked: true })
      const [event] = yield* stored("cart-10")
      assert.deepInclude(event, {
        type: "Added",
        schemaVersion: 3,
        data: { sku: "tea", quantity: 1, cents: 100 },
        metadata: { actor: "anna", correlationId: "c-1", causationId: "m-1" },
        eventId: EventId.EventId.make(id)
      })
      assert.sameMembers([...event!.tags], ["sku:tea", "gift"])
      // the same command again is a repetition, another one a conflict
      const inCapitals = flags.map((flag) => flag === id ? id.toUpperCase() : flag)
      const again = yield* append("Postgres", [...args, ...inCapitals, "--expected", "no-stream", "--json"])
      assert.deepStrictEqual(again.json, first.json)
      const late = yield* append("Postgres", [...args, "--expected", "0"])
      assert.deepStrictEqual([late.code, late.stdout], [1, ""])
      assert.include(late.stderr, "Stream cart-10 is at version 1, expected 0")
      assert.strictEqual((yield* stored("cart-10")).length, 1)
    }))

  it.effect("names what does not fit by its path, and stores nothing", () =>
    Effect.gen(function*() {
      const wrong = yield* append(
        "Postgres",
        ["cart-11"],
        { type: "Opened", data: { customer: "a" } },
        "",
        { type: "Added", data: { sku: "", quantity: 0, cents: 1, gift: true } },
        { type: "Ad", data: {} },
        "{\"type\": \"Opened\", \"data\": {\"customer\": 12345678901234567890}}",
        { type: "Opened", date: {} }
      )
      assert.deepStrictEqual([wrong.code, wrong.stdout], [2, ""])
      for (
        const said of [
          "line 3: ",
          "data.gift: Expected no excess property",
          "data.sku: Expected a value with a length of at least 1",
          "data.quantity: Expected a value greater than 0",
          "line 4: type: cart has no type \"Ad\"; there are Opened, Added, CheckedOut, Cancelled",
          "line 5: the number 12345678901234567890 has more digits",
          "line 6: date: Expected no excess property",
          "nothing of it was stored"
        ]
      ) assert.include(wrong.stderr, said)
      assert.deepStrictEqual(yield* stored("cart-11"), [])
    }))

  it.effect("takes lines from the standard input, all or none, or in batches", () =>
    Effect.gen(function*() {
      const opened = { type: "Opened", data: { customer: "a" }, metadata: { actor: "ben" } }
      const all = yield* append("Postgres", ["cart-12", "--actor", "anna", "--correlation", "c"], opened, opened)
      assert.match(all.stdout, /^cart-12: 2 events, versions 1 to 2, positions \d+ to \d+\n$/)
      const [first] = yield* stored("cart-12")
      assert.deepStrictEqual(first!.metadata, { actor: "ben", correlationId: "c" })
      const batches = yield* append("Postgres", ["cart-13", "--batch", "2"], opened, opened, opened, opened, "no")
      // something is stored, which 2 would deny
      assert.strictEqual(batches.code, 1)
      assert.include(batches.stderr, "Stored before that: 4 events, up to version 4")
      assert.include(batches.stderr, "line 5: this is no JSON")
      assert.strictEqual((yield* stored("cart-13")).length, 4)
      const whole = yield* append("PGlite", ["cart-13", "--batch", "2", "--json"], opened, opened, opened)
      assert.deepInclude(whole.json[0], { events: 3, firstVersion: 1, version: 3, checked: true })
      const late = ["cart-13", "--batch", "1", "--expected", "4", "--json"]
      const repeated = { ...opened, id: "01a20025-ed1d-74c9-85d8-4160b1613240" }
      const conflict = yield* append("Postgres", late, repeated, { ...repeated, data: { customer: "b" } })
      assert.deepStrictEqual([conflict.code, conflict.stdout], [1, ""])
      const { error } = JSON.parse(conflict.stderr)
      assert.deepInclude(error, { tag: "EventIdConflict", stored: { events: 1, version: 5 } })
      const none = yield* append("PGlite", ["cart-14"])
      assert.deepStrictEqual([none.code, none.stdout], [2, ""])
      assert.include(none.stderr, "There is no event on the standard input")
    }))

  it.effect("refuses a category that is not declared, and checks nothing where it is told so", () =>
    Effect.gen(function*() {
      const file = join(yield* directory, "data.json")
      yield* Effect.promise(() => writeFile(file, "{\"any\": [1, null]}"))
      const typo = yield* append("Postgres", ["crat-1", "--type", "Sent", "--data", `@${file}`])
      assert.deepStrictEqual([typo.code, typo.stdout], [2, ""])
      assert.include(typo.stderr, "declares no category crat\nhint  did you mean cart? --raw stores it anyway")
      const other = yield* append("Postgres", ["parcel-1", "--raw", "--type", "Sent", "--data", `@${file}`])
      assert.strictEqual(other.code, 0)
      assert.deepInclude((yield* stored("parcel-1"))[0], { type: "Sent", schemaVersion: 1, data: { any: [1, null] } })
      const raw = ["cart-15", "--raw", "--type", "Added", "--data", "{\"sku\":\"tea\"}"]
      const unsaid = yield* append("Postgres", raw)
      assert.deepStrictEqual([unsaid.code, unsaid.stdout], [2, ""])
      assert.include(unsaid.stderr, "declared in 3 shapes")
      assert.strictEqual((yield* append("Postgres", [...raw, "--schema-version", "1"])).code, 0)
      assert.deepInclude((yield* stored("cart-15"))[0], { schemaVersion: 1, data: { sku: "tea" } })
    }).pipe(Effect.scoped))

  it.effect("takes no text that is not UTF-8, and none without a bound", () =>
    Effect.gen(function*() {
      const file = join(yield* directory, "data.json")
      yield* Effect.promise(() => writeFile(file, Buffer.from("{\"any\":\n\"\xfc\"}", "latin1")))
      const wrong = yield* append("Postgres", ["parcel-2", "--raw", "--type", "Sent", "--data", `@${file}`])
      assert.deepStrictEqual([wrong.code, wrong.stdout], [2, ""])
      assert.include(wrong.stderr, "--data: line 2: this is no UTF-8")
      const many = yield* append("Postgres", ["parcel-2", "--raw", "--batch", "10001"])
      assert.strictEqual(many.code, 2)
      assert.include(many.stderr, "--batch is at most 10000")
    }).pipe(Effect.scoped))
})

describe("what is appended", () => {
  it("is a number only where a program keeps it as it is written", () => {
    const kept = [
      ["0", 0],
      ["-0.0", 0],
      ["1.50", 1.5],
      ["1E2", 100],
      ["0.1", 0.1],
      ["1e23", 1e23],
      ["6.02214076e23", 6.02214076e23],
      ["9007199254740992.0", 2 ** 53],
      ["0.000001", 1e-6]
    ] as const
    for (const [source, value] of kept) assert.isTrue(isKept(source, value), source)
    const lost = [
      "9007199254740993",
      "9007199254740993.0",
      "12345678901234567.25",
      "1e-400",
      "-1e400",
      "90071992547409931e-1",
      "0.12345678901234567890",
      "12345678901234567890"
    ]
    for (const source of lost) assert.isFalse(isKept(source, JSON.parse(source)), source)
  })

  const linesOf = (longest: number, ...chunks: ReadonlyArray<string | Uint8Array>) =>
    Effect.map(
      Stream.runCollect(byteLines(longest)(Stream.make(...chunks.map((chunk) => Buffer.from(chunk))))),
      (lines) => lines.map(({ line, text }) => `${line} ${Result.isSuccess(text) ? text.success : `! ${text.failure}`}`)
    )

  it.effect("is cut into lines, wherever the pieces of the input end", () =>
    Effect.gen(function*() {
      const bytes = Buffer.from("ä\n\nüb\nc")
      const pieces = Array.from(bytes, (byte) => Uint8Array.of(byte))
      assert.deepStrictEqual(yield* linesOf(3, ...pieces), ["1 ä", "2 ", "3 üb", "4 c"])
      assert.deepStrictEqual(yield* linesOf(3, bytes, "\n"), ["1 ä", "2 ", "3 üb", "4 c"])
      assert.deepStrictEqual(yield* linesOf(9, "a\nb", Uint8Array.of(0xc3, 0x0a), "c"), [
        "1 a",
        "2 ! this is no UTF-8",
        "3 c"
      ])
      const long = ["1 a", "2 ! this is longer than 3 bytes"]
      assert.deepStrictEqual(yield* linesOf(3, "a\nb", "bb", "b\nc\n"), long)
      assert.deepStrictEqual(yield* linesOf(3, "a\nbbbb"), long)
    }))

  it.effect("can be repeated by its ids where nobody knows whether it is stored", () =>
    Effect.gen(function*() {
      const failure = { operation: "append", isRetryable: true, cause: new Error("the connection was lost") }
      const lost = new StoreError.StoreError({ ...failure, outcome: "unknown" })
      const id = EventId.EventId.make("01a20025-ed1d-74c9-85d8-4160b1613239")
      const error = yield* Effect.flip(
        storedBy(
          { append: () => Effect.fail(lost) },
          { stream: Category.rawStream("cart-1") },
          [Object.assign(EventData.make({}, { id }), { id })],
          "any"
        )
      )
      const refusal = explain(error)!
      assert.deepInclude(refusal, { code: 3, of: "StoreError", facts: { outcome: "unknown", ids: [id] } })
      assert.include(refusal.hint, "it may be stored: read the stream before you repeat this")
      assert.include(refusal.hint, `--id ${id}`)
      assert.deepInclude(partly(error, 4, 7), {
        code: 1,
        facts: { outcome: "unknown", ids: [id], stored: { events: 4, version: 7 } }
      })
      const known = explain(new StoreError.StoreError({ ...failure, outcome: "not-stored" }))!
      assert.deepStrictEqual([known.hint, known.facts], [undefined, undefined])
    }))
})
