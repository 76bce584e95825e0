import { Effect, Schema } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { toSql } from "../../../Postgres/SchemaName.ts"
import { StoreError } from "../../../Store/StoreError.ts"
import { ImportRefused, NotImportable } from "../../ArchiveError.ts"
import type { LogTables } from "../frame/logSql.ts"
import type { ArchivedEvent, ArchivedStream } from "./archivedEvent.ts"

/** What the database answers to an import; where it ended without an answer, running it again finds out what was stored. */
const toImportError = (error: SqlError.SqlError): ImportRefused | NotImportable | StoreError => {
  const { cause } = error.reason
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""
  const says = cause instanceof Error ? cause.message : error.message
  if (code === "42501") return noPrivilege(says)
  if (code === "25006") {
    return new ImportRefused({ problem: says, hint: "Connect to the primary: this database takes no writes." })
  }
  // data that the server cannot take: a number, a text or a nesting beyond what it knows, a row too large for an index
  if (code.startsWith("22") || code === "23514" || code === "54000" || code === "54001") {
    return new NotImportable({ row: "one of the next events or streams", problem: says })
  }
  const isLost = error.reason._tag === "ConnectionError" || error.reason._tag === "UnknownError"
  return new StoreError({
    operation: "import",
    isRetryable: error.isRetryable || isLost,
    outcome: isLost ? "unknown" : "not-stored",
    cause: error
  })
}

const noPrivilege = (problem: string) =>
  new ImportRefused({
    problem,
    hint: "An import writes to the tables themselves: connect as the role that owns them, the one that migrates."
  })

