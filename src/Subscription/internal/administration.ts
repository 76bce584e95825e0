import { Clock, DateTime, Effect, Option, Stream } from "effect"
import type { RawEvent } from "../../Event/RawEvent.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { InvalidInput, type StoreError } from "../../Store/StoreError.ts"
import type { ParkedDelivery, SubscriptionState } from "../../Store/SubscriptionStorage.ts"
import * as Category from "../../Stream/Category.ts"
import type { Position } from "../../Stream/Position.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Change, Declaration, Info, Parked, ParkedFilter } from "../PersistentSubscription.ts"
import { SubscriptionExists, SubscriptionNotFound } from "../SubscriptionError.ts"
import { checkFlag, checkName, toDefinition, toFilter, toStart, whole } from "./declaration.ts"

/** Parked deliveries that are read, replayed or discarded at a time. */
const pageSize = 500

export const create = (
  name: string,
  declaration: Declaration<any>
): Effect.Effect<void, SubscriptionExists | InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage } = yield* EventStore
    const definition = yield* toDefinition(name, declaration)
    const start = yield* toStart(storage, declaration.start)
    const created = yield* storage.subscriptions.create(definition, start)
    if (!created) return yield* new SubscriptionExists({ subscription: name })
  })

export const update = (
  name: string,
  change: Change
): Effect.Effect<void, SubscriptionNotFound | InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage, tail } = yield* EventStore
    yield* checkName(name)
    const { capacity, from, ordering, parkedBlocks, start } = change
    const filterParts = ["types", "tags", "streamPrefix", "recordedFrom", "recordedUntil"] as const
    if (from === undefined && filterParts.some((part) => change[part] !== undefined)) {
      return yield* new InvalidInput({ field: "from", problem: "is missing: a filter is replaced as a whole" })
    }
    if (ordering !== undefined && ordering !== "none" && ordering !== "stream") {
      return yield* new InvalidInput({ field: "ordering", problem: `is neither "none" nor "stream"` })
    }
    const found = yield* storage.subscriptions.update(name, {
      ...(from === undefined ? {} : { filter: yield* toFilter({ ...change, ordering, from }) }),
      ...(ordering === undefined ? {} : { ordering }),
      ...(parkedBlocks === undefined ? {} : { parkedBlocks: yield* checkFlag("parkedBlocks", parkedBlocks) }),
      ...(capacity === undefined ? {} : { capacity: yield* whole("capacity", capacity, 1) }),
      ...(start === undefined ? {} : { start: yield* toStart(storage, start) })
    })
    if (!found) return yield* new SubscriptionNotFound({ subscription: name })
    tail.changed(name)
  })

export const remove = (
  name: string
): Effect.Effect<void, SubscriptionNotFound | InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage, tail } = yield* EventStore
    yield* checkName(name)
    const found = yield* storage.subscriptions.remove(name)
    if (!found) return yield* new SubscriptionNotFound({ subscription: name })
    tail.changed(name)
  })

const toInfo = (state: SubscriptionState, head: number): Info => {
  const { id: _id, ...info } = state
  return { ...info, lag: Math.max(0, head - info.checkpoint) }
}

export const list: Effect.Effect<ReadonlyArray<Info>, StoreError, EventStore> = Effect.gen(function*() {
  const { storage } = yield* EventStore
  const states = yield* storage.subscriptions.list(StorageTime.of(yield* Clock.Clock))
  const head = yield* storage.head
  return states.map((state) => toInfo(state, head))
})

export const info = (name: string): Effect.Effect<Option.Option<Info>, InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage } = yield* EventStore
    yield* checkName(name)
    const state = yield* storage.subscriptions.state(name, StorageTime.of(yield* Clock.Clock))
    if (Option.isNone(state)) return Option.none()
    return Option.some(toInfo(state.value, yield* storage.head))
  })

/** The number that stands for a subscription in its storage. */
const idOf = (name: string): Effect.Effect<number, SubscriptionNotFound | InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage } = yield* EventStore
    yield* checkName(name)
    const state = yield* storage.subscriptions.state(name, StorageTime.of(yield* Clock.Clock))
    if (Option.isNone(state)) return yield* new SubscriptionNotFound({ subscription: name })
    return state.value.id
  })

const toParked = ({ attempts, error, event, key, parkedAt, position, reason }: ParkedDelivery): Parked => {
  const recorded: Array<Recorded<RawEvent>> = []
  if (event !== undefined) void Category.raw.codec.decode(event, recorded)
  return {
    position: position as Position,
    recorded: Option.fromUndefinedOr(recorded[0]),
    key,
    attempts,
    reason,
    error,
    parkedAt: DateTime.makeUnsafe(parkedAt)
  }
}

