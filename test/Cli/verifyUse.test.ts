import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Random, Redacted, References, Schedule, Schema, Stream } from "effect"
import {
  Category,
  Delivery,
  EventStore,
  PersistentSubscription,
  PgEventStore,
  Projection,
  Snapshot,
  SnapshotStore
} from "effect-eventstore"
import * as Verification from "effect-eventstore/Cli/Verification"
import { SqlClient } from "effect/sql"
import { inStore } from "../../src/Testing/internal/consuming.ts"
import { note, Noted, Notes, open, type Opened } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"
import { added, Cart, Carts, damage, declared, linesOf, opened } from "./verifyLog.ts"

const tablesOf = ({ sql }: Opened) => ({ sql, schema: "eventstore", log: 1 })

const sizes = (mode: "async" | "inline") =>
  Projection.documents(`${mode}-sizes`, {
    mode,
    from: Cart,
    state: Schema.Int,
    initial: () => 0,
    evolve: { Opened: (size) => size, Added: (size, { event }) => size + event.quantity }
  })

const counts = Projection.make("counts", {
  from: Cart,
  setup: ({ sql, table }) => sql`CREATE TABLE ${table("counts")} (cart text PRIMARY KEY, events int NOT NULL)`,
  batch: (events, { sql, table }) =>
    Effect.forEach(
      events,
      ({ streamId }) =>
        sql`INSERT INTO ${
          table("counts")
        } AS c VALUES (${streamId}, 1) ON CONFLICT (cart) DO UPDATE SET events = c.events + 1`,
      { discard: true }
    )
})

const projections = [sizes("async"), sizes("inline"), counts]

const park = new Delivery.Park({ reason: "now and then" })

/** Everything that a program does to a log, until it is interrupted. */
const use = ({ sql, store }: Opened) =>
  Effect.gen(function*() {
    const run = inStore(store)
    yield* Layer.build(Layer.mergeAll(
      Projection.layer(projections[0]!, { partitions: 2 }),
      Projection.layer(projections[1]!),
      Projection.layer(counts),
      PersistentSubscription.layer("mails", {
        from: Cart,
        concurrency: 4,
        retry: Schedule.spaced("5 millis").pipe(Schedule.upTo({ times: 1 })),
        handle: ({ event, position }): Effect.Effect<void, Delivery.Park | string> =>
          event._tag === "Opened" && position % 3 === 0
            ? park
            : position % 7 === 0
            ? Effect.fail("once more")
            : Effect.void
      })
    )).pipe(Effect.provideService(EventStore, store), Effect.provideService(SqlClient.SqlClient, sql))
    yield* run(Projection.awaitReady("inline-sizes"))

    const write = Effect.gen(function*() {
      const id = String(yield* Random.nextIntBetween(0, 30))
      const stream = Cart.stream(id)
      const what = yield* Random.nextIntBetween(0, 20)
      if (what < 6) yield* store.append(stream, [opened(id), added("a", 1), added(id, 2)])
      else if (what < 12) yield* run(Carts.run(id, { _tag: "Add", sku: "tea", quantity: what }))
      else if (what < 14) yield* store.transaction(store.append(stream, [added("late", 3)]))
      else if (what < 17) yield* run(Carts.snapshot(id))
      else if (what < 18) yield* store.truncateBefore(stream, (yield* store.head(stream)) - 2)
      else if (what < 19) yield* store.delete(stream)
      else if (id === "1") yield* run(PersistentSubscription.replay("mails"))
      else yield* store.setMetadata(stream, { at: what })
    })
    return yield* Effect.forever(Effect.andThen(Effect.ignore(write), Effect.sleep(3)))
  })

/** What is parked is no news. */
const quietly = Effect.provideService(References.MinimumLogLevel, "Error")

describe("a log in use", () => {
  it.live("has no finding, however often one looks", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const here = yield* open(url)
      const there = yield* open(url)
      const fibers = yield* Effect.forEach([here, there], (log) =>
        Effect.forkScoped(Effect.scoped(use(log)).pipe(quietly)))
      const look = (checks: ReadonlyArray<Verification.CheckName>) =>
        Effect.map(
          inStore(here.store)(Verification.report({ tables: tablesOf(here), checks, projections, ...declared })).pipe(
            Effect.provideService(SqlClient.SqlClient, here.sql)
          ),
          (report) => {
            assert.deepStrictEqual(report.findings, [])
            return report.head
          }
        )
      const all = Verification.CheckName.literals
      const quick = all.filter((check) =>
        check !== "projections"
      )
      for (let round = 0, head = 0; round < 4 || head < 100; round++) head = yield* look(quick)
      yield* look(all)
      for (const fiber of fibers) {
        assert.isUndefined(fiber.pollUnsafe())
        yield* Fiber.interrupt(fiber)
      }
    }), 60_000)
})

