/**
 * Name of the database schema that holds the tables and functions.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * Name of a database schema: lower-case letters, digits and underscores, at most 48 characters, so that it stands in the
 * name of a notification channel as it is. What begins with `pg_` belongs to Postgres.
 *
 * @category models
 * @since 0.1.0
 */
export const SchemaName = Schema.String.check(
  Schema.isPattern(/^(?!pg_|information_schema$)[a-z_][a-z0-9_]{0,47}$/, {
    expected: "a lower-case name of at most 48 characters"
  })
)

/**
 * The schema where nothing else is asked for.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultName = "eventstore"

/**
 * Tells whether a text is a schema name.
 *
 * @category guards
 * @since 0.1.0
 */
export const isSchemaName: (value: unknown) => value is string = Schema.is(SchemaName)

/**
 * A schema name as it stands in SQL: some of them, as `"order"`, are words of the language.
 *
 * @category getters
 * @since 0.1.0
 */
export const toSql = (name: string): string => `"${name}"`
