import { Clock, Context, DateTime, Duration, Effect, Random, type Scope, Tracer } from "effect"
import { makeUnsafe } from "../../Event/EventId.ts"
import { EventStore } from "../../Store/EventStore.ts"
import type { ProjectionState, RehearsedProjection } from "../../Store/ProjectionStorage.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { InvalidInput, type StoreError } from "../../Store/StoreError.ts"
import type * as Projection from "../Projection.ts"
import { ProjectionFailed, RehearsalChanged, RehearsalNotFound } from "../ProjectionError.ts"
import type { Rehearsal, RehearsalStatus, RehearseError, RehearseOptions } from "../Rehearsal.ts"
import type { Definition } from "./definition.ts"
import { differenceOf } from "./difference.ts"
import { failureOf, passingOf } from "./failure.ts"
import { checkName } from "./naming.ts"
import { type Asked, toAsked, toRange } from "./rehearsalRange.ts"
import { isSameFilter } from "./running.ts"
import { claim, lease, release, type Scratch, scratchSchema, stateOf, steadily, storedName } from "./scratch.ts"
import { catchUp } from "./scratchBuilding.ts"
import { toSettings } from "./settings.ts"
import { setUp, wholeTarget } from "./setup.ts"
import { withoutAppends } from "./storeWithoutAppends.ts"

/** Builds a projection beside what there is of it. */
export const rehearse = <P extends Projection.Any>(
  projection: P,
  options: RehearseOptions<any> = {}
): Effect.Effect<Rehearsal<P>, RehearseError, EventStore | Scope.Scope> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const clock = yield* Clock.Clock
    const context = Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>()) as Context.Context<any>
    const { onProgress = () => Effect.void } = options
    const isTemporary = options.name === undefined
    const name = options.name === undefined
      ? `tmp-${makeUnsafe(clock.currentTimeMillisUnsafe(), yield* Random.Random).replaceAll("-", "")}`
      : yield* checkName(options.name)
    const asked = yield* toAsked(options)
    const settings = yield* toSettings(
      { batch: options.batch, onError: { giveUp: options.giveUp }, middleware: options.middleware },
      false
    )
    const definition = yield* rehearsable(projection.definition, name)
    const filter = yield* definition.filter
    if (yield* store.storage.inTransaction) {
      return yield* new InvalidInput({ field: "transaction", problem: "is open: rehearse before or after it" })
    }
    if (definition.check !== undefined) yield* definition.check(store) as Effect.Effect<void, RehearseError>

    if (isTemporary) {
      yield* Effect.addFinalizer(() =>
        dropNamed(store, clock, name).pipe(
          Effect.catchTag("RehearsalNotFound", () => Effect.void),
          Effect.catchCause((cause) =>
            Effect.annotateLogs(Effect.logWarning("A rehearsal is left over: drop it by its name", cause), {
              rehearsal: name
            })
          )
        )
      )
    }
    const { isNew, state } = yield* register({ store, clock, name, definition, filter }, asked, isTemporary)
    const { target } = state.rehearsal!
    const scratch: Scratch = { store, clock, name, definition, filter, id: state.id, settings }
    yield* keepAlive(scratch)
    // it failed, or was to be dropped and is there still
    if (state.status !== "running") yield* steadily(name, store.storage.projections.resume(state.id))
    const quiet = Effect.provideService(EventStore, withoutAppends(store))
    if (!state.isSetUp) {
      yield* Effect.mapError(setUp(scratch), (error) => isNoSchema(error) ? nameTaken(scratch) : error).pipe(
        // nothing is in it that could be continued
        Effect.tapError(() => isNew ? Effect.ignore(dropNamed(store, clock, name)) : Effect.void),
        quiet
      ) as Effect.Effect<void, RehearseError>
    }
    yield* catchUp(scratch, target, onProgress) as Effect.Effect<unknown, RehearseError>
    yield* quiet(makeIndexes(scratch)) as Effect.Effect<void, RehearseError>

    const isFixed = asked.to !== null || asked.until !== null
    return {
      name,
      isTemporary,
      target,
      projection: readable(projection, definition, name),
      schema: definition.schema,
      status: Effect.map(stateOf(scratch), toStatus),
      difference: (options) => Effect.provideContext(differenceOf(scratch, isFixed, options), context)
    } satisfies Rehearsal<P>
  })

/** The same with tables of its own. */
const rehearsable = (definition: Definition, name: string): Effect.Effect<Definition, InvalidInput> => {
  const refuse = (problem: string) => Effect.fail(new InvalidInput({ field: "projection", problem }))
  if (definition.isRehearsal === true) return refuse("is a rehearsal itself")
  if (definition.appends === true || definition.kind === "events") {
    return refuse(`${definition.name} appends events: it can only be done, and not rehearsed`)
  }
  return Effect.succeed(definition.inSchema?.(scratchSchema(name)) ?? definition)
}

/** What the functions that read a projection are given. */
const readable = <P extends Projection.Any>(projection: P, definition: Definition, name: string): P => {
  const renamed: Definition = { ...definition, name: storedName(name), isRehearsal: true }
  const { decoderOf } = projection as { readonly decoderOf?: (version: number) => unknown }
  return {
    ...projection,
    definition: renamed,
    // the storage has but one version of it
    ...(decoderOf === undefined ? {} : { decoderOf: () => decoderOf(definition.version) })
  }
}

/** Makes it known, and compares it with what is known of it. */
const register = (
  { clock, definition, filter, name, store }: Omit<Scratch, "id" | "settings">,
  asked: Asked,
  isTemporary: boolean
): Effect.Effect<
  { readonly state: ProjectionState; readonly isNew: boolean },
  InvalidInput | RehearsalChanged | StoreError
