/** What a database says of itself, asked without prepared statements: a pooler may stand between. */
import { Effect } from "effect"
import { toSql } from "../../Postgres/SchemaName.ts"
import type { LogTables } from "./frame/logSql.ts"

const ask = <A extends object>({ sql }: LogTables, text: string, params: ReadonlyArray<unknown> = []) =>
  sql.unsafe<A>(text, params).unprepared

const askOne = <A extends object>(tables: LogTables, text: string, params?: ReadonlyArray<unknown>) =>
  Effect.map(ask<A>(tables, text, params), ([row]) => row!)

export interface Server {
  readonly version: string
  readonly versionNumber: number
  readonly encoding: string
  readonly isReadOnly: boolean
  readonly isStandby: boolean
  readonly role: string
}

export const selectServer = (tables: LogTables) =>
  askOne<Server>(
    tables,
    `SELECT version() AS "version", COALESCE(current_setting('server_version_num', true), '0')::int4 AS "versionNumber",
      current_setting('server_encoding') AS "encoding", current_setting('transaction_read_only') = 'on' AS "isReadOnly",
      pg_is_in_recovery() AS "isStandby", current_user::text AS "role"`
  )

/** Milliseconds since 1970 by the clock of the database. */
export const selectNow = (tables: LogTables) =>
  Effect.map(
    askOne<{ now: number }>(tables, `SELECT (date_part('epoch', clock_timestamp()) * 1000)::float8 AS "now"`),
    ({ now }) => now
  )

/** A setting as this session has it. Lengths of time are in milliseconds. */
export interface Setting {
  readonly name: string
  readonly value: string
  /** Where it was set: `default`, `configuration file`, `database`, `user`, ... */
  readonly source: string
}

export const selectSettings = (tables: LogTables, names: ReadonlyArray<string>) =>
  ask<Setting>(
    tables,
    `SELECT name::text AS "name", setting::text AS "value", source::text AS "source" FROM pg_settings
    WHERE name = ANY ($1::text[])`,
    [names]
  )

export interface Role {
  readonly isSuperuser: boolean
  /** Whether it may change the tables: migrate, and import. */
  readonly isOwner: boolean
  readonly mayUse: boolean
  readonly mayCreateSchemas: boolean
  readonly tablesNotRead: ReadonlyArray<string>
  readonly functionsNotRun: ReadonlyArray<string>
}

/** What this role may do in the schema of the log, these functions among it; `undefined` where there is no schema. */
export const selectRole = (tables: LogTables, functions: ReadonlyArray<string>) =>
  Effect.map(
    ask<Role>(
      tables,
      `SELECT
      COALESCE((SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user), false) AS "isSuperuser",
      pg_has_role(n.nspowner, 'USAGE') AS "isOwner",
      has_schema_privilege(n.oid, 'USAGE') AS "mayUse",
      has_database_privilege(current_database(), 'CREATE') AS "mayCreateSchemas",
      ARRAY(
        SELECT c.relname::text FROM pg_class c
        WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'v') AND NOT has_table_privilege(c.oid, 'SELECT')
        ORDER BY 1
      ) AS "tablesNotRead",
      ARRAY(
        SELECT DISTINCT p.proname::text FROM pg_proc p
        WHERE p.pronamespace = n.oid AND p.proname = ANY ($2::text[]) AND NOT has_function_privilege(p.oid, 'EXECUTE')
        ORDER BY 1
      ) AS "functionsNotRun"
    FROM pg_namespace n WHERE n.nspname = $1::text`,
      [tables.schema, functions]
    ),
    ([row]) => row
  )

export interface Connections {
  readonly used: number
  /** Those that an ordinary role can have. */
  readonly most: number
}

export const selectConnections = (tables: LogTables) =>
  askOne<Connections>(
    tables,
    `SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int4 AS "used",
      (current_setting('max_connections')::int4 - current_setting('superuser_reserved_connections')::int4
        - COALESCE(current_setting('reserved_connections', true), '0')::int4) AS "most"`
  )

/** A transaction that was prepared for a commit in two phases, and waits. */
export interface Prepared {
  readonly name: string
  readonly seconds: number
}

export const selectPrepared = (tables: LogTables) =>
  ask<Prepared>(
    tables,
    `SELECT gid::text AS "name", date_part('epoch', clock_timestamp() - prepared)::float8 AS "seconds"
    FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared`
  )

/** A session whose transaction is open for long, or holds the lock that appends to the log wait for. */
export interface OpenTransaction {
  readonly pid: number
  readonly application: string
  readonly role: string
  readonly state: string
  readonly seconds: number
  readonly holdsLog: boolean
}

/** Transactions that are open for longer than some seconds, and those that hold the lock of the log for longer than others. */
export const selectTransactions = (
  tables: LogTables,
  longer: { readonly open: number; readonly holding: number }
) =>
  ask<OpenTransaction>(
    tables,
    `SELECT a.pid::int4 AS "pid", COALESCE(a.application_name, '')::text AS "application", COALESCE(a.usename, '')::text AS "role",
      COALESCE(a.state, '')::text AS "state", date_part('epoch', clock_timestamp() - a.xact_start)::float8 AS "seconds",
      l.holds AS "holdsLog"
    FROM pg_stat_activity a
    CROSS JOIN LATERAL (
      SELECT EXISTS (
        SELECT FROM pg_locks l
        WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
          AND l.classid::int8 = (hashtext($1::text)::int8 & 4294967295) AND l.objid::int8 = $2::int8
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      ) AS holds
    ) l
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
      AND clock_timestamp() - a.xact_start > make_interval(secs => CASE WHEN l.holds THEN $4::float8 ELSE $3::float8 END)
    ORDER BY a.xact_start`,
    [tables.schema, BigInt(tables.log), longer.open, longer.holding]
  )

/** How many transactions ago the oldest row of the database was written that is not frozen: at two thousand million it stops. */
export const selectAge = (tables: LogTables) =>
  Effect.map(
    askOne<{ age: number }>(
      tables,
      `SELECT age(datfrozenxid)::float8 AS "age" FROM pg_database WHERE datname = current_database()`
    ),
    ({ age }) => age
  )

/** What the log takes on disk, with its indexes, and the whole database. */
export const selectSize = (tables: LogTables) =>
  askOne<{ readonly events: number; readonly database: number }>(
    tables,
    `SELECT COALESCE(pg_total_relation_size(to_regclass($1::text)), 0)::float8 AS "events",
      pg_database_size(current_database())::float8 AS "database"`,
    [`${toSql(tables.schema)}.events`]
  )

/** Whether the connection is encrypted; `undefined` where the server does not say. */
export const selectEncryption = (tables: LogTables) =>
  Effect.map(
    ask<{ ssl: boolean; isLocal: boolean }>(
      tables,
      `SELECT s.ssl AS "ssl", COALESCE(inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1', true) AS "isLocal"
      FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()`
    ),
    ([row]) => row
  )
