import { Effect } from "effect"
import { Flag } from "effect/cli"
import * as PgMigrations from "../../../Postgres/PgMigrations.ts"
import { isSchemaName } from "../../../Postgres/SchemaName.ts"
import { layer as application } from "../frame/application.ts"
import { plainCommand } from "../frame/command.ts"
import { confirm, yes } from "../frame/confirming.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answer } from "../frame/output.ts"
import { schemaName, withDatabase } from "../frame/pgTarget.ts"
import { answerIsNo, wrongInput } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { grantAll, hasEvents, hasRole } from "../migrateSql.ts"

const { latest } = PgMigrations

export const migrate = plainCommand(
  "migrate",
  {
    status: flag("status", "Only say whether something is to be done: exit code 1 where it is"),
    print: flag("print", "Print the SQL for whoever may run it, without a connection"),
    after: natural("after").pipe(
      Flag.withDescription("With --print: what comes behind this migration; see --status"),
      Flag.optional
    ),
    grants: Flag.String("grants").pipe(
      Flag.withMetavar("<role>"),
      Flag.withDescription("Print the SQL that lets a role append, read and subscribe, without a connection"),
      Flag.optional
    ),
    apply: flag("apply", "With --grants: run it"),
    yes
  },
  {
    description: "Brings the tables of the event store up to date, or makes them. It asks where there are events.",
    examples: [
      { command: "eventstore migrate --dir ./data", description: "Make an embedded log" },
      { command: "eventstore migrate --status || eventstore migrate --yes", description: "In a deployment" },
      { command: "eventstore migrate --print > eventstore.sql", description: "For a DBA" },
      { command: "eventstore migrate --grants shop_app --apply", description: "Let an application's role work" }
    ]
  },
  Effect.fnUntraced(function*({ after, apply, grants, print, status, yes }) {
    const role = valueOf(grants)
    if ([status, print, role !== undefined].filter(Boolean).length > 1) {
      return yield* wrongInput("--status, --print and --grants each ask for something else", "leave out the others")
    }
    if (apply && role === undefined) return yield* wrongInput("--apply goes with --grants")
    const from = valueOf(after)
    if (from !== undefined && !print) return yield* wrongInput("--after goes with --print")
    const run = print
      ? printed(from ?? 0)
      : role !== undefined
      ? apply
        ? withDatabase(granted(role))
        : Effect.flatMap(grantsOf(role), (sql) => answer({ sql }, () => sql.trimEnd()))
      : status
      ? withDatabase(told)
      : withDatabase(migrated(yes), { create: true })
    yield* Effect.provide(run, application)
  })
)

function flag(name: string, description: string) {
  return Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))
}

const allowedName = Effect.fnUntraced(function*(what: string, name: string) {
  if (isSchemaName(name)) return name
  return yield* wrongInput(
    `The name ${JSON.stringify(name)} of a ${what} is not allowed here`,
    "lower-case letters, digits and underscores, a letter first"
  )
})

const printed = (after: number) =>
  Effect.gen(function*() {
    const schema = yield* allowedName("schema", yield* schemaName)
    if (after >= latest) {
      return yield* answerIsNo(`Behind migration ${after} there is nothing to print`, `the newest one is ${latest}`)
    }
    const sql = PgMigrations.script({ schema, after })
    yield* answer({ sql }, () => sql.trimEnd())
  })

const grantsOf = (role: string) =>
  Effect.gen(function*() {
    const schema = yield* allowedName("schema", yield* schemaName)
    return PgMigrations.grants({ schema, role: yield* allowedName("role", role) })
  })

const granted = (role: string) =>
  Effect.gen(function*() {
    const sql = yield* grantsOf(role)
    const log = yield* OpenLog
    yield* refuseOlder(yield* PgMigrations.status(log.sql, log.schema))
    if (!(yield* hasRole(log, role))) {
      return yield* wrongInput(`There is no role ${role}`, `CREATE ROLE ${role} LOGIN PASSWORD '...' makes one`)
    }
    yield* grantAll(log, sql)
    yield* answer({ role, schema: log.schema, granted: true }, () =>
      `${role} may append, read, subscribe and run projections now. For projections that keep tables it also needs ` +
      `CREATE on the database.`)
  })

const refuseOlder = (version: number) =>
  version < latest
    ? answerIsNo(`The event store is at migration ${version} of ${latest}`, "eventstore migrate first")
    : Effect.void

const told = Effect.gen(function*() {
  const { name, schema, sql } = yield* OpenLog
  const version = yield* PgMigrations.status(sql, schema)
  yield* refuseNewer(version)
  yield* answer({ schema, version, latest, upToDate: version === latest }, () => `${name}: ${where(version)}`)
  if (version < latest) return yield* answerIsNo("Something is to be done", "eventstore migrate does it")
})

const where = (version: number): string =>
  version === 0
    ? "no event store yet"
    : version === latest
    ? `up to date (migration ${version})`
    : `at migration ${version} of ${latest}`

const refuseNewer = (version: number) =>
  version > latest
    ? answerIsNo(`The event store is at migration ${version}, this program knows ${latest}`, "update the program")
    : Effect.void

const migrated = (yes: boolean) =>
  Effect.gen(function*() {
    const log = yield* OpenLog
    const { name, schema, sql } = log
    const version = yield* PgMigrations.status(sql, schema)
    yield* refuseNewer(version)
    if (version > 0 && version < latest && (yield* hasEvents(log))) {
      yield* confirm(`Upgrade the event store ${name} from migration ${version} to ${latest}? It has events.`, { yes })
    }
    yield* PgMigrations.migrate(sql, { schema })
    yield* answer({ schema, from: version, version: latest }, () =>
      version === latest
        ? `${name}: ${where(latest)}`
        : version === 0
        ? `${name}: an event store in the schema ${schema} (migration ${latest})`
        : `${name}: from migration ${version} to ${latest}`)
  })
