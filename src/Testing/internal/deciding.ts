import { Effect, Schema } from "effect"
import * as Decider from "../../Aggregate/Decider.ts"
import * as Event from "../../Event/Event.ts"
import type * as Snapshot from "../../Snapshot/Snapshot.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore } from "./consuming.ts"
import { freshName, raw, type Store } from "./rule.ts"

/** A text, and how many there were for the decision that led to it: what was decided on another state shows. */
export class Written extends Schema.TaggedClass<Written>()("Written", { text: Schema.String, seen: Schema.Int }) {}
export class Erased extends Schema.TaggedClass<Erased>()("Erased", { seen: Schema.Int }) {}

const WrittenTwice = Event
  .oldest(Schema.Struct({ text: Schema.String }))
  .retired("WrittenTwice", ({ text }) => [new Written({ text, seen: -1 }), new Written({ text, seen: -1 })])

export class Write extends Schema.TaggedClass<Write>()("Write", {
  texts: Schema.Array(Schema.String),
  /** Most texts that there may be. */
  most: Schema.optionalKey(Schema.Int)
}) {}
export class Erase extends Schema.TaggedClass<Erase>()("Erase", {}) {}

export class Full extends Schema.TaggedError<Full>()("Full", { size: Schema.Int }) {}

/** The texts of a stream in their order: what is left out, doubled or out of order shows. */
export type Texts = ReadonlyArray<string>

export interface Hooks {
  /** What happens while something is decided. */
  readonly meanwhile?: (texts: Texts) => Effect.Effect<void>
  readonly retry?: Parameters<typeof Decider.make>[1]["retry"]
  readonly snapshot?: Snapshot.Snapshot<Texts, never> | undefined
  readonly cache?: Decider.Cache | undefined
}

/** A decider on a category of its own. */
export const freshTexts = (hooks: Hooks = {}) => {
  const category = Category.make(freshName(), {
    id: Schema.String,
    events: [Written, Erased, WrittenTwice, Event.dropped("Debugged")]
  })
  return Decider.make(category, optionsOf(hooks))
}

/** Lets all others come in between reading and appending, also where nothing waits by itself. */
export const slowly = { meanwhile: () => Effect.yieldNow }

/** The same decisions on streams of another category. */
export const sharing = (aggregate: TextsAggregate, hooks: Hooks) => Decider.make(aggregate.category, optionsOf(hooks))

export type TextsAggregate = ReturnType<typeof freshTexts>

const optionsOf = ({ meanwhile = () => Effect.void, ...options }: Hooks) => ({
  ...textsDecider(meanwhile),
  commands: [Write, Erase] as const,
  ...options
})

const textsDecider = (meanwhile: (texts: Texts) => Effect.Effect<void>) => ({
  initial: [] as Texts,
  evolve: {
    Written: (texts: Texts, { text }: Written) => [...texts, text],
    Erased: (): Texts => []
  },
  decide: {
    Write: (command: Write, texts: Texts) =>
      Effect.flatMap(meanwhile(texts), () => {
        const size = texts.length + command.texts.length
        return size > (command.most ?? Infinity)
          ? Effect.fail(new Full({ size: texts.length }))
          : Effect.succeed(command.texts.map((text, i) => new Written({ text, seen: texts.length + i })))
      }),
    Erase: (_: Erase, texts: Texts) => texts.length === 0 ? [] : [new Erased({ seen: texts.length })]
  }
})

export const write = (...texts: ReadonlyArray<string>) => new Write({ texts })

/** Stores an event that today's program does not write any more. */
export const old = (store: Store, stream: { readonly streamId: string }, type: string, data: Schema.Json = {}) =>
  store.append(Category.rawStream(stream.streamId), [raw(type, data)])

/** The operators of a decider on a store. */
export const on = (store: Store, aggregate: TextsAggregate, id = "1") => {
  const run = inStore(store)
  return {
    stream: aggregate.category.stream(id),
    run: (command: Write | Erase, options?: Decider.RunOptions) => run(aggregate.run(id, command, options)),
    runUnknown: (input: unknown) => run(aggregate.runUnknown(id, input)),
    query: (options?: Decider.QueryOptions) => run(aggregate.query(id, options)),
    snapshot: run(aggregate.snapshot(id)),
    texts: Effect.map(run(aggregate.query(id)), ({ state }) => state)
  }
}
