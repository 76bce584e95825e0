import { PgClient } from "@effect/sql-pg"
import { Config, Effect, FileSystem, Layer, Option, Path, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { latest, migrate, status } from "../../../Postgres/PgMigrations.ts"
import { probe } from "../../../Postgres/PgProbe.ts"
import { defaultName, isSchemaName } from "../../../Postgres/SchemaName.ts"
import { EventStore } from "../../../Store/EventStore.ts"
import * as PgEventStore from "../../../Store/PgEventStore.ts"
import * as PgliteEventStore from "../../../Store/PgliteEventStore.ts"
import { Application } from "./application.ts"
import { OpenLog } from "./logSql.ts"
import { noDatabase, type Refused, wrongInput } from "./refusal.ts"
import { Dir, Log, SchemaFlag, Url } from "./settings.ts"

/** Where a log is, before anybody connects. `name` is for people: without a password. */
export interface Target {
  readonly name: string
  readonly schema: string
  readonly log: number
  readonly at:
    | { readonly kind: "postgres"; readonly url: Redacted.Redacted }
    | { readonly kind: "pglite"; readonly dir: string }
}

/** A setting of the environment, where it is set and no empty text. One that cannot be read must not pass for none. */
export const environment = <A>(
  name: string,
  of: (name: string) => Config.Config<A>
): Effect.Effect<Option.Option<A>, Refused> =>
  Effect.mapError(Config.option(of(name)), () => wrongInput(`The environment variable ${name} cannot be read`))

const logOfEnvironment = Effect.flatMap(
  environment("EVENTSTORE_LOG", Config.String),
  Option.match({
    onNone: () => Effect.succeedNone,
    onSome: (text) =>
      /^\d+$/.test(text)
        ? Effect.succeedSome(Number(text))
        : Effect.fail(wrongInput(`The environment variable EVENTSTORE_LOG is no whole number: ${JSON.stringify(text)}`))
  })
)

/** The first that is there. */
const firstOf = <A>(...options: ReadonlyArray<Option.Option<A>>): Option.Option<A> =>
  options.find(Option.isSome) ?? Option.none()

/**
 * The log that is asked for: by the flags, else by the environment, else by what the application declares. A URL and a
 * directory from the same of these places are a mistake.
 */
export const target = Effect.gen(function*() {
  const { app, base } = yield* Application
  const path = yield* Path.Path
  const places = [
    { from: "The flags name", url: yield* Url, dir: Option.map(yield* Dir, (dir) => path.resolve(dir)) },
    {
      from: "EVENTSTORE_URL and EVENTSTORE_DIR name",
      url: yield* environment("EVENTSTORE_URL", Config.Redacted),
      dir: Option.map(yield* environment("EVENTSTORE_DIR", Config.String), (dir) => path.resolve(dir))
    },
    {
      from: "The configuration names",
      url: Option.map(Option.fromNullishOr(app.url), (url) => typeof url === "string" ? Redacted.make(url) : url),
      dir: Option.map(Option.fromNullishOr(app.dir), (dir) => path.resolve(base, dir))
    }
  ]
  const schema = yield* schemaName
  const log = Option.getOrElse(
    firstOf(yield* Log, yield* logOfEnvironment, Option.fromNullishOr(app.log)),
    () => 1
  )
  const place = places.find(({ dir, url }) => Option.isSome(url) || Option.isSome(dir))
  if (place === undefined) {
    return yield* wrongInput(
      "It is not said where the log is",
      "--url postgres://... or --dir ./data, EVENTSTORE_URL or EVENTSTORE_DIR, or a configuration file"
    )
  }
  return yield* targetAt({ ...place, schema, log })
})

/** The database schema that is asked for: by the flags, else by the environment, else by what the application declares. */
export const schemaName = Effect.gen(function*() {
  const { app } = yield* Application
  return Option.getOrElse(
    firstOf(
      yield* SchemaFlag,
      yield* environment("EVENTSTORE_SCHEMA", Config.String),
      Option.fromNullishOr(app.schema)
    ),
    () => defaultName
  )
})

/** The log at a place; `from` says for people who named it. */
export const targetAt = ({ dir, from, log, schema, url }: {
  readonly from: string
  readonly url: Option.Option<Redacted.Redacted>
  readonly dir: Option.Option<string>
  readonly schema: string
  readonly log: number
}): Effect.Effect<Target, Refused> =>
  Effect.gen(function*() {
    if (!isSchemaName(schema)) {
      return yield* wrongInput(
        `The schema name ${JSON.stringify(schema)} is not allowed`,
        "lower-case letters, digits and underscores, a letter first"
      )
    }
    if (!Number.isInteger(log) || log < 1 || log > 0x7fffffff) {
      return yield* wrongInput(`The log ${log} is not a number from 1`)
    }
    if (Option.isSome(url) && Option.isSome(dir)) {
      return yield* wrongInput(`${from} a database and a directory`, "a log is in one of them")
    }
    if (Option.isSome(dir)) return { name: dir.value, schema, log, at: { kind: "pglite", dir: dir.value } }
    const name = Option.flatMap(url, (url) => Option.fromUndefinedOr(nameOf(url)))
    if (Option.isNone(name) || Option.isNone(url)) return yield* notAUrl
    return { name: name.value, schema, log, at: { kind: "postgres", url: url.value } }
  })

const notAUrl = wrongInput(
  "This is no URL of a Postgres database",
  "postgres://user:password@host:5432/database; in a password such characters as # / @ are percent-encoded: %23 %2F %40"
)

/** The URL as people may see it; `undefined` where it is not one of Postgres. */
const nameOf = (url: Redacted.Redacted): string | undefined => {
  const text = Redacted.value(url)
  if (!/^postgres(ql)?:\/\//i.test(text) || !URL.canParse(text)) return undefined
  const { hash, host, pathname } = new URL(text)
  // a # that was meant for a password makes what stands before it the host
  return hash === "" ? `postgres://${host}${pathname}` : undefined
}

const layerPostgres = (url: Redacted.Redacted) =>
  PgClient.layer({
    url,
    applicationName: "eventstore",
    maxConnections: 4,
    connectTimeout: "10 seconds",
    // whatever somebody was allowed to store: a value of Postgres has less than that
    maxMessageSize: 1 << 30
  })

/**
 * A client on the database. A directory is only made where `create` says so: a slip of the pen would leave an empty log, and
 * answer that nothing is in it.
 */
const layerClient = ({ at }: Target, options: { readonly create: boolean }) =>
  at.kind === "postgres"
    ? layerPostgres(at.url)
    : Layer.unwrap(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const isThere = yield* Effect.orElseSucceed(fs.exists(path.join(at.dir, "pglite", "PG_VERSION")), () => false)
      if (!isThere && !options.create) {
        return yield* noDatabase(`There is no log in the directory ${at.dir}`, "eventstore migrate makes one")
      }
      return PgliteEventStore.layerClient({ dataDir: at.dir })
    }))

