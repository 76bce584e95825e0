import { Console, Effect, Exit, type FileSystem } from "effect"
import type * as Projection from "../../../Projection/Projection.ts"
import type { EventStore } from "../../../Store/EventStore.ts"
import type { App } from "../../App.ts"
import { confirm } from "../frame/confirming.ts"
import { answer, jsonOf, Output } from "../frame/output.ts"
import { ProgramName } from "../frame/programName.ts"
import type { Progress } from "../frame/progress.ts"
import { answerIsNo, type Refused, wrongInput } from "../frame/refusal.ts"
import { failureJson, failureOf, failureText } from "../frame/reporting.ts"
import type { Handled } from "./replayHandler.ts"

/** What a name means that is to be replayed. */
export type Replayable =
  | { readonly kind: "projection"; readonly projection: Projection.Any }
  | { readonly kind: "subscription"; readonly subscription: Handled }

/**
 * What the application declares under a name. Where a projection and a subscription share it, `projection:name` and
 * `subscription:name` say which.
 */
export const replayableOf = (app: App, given: string): Effect.Effect<Replayable & { readonly name: string }, Refused> =>
  Effect.gen(function*() {
    const [, prefix, rest] = /^(projection|subscription):(.+)$/.exec(given) ?? [undefined, undefined, given]
    const name = rest
    const projection = prefix === "subscription"
      ? undefined
      : app.projections?.find(({ definition }) => definition.name === name)
    const declared = app.subscriptions ?? {}
    const subscription = prefix !== "projection" && Object.hasOwn(declared, name) ? declared[name] : undefined
    if (projection !== undefined && subscription !== undefined) {
      return yield* wrongInput(
        `Both a projection and a subscription are named ${name}`,
        `projection:${name} or subscription:${name} says which`
      )
    }
    if (projection !== undefined) return { kind: "projection" as const, name, projection }
    if (subscription === undefined) {
      const known = [...(app.projections ?? []).map(({ definition }) => definition.name), ...Object.keys(declared)]
      return yield* wrongInput(
        `The application declares no projection or subscription ${name}`,
        known.length === 0
          ? "App.make({ projections: [...], subscriptions: { ... } }) in the configuration declares them"
          : `declared are ${known.join(", ")}`
      )
    }
    const { handle } = subscription
    if (handle === undefined) {
      return yield* wrongInput(
        `The subscription ${name} is declared without a handler`,
        "declare it with handle, as for PersistentSubscription.layer"
      )
    }
    return { kind: "subscription" as const, name, subscription: { ...subscription, handle } }
  })

/** A replay that can be done. */
export interface Job<A> {
  readonly name: string
  /** What has to be agreed to first. */
  readonly question: string | undefined
  readonly run: Effect.Effect<A, unknown, EventStore | FileSystem.FileSystem | Output | Progress>
  readonly textOf: (done: A, paint: Output["Service"]["paint"]) => string
}

/** Asks what has to be asked, and runs all of them at once. One that fails does not stop the others. */
export const runJobs = (jobs: ReadonlyArray<Job<any>>, options: { readonly yes: boolean }) =>
  Effect.gen(function*() {
    const output = yield* Output
    const { paint } = output
    for (const { question } of jobs) if (question !== undefined) yield* confirm(question, options)
    const [only] = jobs
    if (jobs.length === 1) {
      return [yield* Effect.tap(only!.run, (done) => answer(done, (done) => only!.textOf(done, paint)))]
    }
    const exits = yield* Effect.forEach(jobs, ({ run }) => Effect.exit(run), { concurrency: "unbounded" })
    const done: Array<unknown> = []
    for (const [i, exit] of exits.entries()) {
      const { name, textOf } = jobs[i]!
      if (Exit.isSuccess(exit)) {
        done.push(exit.value)
        yield* Console.log(output.isJson ? jsonOf(exit.value, false) : textOf(exit.value, paint))
        continue
      }
      const failure = failureOf(exit.cause, yield* ProgramName)
      yield* output.isJson
        ? Console.log(jsonOf({ name, ...failureJson(failure) }, false))
        : Console.error(failureText(failure, output, name))
    }
    if (done.length < jobs.length) return yield* answerIsNo(`${jobs.length - done.length} of ${jobs.length} failed`)
    return done
  })
