import { Effect } from "effect"
import type * as Category from "../../Stream/Category.ts"
import type { Aggregate, AsOf, Fold, RunOptions } from "../Decider.ts"
import { decideBy, evolveBy, tagsOf } from "./byTag.ts"
import { makeCommandCodec } from "./commands.ts"
import type { Folded } from "./loading.ts"
import { defaultRetry, type Retry } from "./retrying.ts"
import { query, run, type Running } from "./running.ts"
import { makeTelemetry } from "./telemetry.ts"

interface AnyOptions {
  readonly state?: any
  readonly initial: unknown
  readonly evolve: any
  readonly decide: any
  readonly commands?: ReadonlyArray<any> | undefined
  readonly retry?: Retry | undefined
}

type AnyCategory = Category.Category<string, any, any, any, any>

export const fold = (
  category: AnyCategory,
  { evolve, initial }: { readonly initial: unknown; readonly evolve: any }
): Fold<any, any, any, any, any> => ({
  category,
  initial: typeof initial === "function" ? initial as (id: unknown) => unknown : () => initial,
  evolve: evolveBy(category.name, evolve, tagsOf(category))
})

/** One stream of a fold. */
export const foldedOf = <Id, S>({ category, evolve, initial }: Fold<Id, any, any, S, any>, id: Id): Folded<S> => ({
  stream: category.stream(id),
  initial: initial(id),
  evolve
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
  const runningOf = (id: unknown): Running<unknown> => ({ folded: foldedOf(folds, id), decide, retry, telemetry })
  return {
    ...folds,
    declared: { commands: options.commands ?? [], state: options.state },
    decide,
    decider: (id) => ({ initial: folds.initial(id), evolve: folds.evolve, decide }),
    run: (id, command, options: RunOptions = {}) => Effect.suspend(() => run(runningOf(id), command, options)),
    runUnknown: (id, input, options: RunOptions = {}) =>
      Effect.flatMap(codec.decode(input), (command) => run(runningOf(id), command, options)),
    query: (id, asOf?: AsOf) => Effect.suspend(() => query(foldedOf(folds, id), telemetry, asOf))
  }
}
