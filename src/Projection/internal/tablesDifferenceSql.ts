import { Cause, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { StoreError } from "../../Store/StoreError.ts"
import type { DifferencePart, DifferenceRows } from "../Rehearsal.ts"
import type { Comparison } from "./difference.ts"
import { failureOf, passingOf } from "./failure.ts"

interface Column {
  readonly name: string
  readonly type: string
  /** Whether values of the type can be told apart by the database, and not only as texts. */
  readonly isComparable: boolean
  /** What it is shown as where its numbers may be longer than those that a program reads from JSON. */
  readonly shownAs: "text" | "text[]" | null
}

type Tables = ReadonlyMap<string, ReadonlyArray<Column>>

/** Compares the tables of two schemas in the database, on the columns that they share by name. */
export const tablesDifference = (
  { ignore, limit, live, scratch }: Comparison
): Effect.Effect<ReadonlyArray<DifferencePart>, StoreError, any> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [liveSchema, freshSchema] = [live.schema!, scratch.definition.schema!]
    const [liveTables, freshTables] = [yield* tablesOf(sql, liveSchema), yield* tablesOf(sql, freshSchema)]
    const names = [...new Set([...liveTables.keys(), ...freshTables.keys()])].sort()
    const parts: Array<DifferencePart> = []
    for (const name of names) {
      const [before, after] = [liveTables.get(name), freshTables.get(name)]
      const isIgnored = ({ name: column }: Column) => ignore.includes(column) || ignore.includes(`${name}.${column}`)
      const ignored = [...new Set([...before ?? [], ...after ?? []].filter(isIgnored).map(({ name }) => name))]
      const [left, right] = [before, after].map((columns) => columns?.filter((column) => !isIgnored(column)) ?? [])
      const shared = left!.flatMap((column) => {
        const other = right!.find(({ name }) => name === column.name)
        return other === undefined ? [] : [{ ...column, isText: other.type !== column.type || !column.isComparable }]
      })
      const isBoth = before !== undefined && after !== undefined
      const without = (columns: ReadonlyArray<Column>) =>
        isBoth ? columns.flatMap(({ name }) => shared.some((column) => column.name === name) ? [] : [name]) : []
      const [liveTable, freshTable] = [tableIn(liveSchema, name), tableIn(freshSchema, name)]
      const isCompared = isBoth && shared.length > 0
      parts.push({
        name,
        live: before === undefined ? null : yield* countOf(sql, liveTable),
        fresh: after === undefined ? null : yield* countOf(sql, freshTable),
        columns: { onlyLive: without(left!), onlyFresh: without(right!), ignored: ignored.sort() },
        onlyLive: isCompared ? yield* exceptOf(sql, shared, liveTable, freshTable, limit) : noRows,
        onlyFresh: isCompared ? yield* exceptOf(sql, shared, freshTable, liveTable, limit) : noRows,
        changed: noRows
      })
    }
    return parts
  }).pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterrupts(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : Effect.fail(passingOf(cause) ?? refused(failureOf(cause)))
    )
  )

const refused = (cause: unknown) =>
  new StoreError({ operation: "difference", isRetryable: false, outcome: "not-stored", cause })

const noRows: DifferenceRows = { count: 0, rows: [] }

/**
 * The tables of a schema with their columns. Some types have no equality (`json`, `xml`, shapes): of a type, or what an array or
 * a domain is made of, an operator class tells.
 */
const tablesOf = (sql: SqlClient.SqlClient, schema: string): Effect.Effect<Tables, unknown> =>
  Effect.map(
    sql.unsafe(
      `
      SELECT
        c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
        b.typtype IN ('e', 'r', 'm') OR EXISTS (
          SELECT FROM pg_opclass o
          JOIN pg_am m ON m.oid = o.opcmethod
          WHERE m.amname IN ('btree', 'hash') AND o.opcdefault AND o.opcintype = b.oid
        ) OR b.typname IN ('varchar', 'cidr'),
        CASE WHEN b.typcategory = 'N' AND b.typname NOT IN ('int2', 'int4', 'float4', 'float8') THEN
          CASE WHEN d.typcategory = 'A' THEN 'text[]' ELSE 'text' END
        END
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_type d ON d.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
      LEFT JOIN pg_type b ON b.oid = CASE WHEN d.typcategory = 'A' AND d.typelem <> 0 THEN d.typelem ELSE d.oid END
      WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      ORDER BY c.relname, a.attnum`,
      [schema]
    ).values,
    (rows) => {
      const tables = new Map<string, Array<Column>>()
      for (
        const [table, name, type, isComparable, shownAs] of rows as ReadonlyArray<
          [string, string | null, string, boolean, Column["shownAs"]]
        >
      ) {
        const columns = tables.get(table) ?? []
        tables.set(table, columns)
        if (name !== null) columns.push({ name, type, isComparable, shownAs })
      }
      return tables
    }
  )

/** Names are those of the database: nothing transforms them as it does those of the application. */
const quoted = (name: string): string => `"${name.replaceAll("\"", "\"\"")}"`

const tableIn = (schema: string, table: string): string => `${quoted(schema)}.${quoted(table)}`

const countOf = (sql: SqlClient.SqlClient, table: string): Effect.Effect<number, unknown> =>
  Effect.map(sql.unsafe(`SELECT count(*)::float8 FROM ${table}`).values, ([row]) => row![0] as number)

/** The rows that a table has more often than another one: how many, and the first of them by what they read like. */
const exceptOf = (
  sql: SqlClient.SqlClient,
  columns: ReadonlyArray<Column & { readonly isText: boolean }>,
  table: string,
  other: string,
  limit: number
): Effect.Effect<DifferenceRows, unknown> => {
  const selected = columns.map(({ isText, name }) => isText ? `${quoted(name)}::text` : quoted(name)).join(", ")
  const shown = columns.map(({ isText, name, shownAs }) =>
    isText || shownAs === null ? `d.${quoted(name)}` : `d.${quoted(name)}::${shownAs} AS ${quoted(name)}`
  ).join(", ")
  return Effect.map(
    sql.unsafe(
      `
      WITH d AS MATERIALIZED (
        SELECT ${selected} FROM ${table}
        EXCEPT ALL
        SELECT ${selected} FROM ${other}
      )
      SELECT
        (SELECT count(*) FROM d)::float8,
        (
          -- with the asterisk a row, whatever its columns are called
          SELECT COALESCE(json_agg(row_to_json(o.*)), '[]')
          FROM (SELECT ${shown} FROM d ORDER BY (d.*)::text COLLATE "C" LIMIT $1::int8) o
        )::text`,
      [BigInt(limit)]
    ).values,
    ([row]) => ({ count: row![0] as number, rows: JSON.parse(row![1] as string) })
  )
}
