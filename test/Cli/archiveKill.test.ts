import { NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { PgMigrations } from "effect-eventstore"
import * as Archive from "effect-eventstore/Cli/Archive"
import { join } from "node:path"
import { contentOf, directory, filesOf } from "../support/archives.ts"
import * as Child from "../support/child.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const count = 12_000

const program = (url: string) =>
  Effect.gen(function*() {
    const sql = yield* PgClient.PgClient
    yield* PgMigrations.migrate(sql)
    yield* sql`SELECT eventstore.open_log(2)`
    const source: Archive.LogTables = { sql, schema: "eventstore", log: 1 }
    const target: Archive.LogTables = { ...source, log: 2 }
    yield* sql`
      INSERT INTO eventstore.events (
        log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, recorded_at
      )
      SELECT 1, n, 'a-' || n % 10, (n + 9) / 10, gen_random_uuid(), 'Noted', 1, json_build_object('n', n), clock_timestamp()
      FROM generate_series(1, ${count}::int4) n`
    yield* sql`
      INSERT INTO eventstore.stream_states (log_id, stream_id, truncated_before) VALUES (1, 'a-1', 5)`
    const path = yield* directory
    yield* Archive.exportLog(source, join(path, "first"))

    let stored = 0
    for (const batches of [1, 4]) {
      const child = yield* Child.start("importWorker.ts", join(path, "first"), url, "2")
      const importing = () => child.lines.filter((line) => line.startsWith("importing")).length
      for (let lines = 1; importing() < batches; lines = child.lines.length + 1) {
        yield* Effect.promise(() => child.hasWritten(lines))
      }
      yield* Effect.promise(() => child.kill())
      const { events, states } = yield* contentOf(target)
      // whole batches, of which it told or was about to tell
      assert.strictEqual(events.length % 1000, 0)
      assert.isAtLeast(events.length, batches * 1000)
      assert.isBelow(events.length, count)
      assert.deepStrictEqual(states, [])
      stored = events.length
    }
    const imported = yield* Archive.importArchive(join(path, "first"), target)
    assert.deepStrictEqual(imported, {
      stored: count - stored,
      present: stored,
      streamsChanged: 1,
      arePositionsKept: true
    })
    yield* Archive.exportLog(target, join(path, "second"))
    assert.deepStrictEqual(filesOf(join(path, "second")), filesOf(join(path, "first")))
  })

describe("kill -9", () => {
  it.live(
    "of an import leaves whole batches, and the next run goes on there",
    () =>
      Effect.flatMap(TestPostgres.url, (url) =>
        Effect.provide(
          program(url),
          Layer.merge(PgClient.layer({ url: Redacted.make(url) }), NodeServices.layer)
        )),
    120_000
  )
})
