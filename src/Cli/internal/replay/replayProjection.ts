import { Clock, Effect, References, Schedule } from "effect"
import * as Projection from "../../../Projection/Projection.ts"
import { ProjectionFailed } from "../../../Projection/ProjectionError.ts"
import type { EventStore } from "../../../Store/EventStore.ts"
import { reasonOf, type StoreError } from "../../../Store/StoreError.ts"
import { note, type Output } from "../frame/output.ts"
import { during, type Progress, type Report } from "../frame/progress.ts"
import { answerIsNo } from "../frame/refusal.ts"
import { counted, numberOf } from "../frame/table.ts"
import { activityOf } from "../projectionRows.ts"
import type { Job } from "./replaying.ts"

export interface RebuildOptions {
  /** Whether it takes the place of the live version when it is ready. */
  readonly isSwitching: boolean
  /** Counts only where the version is not known yet. */
  readonly partitions: number
  /** Most events of a transaction. */
  readonly batch: number | undefined
  /** Whether events that cannot be handled are set aside. */
  readonly isKeepingOn: boolean
}

/** A rebuild that can be done: nothing was done yet. */
export interface PreparedRebuild {
  readonly projection: Projection.Any
  readonly options: RebuildOptions
  /** What is known of the version; `undefined` where nobody ran it yet. */
  readonly own: Projection.Status | undefined
  /** What has to be agreed to first. */
  readonly question: string | undefined
}

/** Finds out whether there is something to rebuild. */
export const prepareRebuild = (projection: Projection.Any, options: RebuildOptions) =>
  Effect.gen(function*() {
    const { isInline, name, version } = projection.definition
    const versions = yield* Projection.statuses(name)
    const own = versions.find((known) => known.version === version)
    const live = versions.find(({ isLive }) => isLive)
    const subject = `Version ${version} of the projection ${name}`
    if (own?.stage === "ready" && own.isLive) {
      return yield* answerIsNo(
        `${subject} is live and ready: there is nothing to rebuild`,
        `raise its version and repeat this; --dry-run compares it with a fresh one; eventstore projections reset ${name} empties it`
      )
    }
    if (own?.stage === "ready" && !options.isSwitching) {
      return yield* answerIsNo(`${subject} is ready`, `eventstore projections switch ${name} ${version} makes it live`)
    }
    if (own?.status === "paused") {
      return yield* answerIsNo(
        `${subject} is paused`,
        `eventstore projections resume ${name} --version ${version} lets it go on`
      )
    }
    if (live !== undefined && live.version > version && options.isSwitching) {
      return yield* answerIsNo(
        `${subject} is older than the one that is live, version ${live.version}`,
        "raise its version; --no-switch builds it beside the live one"
      )
    }
    const becomesLive = options.isSwitching || live === undefined || own?.isLive === true
    return {
      projection,
      options,
      own,
      question: isInline && becomesLive
        ? `${subject} is inline: as soon as it is live, only programs that declare it can append. Go on?`
        : undefined
    } satisfies PreparedRebuild
  })

/** What became of a rebuild. */
export interface Rebuilt {
  readonly name: string
  readonly kind: "projection"
  readonly version: number
  readonly isLive: boolean
  /** The version that was live right before, where it took its place. */
  readonly replaced: number | null
  readonly position: number
  readonly handled: number
  readonly parkedEvents: number
  readonly seconds: number
}

export const rebuiltText = (
  { handled, isLive, name, parkedEvents, position, replaced, seconds, version }: Rebuilt
): string =>
  `${name}: version ${version} is ${
    isLive ? `live${replaced === null ? "" : `, instead of version ${replaced}`}` : "ready, and not live"
  }, at position ${numberOf(position)} (${counted(handled, "event")} in ${seconds.toFixed(1)} s${
    parkedEvents === 0 ? "" : `, ${counted(parkedEvents, "event")} parked`
  })`

/** Who watches wants to know soon that a handler fails; trouble of the database is waited out all the same. */
const retry = Schedule.exponential("200 millis").pipe(Schedule.upTo({ times: 4 }))

const lookEvery = "150 millis"

