import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { PGlite } from "@electric-sql/pglite"
import { Effect, Redacted, Stream } from "effect"
import {
  Category,
  EventStore,
  PgEventStore,
  PgliteEventStore,
  PgMigrations,
  Projection,
  Rehearsal
} from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { complete, makeInline, makeVersion } from "../../src/Testing/internal/projectionStorageVersion.ts"
import { notes } from "../../src/Testing/internal/rule.ts"
import { note, Notes, open, openStore, recorded, type Store, texts } from "../support/Notes.ts"
import { schemaDump } from "../support/schemaDump.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const fixture = join(import.meta.dirname, "../fixtures/schema.sql")

const client = (url: string) => PgClient.layer({ url: Redacted.make(url) })

const migrated = (url: string, options?: PgMigrations.MigrationOptions) =>
  Effect.provide(PgMigrations.run(options), client(url), { local: true })

const inDatabase = <A, E, R>(body: (sql: PgClient.PgClient) => Effect.Effect<A, E, R>) =>
  Effect.provide(PgClient.PgClient.use(body), TestPostgres.layer)

/** Everything that a storage offers to projections, but tables. */
const useProjections = (store: Store) =>
  Effect.gen(function*() {
    const { projections } = store.storage
    const version = yield* makeVersion(store, { partitions: 2 })
    const { id, name } = version
    yield* projections.setUpWith(
      id,
      projections.documents.save(id, [{ key: "k", state: "1" }, { key: "l", state: null }])
    )
    const [owned] = yield* version.own("a")
    const parked = { key: "k", position: 1, attempts: 1, error: "no" }
    yield* version.moveWith(
      owned!,
      1,
      projections.documents.load(id, ["k"], { isLocking: true }).pipe(
        Effect.andThen(projections.documents.load(id, ["k"], { isLocking: false })),
        Effect.andThen(projections.links.add(id, [{ key: "k", position: 2 }])),
        Effect.andThen(projections.timers.change("p", [{ key: "k", name: "t", at: 1 }, { key: "l", name: "t", at: 1 }]))
      ),
      { park: [parked], isBulk: true }
    )
    assert.strictEqual((yield* projections.parked(id, { key: "k", after: 0, limit: 9 })).length, 1)
    assert.strictEqual((yield* projections.parked(id, { key: undefined, after: 0, limit: 9 })).length, 1)
    assert.strictEqual(yield* projections.replay(id, ["k"]), 1)
    const partition = (yield* version.own("a"))[0]!
    yield* projections.replayFailed({ ...partition, id }, { key: "k", position: 1, error: "no" })
    yield* projections.report({ ...partition, id }, { error: "no", position: 1, isFatal: true })
    assert.strictEqual(yield* projections.discard(id, undefined), 1)
    yield* projections.resume(id)
    assert.strictEqual((yield* projections.documents.read(name, ["k"]))!.found.get("k"), "1")
    assert.strictEqual((yield* projections.documents.page(id, { prefix: "k", after: "", limit: 9 })).length, 1)
    assert.deepStrictEqual(yield* projections.links.list(id, { after: undefined, limit: 9 }), [{
      key: "k",
      position: 2
    }])
    const links = { direction: "forward", from: 1, to: 9, limit: 9, bytes: 1000 } as const
    assert.strictEqual((yield* projections.links.page(id, "k", links)).events.length, 1)
    assert.deepStrictEqual(yield* projections.links.keys(id, { prefix: "", after: "", limit: 9 }), [{
      key: "k",
      count: 1
    }])
    const { timers: [timer] } = yield* projections.timers.due("p", 1, undefined)
    assert.isTrue(yield* projections.timers.take("p", timer!))
    yield* projections.timers.clear("p", "l")
    assert.deepStrictEqual(yield* projections.timers.list("p", 9), [])
    assert.strictEqual((yield* projections.progress(name))?.version, 1)
    yield* projections.release(id, "a")
    yield* projections.repartition(id, 1)
    const next = yield* makeVersion(store, { name, version: 2 })
    const [first] = yield* next.own("a")
    yield* next.move(first!, 1, { isCaughtUp: true })
    assert.isTrue(yield* projections.indexWith(next.id, Effect.void))
    assert.isTrue(yield* projections.completeWith(next.id, { isSwitching: true }, () => Effect.void))
    assert.strictEqual(yield* projections.rollBack(name), 1)
    assert.strictEqual(yield* projections.switchTo(next.id), "switched")
    assert.isTrue(yield* projections.reset(id))
    assert.strictEqual(yield* projections.drop(id), "dropped")
    const { category, version: inline } = yield* makeInline(store)
    yield* complete(store, inline)
    const stream = category.stream("1")
    const append = Effect.andThen(
      projections.beginInline([inline.id], [stream.streamId], { isWaiting: false }),
      store.append(stream, notes("applied"))
    )
    yield* store.transaction(append)
    assert.strictEqual((yield* Effect.flip(store.append(stream, notes("past"))))._tag, "InlineProjectionMissing")
    yield* projections.pause(inline.id)
  })

