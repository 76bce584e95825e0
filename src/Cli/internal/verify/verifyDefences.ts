import { Effect, Option } from "effect"
import type { StoreError } from "../../../Store/StoreError.ts"
import type { LogTables } from "../frame/logSql.ts"
import { selectDefences, shippedFunctions } from "./verifyDefencesSql.ts"
import { type LogCheck, plural, tell, type Told, walk } from "./verifying.ts"

/**
 * What the database itself refuses, as a fresh install has it: constraints and triggers that are there and enabled, and the
 * functions as they were installed. A superuser can turn off all of it, and nothing that was stored since then is safe.
 */
export const checkDefences: LogCheck = ({ tables }, tally) =>
  walk("defences", tally, undefined, () =>
    Effect.map(problemsOf(tables, tally), (found) => ({
      found,
      done: tally.looked,
      total: tally.looked,
      next: Option.none()
    })))

const problemsOf = (
  tables: LogTables,
  tally: Parameters<LogCheck>[1]
): Effect.Effect<ReadonlyArray<Told>, StoreError> =>
  Effect.gen(function*() {
    const { constraints, functions, migrations, replicationRole, staged, triggers } = yield* selectDefences(tables)
    const shipped = shippedFunctions()
    const found: Array<Told> = []
    const miss = (kind: Told["kind"], object: string, message: string, values?: Pick<Told, "expected" | "actual">) =>
      found.push(tell(kind, { object }, message, values))
    if (replicationRole !== "origin") {
      miss(
        "TriggersOff",
        "session_replication_role",
        `session_replication_role is ${replicationRole}: no trigger fires for what this role does`,
        { expected: "origin", actual: replicationRole }
      )
    }
    if (staged > 0) {
      miss(
        "StagedLeft",
        "staged_appends",
        `${plural(staged, "append")} of transactions that are over ${
          staged === 1 ? "was" : "were"
        } staged and never stored`,
        { expected: 0, actual: staged }
      )
    }
    if (migrations.newest !== shipped.latest) {
      tally.skip(`the tables are at migration ${migrations.newest}, this program knows those of ${shipped.latest}`)
      return found
    }

    for (const [table, expected] of Object.entries(expectedConstraints)) {
      for (const [name, definition] of Object.entries(expected)) {
        tally.looked++
        const object = `${table}.${name}`
        const actual = constraints.get(object)
        if (actual === undefined) {
          miss("ConstraintMissing", object, `The table ${table} has no constraint ${name}`, { expected: definition })
        } else if (actual.definition !== definition || !actual.isValid) {
          miss(
            "ConstraintChanged",
            object,
            actual.definition === definition
              ? `The index of the constraint ${name} of the table ${table} is not valid`
              : `The constraint ${name} of the table ${table} is another one`,
            { expected: definition, actual: actual.definition }
          )
        }
      }
    }
    for (const { calls, isDeferred, name, table, type } of expectedTriggers) {
      tally.looked++
      const object = `${table}.${name}`
      const actual = triggers.get(object)
      if (actual === undefined) miss("TriggerMissing", object, `The table ${table} has no trigger ${name}`)
      else if (actual.enabled !== "O" && actual.enabled !== "A") {
        miss("TriggerDisabled", object, `The trigger ${name} of the table ${table} is disabled`, {
          expected: "O",
          actual: actual.enabled
        })
      } else if (
        actual.type !== type || actual.calls !== calls || actual.isDeferred !== isDeferred || actual.isConditional
      ) miss("TriggerChanged", object, `The trigger ${name} of the table ${table} is another one`)
    }
    for (const [name, source] of shipped.sources) {
      tally.looked++
      const actual = functions.get(name)
      if (actual === undefined) miss("FunctionMissing", name, `There is no function ${name}`)
      else if (!actual.includes(source)) {
        miss("FunctionChanged", name, `The function ${name} is not the one that was installed`)
      }
    }
    return found
  })

