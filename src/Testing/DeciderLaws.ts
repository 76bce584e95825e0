/**
 * What holds of every decider that works with a log, as properties that are ready to run on yours, with made up events and
 * commands.
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Random, Schema } from "effect"
import type { Aggregate, Decider } from "../Aggregate/Decider.ts"
import * as Snapshot from "../Snapshot/Snapshot.ts"
import type * as Category from "../Stream/Category.ts"
import * as Arbitraries from "./Arbitraries.ts"
import * as GoldenSamples from "./GoldenSamples.ts"
import { textOf } from "./internal/expecting.ts"
import { type Case, type Law, lawsOf, type Subject } from "./internal/laws.ts"

/**
 * A law does not hold of a decider: `problem` says in what way, `counterexample` for which events and commands.
 *
 * @category errors
 * @since 0.1.0
 */
export class LawBroken extends Schema.TaggedError<LawBroken>()("LawBroken", {
  law: Schema.String,
  problem: Schema.String,
  /** The smallest that was found: events that happened, and commands that were given then, one after the other. */
  counterexample: Schema.String,
  seed: Schema.Union([Schema.String, Schema.Number]),
  /** Hand it back with the option `replay`, to see this very case again. */
  replay: Schema.String
}) {
  override get message(): string {
    return `It is no law that it ${this.law}: ${this.problem}\n` +
      `Counterexample: ${this.counterexample}\nSeed: ${textOf(this.seed)}, replay: ${textOf(this.replay)}`
  }
}

/**
 * - `commands`: what the commands are made up from. Default: the classes that the decider declares
 * - `events`: what the events are made up from that happened before, in any order. Default: of a category those that it
 *   writes, of a pure decider none, so that all states are those that commands lead to
 * - `state`: the schema of the state or its snapshot, for the law about saved states. Default: the snapshot that the decider
 *   declares, or else its schema of the state; where there is none, that law is left out
 * - `samples`: the file of `GoldenSamples`, for the law that samples of every version of every event, the oldest ones, too, decode and
 *   can be folded; where it is left out, so is that law. What upcasters need comes from the same place as what `decide` needs
 * - `runs`: how many cases of each law, default 100; `size`: about how many events and commands, default 10
 * - `seed`: the same cases each time; default is another one each time
 * - `replay`: one case again, that {@link LawBroken} named
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<C, E, S> {
  readonly commands?: Arbitraries.Source<C> | undefined
  readonly events?: Arbitraries.Source<E> | undefined
  readonly state?: Snapshot.Snapshot<S, any> | Snapshot.StateSchema<S, any> | undefined
  readonly samples?: string | undefined
  readonly runs?: number | undefined
  readonly size?: number | undefined
  readonly seed?: string | number | undefined
  readonly replay?: string | undefined
}

/**
 * A decider, or a category with one.
 *
 * @category models
 * @since 0.1.0
 */
export type Any<C, E, S, X, R> = Decider<C, E, S, X, R> | Aggregate<any, C, any, E, S, X, R, any, any, any>

