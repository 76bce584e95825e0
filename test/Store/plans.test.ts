import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { PgMigrations } from "effect-eventstore"
import * as Sql from "../../src/Store/internal/eventsSql.ts"
import type { LogFilter } from "../../src/Store/LogFilter.ts"
import type { PageRange } from "../../src/Store/LogStorage.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const events = 50_000

/**
 * A log of 50,000 events. Categories: `dense` most, `some` a tenth, `sparse` 50 events, `old` the first tenth alone. Types:
 * `Common` most, `Some` a tenth, `Rare` 10 events. Tags: `hot` a fifth, `seat7` 50 events, `cold` 5 events.
 */
const load = (sql: PgClient.PgClient) =>
  Effect.gen(function*() {
    yield* PgMigrations.migrate(sql)
    yield* sql.unsafe(`
      INSERT INTO eventstore.events (
        log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, tags, recorded_at
      )
      SELECT
        1, i,
        CASE
          WHEN i % 1000 = 0 THEN 'sparse-' || i / 1000 % 5
          WHEN i % 10 = 1 THEN 'some-' || i % 100
          WHEN i <= 5000 THEN 'old-' || i % 10
          ELSE 'dense-' || i % 500
        END,
        i, gen_random_uuid(),
        CASE WHEN i % 5000 = 7 THEN 'Rare' WHEN i % 10 = 3 THEN 'Some' ELSE 'Common' END,
        1, '{"text":"some text of an event that is not too long"}',
        CASE WHEN i % 5 = 0 THEN ARRAY['hot', 'seat' || i / 5 % 200] WHEN i % 10000 = 9 THEN ARRAY['cold'] END,
        now()
      FROM generate_series(1, ${events}) i`)
    yield* sql`VACUUM ANALYZE eventstore.events`
  })

class Database extends Context.Service<Database, PgClient.PgClient>()("test/Database") {}

/** One connection: what it is SET to holds for all that follows. */
const database = <E, R>(url: Effect.Effect<string, E, R>) =>
  Layer.effect(Database, PgClient.PgClient.use((sql) => Effect.as(load(sql), sql))).pipe(
    Layer.provide(Layer.unwrap(
      Effect.map(url, (url) => PgClient.layer({ url: Redacted.make(url), maxConnections: 1 }))
    ))
  )

interface Plan {
  /** Indexes of the events that it reads. */
  readonly indexes: ReadonlyArray<string>
  readonly nodes: ReadonlyArray<string>
  readonly rows: number
  /** Rows that were read and thrown away. */
  readonly removed: number
  readonly buffers: number
}

