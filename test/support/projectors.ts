/** Processes that run the journal, and what they note beside their transactions. */
import type { PgClient } from "@effect/sql-pg"
import { Effect, type Scope } from "effect"
import * as Child from "./child.ts"
import { patiently } from "./storm.ts"

/** How a process runs the journal. */
export interface ProjectorOptions {
  readonly version?: number
  readonly partitions?: number
  readonly lease?: number
  readonly batch?: number
  /** Milliseconds that a slow event takes. */
  readonly slow?: number
}

/** Starts a process that runs the journal. */
export const startProjector = (
  url: string,
  options: ProjectorOptions
): Effect.Effect<Child.Child, never, Scope.Scope> => Child.start("projector.ts", url, JSON.stringify(options))

/** What is noted of events, beside the transactions in which they are handled. */
export const noteTables = [
  "CREATE SCHEMA notes",
  "CREATE TABLE notes.begun (position int8 PRIMARY KEY)",
  "CREATE TABLE notes.mended (at timestamptz NOT NULL)"
]

/** Whether an event is handled for the first time. */
export const isFirst = (sql: PgClient.PgClient, position: number) =>
  Effect.map(
    sql`INSERT INTO notes.begun VALUES (${position}::int8) ON CONFLICT DO NOTHING RETURNING position`,
    (rows) => rows.length === 1
  ).pipe(patiently)

/** Whether what failed until now does so no more. */
export const isMended = (sql: PgClient.PgClient) =>
  Effect.map(sql`SELECT at FROM notes.mended`, (rows) => rows.length > 0).pipe(patiently)

export const mend = (sql: PgClient.PgClient) => sql`INSERT INTO notes.mended VALUES (clock_timestamp())`.pipe(patiently)
