import { Duration } from "effect"
import type {
  Advance,
  OwnedPartition,
  PartitionClaim,
  PartitionsClaimed,
  PartitionState,
  ProjectionDefinition,
  ProjectionState
} from "../ProjectionStorage.ts"
import type { Statement, Values } from "./eventsSql.ts"
import { interval, nullable, text, time, timeOr } from "./sqlParams.ts"

export const registerProjection = (
  schema: string,
  log: number,
  { filter, isInline, kind, name, rehearsal, schema: tables, version }: ProjectionDefinition,
  partitions: number,
  start: { readonly position: number; readonly eventId: string | null }
): Statement => ({
  text: `
      SELECT ${schema}.register_projection(
        $1::int4, $2::text, $3::int4, $4::json, $5::text, $6::bool, $7::text, $8::int4, $9::int8, $10::uuid
      )`,
  params: [
    log,
    name,
    version,
    // beside what is filtered by, since that is the column for what a version is made of
    JSON.stringify(rehearsal === undefined ? filter : { ...filter, rehearsal }),
    kind,
    isInline,
    tables,
    partitions,
    BigInt(start.position),
    start.eventId
  ]
})

/**
 * What versions are, all of them or those of a name: a range of projection_versions_version_key, and of each the ranges of
 * projection_partitions_pkey, parked_keys_pkey and parked_events_pkey, to be counted.
 */
export const projectionStates = (
  schema: string,
  log: number,
  name: string | null,
  now: number | undefined
): Statement => ({
  text: `
      SELECT
        v.version_id, v.name::text, v.version, v.filter::text, v.kind, v.is_inline, v.schema_name::text,
        n.live_id = v.version_id, v.is_set_up, v.stage, v.status, v.activation IS NOT NULL, v.repartition_to,
        f.error, f.position::float8, p.partitions::text, k.keys::float8, e.events::float8, v.start_position::float8
      FROM ${schema}.projection_versions v
      JOIN ${schema}.projections n ON n.log_id = v.log_id AND n.name = v.name
      LEFT JOIN ${schema}.projection_failures f ON f.version_id = v.version_id
      LEFT JOIN LATERAL (
        SELECT h.position, h.event_id FROM ${schema}.events h
        WHERE h.log_id = $1::int4 AND v.activation IS NOT NULL
        ORDER BY h.position DESC
        LIMIT 1
      ) h ON true
      CROSS JOIN LATERAL (
        SELECT json_agg(
          json_build_array(
            o.partition, GREATEST(h.position, o.position),
            CASE WHEN h.position >= o.position THEN h.event_id ELSE o.event_id END, o.epoch,
            CASE WHEN o.lease_until > ${timeOr(3)} THEN o.owner END, o.is_caught_up, o.handled, o.rate
          ) ORDER BY o.partition
        ) AS partitions
        FROM ${schema}.projection_partitions o WHERE o.version_id = v.version_id
      ) p
      CROSS JOIN LATERAL (
        SELECT count(*) AS keys FROM ${schema}.parked_keys o WHERE o.version_id = v.version_id
      ) k
      CROSS JOIN LATERAL (
        SELECT count(*) AS events FROM ${schema}.parked_events o WHERE o.version_id = v.version_id
      ) e
      WHERE v.log_id = $1::int4 AND ($2::text IS NULL OR v.name = $2::text)
      ORDER BY v.name, v.version`,
  params: [log, name, now ?? null]
})

/** A row of {@link projectionStates}. */
export const toProjectionState = (row: Values): ProjectionState => ({
  id: row[0],
  name: row[1],
  version: row[2],
  ...toMadeOf(row[3]),
  kind: row[4],
  isInline: row[5],
  schema: row[6],
  isLive: row[7],
  isSetUp: row[8],
  stage: row[9],
  status: row[10],
  isApplied: row[11],
  repartitionTo: row[12],
  error: row[13],
  errorPosition: row[14],
  partitions: JSON.parse(row[15]).map(toPartitionState),
  parkedKeys: row[16],
  parkedEvents: row[17],
  startPosition: row[18]
})

const toMadeOf = (text: string): Pick<ProjectionDefinition, "filter" | "rehearsal"> => {
  const { rehearsal, ...filter } = JSON.parse(text)
  return rehearsal === undefined ? { filter } : { filter, rehearsal }
}

const toPartitionState = (row: Values): PartitionState => ({
  partition: row[0],
  position: row[1],
  eventId: row[2],
  epoch: row[3],
  owner: row[4],
  isCaughtUp: row[5],
  handled: row[6],
  rate: row[7]
})

/** Version and position of what is live: it is asked for all the time. Probes of three primary keys. */
export const projectionProgress = (schema: string, log: number, name: string): Statement => ({
  text: `
      SELECT
        v.version,
        CASE
          WHEN v.activation IS NOT NULL THEN ${schema}.log_head(v.log_id)
          ELSE (SELECT min(p.position) FROM ${schema}.projection_partitions p WHERE p.version_id = v.version_id)
        END::float8
      FROM ${schema}.projections n
      JOIN ${schema}.projection_versions v ON v.version_id = n.live_id
      WHERE n.log_id = $1::int4 AND n.name = $2::text`,
  params: [log, name]
})