/** By table and name, as `pg_get_constraintdef` writes them. A test compares them with a fresh install. */
const expectedConstraints: { readonly [table: string]: { readonly [name: string]: string } } = {
  deliveries: {
    deliveries_attempts_check: "CHECK ((attempts >= 0))",
    deliveries_lost_check: "CHECK ((lost >= 0))",
    deliveries_pkey: "PRIMARY KEY (subscription_id, \"position\")",
    deliveries_position_check: "CHECK ((\"position\" > 0))"
  },
  documents: {
    documents_pkey: "PRIMARY KEY (version_id, document_key)"
  },
  events: {
    events_check: "CHECK (((\"position\" > 0) AND (stream_version > 0) AND (schema_version > 0)))",
    events_event_id_key: "UNIQUE (log_id, event_id)",
    events_pkey: "PRIMARY KEY (log_id, \"position\")",
    events_stream_version_key: "UNIQUE (log_id, stream_id, stream_version)"
  },
  links: {
    links_pkey: "PRIMARY KEY (version_id, link_key, \"position\")"
  },
  logs: {
    logs_floor_check: "CHECK ((floor >= 0))",
    logs_log_id_check: "CHECK ((log_id > 0))",
    logs_pkey: "PRIMARY KEY (log_id)"
  },
  migrations: {
    migrations_pkey: "PRIMARY KEY (migration_id)"
  },
  parked_deliveries: {
    parked_deliveries_pkey: "PRIMARY KEY (subscription_id, \"position\")"
  },
  parked_events: {
    parked_events_pkey: "PRIMARY KEY (version_id, order_key, \"position\")"
  },
  parked_keys: {
    parked_keys_pkey: "PRIMARY KEY (version_id, order_key)"
  },
  projection_failures: {
    projection_failures_pkey: "PRIMARY KEY (version_id)"
  },
  projection_partitions: {
    projection_partitions_partition_check: "CHECK (((partition >= 0) AND (partition <= 999)))",
    projection_partitions_pkey: "PRIMARY KEY (version_id, partition)",
    projection_partitions_position_check: "CHECK ((\"position\" >= 0))"
  },
  projection_runners: {
    projection_runners_pkey: "PRIMARY KEY (version_id, runner)"
  },
  projection_versions: {
    projection_versions_inline_check: "CHECK ((is_inline OR (activation IS NULL)))",
    projection_versions_kind_check:
      "CHECK ((kind = ANY (ARRAY['tables'::text, 'documents'::text, 'links'::text, 'events'::text])))",
    projection_versions_partitions_check: "CHECK (((NOT is_inline) OR (repartition_to IS NULL)))",
    projection_versions_pkey: "PRIMARY KEY (version_id)",
    projection_versions_repartition_to_check: "CHECK (((repartition_to >= 1) AND (repartition_to <= 1000)))",
    projection_versions_schema_key: "UNIQUE (schema_name)",
    projection_versions_stage_check: "CHECK ((stage = ANY (ARRAY['building'::text, 'ready'::text])))",
    projection_versions_start_position_check: "CHECK ((start_position >= 0))",
    projection_versions_status_check: "CHECK ((status = ANY (ARRAY['running'::text, 'paused'::text, 'failed'::text])))",
    projection_versions_version_check: "CHECK ((version > 0))",
    projection_versions_version_key: "UNIQUE (log_id, name, version)"
  },
  projections: {
    projections_pkey: "PRIMARY KEY (log_id, name)"
  },
  snapshots: {
    snapshots_pkey: "PRIMARY KEY (log_id, stream_id, name)",
    snapshots_schema_version_check: "CHECK ((schema_version > 0))"
  },
  staged_appends: {
    staged_appends_pkey: "PRIMARY KEY (staged_id)"
  },
  stream_states: {
    stream_states_pkey: "PRIMARY KEY (log_id, stream_id)"
  },
  subscriptions: {
    subscriptions_capacity_check: "CHECK ((capacity > 0))",
    subscriptions_lowest_check: "CHECK ((lowest > 0))",
    subscriptions_name_key: "UNIQUE (log_id, name)",
    subscriptions_ordering_check: "CHECK ((ordering = ANY (ARRAY['none'::text, 'stream'::text, 'key'::text])))",
    subscriptions_pkey: "PRIMARY KEY (subscription_id)",
    subscriptions_position_check: "CHECK ((\"position\" >= 0))"
  },
  timers: {
    timers_pkey: "PRIMARY KEY (log_id, owner, timer_key, name)"
  }
}

/** `type` as in pg_trigger: 2 before, 1 for each row, 4 insert, 8 delete, 16 update, 32 truncate. */
const expectedTriggers = [
  {
    table: "events",
    name: "events_refuse_change",
    type: 2 + 8 + 16 + 32,
    calls: "refuse_change_of_events",
    isDeferred: false
  },
  { table: "staged_appends", name: "staged_appends_store", type: 1 + 4, calls: "store_staged_append", isDeferred: true }
] as const
