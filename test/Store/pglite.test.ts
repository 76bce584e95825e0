import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Latch, Layer, Scope } from "effect"
import { EventStore, PgliteEventStore } from "effect-eventstore"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { has, note, Notes, recorded, texts } from "../support/Notes.ts"

const opened = (options?: PgliteEventStore.PgliteEventStoreOptions) =>
  Effect.map(Layer.build(Layer.fresh(PgliteEventStore.layer(options))), (context) => ({
    store: Context.get(context, EventStore),
    sql: Context.get(context, PgClient.PgClient)
  }))

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "eventstore-pglite-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
)

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

layer(PgliteEventStore.layer(), { excludeTestServices: true, timeout: "1 minute" })("PGlite", (it) => {
  it.effect("lets others go on where a transaction is interrupted or dies", () =>
    Effect.gen(function*() {
      const [store, sql] = [yield* EventStore, yield* PgClient.PgClient]
      yield* sql`CREATE TABLE orders (id int4)`
      for (const end of [Effect.never, Effect.die(new Error("on purpose")), Effect.fail("on purpose")]) {
        const inside = yield* Latch.make()
        const fiber = yield* Effect.forkChild(Effect.exit(store.transaction(Effect.gen(function*() {
          yield* store.append(Notes.stream("a"), [note("no")])
          yield* sql`INSERT INTO orders VALUES (1)`
          yield* inside.open
          return yield* end
        }))))
        yield* inside.await
        // these wait for the transaction: there is one backend
        const waiting = yield* Effect.forkChild(store.append(Notes.stream("a"), [note("yes")]))
        const reading = yield* Effect.forkChild(sql`SELECT id FROM orders`)
        yield* Fiber.interrupt(fiber)
        yield* Fiber.join(waiting)
        assert.deepStrictEqual(yield* Fiber.join(reading), [])
      }
      assert.deepStrictEqual(yield* texts(store, "a"), ["yes", "yes", "yes"])
      const positions = (yield* recorded(store)).map(({ position }) => position as number)
      assert.deepStrictEqual(positions, numbers(positions.length).map((i) => i + 1))
    }))

  it.effect("gives everybody a turn while appends come without a pause", () =>
    Effect.gen(function*() {
      const [store, sql] = [yield* EventStore, yield* PgClient.PgClient]
      let stored = 0
      let isOver = false
      const writers = yield* Effect.forkChild(Effect.forEach(numbers(8), (i) =>
        Effect.gen(function*() {
          while (!isOver) {
            yield* store.append(Notes.stream(`busy${i}`), [note("again")])
            stored++
          }
        }), { concurrency: "unbounded" }))
      yield* Effect.repeat(Effect.sleep(1), { until: () => stored > 50 })
      for (let i = 0; i < 5; i++) {
        const before = stored
        yield* sql`SELECT 1`
        assert.isBelow(stored - before, 100)
      }
      isOver = true
      yield* Fiber.join(writers)
    }))

  it.effect("stores what the application writes in one transaction with its events", () =>
    Effect.gen(function*() {
      const [store, sql] = [yield* EventStore, yield* PgClient.PgClient]
      yield* sql`CREATE TABLE payments (id int4 PRIMARY KEY)`
      const pay = (id: number) =>
        store.transaction(Effect.andThen(
          store.append(Notes.stream("payments"), [note(String(id))]),
          sql`INSERT INTO payments VALUES (${id})`
        ))
      yield* pay(1)
      yield* pay(2)
      assert.strictEqual((yield* Effect.flip(pay(1)))._tag, "SqlError")
      assert.deepStrictEqual(yield* texts(store, "payments"), ["1", "2"])
      assert.deepStrictEqual(yield* sql`SELECT id FROM payments ORDER BY id`, [{ id: 1 }, { id: 2 }])
    }))

  it.effect("releases everything where all appends and reads are interrupted at once", () =>
    Effect.gen(function*() {
      const [store, sql] = [yield* EventStore, yield* PgClient.PgClient]
      for (let round = 0; round < 15; round++) {
        const head = yield* store.head()
        const fiber = yield* Effect.forkChild(Effect.forEach(numbers(200), (i) =>
          i % 5 === 0
            ? Effect.asVoid(store.transaction(store.append(Notes.stream("shared"), [note("x"), note("y")])))
            : Effect.asVoid(Effect.andThen(store.append(Notes.stream(String(i % 7)), [note("x")]), store.head())), {
          concurrency: 16
        }))
        yield* Effect.repeat(store.head(), { until: (now) => now > head })
        yield* Fiber.interrupt(fiber)
      }
      const { position } = yield* store.append(Notes.stream("end"), [note("end")])
      const events = yield* recorded(store)
      assert.deepStrictEqual(events.map((event) => event.position as number), numbers(position).map((i) => i + 1))
      const shared = yield* texts(store, "shared")
      assert.deepStrictEqual(shared, shared.map((_, i) => i % 2 === 0 ? "x" : "y"))
      assert.deepStrictEqual(yield* sql`SELECT pid FROM pg_locks WHERE locktype = 'advisory'`, [])
    }))

  it.effect("stores the neighbours of an append that the database refuses", () =>
    Effect.gen(function*() {
      const [store, sql] = [yield* EventStore, yield* PgClient.PgClient]
      yield* sql.unsafe(
        "ALTER TABLE eventstore.events ADD CONSTRAINT refuse_poison CHECK (data->>'text' NOT LIKE 'poison%')"
      )
      const head = yield* store.head()
      const exits = yield* Effect.forEach(
        numbers(64),
        (i) => Effect.exit(store.append(Notes.stream(String(i % 8)), [note(i % 32 === 20 ? "poison" : String(i))])),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(exits.map(Exit.isSuccess), numbers(64).map((i) => i % 32 !== 20))
      has(Effect.runSync(Effect.flip(exits[20]!)), { _tag: "StoreError", outcome: "not-stored" })
      assert.strictEqual(yield* store.head(), head + 62)
    }))

  it.effect("answers the appends that are under way when it closes, and keeps them", () =>
    Effect.gen(function*() {
      const dataDir = yield* directory
      const scope = yield* Scope.make()
      const { store } = yield* Scope.provide(opened({ dataDir }), scope)
      const appends = yield* Effect.forEach(
        numbers(1000),
        (i) => Effect.forkChild(store.append(Notes.stream("a"), [note(String(i))]))
      )
      yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      const answers = yield* Effect.forEach(appends, Fiber.join)
      has(yield* Effect.flip(store.append(Notes.stream("a"), [note("late")])), {
        _tag: "StoreError",
        outcome: "not-stored"
      })
      const again = yield* opened({ dataDir })
      const stored = yield* texts(again.store, "a")
      assert.strictEqual(stored.length, 1000)
      for (const [i, { version }] of answers.entries()) assert.strictEqual(stored[version - 1], String(i))
    }))

  it.effect("closes while a transaction is open, and keeps nothing of it", () =>
    Effect.gen(function*() {
      const dataDir = yield* directory
      const scope = yield* Scope.make()
      const { store } = yield* Scope.provide(opened({ dataDir }), scope)
      yield* store.append(Notes.stream("a"), [note("1")])
      const inside = yield* Latch.make()
      const fiber = yield* Effect.forkDetach(store.transaction(Effect.gen(function*() {
        yield* store.append(Notes.stream("a"), [note("no")])
        yield* inside.open
        return yield* Effect.never
      })))
      yield* inside.await
      const waiting = yield* Effect.forkDetach(Effect.exit(store.append(Notes.stream("a"), [note("waits")])))
      yield* Effect.yieldNow
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      yield* Fiber.join(closing)
      yield* Fiber.join(waiting)
      const again = yield* opened({ dataDir })
      assert.notInclude(yield* texts(again.store, "a"), "no")
      assert.strictEqual((yield* again.store.append(Notes.stream("b"), [note("1")])).version, 1)
    }))

  it.effect("leaves time to others while it works", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      yield* store.append(Notes.stream("warm"), [note("1")])
      let done = false
      const work = yield* Effect.forkChild(
        Effect.forEach(numbers(4000), (i) => store.append(Notes.stream(String(i % 50)), [note(String(i))]), {
          concurrency: 64
        }).pipe(Effect.ensuring(Effect.sync(() => {
          done = true
        })))
      )
      let ticks = 0
      while (!done) {
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
        ticks++
      }
      yield* Fiber.join(work)
      assert.isAbove(ticks, 10)
    }))
})