/** Everything that a storage offers to snapshots. */
const useSnapshots = (store: Store, id: string) =>
  Effect.gen(function*() {
    const { drop, list, load, resume, save } = store.storage.snapshots
    const { streamId } = Notes.stream(id)
    const range = { to: 9, limit: 9, bytes: 1000 }
    const { page: { events: [event] }, truncatedBefore } = yield* resume(streamId, undefined, range)
    const { eventId, position, streamVersion } = event!
    const mark = { streamVersion, position, eventId, truncatedBefore }
    assert.isTrue((yield* resume(streamId, mark, range)).holds)
    const snapshot = { ...mark, streamId, name: "s", schemaVersion: 1, state: "{}" }
    assert.isTrue(yield* save(snapshot))
    assert.isTrue(yield* save(snapshot))
    assert.strictEqual((yield* load(streamId, "s", range)).snapshot?.state, "{}")
    assert.isTrue((yield* list({}, { after: undefined, limit: 1 }))[0]!.holds)
    assert.strictEqual(yield* drop({ name: "s" }), 1)
  })

describe("PgMigrations", () => {
  it.live("lets twenty processes migrate an empty database at once", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      yield* Effect.forEach(Array.from({ length: 20 }), () => migrated(url), { concurrency: "unbounded" })
      const { sql, store } = yield* openStore(url)
      assert.strictEqual(yield* store.head(), 0)
      assert.strictEqual((yield* sql`SELECT migration_id FROM eventstore.migrations`).length, PgMigrations.latest)
    }))

  it.live("lets twenty processes migrate at once where transactions are serializable by default", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const database = new URL(url).pathname.slice(1)
      yield* Effect.provide(
        PgClient.PgClient.use((sql) =>
          sql.unsafe(`ALTER DATABASE ${database} SET default_transaction_isolation TO serializable`)
        ),
        client(url)
      )
      yield* Effect.forEach(Array.from({ length: 20 }), () => migrated(url), { concurrency: "unbounded" })
      assert.strictEqual(yield* (yield* openStore(url)).store.head(), 0)
    }))

  it.live("does nothing where it has run before, and keeps the events", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { sql, store } = yield* open(url)
      yield* store.append(Notes.stream("a"), [note("kept")])
      const structure = sql<{ oid: number; xmin: string }>`
        SELECT oid::int8, xmin::text FROM pg_class WHERE relnamespace = 'eventstore'::regnamespace ORDER BY oid`
      const before = yield* structure
      yield* migrated(url)
      assert.deepStrictEqual(yield* structure, before)
      assert.deepStrictEqual(yield* texts(store, "a"), ["kept"])
    }))

  it.live("keeps two schemas of one database apart", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const [left, right] = yield* Effect.all([open(url, { schema: "left_1" }), open(url, { schema: "_right" })])
      yield* Effect.all([
        Effect.forEach(["1", "2", "3"], (text) => left.store.append(Notes.stream("a"), [note(text)])),
        Effect.forEach(["x", "y"], (text) => right.store.append(Notes.stream("a"), [note(text)]))
      ], { concurrency: 2 })
      assert.deepStrictEqual(yield* texts(left.store, "a"), ["1", "2", "3"])
      assert.deepStrictEqual(yield* texts(right.store, "a"), ["x", "y"])
      assert.deepStrictEqual((yield* recorded(right.store)).map(({ position }) => position), [1, 2])
      yield* left.store.delete(Notes.stream("a"))
      assert.strictEqual((yield* right.store.info(Notes.stream("a"))).status, "active")
      const structures = yield* Effect.forEach(["left_1", "_right"], (schema) => schemaDump(left.sql, schema))
      assert.strictEqual(structures[0], structures[1])
    }))

  it.live("goes into a schema that exists already, beside the tables of somebody else", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { sql } = yield* open(url, { schema: "public" })
      yield* sql`CREATE TABLE public.orders (id int4)`
      yield* migrated(url, { schema: "public" })
      const { store } = yield* open(url, { schema: "public" })
      assert.strictEqual((yield* store.append(Notes.stream("a"), [note("1")])).position, 1)
    }))

  it.live("refuses a name that is not that of a schema", () =>
    inDatabase((sql) =>
      Effect.gen(function*() {
        const names = [
          "",
          "a b",
          "Upper",
          "a-b",
          "1st",
          "a\"; DROP SCHEMA public; --",
          "ä",
          "x".repeat(49),
          "a.b",
          "a\0",
          "pg_temp",
          "pg_catalog",
          "information_schema"
        ]
        for (const schema of names) {
          const error = yield* Effect.flip(PgMigrations.migrate(sql, { schema }))
          assert.strictEqual(error._tag, "UnsupportedDatabase")
          assert.include(error.message, "is not allowed")
          assert.strictEqual(
            (yield* Effect.flip(Effect.scoped(Effect.provideService(
              Effect.provide(EventStore, PgEventStore.layerStore({ schema })),
              PgClient.PgClient,
              sql
            ))))._tag,
            "UnsupportedDatabase"
          )
          assert.throws(() => PgMigrations.script({ schema }), "is not allowed")
          assert.throws(() => PgMigrations.statements({ schema }), "is not allowed")
          assert.throws(() => PgMigrations.grants({ schema, role: "app" }), "is not allowed")
          assert.throws(() => PgMigrations.grants({ role: schema }), "is not allowed")
        }
      })
    ))

  it.live("works where the name of the schema is a word of SQL", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { sql, store } = yield* open(url, { schema: "select" })
      yield* store.append(Notes.stream("a"), [note("1")])
      assert.deepStrictEqual(yield* texts(store, "a"), ["1"])
      yield* store.transaction(store.append(Notes.stream("a"), [note("2")]))
      yield* store.tombstone(Notes.stream("a"))
      yield* sql.withTransaction(
        Effect.forEach(PgMigrations.statements({ schema: "table" }), (statement) => sql.unsafe(statement))
      )
      yield* openStore(url, { schema: "table" })
    }))

  it.live("prints statements that build what run builds, and record it", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const { sql } = yield* open(url, { schema: "migrated" })
      yield* sql.withTransaction(
        Effect.forEach(PgMigrations.statements({ schema: "printed" }), (statement) => sql.unsafe(statement))
      )
      assert.strictEqual(yield* schemaDump(sql, "printed"), yield* schemaDump(sql, "migrated"))
      assert.strictEqual(yield* PgMigrations.status(sql, "printed"), PgMigrations.latest)
      const { store } = yield* openStore(url, { schema: "printed" })
      assert.strictEqual((yield* store.append(Notes.stream("a"), [note("1")])).position, 1)
      yield* PgMigrations.migrate(sql, { schema: "printed" })
    }))

  it.live("prints what comes behind a migration, for who upgrades by hand", () =>
    Effect.gen(function*() {
      const { sql } = yield* open(yield* TestPostgres.url, { schema: "migrated" })
      const all = PgMigrations.statements({ schema: "printed" })
      const end = all.findIndex((statement) => statement.startsWith("INSERT INTO migrations")) + 1
      const build = (statements: ReadonlyArray<string>) =>
        sql.withTransaction(Effect.forEach(statements, (statement) => sql.unsafe(statement)))
      yield* build(all.slice(0, end))
      for (const after of [2, PgMigrations.latest]) {
        const failed = yield* Effect.flip(build(PgMigrations.statements({ schema: "printed", after })))
        assert.include(
          String(failed.reason.cause),
          "the schema printed is at migration 1, and this is for one that is at"
        )
      }
      yield* build(PgMigrations.statements({ schema: "printed", after: 1 }))
      yield* Effect.flip(build(PgMigrations.statements({ schema: "printed", after: 1 })))
      yield* Effect.flip(build(PgMigrations.statements({ schema: "nowhere", after: 1 })))
      for (const after of [-1, 1.5, Number.NaN, PgMigrations.latest + 1]) {
        assert.throws(() => PgMigrations.statements({ after }), "whole number")
      }
      assert.strictEqual(yield* schemaDump(sql, "printed"), yield* schemaDump(sql, "migrated"))
      assert.strictEqual(yield* PgMigrations.status(sql, "printed"), PgMigrations.latest)
    }))

  it.live("prints a script that a plain SQL client runs in one go", () =>
    Effect.gen(function*() {
      // the native client takes one statement at a time, PGlite's own takes a whole script
      const db = yield* Effect.acquireRelease(
        Effect.promise(() => PGlite.create()),
        (db) => Effect.promise(() => db.close())
      )
      yield* Effect.promise(() => db.exec(PgMigrations.script({ schema: "scripted" })))
      const { rows } = yield* Effect.promise(() =>
        db.query<{ head: number }>("SELECT scripted.log_head(1)::int4 AS head, count(*) FROM scripted.migrations")
      )
      assert.deepStrictEqual(rows, [{ head: 0, count: PgMigrations.latest } as never])
      const again = yield* Effect.exit(Effect.tryPromise(() => db.exec(PgMigrations.script({ schema: "scripted" }))))
      assert.strictEqual(again._tag, "Failure")
    }))

  it.live("makes the tables of test/fixtures/schema.sql", () =>
    inDatabase((sql) =>
      Effect.gen(function*() {
        yield* PgMigrations.migrate(sql)
        const dump = yield* schemaDump(sql, "eventstore")
        if (process.env["UPDATE_FIXTURES"] !== undefined) yield* Effect.promise(() => writeFile(fixture, dump))
        assert.strictEqual(
          dump,
          yield* Effect.promise(() => readFile(fixture, "utf8")),
          "the tables changed: UPDATE_FIXTURES=1 npm test -- test/Postgres/PgMigrations.test.ts rewrites the fixture"
        )
      })
    ))

  it.live("upgrades an older event store to the same tables, and keeps its events", () =>
    inDatabase((sql) =>
      Effect.gen(function*() {
        const statements = PgMigrations.statements()
        const ends = statements.flatMap((statement, i) => statement.startsWith("INSERT INTO migrations") ? [i + 1] : [])
        assert.strictEqual(ends.length, PgMigrations.latest)
        for (const [i, end] of ends.entries()) {
          yield* sql`DROP SCHEMA IF EXISTS eventstore CASCADE`
          yield* sql.withTransaction(
            Effect.forEach(statements.slice(0, end), (statement) => sql.unsafe(statement))
          )
          assert.strictEqual(yield* PgMigrations.status(sql, "eventstore"), i + 1)
          yield* sql`SELECT eventstore.append_event(1, 'notes-a', -1, gen_random_uuid(), 'Noted', 1::int2, '{}', NULL, NULL)`
          yield* PgMigrations.migrate(sql)
          assert.strictEqual(yield* PgMigrations.status(sql, "eventstore"), PgMigrations.latest)
          assert.strictEqual(
            yield* schemaDump(sql, "eventstore"),
            yield* Effect.promise(() => readFile(fixture, "utf8"))
          )
          assert.strictEqual((yield* sql`SELECT position FROM eventstore.events`).length, 1)
        }
      })
    ))

  it.live("makes the same tables on PGlite", () =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      assert.strictEqual(
        yield* schemaDump(sql, "eventstore"),
        yield* Effect.promise(() => readFile(fixture, "utf8"))
      )
    }).pipe(Effect.provide(PgliteEventStore.layer())))

  it.live("gives a role what the store needs, and nothing else", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const owner = yield* open(url)
      yield* owner.store.append(Notes.stream("a"), [note("by the owner")])
      const role = `app_${new URL(url).pathname.slice(-12)}`
      yield* Effect.acquireRelease(
        owner.sql.unsafe(`CREATE ROLE ${role} LOGIN`),
        () =>
          Effect.ignore(
            Effect.andThen(owner.sql.unsafe(`DROP OWNED BY ${role}`), owner.sql.unsafe(`DROP ROLE ${role}`))
          )
      )
      for (const statement of PgMigrations.grants({ role }).split(";\n")) {
        if (statement.trim() !== "") yield* owner.sql.unsafe(statement)
      }
      const asRole = new URL(url)
      asRole.username = role
      const { sql, store } = yield* openStore(asRole.href)

      // everything that the store offers
      yield* store.append(Notes.stream("a"), [note("by the role")], { expected: 1 })
      yield* store.appendAll([EventStore.entry(Notes.stream("b"), [note("b")])])
      yield* store.appendIf({ items: [{ types: ["Other"] }], after: 0 }, [
        EventStore.entry(Notes.stream("c"), [note("c")])
      ])
      yield* store.transaction(Effect.gen(function*() {
        yield* store.append(Notes.stream("a"), [note("staged")])
        assert.deepStrictEqual(yield* texts(store, "a"), ["by the owner", "by the role", "staged"])
      }))
      const events = yield* recorded(store)
      assert.deepStrictEqual(events.map(({ position }) => position), [1, 2, 3, 4, 5])
      assert.isTrue((yield* store.readEvent(events[0]!.eventId))._tag === "Some")
      assert.strictEqual(yield* store.head(), 5)
      assert.strictEqual((yield* Stream.runCollect(store.streams())).length, 3)
      yield* store.setMetadata(Notes.stream("b"), { owner: "role" })
      yield* store.truncateBefore(Notes.stream("a"), 2)
      yield* store.delete(Notes.stream("b"))
      yield* store.tombstone(Notes.stream("c"))
      const { store: second } = yield* openStore(asRole.href, { log: 2 })
      assert.strictEqual((yield* second.append(Category.rawStream("x-1"), [])).position, 0)
      yield* useProjections(store)
      yield* useSnapshots(store, "a")
      const rehearse = (projection: Projection.Any) =>
        Effect.scoped(Effect.flatMap(Rehearsal.make(projection), ({ status }) => status)).pipe(
          Effect.provideService(EventStore, store),
          Effect.provideService(SqlClient.SqlClient, sql)
        )
      const byText = Projection.links("by-text", { from: Notes, key: ({ event }) => event.text })
      assert.strictEqual((yield* rehearse(byText)).position, yield* store.head())
      const inTables = Projection.make("tables", {
        from: Notes,
        setup: () => Effect.void,
        handle: { Noted: () => Effect.void }
      })
      assert.match((yield* Effect.flip(rehearse(inTables))).message, /permission denied for database/)

      // nothing else
      const tables = yield* owner.sql<{ name: string }>`
        SELECT relname AS name FROM pg_class WHERE relnamespace = 'eventstore'::regnamespace AND relkind = 'r'`
      assert.includeMembers(tables.map(({ name }) => name), [
        "events",
        "staged_appends",
        "logs",
        "stream_states",
        "migrations"
      ])
      const refused = (statement: string) =>
        Effect.map(Effect.flip(sql.unsafe(statement)), (error) => {
          assert.strictEqual(error.reason._tag, "AuthorizationError", statement)
        })
      for (const { name } of tables) {
        yield* refused(`INSERT INTO eventstore.${name} DEFAULT VALUES`)
        yield* refused(`DELETE FROM eventstore.${name}`)
        const [column] = yield* owner.sql<{ name: string }>`
          SELECT attname AS name FROM pg_attribute WHERE attrelid = ${`eventstore.${name}`}::regclass AND attnum = 2`
        yield* refused(`UPDATE eventstore.${name} SET ${column!.name} = NULL`)
        yield* refused(`TRUNCATE eventstore.${name}`)
      }
      yield* refused("CREATE TABLE eventstore.mine (n int4)")
      yield* refused("CREATE FUNCTION eventstore.mine() RETURNS int4 LANGUAGE sql AS 'SELECT 1'")
      yield* refused("CREATE SCHEMA mine")
      yield* refused("ALTER TABLE eventstore.events DISABLE TRIGGER ALL")
      yield* refused("SET session_replication_role TO replica")
      yield* refused("SELECT eventstore.store_staged_append()")
      const granted = PgMigrations.grants({ role })
      const functions = yield* owner.sql<{ name: string; call: string }>`
        SELECT proname AS name, format(
          'SELECT eventstore.%I(%s)', proname,
          (SELECT string_agg('NULL::' || format_type(t.type, NULL), ', ') FROM unnest(proargtypes) AS t(type))
        ) AS call
        FROM pg_proc
        WHERE pronamespace = 'eventstore'::regnamespace AND prorettype <> 'trigger'::regtype AND proname <> 'is_expected'`
      for (const { call } of functions.filter(({ name }) => !granted.includes(`.${name}`))) {
        yield* refused(call)
      }

      // tables of its own need a right that is granted for all of the database
      const version = yield* makeVersion(store, { name: "totals", kind: "tables", schema: "totals_v1" })
      const setUp = store.storage.projections.setUpWith(version.id, sql`CREATE TABLE totals_v1.sums (n int4)`)
      const error = yield* Effect.flip(setUp)
      assert.strictEqual(error._tag, "StoreError")
      assert.include(error.message, "permission denied for database")
      yield* owner.sql.unsafe(`GRANT CREATE ON DATABASE ${new URL(url).pathname.slice(1)} TO ${role}`)
      assert.isTrue(yield* setUp)
      yield* store.storage.projections.pause(version.id)
      assert.strictEqual(yield* store.storage.projections.drop(version.id), "dropped")
      yield* owner.sql.unsafe(`REVOKE CREATE ON DATABASE ${new URL(url).pathname.slice(1)} FROM ${role}`)

      assert.strictEqual((yield* Effect.flip(PgMigrations.migrate(sql, { schema: "mine" })))._tag, "SqlError")
    }))
})
