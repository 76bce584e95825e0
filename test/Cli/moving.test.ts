/** Moving a log by the command line: archives, copies, and what comes from other stores. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Fiber, Latch, Layer, Redacted } from "effect"
import { Category, EventStore, PgEventStore } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { appendFileSync, existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { OpenLog } from "../../src/Cli/internal/frame/logSql.ts"
import { Output } from "../../src/Cli/internal/frame/output.ts"
import { Progress } from "../../src/Cli/internal/frame/progress.ts"
import { foreignText, goesOn, importedText, moving } from "../../src/Cli/internal/moving.ts"
import { fill } from "../support/cliShop/shop.ts"
import { directory, run } from "../support/commandLine.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

/** A program with a client and a store on a database. */
const on = <A, E>(url: string, effect: Effect.Effect<A, E, EventStore | SqlClient.SqlClient>) =>
  Effect.provide(
    effect,
    PgEventStore.layer().pipe(Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) })), Layer.fresh)
  )

const bytesOf = (directory: string) =>
  Object.fromEntries(readdirSync(directory).map((file) => [file, readFileSync(join(directory, file), "base64")]))

const fixture = (name: string) => join(import.meta.dirname, "..", "fixtures", name)

/** The tables that another store left in a database of its own. */
const loaded = (name: string) =>
  Effect.gen(function*() {
    const url = yield* TestPostgres.url
    const statements = readFileSync(fixture(name), "utf8").split(/;\n/).filter((statement) => statement.trim() !== "")
    yield* Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true })
    ).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url) })))
    return url
  })

