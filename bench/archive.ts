/**
 * How fast are archives, and do they keep their memory? A million events out of Postgres, into another one, once more (which
 * compares them), into PGlite, and out of that again. Heap is measured after a collection, at a tenth of the way and
 * at its end; the process whenever a page is done.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer } from "effect"
import { PgliteEventStore, PgMigrations } from "effect-eventstore"
import * as Archive from "effect-eventstore/Cli/Archive"
import { globSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { about, makePlace, server } from "./support/arena.ts"
import { settings } from "./support/contest.ts"

const total = settings.quick ? 100_000 : 1_000_000

const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0)

const liveHeap = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

/** Runs a step, and prints its speed and its memory. */
const step = <A, E, R>(name: string, run: (options: Archive.Options) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    let [rss, early] = [0, 0]
    let last: Archive.Progress["phase"] | undefined
    const start = performance.now()
    const answer = yield* run({
      onProgress: ({ events, phase }) =>
        Effect.sync(() => {
          rss = Math.max(rss, process.memoryUsage().rss)
          if (phase !== last) early = 0
          last = phase
          if (early === 0 && events >= total / 10) early = liveHeap()
        })
    })
    const seconds = (performance.now() - start) / 1000
    const late = liveHeap()
    console.log(
      `| ${name} | ${seconds.toFixed(1)} s | ${Math.round(total / seconds).toLocaleString("en")}/s | ` +
        `${megabytes(early)} → ${megabytes(late)} MiB | ${megabytes(rss)} MiB |`
    )
    return answer
  })

const program = Effect.gen(function*() {
  const home = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "eventstore-bench-archive-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
  )
  const postgres = yield* server
  const log = (sql: Archive.LogTables["sql"]): Archive.LogTables => ({ sql, schema: "eventstore", log: 1 })
  const source = log((yield* makePlace(postgres)).sql)
  const target = log((yield* makePlace(postgres)).sql)
  const embedded = Context.get(
    yield* Layer.build(PgliteEventStore.layerClient({ dataDir: join(home, "pglite") })),
    PgClient.PgClient
  )
  yield* PgMigrations.migrate(embedded)
  yield* source.sql`
    INSERT INTO eventstore.events (
      log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at
    )
    SELECT 1, n, 'cart-' || n / 10, n % 10 + 1 - CASE WHEN n < 10 THEN 1 ELSE 0 END, gen_random_uuid(), 'ItemAdded', 1,
      json_build_object('sku', md5(n::text), 'quantity', n % 7, 'price', n % 1000 / 100.0, 'note', repeat('x', n % 100)),
      CASE n % 3 WHEN 0 THEN json_build_object('correlationId', md5((n / 10)::text)) END,
      CASE n % 5 WHEN 0 THEN ARRAY['sku:' || n % 1000] END, clock_timestamp()
    FROM generate_series(1, ${total}::int4) n`

  console.log(`${about}\n\n| ${total.toLocaleString("en")} events | time | rate | live heap | process, at most |`)
  console.log("|---|---|---|---|---|")
  const [first, second] = [join(home, "first"), join(home, "second")]
  yield* step("export from Postgres", (options) => Archive.exportLog(source, first, options))
  yield* step(
    "check the archive",
    (options) => Effect.flatMap(Archive.open(first), (archive) => Archive.check(archive, options))
  )
  yield* step("import into Postgres, with the check", (options) => Archive.importArchive(first, target, options))
  yield* step("the same once more: all is there", (options) => Archive.importArchive(first, target, options))
  yield* step("copy from Postgres to PGlite", (options) => Archive.copyLog(target, log(embedded), options))
  const { manifest } = yield* step("export from PGlite", (options) => Archive.exportLog(log(embedded), second, options))
  const archive = yield* Archive.open(first)
  const size = globSync(join(first, "*")).reduce((sum, file) => sum + statSync(file).size, 0)
  console.log(
    `\nThe archive takes ${megabytes(size)} MiB. The one from PGlite is ` +
      (JSON.stringify(archive.manifest) === JSON.stringify(manifest) ? "the same, byte by byte." : "ANOTHER ONE.")
  )
})

NodeRuntime.runMain(Effect.scoped(program).pipe(Effect.provide(NodeServices.layer)))
