import { DateTime, Duration, Effect, Option, Schema } from "effect"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import type { Entry } from "../../Store/EventStore.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { Retry } from "../../Subscription/Delivery.ts"
import type { Any, Outcome, Process, Step } from "../ProcessManager.ts"
import { type AnyHandler, type ProcessDefinition, TypeId } from "./processDefinition.ts"
import { TimerFired } from "./processEvents.ts"

/**
 * A handler answered what cannot be done. Trying again changes nothing, so the event is parked with this reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidStep extends Schema.TaggedError<InvalidStep>()("InvalidStep", {
  manager: Schema.String,
  /** Continues the sentence that begins with the handler. */
  problem: Schema.String
}) {
  override get message(): string {
    return `The handler of ${this.manager} ${this.problem}`
  }
}

/** What becomes of a process, and what goes with it. */
export interface Decision {
  readonly state: unknown
  readonly sent: ReadonlyArray<unknown>
  readonly appended: ReadonlyArray<Entry>
  /** Timers to set or, with `null`, to cancel. */
  readonly timers: ReadonlyMap<string, DateTime.Utc | null>
  readonly isEnd: boolean
}

type AnyProcess = Process<unknown, string>

/** Whether an event concerns a process at all. A timer that it does not wait for any more is none of its business. */
export const concerns = (definition: ProcessDefinition, process: AnyProcess, event: unknown): boolean => {
  switch (process.status) {
    case "ended":
      return false
    case "new":
      return !(event instanceof TimerFired) && (definition.starts?.has(tagOf(event)) ?? true)
    case "running":
      return !(event instanceof TimerFired) || isWaitedFor(process, event)
  }
}

/**
 * Between two timers of the same name and time there is nothing to tell: both are due, and whoever is handled first is the
 * one that was waited for.
 */
const isWaitedFor = ({ timers }: AnyProcess, { at, name }: TimerFired): boolean => {
  const waiting = timers[name]
  return waiting !== undefined && DateTime.toEpochMillis(waiting) === DateTime.toEpochMillis(at)
}

/** Asks the handler, and checks what it answers; `undefined` where the event is of no concern. */
export const decide = (
  definition: ProcessDefinition,
  process: AnyProcess,
  recorded: Recorded<any>,
  now: DateTime.Utc
): Effect.Effect<Decision | undefined, unknown, any> =>
  Effect.suspend(() => {
    const { event } = recorded
    if (!concerns(definition, process, event)) return Effect.succeed(undefined)
    const [handler, what] = handlerOf(definition, event)
    // a newer program may have it, which runs beside this one or soon in its place
    if (handler === undefined) return Effect.fail(new Retry({ reason: `${definition.name} does not handle ${what}` }))
    const context = { id: process.id, now, recorded, timers: withoutFired(process, event) }
    const answer = handler(process.state, event, context)
    const check = (answer: unknown) => toDecision(definition, process, answer, now, event instanceof TimerFired)
    return Effect.isEffect(answer) ? Effect.flatMap(answer, check) : check(answer)
  })

/** A timer that fired waits no more, whatever is thought of it: a move that says so. */
const nothing = { sent: [], appended: [], timers: new Map<string, never>(), isEnd: false }

const handlerOf = (definition: ProcessDefinition, event: unknown): readonly [AnyHandler | undefined, string] =>
  event instanceof TimerFired
    ? [definition.timerHandlers.get(event.name), `the timer ${event.name}`]
    : [definition.handlers.get(tagOf(event)), `the event ${tagOf(event)}`]

const tagOf = (event: any): string => event?._tag

/** The timers that wait, seen by the handler of an event. */
export const withoutFired = <A>({ timers }: { readonly timers: Readonly<Record<string, A>> }, event: unknown) => {
  if (!(event instanceof TimerFired)) return timers
  const { [event.name]: _fired, ...waiting } = timers
  return waiting
}