/** One claim; its rows are read by {@link toPartitionsClaimed}. */
export const claimPartitions = (schema: string, { id, lease, now, runner }: PartitionClaim): Statement => ({
  text: `
      SELECT
        c.partition, c.epoch::float8, c.position::float8, c.event_id::text, c.is_caught_up, c.handled::float8,
        c.partitions, c.surplus, c.status, c.stage, c.is_set_up, c.is_live, c.is_applied, c.is_switch_wanted,
        c.stop_at::float8, c.parked_keys, c.replays, c.next_in::float8
      FROM ${schema}.claim_partitions($1::int4, $2::text, $3::text::interval, ${time(4)}) c`,
  params: [id, runner, interval(lease), now ?? null]
})

/** The rows of {@link claimPartitions}: the version itself, then what the runner owns. No row: it was dropped. */
export const toPartitionsClaimed = (
  [version, ...rows]: ReadonlyArray<Values>
): PartitionsClaimed | undefined =>
  version === undefined ? undefined : {
    partitions: rows.map((row): OwnedPartition => ({
      partition: row[0],
      of: version[6],
      epoch: row[1],
      position: row[2],
      eventId: row[3],
      isCaughtUp: row[4],
      handled: row[5]
    })),
    surplus: version[7],
    status: version[8],
    stage: version[9],
    isSetUp: version[10],
    isLive: version[11],
    isApplied: version[12],
    isSwitchWanted: version[13],
    stopAt: version[14],
    parkedKeys: version[15],
    replays: version[16],
    nextIn: version[17] ?? undefined
  }

export const releasePartitions = (
  schema: string,
  id: number,
  runner: string,
  partitions: ReadonlyArray<number> | undefined
): Statement => ({
  text: `
      SELECT ${schema}.release_partitions($1::int4, $2::text, $3::text[]::int4[])`,
  params: [id, runner, partitions === undefined ? null : partitions.map(String)]
})

/**
 * Begins the transaction of an advance: whether it seems to be allowed, by primary keys. Takes no lock: it would be held for as
 * long as the effect takes, and keep others from taking over; what counts is {@link advancePartition}. From here on the
 * database ends the transaction where its process stands still for the length of the lease, and so unlocks what it wrote.
 */
export const beginAdvance = (
  schema: string,
  { epoch, from, id, lease, now, partition, to }: Advance
): Statement => ({
  text: `
      SELECT
        EXISTS (
          SELECT FROM ${schema}.projection_partitions p
          JOIN ${schema}.projection_versions v ON v.version_id = p.version_id
          WHERE p.version_id = $1::int4 AND p.partition = $2::int4 AND p.epoch = $3::int8 AND p.position = $4::int8
            AND v.status = 'running' AND v.activation IS NULL AND (v.stop_at IS NULL OR v.stop_at >= $5::int8)
        )${now === undefined ? `, ${standStill(6)}` : ""}`,
  params: [
    id,
    partition,
    BigInt(epoch),
    BigInt(from),
    BigInt(to),
    // a lease by another clock is no time that the database could measure
    ...(now === undefined ? [standStillMillis(lease)] : [])
  ]
})

/**
 * How long a transaction may stand still from now on: a parameter in milliseconds, or less where somebody set less. A plain
 * statement, as a function with settings of its own would take it back.
 */
const standStill = (parameter: number): string =>
  `set_config(
          '${standStillSetting}',
          CASE
            WHEN current_setting('${standStillSetting}')::interval
              BETWEEN '1 millisecond' AND ($${parameter}::text || ' milliseconds')::interval
            THEN current_setting('${standStillSetting}')
            ELSE $${parameter}::text
          END,
          true
        )`

const standStillSetting = "idle_in_transaction_session_timeout"

const standStillMillis = (duration: Duration.Duration): string =>
  String(Math.min(Math.max(Math.ceil(Duration.toMillis(duration)), 1), 0x7fffffff))

/**
 * Moves a checkpoint, and sets aside what belongs to it. Answers whether it was allowed. With `isBulk` COMMIT does not wait
 * for the disk, unless it stores events: a position that a reader has seen must not be used again after a crash.
 */
export const advancePartition = (schema: string, advance: Advance): Statement => {
  const { epoch, eventId, from, handled, id, isBulk, isCaughtUp, lease, now, park, partition, rate, to, unpark } =
    advance
  const isParking = park !== undefined && park.length > 0
  return {
    text: `
      SELECT ${schema}.advance_partition(
        $1::int4, $2::int4, $3::int8, $4::int8, $5::int8, $6::uuid, $7::int8, $8::float8, $9::bool, $10::text::interval,
        ${time(11)}, $12::text[], $13::text[]::int8[], $14::text[]::int4[], $15::text[], $16::text, $17::text[]::int8[]
      )${isBulk === true ? `, ${commitSooner(schema)}` : ""}`,
    params: [
      id,
      partition,
      BigInt(epoch),
      BigInt(from),
      BigInt(to),
      eventId,
      BigInt(handled),
      // what divides by no time is no number that JSON knows
      Number.isFinite(rate) ? rate : 0,
      isCaughtUp,
      interval(lease),
      now ?? null,
      isParking ? park.map(({ key }) => text(key)) : null,
      isParking ? park.map(({ position }) => String(position)) : null,
      isParking ? park.map(({ attempts }) => String(attempts)) : null,
      isParking ? nullable(park.map(({ error }) => error === null ? null : text(error))) : null,
      unpark === undefined ? null : text(unpark.key),
      unpark === undefined ? null : unpark.positions.map(String)
    ]
  }
}

