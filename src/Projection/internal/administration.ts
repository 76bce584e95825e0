import { Clock, DateTime, Duration, Effect, Option, Stream } from "effect"
import type { RawEvent } from "../../Event/RawEvent.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as LogFilter from "../../Store/LogFilter.ts"
import type { ParkedEvent, ProjectionState } from "../../Store/ProjectionStorage.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import type { InvalidInput, StoreError } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import type { Position } from "../../Stream/Position.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Named, OfVersion, Parked, Status } from "../Projection.ts"
import {
  type AwaitTimedOut,
  NoPreviousVersion,
  ProjectionNotFound,
  VersionBehind,
  VersionIsLive
} from "../ProjectionError.ts"
import { channelOf } from "./core.ts"
import { checkName } from "./naming.ts"
import { mostPartitions, span, whole } from "./settings.ts"
import { steadyMillis } from "./time.ts"

type Refused = ProjectionNotFound | InvalidInput | StoreError

/** Parked events that are read at a time. */
const pageSize = 500

export const nameOf = (named: Named): string => typeof named === "string" ? named : named.definition.name

const toStatus = (state: ProjectionState, head: number): Status => {
  const { filter: _, id: _id, rehearsal: _rehearsal, schema: _schema, startPosition: _startPosition, ...rest } = state
  const position = state.isApplied ? head : Math.min(...state.partitions.map(({ position }) => position))
  return {
    ...rest,
    position: position as Position,
    head: head as Position,
    lag: Math.max(0, head - position),
    handled: state.partitions.reduce((sum, { handled }) => sum + handled, 0),
    rate: state.partitions.reduce((sum, { owner, rate }) => owner === null ? sum : sum + rate, 0)
  }
}

const states = (name: string | undefined): Effect.Effect<ReadonlyArray<ProjectionState>, StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage } = yield* EventStore
    return yield* storage.projections.states(name, StorageTime.of(yield* Clock.Clock))
  })

export const statuses = (
  named?: Named
): Effect.Effect<ReadonlyArray<Status>, InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage } = yield* EventStore
    const name = named === undefined ? undefined : yield* checkName(nameOf(named))
    const known = yield* states(name)
    const head = yield* storage.head
    return known.map((state) => toStatus(state, head))
  })

/** A version by its number; else that of a projection, or the live one of a name. */
export const stateOf = (named: Named, of: OfVersion = {}): Effect.Effect<ProjectionState, Refused, EventStore> =>
  Effect.gen(function*() {
    const projection = yield* checkName(nameOf(named))
    const version = of.version ?? (typeof named === "string" ? undefined : named.definition.version)
    const found = (yield* states(projection)).find((state) =>
      version === undefined ? state.isLive : state.version === version
    )
    if (found !== undefined) return found
    return yield* new ProjectionNotFound(version === undefined ? { projection } : { projection, version })
  })

export const status = (named: Named, of?: OfVersion): Effect.Effect<Status, Refused, EventStore> =>
  Effect.gen(function*() {
    const { storage } = yield* EventStore
    const state = yield* stateOf(named, of)
    return toStatus(state, yield* storage.head)
  })

/** What keeps a version from going on, as far as is known of it. */
export const hindranceOf = (
  { error, isApplied, partitions, status }: ProjectionState
): Pick<AwaitTimedOut, "why"> & { readonly error?: string } =>
  status === "paused"
    ? { why: "paused" }
    : !isApplied && partitions.every(({ owner }) => owner === null)
    ? { why: "idle" }
    : error === null
    ? { why: "behind" }
    : { why: "failing", error }

/** Does something to a version, and lets all who work on it look again. */
const change = <A, E>(
  named: Named,
  of: OfVersion | undefined,
  effect: (projections: EventStore["Service"]["storage"]["projections"], state: ProjectionState) => Effect.Effect<A, E>
): Effect.Effect<A, E | Refused, EventStore> =>
  Effect.gen(function*() {
    const { storage, tail } = yield* EventStore
    const state = yield* stateOf(named, of)
    return yield* Effect.ensuring(
      effect(storage.projections, state),
      Effect.sync(() => tail.changed(channelOf(state.name)))
    )
  })

/** It may have been dropped between two questions. */
const ifKnown = (
  state: ProjectionState,
  known: Effect.Effect<boolean, StoreError>
): Effect.Effect<void, ProjectionNotFound | StoreError> =>
  Effect.flatMap(known, (isKnown) => isKnown ? Effect.void : Effect.fail(notFound(state)))

const notFound = ({ name, version }: ProjectionState) => new ProjectionNotFound({ projection: name, version })

const changing = (operation: "pause" | "resume" | "reset") => (named: Named, of?: OfVersion) =>
  change(named, of, (projections, state) => ifKnown(state, projections[operation](state.id)))