const rows = <A>(
  { sql }: LogTables,
  row: Schema.Codec<A, any>,
  text: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<A>, ImportRefused | NotImportable | StoreError> =>
  sql.unsafe(text, params).values.pipe(
    Effect.mapError(toImportError),
    // what our own statements answer has a known shape
    Effect.flatMap((values) => Effect.orDie(Schema.decodeUnknownEffect(Schema.Array(row))(values)))
  )

/** A transaction at the isolation that an append needs. The lock of the log is the first thing that it takes. */
export const locked = <A, E>(log: LogTables, effect: Effect.Effect<A, E>) =>
  log.sql.withTransaction(
    Effect.andThen(
      rows(log, Schema.Unknown, "SELECT pg_advisory_xact_lock(hashtext($1::text), $2::int4)", [log.schema, log.log]),
      // statements from here on take their snapshots after the lock
      effect
    )
  ).pipe(
    Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL READ COMMITTED"),
    Effect.mapError((error) => SqlError.isSqlError(error) ? toImportError(error) : error)
  )

/** Whether a transaction of this client is open. */
export const isInTransaction = ({ sql }: LogTables): Effect.Effect<boolean> =>
  Effect.map(Effect.serviceOption(sql.transactionService), ({ _tag }) => _tag === "Some")

const Privileges = Schema.Tuple([Schema.Boolean])

/** Makes the log, where it is not there, and refuses where the role may not write to the tables. */
export const prepare = (log: LogTables) =>
  Effect.gen(function*() {
    const schema = toSql(log.schema)
    const [row] = yield* rows(
      log,
      Privileges,
      `
      SELECT has_table_privilege($1::text || '.events', 'INSERT')
        AND has_table_privilege($1::text || '.stream_states', 'INSERT')
        AND has_table_privilege($1::text || '.stream_states', 'UPDATE')
        AND has_table_privilege($1::text || '.logs', 'UPDATE')`,
      [schema]
    )
    if (!row![0]) return yield* noPrivilege(`the role may not write to the tables of ${log.schema}`)
    yield* rows(log, Schema.Unknown, `SELECT ${schema}.open_log($1::int4)`, [log.log])
  })

const Projections = Schema.fromJsonString(
  Schema.Array(Schema.Struct({ name: Schema.String, version: Schema.Int }))
)

const LogState = Schema.Tuple([Schema.Natural, Schema.Natural, Schema.Boolean, Schema.NullOr(Projections)])

/** The log: its head and floor, whether it has no events, and the projections that appends have to apply. */
export const state = (log: LogTables) => {
  const schema = toSql(log.schema)
  return Effect.map(
    rows(
      log,
      LogState,
      `
      SELECT ${schema}.log_head($1::int4)::float8, l.floor::float8,
        NOT EXISTS (SELECT FROM ${schema}.events e WHERE e.log_id = $1::int4), l.inline::text
      FROM ${schema}.logs l WHERE l.log_id = $1::int4`,
      [log.log]
    ),
    ([row]) => ({ head: row![0], floor: row![1], isEmpty: row![2], inline: row![3] })
  )
}

/** Positions up to here were used. Never goes down. */
export const raiseFloor = (log: LogTables, floor: number) =>
  rows(
    log,
    Schema.Unknown,
    `UPDATE ${toSql(log.schema)}.logs SET floor = $2::int8 WHERE log_id = $1::int4 AND floor < $2::int8`,
    [
      log.log,
      BigInt(floor)
    ]
  )

const Known = Schema.Tuple([Schema.Int, Schema.Natural, Schema.Boolean])

/**
 * Which events the log has, by their ids: their place in the array from 1, their position, and whether all of them is the same.
 * Probes of the unique index (log_id, event_id).
 */
export const known = (log: LogTables, events: ReadonlyArray<ArchivedEvent>) =>
  Effect.map(
    rows(
      log,
      Known,
      `
      SELECT n.ordinality::int4, e.position::float8,
        e.stream_id = n.stream_id AND e.stream_version = n.stream_version AND e.event_type = n.event_type
          AND e.schema_version = n.schema_version AND e.data::text = n.data
          AND e.metadata::text IS NOT DISTINCT FROM n.metadata AND e.tags IS NOT DISTINCT FROM n.tags::text[]
          AND e.recorded_at = n.recorded_at
      FROM ${unnested} WITH ORDINALITY
        AS n(stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at, ordinality)
      CROSS JOIN LATERAL (
        SELECT o.position, o.stream_id, o.stream_version, o.event_type, o.schema_version, o.data, o.metadata, o.tags,
          o.recorded_at
        FROM ${toSql(log.schema)}.events o
        WHERE o.log_id = $1::int4 AND o.event_id = n.event_id
        LIMIT 1
      ) e
      ORDER BY n.ordinality`,
      params(log, events)
    ),
    (rows) => rows.map(([place, position, isSame]) => ({ place, position, isSame }))
  )

const unnested = `unnest(
        $2::text[], $3::text[]::int8[], $4::text[]::uuid[], $5::text[], $6::text[]::int2[], $7::text[], $8::text[], $9::text[],
        $10::text[]::timestamptz[]
      )`

const params = ({ log }: LogTables, events: ReadonlyArray<ArchivedEvent>): ReadonlyArray<unknown> => [
  log,
  events.map((event) => event.streamId),
  events.map((event) => String(event.streamVersion)),
  events.map((event) => event.eventId),
  events.map((event) => event.type),
  events.map((event) => String(event.schemaVersion)),
  events.map((event) => event.data),
  nullable(events.map((event) => event.metadata)),
  nullable(events.map(({ tags }) => tags === null ? null : arrayLiteral(tags))),
  events.map((event) => event.recordedAt)
]

/** The driver finds no type for an array of nothing but NULL. */
const nullable = (values: ReadonlyArray<string | null>) => values.every((value) => value === null) ? null : values

/** A text array as Postgres writes one: arrays of arrays need equal lengths, so tags travel as texts. */
const arrayLiteral = (texts: ReadonlyArray<string>): string =>
  `{${texts.map((text) => `"${text.replace(/["\\]/g, "\\$&")}"`).join(",")}}`

/** Positions, both inclusive. */
export interface Range {
  readonly first: number
  readonly last: number
}

const Version = Schema.Tuple([Schema.String, Schema.NullOr(Schema.Natural), Schema.Boolean])

/**
 * Versions of streams, NULL where they have no events, and whether they are tombstoned: a probe of the unique index
 * (log_id, stream_id, stream_version) and one of stream_states_pkey for each.
 */
export const versions = (log: LogTables, streams: ReadonlyArray<string>) =>
  rows(
    log,
    Version,
    `
      SELECT n.stream_id, e.stream_version::float8, COALESCE((
          SELECT s.tombstoned FROM ${toSql(log.schema)}.stream_states s
          WHERE s.log_id = $1::int4 AND s.stream_id = n.stream_id
        ), false)
      FROM unnest($2::text[]) AS n(stream_id)
      LEFT JOIN LATERAL (
        SELECT o.stream_version FROM ${toSql(log.schema)}.events o
        WHERE o.log_id = $1::int4 AND o.stream_id = n.stream_id
        ORDER BY o.stream_version DESC
        LIMIT 1
      ) e ON true`,
    [log.log, streams]
  )