describe("a log that is moved", () => {
  it("is told of in sentences", () => {
    const log = { name: "here" } as OpenLog["Service"]
    const imported = { stored: 1, present: 0, streamsChanged: 0, arePositionsKept: true }
    assert.strictEqual(importedText(imported, log), "1 event is stored in here, at the position it had.")
    assert.strictEqual(
      foreignText({ ...imported, stored: 2000, present: 1, arePositionsKept: false }, log),
      "2,000 events are stored in here, 1 was there already, in the same order, at new positions."
    )
    assert.strictEqual(
      importedText({ ...imported, stored: 0, present: 1 }, log),
      "Nothing to do: 1 event is in here already."
    )
    assert.strictEqual(
      importedText({ ...imported, stored: 0, present: 3, streamsChanged: 1 }, log),
      "0 events are stored in here, 3 were there already; 1 stream changed."
    )
  })

  it.live("is told of at Ctrl-C: how far it came, and what is left", () =>
    Effect.gen(function*() {
      const said: Array<string> = []
      const begun = yield* Latch.make()
      const fiber = yield* Effect.forkScoped(
        moving("import", goesOn, ({ onProgress }) =>
          onProgress!({ phase: "importing", events: 2000, total: 5000 } as never).pipe(
            Effect.andThen(begun.open),
            Effect.andThen(Effect.never)
          )).pipe(
            Effect.provideService(Output, {
              isJson: false,
              isWatched: false,
              columns: undefined,
              paint: (_, text) =>
                text
            }),
            Effect.provideService(Progress, {
              say: () =>
                Effect.void,
              during: (_, work) =>
                work(() => Effect.void)
            }),
            Effect.provideService(Console.Console, { ...console, error: (text: string) => said.push(text) })
          )
      )
      yield* begun.await
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(said, ["import: stopped after 2,000 events; the same command goes on from there"])
    }))

  it.live("is the same in an archive, in a directory, and in a database again", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const other = yield* TestPostgres.url
      const cwd = yield* directory
      yield* on(url, fill(20))
      const env = { EVENTSTORE_URL: url }

      const exported = yield* run(["export", "first", "--json"], { env, cwd })
      assert.strictEqual(exported.code, 0, exported.stderr)
      assert.deepInclude(exported.json[0], {
        events: 120,
        firstPosition: 1,
        lastPosition: 120,
        isWhole: true,
        missing: 0
      })

      const imported = yield* run(["import", "first", "--dir", "data"], { cwd })
      assert.deepStrictEqual([imported.code, imported.stdout], [
        0,
        `120 events are stored in ${join(cwd, "data")}, at the positions they had.\n`
      ])
      const again = yield* run(["import", "first", "--dir", "data"], { cwd })
      assert.include(again.stdout, "Nothing to do: all 120 events")

      const copied = yield* run(["copy", "--dir", "data", "--json"], { cwd, env: { EVENTSTORE_TO_URL: other } })
      assert.deepStrictEqual(copied.json, [{ stored: 120, present: 0, streamsChanged: 0, arePositionsKept: true }])
      // what is new is brought by the same command
      yield* on(url, Effect.flatMap(EventStore, (store) => store.delete(Category.rawStream("cart-1"))))
      const brought = yield* run(["copy", "--json"], { cwd, env: { ...env, EVENTSTORE_TO_URL: other } })
      assert.deepStrictEqual(brought.json, [{ stored: 0, present: 120, streamsChanged: 1, arePositionsKept: true }])

      yield* run(["export", "second"], { env, cwd })
      yield* run(["export", "third"], { env: { EVENTSTORE_URL: other }, cwd })
      assert.deepStrictEqual(bytesOf(join(cwd, "third")), bytesOf(join(cwd, "second")))

      // tables of a program that does not exist yet
      yield* on(
        other,
        Effect.flatMap(SqlClient.SqlClient, (sql) =>
          sql`INSERT INTO eventstore.migrations (migration_id, name) VALUES (999, 'later')`)
      )
      const newer = yield* Effect.all([
        run(["export", "fourth"], { env: { EVENTSTORE_URL: other }, cwd }),
        run(["import", "third"], { env: { EVENTSTORE_URL: other }, cwd })
      ], { concurrency: 2 })
      for (const { code, stderr } of newer) {
        assert.strictEqual(code, 3)
        assert.include(stderr, "is at migration 999, this program knows")
      }
    }), 120_000)

  it.live("is refused where the archive is damaged, before there is a log", () =>
    Effect.gen(function*() {
      const cwd = yield* directory
      yield* run(["import", "--format", "kurrentdb", fixture("kurrentdb-events.json"), "--dir", "data"], { cwd })
      const args = ["export", "part", "--dir", "data", "--category", "account"]
      const part = yield* run([...args, "--category", "acount"], { cwd })
      assert.strictEqual(part.code, 0, part.stderr)
      assert.include(part.stderr, "There are no events of the category acount.")
      const never = yield* run([...args, "--since", "2026-01-02", "--until", "2026-01-02"], { cwd })
      assert.strictEqual(never.code, 2)
      assert.include(never.stderr, "has to be later than --since")
      const taken = yield* run(["export", "part", "--dir", "data"], { cwd })
      assert.strictEqual(taken.code, 1)
      assert.include(taken.stderr, "exists already")

      appendFileSync(join(cwd, "part", "events-00001.jsonl.gz"), "x")
      const refused = yield* run(["import", "part", "--dir", "other"], { cwd })
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /^error The archive .* is damaged: events-00001\.jsonl\.gz /)
      assert.isFalse(existsSync(join(cwd, "other")))
      const none = yield* run(["import", "nothing", "--dir", "other", "--json"], { cwd })
      assert.strictEqual(none.code, 1)
      assert.strictEqual(JSON.parse(none.stderr).error.tag, "NotAnArchive")
    }), 120_000)

  it.live(
    "comes from Emmett and from message-db, where the password is in the environment",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const env = { EVENTSTORE_URL: url }
        const emmett = yield* loaded("emmett.sql")
        const moved = yield* run(["import", "--format", "emmett", "--rename", "^shopping_cart[:-]=cart-"], {
          env: { ...env, EVENTSTORE_FROM_URL: emmett }
        })
        assert.strictEqual(moved.code, 0, moved.stderr)
        assert.match(moved.stdout, /^6 events are stored in .*, in the same order, at positions counted from 1\.\n$/)
        assert.include(moved.stderr, "Passed over: 1 commands.")
        const streams = yield* run(["streams", "list", "--json"], { env })
        assert.deepStrictEqual(streams.json.map(({ streamId }) => streamId), ["cart-42", "cart-7", "invoice-2026:1"])

        const messages = yield* loaded("message-db.sql")
        const second = yield* run(["import", "--format", "message-db", "--from-url", messages, "--json"], { env })
        assert.strictEqual(second.code, 0, second.stderr)
        assert.deepStrictEqual(second.json, [{ stored: 5, present: 0, streamsChanged: 0 }])
      }),
    120_000
  )

  it.live("is not moved by a command that makes no sense", () =>
    Effect.gen(function*() {
      const cwd = yield* directory
      const refused = (...args: ReadonlyArray<string>) =>
        Effect.map(run([...args, "--dir", "data"], { cwd }), ({ code, stderr, stdout }) => {
          assert.deepStrictEqual([code, stdout], [2, ""])
          return stderr
        })
      const all = yield* Effect.all([
        refused("import", "part", "--renumber"),
        refused("import", "--format", "emmett"),
        refused("import", "--format", "kurrentdb", "x.json", "--rename", "no rule")
      ], { concurrency: 2 })
      assert.include(all[0], "--renumber means nothing for an import of the format archive")
      assert.include(all[1], "It is not said which database of emmett to read")
      assert.include(all[2], "no rule")
      assert.isFalse(existsSync(join(cwd, "data")))
    }), 120_000)
})
