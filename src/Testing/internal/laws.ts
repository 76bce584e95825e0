import { Cause, Effect } from "effect"
import type { Arbitrary } from "effect/Arbitrary"
import type { Decider } from "../../Aggregate/Decider.ts"
import type * as Snapshot from "../../Snapshot/Snapshot.ts"
import type * as Category from "../../Stream/Category.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import { textOf } from "./expecting.ts"

/** Events that happened, and commands that are given then, one after the other. */
export interface Case {
  readonly events: ReadonlyArray<any>
  readonly commands: ReadonlyArray<any>
}

/** What laws are asked of. */
export interface Subject {
  readonly decider: Decider<any, any, any, any, any>
  readonly category: Category.Category<string, any, any, any, any> | undefined
  readonly snapshot: Snapshot.Any | undefined
  readonly cases: Arbitrary<Case>
  /** Stored samples of every version, and what they read as. */
  readonly samples: Effect.Effect<ReadonlyArray<Sample>, string, any> | undefined
}

export interface Sample {
  readonly name: string
  readonly events: ReadonlyArray<any>
}

export interface Law {
  /** Continues "it". */
  readonly name: string
  /** Fails with what is wrong. */
  readonly check: (one: Case) => Effect.Effect<void, string, any>
}

export const lawsOf = ({ category, decider, samples, snapshot }: Subject): ReadonlyArray<Law> => {
  const { initial, evolve } = decider
  const fold = (events: ReadonlyArray<any>, state: any = initial) =>
    events.reduce((state, event) => evolve(state, event), state)

  /** What a command leads to; a decision that fails leads to nothing. */
  const decide = (command: any, state: any): Effect.Effect<ReadonlyArray<any>, string, any> =>
    Effect.catchCause(decider.decide(command, state), (cause) =>
      cause.reasons.some((reason) => reason._tag === "Fail")
        ? Effect.succeed([])
        : Effect.fail(`decide throws at ${textOf(command)} on ${textOf(state)}: ${messageOf(cause)}`))

  /** All that happened in a case. */
  const history = ({ commands, events }: Case): Effect.Effect<ReadonlyArray<any>, string, any> =>
    Effect.gen(function*() {
      const happened = [...events]
      let state = fold(events)
      for (const command of commands) {
        const decided = yield* decide(command, state)
        happened.push(...decided)
        state = fold(decided, state)
      }
      return happened
    })

  const decides: Law = {
    name: category === undefined
      ? "decides only what it can fold"
      : "decides only what it can fold, and its category can store and read back",
    check: Effect.fnUntraced(function*({ commands, events }) {
      let state = fold(events)
      for (const command of commands) {
        for (const event of yield* decide(command, state)) {
          const what = `${textOf(command)} leads to ${textOf(event)}, which`
          const before = state
          state = yield* Effect.try({
            try: () => evolve(before, event),
            catch: (cause) => `${what} evolve cannot fold: ${cause}`
          })
          if (category !== undefined) {
            const read = yield* Effect.mapError(storedAndRead(category, event), (problem) => `${what} ${problem}`)
            if (textOf(read) !== textOf([event])) {
              return yield* Effect.fail(`${what} reads as ${textOf(read)} when it was stored`)
            }
          }
        }
      }
    })
  }
  const folds: Law = {
    name: "folds the same events into the same state, in two parts as at once",
    check: Effect.fnUntraced(function*(one) {
      const happened = yield* history(one)
      const whole = textOf(fold(happened))
      for (let at = 0; at <= happened.length; at++) {
        const parts = textOf(fold(happened.slice(at), fold(happened.slice(0, at))))
        if (parts !== whole) {
          return yield* Effect.fail(
            `${textOf(happened)} is ${whole} folded at once, and ${parts} in parts of ${at} and the rest`
          )
        }
      }
    })
  }
  const changesNothing: Law = {
    name: "changes neither state, event nor command when it folds and decides",
    check: Effect.fnUntraced(function*({ commands, events }) {
      let state = initial
      const evolved = (event: any) => {
        const before = state
        return Effect.map(
          unchanged("evolve", { state, event }, Effect.sync(() => evolve(before, event))),
          (next) => void (state = next)
        )
      }
      for (const event of events) yield* evolved(event)
      for (const command of commands) {
        const decided = yield* unchanged("decide", { state, command }, decide(command, state))
        for (const event of decided) yield* evolved(event)
      }
    }, Effect.catch((problem) => problem === elsewhere ? Effect.void : Effect.fail(problem)))
  }
  const saves = (snapshot: Snapshot.Any): Law => ({
    name: "goes on from a state that was saved as from the events",
    check: Effect.fnUntraced(function*(one) {
      const happened = yield* history(one)
      const whole = textOf(fold(happened))
      for (let at = 0; at <= happened.length; at++) {
        const state = fold(happened.slice(0, at))
        const text = yield* Effect.mapError(
          snapshot.encode(state),
          (problem) => `the state ${textOf(state)} ${problem}`
        )
        const loaded = yield* Effect.mapError(
          snapshot.decode({
            name: snapshot.name,
            streamId: "law-1",
            streamVersion: at,
            schemaVersion: snapshot.schemaVersion,
            state: text
          }),
          (error) => `the state ${textOf(state)} was saved as ${text}, and does not load: ${error.issue}`
        )
        const resumed = textOf(fold(happened.slice(at), loaded))
        if (resumed !== whole) {
          return yield* Effect.fail(
            `${
              textOf(happened)
            } is ${whole} folded at once, and ${resumed} from the state that was saved after ${at}: ${text}`
          )
        }
      }
    })
  })
  const reads = (samples: Effect.Effect<ReadonlyArray<Sample>, string, any>): Law => {
    let known: ReadonlyArray<Sample> | undefined
    return {
      name: "decodes the stored samples of every version, and folds them behind whatever happened",
      check: Effect.fnUntraced(function*(one) {
        known ??= yield* samples
        const before = fold(yield* history(one))
        for (const { events, name } of known) {
          const what = `${name} reads as ${events.map(textOf).join(", ")}, which`
          const state = yield* Effect.try({
            try: () => fold(events, before),
            catch: (cause) => `${what} evolve cannot fold: ${cause}`
          })
          if (snapshot !== undefined) {
            yield* Effect.mapError(snapshot.encode(state), (problem) => `${what} leads to a state that ${problem}`)
          }
        }
      })
    }
  }
  const others = [
    ...(snapshot === undefined ? [] : [saves(snapshot)]),
    ...(samples === undefined ? [] : [reads(samples)])
  ]
  // first what would lead the others astray
  return [changesNothing, decides, folds, ...others].map((law) => ({
    name: law.name,
    // a defect is a counterexample, too, and is made smaller
    check: (one) =>
      Effect.catchCause(law.check(one), (cause) => {
        const failure = cause.reasons.find((reason) => reason._tag === "Fail")
        return Effect.fail(failure === undefined ? messageOf(cause) : failure.error)
      })
  }))
}

const messageOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

const storedAndRead = (
  category: Category.Category<string, any, any, any, any>,
  event: any
): Effect.Effect<ReadonlyArray<unknown>, string, any> =>
  Effect.gen(function*() {
    const encoded = yield* Effect.mapError(category.codec.encode(event), (problem) => `cannot be stored: ${problem}`)
    const stored: StoredEvent = {
      ...encoded,
      position: 1,
      streamId: `${category.name}-1`,
      streamVersion: 1,
      eventId: "00000000-0000-7000-8000-000000000000" as StoredEvent["eventId"],
      metadata: null,
      tags: null,
      recordedAt: 0
    }
    const into: Array<Recorded<unknown>> = []
    yield* Effect.mapError(
      category.codec.decode(stored, into) ?? Effect.void,
      (error) => `cannot be read when it was stored: ${error.message}`
    )
    return into.map(({ event }) => event)
  })

/** What goes wrong is the affair of another law. */
const elsewhere = "elsewhere"

/** Runs what must not change what it is given. */
const unchanged = <A, R>(
  what: string,
  given: Readonly<Record<string, unknown>>,
  effect: Effect.Effect<A, string, R>
): Effect.Effect<A, string, R> =>
  Effect.gen(function*() {
    const before = Object.entries(given).map(([name, value]) => [name, value, textOf(value)] as const)
    for (const value of Object.values(given)) freeze(value, new Set())
    const answer = yield* Effect.catchCause(effect, (cause) => {
      const failure = cause.reasons.find((reason) => reason._tag === "Fail")
      const message = failure === undefined ? messageOf(cause) : failure.error
      if (!/TypeError: .*(read only|not extensible|Cannot (add|assign|delete|define))/.test(message)) {
        return Effect.fail(elsewhere)
      }
      const values = before.map(([name, , text]) => `${name} ${text}`).join(", ")
      return Effect.fail(`${what} fails on what is frozen, ${values}: ${message}`)
    })
    for (const [name, value, text] of before) {
      if (textOf(value) !== text) {
        return yield* Effect.fail(`${what} changes the ${name} from ${text} to ${textOf(value)}`)
      }
    }
    return answer
  })

/** Plain objects, lists and instances of classes; what keeps itself otherwise is compared only. */
const freeze = (value: unknown, seen: Set<object>): void => {
  if (typeof value !== "object" || value === null || seen.has(value) || ArrayBuffer.isView(value)) return
  seen.add(value)
  const { toJSON } = value as { readonly toJSON?: unknown }
  if (typeof toJSON === "function" || value instanceof Map || value instanceof Set) return
  Object.freeze(value)
  for (const inner of Object.values(value)) freeze(inner, seen)
}
