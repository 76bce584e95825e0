/** Logs for tests of archives: each of its own, in one PGlite and one Postgres, and rows that no program would write. */
import { NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer } from "effect"
import { PgliteEventStore, PgMigrations } from "effect-eventstore"
import type * as Archive from "effect-eventstore/Cli/Archive"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as TestPostgres from "./TestPostgres.ts"

export type Kind = "pglite" | "postgres"

export class Databases extends Context.Service<Databases, { readonly [K in Kind]: PgClient.PgClient }>()(
  "test/Databases"
) {
  static readonly layer = Layer.effect(
    Databases,
    Effect.gen(function*() {
      const open = <E>(layer: Layer.Layer<PgClient.PgClient, E>) =>
        Effect.gen(function*() {
          const sql = Context.get(yield* Layer.build(Layer.fresh(layer)), PgClient.PgClient)
          yield* PgMigrations.migrate(sql)
          return sql
        })
      return { pglite: yield* open(PgliteEventStore.layerClient()), postgres: yield* open(TestPostgres.layer) }
    })
  ).pipe(Layer.provideMerge(NodeServices.layer))
}

let logs = 1

/** A log that nobody has used. */
export const newLog = (kind: Kind) =>
  Effect.gen(function*() {
    const log: Archive.LogTables = { sql: (yield* Databases)[kind], schema: "eventstore", log: ++logs }
    yield* log.sql`SELECT eventstore.open_log(${log.log})`
    return log
  })

/** A directory to write archives to. */
export const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "eventstore-archive-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
)

/** All files of a directory, by name. */
export const filesOf = (path: string): Record<string, string> =>
  Object.fromEntries(readdirSync(path).sort().map((name) => [name, readFileSync(join(path, name), "base64")]))

export const eventId = (n: number): string => `00000000-0000-8000-8000-${String(n).padStart(12, "0")}`

/** A row of `events`; what is left out is made up. */
export interface Row {
  readonly position: number
  readonly stream: string
  readonly version: number
  readonly id?: string
  readonly type?: string
  readonly data?: string
  readonly metadata?: string | null
  readonly tags?: ReadonlyArray<string> | null
  readonly at?: string
}

export const insert = ({ log, sql }: Archive.LogTables, rows: ReadonlyArray<Row>) =>
  sql.withTransaction(Effect.forEach(rows, (row) =>
    sql`
      INSERT INTO eventstore.events (
        log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at
      ) VALUES (
        ${log}, ${row.position}, ${row.stream}, ${row.version}, ${row.id ?? eventId(row.position)}::uuid,
        ${row.type ?? "Noted"}, 1, ${row.data ?? `{"n":${row.position}}`}::json, ${row.metadata ?? null}::json,
        ${row.tags ?? null}::text[], ${row.at ?? "2026-01-01T00:00:00.000001Z"}::timestamptz
      )`, { discard: true }))

/** So many events at positions from 1 on, by turns of so many streams. */
export const rows = (count: number, streams = 3, category = "a"): ReadonlyArray<Row> =>
  Array.from({ length: count }, (_, i) => ({
    position: i + 1,
    stream: `${category}-${i % streams}`,
    version: Math.floor(i / streams) + 1
  }))

export interface State {
  readonly stream: string
  readonly truncatedBefore?: number
  readonly tombstoned?: boolean
  readonly metadata?: string | null
}

export const setState = ({ log, sql }: Archive.LogTables, state: State) =>
  sql`
    INSERT INTO eventstore.stream_states (log_id, stream_id, truncated_before, tombstoned, metadata)
    VALUES (${log}, ${state.stream}, ${state.truncatedBefore ?? 0}, ${state.tombstoned ?? false}, ${
    state.metadata ?? null
  }::json)`

/** All that the tables say of a log, as texts. */
export const contentOf = ({ log, sql }: Archive.LogTables) =>
  Effect.all({
    events: sql`
      SELECT position::text, stream_id, stream_version::text, event_id::text, event_type, schema_version, data::text,
        metadata::text, tags::text, recorded_at::text
      FROM eventstore.events WHERE log_id = ${log} ORDER BY position`,
    states: sql`
      SELECT stream_id, truncated_before::text, tombstoned, metadata::text
      FROM eventstore.stream_states WHERE log_id = ${log} ORDER BY stream_id`
  })

/** Positions in a log, with what stands there. */
export const placesOf = ({ log, sql }: Archive.LogTables) =>
  Effect.map(
    sql<{ place: string }>`
      SELECT position || ' ' || stream_id || '@' || stream_version AS place
      FROM eventstore.events WHERE log_id = ${log} ORDER BY position`,
    (rows) => rows.map(({ place }) => place)
  )
