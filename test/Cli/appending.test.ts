import { assert, layer } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Category, EventId, EventStore } from "effect-eventstore"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
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
      const again = yield* append("Postgres", [...args, ...flags, "--expected", "no-stream", "--json"])
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
      assert.strictEqual(batches.code, 2)
      assert.include(batches.stderr, "Stored before that: 4 events, up to version 4")
      assert.strictEqual((yield* stored("cart-13")).length, 4)
      const whole = yield* append("PGlite", ["cart-13", "--batch", "2", "--json"], opened, opened, opened)
      assert.deepInclude(whole.json[0], { events: 3, firstVersion: 1, version: 3, checked: true })
      const none = yield* append("PGlite", ["cart-14"])
      assert.deepStrictEqual([none.code, none.stdout], [2, ""])
      assert.include(none.stderr, "There is no event on the standard input")
    }))

  it.effect("checks nothing where nothing is declared, or where it is told so", () =>
    Effect.gen(function*() {
      const file = join(yield* directory, "data.json")
      yield* Effect.promise(() => writeFile(file, "{\"any\": [1, null]}"))
      const other = yield* append("Postgres", ["parcel-1", "--type", "Sent", "--data", `@${file}`])
      assert.strictEqual(other.code, 0)
      assert.include(other.stderr, "declares no category parcel")
      assert.deepInclude((yield* stored("parcel-1"))[0], { type: "Sent", schemaVersion: 1, data: { any: [1, null] } })
      const raw = ["cart-15", "--raw", "--type", "Added", "--data", "{\"sku\":\"tea\"}"]
      const unsaid = yield* append("Postgres", raw)
      assert.deepStrictEqual([unsaid.code, unsaid.stdout], [2, ""])
      assert.include(unsaid.stderr, "declared in 3 shapes")
      assert.strictEqual((yield* append("Postgres", [...raw, "--schema-version", "1"])).code, 0)
      assert.deepInclude((yield* stored("cart-15"))[0], { schemaVersion: 1, data: { sku: "tea" } })
    }).pipe(Effect.scoped))
})
