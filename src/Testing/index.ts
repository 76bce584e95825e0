/**
 * What helps with tests: the contract of an event store. Needs `vitest` and `@effect/vitest`.
 *
 * @since 0.1.0
 */
export * as EventStoreTest from "./EventStoreTest.ts"