const toDecision = (
  definition: ProcessDefinition,
  process: AnyProcess,
  answer: unknown,
  now: DateTime.Utc,
  isTimer: boolean
): Effect.Effect<Decision | undefined, InvalidStep> => {
  if (answer === undefined) return Effect.succeed(isTimer ? { ...nothing, state: process.state } : undefined)
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
    return refuse(definition, "answers neither a step nor nothing")
  }
  const excess = Object.keys(answer).find((key) => !fields.has(key))
  if (excess !== undefined) return refuse(definition, `answers ${excess}, which no step has`)
  const step = answer as Step<unknown, unknown, string>
  const timers = new Map<string, DateTime.Utc | null>()
  for (const [name, setting] of Object.entries(step.timers ?? {})) {
    if (!definition.timers.has(name)) return refuse(definition, `names the timer ${name}, which is not declared`)
    if (setting === undefined) continue
    const time = timeOf(setting, now)
    if (time === undefined) return refuse(definition, `sets the timer ${name} to what is neither a duration nor a time`)
    if (time !== null && step.end === true) return refuse(definition, `sets the timer ${name} and ends the process`)
    timers.set(name, time)
  }
  return Effect.succeed({
    state: step.state === undefined ? process.state : step.state,
    sent: step.send ?? [],
    appended: step.append ?? [],
    timers,
    isEnd: step.end === true
  })
}

const fields = new Set<string>(
  ["state", "send", "append", "timers", "end"] satisfies ReadonlyArray<keyof Step<any, any, any>>
)

/** The time of a timer, to the millisecond and not before 1970; `undefined` where there is no such time. */
const timeOf = (setting: unknown, now: DateTime.Utc): DateTime.Utc | null | undefined => {
  if (setting === null) return null
  const millis = DateTime.isDateTime(setting) ? DateTime.toEpochMillis(setting) : millisAfter(setting, now)
  // beyond, there are no dates
  return Number.isFinite(millis) ? Option.getOrUndefined(DateTime.make(Math.max(0, Math.round(millis)))) : undefined
}

const millisAfter = (duration: unknown, now: DateTime.Utc): number =>
  Option.match(Duration.fromInput(duration as Duration.Input), {
    onNone: () => NaN,
    onSome: (after) => DateTime.toEpochMillis(now) + Duration.toMillis(after)
  })

const refuse = ({ name }: ProcessDefinition, problem: string): Effect.Effect<never, InvalidStep> =>
  Effect.fail(new InvalidStep({ manager: name, problem }))

/** The process after a decision. */
const after = (process: AnyProcess, event: unknown, decision: Decision): AnyProcess => ({
  id: process.id,
  status: decision.isEnd ? "ended" : "running",
  state: decision.state,
  timers: decision.isEnd ? {} : changed(withoutFired(process, event), decision.timers)
})

/** Timers after some were set and others cancelled. */
export const changed = <A>(
  timers: Readonly<Record<string, A>>,
  changes: ReadonlyMap<string, A | null>
): Readonly<Record<string, A>> => {
  const next = { ...timers }
  for (const [name, change] of changes) {
    if (change === null) delete next[name]
    else next[name] = change
  }
  return next
}

export const initial = (manager: Any, id: string): Process<any, any> => fresh(manager[TypeId], id)

/** A process that nothing has moved yet. */
export const fresh = (definition: ProcessDefinition, id: string): AnyProcess => ({
  id,
  status: "new",
  state: definition.initial(id),
  timers: {}
})

export const step = (
  manager: Any,
  process: Process<any, any>,
  event: unknown,
  options: {
    readonly now?: DateTime.Utc | undefined
    readonly recorded?: Partial<Omit<Recorded<unknown>, "event">> | undefined
  } = {}
): Effect.Effect<Outcome<any, any, any>, any, any> =>
  Effect.gen(function*() {
    const now = options.now ?? (yield* DateTime.now)
    const recorded = { ...somewhere(manager, process, tagOf(event), now), ...options.recorded, event }
    const decision = yield* decide(manager[TypeId], process, recorded, now)
    return decision === undefined
      ? { hasMoved: false, process, sent: [], appended: [] }
      : { hasMoved: true, process: after(process, event, decision), sent: decision.sent, appended: decision.appended }
  })

export const fire = (
  manager: Any,
  process: Process<any, any>,
  timer: string,
  options: { readonly now?: DateTime.Utc | undefined } = {}
): Effect.Effect<Outcome<any, any, any>, any, any> => {
  const at = process.timers[timer]
  return at === undefined
    ? Effect.succeed({ hasMoved: false, process, sent: [], appended: [] })
    : step(manager, process, new TimerFired({ name: timer, at }), { now: options.now ?? at })
}

/** A place in a log for an event that has none. */
const somewhere = (manager: Any, process: AnyProcess, type: string, now: DateTime.Utc) => ({
  type,
  schemaVersion: 1,
  eventId: "00000000-0000-8000-8000-000000000000",
  streamId: `${manager.name}-${process.id}`,
  streamVersion: 1,
  position: 1,
  metadata: EventMetadata.empty,
  tags: [],
  recordedAt: now,
  part: 0,
  parts: 1
} as unknown as Recorded<unknown>)
