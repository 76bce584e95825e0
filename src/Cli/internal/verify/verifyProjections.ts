import { type Cause, Effect, Queue, Stream } from "effect"
import type * as Projection from "../../../Projection/Projection.ts"
import * as Rehearsal from "../../../Projection/Rehearsal.ts"
import { EventStore } from "../../../Store/EventStore.ts"
import type { StoreError } from "../../../Store/StoreError.ts"
import type { Step } from "../../Verification.ts"
import { differencesOf, type Differing, unexplained } from "./verifyDifference.ts"
import { withHidden } from "./verifyHidden.ts"
import { plural, type Tally, tell, type Told, type Verifying } from "./verifying.ts"
import { hasHidden, selectParkedKeys, someParkedKeys } from "./verifyProjectionsSql.ts"

/** Most rows of a part that are told one by one. */
const mostRows = 1000

/**
 * What each live version keeps is what is made of the events by building it once more. That is written beside it, compared as
 * of one time, and dropped.
 */
export const checkProjections =
  (projections: ReadonlyArray<Projection.Any>) =>
  (verifying: Verifying, tally: Tally): Stream.Stream<Step, StoreError, any> => {
    if (projections.length === 0) {
      tally.skip("no projections were given", 0)
      return Stream.empty
    }
    return Stream.callback<Step, StoreError, any>((queue: Queue.Queue<Step, StoreError | Cause.Done>) =>
      Effect.gen(function*() {
        for (const [i, projection] of projections.entries()) {
          const progress = (share: number) =>
            Queue.offer(queue, { _tag: "Progress", check: "projections", done: i + share, total: projections.length })
          yield* progress(0)
          for (const told of yield* compare(verifying, tally, projection, progress)) {
            tally.found++
            yield* Queue.offer(queue, { _tag: "Found", finding: { check: "projections", ...told } })
          }
        }
        yield* Queue.offer(queue, {
          _tag: "Progress",
          check: "projections",
          done: projections.length,
          total: projections.length
        })
        yield* Queue.end(queue)
      })
    )
  }

const compare = (
  { tables }: Verifying,
  tally: Tally,
  projection: Projection.Any,
  progress: (share: number) => Effect.Effect<unknown>
): Effect.Effect<ReadonlyArray<Told>, StoreError, any> =>
  Effect.gen(function*() {
    const { kind, name, version } = projection.definition
    const skip = (reason: string) => {
      tally.skip(reason)
      return []
    }
    if (kind === "events") return skip(`projection ${name} appends events, which cannot be done once more for a look`)
    const elsewhere = () => skip(`projection ${name} was not at one position for long enough to be compared`)
    const store = yield* EventStore
    const states = yield* store.storage.projections.states(name, undefined)
    const live = states.find(({ isLive }) => isLive)
    if (live === undefined) return skip(`projection ${name} was never run`)
    if (live.version !== version) {
      return skip(`version ${live.version} of projection ${name} is live, and version ${version} was given`)
    }
    tally.looked++

    const about = { projection: name, projectionVersion: version }
    const fresh = (
      store: EventStore["Service"]
    ): Effect.Effect<Rehearsal.Difference, Rehearsal.RehearseError | Rehearsal.DifferenceError, any> =>
      Effect.scoped(Effect.gen(function*() {
        const onProgress = ({ position, target }: Rehearsal.RehearsalProgress) =>
          progress(target === 0 ? 1 : Math.min(position / target, 1))
        const rehearsal = yield* Rehearsal.make(projection, { giveUp: "park", onProgress })
        return yield* rehearsal.difference({ version, limit: mostRows, onProgress })
      })).pipe(Effect.provideService(EventStore, store))

    const compared = Effect.gen(function*() {
      const difference = yield* fresh(store)
      if (!difference.isSamePosition) return elsewhere()
      let differing = differencesOf(difference)
      if (differing.length === 0) return []
      if (yield* hasHidden(tables)) {
        // it may have handled what is hidden by now: what is the same with that is as it should be
        const whole = yield* Effect.scoped(Effect.flatMap(withHidden(store, tables), fresh))
        if (!whole.isSamePosition) return elsewhere()
        const left = unexplained(differing, differencesOf(whole))
        if (left.length < differing.length) {
          tally.skip(
            `differences of ${name} that are made of events that are hidden by now`,
            differing.length - left.length
          )
        }
        differing = left
      }
      const { parkedEvents } = difference.live
      if (parkedEvents === 0) return differing.map(tellOf(about, ""))
      if (kind === "documents") {
        const parked = yield* selectParkedKeys(
          tables,
          name,
          version,
          differing.flatMap(({ key }) => key === undefined ? [] : [key])
        )
        const isParked = ({ key }: Differing) => key !== undefined && parked.has(key)
        for (const { key } of differing.filter(isParked)) {
          tally.skip(`documents of ${name} whose key is parked: ${key}`)
        }
        return differing.filter((one) => !isParked(one)).map(tellOf(about, ""))
      }
      const keys = yield* someParkedKeys(tables, name, version)
      const reason = `; ${plural(parkedEvents, "event")} parked, under ${keys.join(", ")}${
        keys.length < parkedEvents ? " and others" : ""
      }, may be the reason`
      return differing.map(tellOf(about, reason))
    })
    return yield* compared.pipe(
      Effect.catchTags({
        ProjectionFailed: (error) =>
          isRefused(error.cause)
            ? Effect.succeed(
              skip(`projection ${name} keeps tables, and this role may create no schema to build them once more`)
            )
            : Effect.succeed([tell("ProjectionUnbuildable", about, `A fresh one cannot be built: ${error.message}`)]),
        StoreError: (error) =>
          isRefused(error.cause)
            ? Effect.succeed(skip(`projection ${name} cannot be built once more, since this role may not write`))
            : Effect.fail(error),
        // its checkpoint is ahead of the log, or a transaction is open
        InvalidInput: (error) => Effect.succeed(skip(`projection ${name} cannot be compared: ${error.message}`)),
        LogRewound: (error) => Effect.succeed([tell("ProjectionUnbuildable", about, error.message)]),
        ProjectionNotFound: () => Effect.succeed(skip(`projection ${name} was dropped meanwhile`)),
        RehearsalNotFound: () => Effect.succeed(skip(`somebody dropped what was built of projection ${name}`))
      })
    )
  }) as Effect.Effect<ReadonlyArray<Told>, StoreError, any>

const tellOf =
  (about: Told["about"], reason: string) => ({ actual, expected, key, message, position, table }: Differing) =>
    tell(
      "ProjectionDiffers",
      { ...about, key, position, object: table },
      `${message(about.projection!, about.projectionVersion!)}${reason}`,
      {
        ...(expected === undefined ? {} : { expected }),
        ...(actual === undefined ? {} : { actual })
      }
    )

/** Whether a database refused something because of the privileges of the role. */
const isRefused = (cause: unknown): boolean => {
  for (let at: any = cause, depth = 0; typeof at === "object" && at !== null && depth < 10; depth++) {
    if (at._tag === "AuthorizationError" || at.reason?._tag === "AuthorizationError") return true
    at = at.cause ?? at.reason?.cause
  }
  return false
}
