import { Duration, Effect, Option } from "effect"
import { isEventId } from "../../Event/EventId.ts"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type { LogStorage } from "../../Store/LogStorage.ts"
import { InvalidInput, type StoreError } from "../../Store/StoreError.ts"
import type { SubscriptionDefinition } from "../../Store/SubscriptionStorage.ts"
import { problemOfName } from "../../Stream/StreamId.ts"
import type { ConsumerOptions, Declaration, Source, Start } from "../PersistentSubscription.ts"
import { sourceOf } from "./source.ts"

const refuse = (field: string, problem: string) => Effect.fail(new InvalidInput({ field, problem }))

/** What databases keep in a column of four bytes. */
const maxCount = 2 ** 31 - 1

export const whole = (
  field: string,
  given: number | undefined,
  fallback: number,
  least = 1
): Effect.Effect<number, InvalidInput> => {
  const number = given ?? fallback
  return Number.isInteger(number) && number >= least && number <= maxCount
    ? Effect.succeed(number)
    : refuse(field, `is ${String(number)}, which is not a whole number from ${least} to ${maxCount}`)
}

/** A time span of at least a millisecond. */
export const span = <A extends Duration.Input | undefined>(
  field: string,
  given: A,
  least = 1
): Effect.Effect<Duration.Duration | (A & undefined), InvalidInput> => {
  if (given === undefined) return Effect.succeed(undefined as A & undefined)
  const duration = Option.getOrUndefined(Duration.fromInput(given))
  const millis = duration === undefined ? NaN : Duration.toMillis(duration)
  return duration !== undefined && Number.isFinite(millis) && millis >= least && millis <= maxCount
    ? Effect.succeed(duration)
    : refuse(field, `is no time from ${least} ms to ${maxCount} ms`)
}

export const checkName = (name: string): Effect.Effect<string, InvalidInput> => {
  const problem = typeof name === "string" ? problemOfName(name, 128) : "is not a text"
  return problem === undefined ? Effect.succeed(name) : refuse("name", problem)
}

const kindOf = (ordering: Declaration<Source>["ordering"]): Effect.Effect<"none" | "stream" | "key", InvalidInput> => {
  if (ordering === undefined || ordering === "stream") return Effect.succeed("stream")
  if (ordering === "none") return Effect.succeed("none")
  return typeof ordering === "function"
    ? Effect.succeed("key")
    : refuse("ordering", `is ${String(ordering)}, which is neither "none" nor "stream" nor a function`)
}

export const toFilter = (declaration: Declaration<Source>): Effect.Effect<LogFilter, InvalidInput> =>
  sourceOf(declaration.from, declaration).filter

/** Checks what a subscription is to be. */
export const toDefinition = (
  name: string,
  declaration: Declaration<Source>
): Effect.Effect<SubscriptionDefinition, InvalidInput> =>
  Effect.all({
    name: checkName(name),
    filter: toFilter(declaration),
    ordering: kindOf(declaration.ordering),
    parkedBlocks: checkFlag("parkedBlocks", declaration.parkedBlocks ?? false),
    capacity: whole("capacity", declaration.capacity, 1000)
  })

export const checkFlag = (field: string, given: boolean): Effect.Effect<boolean, InvalidInput> =>
  typeof given === "boolean" ? Effect.succeed(given) : refuse(field, "is neither true nor false")

/** Checks where a subscription is to begin, and asks the log what stands there. */
export const toStart = (
  storage: LogStorage,
  start: Start = "start"
): Effect.Effect<{ readonly position: number; readonly eventId: string | null }, InvalidInput | StoreError> =>
  Effect.gen(function*() {
    if (start === "start") return { position: 0, eventId: null }
    const { head } = yield* storage.identity(0)
    const place = start === "end" ? head : start
    const position = typeof place === "number" ? place : place?.position
    if (!Number.isSafeInteger(position) || position < 0) {
      return yield* refuse("start", `is ${String(position)}, which is not a position`)
    }
    if (position > head) return yield* refuse("start", `is ${position}, but the log ends at position ${head}`)
    if (typeof place === "object" && place.eventId !== undefined) {
      if (!isEventId(place.eventId)) return yield* refuse("start", "has an event id that is not a lower-case UUID")
      return { position, eventId: place.eventId }
    }
    return { position, eventId: position === 0 ? null : (yield* storage.identity(position)).eventId ?? null }
  })

/** Whether a filter is the same as another one; the order of its lists tells nothing. */
export const isSameFilter = (a: LogFilter, b: LogFilter): boolean =>
  (["types", "categories", "tags"] as const).every((part) => isSameList(a[part], b[part])) &&
  (["streamPrefix", "recordedFrom", "recordedUntil"] as const).every((part) => a[part] === b[part])

const isSameList = (a: ReadonlyArray<string> | null, b: ReadonlyArray<string> | null): boolean =>
  a === null || b === null ? a === b : JSON.stringify([...a].sort()) === JSON.stringify([...b].sort())

/** How a consumer of either form works, checked. */
export interface ConsumerSettings {
  readonly lease: Duration.Duration
  readonly attempts: number
  /** Answers gather until there are so many. */
  readonly every: number
  /** Milliseconds that answers gather at most. */
  readonly within: number
}

export const toConsumerSettings = (
  { attempts, checkpoint, lease }: ConsumerOptions
): Effect.Effect<ConsumerSettings, InvalidInput> =>
  Effect.all({
    lease: span("lease", lease ?? "30 seconds"),
    attempts: whole("attempts", attempts, 10),
    every: whole("checkpoint.every", checkpoint?.every, checkpoint?.within === undefined ? 1 : maxCount),
    within: Effect.map(
      span("checkpoint.within", checkpoint?.within, 0),
      (within) => within === undefined ? Infinity : Duration.toMillis(within)
    )
  })
