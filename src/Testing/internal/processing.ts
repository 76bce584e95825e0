import { Cause, Clock, DateTime, Effect, Exit, Fiber, Option, Schema, type Scope, Stream } from "effect"
import * as ProcessManager from "../../Projection/ProcessManager.ts"
import type { EventStore } from "../../Store/EventStore.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import { inStore, until } from "./consuming.ts"
import { type Counted, freshName, type Noted, type Notes, type Store, textOf } from "./rule.ts"

/** A command without a meaning. */
export class Say extends Schema.TaggedClass<Say>()("Say", { text: Schema.String }) {}

export interface State {
  readonly texts: ReadonlyArray<string>
}

export const State = Schema.Struct({ texts: Schema.Array(Schema.String) })

export type Timers = "first" | "second"

export type Answer = ProcessManager.Answer<State, Say, Timers>
export type Context = ProcessManager.Context<any, Timers>
export type Manager = ProcessManager.ProcessManager<string, Noted | Counted, State, Say, Timers, any, never>

/** The state after one more text. */
export const heard = (state: State, event: Noted | Counted): { readonly state: State } => ({
  state: { texts: [...state.texts, textOf(event)] }
})

/** The same, and it says the text. */
export const heardAndSaid = (state: State, event: Noted) => ({
  ...heard(state, event),
  send: [new Say({ text: event.text })]
})

export interface ManagerOptions {
  /** Another program of the same manager has the same name. */
  readonly name?: string
  readonly from: Notes
  readonly correlate?: (recorded: { readonly streamId: string; readonly event: Noted | Counted }) => string | undefined
  readonly starts?: ReadonlyArray<"Noted" | "Counted">
  readonly noted?: (state: State, event: Noted, context: Context) => Answer
  readonly counted?: (state: State, event: Counted, context: Context) => Answer
  readonly onTimer?: (state: State, name: Timers, context: Context) => Answer
}

/** A manager of its own for a rule: what is left out remembers the texts of its events. */
export const managerOf = ({ name = freshName(), from, ...options }: ManagerOptions): Manager => {
  const onTimer = (name: Timers) => (state: State, _: unknown, context: Context): Answer =>
    options.onTimer === undefined ? { state: { texts: [...state.texts, name] } } : options.onTimer(state, name, context)
  return ProcessManager.make(name, {
    from,
    correlate: options.correlate ?? ProcessManager.byStreamId,
    starts: options.starts,
    state: State,
    initial: () => ({ texts: [] }),
    commands: [Say],
    timers: ["first", "second"]
  }, {
    handle: { Noted: options.noted ?? heard, Counted: options.counted ?? heard },
    onTimer: { first: onTimer("first"), second: onTimer("second") }
    // what handlers need is their own affair
  }) as Manager
}

/** A manager at work until its scope closes, and the commands that it carried out. */
export interface Running {
  /** `<id>: <text>`, in the order in which that was begun. */
  readonly performed: ReadonlyArray<string>
  readonly contexts: ReadonlyArray<ProcessManager.CommandContext<Say>>
  readonly stop: Effect.Effect<void>
  readonly end: Effect.Effect<Exit.Exit<never, any>>
}

export interface RunOptions extends ProcessManager.WorkOptions {
  readonly commands?: ProcessManager.WorkOptions
  readonly clock?: Clock.Clock
  readonly perform?: (
    command: Say,
    context: ProcessManager.CommandContext<Say>
  ) => Effect.Effect<unknown, any, EventStore>
}

/** Runs a manager: a command is carried out at once where nothing is said about it. */
export const manage = (
  store: Store,
  manager: Manager,
  { clock, perform, ...options }: RunOptions = {}
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.gen(function*() {
    const performed: Array<string> = []
    const contexts: Array<ProcessManager.CommandContext<Say>> = []
    const running = inStore(store)(ProcessManager.run(manager, {
      ...options,
      perform: {
        Say: (command, context) =>
          Effect.suspend(() => {
            performed.push(`${context.id}: ${command.text}`)
            contexts.push(context)
            return perform === undefined ? Effect.void : perform(command, context)
          })
      }
    }))
    const fiber = yield* Effect.forkScoped(
      clock === undefined ? running : Effect.provideService(running, Clock.Clock, clock)
    )
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) failures.push(Cause.pretty(exit.cause))
    })
    return { performed, contexts, stop: Fiber.interrupt(fiber), end: Fiber.await(fiber) }
  })

/** Managers that ended by themselves: those who wait for one learn of it. */
const failures: Array<string> = []

/** Waits until a persistent subscription has finished or parked everything up to a position. */
const untilHandled = (store: Store, subscription: string, position: number): Effect.Effect<void, any> =>
  until(
    `the end of ${subscription} up to ${position}`,
    () =>
      failures.length > 0
        ? Effect.die(new Error(`a manager ended: ${failures.splice(0).join("\n")}`))
        : Effect.map(
          inStore(store)(PersistentSubscription.info(subscription)),
          (info) => Option.isSome(info) && info.value.checkpoint >= position
        )
  )

/** Waits until a manager has handled, or parked, an event that it reacts to and all before it. */
export const handled = (store: Store, manager: Manager, { position }: { readonly position: number }) =>
  untilHandled(store, manager.subscriptions.events, position)

/** Waits until a process is as it should be. */
export const untilState = (store: Store, manager: Manager, id: string, texts: ReadonlyArray<string> | undefined) =>
  until(
    `${id} to be ${texts ?? "gone"}`,
    () => Effect.map(textsOf(store, manager, id), (found) => String(found) === String(texts))
  )

/** The texts of a process that runs. */
export const textsOf = (store: Store, manager: Manager, id: string) =>
  Effect.map(
    inStore(store)(ProcessManager.state(manager, id)),
    (state) => Option.getOrUndefined(Option.map(state, ({ texts }) => texts))
  )

export const historyOf = (store: Store, manager: Manager, id: string) =>
  inStore(store)(Stream.runCollect(ProcessManager.history(manager, id)))

/** The types of the events that a process reacted to, with the state they led to. */
export const movesOf = (store: Store, manager: Manager, id: string) =>
  Effect.map(
    historyOf(store, manager, id),
    (moves) => moves.map(({ cause, process }) => `${cause.type} -> ${process.state.texts.join(" ")}`)
  )

/** Commands in the outbox of a process. */
export const sentBy = (store: Store, manager: Manager, id: string) =>
  Effect.map(
    Stream.runCollect(store.read(manager.categories.commands.stream(id))),
    (sent) => sent.map(({ event }) => event.text)
  )

/** Timers of a process that fired. */
export const firedOf = (store: Store, manager: Manager, id: string) =>
  Effect.map(
    Stream.runCollect(store.read(manager.categories.timers.stream(id))),
    (fired) => fired.map(({ event }) => event.name)
  )

/** Timers that wait: whose, which, and in how many milliseconds from a time. */
export const waitingOf = (store: Store, manager: Manager, now: number) =>
  Effect.map(
    inStore(store)(ProcessManager.timers(manager)),
    (timers) => timers.map(({ at, id, name }) => `${id} ${name} ${DateTime.toEpochMillis(at) - now}`)
  )

/** What was parked: where, of which process, why. */
export const parkedOf = (store: Store, manager: Manager) =>
  Effect.map(
    inStore(store)(Stream.runCollect(ProcessManager.parked(manager))),
    (parked) =>
      parked.map(({ attempts, error, id, reason, subscription }) => ({ attempts, error, id, reason, subscription }))
  )
