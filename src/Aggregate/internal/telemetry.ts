import { Clock, Effect, Exit, Metric } from "effect"
import { isConflict } from "../../Store/StoreError.ts"

const replayed = Metric.counter("eventstore.decider.events.replayed", {
  description: "Stored events that were read to fold states of deciders",
  incremental: true
})

export const countReplayed = (count: number): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    replayed.updateUnsafe(count, fiber.context)
    return Effect.void
  })

/** What became of a command. */
export type Outcome = "stored" | "nothing" | "repeated" | "refused" | "conflict" | "failed"

/** Spans and metrics of one decider or boundary. */
export interface Telemetry {
  /** Gives an operation a span named `eventstore.decider.<operation>`. */
  readonly span: (
    operation: string,
    target?: string
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The same for the run of a command, whose duration and outcome are measured; attempts tell a retry. */
  readonly run: (
    target: string | undefined,
    command: unknown
  ) => <A extends Told, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly retried: Effect.Effect<void>
}

interface Told {
  readonly events: ReadonlyArray<unknown>
  readonly isRepeated: boolean
}

export const makeTelemetry = (decider: string): Telemetry => {
  const attributes = { decider }
  const duration = Metric.histogram("eventstore.decider.duration", {
    description: "Duration of commands, from loading to the answer, retries included, in seconds",
    boundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10],
    attributes
  })
  const outcome = (name: Outcome) =>
    Metric.counter("eventstore.decider.commands", {
      description: "Commands by what became of them",
      incremental: true,
      attributes: { decider, outcome: name }
    })
  const outcomes: Readonly<Record<Outcome, Metric.Counter<number>>> = {
    stored: outcome("stored"),
    nothing: outcome("nothing"),
    repeated: outcome("repeated"),
    refused: outcome("refused"),
    conflict: outcome("conflict"),
    failed: outcome("failed")
  }
  const retries = Metric.counter("eventstore.decider.retries", {
    description: "Decisions that were made again because another writer was faster",
    incremental: true,
    attributes
  })
  const span: Telemetry["span"] = (operation, target) => (effect) =>
    Effect.useSpan(`eventstore.decider.${operation}`, {
      attributes: target === undefined ? attributes : { decider, "eventstore.stream": target }
    }, () => effect)
  return {
    span,
    run: (target, command) => (effect) =>
      Effect.useSpan("eventstore.decider.run", {
        attributes: {
          decider,
          ...(target === undefined ? {} : { "eventstore.stream": target }),
          ...(tagOf(command) === undefined ? {} : { "eventstore.command": tagOf(command) })
        }
      }, () =>
        Effect.withFiber((fiber) => {
          const clock = fiber.getRef(Clock.Clock)
          const started = clock.monotonicTimeNanosUnsafe()
          return Effect.onExit(effect, (exit) =>
            Effect.sync(() => {
              duration.updateUnsafe(Number(clock.monotonicTimeNanosUnsafe() - started) / 1e9, fiber.context)
              outcomes[outcomeOf(exit)].updateUnsafe(1, fiber.context)
            }))
        })),
    retried: Effect.withFiber((fiber) => {
      retries.updateUnsafe(1, fiber.context)
      return Effect.void
    })
  }
}

const tagOf = (command: unknown): string | undefined => {
  const tag = (command as { readonly _tag?: unknown } | null | undefined)?._tag
  return typeof tag === "string" ? tag : undefined
}

const outcomeOf = (exit: Exit.Exit<Told, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) {
    return exit.value.isRepeated ? "repeated" : exit.value.events.length === 0 ? "nothing" : "stored"
  }
  const reason = exit.cause.reasons.find(({ _tag }) => _tag === "Fail")
  if (reason === undefined || reason._tag !== "Fail") return "failed"
  if (isConflict(reason.error)) return "conflict"
  return failures.has(tagOf(reason.error) ?? "") ? "failed" : "refused"
}

/** Errors that are no answer of a decider. */
const failures = new Set([
  "StoreError",
  "EventDecodeFailed",
  "UnknownEventType",
  "EventIdConflict",
  "InlineProjectionFailed",
  "InlineProjectionMissing"
])
