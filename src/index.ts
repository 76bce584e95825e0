/**
 * An event store for Effect: events as `Schema` classes, the store as a `Layer`, on memory, PGlite and Postgres.
 *
 * @since 0.1.0
 */
export * as Event from "./Event/Event.ts"
export * as EventData from "./Event/EventData.ts"
export * as EventId from "./Event/EventId.ts"
export * as EventMetadata from "./Event/EventMetadata.ts"
export * as RawEvent from "./Event/RawEvent.ts"
export * as PgMigrations from "./Postgres/PgMigrations.ts"
export * as PgProbe from "./Postgres/PgProbe.ts"
export * as SchemaName from "./Postgres/SchemaName.ts"
export { UnsupportedDatabase } from "./Postgres/UnsupportedDatabase.ts"
export { EventStore } from "./Store/EventStore.ts"
export * as Limits from "./Store/Limits.ts"
export * as LogStorage from "./Store/LogStorage.ts"
export * as PgEventStore from "./Store/PgEventStore.ts"
export * as PgliteEventStore from "./Store/PgliteEventStore.ts"
export * as StoreError from "./Store/StoreError.ts"
export * as Category from "./Stream/Category.ts"
export * as DecodeError from "./Stream/DecodeError.ts"
export * as EventFilter from "./Stream/EventFilter.ts"
export * as ExpectedVersion from "./Stream/ExpectedVersion.ts"
export * as Position from "./Stream/Position.ts"
export * as Recorded from "./Stream/Recorded.ts"
export * as StoredEvent from "./Stream/StoredEvent.ts"
export * as StreamId from "./Stream/StreamId.ts"
export * as StreamVersion from "./Stream/StreamVersion.ts"
