import { type DateTime, Effect, Option, Stream } from "effect"
import { Flag } from "effect/cli"
import { EventStore } from "../../../Store/EventStore.ts"
import type { InvalidInput, StoreError } from "../../../Store/StoreError.ts"
import { type Refused, wrongInput } from "../frame/refusal.ts"
import { natural } from "../frame/settings.ts"
import { rangeOf, timeFlag } from "../frame/times.ts"

/** The flags that bound what is replayed. */
export const range = {
  from: natural("from", 1).pipe(Flag.withDescription("First position"), Flag.optional),
  to: natural("to", 1).pipe(Flag.withDescription("Last position"), Flag.optional),
  since: timeFlag("since", "Begin with the first event that was recorded then or later"),
  until: timeFlag("until", "End before the first event that was recorded then or later")
}

/** What was asked for, as it was typed. */
export interface AskedRange {
  readonly from: Option.Option<number>
  readonly to: Option.Option<number>
  readonly since: Option.Option<string>
  readonly until: Option.Option<string>
}

/** What was asked for, read. A beginning that is a time is the position of an event by now. */
export interface Range {
  readonly from: number | undefined
  readonly to: number | undefined
  readonly until: DateTime.Utc | undefined
}

export const isBounded = ({ from, since, to, until }: AskedRange): boolean =>
  [from, since, to, until].some((bound: Option.Option<unknown>) => Option.isSome(bound))

/** Reads the flags. Two that say the same in two ways are a mistake. */
export const readRange = (
  { from, since, to, until }: AskedRange
): Effect.Effect<Range, Refused | InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    if (Option.isSome(from) && Option.isSome(since)) {
      return yield* wrongInput("--from and --since both say where to begin", "give one of them")
    }
    if (Option.isSome(to) && Option.isSome(until)) {
      return yield* wrongInput("--to and --until both say where to end", "give one of them")
    }
    const { since: begin, until: end } = yield* rangeOf({ since, until })
    return {
      from: Option.getOrUndefined(from) ?? (begin === undefined ? undefined : yield* positionAt(begin)),
      to: Option.getOrUndefined(to),
      until: end
    }
  })

/** Position of the first event that was recorded at a time or later; behind the end where there is none. */
export const positionAt = (
  time: DateTime.Utc
): Effect.Effect<number, InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const first = yield* Stream.runHead(store.readAll({ recordedFrom: time, limit: 1 }))
    return Option.isSome(first) ? first.value.position : (yield* store.head()) + 1
  })
