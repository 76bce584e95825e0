import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Category, EventStore, PgliteEventStore } from "effect-eventstore"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createWhole } from "../../src/Store/internal/directoryLock.ts"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { n: Schema.Int }) {}
const Box = Category.make("box", { id: Schema.String, events: [Opened] })

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-eventstore-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** Appends once in a process's life of its own, and says at which position. */
const appendIn = (dataDir: string) =>
  EventStore.use((store) => store.append(Box.stream("1"), [new Opened({ n: 1 })])).pipe(
    Effect.map(({ position }) => position as number),
    Effect.provide(PgliteEventStore.layer({ dataDir }), { local: true })
  )

it.live("starts again where a process was killed while it made the database", () =>
  Effect.gen(function*() {
    const dataDir = yield* directory
    mkdirSync(join(dataDir, "pglite"))
    writeFileSync(join(dataDir, "pglite", "PG_VERSION"), "18\n")
    writeFileSync(join(dataDir, "pglite.unfinished"), "")
    assert.strictEqual(yield* appendIn(dataDir), 1)
    // and keeps what is whole from then on
    assert.strictEqual(yield* appendIn(dataDir), 2)
  }).pipe(Effect.scoped))

it.live("sets aside what a note calls half made, and removes nothing", () =>
  Effect.gen(function*() {
    const dataDir = yield* directory
    for (const content of ["first", "second"]) {
      rmSync(join(dataDir, "pglite"), { recursive: true, force: true })
      mkdirSync(join(dataDir, "pglite"))
      writeFileSync(join(dataDir, "pglite", "content"), content)
      writeFileSync(join(dataDir, "pglite.unfinished"), "")
      yield* Effect.promise(() => createWhole(dataDir, async (database) => mkdirSync(database)))
      assert.deepStrictEqual(readdirSync(join(dataDir, "pglite")), [])
    }
    assert.deepStrictEqual(readdirSync(dataDir).sort(), ["pglite", "pglite.discarded-1", "pglite.discarded-2"])
    assert.strictEqual(readFileSync(join(dataDir, "pglite.discarded-1", "content"), "utf8"), "first")
    assert.strictEqual(readFileSync(join(dataDir, "pglite.discarded-2", "content"), "utf8"), "second")
  }).pipe(Effect.scoped))

it.live.skipIf(process.platform === "win32")(
  "keeps its note from a power failure, and the end of it",
  () =>
    Effect.gen(function*() {
      const dataDir = yield* directory
      const handle = yield* Effect.promise(() => open(dataDir, "r"))
      const prototype = Object.getPrototypeOf(handle)
      yield* Effect.promise(() => handle.close())
      const sync = prototype.sync
      const synced: Array<string> = []
      prototype.sync = async function(this: typeof handle) {
        if ((await this.stat()).isDirectory()) synced.push(readdirSync(dataDir).join(" "))
        return sync.call(this)
      }
      yield* Effect.addFinalizer(() => Effect.sync(() => prototype.sync = sync))
      yield* Effect.promise(() =>
        createWhole(dataDir, async (database) => {
          assert.deepStrictEqual(synced, ["pglite.unfinished"])
          mkdirSync(database)
        })
      )
      assert.deepStrictEqual(synced, ["pglite.unfinished", "pglite"])
      assert.isFalse(existsSync(join(dataDir, "pglite.unfinished")))
    }).pipe(Effect.scoped)
)

it.live("refuses a directory whose database is damaged, and leaves it as it is", () =>
  Effect.gen(function*() {
    const dataDir = yield* directory
    mkdirSync(join(dataDir, "pglite"))
    writeFileSync(join(dataDir, "pglite", "PG_VERSION"), "18\n")
    for (let i = 0; i < 2; i++) {
      const refused = yield* Effect.flip(appendIn(dataDir))
      assert.strictEqual(refused._tag, "UnsupportedDatabase")
    }
  }).pipe(Effect.scoped))

it.live("names the owner of a directory that is in use, also to the same process", () =>
  Effect.gen(function*() {
    const dataDir = yield* directory
    const refused = yield* Effect.flip(appendIn(dataDir)).pipe(
      Effect.provide(PgliteEventStore.layer({ dataDir }), { local: true })
    )
    assert.match(refused.message, new RegExp(`in use by process ${process.pid}`))
  }).pipe(Effect.scoped))
