import { Effect, Option } from "effect"
import type { Snapshot } from "../../Snapshot/Snapshot.ts"
import * as SnapshotStore from "../../Snapshot/SnapshotStore.ts"
import type * as Category from "../../Stream/Category.ts"
import type { Aggregate, Fold, QueryOptions, RunOptions } from "../Decider.ts"
import { decideBy, evolveBy, tagsOf } from "./byTag.ts"
import { type CacheOptions, makeCache } from "./caching.ts"
import { makeCommandCodec } from "./commands.ts"
import type { Folded } from "./loading.ts"
import { defaultRetry, type Retry } from "./retrying.ts"
import { declaredOf, query, run, type Running, saveNow } from "./running.ts"
import { makeTelemetry } from "./telemetry.ts"

interface AnyOptions {
  readonly state?: any
  readonly initial: unknown
  readonly evolve: any
  readonly decide: any
  readonly commands?: ReadonlyArray<any> | undefined
  readonly retry?: Retry | undefined
  readonly snapshot?: Snapshot<any, any> | undefined
  readonly cache?: CacheOptions | undefined
}

type AnyCategory = Category.Category<string, any, any, any, any>

export const fold = (
  category: AnyCategory,
  { evolve, initial, snapshot }: {
    readonly initial: unknown
    readonly evolve: any
    readonly snapshot?: Snapshot<any, any> | undefined
  }
): Fold<any, any, any, any, any> => ({
  category,
  savedAs: snapshot,
  initial: typeof initial === "function" ? initial as (id: unknown) => unknown : () => initial,
  evolve: evolveBy(category.name, evolve, tagsOf(category))
})

/** One stream of a fold. */
export const foldedOf = <Id, S>(
  { category, evolve, initial, savedAs }: Fold<Id, any, any, S, any>,
  id: Id
): Folded<S> => ({
  stream: category.stream(id),
  initial: initial(id),
  evolve,
  snapshot: savedAs
})

export const make = (
  category: AnyCategory,
  options: AnyOptions
): Aggregate<any, any, any, any, any, any, any, any, any, any> => {
  const folds = fold(category, options)
  const codec = makeCommandCodec(category.name, options.commands ?? [])
  const decide = decideBy(category.name, options.decide, codec.tags)
  const telemetry = makeTelemetry(category.name)
  const retry = options.retry ?? defaultRetry
  const cache = options.cache === undefined ? undefined : makeCache(category.name, options.cache)
  const runningOf = (id: unknown): Running<unknown> => ({
    folded: foldedOf(folds, id),
    decide,
    retry,
    telemetry,
    cache
  })
  return {
    ...folds,
    declared: {
      commands: options.commands ?? [],
      state: options.state ?? options.snapshot?.shapes.at(-1),
      retry: options.retry
    },
    decide,
    decider: (id) => ({ initial: folds.initial(id), evolve: folds.evolve, decide }),
    run: (id, command, options: RunOptions = {}) => Effect.suspend(() => run(runningOf(id), command, options)),
    runUnknown: (id, input, options: RunOptions = {}) =>
      Effect.flatMap(codec.decode(input), (command) => run(runningOf(id), command, options)),
    query: (id, options?: QueryOptions) => Effect.suspend(() => query(runningOf(id), options)),
    snapshot: (id) => Effect.suspend(() => saveNow(runningOf(id))),
    rebuildSnapshots: (options) =>
      Effect.flatMap(declaredOf(folds.savedAs), (snapshot) =>
        SnapshotStore.rebuild(snapshot, category, {
          initial: (streamId) => folds.initial(Option.getOrThrow(category.idOf(streamId))),
          evolve: (state, { event }) => folds.evolve(state, event),
          // no decider comes to a stream whose name has no id
          isMeant: (streamId) => Option.isSome(category.idOf(streamId)),
          concurrency: options?.concurrency
        })) as Effect.Effect<SnapshotStore.Rebuilt, any, any>
  }
}
