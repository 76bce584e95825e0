import { DateTime, Effect, Option, Stream } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import { InvalidInput, type StoreError } from "../../Store/StoreError.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import type { Any, Listed, ParkedOf, PendingTimer, ReadError, Transition } from "../ProcessManager.ts"
import { TypeId } from "./processDefinition.ts"
import { loadLast, toProcess } from "./processStore.ts"

/** Processes of a list that are read at a time. */
const concurrency = 8

const defaultLimit = 1000

export const state = (manager: Any, id: string): Effect.Effect<Option.Option<any>, ReadError, any> =>
  Effect.map(find(manager, id), (found) => found?.status === "running" ? Option.some(found.state) : Option.none())

/** A process as its last move left it. */
const find = (manager: Any, id: string): Effect.Effect<Listed<any, any> | undefined, ReadError, any> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const { last } = yield* loadLast(store, manager[TypeId], id)
    if (last === undefined) return undefined
    const process = yield* toProcess(manager[TypeId], id, last)
    return { ...process, version: last.streamVersion, movedAt: last.recordedAt }
  }).pipe(Effect.catchTag("StreamTombstoned", () => Effect.succeed(undefined)))

export const history = (manager: Any, id: string): Stream.Stream<Transition<any, any>, ReadError, any> =>
  Stream.unwrap(Effect.map(EventStore, (store) =>
    store.read(manager[TypeId].categories.processes.stream(id)).pipe(
      Stream.mapEffect((moved) =>
        Effect.map(toProcess(manager[TypeId], id, moved), (process): Transition<any, any> => ({
          version: moved.streamVersion,
          recordedAt: moved.recordedAt,
          cause: moved.event.cause,
          process,
          sent: moved.event.sent
        }))
      ),
      Stream.catchTag("StreamTombstoned", () => Stream.empty)
    )))

export const list = (
  manager: Any,
  options: { readonly prefix?: string | undefined; readonly ended?: boolean | undefined } = {}
): Stream.Stream<Listed<any, any>, ReadError, any> =>
  Stream.unwrap(Effect.map(EventStore, (store) => {
    const first = `${manager.name}-`
    return store.streams({ category: manager.name, prefix: first + (options.prefix ?? "") }).pipe(
      Stream.mapEffect(({ streamId }) => find(manager, streamId.slice(first.length)), { concurrency }),
      Stream.filter((found): found is Listed<any, any> =>
        found !== undefined && (options.ended === true || found.status === "running")
      )
    )
  }))

export const timers = (
  manager: Any,
  { limit = defaultLimit }: { readonly limit?: number | undefined } = {}
): Effect.Effect<ReadonlyArray<PendingTimer<any>>, InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    if (!Number.isSafeInteger(limit) || limit < 1) {
      return yield* new InvalidInput({
        field: "limit",
        problem: `is ${String(limit)}, which is not a whole number from 1`
      })
    }
    const { storage } = yield* EventStore
    const found = yield* storage.projections.timers.list(manager.name, limit)
    return found.map(({ at, key, name }) => ({ id: key, name, at: DateTime.makeUnsafe(at) }))
  })

export const parked = (
  manager: Any,
  filter?: PersistentSubscription.ParkedFilter
): Stream.Stream<ParkedOf, InvalidInput | StoreError, EventStore> => {
  const { categories, commands } = manager[TypeId]
  const { subscriptions } = manager
  const parkedOf = (subscription: string, idOf: (key: string) => string) =>
    PersistentSubscription.parked(subscription, filter).pipe(
      // nobody has run it yet
      Stream.catchTag("SubscriptionNotFound", () => Stream.empty),
      Stream.map((parked): ParkedOf => ({
        ...parked,
        subscription,
        id: parked.key === null ? undefined : idOf(parked.key)
      }))
    )
  const events = parkedOf(subscriptions.events, (key) => key)
  return commands.length === 0
    ? events
    : Stream.concat(events, parkedOf(subscriptions.commands, (key) => key.slice(categories.commands.name.length + 1)))
}
