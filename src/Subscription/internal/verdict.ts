import { Cause, Duration, Effect, Schedule } from "effect"
import { reasonOf } from "../../Store/StoreError.ts"
import { EventDecodeFailed, UnknownEventType } from "../../Stream/DecodeError.ts"
import { Park, Retry, Stop } from "../Delivery.ts"

/** What becomes of a delivery whose handler failed. */
export type Verdict =
  | { readonly outcome: "retry"; readonly after: Duration.Duration; readonly error: string }
  | { readonly outcome: "park"; readonly reason: string; readonly error: string | null }

/** An event that does not decode. */
export class Undecodable {
  readonly error: EventDecodeFailed | UnknownEventType
  constructor(error: EventDecodeFailed | UnknownEventType) {
    this.error = error
  }
}

export interface RetryPolicy {
  readonly attempts: number
  readonly schedule: Schedule.Schedule<unknown, unknown>
}

/** Judges a failure of the handler at an attempt. `now` is in milliseconds. */
export const judge = (
  cause: Cause.Cause<unknown>,
  attempt: number,
  policy: RetryPolicy,
  now: number
): Effect.Effect<Verdict> => {
  const failure = decisiveOf(cause)
  if (failure instanceof Park) return Effect.succeed({ outcome: "park", reason: storable(failure.reason), error: null })
  // a type that is not known may be one of a newer program, which runs beside this one or soon in its place
  if (failure instanceof Undecodable && failure.error._tag === "EventDecodeFailed") {
    return Effect.succeed({ outcome: "park", reason: storable(failure.error.message), error: null })
  }
  const error = storable(reasonOf(failure instanceof Undecodable ? failure.error : failure))
  const failed: Verdict = {
    outcome: "park",
    reason: attempt === 1 ? "failed once" : `failed ${attempt} times`,
    error
  }
  if (attempt >= policy.attempts) return Effect.succeed(failed)
  if (failure instanceof Retry && failure.after !== undefined) {
    return Effect.succeed({ outcome: "retry", after: bounded(failure.after), error })
  }
  return Effect.map(
    delayOf(policy.schedule, attempt, failure, now),
    (after) => after === undefined ? failed : { outcome: "retry", after: bounded(after), error }
  )
}

/** Whether a consumer has to stop. */
export const stopOf = (cause: Cause.Cause<unknown>): Stop | undefined =>
  errorsOf(cause).find((error) => error instanceof Stop)

/** The failure that decides: an instruction before other failures, and these before defects and interruptions. */
const decisiveOf = (cause: Cause.Cause<unknown>): unknown => {
  const errors = errorsOf(cause)
  const instruction = errors.find((error) => error instanceof Park) ?? errors.find((error) => error instanceof Retry)
  return instruction ?? (errors.length > 0 ? errors[0] : Cause.squash(cause))
}

const errorsOf = (cause: Cause.Cause<unknown>): ReadonlyArray<unknown> =>
  cause.reasons.flatMap((reason) => reason._tag === "Fail" ? [reason.error] : [])

/** What a schedule says after so many failures; `undefined` where it has ended. Time passes by its own delays. */
const delayOf = (
  schedule: Schedule.Schedule<unknown, unknown>,
  attempt: number,
  failure: unknown,
  now: number
): Effect.Effect<Duration.Duration | undefined> =>
  Effect.gen(function*() {
    const step = yield* Schedule.toStep(schedule)
    let delay = Duration.zero
    for (let i = 0, time = now; i < attempt; i++) {
      const [, next] = yield* step(time, failure)
      delay = next
      time += Duration.toMillis(next)
    }
    return delay
  }).pipe(Effect.catch(() => Effect.succeed(undefined)))

const longest = Duration.days(3650)

const bounded = (delay: Duration.Duration): Duration.Duration =>
  Duration.min(Duration.max(delay, Duration.zero), longest)

/** A text that every database keeps, and that nobody minds to read. */
export const storable = (text: string): string => text.slice(0, 2000).toWellFormed().replaceAll("\0", "\uFFFD")
