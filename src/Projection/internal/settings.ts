import { Duration, Effect, Option, Schedule } from "effect"
import { InvalidInput } from "../../Store/StoreError.ts"
import type { RunOptions } from "../Projection.ts"
import type { Apply } from "../ProjectionMiddleware.ts"
import { dedupesInline, isDeduping } from "./deduping.ts"

/** How a projection is run, checked. */
export interface Settings {
  /** Counts only when it is created. */
  readonly partitions: number
  readonly lease: Duration.Duration
  /** Most stored events of a transaction. */
  readonly batch: number
  /** The same, while it builds. */
  readonly bulk: number
  readonly retry: Schedule.Schedule<unknown, unknown>
  /** How long that is, in a sentence. */
  readonly retryTime: string
  readonly giveUp: "stop" | "park"
  readonly isSwitching: boolean
  readonly middleware: ((apply: Apply<unknown, any>) => Apply<unknown, any>) | undefined
}

const refuse = (field: string, problem: string) => Effect.fail(new InvalidInput({ field, problem }))

/** What databases keep in a column of four bytes. */
const maxCount = 2 ** 31 - 1

export const whole = (field: string, number: number, most = maxCount): Effect.Effect<number, InvalidInput> =>
  Number.isInteger(number) && number >= 1 && number <= most
    ? Effect.succeed(number)
    : refuse(field, `is ${String(number)}, which is not a whole number from 1 to ${most}`)

/** A time span, of at least a millisecond where no other is given. */
export const span = (
  field: string,
  given: Duration.Input,
  least = 1
): Effect.Effect<Duration.Duration, InvalidInput> => {
  const duration = Option.getOrUndefined(Duration.fromInput(given))
  const millis = duration === undefined ? NaN : Duration.toMillis(duration)
  return duration !== undefined && millis >= least && millis <= maxCount
    ? Effect.succeed(duration)
    : refuse(field, `is no time from ${least} ms to ${maxCount} ms`)
}

const oneOf = <const A extends string>(
  field: string,
  given: string,
  allowed: ReadonlyArray<A>
): Effect.Effect<A, InvalidInput> =>
  allowed.includes(given as A)
    ? Effect.succeed(given as A)
    : refuse(field, `is ${String(given)}, which is none of ${allowed.map((text) => JSON.stringify(text)).join(", ")}`)

/** Most partitions of a version. */
export const mostPartitions = 1000

export const toSettings = (options: RunOptions<any>, isInline: boolean): Effect.Effect<Settings, InvalidInput> =>
  Effect.gen(function*() {
    const partitions = yield* whole("partitions", options.partitions ?? 1, mostPartitions)
    const giveUp = yield* oneOf("onError.giveUp", options.onError?.giveUp ?? "stop", ["stop", "park"])
    if (isInline && partitions > 1) return yield* refuse("partitions", "are more than the one of an inline projection")
    if (isInline && giveUp === "park") {
      return yield* refuse("onError.giveUp", `is "park": an inline projection refuses appends that it cannot handle`)
    }
    const { middleware } = options
    if (middleware !== undefined && typeof middleware !== "function") {
      return yield* refuse("middleware", "is not a function")
    }
    if (isInline && middleware !== undefined && isDeduping(middleware as never)) {
      return yield* refuse("middleware", dedupesInline)
    }
    return {
      partitions,
      giveUp,
      lease: yield* span("lease", options.lease ?? "30 seconds"),
      batch: yield* whole("batch", options.batch ?? 500),
      bulk: options.batch ?? 2000,
      ...(options.onError?.retry === undefined
        ? defaultRetries[giveUp]
        : { retry: options.onError.retry, retryTime: "as long as onError.retry says" }),
      isSwitching: (yield* oneOf("switch", options.switch ?? "automatic", ["automatic", "manual"])) === "automatic",
      middleware: middleware as Settings["middleware"]
    }
  })

const backoff = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("30 seconds")])

/** Where an event is set aside in the end, all others of its partition wait for it until then. */
const defaultRetries: Readonly<Record<Settings["giveUp"], Pick<Settings, "retry" | "retryTime">>> = {
  stop: { retry: Schedule.upTo(backoff, { times: 10 }), retryTime: "for 2 minutes at most" },
  park: { retry: Schedule.upTo(backoff, { times: 6 }), retryTime: "for 13 seconds at most" }
}
