/** What readers of a log note about it. Each statement compares with the log as of its own time: readers are at work. */
import { Effect } from "effect"
import type { StoreError } from "../../../Store/StoreError.ts"
import type { LogTables } from "../frame/logSql.ts"
import { queryPage, type Values } from "./verifySql.ts"

/** Position of the newest event there has ever been. */
const head = `GREATEST(
          (SELECT max(l.floor) FROM {tables}.logs l WHERE l.log_id = $1::int4),
          (SELECT e.position FROM {tables}.events e WHERE e.log_id = $1::int4 ORDER BY e.position DESC LIMIT 1),
          0
        )::float8`

/** Whether there is an event at a position, hidden or not. */
const isThere = (position: string) =>
  `EXISTS (SELECT FROM {tables}.events e WHERE e.log_id = $1::int4 AND e.position = ${position})`

/** Whether it is the one of an id. */
const isThat = (position: string, id: string) =>
  `EXISTS (SELECT FROM {tables}.events e WHERE e.log_id = $1::int4 AND e.position = ${position} AND e.event_id = ${id})`

/** A place in the log that a reader noted, and the log as it was at that time. */
export interface Checkpoint {
  readonly id: number
  readonly name: string
  readonly position: number
  /** The event that it noted there. */
  readonly eventId: string | undefined
  readonly head: number
  readonly isThere: boolean
  readonly isThat: boolean
}

const checkpointColumns = (row: string) =>
  `${row}.position::float8, ${row}.event_id::text, ${head},
        ${isThere(`${row}.position`)}, ${isThat(`${row}.position`, `${row}.event_id`)}`

const toCheckpoint = (id: number, name: string, row: Values): Checkpoint => ({
  id,
  name,
  position: row[0],
  eventId: row[1] ?? undefined,
  head: row[2],
  isThere: row[3],
  isThat: row[4]
})

/** A partition of a version of a projection. */
export interface PartitionRow extends Checkpoint {
  readonly version: number
  readonly partition: number
}

/** A page of partitions: a range of projection_partitions_pkey, each with probes of keys. */
export const selectPartitions = (
  tables: LogTables,
  after: PartitionRow | undefined,
  limit: number
): Effect.Effect<ReadonlyArray<PartitionRow>, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT p.version_id::int4, v.name::text, v.version::int4, p.partition::int4, ${checkpointColumns("p")}
      FROM {tables}.projection_partitions p
      JOIN {tables}.projection_versions v ON v.version_id = p.version_id
      WHERE v.log_id = $1::int4 AND (p.version_id, p.partition) > ($2::int4, $3::int4)
      ORDER BY p.version_id, p.partition
      LIMIT $4::int8`,
      [tables.log, after?.id ?? 0, after?.partition ?? -1, BigInt(limit)]
    ),
    (rows) =>
      rows.map(([id, name, version, partition, ...row]) => ({ ...toCheckpoint(id, name, row), version, partition }))
  )

/** A subscription, and the first of its deliveries. */
export interface SubscriptionRow extends Checkpoint {
  /** No delivery is looked for below. */
  readonly lowest: number
  readonly first: number | undefined
}

/** A page of subscriptions: each with probes of keys. */
export const selectSubscriptions = (
  tables: LogTables,
  after: number,
  limit: number
): Effect.Effect<ReadonlyArray<SubscriptionRow>, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT s.subscription_id::int4, s.name::text, s.lowest::float8, (
          SELECT d.position FROM {tables}.deliveries d
          WHERE d.subscription_id = s.subscription_id
          ORDER BY d.position
          LIMIT 1
        )::float8,
        ${checkpointColumns("s")}
      FROM {tables}.subscriptions s
      WHERE s.log_id = $1::int4 AND s.subscription_id > $2::int4
      ORDER BY s.subscription_id
      LIMIT $3::int8`,
      [tables.log, after, BigInt(limit)]
    ),
    (rows) =>
      rows.map(([id, name, lowest, first, ...row]) => ({
        ...toCheckpoint(id, name, row),
        lowest,
        first: first ?? undefined
      }))
  )

