import { type Array as Arr, Effect, Option, Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { type ForeignError, ForeignEventRefused, ForeignReadFailed, NoForeignSource } from "./foreignError.ts"
import type { ForeignEvent, Store } from "./foreignEvent.ts"

/** A database that another store lives in. `schema` is the plain name of the database schema of its tables. */
export interface ForeignTables {
  readonly sql: SqlClient.SqlClient
  readonly schema?: string | undefined
}

/** Which columns there are in a table, none where there is no such table: one look into the catalogue. */
export const columnsOf = (sql: SqlClient.SqlClient, schema: string, table: string) =>
  Effect.map(
    sql<{ readonly column_name: string }>`
      SELECT c.column_name::text AS column_name
      FROM information_schema.columns c
      WHERE c.table_schema = ${schema} AND c.table_name = ${table}`,
    (rows) => new Set(rows.map((row) => row.column_name))
  )

/** Refuses a table that is not there, or that lacks columns which this program reads. */
export const requireTable = (
  store: Store,
  { schema, sql }: { readonly sql: SqlClient.SqlClient; readonly schema: string },
  table: string,
  columns: ReadonlyArray<string>,
  hint: string
): Effect.Effect<void, ForeignError> =>
  Effect.gen(function*() {
    const there = yield* columnsOf(sql, schema, table).pipe(failedAt(store, "looking for its tables"))
    const missing = columns.filter((column) => !there.has(column))
    if (missing.length > 0) {
      return yield* new NoForeignSource({
        store,
        problem: there.size === 0
          ? `There is no table ${table} of ${store} in the schema ${schema} of the database that may be read`
          : `The table ${schema}.${table} has no columns ${
            missing.join(", ")
          }: it is not of a version of ${store} that is known`,
        hint
      })
    }
  })

/** What the database refuses, as the error of a source. */
export const failedAt =
  (store: Store, operation: string) =>
  <A, R>(self: Effect.Effect<A, SqlError.SqlError, R>): Effect.Effect<A, ForeignReadFailed, R> =>
    Effect.mapError(self, toReadFailed(store, operation))

export const toReadFailed = (store: Store, operation: string) => (error: SqlError.SqlError): ForeignReadFailed =>
  new ForeignReadFailed({ store, operation, isRetryable: error.isRetryable, cause: error })

/** Where a row is, for people. */
export const placeOf = (row: { readonly global_position?: unknown }): string => `global position ${row.global_position}`

/** Decodes rows, all at once; where one does not decode, it is named. */
export const decodeRows = <A>(store: Store, row: Schema.Decoder<A>) => {
  const decodeAll = Schema.decodeUnknownOption(Schema.Array(row))
  const decode = Schema.decodeUnknownEffect(row)
  return (
    rows: Arr.NonEmptyReadonlyArray<unknown>
  ): Effect.Effect<Arr.NonEmptyReadonlyArray<A>, ForeignEventRefused> => {
    const decoded = decodeAll(rows)
    return Option.isSome(decoded)
      ? Effect.succeed(decoded.value as unknown as Arr.NonEmptyReadonlyArray<A>)
      : Effect.forEach(
        rows,
        (values) =>
          Effect.mapError(decode(values), (error) =>
            new ForeignEventRefused({
              store,
              place: placeOf(values as {}),
              problem: `does not decode: ${error.message}`
            }))
      )
  }
}

/** The events of rows; one whose JSON cannot be read is named. */
export const eventsOf =
  <A extends { readonly global_position: number }>(store: Store, toEvent: (row: A) => ForeignEvent) =>
  (rows: Arr.NonEmptyReadonlyArray<A>): Effect.Effect<Arr.NonEmptyReadonlyArray<ForeignEvent>, ForeignEventRefused> =>
    Effect.suspend(() => {
      const events: Array<ForeignEvent> = []
      for (const row of rows) {
        try {
          events.push(toEvent(row))
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error
          return new ForeignEventRefused({
            store,
            place: placeOf(row),
            problem: `has JSON that cannot be read: ${error.message}`
          })
        }
      }
      return Effect.succeed(events as [ForeignEvent, ...Array<ForeignEvent>])
    })
