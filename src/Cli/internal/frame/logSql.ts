import { Context } from "effect"
import { SqlClient as Client } from "effect/sql"

export const SqlClient = Client.SqlClient

export type SqlClient = Client.SqlClient

/** Where the tables of a log are. `schema` is the plain name of the database schema. */
export interface LogTables {
  readonly sql: SqlClient
  readonly schema: string
  readonly log: number
}

/** The log that a command works on. `name` says for people where it is, without a password. */
export class OpenLog extends Context.Service<
  OpenLog,
  LogTables & { readonly name: string; readonly kind: "postgres" | "pglite" }
>()("effect-eventstore/Cli/OpenLog") {}