/** What a filter lets pass, before anything is decoded. */
const passes = ({ key, positions, reason, streamId, types }: ParkedFilter) => {
  const wanted = positions === undefined ? undefined : new Set(positions)
  return (parked: ParkedDelivery): boolean =>
    (wanted === undefined || wanted.has(parked.position)) &&
    (key === undefined || parked.key === key) &&
    (reason === undefined || parked.reason.includes(reason)) &&
    (types === undefined || parked.event !== undefined && types.includes(parked.event.type)) &&
    (streamId === undefined || parked.event?.streamId === streamId)
}

const checkPositions = (positions: ReadonlyArray<number>): Effect.Effect<void, InvalidInput> => {
  const bad = positions.find((position) => !Number.isSafeInteger(position) || position < 1)
  return bad === undefined
    ? Effect.void
    : Effect.fail(new InvalidInput({ field: "positions", problem: `have ${String(bad)}, which is not a position` }))
}

/** Pages of parked deliveries, as long as they are pulled. */
const pages = (
  id: number,
  filter: ParkedFilter = {}
): Stream.Stream<ReadonlyArray<ParkedDelivery>, InvalidInput | StoreError, EventStore> =>
  Stream.unwrap(Effect.gen(function*() {
    const { storage } = yield* EventStore
    yield* checkPositions(filter.positions ?? [])
    const isWanted = passes(filter)
    const first = filter.positions === undefined ? 0 : Math.min(...filter.positions.map((position) => position - 1))
    const last = filter.positions === undefined ? Infinity : Math.max(...filter.positions)
    return Stream.paginate(first, (after: number) =>
      first >= last
        ? Effect.succeed([[], Option.none<number>()] as const)
        : Effect.map(storage.subscriptions.parked(id, { after, limit: pageSize }), (page) => {
          const next = page[page.length - 1]?.position ?? Infinity
          const more = page.length === pageSize && next < last
          return [[page.filter(isWanted)], more ? Option.some(next) : Option.none<number>()] as const
        }))
  }))

export const parked = (
  name: string,
  filter?: ParkedFilter
): Stream.Stream<Parked, SubscriptionNotFound | InvalidInput | StoreError, EventStore> =>
  Stream.flatMap(
    Stream.unwrap(Effect.map(idOf(name), (id) => pages(id, filter))),
    (page) => Stream.fromIterable(page.map(toParked))
  )

/** Does something with parked deliveries, page by page, and counts them. */
const forParked = (
  operation: "replay" | "discard",
  name: string,
  filter: ParkedFilter | undefined
): Effect.Effect<number, SubscriptionNotFound | InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage, tail } = yield* EventStore
    const id = yield* idOf(name)
    const parts = Object.values(filter ?? {})
    if (parts.length > 0 && parts.every((part) => part === undefined)) {
      // a value that is missing by mistake must not mean all there are
      return yield* new InvalidInput({
        field: "filter",
        problem: "has only parts that are undefined; leave it out for all"
      })
    }
    let count = 0
    yield* Stream.runForEach(pages(id, filter), (page) =>
      page.length === 0
        ? Effect.void
        : Effect.map(storage.subscriptions[operation](id, page.map(({ position }) => position)), (changed) => {
          count += changed
          // what is parked may have kept others waiting
          if (changed > 0) tail.changed(name)
        }))
    return count
  })

export const replay = (
  name: string,
  filter?: ParkedFilter
): Effect.Effect<number, SubscriptionNotFound | InvalidInput | StoreError, EventStore> =>
  forParked("replay", name, filter)

export const discard = (
  name: string,
  filter?: ParkedFilter
): Effect.Effect<number, SubscriptionNotFound | InvalidInput | StoreError, EventStore> =>
  forParked("discard", name, filter)

export const skip = (
  name: string,
  positions: ReadonlyArray<number>
): Effect.Effect<number, SubscriptionNotFound | InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage, tail } = yield* EventStore
    if (yield* storage.inTransaction) {
      // it may be that of a delivery, which would be waited for
      return yield* new InvalidInput({ field: "transaction", problem: "is open: skip before or after it" })
    }
    const id = yield* idOf(name)
    yield* checkPositions(positions)
    const count = yield* storage.subscriptions.skip(id, positions)
    if (count > 0) tail.changed(name)
    return count
  })