const explain = (sql: PgClient.PgClient, statement: string) =>
  Effect.map(sql.unsafe(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement}`).values, ([row]): Plan => {
    const [{ Plan: root }] = (typeof row![0] === "string" ? JSON.parse(row![0]) : row![0]) as [any]
    const nodes: Array<any> = []
    const walk = (node: any) => {
      nodes.push(node)
      for (const child of node.Plans ?? []) walk(child)
    }
    walk(root)
    const indexes = nodes.flatMap((node) =>
      String(node["Index Name"] ?? "").startsWith("events_") ? [node["Index Name"]] : []
    )
    return {
      indexes: [...new Set<string>(indexes)].sort(),
      nodes: nodes.map((node) => node["Node Type"]),
      rows: root["Actual Rows"],
      removed: nodes.reduce((sum, node) => sum + (node["Rows Removed by Filter"] ?? 0) * node["Actual Loops"], 0),
      buffers: root["Shared Hit Blocks"] + root["Shared Read Blocks"]
    }
  })

const literal = (value: any): string =>
  value === null ?
    "NULL" :
    Array.isArray(value) ?
    `'{${value.map((item) => JSON.stringify(item)).join(",")}}'` :
    typeof value === "string" ?
    `'${value}'` :
    String(value)

/** The plans that Postgres makes of a statement: for these parameters and, where it is prepared, for any. */
const plansOf = (sql: PgClient.PgClient, { isPlannedAnew, params, text }: Sql.Statement) =>
  Effect.forEach(isPlannedAnew === true ? ["custom"] : ["custom", "generic"], (kind) =>
    Effect.gen(function*() {
      yield* sql.unsafe(`SET plan_cache_mode TO force_${kind}_plan`)
      yield* sql.unsafe(`PREPARE statement AS ${text}`)
      const plan = yield* explain(sql, `EXECUTE statement (${params.map(literal).join(", ")})`)
      yield* sql`DEALLOCATE statement`
      return plan
    }))

const everything: LogFilter = {
  types: null,
  categories: null,
  streamPrefix: null,
  tags: null,
  recordedFrom: null,
  recordedUntil: null
}

const page = (filter: Partial<LogFilter>, range: Partial<PageRange> = {}) =>
  Sql.logPage("eventstore", 1, { ...everything, ...filter }, {
    direction: "forward",
    from: 1,
    to: Number.MAX_SAFE_INTEGER,
    limit: 200,
    bytes: 1e9,
    ...range
  })

const backward = { direction: "backward", from: Number.MAX_SAFE_INTEGER, to: 1 } as const
const half = { from: events / 2 }
const many = (...values: ReadonlyArray<string>) => [...values, ...Array.from({ length: 20 }, (_, i) => `None${i}`)]

const statements: Record<string, {
  readonly statement: Sql.Statement
  readonly rows: number
  readonly indexes: ReadonlyArray<string>
  /** How many rows of the index may be read in vain; default none. */
  readonly removed?: number
  /** Whether all that is found has to be sorted before the page is known: right where it is little. */
  readonly sorts?: boolean
}> = {
  "a page of a stream": {
    statement: Sql.streamPage("eventstore", 1, "dense-9", {
      direction: "forward",
      from: 1,
      to: Number.MAX_SAFE_INTEGER,
      limit: 50,
      bytes: 1e9
    }),
    rows: 50,
    indexes: ["events_stream_version_key"]
  },
  "the last event of a stream": {
    statement: Sql.streamPage("eventstore", 1, "dense-9", { ...backward, limit: 1, bytes: 1e9 }),
    rows: 1,
    indexes: ["events_stream_version_key"]
  },
  "an event by its id": {
    statement: Sql.eventById("eventstore", 1, "00000000-0000-7000-8000-000000000000"),
    rows: 0,
    indexes: ["events_event_id_key"]
  },
  "where events stand": {
    statement: Sql.positions("eventstore", 1, ["00000000-0000-7000-8000-000000000000"]),
    rows: 0,
    indexes: ["events_event_id_key"]
  },
  "the state of a stream": {
    statement: Sql.streamState("eventstore", 1, "dense-9"),
    rows: 1,
    indexes: ["events_stream_version_key"]
  },
  "a page of the log": { statement: page({}, half), rows: 200, indexes: ["events_pkey"] },
  "a page of the log, backward": { statement: page({}, backward), rows: 200, indexes: ["events_pkey"] },
  "the end of the log": { statement: page({}, { from: events + 1 }), rows: 0, indexes: ["events_pkey"] },
  "a page of a dense category": {
    statement: page({ categories: ["dense"] }, half),
    rows: 200,
    indexes: ["events_category_idx"]
  },
  "a page of a sparse category": {
    statement: page({ categories: ["sparse"] }),
    rows: 50,
    indexes: ["events_category_idx"]
  },
  "a page of a category whose events are all old": {
    statement: page({ categories: ["old"] }, half),
    rows: 0,
    indexes: ["events_category_idx"]
  },
  "the last event of a category": {
    statement: page({ categories: ["old"] }, { ...backward, limit: 1, bytes: 1e9 }),
    rows: 1,
    indexes: ["events_category_idx"]
  },
  "a page of dense categories": {
    statement: page({ categories: ["dense", "some"] }, half),
    rows: 200,
    indexes: ["events_category_idx"]
  },
  "a page of a sparse and a dense category": {
    statement: page({ categories: ["sparse", "dense"] }, half),
    rows: 200,
    indexes: ["events_category_idx"]
  },
  "a page of sparse categories, backward": {
    statement: page({ categories: ["sparse", "old", "none"] }, { ...backward, from: events / 2 }),
    rows: 200,
    indexes: ["events_category_idx"]
  },
  "a page of a dense type": { statement: page({ types: ["Common"] }, half), rows: 200, indexes: ["events_type_idx"] },
  "a page of a rare type": { statement: page({ types: ["Rare"] }), rows: 10, indexes: ["events_type_idx"] },
  "a page of a rare and a dense type": {
    statement: page({ types: ["Rare", "Common"] }, half),
    rows: 200,
    indexes: ["events_type_idx"]
  },
  "a page of a type that does not exist": {
    statement: page({ types: ["None"] }),
    rows: 0,
    indexes: ["events_type_idx"]
  },
  "a page of a dense category and a rare type": {
    statement: page({ categories: ["dense"], types: ["Rare"] }),
    rows: 9,
    indexes: ["events_type_idx"],
    removed: 1
  },
  "a page of a sparse category and a dense type": {
    statement: page({ categories: ["sparse"], types: ["Common"] }),
    rows: 50,
    indexes: ["events_category_idx"]
  },
  "a page of two categories and two types": {
    statement: page({ categories: ["sparse", "dense"], types: ["Rare", "Common"] }, half),
    rows: 200,
    indexes: ["events_category_idx", "events_type_idx"],
    removed: 200
  },
  "a page of many types, all rare": {
    statement: page({ types: many("Rare") }),
    rows: 10,
    indexes: ["events_type_idx"],
    sorts: true
  },
  "a page of many types, some dense": {
    statement: page({ types: many("Common") }, half),
    rows: 200,
    indexes: ["events_pkey"],
    removed: 50
  },
  "a page of a rare tag": { statement: page({ tags: ["cold"] }), rows: 5, indexes: ["events_tags_idx"], sorts: true },
  "a page of a rare tag beside a frequent one": {
    statement: page({ tags: ["hot", "seat7"] }),
    rows: 50,
    indexes: ["events_tags_idx"],
    sorts: true
  },
  "a page of a frequent tag": {
    statement: page({ tags: ["hot"] }, half),
    rows: 200,
    indexes: ["events_pkey"],
    removed: 1000
  },
  "a page of a stream's prefix": {
    statement: page({ streamPrefix: "sparse-1" }),
    rows: 10,
    indexes: ["events_stream_version_key"],
    sorts: true
  },
  "a page of a prefix that most streams have": {
    statement: page({ streamPrefix: "d" }, half),
    rows: 200,
    indexes: ["events_pkey"],
    removed: 50
  },
  "a page since a time": { statement: page({ recordedFrom: 1 }, half), rows: 200, indexes: ["events_pkey"] }
}

/** What functions of the schema are asked, and how many pages they may touch. Their own plans are not to be seen. */
const functions: Record<string, { readonly call: string; readonly buffers: number }> = {
  "the head of the log": { call: "log_head(1)", buffers: 10 },
  "whether a frequent type broke a condition": { call: condition({ types: ["Common", "None"] }, 0), buffers: 40 },
  "whether a type that does not exist broke a condition": { call: condition({ types: ["None"] }, 0), buffers: 40 },
  "whether a rare tag broke a condition": { call: condition({ tags: ["cold"] }, 0), buffers: 40 },
  "whether a frequent tag broke a condition lately": { call: condition({ tags: ["hot"] }, events - 100), buffers: 60 },
  "whether a frequent tag and type broke a condition lately": {
    call: condition({ tags: ["hot"], types: ["Common"] }, events - 100),
    buffers: 60
  }
}

function condition(item: object, after: number): string {
  return `condition_broken_at(1, '${JSON.stringify({ items: [item], after })}', false)`
}

const plansTests = (name: string, live: Layer.Layer<Database, unknown>) =>
  layer(live, { excludeTestServices: true, timeout: "1 minute" })(`the plans of ${name}`, (it) => {
    for (const [what, { indexes, removed, rows, sorts, statement }] of Object.entries(statements)) {
      it.effect(`read ${what} from ${indexes.join(" and ")}`, () =>
        Effect.gen(function*() {
          const sql = yield* Database
          for (const plan of yield* plansOf(sql, statement)) {
            const seen = JSON.stringify(plan)
            assert.strictEqual(plan.rows, rows, seen)
            assert.deepStrictEqual(plan.indexes, indexes, seen)
            assert.notInclude(plan.nodes, "Seq Scan", seen)
            assert.strictEqual(plan.nodes.includes("Sort"), sorts ?? false, seen)
            assert.isAtMost(plan.removed, removed ?? 0, seen)
            // a row may lie on a page of its own
            assert.isAtMost(plan.buffers, 60 + 4 * (rows + (removed ?? 0) / 20), seen)
          }
        }))
    }
    for (const [what, { buffers, call }] of Object.entries(functions)) {
      it.effect(`find out ${what} with few pages`, () =>
        Effect.gen(function*() {
          const sql = yield* Database
          // the first call of a session loads the catalogs as well
          const plans = yield* Effect.forEach([1, 2], () => explain(sql, `SELECT eventstore.${call}`))
          assert.isAtMost(plans[1]!.buffers, buffers)
        }))
    }
  })

plansTests("Postgres 18", database(TestPostgres.url) as Layer.Layer<Database, unknown>)
plansTests("Postgres 15", database(TestPostgres.url15) as Layer.Layer<Database, unknown>)