/** Runs a version in this process until it is ready, and live where that was asked for. */
export const rebuild = (
  { options, own, projection }: PreparedRebuild
): Effect.Effect<Rebuilt, unknown, EventStore | Output | Progress> =>
  Effect.gen(function*() {
    const { name, version } = projection.definition
    const clock = yield* Clock.Clock
    const startedAt = clock.currentTimeMillisUnsafe()
    if (own?.status === "failed") yield* Projection.resume(projection)
    let reached = own?.position ?? 0
    const live = liveBeside(version, yield* Projection.statuses(name))
    // what it needs besides the store is what the application declares, and is there
    const running = Projection.run(projection, {
      partitions: options.partitions,
      batch: options.batch,
      // who goes on after a crash waits for it
      lease: "5 seconds",
      switch: options.isSwitching ? "automatic" : "manual",
      onError: { retry, giveUp: options.isKeepingOn ? "park" : "stop" }
    }).pipe(quietly) as Effect.Effect<never, Projection.RunError, EventStore>
    const { newer, replaced, status } = yield* during(
      { label: `${name} version ${version}`, total: own?.head, done: own?.position },
      (report) =>
        Effect.raceFirst(
          running,
          watch(projection, options, live, (position, head) => {
            reached = position
            return report(position, head)
          })
        )
    ).pipe(
      Effect.onInterrupt(() =>
        note(`${name}: stopped at position ${numberOf(reached)}; the same command goes on from there`)
      )
    )
    if (newer !== undefined) {
      yield* note(
        `${name}: version ${newer} went live meanwhile, and stays so; version ${version}, which is older, was built beside it`
      )
    }
    const after = yield* Projection.status(name, { version })
    if (activityOf(after) === "idle") {
      yield* note(
        `${name}: nobody runs version ${version} now: what is appended from here on is handled when a program does`
      )
    }
    return {
      name,
      kind: "projection",
      version,
      isLive: status.isLive,
      replaced: replaced ?? null,
      position: after.position,
      handled: after.handled,
      parkedEvents: after.parkedEvents,
      seconds: (clock.currentTimeMillisUnsafe() - startedAt) / 1000
    } satisfies Rebuilt
  })

/** What it logs would tear the bars apart, and is said here in a sentence; all of it to those who ask for another level. */
const quietly = <A, E, R>(running: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    References.MinimumLogLevel,
    (level) => Effect.provideService(running, References.MinimumLogLevel, level === "Info" ? "Fatal" : level)
  )

/** The version that is live, where it is another one. */
const liveBeside = (version: number, versions: ReadonlyArray<Projection.Status>): number | undefined =>
  versions.find((other) => other.isLive && other.version !== version)?.version

/** How a rebuild ended. */
interface Watched {
  readonly status: Projection.Status
  /** The version whose place it took. */
  readonly replaced: number | undefined
  /** A later version that went live while it was built. */
  readonly newer: number | undefined
}

/** Looks until it is done. The database may not answer for a while: who runs it waits for that as well. */
const watch = (
  projection: Projection.Any,
  { isSwitching }: RebuildOptions,
  live: number | undefined,
  report: Report
) =>
  Effect.gen(function*() {
    const { name, version } = projection.definition
    let isWaiting = false
    const waiting = (error: StoreError) =>
      Effect.suspend(() => {
        if (isWaiting) return Effect.succeed([])
        isWaiting = true
        return Effect.as(note(`${name}: waits for the database: ${reasonOf(error)}`), [])
      })
    const ifPassing = <A>(error: StoreError, otherwise: Effect.Effect<A, never, Output>) =>
      error.isRetryable ? otherwise : Effect.fail(error)
    // its runner may switch between two looks
    let before = live
    while (true) {
      yield* Effect.sleep(lookEvery)
      const versions: ReadonlyArray<Projection.Status> = yield* Effect.catchTag(
        Projection.statuses(name),
        "StoreError",
        (error) => ifPassing(error, waiting(error))
      )
      const status = versions.find((known) => known.version === version)
      // its runner has not made it known yet
      if (status === undefined) continue
      isWaiting = false
      yield* report(status.position, status.head)
      if (status.status === "failed") {
        return yield* new ProjectionFailed({
          projection: name,
          version,
          position: status.errorPosition,
          cause: status.error
        })
      }
      if (status.status === "paused") {
        return yield* answerIsNo(
          `Somebody paused version ${version} of the projection ${name}`,
          `eventstore projections resume ${name} --version ${version} lets it go on`
        )
      }
      if (!status.isLive) before = liveBeside(version, versions)
      if (status.stage !== "ready") continue
      if (isSwitching && !status.isLive) {
        // somebody else was faster, with a later one
        if (before !== undefined && before > version) {
          return { status, replaced: undefined, newer: before } satisfies Watched
        }
        // its runner does it by itself where the live one is older, as soon as the two are level
        yield* Projection.switchTo(name, version, { timeout: 0 }).pipe(
          Effect.catchTags({
            VersionBehind: () => Effect.void,
            StoreError: (error) => ifPassing(error, Effect.void)
          })
        )
        continue
      }
      if (status.isApplied || !(status.isInline && status.isLive)) {
        return { status, replaced: status.isLive ? before : undefined, newer: undefined } satisfies Watched
      }
    }
  })

/** A rebuild that can be done, with what has to be agreed to first. */
export const rebuildJob = (projection: Projection.Any, options: RebuildOptions) =>
  Effect.map(prepareRebuild(projection, options), (prepared) => ({
    name: projection.definition.name,
    question: prepared.question,
    run: rebuild(prepared),
    textOf: rebuiltText
  } satisfies Job<Rebuilt>))
