import { Schema } from "effect"
import type * as Event from "../../Event/Event.ts"
import * as Category from "../../Stream/Category.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import * as StreamId from "../../Stream/StreamId.ts"
import type * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import type { Any, Options } from "../ProcessManager.ts"
import { Moved, TimerFired } from "./processEvents.ts"
import { type StateCodec, stateCodec } from "./processState.ts"
import { categoriesOf } from "./source.ts"

/** Key under which a manager carries what it is for those who run it. */
export const TypeId = "~effect-eventstore/Projection/ProcessManager"

/** A handler of an event or of a timer, whatever its types. */
export type AnyHandler = (state: unknown, event: any, context: any) => unknown

/** What a process manager is for those who run it. */
export interface ProcessDefinition {
  readonly name: string
  readonly from: ReadonlyArray<Category.Any>
  readonly start: PersistentSubscription.Start | undefined
  readonly correlate: (recorded: Recorded<any>) => unknown
  /** `undefined`: every event starts a process. */
  readonly starts: ReadonlySet<string> | undefined
  readonly state: StateCodec
  readonly initial: (id: string) => unknown
  /** Tags of the commands that it sends. */
  readonly commands: ReadonlyArray<string>
  readonly timers: ReadonlySet<string>
  readonly handlers: ReadonlyMap<string, AnyHandler>
  readonly timerHandlers: ReadonlyMap<string, AnyHandler>
  readonly categories: {
    readonly processes: Category.Category<string, string, Moved, Moved, never>
    readonly commands: Category.Category<string, string, any, any, any>
    readonly timers: Category.Category<string, string, TimerFired, TimerFired, never>
  }
  readonly subscriptions: { readonly events: string; readonly commands: string }
}

type AnyOptions = Options<any, any, any, any, ReadonlyArray<Event.Member>, ReadonlyArray<string>>

interface AnyHandlers {
  readonly handle: Readonly<Record<string, AnyHandler>>
  readonly onTimer?: Readonly<Record<string, AnyHandler>> | undefined
}

const maxTimerLength = 512

/** Leaves room for the suffixes of its categories and subscriptions. */
const maxNameLength = 119

export const makeDefinition = (name: string, options: AnyOptions, { handle, onTimer = {} }: AnyHandlers): Any => {
  const problem = StreamId.problemOfName(name, maxNameLength) ?? (name.includes("-") ? "has a hyphen" : undefined)
  if (problem !== undefined) throw new Error(`The name ${JSON.stringify(name)} of a process manager ${problem}`)
  const what = `the process manager ${name}`
  const from = categoriesOf(what, options.from)
  checkStarts(what, options.starts, Object.keys(handle))
  for (const timer of options.timers ?? []) checkTimer(what, timer)
  const categories = {
    processes: Category.make(name, { id: Schema.String, events: [Moved] }),
    commands: Category.make(`${name}.commands`, { id: Schema.String, events: options.commands ?? [] }),
    timers: Category.make(`${name}.timers`, { id: Schema.String, events: [TimerFired] })
  }
  for (const own of Object.values(categories)) {
    if (from.some((category) => category.name === own.name)) {
      throw new Error(`The process manager ${name} cannot react to what it keeps itself, in ${own.name}`)
    }
  }
  const subscriptions = { events: name, commands: `${name}.commands` }
  const definition: ProcessDefinition = {
    name,
    from,
    start: options.start,
    correlate: options.correlate,
    starts: options.starts && new Set(options.starts),
    state: stateCodec(options.state),
    initial: options.initial,
    commands: categories.commands.codec.types.flatMap(({ current, tag }) => current === undefined ? [] : [tag]),
    timers: new Set(options.timers),
    handlers: handlersOf(handle),
    timerHandlers: handlersOf(onTimer),
    categories,
    subscriptions
  }
  return { [TypeId]: definition, name, categories, subscriptions }
}

/** There is a handler for each event that there can be. */
const checkStarts = (what: string, starts: ReadonlyArray<string> | undefined, tags: ReadonlyArray<string>): void => {
  if (starts === undefined) return
  if (starts.length === 0) throw new Error(`starts of ${what} is empty: none would ever begin`)
  const stranger = starts.find((tag) => !tags.includes(tag))
  if (stranger !== undefined) {
    throw new Error(`starts of ${what} has ${stranger}, which is no event: there are ${tags.join(", ")}`)
  }
}

const checkTimer = (what: string, timer: string): void => {
  const problem = typeof timer === "string" ? StreamId.problemOfName(timer, maxTimerLength) : "is not a text"
  if (problem !== undefined) throw new Error(`The name ${JSON.stringify(timer)} of a timer of ${what} ${problem}`)
}

const handlersOf = (handlers: Readonly<Record<string, AnyHandler>>): ReadonlyMap<string, AnyHandler> =>
  new Map(Object.entries(handlers))