describe("defences", () => {
  const defences = (log: Opened) =>
    inStore(log.store)(Verification.report({ tables: tablesOf(log), checks: ["defences"] }))

  it.live("are all that a fresh install has: each that is gone is named", () =>
    Effect.gen(function*() {
      const log = yield* open(yield* TestPostgres.url)
      assert.deepStrictEqual(linesOf(yield* defences(log)), [])
      const names = (text: string) =>
        Effect.map(log.sql.unsafe(text).values, (rows) => rows.map(([name]) => String(name)))
      const constraints = yield* names(`
        SELECT c.relname || '.' || k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE c.relnamespace = 'eventstore'::regnamespace AND k.contype NOT IN ('n', 't')`)
      const triggers = yield* names(`
        SELECT c.relname || '.' || g.tgname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
        WHERE c.relnamespace = 'eventstore'::regnamespace AND NOT g.tgisinternal`)
      const functions = yield* names("SELECT proname FROM pg_proc WHERE pronamespace = 'eventstore'::regnamespace")
      yield* damage(log, [
        ...constraints.map((name) => {
          const [table, constraint] = name.split(".")
          return `ALTER TABLE es.${table} DROP CONSTRAINT ${constraint}`
        }),
        ...triggers.map((name) => {
          const [table, trigger] = name.split(".")
          return `DROP TRIGGER ${trigger} ON es.${table}`
        }),
        ...functions.map((name) => `ALTER FUNCTION es.${name} RENAME TO ${name.slice(0, 58)}_gone`)
      ])
      assert.deepStrictEqual(
        linesOf(yield* defences(log)),
        [
          ...constraints.map((name) => `defences ConstraintMissing object=${name}`),
          ...triggers.map((name) => `defences TriggerMissing object=${name}`),
          ...functions.map((name) => `defences FunctionMissing object=${name}`)
        ].sort()
      )
    }))

  it.live("are those of Postgres 15 as well", () =>
    Effect.gen(function*() {
      const log = yield* open(yield* TestPostgres.url15)
      yield* log.store.append(Notes.stream("a"), [note("a")])
      assert.deepStrictEqual(linesOf(yield* inStore(log.store)(Verification.report({ tables: tablesOf(log) }))), [])
    }), 60_000)

  it.live("are off where no trigger fires for the role", () =>
    Effect.gen(function*() {
      const log = yield* open(yield* TestPostgres.url)
      yield* log.sql.withTransaction(Effect.gen(function*() {
        yield* log.sql`SET LOCAL session_replication_role = replica`
        assert.deepStrictEqual(linesOf(yield* defences(log)), ["defences TriggersOff object=session_replication_role"])
      }))
    }))
})