/** Stores events at the positions after the head. */
export const insert = (log: LogTables, events: ReadonlyArray<ArchivedEvent>, head: number) =>
  rows(
    log,
    Schema.Unknown,
    `
      INSERT INTO ${toSql(log.schema)}.events (
        log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at
      )
      SELECT $1::int4, $11::int8 + n.ordinality, n.stream_id, n.stream_version, n.event_id, n.event_type, n.schema_version,
        n.data::json, n.metadata::json, n.tags::text[], n.recorded_at
      FROM ${unnested} WITH ORDINALITY
        AS n(stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at, ordinality)`,
    [...params(log, events), BigInt(head)]
  )

/** Hides the events below the first that a stream has. */
export const beginAt = (log: LogTables, streams: ReadonlyMap<string, number>) =>
  rows(
    log,
    Schema.Unknown,
    `
      INSERT INTO ${toSql(log.schema)}.stream_states AS st (log_id, stream_id, truncated_before)
      SELECT $1::int4, n.stream_id, n.version FROM unnest($2::text[], $3::text[]::int8[]) AS n(stream_id, version)
      ON CONFLICT ON CONSTRAINT stream_states_pkey
      DO UPDATE SET truncated_before = GREATEST(st.truncated_before, EXCLUDED.truncated_before)`,
    [log.log, [...streams.keys()], [...streams.values()].map(String)]
  )

/**
 * Sets what streams have beyond their events, and answers how many rows that changed. What was hidden stays hidden, what ended
 * stays ended; no more is hidden than there are events. Metadata that a stream has already may have been changed here since it was
 * imported: it is replaced only where the newest event of the stream stands in one of the ranges of positions that were stored
 * by this import.
 */
export const setStates = (
  log: LogTables,
  streams: ReadonlyArray<ArchivedStream>,
  stored: ReadonlyArray<Range>
) => {
  const schema = toSql(log.schema)
  return Effect.map(
    rows(
      log,
      Schema.Unknown,
      `
      INSERT INTO ${schema}.stream_states AS st (log_id, stream_id, truncated_before, tombstoned, metadata)
      SELECT $1::int4, n.stream_id, LEAST(n.truncated_before, COALESCE(v.stream_version + 1, 0)), n.tombstoned,
        CASE WHEN s.metadata IS NULL OR EXISTS (
          SELECT FROM unnest($6::text[]::int8[], $7::text[]::int8[]) AS r(first, last)
          WHERE v.position BETWEEN r.first AND r.last
        ) THEN n.metadata::json END
      FROM unnest($2::text[], $3::text[]::int8[], $4::text[]::bool[], $5::text[])
        AS n(stream_id, truncated_before, tombstoned, metadata)
      LEFT JOIN ${schema}.stream_states s ON s.log_id = $1::int4 AND s.stream_id = n.stream_id
      LEFT JOIN LATERAL (
        SELECT e.stream_version, e.position FROM ${schema}.events e
        WHERE e.log_id = $1::int4 AND e.stream_id = n.stream_id
        ORDER BY e.stream_version DESC
        LIMIT 1
      ) v ON true
      ON CONFLICT ON CONSTRAINT stream_states_pkey DO UPDATE SET
        truncated_before = GREATEST(st.truncated_before, EXCLUDED.truncated_before),
        tombstoned = st.tombstoned OR EXCLUDED.tombstoned,
        metadata = COALESCE(EXCLUDED.metadata, st.metadata)
      WHERE st.truncated_before < EXCLUDED.truncated_before OR EXCLUDED.tombstoned AND NOT st.tombstoned
        OR COALESCE(EXCLUDED.metadata, st.metadata)::text IS DISTINCT FROM st.metadata::text
      RETURNING 1`,
      [
        log.log,
        streams.map(({ streamId }) => streamId),
        streams.map(({ truncatedBefore }) => String(truncatedBefore)),
        streams.map(({ tombstoned }) => String(tombstoned)),
        nullable(streams.map(({ metadata }) => metadata)),
        stored.map(({ first }) => String(first)),
        stored.map(({ last }) => String(last))
      ]
    ),
    (changed) => changed.length
  )
}

/** Wakes whoever follows the log, when the transaction commits. */
export const notify = (log: LogTables) =>
  rows(log, Schema.Unknown, "SELECT pg_notify($1::text, '')", [`${log.schema}_${log.log}`])
