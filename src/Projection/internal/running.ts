import { Clock, Effect, Exit, Random, Scope } from "effect"
import { makeUnsafe } from "../../Event/EventId.ts"
import { EventStore } from "../../Store/EventStore.ts"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type { LogStorage } from "../../Store/LogStorage.ts"
import type { ProjectionState } from "../../Store/ProjectionStorage.ts"
import { InvalidInput, retryPassing, type StoreError } from "../../Store/StoreError.ts"
import type { RunOptions, StartError } from "../Projection.ts"
import { ProjectionChanged } from "../ProjectionError.ts"
import type { Definition } from "./definition.ts"
import { registerInline } from "./inline.ts"
import { startRunner } from "./runner.ts"
import { toSettings } from "./settings.ts"
import { setUp } from "./setup.ts"

/** Starts to run a projection. The answer fails when it ends. */
export const start = (
  definition: Definition,
  options: RunOptions<any> = {}
): Effect.Effect<Effect.Effect<never, any>, StartError, EventStore | Scope.Scope> =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const clock = yield* Clock.Clock
    const settings = yield* toSettings(options, definition.isInline)
    const filter = yield* definition.filter
    if (yield* store.storage.inTransaction) {
      return yield* new InvalidInput({ field: "transaction", problem: "is open: run a projection before or after it" })
    }
    if (definition.isRehearsal === true) {
      return yield* new InvalidInput({
        field: "projection",
        problem: "is a rehearsal, which is built once and not run"
      })
    }
    if (definition.check !== undefined) yield* definition.check(store) as Effect.Effect<void, StartError>
    const state = yield* retryPassing(
      register(store.storage, definition, filter, settings.partitions),
      (error) =>
        Effect.annotateLogs(Effect.logWarning("A projection cannot be made known for now", error.message), {
          projection: definition.name,
          version: definition.version
        })
    )
    const shared = { store, definition, filter, settings, clock, id: state.id }
    if (!state.isSetUp) yield* setUp(shared) as Effect.Effect<void, StartError>
    // before the program that waits for this appends anything
    if (definition.isInline) yield* registerInline(shared)
    return yield* startRunner({ ...shared, runner: makeUnsafe(clock.currentTimeMillisUnsafe(), yield* Random.Random) })
  })

/** Runs a projection as long as the scope is open, and logs with what it ends before. */
export const startInBackground = (
  definition: Definition,
  options: RunOptions<any> = {}
): Effect.Effect<void, StartError, EventStore | Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    // what it owns is given back when it ends by itself, too
    const own = yield* Scope.fork(scope)
    const end = yield* start(definition, options).pipe(Scope.provide(own))
    yield* Effect.forkIn(
      Effect.catchCause(end, (cause) =>
        Effect.andThen(
          Effect.annotateLogs(Effect.logError("A projection ended", cause), {
            projection: definition.name,
            version: definition.version
          }),
          Scope.close(own, Exit.void)
        )),
      scope
    )
  })

/** Makes a version known, and compares it with what is known of it. */
const register = (
  storage: LogStorage,
  definition: Definition,
  filter: LogFilter,
  partitions: number
): Effect.Effect<ProjectionState, InvalidInput | ProjectionChanged | StoreError> =>
  Effect.gen(function*() {
    const { isInline, kind, name, schema, version } = definition
    const known = yield* storage.projections.register(
      { name, version, filter, kind, isInline, schema },
      partitions,
      yield* placeOf(storage, definition.start)
    )
    const field = !isSameFilter(known.filter, filter)
      ? "from"
      : known.kind !== kind
      ? "kind"
      : known.isInline !== isInline
      ? "mode"
      : known.schema !== schema
      ? "schema"
      : undefined
    if (field !== undefined) return yield* new ProjectionChanged({ projection: name, version, field })
    return known
  })

/** Where a version begins, and what stands there. */
export const placeOf = (storage: LogStorage, start: Definition["start"]) =>
  Effect.gen(function*() {
    if (start === "start") return { position: 0, eventId: null }
    const { head } = yield* storage.identity(0)
    const position = start === "end" ? head : start
    const refuse = (problem: string) => new InvalidInput({ field: "start", problem })
    if (!Number.isSafeInteger(position) || position < 0) {
      return yield* refuse(`is ${String(position)}, which is neither "start" nor "end" nor a position`)
    }
    if (position > head) return yield* refuse(`is ${position}, but the log ends at position ${head}`)
    return { position, eventId: position === 0 ? null : (yield* storage.identity(position)).eventId ?? null }
  })

/** Whether a filter is the same as another one; the order of its lists tells nothing. */
export const isSameFilter = (a: LogFilter, b: LogFilter): boolean =>
  (["types", "categories", "tags"] as const).every((part) => isSameList(a[part], b[part])) &&
  (["streamPrefix", "recordedFrom", "recordedUntil"] as const).every((part) => a[part] === b[part])

const isSameList = (a: ReadonlyArray<string> | null, b: ReadonlyArray<string> | null): boolean =>
  a === null || b === null ? a === b : JSON.stringify([...a].sort()) === JSON.stringify([...b].sort())
