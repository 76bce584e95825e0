import { Effect } from "effect"
import { toSql } from "../../Postgres/SchemaName.ts"
import type { LogTables } from "./frame/logSql.ts"

/** Whether any log of a schema has an event. */
export const hasEvents = ({ schema, sql }: LogTables) =>
  Effect.map(
    sql.unsafe<{ found: boolean }>(`SELECT EXISTS (SELECT FROM ${toSql(schema)}.events) AS found`),
    ([row]) => row!.found
  )

/** Whether the database has a role. */
export const hasRole = ({ sql }: LogTables, role: string) =>
  Effect.map(sql`SELECT FROM pg_roles WHERE rolname = ${role}`, (rows) => rows.length > 0)

/** Runs the statements of `PgMigrations.grants`: all, or none. */
export const grantAll = ({ sql }: LogTables, statements: string) =>
  sql.withTransaction(
    Effect.forEach(
      statements.split(";\n").filter((statement) => statement.trim() !== ""),
      (statement) => sql.unsafe(statement),
      { discard: true }
    )
  )
