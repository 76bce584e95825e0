import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import type * as Archive from "effect-eventstore/Cli/Archive"
import * as ExportSql from "../../src/Cli/internal/archive/exportSql.ts"
import * as ImportSql from "../../src/Cli/internal/archive/importSql.ts"
import { Databases, newLog } from "../support/archives.ts"

/** The plan of a statement, in place of its answer. */
const planOf = (
  log: Archive.LogTables,
  statement: (log: Archive.LogTables) => Effect.Effect<unknown, unknown>
): Effect.Effect<string, unknown> =>
  Effect.gen(function*() {
    let asked: { readonly text: string; readonly params: ReadonlyArray<unknown> } | undefined
    const sql = {
      unsafe: (text: string, params: ReadonlyArray<unknown>) => {
        asked = { text, params }
        return { values: Effect.fail("asked"), valuesUnprepared: Effect.fail("asked") }
      }
    } as unknown as Archive.LogTables["sql"]
    // what fails here is no error of a database
    yield* Effect.result(Effect.catchDefect(statement({ ...log, sql }), () => Effect.void))
    const lines = yield* log.sql.unsafe(`EXPLAIN ${asked!.text}`, asked!.params).valuesUnprepared
    return lines.join("\n")
  })

layer(Databases.layer, { excludeTestServices: true, timeout: "1 minute" })(
  "Statements of exports and imports",
  (it) => {
    it.effect("find rows by their keys, in tables without statistics and with them", () =>
      Effect.gen(function*() {
        const log = yield* newLog("postgres")
        yield* log.sql`
        INSERT INTO eventstore.events (
          log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, recorded_at
        )
        SELECT ${log.log}, n, 'a-' || n / 10, n % 10 + 1, gen_random_uuid(), 'Noted', 1, '{}', now()
        FROM generate_series(1, 30000) n`
        yield* log.sql`
        INSERT INTO eventstore.stream_states (log_id, stream_id, truncated_before)
        SELECT ${log.log}, 'a-' || n, 2 FROM generate_series(1, 3000) n`
        const span = { first: 20_001, last: 21_000, categories: null }
        const event = {
          position: 1,
          streamId: "a-1",
          streamVersion: 1,
          eventId: "00000000-0000-8000-8000-000000000001",
          type: "Noted",
          schemaVersion: 1,
          data: "{}",
          metadata: null,
          tags: null,
          recordedAt: "2026-01-01T00:00:00.000000Z"
        }
        const statements: ReadonlyArray<
          readonly [index: string, statement: (log: Archive.LogTables) => Effect.Effect<unknown, unknown>]
        > = [
          ["events_pkey", (log) => ExportSql.page(log, span)],
          ["events_pkey", (log) => ExportSql.page(log, { ...span, categories: ["a"] })],
          ["stream_states_hidden_idx", (log) => ExportSql.hidden(log, "a-2")],
          ["events_stream_version_key", (log) => ExportSql.states(log, "a-2", { ...span, isPart: false })],
          ["stream_states_pkey", (log) => ExportSql.states(log, "a-2", { ...span, isPart: false })],
          ["events_event_id_key", (log) => ImportSql.known(log, [event])],
          ["events_stream_version_key", (log) => ImportSql.versions(log, ["a-1"])]
        ]
        for (const analyze of [false, true]) {
          if (analyze) yield* log.sql`ANALYZE eventstore.events, eventstore.stream_states`
          for (const [index, statement] of statements) {
            const plan = yield* planOf(log, statement)
            assert.include(plan, index, plan)
            assert.notMatch(plan, /Seq Scan on events/, plan)
          }
        }
      }))
  }
)
