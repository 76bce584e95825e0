/**
 * What helps with tests: given, when, then for deciders, projections and process managers, stories of whole programs, laws and made up
 * events, the shapes and samples of what is stored, and the contracts that a store of one's own has to keep. Needs `vitest` and
 * `@effect/vitest`.
 *
 * @since 0.1.0
 */
export * as AggregateTest from "./AggregateTest.ts"
export * as Arbitraries from "./Arbitraries.ts"
export * as DeciderLaws from "./DeciderLaws.ts"
export * as EventStoreTest from "./EventStoreTest.ts"
export * as Given from "./Given.ts"
export * as GoldenSamples from "./GoldenSamples.ts"
export * as ProjectionTest from "./ProjectionTest.ts"
export * as SchemaGuard from "./SchemaGuard.ts"
export * as SnapshotTest from "./SnapshotTest.ts"
export * as Story from "./Story.ts"
export * as SubscriptionTest from "./SubscriptionTest.ts"
