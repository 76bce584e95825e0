/** `eventstore verify` as a process: what it says, how it ends, and that it names what a superuser did. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { Projection, SnapshotStore } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { join } from "node:path"
import { config, storeAt } from "../support/cliShop/logs.ts"
import { Carts, fill, Totals } from "../support/cliShop/shop.ts"
import { directory, run, terminal } from "../support/commandLine.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const layerOf = (url: string) => Layer.provideMerge(Projection.layer(Totals), storeAt(url))

/** A log with a read model and snapshots. */
const prepared = Effect.gen(function*() {
  const url = yield* TestPostgres.url
  yield* Effect.gen(function*() {
    yield* fill(5)
    yield* Carts.snapshot("1")
    yield* Projection.awaitProcessed(Totals, 30)
    assert.lengthOf(yield* Stream.runCollect(SnapshotStore.list()), 1)
  }).pipe(Effect.provide(layerOf(url)))
  return url
})

/** What somebody does who may do anything. */
const damaging = (url: string, ...statements: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(
      Effect.forEach(["SET LOCAL session_replication_role = replica", ...statements], (statement) =>
        sql.unsafe(statement))
    )
  }).pipe(Effect.provide(Layer.fresh(PgClient.layer({ url: Redacted.make(url) }))))

describe("eventstore verify", () => {
  it.live(
    "finds nothing in a log that is whole, and names each damage, with exit code 1",
    () =>
      Effect.gen(function*() {
        const url = yield* prepared
        const env = { EVENTSTORE_URL: url }
        const cwd = yield* directory
        const whole = yield* run(["verify", ...config], { env })
        assert.strictEqual(whole.code, 0, whole.stdout + whole.stderr)
        assert.include(whole.stdout, "✓ positions: 30 looked at, 0 findings")
        assert.include(whole.stdout, "Nothing is wrong with log 1 of postgres://")
        yield* run(["export", "backup"], { env, cwd })

        yield* damaging(
          url,
          `DELETE FROM eventstore.events WHERE position = 17`,
          `UPDATE eventstore.events SET data = '{"customer":7}' WHERE position = 13`,
          `UPDATE eventstore.events SET data = '{"customer":"mallory"}' WHERE position = 1`,
          `ALTER TABLE eventstore.events DROP CONSTRAINT events_stream_version_key`,
          `UPDATE eventstore.events SET stream_version = 3 WHERE position = 10`,
          `UPDATE eventstore.projection_partitions SET position = 1000`
        )
        const report = yield* run(["verify", ...config, "--archive", join(cwd, "backup"), "--json"], { env })
        assert.strictEqual(report.code, 1, report.stderr)
        const [{ findings, found }] = report.json
        assert.isAtLeast(found, 6)
        const has = (kind: string, about: object) =>
          assert.isTrue(
            findings.some((finding: any) =>
              finding.kind === kind && Object.entries(about).every(([key, value]) => finding.about[key] === value)
            ),
            `${kind} ${JSON.stringify(about)} in ${JSON.stringify(findings, null, 1)}`
          )
        has("PositionMissing", { position: 17 })
        has("DataUndecodable", { position: 13, streamId: "cart-3" })
        has("VersionDoubled", { streamId: "cart-2", streamVersion: 3 })
        has("VersionMissing", { streamId: "cart-2", streamVersion: 4 })
        has("CheckpointAhead", { projection: "totals" })
        has("ConstraintMissing", {})
        has("SnapshotDiffers", { streamId: "cart-1" })
        // what fits as well as before is seen by comparison only
        assert.isTrue(findings.some((finding: any) => finding.check === "archive" && finding.about.position === 1))

        const one = yield* run(["verify", "--check", "positions"], { env })
        assert.strictEqual(one.code, 1)
        assert.include(one.stdout, "✗ positions")
        assert.notInclude(one.stdout, "versions")
      }),
    120_000
  )

  it.live("shows how far it is in a terminal, and works on a directory", () =>
    Effect.gen(function*() {
      const cwd = yield* directory
      const made = yield* run([
        "import",
        "--format",
        "kurrentdb",
        join(import.meta.dirname, "..", "fixtures", "kurrentdb-events.json"),
        "--dir",
        "data"
      ], { cwd })
      assert.strictEqual(made.code, 0, made.stderr)
      const shown = yield* terminal(["verify", "--dir", "data"], { cwd })
      assert.strictEqual(yield* shown.ended, 0)
      // a picture now and then: of which checks is a matter of time
      assert.match(shown.screen(), /verify \w+ .*\d+/)
      assert.include(shown.screen(), "\u001b[32m✓\u001b[39m positions")
      const wrong = yield* run(["verify", "--check", "everything", "--dir", "data"], { cwd })
      assert.strictEqual(wrong.code, 2)
      assert.include(wrong.stderr, "everything")
    }), 120_000)
})