describe("a verification", () => {
  const verify = (log: Opened, options: Partial<Verification.Options> = {}) =>
    inStore(log.store)(Verification.report({ tables: tablesOf(log), ...options }))

  it.live("says what it passed over, and why", () =>
    Effect.gen(function*() {
      const log = yield* open(yield* TestPostgres.url)
      const { store } = log
      yield* store.append(Notes.stream("a"), [note("a"), note("b")])
      const Count = Snapshot.make({ name: "count", state: Schema.Int, policy: Snapshot.onDemand })
      const fold = Verification.snapshot(Count, Notes, { initial: () => 0, evolve: (count) => count + 1 })
      const stream = Notes.stream("a")
      const counted = inStore(store)(
        SnapshotStore.fold(Count, stream, { initial: 0, evolve: (count) => count + 1 })
      )
      yield* inStore(store)(SnapshotStore.save(Count, stream, yield* counted))
      const skipped = (report: Verification.Report) =>
        report.checks.flatMap(({ check, skipped }) =>
          skipped.map(({ count, reason }) => `${check}: ${count} ${reason}`)
        )

      const none = yield* verify(log)
      assert.strictEqual(none.found, 0)
      assert.deepStrictEqual(skipped(none), [
        "events: 2 no categories were given: the data of events was not decoded",
        "snapshots: 1 no deciders with a snapshot were given: states were not folded again",
        "projections: 0 no projections were given",
        "archive: 0 no archive was given"
      ])
      const some = yield* verify(log, { categories: [Notes], snapshots: [fold], checks: ["events", "snapshots"] })
      assert.deepStrictEqual(
        some.checks.map(({ check, found, looked }) => [check, looked, found]).filter(([, looked]) => looked !== 0),
        [["events", 2, 0], ["snapshots", 1, 0]]
      )
      assert.include(skipped(some), "positions: 0 it was not asked for")

      yield* damage(log, ["UPDATE es.snapshots SET state = '3'"])
      const [wrong] = (yield* verify(log, { snapshots: [fold] })).findings
      assert.deepStrictEqual([wrong?.kind, wrong?.expected, wrong?.actual], ["SnapshotDiffers", 2, 3])
      assert.strictEqual(
        wrong?.message,
        "The snapshot count of stream notes-a at version 2 is not what a fresh fold of its events says"
      )
      yield* damage(log, ["UPDATE es.snapshots SET schema_version = 2"])
      assert.include(
        skipped(yield* verify(log, { snapshots: [fold] })),
        "snapshots: 1 version 2 of the snapshot count, which is not known here"
      )
    }))

  it.live("passes over unknown types where their category does, and over nothing else", () =>
    Effect.gen(function*() {
      const log = yield* open(yield* TestPostgres.url)
      yield* log.store.append(Notes.stream("a"), [note("a"), note("b"), note("c")])
      yield* damage(log, [
        "UPDATE es.events SET event_type = 'Stranger' WHERE position = 1",
        `UPDATE es.events SET data = '{}' WHERE position = 2`
      ])
      const Lenient = Category.make("notes", { id: Schema.String, events: [Noted], undecodable: "skip" })
      const report = yield* verify(log, { categories: [Lenient] })
      assert.deepStrictEqual(linesOf(report), [
        "events DataUndecodable streamId=notes-a streamVersion=2 position=2 type=Noted"
      ])
    }))

  it.live("takes an empty log, one that begins above 1, and one whose hidden beginning is gone for what they are", () =>
    Effect.gen(function*() {
      const log = yield* open(yield* TestPostgres.url)
      assert.deepStrictEqual(linesOf(yield* verify(log)), [])
      // what an import of a log does that begins above 1
      yield* damage(log, ["UPDATE es.logs SET floor = 7"])
      yield* log.store.append(Notes.stream("a"), [note("a")])
      const report = yield* verify(log)
      assert.deepStrictEqual([linesOf(report), report.head], [[], 8])
      // versions that a truncation hides may be gone
      yield* log.store.append(Notes.stream("a"), [note("b"), note("c")])
      yield* log.store.truncateBefore(Notes.stream("a"), 3)
      yield* damage(log, ["DELETE FROM es.events WHERE position <= 9", "UPDATE es.logs SET floor = 9"])
      assert.deepStrictEqual(linesOf(yield* verify(log)), [])
    }))

  it.live("refuses a check that there is not, before it asks anything", () =>
    Effect.gen(function*() {
      const log = yield* open(yield* TestPostgres.url)
      const error = yield* Effect.flip(verify(log, { checks: ["positions", "Everything" as never] }))
      assert.strictEqual(error._tag, "InvalidInput")
      assert.include(error.message, `checks have "Everything", which is none of defences, positions`)
    }))

  it.live("tells progress that grows, findings as they come, a summary of each check, and one of all at the end", () =>
    Effect.gen(function*() {
      const log = yield* open(yield* TestPostgres.url)
      for (let i = 0; i < 5; i++) {
        yield* log.store.append(
          Notes.stream(String(i)),
          Array.from({ length: 500 }, () => note("n"))
        )
      }
      yield* damage(log, ["DELETE FROM es.events WHERE position % 2 = 0 AND position < 2000"])
      const steps = yield* inStore(log.store)(
        Stream.runCollect(Verification.run({ tables: tablesOf(log), categories: [Notes] }))
      )
      const last = steps.at(-1)!
      assert.isTrue(last._tag === "Verified")
      assert.deepStrictEqual(
        steps.flatMap((step) => step._tag === "Checked" ? [step.summary.check] : []),
        [...Verification.CheckName.literals]
      )
      const done = steps.flatMap((step) => step._tag === "Progress" && step.check === "events" ? [step.done] : [])
      assert.deepStrictEqual(done, [...done].sort((a, b) => a - b))
      assert.strictEqual(done.at(-1), 2 * 2500)
      const found = steps.filter((step) => step._tag === "Found").length
      assert.strictEqual(last._tag === "Verified" ? last.verified.found : 0, found)
      const report = yield* inStore(log.store)(Verification.report({ tables: tablesOf(log), limit: 3 }))
      assert.deepStrictEqual([report.findings.length, report.found], [6, found])
    }))

  it.live("needs no more than a role that may read, but for projections", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { sql, store } = yield* open(url)
      yield* store.append(Notes.stream("a"), [note("a")])
      const links = Projection.byType()
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Layer.build(Projection.layer(links))
        yield* Projection.awaitProcessed(links, 1)
      })).pipe(inStore(store))
      const role = `reader_${new URL(url).pathname.slice(-8)}`
      yield* sql.unsafe(`CREATE ROLE ${role} LOGIN`)
      yield* Effect.addFinalizer(() => Effect.ignore(sql.unsafe(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`)))
      yield* sql.unsafe(`GRANT USAGE ON SCHEMA eventstore TO ${role}`)
      yield* sql.unsafe(`GRANT SELECT ON ALL TABLES IN SCHEMA eventstore TO ${role}`)
      const as = new URL(url)
      as.username = role
      const context = yield* Layer.build(
        PgEventStore.layerStore().pipe(Layer.provideMerge(PgClient.layer({ url: Redacted.make(as.href) })))
      )
      const log = { sql: Context.get(context, PgClient.PgClient), store: Context.get(context, EventStore) }
      const report = yield* verify(log, { categories: [Notes], projections: [links] })
      assert.deepStrictEqual(linesOf(report), [])
      assert.deepStrictEqual(report.checks.find(({ check }) => check === "projections")?.skipped, [
        { reason: "projection by-type cannot be built once more, since this role may not write", count: 1 }
      ])
    }))
})
