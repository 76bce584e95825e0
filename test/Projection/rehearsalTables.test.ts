/** Rehearsals of projections with tables, which only databases have; what holds of all kinds is in the contract suite. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Category, EventStore, PgEventStore, PgliteEventStore, Projection, Rehearsal } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import * as TestPostgres from "../support/TestPostgres.ts"

class Sold extends Schema.TaggedClass<Sold>()("Sold", { sku: Schema.String, cents: Schema.Int }) {}

let names = 0

/** Sales in tables of all sorts of columns, under names of their own for each test. */
const makeSales = (mode: "async" | "inline" = "async") => {
  const name = `sales-${++names}`
  const Shop = Category.make(`shop${names}`, { id: Schema.String, events: [Sold] })
  const version = (version: number, type = "int", noted = "note") =>
    Projection.make(name, {
      version,
      mode,
      from: Shop,
      setup: ({ sql, table }) =>
        Effect.andThen(
          sql`CREATE TABLE ${table("sums")} (sku text PRIMARY KEY, cents ${sql.literal(type)} NOT NULL)`,
          sql`CREATE TABLE ${table("Sold \"items\"")} (
            id int8 GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL DEFAULT clock_timestamp(), sku text NOT NULL,
            data json NOT NULL, place point, tags text[], ${sql.literal(noted)} text)`
        ),
      indexes: ({ sql, table }) => sql`CREATE INDEX sums_cents ON ${table("sums")} (cents)`,
      handle: {
        Sold: ({ event: { cents, sku } }, { sql, table }) =>
          Effect.andThen(
            sql`INSERT INTO ${table("sums")} AS s (sku, cents) VALUES (${sku}, ${cents}::int)
              ON CONFLICT (sku) DO UPDATE SET cents = s.cents + excluded.cents`,
            sql`INSERT INTO ${table("Sold \"items\"")} (sku, data, place, tags)
              VALUES (${sku}, json_build_object('cents', ${cents}::int), point(1, ${cents}::int), ARRAY[${sku}::text])`
          )
      }
    })
  return { name, Shop, version }
}

type Shop = ReturnType<typeof makeSales>["Shop"]

const sell = (Shop: Shop, ...sold: ReadonlyArray<readonly [sku: string, cents: number]>) =>
  EventStore.use((store) => store.append(Shop.stream("1"), sold.map(([sku, cents]) => new Sold({ sku, cents }))))

const running = <A, E, R>(projection: Projection.Tables<any>, body: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.andThen(Layer.build(Projection.layer(projection, { switch: "manual" })), body))

/** Runs a projection until it has everything, and no longer. */
const project = (projection: Projection.Tables<any>) =>
  Effect.flatMap(
    EventStore.use((store) => store.head()),
    (head) => running(projection, Projection.awaitProcessed(projection, head))
  )

const sums = (projection: Projection.Tables<any>) =>
  Projection.read(
    projection,
    ({ sql, table }) => sql<{ sku: string; cents: number }>`SELECT sku, cents FROM ${table("sums")} ORDER BY sku`
  )

const schemas = (like: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<{ name: string }>`SELECT nspname::text AS name FROM pg_namespace WHERE nspname LIKE ${like} ORDER BY nspname`,
      (rows) => rows.map(({ name }) => name)
    ))

const ignore = ["id", "Sold \"items\".at"]

const stores = {
  postgres: PgEventStore.layer().pipe(Layer.provideMerge(TestPostgres.layer)),
  pglite: PgliteEventStore.layer()
}

