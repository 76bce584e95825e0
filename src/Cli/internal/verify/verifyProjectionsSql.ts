/** What explains that a projection is not what a fresh one would be. */
import { Effect } from "effect"
import type { StoreError } from "../../../Store/StoreError.ts"
import type { LogTables } from "../frame/logSql.ts"
import { query } from "./verifySql.ts"

/** Which of some keys are parked for a version: probes of parked_keys_pkey. */
export const selectParkedKeys = (
  tables: LogTables,
  name: string,
  version: number,
  keys: ReadonlyArray<string>
): Effect.Effect<ReadonlySet<string>, StoreError> =>
  keys.length === 0 ? Effect.succeed(new Set()) : Effect.map(
    query(
      tables,
      `
      SELECT k.order_key::text
      FROM {tables}.parked_keys k
      JOIN {tables}.projection_versions v ON v.version_id = k.version_id
      WHERE v.log_id = $1::int4 AND v.name = $2::text AND v.version = $3::int4 AND k.order_key = ANY ($4::text[])`,
      [tables.log, name, version, keys]
    ),
    (rows) => new Set(rows.map(([key]) => key))
  )

/** Some of the keys that are parked for a version: a range of parked_keys_pkey. */
export const someParkedKeys = (
  tables: LogTables,
  name: string,
  version: number
): Effect.Effect<ReadonlyArray<string>, StoreError> =>
  Effect.map(
    query(
      tables,
      `
      SELECT k.order_key::text
      FROM {tables}.parked_keys k
      JOIN {tables}.projection_versions v ON v.version_id = k.version_id
      WHERE v.log_id = $1::int4 AND v.name = $2::text AND v.version = $3::int4
      ORDER BY k.order_key
      LIMIT 5`,
      [tables.log, name, version]
    ),
    (rows) => rows.map(([key]) => key)
  )

/** Whether anything of the log is hidden: a probe of stream_states_hidden_idx. */
export const hasHidden = (tables: LogTables): Effect.Effect<boolean, StoreError> =>
  Effect.map(
    query(
      tables,
      `
      SELECT EXISTS (
        SELECT FROM {tables}.stream_states s WHERE s.log_id = $1::int4 AND (s.tombstoned OR s.truncated_before > 1)
      )`,
      [tables.log]
    ),
    ([row]) => row![0]
  )
