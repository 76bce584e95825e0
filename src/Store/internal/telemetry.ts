import { Effect, Exit, Metric } from "effect"

/** https://opentelemetry.io/docs/specs/semconv/database/database-metrics/, in seconds as there. */
const duration = Metric.histogram("db.client.operation.duration", {
  description: "Duration of operations on the event store, in seconds",
  boundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
})

const appended = Metric.counter("eventstore.events.appended", {
  description: "Events handed in and acknowledged, repeated ones included",
  incremental: true
})

const read = Metric.counter("eventstore.events.read", { description: "Stored events read", incremental: true })

const conflicts = Metric.counter("eventstore.append.conflicts", {
  description: "Appends refused because a stream was not at the expected version or a condition failed",
  incremental: true
})

const batchSize = Metric.histogram("eventstore.append.batch.size", {
  description: "Appends that travelled to the database together",
  boundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
})

/** Spans and metrics of one store. */
export interface Telemetry {
  /** Gives an operation a span named `eventstore.<operation>` and a place in the metrics. */
  readonly observe: (
    operation: string,
    target?: string
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly appended: (count: number) => Effect.Effect<void>
  readonly read: (count: number) => Effect.Effect<void>
}

export const recordBatch = (size: number): Effect.Effect<void> => Metric.update(batchSize, size)

export const makeTelemetry = (system: string): Telemetry => {
  const operations = new Map<string, (nanos: bigint) => Effect.Effect<void>>()
  const attributes = { "db.system.name": system }
  const timer = (operation: string) => {
    const known = operations.get(operation)
    if (known !== undefined) return known
    const metric = Metric.withAttributes(duration, { ...attributes, "db.operation.name": operation })
    const record = (nanos: bigint) => Metric.update(metric, Number(nanos) / 1e9)
    operations.set(operation, record)
    return record
  }
  const ownConflicts = Metric.withAttributes(conflicts, attributes)
  const ownAppended = Metric.withAttributes(appended, attributes)
  const ownRead = Metric.withAttributes(read, attributes)
  return {
    observe: (operation, target) => (effect) => {
      const record = timer(operation)
      return Effect.useSpan(
        `eventstore.${operation}`,
        {
          kind: "client",
          attributes: {
            ...attributes,
            "db.operation.name": operation,
            ...(target === undefined ? {} : { "db.collection.name": target })
          }
        },
        () =>
          Effect.clockWith((clock) => {
            const started = clock.monotonicTimeNanosUnsafe()
            return Effect.onExit(effect, (exit) => {
              const recorded = record(clock.monotonicTimeNanosUnsafe() - started)
              return isConflict(exit) ? Effect.andThen(recorded, Metric.update(ownConflicts, 1)) : recorded
            })
          })
      )
    },
    appended: (count) => Metric.update(ownAppended, count),
    read: (count) => Metric.update(ownRead, count)
  }
}

const isConflict = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && exit.cause.reasons.some((reason) =>
    reason._tag === "Fail" && typeof reason.error === "object" && reason.error !== null && "_tag" in reason.error &&
    (reason.error._tag === "WrongExpectedVersion" || reason.error._tag === "AppendConditionFailed")
  )