/**
 * Checks all laws; fails with the first one that is broken. Answers how many held.
 *
 * **Details** For any events that happened, and any commands that are given then:
 *
 * - what is decided can be folded and, for a category, be stored and read back as it was; a decision that fails is none
 * - the same events fold into the same state, in two parts as at once
 * - folding and deciding change neither the state nor the event or command they are given: all of it is frozen
 * - a state that was saved and loaded goes on as the state itself
 * - every version of every event has a stored sample, which decodes and can be folded, where there is a file of `samples`
 *
 * Two values are the same where they say the same, as in `Given`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const verify = <C, E, S, X, R>(
  decider: Any<C, E, S, X, R>,
  options: Options<NoInfer<C>, NoInfer<E>, NoInfer<S>> = {}
): Effect.Effect<number, LawBroken, R> =>
  Effect.gen(function*() {
    const subject = subjectOf(decider, options)
    const laws = lawsOf(subject)
    for (const law of laws) yield* check(subject, law, options)
    return laws.length
  })

/**
 * Declares the laws as tests, one for each: call it at the top of a test file. What deciding needs comes from `layer`.
 *
 * **Example**
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Category, Decider } from "effect-eventstore"
 * import { DeciderLaws } from "effect-eventstore/Testing"
 *
 * class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
 * class Withdrawn extends Schema.TaggedClass<Withdrawn>()("Withdrawn", { cents: Schema.Int }) {}
 * const Account = Category.make("account", { id: Schema.String, events: [Deposited, Withdrawn] })
 * class Withdraw extends Schema.TaggedClass<Withdraw>()("Withdraw", { cents: Schema.Int }) {}
 *
 * const Accounts = Decider.make(Account, {
 *   state: Schema.Struct({ balance: Schema.Int }),
 *   commands: [Withdraw],
 *   initial: { balance: 0 },
 *   evolve: {
 *     Deposited: ({ balance }, { cents }) => ({ balance: balance + cents }),
 *     Withdrawn: ({ balance }, { cents }) => ({ balance: balance - cents })
 *   },
 *   decide: { Withdraw: ({ cents }, { balance }) => cents > balance ? Effect.fail("overdrawn") : Effect.succeed([new Withdrawn({ cents })]) }
 * })
 *
 * DeciderLaws.suite("accounts", Accounts)
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const suite = <C, E, S, X, R, LE = never>(
  name: string,
  decider: Any<C, E, S, X, R>,
  ...[options = {}]: [R] extends [never]
    ? [options?: Options<NoInfer<C>, NoInfer<E>, NoInfer<S>> & { readonly layer?: Layer.Layer<never, LE> | undefined }]
    : [options: Options<NoInfer<C>, NoInfer<E>, NoInfer<S>> & { readonly layer: Layer.Layer<R, LE> }]
): void => {
  const layer = ((options as { readonly layer?: unknown }).layer ?? Layer.empty) as Layer.Layer<any, LE>
  const subject = subjectOf(decider, options)
  describe(`decider laws (${name})`, () => {
    for (const law of lawsOf(subject)) {
      it.effect(
        law.name,
        () =>
          Effect.catchTag(
            check(subject, law, options),
            "LawBroken",
            (error) => Effect.sync(() => assert.fail(error.message))
          )
            .pipe(Effect.provide(layer))
      )
    }
  })
}

const subjectOf = (
  of: Any<any, any, any, any, any>,
  { commands, events, samples, state }: Options<any, any, any>
): Subject => {
  const { category, declared, savedAs }: Partial<Aggregate<any, any, any, any, any, any, any, any, any, any>> =
    "category" in of ? of : {}
  const given = commands ?? declared?.commands
  if (given === undefined || Array.isArray(given) && given.length === 0) {
    throw new Error("There are no commands to try: the decider declares none, so name them with the option commands")
  }
  const saved = state ?? savedAs ?? declared?.state
  if (samples !== undefined && category === undefined) {
    throw new Error("The option samples is for a decider of a category: that one has no stored events")
  }
  const happened = events ?? (category === undefined ? undefined : Arbitraries.events(category))
  return {
    decider: "category" in of ? of.decider("1") : of,
    category,
    samples: samples === undefined || category === undefined ? undefined : samplesOf(category, samples),
    snapshot: saved === undefined || isSnapshot(saved) ? saved : Snapshot.make({ name: "law", state: saved }),
    cases: Arbitrary.all({
      events: happened === undefined ? Arbitrary.Constant([]) : Arbitrary.array(Arbitraries.of(happened)),
      commands: Arbitrary.array(Arbitraries.of<any>(given))
    })
  }
}

const samplesOf = (category: Category.Any, file: string): NonNullable<Subject["samples"]> =>
  Effect.mapBoth(GoldenSamples.read(category, { file }), {
    onFailure: (error) => error.message,
    onSuccess: (decoded) =>
      decoded.map(({ events, sample }) => ({
        name: `${sample.category}: ${sample.type} version ${sample.schemaVersion}`,
        events
      }))
  })

const isSnapshot = (state: Snapshot.Any | Snapshot.StateSchema<any, any>): state is Snapshot.Any =>
  "schemaVersion" in state

const check = (
  { cases }: Subject,
  law: Law,
  { replay, runs = 100, seed, size = 10 }: Options<any, any, any>
): Effect.Effect<void, LawBroken, any> =>
  Effect.gen(function*() {
    const chosen = seed ?? (yield* Random.nextIntBetween(0, 2 ** 31 - 1))
    const broken = (problem: string, counterexample: string, replay: string) =>
      new LawBroken({ law: law.name, problem, counterexample, seed: chosen, replay })
    const result = yield* Arbitrary.checkEffect(
      cases,
      (one: Case) => Effect.as(law.check(one), true),
      { runs, size, seed: chosen, ...(replay === undefined ? {} : { replay }) }
    )
    switch (result._tag) {
      case "Passed":
        return
      case "Falsified": {
        const problem = result.failure._tag === "PropertyError" ? result.failure.error : "it does not hold"
        return yield* broken(problem, textOf(result.shrunkInput), result.replay)
      }
      case "Exhausted":
        return yield* broken("its schemas yield too few values that a store can keep", "none", "")
      case "ReplayMismatch":
        // what was broken holds by now
        return
    }
  })
