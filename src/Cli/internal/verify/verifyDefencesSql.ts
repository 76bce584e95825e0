/** The catalogs of the database, as far as they say what protects the log. */
import { Effect } from "effect"
import * as PgMigrations from "../../../Postgres/PgMigrations.ts"
import type { StoreError } from "../../../Store/StoreError.ts"
import type { LogTables } from "../frame/logSql.ts"
import { query } from "./verifySql.ts"

/** What protects a log, by table and name. */
export interface Defences {
  readonly migrations: { readonly newest: number }
  /** `origin` where triggers fire. */
  readonly replicationRole: string
  /** Appends that are staged, and visible from outside: their transactions are over. */
  readonly staged: number
  readonly constraints: ReadonlyMap<string, { readonly definition: string; readonly isValid: boolean }>
  readonly triggers: ReadonlyMap<string, {
    readonly enabled: string
    readonly type: number
    readonly calls: string
    readonly isDeferred: boolean
    readonly isConditional: boolean
  }>
  /** Bodies of functions; several of one name where it is overloaded. */
  readonly functions: ReadonlyMap<string, ReadonlyArray<string>>
}

export const selectDefences = (tables: LogTables): Effect.Effect<Defences, StoreError> =>
  Effect.gen(function*() {
    const { log, schema } = tables
    const [state] = yield* query(
      tables,
      `
      SELECT current_setting('session_replication_role'),
        (SELECT count(*) FROM {tables}.staged_appends s WHERE s.log_id = $1::int4)::float8,
        COALESCE((SELECT max(m.migration_id) FROM {tables}.migrations m), 0)::int4`,
      [log]
    )
    const constraints = yield* query(
      tables,
      `
      SELECT c.relname::text || '.' || k.conname::text, pg_get_constraintdef(k.oid),
        COALESCE((SELECT i.indisvalid AND i.indisready FROM pg_index i WHERE i.indexrelid = k.conindid), true)
      FROM pg_constraint k
      JOIN pg_class c ON c.oid = k.conrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1::text AND k.contype IN ('p', 'u', 'c')`,
      [schema]
    )
    const triggers = yield* query(
      tables,
      `
      SELECT c.relname::text || '.' || g.tgname::text, g.tgenabled::text, g.tgtype::int4, p.proname::text,
        g.tgdeferrable AND g.tginitdeferred, g.tgqual IS NOT NULL
      FROM pg_trigger g
      JOIN pg_class c ON c.oid = g.tgrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_proc p ON p.oid = g.tgfoid
      WHERE n.nspname = $1::text AND NOT g.tgisinternal`,
      [schema]
    )
    const functions = yield* query(
      tables,
      `
      SELECT p.proname::text, array_agg(p.prosrc)::text[]
      FROM pg_proc p
      JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = $1::text
      GROUP BY p.proname`,
      [schema]
    )
    return {
      replicationRole: state![0],
      staged: state![1],
      migrations: { newest: state![2] },
      constraints: new Map(constraints.map(([name, definition, isValid]) => [name, { definition, isValid }])),
      triggers: new Map(
        triggers.map(([name, enabled, type, calls, isDeferred, isConditional]) => [
          name,
          { enabled, type, calls, isDeferred, isConditional }
        ])
      ),
      functions: new Map(functions.map(([name, sources]) => [name, sources]))
    }
  })

const functionPattern = /^CREATE (?:OR REPLACE )?FUNCTION (\w+)\([\s\S]*?\$\$([\s\S]*)\$\$\s*$/

/** The functions that the migrations of this program make; of one that is made anew the last. */
export const shippedFunctions = (): { readonly latest: number; readonly sources: ReadonlyMap<string, string> } => ({
  latest: PgMigrations.latest,
  sources: new Map(
    PgMigrations.statements().flatMap((statement) => {
      const match = functionPattern.exec(statement)
      return match === null ? [] : [[match[1]!, match[2]!] as const]
    })
  )
})
