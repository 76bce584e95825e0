import { type Array as Arr, Cause, Context, Effect } from "effect"
import { SqlClient as Client, SqlError, Statement } from "effect/sql"
import { EventStore } from "../../Store/EventStore.ts"
import { InvalidInput, reasonOf, type StoreError } from "../../Store/StoreError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { ProjectionNotFound } from "../ProjectionError.ts"
import type { Out, Source } from "../View.ts"
import type { Definition, Target } from "./definition.ts"
import { schemaOf } from "./naming.ts"
import type { ReplaySafe } from "./replaySafe.ts"
import { type Common, declared, keysBy } from "./source.ts"

/** What a projection with tables needs. */
export type SqlClient = Client.SqlClient

/** Services that a handler may use: what else it did would be done again in a rebuild. */
export type Safe = Client.SqlClient | ReplaySafe

/**
 * The tables of a version, and how to reach them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Model {
  /** The client of the application, within the transaction that moves the checkpoint. */
  readonly sql: Client.SqlClient
  /** The name of a table, or whatever has a name, in the schema of this version: for a statement. */
  readonly table: (name: string) => Statement.Fragment
  readonly version: number
}

type TagOf<E> = E extends { readonly _tag: infer Tag extends string } ? Tag : never

/** What an event does to the tables, for the tag of each event there can be. */
export type Handlers<E, R> = {
  readonly [Tag in TagOf<E>]: (
    recorded: Recorded<Extract<E, { readonly _tag: Tag }>>,
    model: Model
  ) => Effect.Effect<unknown, unknown, R>
}

/** The services of handlers. */
export type HandlerServices<H> = {
  [Tag in keyof H]: H[Tag] extends (...args: any) => Effect.Effect<any, any, infer R> ? R : never
}[keyof H]

export interface TablesCommon<C extends Source, RS extends Safe, RI extends Safe> extends Common<C> {
  /** `"inline"`: in the transaction of each append, once it has caught up. Default `"async"`. */
  readonly mode?: "async" | "inline" | undefined
  /** Makes the tables: once a version, in a transaction. Its schema is there already, and it is dropped with it. */
  readonly setup: (model: Model) => Effect.Effect<unknown, unknown, RS>
  /** Runs when the version has caught up for the first time, before anybody reads it: what would slow down the building. */
  readonly indexes?: ((model: Model) => Effect.Effect<unknown, unknown, RI>) | undefined
  /**
   * What the order is kept by, and what is set aside where an event cannot be handled: its stream (`"stream"`, the default), or
   * a text of 1 to 512 characters that a function answers.
   */
  readonly partitionBy?: "stream" | ((recorded: Recorded<Out<NoInfer<C>>>) => string) | undefined
}

/** A handler for each event, or one for all events of a transaction. How many that are differs from time to time. */
export type TablesOptions<C extends Source, H, RB extends Safe, RS extends Safe, RI extends Safe> =
  & TablesCommon<C, RS, RI>
  & (
    | { readonly handle: H; readonly batch?: never }
    | {
      readonly handle?: never
      readonly batch: (
        events: Arr.NonEmptyReadonlyArray<Recorded<Out<NoInfer<C>>>>,
        model: Model
      ) => Effect.Effect<unknown, unknown, RB>
    }
  )

interface AnyTables extends TablesCommon<any, any, any> {
  readonly handle?: {
    readonly [tag: string]: (recorded: Recorded<any>, model: Model) => Effect.Effect<unknown, unknown, any>
  }
  readonly batch?: (
    events: Arr.NonEmptyReadonlyArray<Recorded<any>>,
    model: Model
  ) => Effect.Effect<unknown, unknown, any>
}

/** Keeps what handlers write with SQL. */
export const tables = (name: string, options: AnyTables): { readonly definition: Definition } => {
  const { batch, handle, mode, partitionBy = "stream", setup } = options
  if (typeof setup !== "function") throw new Error(`The projection ${name} has no setup`)
  if ((typeof batch === "function") === (typeof handle === "object" && handle !== null)) {
    throw new Error(`The projection ${name} needs either handle or batch`)
  }
  if (mode !== undefined && mode !== "async" && mode !== "inline") {
    throw new Error(`The mode of the projection ${name} is ${String(mode)}, neither "async" nor "inline"`)
  }
  if (partitionBy !== "stream" && typeof partitionBy !== "function") {
    throw new Error(`The projection ${name} is partitioned by ${String(partitionBy)}, neither "stream" nor a function`)
  }
  const common = declared(name, options)
  const shared = {
    ...common,
    kind: "tables" as const,
    isInline: mode === "inline",
    keysOf: partitionBy === "stream" ? undefined : keysBy(partitionBy)
  }
  const definition = definitionIn(shared, options, schemaOf(name, common.version))
  return { definition }
}

/** What it is with its tables in a database schema. */
const definitionIn = (
  shared: Pick<Definition, "isInline" | "kind" | "keysOf"> & ReturnType<typeof declared>,
  options: AnyTables,
  schema: string
): Definition => {
  const { batch, handle, indexes, setup } = options
  const modelOf = makeModels(schema, shared.version)
  const within = (
    { store }: Pick<Target, "store">,
    use: (model: Model) => Effect.Effect<unknown, unknown, any>
  ): Effect.Effect<unknown, unknown, any> =>
    Effect.withFiber((fiber) => {
      const sql = Context.getOrUndefined(fiber.context as Context.Context<any>, Client.SqlClient)
      if (sql === undefined) return Effect.fail(noClient())
      const isOpen = Context.getOrUndefined(fiber.context as Context.Context<any>, sql.transactionService) !== undefined
      // what it wrote would be no part of the transaction that moves the checkpoint
      return isOpen ? use(modelOf(sql)) : Effect.fail(otherClient(store.storage.system))
    })
  return {
    ...shared,
    schema,
    inSchema: (other) => definitionIn(shared, options, other),
    check: (store) =>
      store.storage.projections.hasTables
        ? Effect.asVoid(store.storage.transaction(within({ store }, () => Effect.void)))
        : Effect.fail(noTables()),
    setUp: (target) => within(target, setup),
    index: indexes && ((target) => within(target, indexes)),
    apply: batch !== undefined
      ? (target, events) => within(target, (model) => batch(events, model))
      : (target, events) => within(target, (model) => handleEach(handle!, model, events))
  }
}

