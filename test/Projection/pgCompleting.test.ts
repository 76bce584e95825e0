/** How versions with tables come to be live, and what their runners make of a database that lost something. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Fiber, Schema } from "effect"
import { Category, Projection, ProjectionMiddleware } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { inStore, until } from "../../src/Testing/internal/consuming.ts"
import { otherStore, processed, project, stateOf, untilState } from "../../src/Testing/internal/projecting.ts"
import { open, type Opened } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.String }) {}
const Notes = Category.make("completed", { id: Schema.String, events: [Noted] })

const opened = Effect.flatMap(TestPostgres.url, (url) => open(url))

/** A row for each event. */
const lines = (
  version: number,
  options: Pick<Parameters<typeof Projection.make<typeof Notes>>[1], "indexes" | "mode"> = {}
) =>
  Projection.make("lines", {
    version,
    from: Notes,
    setup: ({ sql, table }) => sql`CREATE TABLE ${table("lines")} (event text PRIMARY KEY, text text NOT NULL)`,
    handle: {
      Noted: ({ event, eventId }, { sql, table }) =>
        sql`INSERT INTO ${table("lines")} (event, text) VALUES (${eventId}::text, ${event.text})`
    },
    ...options
  })

const index: NonNullable<Parameters<typeof lines>[1]>["indexes"] = ({ sql, table }) =>
  sql`CREATE INDEX lines_text ON ${table("lines")} (text)`

const countOf = ({ sql }: Opened, version: number) =>
  Effect.map(
    sql<{ n: number }>`SELECT count(*)::int4 AS n FROM ${sql(`lines_v${version}`)}.lines`,
    ([row]) => row!.n
  )

const note = ({ store }: Opened, text: string) => store.append(Notes.stream("1"), [new Noted({ text })])

const context = ({ sql }: Opened) => Context.make(SqlClient.SqlClient, sql)

it.live("a version is switched to whose indexes take longer than the next event, and makes them once", () =>
  Effect.gen(function*() {
    const stores = yield* opened
    const { store } = stores
    let isOver = false
    const writing = yield* Effect.forkScoped(Effect.gen(function*() {
      while (!isOver) {
        yield* note(stores, "a")
        yield* Effect.sleep(10)
      }
    }))
    yield* project(store, lines(1), { context: context(stores) })
    yield* untilState(store, "lines", ({ stage }) => stage === "ready")
    let made = 0
    const slow: typeof index = (model) =>
      Effect.suspend(() => {
        made++
        return Effect.andThen(index(model), model.sql`SELECT pg_sleep(0.3)`)
      })
    yield* project(store, lines(2, { indexes: slow }), { context: context(stores) })
    yield* untilState(store, "lines", ({ version }) => version === 2)
    isOver = true
    yield* Fiber.join(writing)
    for (const version of [1, 2]) yield* processed(store, "lines", version)
    assert.strictEqual(made, 1)
    assert.strictEqual(yield* countOf(stores, 2), yield* countOf(stores, 1))
  }))

it.live("an inline version makes its indexes once, however often it is applied", () =>
  Effect.gen(function*() {
    const stores = yield* opened
    const { store } = stores
    const run = inStore(store)
    const isApplied = (version: number) => untilState(store, "lines", ({ isApplied }) => isApplied, version)
    yield* note(stores, "a")
    yield* project(store, lines(1, { mode: "inline", indexes: index }), { context: context(stores) })
    yield* isApplied(1)
    yield* note(stores, "b")
    yield* run(Projection.pause("lines"))
    yield* note(stores, "c")
    yield* run(Projection.resume("lines"))
    yield* isApplied(1)
    yield* project(store, lines(2, { mode: "inline", indexes: index }), {
      context: context(stores),
      switch: "manual"
    })
    yield* untilState(store, "lines", ({ stage }) => stage === "ready", 2)
    yield* note(stores, "d")
    yield* run(Projection.switchTo("lines", 2))
    yield* isApplied(2)
    yield* note(stores, "e")
    assert.strictEqual(yield* countOf(stores, 2), 5)
    assert.strictEqual((yield* stateOf(store, "lines")).error, null)
  }))

it.live("what an inline version is handed when it comes into force goes through its middleware", () =>
  Effect.gen(function*() {
    const stores = yield* opened
    const seen: Array<string> = []
    let isLate = true
    const late = yield* otherStore(stores.store, ({ at, call }) =>
      Effect.suspend(() => {
        if (call !== "projections.completeWith" || at !== "before" || !isLate) return Effect.void
        isLate = false
        return Effect.orDie(Effect.asVoid(note(stores, "late")))
      }))
    yield* note(stores, "early")
    const middleware = (apply: ProjectionMiddleware.Apply): ProjectionMiddleware.Apply => (batch) => {
      for (const { event } of batch.events) seen.push((event as Noted).text)
      return apply(batch)
    }
    yield* project(late, lines(1, { mode: "inline" }), { context: context(stores), middleware })
    yield* untilState(late, "lines", ({ isApplied }) => isApplied)
    assert.deepStrictEqual(seen, ["early", "late"])
    assert.strictEqual(yield* countOf(stores, 1), 2)
  }))

it.live("a runner goes back with a database that lost a batch which it had acknowledged", () =>
  Effect.gen(function*() {
    const stores = yield* opened
    const { sql, store } = stores
    for (const text of ["a", "b", "c"]) yield* note(stores, text)
    yield* project(store, lines(1), { context: context(stores), lease: "300 millis" })
    yield* processed(store, "lines")
    yield* untilState(store, "lines", ({ stage }) => stage === "ready")
    // it has nothing to write any more
    yield* Effect.sleep(300)
    yield* sql.withTransaction(Effect.andThen(
      sql`DELETE FROM lines_v1.lines WHERE text <> 'a'`,
      sql`UPDATE eventstore.projection_partitions SET position = 1, event_id = NULL`
    ))
    yield* until("what was lost", () => Effect.map(countOf(stores, 1), (count) => count === 3))
    yield* processed(store, "lines")
  }))