for (const [name, store] of Object.entries(stores)) {
  layer(store as Layer.Layer<EventStore | SqlClient.SqlClient>, { excludeTestServices: true, timeout: "1 minute" })(
    `rehearsals of tables (${name})`,
    (it) => {
      it.effect("keep them in a schema of their own, which is read as any other and goes at the end", () =>
        Effect.gen(function*() {
          const { Shop, name, version } = makeSales()
          const Sales = version(1)
          const { position } = yield* sell(Shop, ["a", 1], ["b", 2], ["a", 3])
          yield* project(Sales)
          yield* Effect.scoped(Effect.gen(function*() {
            const rehearsal = yield* Rehearsal.make(Sales, { to: position - 1 })
            assert.deepStrictEqual(yield* sums(rehearsal.projection), [{ sku: "a", cents: 1 }, { sku: "b", cents: 2 }])
            assert.deepStrictEqual(yield* sums(Sales), [{ sku: "a", cents: 4 }, { sku: "b", cents: 2 }])
            assert.deepStrictEqual(yield* schemas(rehearsal.schema!), [rehearsal.schema])
            const sql = yield* SqlClient.SqlClient
            const indexes = yield* sql`SELECT FROM pg_indexes WHERE schemaname = ${rehearsal
              .schema!} AND indexname = 'sums_cents'`
            assert.lengthOf(indexes, 1)
          }))
          assert.deepStrictEqual(yield* schemas("%rehearsal"), [])
          assert.deepStrictEqual(yield* schemas(`${name.replaceAll("-", "_")}%`), [`${name.replaceAll("-", "_")}_v1`])
        }))

      it.effect("are compared row by row, on the columns that are not ignored", () =>
        Effect.gen(function*() {
          const { Shop, name, version } = makeSales()
          const Sales = version(1)
          yield* sell(Shop, ["a", 1], ["b", 2], ["c", 3])
          yield* project(Sales)
          const rehearsal = yield* Rehearsal.make(Sales)
          const different = yield* rehearsal.difference()
          assert.isFalse(different.isEqual)
          assert.deepStrictEqual(different.parts.map(({ name, onlyLive }) => [name, onlyLive.count]), [
            ["Sold \"items\"", 3],
            ["sums", 0]
          ])
          const equal = yield* rehearsal.difference({ ignore })
          assert.deepInclude(equal, { isEqual: true, isSamePosition: true })
          assert.deepStrictEqual(equal.parts[0]!.columns, { onlyLive: [], onlyFresh: [], ignored: ["at", "id"] })
          const sql = yield* SqlClient.SqlClient
          const live = (table: string) => sql.literal(`"${name.replaceAll("-", "_")}_v1"."${table}"`)
          yield* sql`UPDATE ${live("sums")} SET cents = cents + 10 WHERE sku <> 'b'`
          yield* sql`DELETE FROM ${live("sums")} WHERE sku = 'b'`
          yield* sql`INSERT INTO ${live("Sold \"\"items\"\"")} (sku, data) SELECT sku, data FROM ${
            live("Sold \"\"items\"\"")
          }`
          yield* sql`CREATE TABLE ${live("more")} AS SELECT 1 AS one`
          const { isEqual, parts } = yield* rehearsal.difference({ ignore, limit: 1 })
          assert.isFalse(isEqual)
          const [items, more, changed] = parts as [
            Rehearsal.DifferencePart,
            Rehearsal.DifferencePart,
            Rehearsal.DifferencePart
          ]
          assert.deepInclude(items, { live: 6, fresh: 3 })
          assert.strictEqual(items.onlyLive.count, 3)
          assert.deepInclude(items.onlyLive.rows[0] as object, { sku: "a", tags: null })
          assert.deepInclude(more, { name: "more", live: 1, fresh: null })
          assert.deepInclude(changed, { live: 2, fresh: 3 })
          assert.deepStrictEqual(changed.onlyLive, { count: 2, rows: [{ sku: "a", cents: 11 }] })
          assert.deepStrictEqual(changed.onlyFresh, { count: 3, rows: [{ sku: "a", cents: 1 }] })
        }))

      it.effect("are shown with all digits of their numbers, whatever their columns are called", () =>
        Effect.gen(function*() {
          const name = `numbers-${++names}`
          const Shop = Category.make(`shop${names}`, { id: Schema.String, events: [Sold] })
          const Numbers = Projection.make(name, {
            from: Shop,
            setup: ({ sql, table }) =>
              Effect.andThen(
                sql`CREATE DOMAIN ${table("cents")} AS numeric`,
                sql`CREATE TABLE ${table("long")} (
                  o int8, d numeric, deep ${table("cents")}, many int8[], small int4, text text)`
              ),
            handle: {
              Sold: ({ event: { cents } }, { sql, table }) =>
                sql`INSERT INTO ${table("long")}
                  SELECT ${cents}::int8 + n, n + 0.10, n, ARRAY[n], ${cents}::int4, 'a' FROM (SELECT 9007199254740993::int8 AS n) n`
            }
          })
          yield* sell(Shop, ["a", 1])
          yield* project(Numbers)
          const rehearsal = yield* Rehearsal.make(Numbers)
          assert.isTrue((yield* rehearsal.difference()).isEqual)
          const sql = yield* SqlClient.SqlClient
          yield* sql`UPDATE ${
            sql.literal(`"${name.replaceAll("-", "_")}_v1"."long"`)
          } SET o = o - 1, d = d + 0.01, deep = deep - 1, many = ARRAY[1]`
          const { parts: [long] } = yield* rehearsal.difference()
          const fresh = {
            o: "9007199254740994",
            d: "9007199254740993.10",
            deep: "9007199254740993",
            many: ["9007199254740993"],
            small: 1,
            text: "a"
          }
          assert.deepStrictEqual(long!.onlyFresh.rows, [fresh])
          assert.deepStrictEqual(long!.onlyLive.rows, [
            { ...fresh, o: "9007199254740993", d: "9007199254740993.11", deep: "9007199254740992", many: ["1"] }
          ])
        }))

      it.effect("say in the words of the database why they cannot be compared", () =>
        Effect.gen(function*() {
          const { Shop, version } = makeSales()
          const Sales = version(1)
          yield* sell(Shop, ["a", 1])
          yield* project(Sales)
          const sql = yield* SqlClient.SqlClient
          const failing = new Proxy(sql, {
            get: (client, key) =>
              key === "unsafe"
                ? (text: string, params?: ReadonlyArray<unknown>) =>
                  client.unsafe(text.includes("EXCEPT ALL") ? "SELECT 1 / 0" : text, params)
                : Reflect.get(client, key)
          })
          const rehearsal = yield* Effect.provideService(Rehearsal.make(Sales), SqlClient.SqlClient, failing)
          const failed = yield* Effect.flip(rehearsal.difference())
          assert.deepInclude(failed, { _tag: "StoreError", operation: "difference", isRetryable: false })
          assert.include(failed.message, "division by zero")
        }))

      it.effect("are compared with a version of another shape on what the two share", () =>
        Effect.gen(function*() {
          const { Shop, version } = makeSales()
          yield* sell(Shop, ["a", 1], ["b", 2])
          yield* project(version(1))
          const rehearsal = yield* Rehearsal.make(version(2, "bigint", "remark"))
          const { live, parts, version: rehearsed } = yield* rehearsal.difference({ ignore })
          assert.deepStrictEqual([live.version, rehearsed], [1, 2])
          const [items, other] = parts as [Rehearsal.DifferencePart, Rehearsal.DifferencePart]
          assert.deepInclude(items.columns, { onlyLive: ["note"], onlyFresh: ["remark"] })
          assert.deepStrictEqual([items.onlyLive.count, items.onlyFresh.count], [0, 0])
          assert.deepStrictEqual([other.onlyLive.count, other.onlyFresh.count], [0, 0])
        }))

      it.effect("are compared at one position while the live one is applied to what is appended", () =>
        Effect.gen(function*() {
          for (const mode of ["async", "inline"] as const) {
            const { Shop, version } = makeSales(mode)
            const Sales = version(1)
            yield* sell(Shop, ["a", 1])
            yield* running(
              Sales,
              Effect.scoped(Effect.gen(function*() {
                yield* Projection.awaitReady(Sales)
                yield* Effect.forkScoped(
                  Effect.forever(Effect.andThen(sell(Shop, ["a", 1], ["b", 2]), Effect.sleep(1)))
                )
                const rehearsal = yield* Rehearsal.make(Sales)
                let last = 0
                for (let i = 0; i < 5; i++) {
                  const { isEqual, isSamePosition, position } = yield* rehearsal.difference({ ignore })
                  assert.deepStrictEqual([isEqual, isSamePosition], [true, true])
                  assert.isAbove(position, last)
                  last = position
                  yield* Effect.sleep(10)
                }
              }))
            )
          }
        }))

      it.effect("leave the batch in hand undone where they are interrupted, and go on", () =>
        Effect.gen(function*() {
          const { Shop, version } = makeSales()
          const Sales = version(1)
          const name = `kept-${names}`
          yield* sell(Shop, ...Array.from({ length: 20 }, () => ["a", 1] as const))
          yield* Effect.scoped(Rehearsal.make(Sales, {
            name,
            batch: 4,
            onProgress: ({ handled }) => handled >= 8 ? Effect.interrupt : Effect.void
          })).pipe(Effect.exit)
          const [half] = yield* Rehearsal.list
          assert.deepInclude(half!, {
            name,
            handled: 8,
            isTemporary: false,
            isInUse: false,
            schema: `kept_${names}_rehearsal`
          })
          const { projection } = yield* Rehearsal.make(Sales, { name })
          assert.deepStrictEqual(yield* sums(projection), [{ sku: "a", cents: 20 }])
          yield* Rehearsal.drop(name)
          assert.deepStrictEqual(yield* schemas("%rehearsal"), [])
        }))

      it.effect("say in the words of the database why they cannot be built", () =>
        Effect.gen(function*() {
          const { Shop, name, version } = makeSales()
          yield* sell(Shop, ["a", 1])
          const failed = yield* Effect.flip(Effect.scoped(Rehearsal.make(version(1, "no_type"))))
          assert.deepInclude(failed, { _tag: "ProjectionFailed", position: null })
          assert.include(failed.message, "no_type")
          assert.deepStrictEqual((yield* Rehearsal.list).filter(({ projection }) => projection === name), [])
          // with a name it is not kept either, and may be begun with something else
          const kept = `kept-${names}`
          yield* Effect.flip(Effect.scoped(Rehearsal.make(version(1, "no_type"), { name: kept })))
          yield* Effect.scoped(Rehearsal.make(version(2), { name: kept }))
          yield* Rehearsal.drop(kept)
        }))

      it.effect("have names that the database can tell apart", () =>
        Effect.gen(function*() {
          const { Shop, version } = makeSales()
          yield* sell(Shop, ["a", 1])
          const sql = yield* SqlClient.SqlClient
          const name = `of-${names}-both`
          yield* Effect.scoped(Rehearsal.make(version(1), { name }))
          const other = yield* Effect.flip(Effect.scoped(Rehearsal.make(version(1), { name: `of_${names}_both` })))
          assert.deepInclude(other, { _tag: "InvalidInput", field: "name" })
          assert.lengthOf(yield* Rehearsal.list, 1)
          yield* Rehearsal.drop(name)
          yield* sql`CREATE SCHEMA own_rehearsal`
          const taken = yield* Effect.flip(Effect.scoped(Rehearsal.make(version(1), { name: "own" })))
          assert.deepInclude(taken, { _tag: "InvalidInput", field: "name" })
          assert.deepStrictEqual(yield* Rehearsal.list, [])
          assert.deepStrictEqual(yield* schemas("%rehearsal"), ["own_rehearsal"])
          yield* sql`DROP SCHEMA own_rehearsal`
        }))
    }
  )
}