const handleEach = (
  handle: NonNullable<AnyTables["handle"]>,
  model: Model,
  events: ReadonlyArray<Recorded<any>>
): Effect.Effect<void, unknown, any> =>
  Effect.forEach(events, (recorded) => {
    const tag: string = recorded.event._tag
    if (Object.hasOwn(handle, tag)) return handle[tag]!(recorded, model)
    const { position, streamId, streamVersion } = recorded
    return Effect.die(
      new Error(`There is no handler for ${tag}: event ${streamVersion} of stream ${streamId} (position ${position})`)
    )
  }, { discard: true })

/** Tables of a version by their names, with the client that was used last. */
const makeModels = (schema: string, version: number): (sql: Client.SqlClient) => Model => {
  const table = tablesIn(schema)
  let last: Model | undefined
  return (sql) => last?.sql === sql ? last : last = { sql, table, version }
}

const tablesIn = (name: string): Model["table"] => {
  const known = new Map<string, Statement.Fragment>()
  // a name of its own letters: nothing in it has to be escaped, nor transformed as names of the application are
  const schema = Statement.literal(`"${name}".`)
  return (table) => {
    let fragment = known.get(table)
    if (fragment === undefined) {
      if (typeof table !== "string" || !/^[^.\0]+$/.test(table)) {
        throw new Error(`${JSON.stringify(table)} is no name of a table`)
      }
      fragment = Statement.fragment([schema, Statement.identifier(table)])
      if (known.size < mostNames) known.set(table, fragment)
    }
    return fragment
  }
}

/** Names that are kept: nobody has so many tables. */
const mostNames = 1000

const noTables = () =>
  new InvalidInput({ field: "store", problem: "keeps no tables: a projection with tables needs a database" })

const noClient = () =>
  new InvalidInput({ field: "SqlClient", problem: "is missing: a projection with tables needs it" })

const otherClient = (system: string) =>
  new InvalidInput({
    field: "SqlClient",
    problem: `is not the one that the event store uses (${system}): its transaction is another one`
  })

export type ReadError = ProjectionNotFound | InvalidInput | StoreError | SqlError.SqlError

/**
 * Reads the tables of the live version. A transaction of its own sees them as of one time; one that is open sees what it sees.
 */
export const read = <A, E, R>(
  { definition }: { readonly definition: Definition },
  use: (model: Model) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | ReadError, R | EventStore | Client.SqlClient> =>
  Effect.gen(function*() {
    const { isRehearsal, kind, name } = definition
    const { storage } = yield* EventStore
    const sql = yield* Client.SqlClient
    const begin = yield* Client.BeginTransaction
    if (kind !== "tables") return yield* new InvalidInput({ field: "projection", problem: "has no tables" })
    if (!storage.projections.hasTables) return yield* noTables()
    const live = Effect.flatMap(storage.projections.progress(name), (progress) =>
      progress === undefined
        ? Effect.fail(new ProjectionNotFound({ projection: name }))
        : Effect.succeed(progress.version))
    const modelOf = (sql: Client.SqlClient, live: number): Model =>
      isRehearsal === true
        ? { sql, table: tablesIn(definition.schema!), version: definition.version }
        : { sql, table: tablesIn(schemaOf(name, live)), version: live }
    if (yield* storage.inTransaction) {
      return yield* use(modelOf(sql, yield* live))
    }
    while (true) {
      let read: number | undefined
      const reading = Effect.gen(function*() {
        if (!(yield* storage.inTransaction)) return yield* otherClient(storage.system)
        return yield* use(modelOf(sql, read = yield* live))
      })
      const exit = yield* sql.withTransaction(Effect.provideService(reading, Client.BeginTransaction, begin)).pipe(
        Effect.provideService(Client.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        Effect.exit
      )
      if (exit._tag === "Success") return exit.value
      // a version that was left and dropped under its reader: there is another one by now
      const isGone = read !== undefined && !Cause.hasInterrupts(exit.cause) && (yield* live) !== read
      if (!isGone) return yield* exit
    }
  }).pipe(Effect.mapError(explain))

/** A client says no more than that a query failed: its error, with the words of the database. */
const explain = <E>(error: E): E => {
  if (!SqlError.isSqlError(error)) return error
  const { reason } = error
  const isWrite = (reason.cause as { readonly code?: unknown } | undefined)?.code === readOnlyTransaction
  const message = reasonOf(error) + (isWrite ? " (Projection.read is for reading: handlers write)" : "")
  // the cause is not enumerable
  const fields = Object.assign({}, reason, { cause: reason.cause, message })
  const Reason = reason.constructor as new(fields: object) => typeof reason
  return new SqlError.SqlError({ reason: new Reason(fields) }) as
    & E
    & SqlError.SqlError
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html: read_only_sql_transaction */
const readOnlyTransaction = "25006"
