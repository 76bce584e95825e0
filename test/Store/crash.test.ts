import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { EventStore, PgliteEventStore } from "effect-eventstore"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Child from "../support/child.ts"
import { has, note, Notes, open, recorded, type Store } from "../support/Notes.ts"
import * as PostgresServer from "../support/PostgresServer.ts"

const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "eventstore-crash-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
)

/**
 * The log holds all that was acknowledged, and each append whole: its events, in order, at positions that follow one
 * another; positions and the versions of every stream are without holes. Answers how many appends there are.
 */
const assertWhole = (store: Store, acknowledged: ReadonlyArray<string>) =>
  Effect.map(recorded(store), (events) => {
    const versions = new Map<string, number>()
    const appends = new Map<
      string,
      ReadonlyArray<{ readonly place: number; readonly of: number; readonly at: number }>
    >()
    for (const [i, { event, position, streamId, streamVersion }] of events.entries()) {
      assert.strictEqual(position, i + 1)
      versions.set(streamId, (versions.get(streamId) ?? 0) + 1)
      assert.strictEqual(streamVersion, versions.get(streamId))
      const [append, places] = (event.data as { text: string }).text.split(":")
      const [place, of] = places!.split("/").map(Number)
      appends.set(append!, [...appends.get(append!) ?? [], { place: place!, of: of!, at: position }])
    }
    for (const [append, parts] of appends) {
      const [first] = parts
      assert.deepStrictEqual(
        parts,
        Array.from({ length: first!.of }, (_, i) => ({ place: i + 1, of: first!.of, at: first!.at + i })),
        append
      )
    }
    assert.deepStrictEqual(acknowledged.filter((append) => !appends.has(append)), [])
    return appends.size
  })

const goesOn = (store: Store, name: string) => store.append(Notes.stream(`own${name}`), [note(`${name}:1/1`)])

/** Lets a process append, kills it after so many appends, and answers what it got acknowledged. */
const crash = (appends: number, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const child = yield* Child.start("appendWorker.ts", ...args)
    yield* Effect.promise(() => child.hasWritten(appends))
    yield* Effect.promise(() => child.kill())
    return child.lines
  })

describe("kill -9", () => {
  it.live("of the appending process loses nothing that PGlite acknowledged", () =>
    Effect.gen(function*() {
      const dataDir = yield* directory
      const acknowledged: Array<string> = []
      let stored = 0
      for (const [round, appends] of [1, 40, 150, 400].entries()) {
        acknowledged.push(...yield* crash(appends, "pglite", dataDir, `r${round}`))
        yield* Effect.scoped(Effect.gen(function*() {
          const store = yield* EventStore
          stored = yield* assertWhole(store, acknowledged)
          yield* goesOn(store, `after${round}`)
          acknowledged.push(`after${round}`)
        })).pipe(Effect.provide(PgliteEventStore.layer({ dataDir }), { local: true }))
      }
      assert.isAtLeast(stored, 591)
    }), 180_000)

  it.live("of a process that makes a PGlite directory leaves one that can be made again", () =>
    Effect.gen(function*() {
      const dataDir = join(yield* directory, "new")
      for (const sign of ["pglite/PG_VERSION", "pglite/postmaster.pid"]) {
        rmSync(join(dataDir, sign), { recursive: true, force: true })
        const child = yield* Child.start("appendWorker.ts", "pglite", dataDir, "early")
        yield* Effect.promise(async () => {
          while (!existsSync(join(dataDir, sign))) await new Promise((resolve) => setTimeout(resolve, 1))
        })
        yield* Effect.promise(() => child.kill())
        assert.deepStrictEqual(child.lines, [])
      }
      yield* Effect.gen(function*() {
        const store = yield* EventStore
        yield* assertWhole(store, [])
        yield* goesOn(store, "after")
      }).pipe(Effect.provide(PgliteEventStore.layer({ dataDir }), { local: true }))
    }), 180_000)

  it.live("frees a PGlite directory, which a second process could not open before", () =>
    Effect.gen(function*() {
      const dataDir = yield* directory
      const child = yield* Child.start("appendWorker.ts", "pglite", dataDir, "first")
      yield* Effect.promise(() => child.hasWritten(1))
      const layer = PgliteEventStore.layer({ dataDir })
      const refused = yield* Effect.flip(Effect.provide(EventStore, layer, { local: true }))
      has(refused, {
        _tag: "UnsupportedDatabase",
        problem: `The directory ${dataDir} is in use by process ${child.pid}: PGlite allows one process at a time`
      })
      yield* Effect.promise(() => child.kill())
      const stored = yield* Effect.provide(
        EventStore.use((store) => assertWhole(store, child.lines)),
        layer,
        { local: true }
      )
      assert.isAtLeast(stored, 1)
    }), 180_000)

  it.live(
    "of the appending process loses nothing that Postgres acknowledged, and holds up nobody",
    () =>
      Effect.gen(function*() {
        const server = yield* PostgresServer.make()
        const url = yield* server.createDatabase
        const { sql, store } = yield* open(url)
        const acknowledged: Array<string> = []
        for (const [round, appends] of [1, 300, 1000].entries()) {
          const children = yield* Effect.all([
            crash(appends, "postgres", url, `a${round}`),
            crash(appends, "postgres", url, `b${round}`)
          ], { concurrency: 2 })
          acknowledged.push(...children.flat())
          yield* goesOn(store, `after${round}`)
          acknowledged.push(`after${round}`)
          assert.isAtLeast(yield* assertWhole(store, acknowledged), acknowledged.length)
        }
        const left = sql`SELECT pid FROM pg_locks WHERE locktype = 'advisory'`
        yield* Effect.repeat(left, { until: (locks) => locks.length === 0 })
      }),
    60_000
  )

  it.live("of Postgres loses nothing that it acknowledged", () =>
    Effect.gen(function*() {
      const server = yield* PostgresServer.make({ fsync: true })
      const url = yield* server.createDatabase
      const acknowledged: Array<string> = []
      for (const [round, appends] of [20, 200, 500].entries()) {
        // the process gives up when the server goes, as it is killed, too
        const child = yield* Child.start("appendWorker.ts", "postgres", url, `r${round}`)
        yield* Effect.promise(() => child.hasWritten(appends))
        yield* server.kill9
        yield* Effect.promise(() => child.kill())
        acknowledged.push(...child.lines)
        yield* server.start
        const scope = yield* Scope.make()
        const { store } = yield* Scope.provide(open(url), scope)
        yield* assertWhole(store, acknowledged)
        yield* goesOn(store, `after${round}`)
        acknowledged.push(`after${round}`)
        yield* Scope.close(scope, Exit.void)
      }
      assert.include(yield* server.log, "database system was not properly shut down")
      assert.isAtLeast(acknowledged.length, 723)
    }), 180_000)
})
