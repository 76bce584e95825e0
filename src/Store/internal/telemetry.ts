import { Clock, Effect, Exit, Metric } from "effect"
import { isConflict } from "../StoreError.ts"

/** https://opentelemetry.io/docs/specs/semconv/database/database-metrics/, in seconds as there. */
const duration = (attributes: Record<string, string>) =>
  Metric.histogram("db.client.operation.duration", {
    description: "Duration of operations on the event store, in seconds",
    boundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10],
    attributes
  })

const batchSize = Metric.histogram("eventstore.append.batch.size", {
  description: "Appends that travelled to the database together",
  boundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
})

export const recordBatch = (size: number): Effect.Effect<void> => Metric.update(batchSize, size)

const reconnects = Metric.counter("eventstore.tail.retries", {
  description: "Reads of subscriptions that failed and were repeated, among them lost connections",
  incremental: true
})

export const countReconnect: Effect.Effect<void> = Metric.update(reconnects, 1)

const missedNews = Metric.counter("eventstore.tail.missed_notifications", {
  description: "Times that looking found events of which no notification had come",
  incremental: true
})

export const countMissedNews: Effect.Effect<void> = Metric.update(missedNews, 1)

export const warnRepeated = (what: string, error: { readonly message: string }): Effect.Effect<void> =>
  Effect.logWarning(what, error.message)

/** Spans and metrics of one store. */
export interface Telemetry {
  /** Gives an operation a span named `eventstore.<operation>` and a place in the metrics. */
  readonly observe: (
    operation: string,
    target?: string
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly appended: Metric.Counter<number>
  readonly read: Metric.Counter<number>
}

export const makeTelemetry = (system: string): Telemetry => {
  // attributes given at once, not added later: an update then costs no merging of them
  const attributes = { "db.system.name": system }
  const durations = new Map<string, Metric.Histogram<number>>()
  const durationOf = (operation: string) => {
    let metric = durations.get(operation)
    if (metric === undefined) {
      metric = duration({ ...attributes, "db.operation.name": operation })
      durations.set(operation, metric)
    }
    return metric
  }
  const conflicts = Metric.counter("eventstore.append.conflicts", {
    description: "Appends refused because a stream was not at the expected version or a condition failed",
    incremental: true,
    attributes
  })
  return {
    observe: (operation, target) => (effect) => {
      const metric = durationOf(operation)
      return Effect.useSpan(
        `eventstore.${operation}`,
        {
          kind: "client",
          attributes: target === undefined
            ? { "db.system.name": system, "db.operation.name": operation }
            : { "db.system.name": system, "db.operation.name": operation, "db.collection.name": target }
        },
        () =>
          Effect.withFiber((fiber) => {
            const clock = fiber.getRef(Clock.Clock)
            const started = clock.monotonicTimeNanosUnsafe()
            return Effect.onExitPrimitive(effect, (exit) => {
              metric.updateUnsafe(Number(clock.monotonicTimeNanosUnsafe() - started) / 1e9, fiber.context)
              if (isRefusedByConflict(exit)) conflicts.updateUnsafe(1, fiber.context)
              return undefined
            })
          })
      )
    },
    appended: Metric.counter("eventstore.events.appended", {
      description: "Events handed in and acknowledged, repeated ones included",
      incremental: true,
      attributes
    }),
    read: Metric.counter("eventstore.events.read", { description: "Stored events read", incremental: true, attributes })
  }
}

const isRefusedByConflict = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && exit.cause.reasons.some((reason) => reason._tag === "Fail" && isConflict(reason.error))