export const pause = changing("pause")
export const resume = changing("resume")
export const reset = changing("reset")

export const repartition = (
  named: Named,
  partitions: number,
  of?: OfVersion
): Effect.Effect<void, Refused, EventStore> =>
  Effect.gen(function*() {
    const count = yield* whole("partitions", partitions, mostPartitions)
    yield* change(named, of, (projections, state) => ifKnown(state, projections.repartition(state.id, count)))
  })

/** Milliseconds between two tries of a switch. */
const switchEvery = 20

/** Under load a version is some events behind the live one at any time, and has come as far in the next moment. */
export const switchTo = (
  named: Named,
  version: number,
  options: { readonly timeout?: Duration.Input | undefined } = {}
): Effect.Effect<"switched" | "wanted", VersionBehind | Refused, EventStore> =>
  Effect.gen(function*() {
    const timeout = yield* span("timeout", options.timeout ?? "5 seconds", 0)
    const clock = yield* Clock.Clock
    const until = steadyMillis(clock) + Duration.toMillis(timeout)
    while (true) {
      const state = yield* stateOf(nameOf(named), { version })
      const answer = yield* change(state.name, { version }, ({ switchTo }) => switchTo(state.id))
      if (answer === "unknown") return yield* notFound(state)
      if (answer !== "behind") return answer
      const left = until - steadyMillis(clock)
      if (state.stage === "building" || state.status !== "running" || left <= 0) {
        const { error, name: projection, status } = state
        return yield* new VersionBehind({ projection, version, status, ...(error === null ? {} : { error }) })
      }
      yield* Effect.sleep(Math.min(switchEvery, Math.ceil(left)))
    }
  })

export const rollBack = (
  named: Named,
  { from }: { readonly from?: number | undefined } = {}
): Effect.Effect<number, NoPreviousVersion | Refused, EventStore> =>
  change(nameOf(named), undefined, (projections, { name, version }) =>
    // somebody did it already
    from !== undefined && version !== from ? Effect.succeed(version) : Effect.flatMap(
      projections.rollBack(name),
      (version) =>
        version === undefined ? Effect.fail(new NoPreviousVersion({ projection: name })) : Effect.succeed(version)
    ))

export const drop = (named: Named, version: number): Effect.Effect<void, VersionIsLive | Refused, EventStore> =>
  change(
    named,
    { version },
    (projections, state) =>
      Effect.flatMap(projections.drop(state.id), (answer): Effect.Effect<void, VersionIsLive | ProjectionNotFound> =>
        answer === "live"
          ? Effect.fail(new VersionIsLive({ projection: state.name, version }))
          : answer === "unknown"
          ? Effect.fail(notFound(state))
          : Effect.void)
  )

const toParked = ({ event, parkedAt, position, ...parked }: ParkedEvent): Parked => {
  const recorded: Array<Recorded<RawEvent>> = []
  if (event !== undefined) void Category.raw.codec.decode(event, recorded)
  return {
    ...parked,
    position: position as Position,
    recorded: Option.fromUndefinedOr(recorded[0]),
    parkedAt: DateTime.makeUnsafe(parkedAt)
  }
}

export const parked = (
  named: Named,
  options: OfVersion & { readonly key?: string | undefined } = {}
): Stream.Stream<Parked, Refused, EventStore> =>
  Stream.unwrap(Effect.gen(function*() {
    const { storage } = yield* EventStore
    const key = options.key === undefined ? undefined : yield* LogFilter.textField("key", options.key)
    const { id } = yield* stateOf(named, options)
    // events of several keys are there once for each: a page may end between two
    return Stream.paginate({ after: 0, limit: pageSize }, ({ after, limit }) =>
      Effect.map(storage.projections.parked(id, { key, after, limit }), (page) => {
        if (page.length < limit) {
          return [page.map(toParked), Option.none()] as const
        }
        const last = page[page.length - 1]!.position
        const whole = page.filter(({ position }) =>
          position < last
        )
        return [
          whole.map(toParked),
          Option.some(
            whole.length === 0
              ? { after, limit: limit * 2 }
              : { after: whole[whole.length - 1]!.position, limit: pageSize }
          )
        ] as const
      }))
  }))

const changingParked = (operation: "replay" | "discard") =>
(
  named: Named,
  options: OfVersion & { readonly keys?: ReadonlyArray<string> | undefined } = {}
): Effect.Effect<number, Refused, EventStore> =>
  Effect.gen(function*() {
    const keys = options.keys === undefined
      ? undefined
      : yield* Effect.forEach(options.keys, (key, i) => LogFilter.textField(`keys[${i}]`, key))
    return yield* change(named, options, (projections, { id }) => projections[operation](id, keys))
  })

export const replay = changingParked("replay")
export const discard = changingParked("discard")