> =>
  Effect.gen(function*() {
    const { projections } = store.storage
    const { kind, name: projection, schema, version } = definition
    const [before] = yield* steadily(name, projections.states(storedName(name), StorageTime.of(clock)))
    const registering = Effect.gen(function*() {
      const versions = yield* projections.states(projection, StorageTime.of(clock))
      const { start, target } = yield* toRange(store.storage, asked, { definition, filter, versions })
      return yield* Effect.uninterruptible(projections.register(
        {
          name: storedName(name),
          version: 1,
          filter,
          kind,
          isInline: false,
          schema,
          rehearsal: { projection, version, ...asked, target, isTemporary }
        },
        1,
        start
      )).pipe(Effect.mapError((error) => isNoSchema({ cause: error }) ? nameTaken({ name, definition }) : error))
    })
    const known = before ?? (yield* steadily(name, registering))
    const changed = changeOf(known, { ...asked, projection, version })
    if (changed !== undefined) return yield* new RehearsalChanged({ rehearsal: name, ...changed })
    if (known.kind !== kind || known.schema !== schema || !isSameFilter(known.filter, filter)) {
      return yield* new RehearsalChanged({
        rehearsal: name,
        field: "declaration",
        begun: `${known.kind} of ${JSON.stringify(known.filter)}`,
        asked: `${kind} of ${JSON.stringify(filter)}`
      })
    }
    return { state: known, isNew: before === undefined }
  })

/** Whether a storage says that the schema of its tables is of somebody else. */
const isNoSchema = ({ cause }: { readonly cause: unknown }): boolean =>
  cause instanceof InvalidInput && cause.field === "projection"

const nameTaken = ({ definition, name }: Pick<Scratch, "definition" | "name">): InvalidInput =>
  new InvalidInput({
    field: "name",
    problem:
      `is ${name}, and its tables would be in the database schema ${definition.schema}, which is there already ` +
      "and not its own: choose another name"
  })

const changeOf = (
  { rehearsal }: ProjectionState,
  asked: Pick<RehearsedProjection, "projection" | "version" | "from" | "to" | "until">
): Pick<RehearsalChanged, "field" | "begun" | "asked"> | undefined => {
  const show = (field: keyof typeof asked, value: string | number | null | undefined) =>
    value === null || value === undefined
      ? "not given"
      : field === "until"
      ? new Date(value).toISOString()
      : String(value)
  for (const field of ["projection", "version", "from", "to", "until"] as const) {
    if (rehearsal?.[field] !== asked[field]) {
      return { field, begun: show(field, rehearsal?.[field]), asked: show(field, asked[field]) }
    }
  }
  return undefined
}

/** Says that it is in use, as long as the scope is open. */
const keepAlive = (scratch: Scratch): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    yield* Effect.addFinalizer(() => release(scratch))
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.andThen(Effect.sleep(Duration.times(lease, 1 / 3)), Effect.ignore(claim(scratch)))
      )
    )
  })

/** As a version that has caught up: what is read is found as fast, and what an index refuses is known. */
const makeIndexes = (scratch: Scratch): Effect.Effect<void, unknown, any> => {
  const { definition: { index, name: projection, version }, id, name, store } = scratch
  if (index === undefined) return Effect.void
  const made = store.storage.projections.indexWith(id, index(wholeTarget(scratch))).pipe(
    Effect.catchCause((cause) =>
      Effect.fail(
        passingOf(cause) ?? new ProjectionFailed({ projection, version, position: null, cause: failureOf(cause) })
      )
    )
  )
  return Effect.asVoid(steadily(name, made))
}

const dropNamed = (
  store: EventStore["Service"],
  clock: Clock.Clock,
  name: string
): Effect.Effect<void, RehearsalNotFound | StoreError> =>
  Effect.gen(function*() {
    const { id } = yield* stateOf({ store, clock, name })
    const { projections } = store.storage
    while (true) {
      // who builds it is refused from now on; and it is live, which only what is paused may be dropped as
      yield* projections.pause(id)
      const verdict = yield* projections.drop(id)
      if (verdict === "dropped") return
      if (verdict === "unknown") return yield* new RehearsalNotFound({ rehearsal: name })
      // somebody goes on with it
      yield* Effect.yieldNow
    }
  })

export const drop = (name: string): Effect.Effect<void, RehearsalNotFound | InvalidInput | StoreError, EventStore> =>
  Effect.gen(function*() {
    yield* dropNamed(yield* EventStore, yield* Clock.Clock, yield* checkName(name))
  })

export const list: Effect.Effect<ReadonlyArray<RehearsalStatus>, StoreError, EventStore> = Effect.gen(function*() {
  const { storage } = yield* EventStore
  return (yield* storage.projections.rehearsals(StorageTime.of(yield* Clock.Clock))).map(toStatus)
})

const toStatus = ({ kind, name, parkedEvents, partitions, rehearsal, schema, startPosition }: ProjectionState) => {
  const [{ handled, owner, position }] = partitions as [ProjectionState["partitions"][number]]
  const { from, isTemporary, projection, target, to, until, version } = rehearsal!
  return {
    name: name.slice(storedName("").length),
    projection,
    version,
    kind: kind as RehearsalStatus["kind"],
    schema,
    from,
    to,
    until: until === null ? null : DateTime.makeUnsafe(until),
    start: startPosition,
    position,
    target: Math.max(position, target),
    handled,
    parkedEvents,
    isTemporary,
    isInUse: owner !== null
  } satisfies RehearsalStatus
}
