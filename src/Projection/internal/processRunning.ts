import { Clock, Effect, Layer } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import { InvalidInput } from "../../Store/StoreError.ts"
import { type Delivery, Park } from "../../Subscription/Delivery.ts"
import * as Middleware from "../../Subscription/Middleware.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import type { Any, CommandContext, WorkOptions } from "../ProcessManager.ts"
import { orderingOf } from "./processCorrelation.ts"
import { type ProcessDefinition, TypeId } from "./processDefinition.ts"
import { makeMoving } from "./processMoving.ts"
import { ProcessTelemetry } from "./processTelemetry.ts"
import { ProcessTimers } from "./processTimers.ts"

type AnyOptions = WorkOptions & {
  readonly commands?: WorkOptions | undefined
  readonly perform?: Readonly<Record<string, Perform>> | undefined
}

type Perform = (command: unknown, context: CommandContext<unknown>) => Effect.Effect<unknown, unknown, any>

type StartError = PersistentSubscription.StartError

/** The parts of a manager at work: none waits for another. */
const partsOf = (manager: Any, options: AnyOptions) =>
  Effect.gen(function*() {
    const definition = manager[TypeId]
    const store = yield* EventStore
    const clock = yield* Clock.Clock
    const telemetry = new ProcessTelemetry(definition.name, yield* Effect.context<never>())
    const timers = new ProcessTimers(store, definition, telemetry, clock)
    const events = {
      ...workOf(options),
      from: [...definition.from, definition.categories.timers],
      start: definition.start,
      ordering: orderingOf(definition),
      handle: makeMoving(store, definition, telemetry, timers)
    }
    const commands = {
      ...workOf(options.commands),
      from: definition.categories.commands,
      handle: Middleware.causation(yield* makePerforming(definition, options.perform ?? {}))
    }
    return { commands, events, definition, timers }
  })

/** What the options say of a consumer. */
const workOf = (
  { attempts, buffer, checkpoint, concurrency = 4, lease, parkedBlocks, retry, timeout }: WorkOptions = {}
): WorkOptions => ({ attempts, buffer, checkpoint, concurrency, lease, parkedBlocks, retry, timeout })

const makePerforming = (
  definition: ProcessDefinition,
  performers: Readonly<Record<string, Perform>>
): Effect.Effect<(delivery: Delivery<any>) => Effect.Effect<void, unknown, any>, InvalidInput> => {
  const { name } = definition.categories.commands
  const missing = definition.commands.find((tag) => typeof performers[tag] !== "function")
  if (missing !== undefined) {
    return Effect.fail(new InvalidInput({ field: "perform", problem: `has no function for ${missing}` }))
  }
  return Effect.succeed((delivery) => {
    const { attempt, event, eventId, streamId, transaction } = delivery
    const perform = performers[event._tag]
    if (perform === undefined) {
      return Effect.fail(new Park({ reason: `nothing carries out the command ${event._tag}` }))
    }
    const id = streamId.slice(name.length + 1)
    return Effect.asVoid(perform(event, { id, idempotencyKey: eventId, attempt, recorded: delivery, transaction }))
  })
}

export const run = (
  manager: Any,
  options: AnyOptions
): Effect.Effect<never, PersistentSubscription.RunError, EventStore> =>
  Effect.gen(function*() {
    const { commands, definition, events, timers } = yield* partsOf(manager, options)
    const { subscriptions } = definition
    return yield* Effect.raceAllFirst([
      ...(definition.commands.length === 0 ? [] : [PersistentSubscription.run(subscriptions.commands, commands)]),
      PersistentSubscription.run(subscriptions.events, events),
      timers.run
    ])
  }) as never

export const layer = (manager: Any, options: AnyOptions): Layer.Layer<never, StartError, EventStore> =>
  Layer.unwrap(Effect.map(partsOf(manager, options), ({ commands, definition, events, timers }) => {
    const { subscriptions } = definition
    return Layer.mergeAll(
      definition.commands.length === 0 ? Layer.empty : PersistentSubscription.layer(subscriptions.commands, commands),
      PersistentSubscription.layer(subscriptions.events, events),
      Layer.effectDiscard(Effect.forkScoped(timers.run))
    )
  })) as never