/** Something that refers to an event by its position. */
export interface Reference {
  /** The subscription or the version that it belongs to. */
  readonly id: number
  readonly name: string
  /** Version of the projection; 0 of a subscription. */
  readonly version: number
  readonly key: string
  readonly position: number
  readonly isThere: boolean
  readonly floor: number
}

const floor = "COALESCE((SELECT max(l.floor) FROM {tables}.logs l WHERE l.log_id = $1::int4), 0)::float8"

const toReference = ([id, name, version, key, position, isThere, floor]: Values): Reference => ({
  id,
  name,
  version,
  key,
  position,
  isThere,
  floor
})

/** A page of what waits or is parked for subscriptions: a range of the primary key, each with a probe of events_pkey. */
export const selectDeliveries = (
  tables: LogTables,
  table: "deliveries" | "parked_deliveries",
  after: Reference | undefined,
  limit: number
): Effect.Effect<ReadonlyArray<Reference>, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT d.subscription_id::int4, s.name::text, 0, COALESCE(d.order_key, '')::text, d.position::float8,
        ${isThere("d.position")}, ${floor}
      FROM {tables}.${table} d
      JOIN {tables}.subscriptions s ON s.subscription_id = d.subscription_id
      WHERE s.log_id = $1::int4 AND (d.subscription_id, d.position) > ($2::int4, $3::int8)
      ORDER BY d.subscription_id, d.position
      LIMIT $4::int8`,
      [tables.log, after?.id ?? 0, BigInt(after?.position ?? 0), BigInt(limit)]
    ),
    (rows) => rows.map(toReference)
  )

/** A page of what projections parked or linked: a range of the primary key, each with a probe of events_pkey. */
export const selectKept = (
  tables: LogTables,
  table: "parked_events" | "links",
  after: Reference | undefined,
  limit: number
): Effect.Effect<ReadonlyArray<Reference>, StoreError> => {
  const key = table === "links" ? "link_key" : "order_key"
  return Effect.map(
    queryPage(
      tables,
      `
      SELECT k.version_id::int4, v.name::text, v.version::int4, k.${key}::text, k.position::float8,
        ${isThere("k.position")}, ${floor}
      FROM {tables}.${table} k
      JOIN {tables}.projection_versions v ON v.version_id = k.version_id
      WHERE v.log_id = $1::int4 AND (k.version_id, k.${key}, k.position) > ($2::int4, $3::text, $4::int8)
      ORDER BY k.version_id, k.${key}, k.position
      LIMIT $5::int8`,
      [tables.log, after?.id ?? 0, after?.key ?? "", BigInt(after?.position ?? 0), BigInt(limit)]
    ),
    (rows) => rows.map(toReference)
  )
}

/** A timer of a process, and whether the process has ever moved. */
export interface TimerRow {
  readonly owner: string
  readonly key: string
  readonly name: string
  readonly isThere: boolean
}

/** A page of timers: a range of timers_pkey, each with a probe of events_stream_version_key. */
export const selectTimers = (
  tables: LogTables,
  after: TimerRow | undefined,
  limit: number
): Effect.Effect<ReadonlyArray<TimerRow>, StoreError> =>
  Effect.map(
    queryPage(
      tables,
      `
      SELECT t.owner::text, t.timer_key::text, t.name::text, EXISTS (
        SELECT FROM {tables}.events e WHERE e.log_id = $1::int4 AND e.stream_id = t.owner || '-' || t.timer_key
      )
      FROM {tables}.timers t
      WHERE t.log_id = $1::int4 AND (t.owner, t.timer_key, t.name) > ($2::text, $3::text, $4::text)
      ORDER BY t.owner, t.timer_key, t.name
      LIMIT $5::int8`,
      [tables.log, after?.owner ?? "", after?.key ?? "", after?.name ?? "", BigInt(limit)]
    ),
    (rows) => rows.map(([owner, key, name, isThere]) => ({ owner, key, name, isThere }))
  )