const openLog = (target: Target) =>
  Layer.effect(
    OpenLog,
    Effect.map(SqlClient.SqlClient, (sql) => ({
      sql,
      schema: target.schema,
      log: target.log,
      name: target.name,
      kind: target.at.kind
    }))
  )

/**
 * Refuses tables that are missing or older than this program: only `migrate` changes them. Newer ones keep what the store asks of
 * them; `isExact` refuses these as well, for whoever reads the tables themselves.
 */
const migrated = ({ schema }: Target, { isExact }: { readonly isExact: boolean } = { isExact: false }) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const version = yield* status(yield* SqlClient.SqlClient, schema)
    if (version === 0) {
      return yield* noDatabase(
        `The database has no event store in the schema ${schema}`,
        "eventstore migrate makes one"
      )
    }
    if (version < latest || isExact && version > latest) return yield* otherThanThis(version)
  }))

const otherThanThis = (version: number) =>
  version < latest
    ? noDatabase(
      `The event store is at migration ${version}, this program needs ${latest}`,
      "eventstore migrate brings it up to date"
    )
    : noDatabase(
      `The event store is at migration ${version}, this program knows ${latest}`,
      "update the program"
    )

/** Makes tables where there are none: what is moved into a log needs no more than a place for it. */
const prepared = ({ log, schema }: Target) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const version = yield* status(sql, schema)
    if (version === 0) yield* migrate(sql, { schema })
    else if (version !== latest) return yield* otherThanThis(version)
    yield* probe(sql, { schema, log })
  }))

/** Runs an effect with a client on the database, whatever is in it. */
export const withDatabase = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: { readonly create: boolean } = { create: false }
) =>
  Effect.flatMap(
    target,
    (found) => Effect.provide(effect, openLog(found).pipe(Layer.provideMerge(layerClient(found, options))))
  )

/** The store, on a client. */
export const layerStore = ({ at, log, schema }: Target) =>
  at.kind === "postgres" ? PgEventStore.layerStore({ schema, log }) : PgliteEventStore.layerStore({ schema, log })

/** Runs an effect with the event store, its client, and the services of the application. */
export const withStore = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const found = yield* target
    const { app } = yield* Application
    // what it provides is asked for by what the application declares alone
    const services = (app.services ?? Layer.empty) as Layer.Layer<never, unknown, EventStore | SqlClient.SqlClient>
    const layer = services.pipe(
      Layer.provideMerge(layerStore(found)),
      Layer.provideMerge(migrated(found)),
      Layer.provideMerge(openLog(found)),
      Layer.provideMerge(layerClient(found, { create: false }))
    )
    return yield* Effect.provide(effect, layer)
  })

/** Runs an effect with a log that events can be moved into; it is made where there is none. */
export const withDestination = <A, E, R>(found: Target, effect: Effect.Effect<A, E, R>) =>
  Effect.provide(
    effect,
    prepared(found).pipe(
      Layer.provideMerge(openLog(found)),
      Layer.provideMerge(layerClient(found, { create: true })),
      Layer.fresh
    )
  )

/** Runs an effect with a log that is only read: no store is opened on it. */
export const withTables = <A, E, R>(found: Target, effect: Effect.Effect<A, E, R>) =>
  Effect.provide(
    effect,
    migrated(found, { isExact: true }).pipe(
      Layer.provideMerge(openLog(found)),
      Layer.provideMerge(layerClient(found, { create: false })),
      Layer.fresh
    )
  )

/** Runs an effect with a client on a database in which somebody else keeps events. */
export const withForeign = <A, E, R>(url: Redacted.Redacted, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    if (nameOf(url) === undefined) return yield* notAUrl
    return yield* Effect.provide(effect, Layer.fresh(layerPostgres(url)))
  })
