/* oxlint-disable unicorn/no-thenable -- given, when, then: refusingPromises keeps it from being awaited */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect } from "effect"
import * as ProcessManager from "../../Projection/ProcessManager.ts"
import type { Entry } from "../../Store/EventStore.ts"
import type { ExpectedStep, GivenProcess, WhenProcess } from "../Given.ts"
import { refusingPromises } from "./awaiting.ts"
import { expectSame, mustFail, orFail, textOf } from "./expecting.ts"
import { eventsIn } from "./givenProjections.ts"

/** A timer of a process that fired, in its history. */
export class Fired<Timer extends string> {
  readonly _tag = "Fired"
  readonly timer: Timer
  constructor(timer: Timer) {
    this.timer = timer
  }
}

/** Time that passed in the history of a process. */
export class Passed {
  readonly _tag = "Passed"
  readonly duration: Duration.Duration
  constructor(duration: Duration.Duration) {
    this.duration = duration
  }
}

export const fired = <const Timer extends string>(timer: Timer): Fired<Timer> => new Fired(timer)

export const passed = (duration: Duration.Input): Passed => new Passed(Duration.fromInputUnsafe(duration))

export const given = <Events, State, Commands, Timers extends string, E, R>(
  manager: ProcessManager.ProcessManager<string, Events, State, Commands, Timers, E, R>,
  id: string,
  history: ReadonlyArray<Events | Fired<Timers> | Passed>
): GivenProcess<Events, State, Commands, Timers, E, R> => {
  type Running = { readonly process: ProcessManager.Process<State, Timers>; readonly now: DateTime.Utc }
  const given = history.length === 0 ? "given nothing" : `given ${history.map(sayStep).join(", ")}`

  const fire = ({ now, process }: Running, timer: Timers, what: string) => {
    const at = (process.timers as { readonly [name: string]: DateTime.Utc | undefined })[timer]
    if (at === undefined) {
      const others = Object.keys(process.timers).join(", ")
      assert.fail(
        `${what}: the timer ${timer} does not wait, ${others === "" ? "and no other does" : `only ${others}`}`
      )
    }
    const time = DateTime.max(now, at)
    return Effect.map(
      ProcessManager.fire(manager, process, timer, { now: time }),
      (outcome) => ({ outcome, now: time })
    )
  }
  const begin = Effect.gen(function*() {
    let running: Running = { process: ProcessManager.initial(manager, id), now: yield* DateTime.now }
    for (const [i, one] of history.entries()) {
      const what = `given ${history.slice(0, i + 1).map(sayStep).join(", ")}`
      if (one instanceof Passed) {
        running = { ...running, now: DateTime.addDuration(running.now, one.duration) }
        continue
      }
      const { now } = running
      const moved = one instanceof Fired
        ? Effect.suspend(() => fire(running, one.timer, what))
        : Effect.map(
          ProcessManager.step(manager, running.process, one, { now }),
          (outcome) => ({ outcome, now })
        )
      const { outcome, now: then } = yield* orFail(what, moved)
      running = { process: outcome.process, now: then }
    }
    return running
  })
  const whenOf = (
    what: string,
    move: (
      running: Running
    ) => Effect.Effect<
      { readonly outcome: ProcessManager.Outcome<State, Commands, Timers>; readonly now: DateTime.Utc },
      E | ProcessManager.InvalidStep,
      R
    >
  ): WhenProcess<State, Commands, Timers, E, R> => {
    const moved = Effect.flatMap(begin, (running) => Effect.suspend(() => move(running)))
    return {
      then: refusingPromises((expected) =>
        Effect.map(orFail(what, moved), ({ now, outcome }) => {
          const [actual, wanted] = [sayOutcome(outcome), sayExpected(expected, now)]
          const asked = Object.fromEntries(Object.keys(wanted).map((key) => [key, actual[key as keyof typeof actual]]))
          // one below the other, so that the difference shows where it is
          expectSame(`${what}, another step was expected`, fieldsOf(asked), fieldsOf(wanted))
        })
      ),
      thenNothing: () =>
        Effect.map(orFail(what, moved), ({ outcome }) => {
          if (outcome.hasMoved) assert.fail(`${what}: expected nothing, and it moved\n  ${textOf(sayOutcome(outcome))}`)
        }),
      thenFails: (failure) =>
        mustFail(what, moved, failure, ({ outcome }) => `It moved to ${textOf(sayOutcome(outcome))}`)
    }
  }
  return {
    when: (event) =>
      whenOf(
        `${given}, when ${textOf(event)}`,
        ({ now, process }) =>
          Effect.map(ProcessManager.step(manager, process, event, { now }), (outcome) => ({ outcome, now }))
      ),
    whenTimer: (timer) => {
      const what = `${given}, when the timer ${timer} fires`
      return whenOf(what, (running) => fire(running, timer, what))
    }
  }
}

const sayStep = (step: unknown): string => {
  if (step instanceof Fired) return `the timer ${step.timer} fired`
  return step instanceof Passed ? `${Duration.format(step.duration)} passed` : textOf(step)
}

const sayOutcome = ({ appended, process, sent }: ProcessManager.Outcome<unknown, unknown, any>) => ({
  state: process.state,
  send: sent,
  append: appended.map(sayEntry),
  timers: process.timers as { readonly [name: string]: unknown },
  ended: process.status === "ended"
})

const sayEntry = (entry: Entry) => ({
  stream: entry.stream.streamId,
  events: eventsIn(entry),
  expected: entry.expected
})

const sayExpected = (expected: ExpectedStep<unknown, unknown, string>, now: DateTime.Utc): Record<string, unknown> => ({
  ...expected,
  ...(expected.append === undefined ? {} : { append: expected.append.map(sayEntry) }),
  ...(expected.timers === undefined ? {} : {
    timers: Object.fromEntries(
      Object.entries(expected.timers).map(([name, at]) => [
        name,
        DateTime.isDateTime(at) ? at : DateTime.addDuration(now, at as Duration.Input)
      ])
    )
  })
})

const fieldsOf = (fields: Record<string, unknown>): ReadonlyArray<Record<string, unknown>> =>
  Object.keys(fields).sort().map((key) => ({ [key]: fields[key] }))