const commitSooner = (schema: string): string =>
  `CASE
        WHEN NOT EXISTS (SELECT FROM ${schema}.staged_appends) THEN set_config('synchronous_commit', 'off', true)
      END`

export const reportFailure = (
  schema: string,
  { epoch, id, partition }: Pick<Advance, "id" | "partition" | "epoch">,
  failure: { readonly error: string; readonly position: number | null; readonly isFatal: boolean }
): Statement => ({
  text: `
      SELECT ${schema}.report_failure($1::int4, $2::int4, $3::int8, $4::text, $5::int8, $6::bool)`,
  params: [
    id,
    partition,
    BigInt(epoch),
    text(failure.error),
    failure.position === null ? null : BigInt(failure.position),
    failure.isFatal
  ]
})

/** The answer is 'open', 'done', 'unknown' or 'taken'. */
export const beginSetUp = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.begin_set_up($1::int4), ${standStill(2)}`,
  params: [id, standStillMillis(patience)]
})

/** How long a process may stand still while others wait for it to set up or to complete a version. */
const patience = Duration.minutes(1)

/** The same while nothing can be stored. */
const shortPatience = Duration.seconds(10)

export const finishSetUp = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.finish_set_up($1::int4)`,
  params: [id]
})

/** A verdict: 'done', 'early', 'open'. */
export const beginIndexing = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.begin_indexing($1::int4), ${standStill(2)}`,
  params: [id, standStillMillis(patience)]
})

export const finishIndexing = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.finish_indexing($1::int4)`,
  params: [id]
})

/** A verdict ('done', 'early', 'open', 'inline'), and for an inline version where it is and what it filters by. */
export const beginCompletion = (schema: string, id: number, isSwitching: boolean): Statement => ({
  text: `
      SELECT
        c.verdict, c.log_position::float8, c.filter::text,
        CASE WHEN c.verdict = 'inline' THEN ${standStill(3)} ELSE ${standStill(4)} END
      FROM ${schema}.begin_completion($1::int4, $2::bool) c`,
  params: [id, isSwitching, standStillMillis(shortPatience), standStillMillis(patience)]
})

export const finishCompletion = (schema: string, id: number, isSwitching: boolean, handled: number): Statement => ({
  text: `
      SELECT ${schema}.finish_completion($1::int4, $2::bool, $3::int8)`,
  params: [id, isSwitching, BigInt(handled)]
})

/** Answers "paused", `null` where there is no such version, "live" where it must not be dropped. */
export const pauseProjection = (schema: string, id: number, heldFor: "reset" | "drop" | null): Statement => ({
  text: `
      SELECT ${schema}.pause_projection($1::int4, $2::text)`,
  params: [id, heldFor]
})

export const resumeProjection = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.resume_projection($1::int4)`,
  params: [id]
})

/** Of a version that is held. */
export const resetProjection = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.reset_projection($1::int4)`,
  params: [id]
})

export const letGo = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.let_go($1::int4)`,
  params: [id]
})

export const repartitionProjection = (schema: string, id: number, partitions: number): Statement => ({
  text: `
      SELECT ${schema}.repartition_projection($1::int4, $2::int4)`,
  params: [id, partitions]
})

export const switchProjection = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.switch_projection($1::int4)`,
  params: [id]
})

export const rollBackProjection = (schema: string, log: number, name: string): Statement => ({
  text: `
      SELECT ${schema}.roll_back_projection($1::int4, $2::text)`,
  params: [log, name]
})

/** Removes the tables of a version, with the rights of the caller, and keeps others from setting it up meanwhile. */
export const dropTables = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.work_lock($1::int4), ${schema}.drop_tables($1::int4), ${standStill(2)}`,
  params: [id, standStillMillis(patience)]
})

/** Of a version that is paused. */
export const dropProjection = (schema: string, id: number): Statement => ({
  text: `
      SELECT ${schema}.drop_projection($1::int4)`,
  params: [id]
})

/** Answers which of the versions are applied; takes the streams until the transaction ends, all or those that are free. */
export const beginInline = (
  schema: string,
  log: number,
  ids: ReadonlyArray<number>,
  streamIds: ReadonlyArray<string>,
  isWaiting: boolean
): Statement => ({
  text: `
      SELECT b.applied, b.held FROM ${schema}.begin_inline($1::int4, $2::text[]::int4[], $3::text[], $4::bool) b`,
  params: [log, ids.map(String), streamIds, isWaiting]
})
